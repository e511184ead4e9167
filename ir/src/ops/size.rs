//! `size`: a size of the run as a number.

use super::*;
use crate::array::Array;
use crate::dtype::DType;

/// The value that a size has in a run, an i64 scalar.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Which size.
    pub dim: Dim,
}

impl OpDef for Size {
    fn name(&self) -> &'static str {
        "size"
    }

    fn attrs(&self) -> Attrs {
        vec![("dim", Attr::Dims(vec![self.dim.clone()]))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        tensors("size", 0, operands)?;
        Ok(one(Type::scalar(DType::I64)))
    }

    fn eval(
        &self,
        _: &[&Value],
        _: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let value = self.dim.eval(dims);
        let value = value.ok_or_else(|| format!("the size {} has no value in this run", self.dim))?;
        Ok(vec![Value::Tensor(Array::scalar(value))])
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Ok(vec![])
    }

    fn class(&self) -> Class {
        Class::Elementwise
    }

    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: zero_flops() }
    }
}
