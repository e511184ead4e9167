//! `log_sum_exp`: the logarithm of a sum of exponentials, without overflow.

use super::*;

/// `max + log sum exp(x - max)` along the last axis, which the result no longer has; `-inf` where every element is `-inf`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogSumExp;

impl OpDef for LogSumExp {
    fn name(&self) -> &'static str {
        "log_sum_exp"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("log_sum_exp", 1, operands)?);
        if !x.dtype.is_float() || x.rank() == 0 {
            return Err(format!(
                "`log_sum_exp` takes a float tensor of at least one axis, {} found",
                list(operands)
            ));
        }
        Ok(one(Type::tensor(x.dtype, x.shape[..x.rank() - 1].iter().cloned())))
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
