//! `row_sparse` and `row_sparse_parts`: a gradient that touches few rows, as one value.

use super::*;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::types::RowSparseType;

/// `(ids i32 [n], values [n, ..])` as the row-sparse form of a tensor of `rows` rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowSparse {
    /// Rows of the whole tensor.
    pub rows: Dim,
}

impl OpDef for RowSparse {
    fn name(&self) -> &'static str {
        "row_sparse"
    }

    fn attrs(&self) -> Attrs {
        vec![("rows", Attr::Dims(vec![self.rows.clone()]))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [ids, values] = fixed(tensors("row_sparse", 2, operands)?);
        ids_and_values("row_sparse", ids, values)?;
        let shape = std::iter::once(self.rows.clone()).chain(values.shape[1..].iter().cloned()).collect();
        Ok(one(Type::RowSparse(RowSparseType { dtype: values.dtype, shape, count: ids.shape[0].clone() })))
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
        Class::Injective
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}

/// Two results: the ids i32 `[n]` and the values `[n, ..]` of a row-sparse value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowSparseParts;

impl OpDef for RowSparseParts {
    fn name(&self) -> &'static str {
        "row_sparse_parts"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        match operands {
            [Type::RowSparse(r)] => {
                let values = std::iter::once(r.count.clone()).chain(r.shape[1..].iter().cloned());
                Ok(Types::from_iter([
                    Type::tensor(DType::I32, [r.count.clone()]),
                    Type::tensor(r.dtype, values),
                ]))
            }
            other => Err(format!("`row_sparse_parts` takes one row-sparse operand, {} found", list(other))),
        }
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
        Class::Injective
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
