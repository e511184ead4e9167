//! `permute`: puts axes in another order.

use super::*;

/// Axis `i` of the result is axis `axes[i]` of the operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Permute {
    /// A permutation of the axes.
    pub axes: Axes,
}

impl OpDef for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn attrs(&self) -> Attrs {
        vec![("axes", Attr::Ints(ints(&self.axes)))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("permute", 1, operands)?);
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        if sorted.iter().copied().ne(0..x.rank()) {
            return Err(format!(
                "`permute` needs each of the axes 0..{} once, {:?} found",
                x.rank(),
                self.axes.as_slice()
            ));
        }
        Ok(one(Type::tensor(x.dtype, self.axes.iter().map(|a| x.shape[*a].clone()))))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let strides = values::strides(x.shape());
        let shape: Vec<usize> = self.axes.iter().map(|a| x.shape()[*a]).collect();
        let y = values::moved(x, &shape, Literal::zero(x.dtype()), |at| {
            Some(values::flat(at, self.axes.iter().map(|a| &strides[*a])))
        });
        Ok(vec![Value::Tensor(y)])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let mut inverse: Axes = self.axes.clone();
        for (i, a) in self.axes.iter().enumerate() {
            inverse[*a] = i;
        }
        let rowwise = self.axes.first() == Some(&0);
        Ok(vec![cx.pull(0, rowwise, |graph, dy| graph.permute(dy, inverse))])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        let axes = std::iter::once(0).chain(behind_one(&self.axes)).collect();
        Ok(Some(cx.same(Permute { axes })))
    }

    fn class(&self) -> Class {
        Class::Injective
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
