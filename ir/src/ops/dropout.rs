//! `dropout`: zeroes elements at random and scales the others.

use super::*;
use crate::dtype::{DType, Literal};

/// `(x, seed i64, step i64) -> x` with each element kept with probability `1 - rate` and then divided by it, else 0: element `i` is dropped where its word of `random` (stream `stream`) is below `rate * 2^32`. `rate` 0 gives `x` itself, bit for bit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dropout {
    /// Probability of zero, f64 in `0..1`.
    pub rate: Literal,
    /// Stream of the draws.
    pub stream: u32,
}

impl OpDef for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn attrs(&self) -> Attrs {
        vec![("rate", literal_attr(self.rate)), ("stream", Attr::Int(i64::from(self.stream)))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x, seed, step] = fixed(tensors("dropout", 3, operands)?);
        if !x.dtype.is_float() || [seed, step].iter().any(|t| t.dtype != DType::I64 || t.rank() != 0) {
            return Err(format!(
                "`dropout` takes a float tensor and i64 scalars for seed and step, {} found",
                list(operands)
            ));
        }
        if !(0.0..1.0).contains(&self.rate.as_f64()) {
            return Err(format!("`dropout` at rate {}; a rate is at least 0 and below 1", self.rate));
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
        Cost { flops: elements(&results[0]), bytes: traffic(operands, results) }
    }
}
