//! `segment_sum`: sums of rows grouped by `segments`.

use super::*;
use crate::dtype::DType;

/// `(indptr i32 [rows + 1], order i32 [n], values [m, ..]) -> [rows, ..]`: row `r` is the sum of `values[order[e]]` for `e` in `indptr[r]..indptr[r + 1]`, in that order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SegmentSum;

impl OpDef for SegmentSum {
    fn name(&self) -> &'static str {
        "segment_sum"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [indptr, order, values] = fixed(tensors("segment_sum", 3, operands)?);
        if [indptr, order].iter().any(|t| t.dtype != DType::I32 || t.rank() != 1) || values.rank() == 0 {
            return Err(format!(
                "`segment_sum` takes i32 row pointers and positions of one axis and values of at least one, {} found",
                list(operands)
            ));
        }
        let rows = &indptr.shape[0] - &1.into();
        if rows.lower() < 0 {
            return Err("`segment_sum` needs at least one row pointer".to_owned());
        }
        Ok(one(Type::tensor(values.dtype, std::iter::once(rows).chain(values.shape[1..].iter().cloned()))))
    }

    fn eval(
        &self,
        _operands: &[&Value],
        _types: &[Type],
        _dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        Err("eval is not written".to_owned())
    }

    fn vjp(&self, _cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Err(Nondifferentiable("vjp is not written".to_owned()))
    }

    fn class(&self) -> Class {
        Class::Sparse
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&operands[2]), bytes: traffic(operands, results) }
    }
}
