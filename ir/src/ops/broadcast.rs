//! `broadcast`: repeats a tensor along new axes.

use super::*;
use crate::scalar::ReduceOp;
use crate::types::{Shape, shape_text};

/// Axis `i` of the operand becomes axis `axes[i]` of the result; along the other axes elements repeat.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broadcast {
    /// Sizes of the result.
    pub shape: Shape,
    /// Where the axes of the operand go, ascending.
    pub axes: Axes,
}

impl OpDef for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn attrs(&self) -> Attrs {
        vec![("shape", Attr::Dims(self.shape.to_vec())), ("axes", Attr::Ints(ints(&self.axes)))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("broadcast", 1, operands)?);
        ascending("broadcast", "axes", &self.axes, self.shape.len())?;
        if self.axes.len() != x.rank() {
            return Err(format!(
                "`broadcast` places {} axes, the operand has {}: {}",
                self.axes.len(),
                x.rank(),
                shape_text(&x.shape)
            ));
        }
        for (i, a) in self.axes.iter().enumerate() {
            same_dim(
                "broadcast",
                &format!("axis {i} of the operand"),
                &x.shape[i],
                &format!("axis {a} of the result"),
                &self.shape[*a],
            )?;
        }
        Ok(one(Type::tensor(x.dtype, self.shape.iter().cloned())))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let strides = values::strides(x.shape());
        let shape = values::sizes(&self.shape, dims)?;
        let zero = Literal::zero(x.dtype());
        let y = values::moved(x, &shape, zero, |at| {
            Some(values::flat(self.axes.iter().map(|a| &at[*a]), &strides))
        });
        Ok(vec![Value::Tensor(y)])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let repeated = (0..self.shape.len()).filter(|a| !self.axes.contains(a)).collect();
        let rowwise = self.axes.first() == Some(&0);
        Ok(vec![cx.pull(0, rowwise, |graph, dy| graph.reduce(ReduceOp::Sum, dy, repeated))])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        let (x, shape) = (cx.lead(0), cx.with_size(&self.shape));
        let axes = std::iter::once(0).chain(behind_one(&self.axes)).collect();
        Ok(Some(vec![cx.graph.broadcast(x, shape, axes)]))
    }

    fn class(&self) -> Class {
        Class::Injective
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
