//! `reverse`: the elements along axes in the opposite order.

use super::*;

/// Element `i` along each of the axes is element `size - 1 - i` of the operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reverse {
    /// Which axes, ascending.
    pub axes: Axes,
}

impl OpDef for Reverse {
    fn name(&self) -> &'static str {
        "reverse"
    }

    fn attrs(&self) -> Attrs {
        vec![("axes", Attr::Ints(ints(&self.axes)))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("reverse", 1, operands)?);
        ascending("reverse", "axes", &self.axes, x.rank())?;
        Ok(one(operands[0].clone()))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let (shape, strides) = (x.shape(), values::strides(x.shape()));
        let y = values::moved(x, shape, Literal::zero(x.dtype()), |at| {
            let turned = |a: usize| if self.axes.contains(&a) { shape[a] - 1 - at[a] } else { at[a] };
            Some((0..at.len()).map(|a| turned(a) * strides[a]).sum())
        });
        Ok(vec![Value::Tensor(y)])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let rowwise = self.axes.first() != Some(&0);
        Ok(vec![cx.pull(0, rowwise, |graph, dy| graph.emit(self.clone(), &[dy]))])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(Reverse { axes: behind_one(&self.axes) })))
    }

    fn class(&self) -> Class {
        Class::Injective
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
