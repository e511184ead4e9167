//! `softmax`: exponentials along the last axis that add up to one.

use super::*;
use crate::array::Array;
use crate::scalar::{ReduceOp, ScalarOp};

/// `exp(x - max) / sum exp(x - max)` along the last axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Softmax;

impl OpDef for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("softmax", 1, operands)?);
        if !x.dtype.is_real() || x.rank() == 0 {
            return Err(format!(
                "`softmax` takes a float tensor of at least one axis, {} found",
                list(operands)
            ));
        }
        Ok(one(operands[0].clone()))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let (width, mut all) = (x.shape().last().copied().unwrap_or(1), x.to_f64());
        for row in all.chunks_mut(width.max(1)) {
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
            for x in row {
                *x = (*x - max).exp() / sum;
            }
        }
        Ok(vec![Value::Tensor(Array::from_f64(x.dtype(), x.shape(), &all))])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        // dx = y * (dy - sum(dy * y))
        let (y, Some(dy)) = (cx.results[0], cx.gradient(0)) else { return Ok(vec![None]) };
        let graph = &mut *cx.graph;
        let shape = graph.shape_of(y);
        let last = shape.len() - 1;
        let product = graph.map(ScalarOp::Mul, &[dy, y]);
        let sum = graph.reduce(ReduceOp::Sum, product, Axes::from_iter([last]));
        let sum = graph.unreduce(sum, shape, &[last]);
        let centred = graph.map(ScalarOp::Sub, &[dy, sum]);
        Ok(vec![Some(graph.map(ScalarOp::Mul, &[y, centred]))])
    }

    fn body(
        &self,
        graph: &mut Graph,
        operands: &[Operand],
    ) -> Option<Result<Vec<Operand>, crate::diag::Diag>> {
        let x = operands[0];
        let shape = graph.shape_of(x);
        let last = shape.len() - 1;
        let axes = Axes::from_iter([last]);
        let max = graph.reduce(ReduceOp::Max, x, axes.clone());
        let max = graph.unreduce(max, shape.clone(), &[last]);
        let shifted = graph.map(ScalarOp::Sub, &[x, max]);
        let exp = graph.map(ScalarOp::Exp, &[shifted]);
        let sum = graph.reduce(ReduceOp::Sum, exp, axes);
        let sum = graph.unreduce(sum, shape, &[last]);
        Some(Ok(vec![graph.map(ScalarOp::Div, &[exp, sum])]))
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Composite
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: &elements(&operands[0]) * &4.into(), bytes: traffic(operands, results) }
    }
}
