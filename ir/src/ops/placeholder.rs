//! `placeholder`: the argument of a function that is described in the graph.

use super::*;
use crate::array::Array;

/// A value that stands for an argument while a function of it is written into the graph: the gradient of a result in
/// a gradient by hand, one of many in a batch. Whoever uses the function puts values in its place; by itself it is
/// zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Placeholder {
    /// Tells placeholders of one type apart.
    pub id: u32,
    /// Its type, a tensor.
    pub ty: Type,
}

impl OpDef for Placeholder {
    fn name(&self) -> &'static str {
        "placeholder"
    }

    fn attrs(&self) -> Attrs {
        vec![("id", Attr::Int(i64::from(self.id))), ("type", Attr::Type(self.ty.clone()))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        if !operands.is_empty() || self.ty.as_tensor().is_none() {
            let found = list(operands);
            return Err(format!("`placeholder` is a tensor and takes nothing, {} of {found} found", self.ty));
        }
        Ok(one(self.ty.clone()))
    }

    fn eval(
        &self,
        _: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let t = types[0].as_tensor().ok_or("a placeholder is a tensor")?;
        Ok(vec![Value::Tensor(Array::zeros(t.dtype, &values::sizes(&t.shape, dims)?))])
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Ok(vec![])
    }

    fn body(&self, graph: &mut Graph, _: &[Operand]) -> Option<Result<Vec<Operand>, crate::diag::Diag>> {
        let t = self.ty.as_tensor()?;
        Some(Ok(vec![graph.fill(Literal::zero(t.dtype), t.shape.iter().cloned())]))
    }

    fn class(&self) -> Class {
        Class::Composite
    }

    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: zero_flops() }
    }
}
