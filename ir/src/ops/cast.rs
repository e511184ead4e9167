//! `cast`: the same numbers in another element type.

use super::*;
use crate::array::Array;
use crate::dtype::DType;

/// Converts every element: float to int truncates and saturates (NaN gives 0), int to int wraps, to bool is `!= 0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cast {
    /// The element type of the result.
    pub to: DType,
}

impl OpDef for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn attrs(&self) -> Attrs {
        vec![("to", Attr::Word(self.to.name().to_owned()))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("cast", 1, operands)?);
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
            y.set(i, crate::scalar::convert(x.get(i), self.to));
        }
        Ok(vec![Value::Tensor(y)])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let from = cx.graph.dtype_of(cx.operands[0]);
        if !from.is_real() || !self.to.is_real() {
            return Ok(vec![None]);
        }
        Ok(vec![cx.pull(0, true, |graph, dy| graph.cast(dy, from))])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Elementwise
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&results[0]), bytes: traffic(operands, results) }
    }
}
