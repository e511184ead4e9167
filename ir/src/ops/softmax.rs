//! `softmax`: exponentials along the last axis that add up to one.

use super::*;

/// `exp(x - max) / sum exp(x - max)` along the last axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Softmax;

impl OpDef for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("softmax", 1, operands)?);
        if !x.dtype.is_float() || x.rank() == 0 {
            return Err(format!(
                "`softmax` takes a float tensor of at least one axis, {} found",
                list(operands)
            ));
        }
        Ok(one(operands[0].clone()))
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
        Class::Composite
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: &elements(&operands[0]) * &4.into(), bytes: traffic(operands, results) }
    }
}
