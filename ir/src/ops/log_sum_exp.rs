//! `log_sum_exp`: the logarithm of a sum of exponentials, without overflow.

use super::softmax::Softmax;
use super::*;
use crate::array::Array;
use crate::scalar::{ReduceOp, ScalarOp};

/// `max + log sum exp(x - max)` along the last axis, which the result no longer has; `-inf` where every element is `-inf`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogSumExp;

impl OpDef for LogSumExp {
    fn name(&self) -> &'static str {
        "log_sum_exp"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("log_sum_exp", 1, operands)?);
        if !x.dtype.is_real() || x.rank() == 0 {
            return Err(format!(
                "`log_sum_exp` takes a float tensor of at least one axis, {} found",
                list(operands)
            ));
        }
        Ok(one(Type::tensor(x.dtype, x.shape[..x.rank() - 1].iter().cloned())))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let (width, all) = (x.shape().last().copied().unwrap_or(1), x.to_f64());
        let shape = &x.shape()[..x.shape().len() - 1];
        let rows: usize = shape.iter().product();
        let sums: Vec<f64> = (0..rows).map(|r| of_row(&all[r * width..(r + 1) * width])).collect();
        Ok(vec![Value::Tensor(Array::from_f64(x.dtype(), shape, &sums))])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(dy) = cx.gradient(0) else { return Ok(vec![None]) };
        let shape = cx.graph.shape_of(cx.operands[0]);
        let weights = cx.graph.emit(Softmax, &[cx.operands[0]]);
        let last = shape.len() - 1;
        let dy = cx.graph.unreduce(dy, shape, &[last]);
        Ok(vec![Some(cx.graph.map(ScalarOp::Mul, &[dy, weights]))])
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
        // An infinite maximum would give `inf - inf`; 0 in its place leaves the result infinite.
        let size = graph.map(ScalarOp::Abs, &[max]);
        let infinity = graph.fill_like(max, f64::INFINITY);
        let finite = graph.map(ScalarOp::Lt, &[size, infinity]);
        let zero = graph.fill_like(max, 0.0);
        let shift = graph.map(ScalarOp::Select, &[finite, max, zero]);
        let shift_all = graph.unreduce(shift, shape, &[last]);
        let shifted = graph.map(ScalarOp::Sub, &[x, shift_all]);
        let exp = graph.map(ScalarOp::Exp, &[shifted]);
        let sum = graph.reduce(ReduceOp::Sum, exp, axes);
        let log = graph.map(ScalarOp::Log, &[sum]);
        Some(Ok(vec![graph.map(ScalarOp::Add, &[shift, log])]))
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

pub(super) fn of_row(row: &[f64]) -> f64 {
    if row.iter().any(|x| x.is_nan()) {
        return f64::NAN;
    }
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max.is_infinite() {
        return max;
    }
    max + row.iter().map(|x| (x - max).exp()).sum::<f64>().ln()
}
