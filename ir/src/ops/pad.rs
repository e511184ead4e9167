//! `pad`: a constant before and after one axis.

use super::slice::Slice;
use super::*;
use crate::dim::Dim;
use crate::dtype::Literal;

/// Puts `before` and `after` constants around the elements of one axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    /// Which axis.
    pub axis: usize,
    /// How many in front.
    pub before: Dim,
    /// How many behind.
    pub after: Dim,
    /// The constant, of the element type of the operand.
    pub value: Literal,
}

impl OpDef for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn attrs(&self) -> Attrs {
        vec![
            ("axis", Attr::Int(self.axis as i64)),
            ("sizes", Attr::Dims(vec![self.before.clone(), self.after.clone()])),
            ("value", literal_attr(self.value)),
        ]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("pad", 1, operands)?);
        let size = axis_size("pad", x, self.axis)?;
        if self.value.dtype() != x.dtype {
            return Err(format!(
                "`pad` of {} with a {} constant; give one of the same element type",
                x.dtype,
                self.value.dtype()
            ));
        }
        if self.before.lower() < 0 || self.after.lower() < 0 {
            return Err(format!("`pad` by {} and {}: sizes may not be negative", self.before, self.after));
        }
        let mut shape = x.shape.clone();
        shape[self.axis] = &(size + &self.before) + &self.after;
        Ok(one(Type::tensor(x.dtype, shape)))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let (before, after) = (values::size(&self.before, dims)?, values::size(&self.after, dims)?);
        let (strides, size) = (values::strides(x.shape()), x.shape()[self.axis]);
        let mut shape = x.shape().to_vec();
        shape[self.axis] = before + size + after;
        let y = values::moved(x, &shape, self.value, |at| {
            let inside = (before..before + size).contains(&at[self.axis]);
            inside.then(|| values::flat(at, &strides) - before * strides[self.axis])
        });
        Ok(vec![Value::Tensor(y)])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let end = &self.before + &cx.graph.tensor(cx.operands[0]).shape[self.axis];
        let slice = Slice { axis: self.axis, start: self.before.clone(), end, step: 1 };
        Ok(vec![cx.pull(0, self.axis > 0, |graph, dy| graph.emit(slice, &[dy]))])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(Pad { axis: self.axis + 1, ..self.clone() })))
    }

    fn class(&self) -> Class {
        Class::Injective
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
