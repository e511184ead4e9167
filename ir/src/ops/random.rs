//! `random`: Philox words addressed by element, so that results do not depend on threads.

use super::*;
use crate::array::Array;
use crate::dtype::DType;
use crate::philox;
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
        operands: &[&Value],
        _: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let word = words(operands[0], operands[1], self.stream)?;
        let shape = values::sizes(&self.shape, dims)?;
        let count: usize = shape.iter().product();
        let all: Vec<u32> = (0..count).map(word).collect();
        Ok(vec![Value::Tensor(Array::from_slice(&shape, &all))])
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Ok(vec![None, None])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        let _ = cx;
        Err("`random` draws by one seed and one step, which cannot differ within a batch".to_owned())
    }

    fn class(&self) -> Class {
        Class::Elementwise
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&results[0]), bytes: traffic(operands, results) }
    }
}

/// The word of each element, given the seed and the step.
pub(super) fn words(seed: &Value, step: &Value, stream: u32) -> Result<impl Fn(usize) -> u32, EvalError> {
    let operands = [seed, step];
    let seed = values::tensor(&operands, 0)?.get(0).as_i64() as u64;
    let step = values::tensor(&operands, 1)?.get(0).as_i64() as u32;
    Ok(move |i| philox::element_bits(seed, stream, step, i as u64))
}
