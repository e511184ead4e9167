//! `segments`: positions grouped by id, by a stable counting sort.

use super::*;
use crate::array::Array;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::types::shape_text;

/// `ids i32 [n] -> (indptr i32 [rows + 1], order i32 [n])`: the positions whose id is `r` are `order[indptr[r]..indptr[r + 1]]`, ascending. An id outside `0..rows` is an error of the data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Segments {
    /// Number of ids there may be.
    pub rows: Dim,
}

impl OpDef for Segments {
    fn name(&self) -> &'static str {
        "segments"
    }

    fn attrs(&self) -> Attrs {
        vec![("rows", Attr::Dims(vec![self.rows.clone()]))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [ids] = fixed(tensors("segments", 1, operands)?);
        if ids.dtype != DType::I32 || ids.rank() != 1 {
            return Err(format!(
                "`segments` takes i32 ids of one axis, {}{} found",
                ids.dtype,
                shape_text(&ids.shape)
            ));
        }
        Ok(Types::from_iter([
            Type::tensor(DType::I32, [&self.rows + &1.into()]),
            Type::tensor(DType::I32, [ids.shape[0].clone()]),
        ]))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let rows = values::size(&self.rows, dims)?;
        let ids = values::rows_near("segments", 0, values::tensor(operands, 0)?, rows)?;
        let mut order: Vec<i32> = (0..ids.len() as i32).collect();
        order.sort_by_key(|p| ids[*p as usize]);
        let mut indptr = vec![0i32; rows + 1];
        for r in ids {
            indptr[r + 1] += 1;
        }
        for r in 0..rows {
            indptr[r + 1] += indptr[r];
        }
        let (indptr, order) =
            (Array::from_slice(&[rows + 1], &indptr), Array::from_slice(&[order.len()], &order));
        Ok(vec![Value::Tensor(indptr), Value::Tensor(order)])
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Ok(vec![None])
    }

    fn class(&self) -> Class {
        Class::Opaque
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
