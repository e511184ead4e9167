//! `after`: a value that is not there before another one is.

use super::*;

/// `(x, y ..) -> x`: the elements of `x`, a value of its own, which is computed after every `y`. What is computed of it is
/// computed again, not kept since before: so memory is saved by work done twice, and work on parts of a large value is
/// done one part after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct After;

impl OpDef for After {
    fn name(&self) -> &'static str {
        "after"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let all = tensors("after", operands.len().max(2), operands)?;
        Ok(one(Type::Tensor(all[0].clone())))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        Ok(vec![Value::Tensor(values::tensor(operands, 0)?.clone())])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let mut gradients = vec![None; cx.operands.len()];
        gradients[0] = cx.gradients[0];
        Ok(gradients)
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Injective
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(&operands[..1], results) }
    }
}
