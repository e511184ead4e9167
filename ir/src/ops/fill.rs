//! `fill`: a tensor with every element the same constant.

use super::*;
use crate::dim::Dim;
use crate::dtype::Literal;
use crate::types::Shape;

/// A constant tensor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fill {
    /// The element.
    pub value: Literal,
    /// The sizes; empty for a scalar.
    pub shape: Shape,
}

impl OpDef for Fill {
    fn name(&self) -> &'static str {
        "fill"
    }

    fn attrs(&self) -> Attrs {
        vec![("value", literal_attr(self.value)), ("shape", Attr::Dims(self.shape.to_vec()))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        if !operands.is_empty() {
            return Err(format!("a fill takes no operand, {} found", operands.len()));
        }
        Ok(Types::from_iter([Type::tensor(self.value.dtype(), self.shape.iter().cloned())]))
    }

    fn eval(
        &self,
        _: &[&Value],
        _: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        Ok(vec![Value::Tensor(values::filled(self.value, &values::sizes(&self.shape, dims)?))])
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Ok(vec![])
    }

    fn class(&self) -> Class {
        Class::Elementwise
    }

    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        Cost { flops: Dim::constant(0), bytes: Dim::constant(0) }
    }
}
