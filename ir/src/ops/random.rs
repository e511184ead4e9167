//! `random`: Philox words addressed by element, so that results do not depend on threads.

use super::*;
use crate::dtype::DType;
use crate::types::{Shape, shape_text};

/// Random 32-bit words: element `i` (row-major) is `philox::element_bits(seed, stream, step, i)`. Operands: seed, step (i64 scalars).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Random {
    /// Which stream: different draws of one program have different streams.
    pub stream: u32,
    /// Sizes of the result.
    pub shape: Shape,
}

impl OpDef for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn attrs(&self) -> Attrs {
        vec![("stream", Attr::Int(i64::from(self.stream))), ("shape", Attr::Dims(self.shape.to_vec()))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        for t in tensors("random", 2, operands)? {
            if t.dtype != DType::I64 || t.rank() != 0 {
                return Err(format!(
                    "`random` takes i64 scalars for seed and step, {}{} found",
                    t.dtype,
                    shape_text(&t.shape)
                ));
            }
        }
        Ok(one(Type::tensor(DType::U32, self.shape.iter().cloned())))
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
        Class::Elementwise
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&results[0]), bytes: traffic(operands, results) }
    }
}
