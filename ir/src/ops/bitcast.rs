//! `bitcast`: the same bits in another element type.

use super::*;
use crate::array::Array;
use crate::dtype::DType;
use crate::types::shape_text;

/// The bits of each element as they lie in memory, as an element of another type of the same size; to bool is `!= 0`.
/// Which of many bit patterns a NaN has is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bitcast {
    /// The element type of the result.
    pub to: DType,
}

impl OpDef for Bitcast {
    fn name(&self) -> &'static str {
        "bitcast"
    }

    fn attrs(&self) -> Attrs {
        vec![("to", Attr::Word(self.to.name().to_owned()))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("bitcast", 1, operands)?);
        if x.dtype.size() != self.to.size() {
            return Err(format!(
                "`bitcast` to {}, which has not as many bits as the elements of {}{}",
                self.to,
                x.dtype,
                shape_text(&x.shape)
            ));
        }
        Ok(one(Type::tensor(self.to, x.shape.iter().cloned())))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let mut y = Array::zeros(self.to, x.shape());
        for i in 0..x.len() {
            y.set(i, crate::scalar::reinterpret(x.get(i), self.to));
        }
        Ok(vec![Value::Tensor(y)])
    }

    /// Bits of another type are steps; those of the same type are the number itself.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let same = cx.graph.dtype_of(cx.operands[0]) == self.to;
        Ok(vec![if same { cx.pull(0, true, |_, dy| dy) } else { None }])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Elementwise
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
