//! `iota`: positions along an axis, as numbers.

use super::*;
use crate::array::Array;
use crate::dtype::DType;
use crate::types::Shape;

/// Each element is its own position along one axis, as a number of `dtype` (which is not bool); integers wrap,
/// floats round.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Iota {
    /// The sizes.
    pub shape: Shape,
    /// The axis that is counted.
    pub axis: usize,
    /// The element type.
    pub dtype: DType,
}

impl OpDef for Iota {
    fn name(&self) -> &'static str {
        "iota"
    }

    fn attrs(&self) -> Attrs {
        vec![
            ("shape", Attr::Dims(self.shape.to_vec())),
            ("axis", Attr::Int(self.axis as i64)),
            ("dtype", Attr::Word(self.dtype.name().to_owned())),
        ]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        if !operands.is_empty() {
            return Err(format!("`iota` takes no operand, {} found", operands.len()));
        }
        let ty = TensorType::new(self.dtype, self.shape.iter().cloned());
        axis_size("iota", &ty, self.axis)?;
        if self.dtype == DType::Bool {
            return Err("`iota` counts in numbers, bool found".to_owned());
        }
        Ok(one(Type::Tensor(ty)))
    }

    fn eval(
        &self,
        _: &[&Value],
        _: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let shape = values::sizes(&self.shape, dims)?;
        let mut a = Array::zeros(self.dtype, &shape);
        values::positions(&shape, |i, at| a.set(i, Literal::int(self.dtype, at[self.axis] as i64)));
        Ok(vec![Value::Tensor(a)])
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
