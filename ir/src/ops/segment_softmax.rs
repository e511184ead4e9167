//! `segment_softmax`: exponentials divided by their sum, segment by segment.

use super::segment_ids::{self, spread};
use super::segment_reduce::SegmentReduce;
use super::*;
use crate::dtype::DType;
use crate::scalar::ScalarOp;

/// `(indptr i32 [rows + 1], order i32 [n], x [n, ..]) -> x`: for each segment, as [`SegmentReduce`] has them, and each
/// column, `exp(x - max) / sum exp(x - max)` among `x[order[e]]`, where it stands; 0 where `order` names no place.
/// NaN where every element of a segment is `-inf`. The order names each place once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SegmentSoftmax;

impl OpDef for SegmentSoftmax {
    fn name(&self) -> &'static str {
        "segment_softmax"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [_, order, x] = fixed(tensors("segment_softmax", 3, operands)?);
        // What a sum over the segments takes.
        SegmentReduce { op: ReduceOp::Sum }.infer(operands)?;
        if !x.dtype.is_real() {
            return Err(format!("`segment_softmax` takes floats, {} found", operands[2]));
        }
        same_dim("segment_softmax", "the number of positions", &order.shape[0], "axis 0", &x.shape[0])?;
        Ok(one(operands[2].clone()))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let (order, x) = (values::tensor(operands, 1)?, values::tensor(operands, 2)?);
        let segments = segment_ids::segments(self.name(), values::tensor(operands, 0)?, order.len())?;
        let positions = values::rows_near("segment_softmax", 1, order, x.shape()[0])?;
        let (all, width) = (x.to_f64(), values::row_width(x));
        let mut y = vec![0.0; all.len()];
        for segment in segments {
            for column in 0..width {
                let at: Vec<usize> = segment.clone().map(|e| positions[e] * width + column).collect();
                let max = at.iter().fold(f64::NEG_INFINITY, |m, i| {
                    combine_max(Literal::float(DType::F64, m), Literal::float(DType::F64, all[*i]))
                });
                let sum: f64 = at.iter().map(|i| (all[*i] - max).exp()).sum();
                at.iter().for_each(|i| y[*i] = (all[*i] - max).exp() / sum);
            }
        }
        Ok(vec![Value::Tensor(crate::array::Array::from_f64(x.dtype(), x.shape(), &y))])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(dy) = cx.gradient(0) else { return Ok(vec![None; 3]) };
        let (indptr, order, y) = (cx.operands[0], cx.operands[1], cx.results[0]);
        let graph = &mut *cx.graph;
        let product = graph.map(ScalarOp::Mul, &[y, dy]);
        let sums = graph.emit(SegmentReduce { op: ReduceOp::Sum }, &[indptr, order, product]);
        // Where no segment is, `y` is 0.
        let sums = spread(graph, indptr, order, sums);
        let rest = graph.map(ScalarOp::Sub, &[dy, sums]);
        Ok(vec![None, None, Some(graph.map(ScalarOp::Mul, &[y, rest]))])
    }

    fn class(&self) -> Class {
        Class::Sparse
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: &elements(&operands[2]) * &4.into(), bytes: traffic(operands, results) }
    }
}

fn combine_max(a: Literal, b: Literal) -> f64 {
    crate::scalar::combine(ReduceOp::Max, a, b).as_f64()
}
