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
        not_storage("segment_sum", values)?;
        let rows = &indptr.shape[0] - &1.into();
        if rows.lower() < 0 {
            return Err("`segment_sum` needs at least one row pointer".to_owned());
        }
        Ok(one(Type::tensor(values.dtype, std::iter::once(rows).chain(values.shape[1..].iter().cloned()))))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let indptr = values::tensor(operands, 0)?;
        let (order, values) = (values::tensor(operands, 1)?, values::tensor(operands, 2)?);
        let (rows, width) = (indptr.len() - 1, values::row_width(values));
        let positions = values::ids("segment_sum", 1, order, values.shape()[0])?;
        let bounds = values::ids("segment_sum", 0, indptr, positions.len() + 1)?;
        let mut sums = values::Sums::zeros(values.dtype(), rows * width);
        for r in 0..rows {
            let segment = positions.get(bounds[r]..bounds[r + 1]).ok_or_else(|| {
                format!("`segment_sum`: operand 0 descends from {} at position {r}", bounds[r])
            })?;
            for p in segment {
                for column in 0..width {
                    sums.add(r * width + column, values.get(p * width + column));
                }
            }
        }
        Ok(vec![Value::Tensor(sums.array(&values::with_rows(rows, values)))])
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Err(Nondifferentiable(
            "`segment_sum` does not know the segment of a value, which its gradient is gathered by; \
             `scatter_rows` of the ids is the same sum and has a derivative"
                .to_owned(),
        ))
    }

    fn class(&self) -> Class {
        Class::Sparse
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&operands[2]), bytes: traffic(operands, results) }
    }
}
