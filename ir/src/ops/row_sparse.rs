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
        operands: &[&Value],
        _: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let (ids, values) = (values::tensor(operands, 0)?, values::tensor(operands, 1)?);
        let rows = values::size(&self.rows, dims)?;
        // Whoever reads or writes by the ids brings them to the rows there are.
        Ok(vec![Value::RowSparse { rows, ids: ids.clone(), values: values.clone() }])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        // The gradient of a row-sparse value is that of the values it lists.
        Ok(vec![None, cx.gradients[0]])
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
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        match operands {
            [Value::RowSparse { ids, values, .. }] => {
                Ok(vec![Value::Tensor(ids.clone()), Value::Tensor(values.clone())])
            }
            _ => Err("operand 0 must be a row-sparse value".to_owned()),
        }
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Ok(vec![cx.gradient(1)])
    }

    fn class(&self) -> Class {
        Class::Injective
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
