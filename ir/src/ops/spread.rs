//! `spread`: what stands at each position of a window, put where the window saw it.

use super::fold::folded;
use super::index::Index;
use super::windows::Window;
use super::*;
use crate::dtype::DType;
use crate::scalar::ScalarOp;
use crate::types::{Shape, product};

/// `(g [.., positions.., kernel..]) -> [.., s.., kernel..]`: at place `s` and offset `k` stands what the window has at
/// offset `k` where it sees `s` there, or 0 where it never does. The sum over the offsets is `fold`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spread {
    /// The window.
    pub window: Window,
    /// The sizes of the axes that it moves along.
    pub shape: Shape,
}

impl OpDef for Spread {
    fn name(&self) -> &'static str {
        "spread"
    }

    fn attrs(&self) -> Attrs {
        let mut attrs = self.window.attrs();
        attrs.push(("shape", Attr::Dims(self.shape.to_vec())));
        attrs
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let (g, lead) = folded("spread", &self.window, &self.shape, operands)?;
        let shape = g.shape[..lead].iter().chain(&self.shape).cloned().chain(self.window.sizes());
        Ok(one(Type::tensor(g.dtype, shape)))
    }

    fn eval(
        &self,
        operands: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let g = values::tensor(operands, 0)?;
        let shape = values::result_sizes(types, 0, dims)?;
        let (w, n, strides) = (&self.window, self.window.axes(), values::strides(g.shape()));
        let lead = shape.len() - 2 * n;
        let y = values::moved(g, &shape, Literal::zero(g.dtype()), |at| {
            let mut from = values::flat(&at[..lead], &strides);
            for axis in 0..n {
                let k = at[lead + n + axis];
                let ahead = at[lead + axis] as i64 + w.before[axis] - k as i64 * w.dilation[axis];
                let position = usize::try_from(ahead / w.stride[axis]).ok()?;
                let seen = ahead >= 0 && ahead % w.stride[axis] == 0 && position < g.shape()[lead + axis];
                from += seen.then(|| position * strides[lead + axis] + k * strides[lead + n + axis])?;
            }
            Some(from)
        });
        Ok(vec![Value::Tensor(y)])
    }

    /// Each element that is put somewhere takes what stands there.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(dy) = cx.gradient(0) else { return Ok(vec![None]) };
        let graph = &mut *cx.graph;
        let (w, n) = (&self.window, self.window.axes());
        let whole = graph.shape_of(cx.operands[0]);
        let lead = whole.len() - 2 * n;
        let before = product(&whole[..lead]);
        let with =
            |shape: &[Dim]| std::iter::once(before.clone()).chain(shape.iter().cloned()).collect::<Shape>();
        let shape = with(&whole[lead..]);
        let spread = graph.shape_of(dy);
        let dy = graph.reshape(dy, with(&spread[lead..]));
        let mut inside: Option<Operand> = None;
        let mut coordinates = vec![dy, graph.iota(shape.clone(), 0, DType::I32)];
        for axis in 0..n {
            let [o, k] = [1 + axis, 1 + n + axis].map(|a| graph.iota(shape.clone(), a, DType::I32));
            let [by, apart, back] = [w.stride[axis], w.dilation[axis], w.before[axis]]
                .map(|v| graph.fill(Literal::int(DType::I32, v), shape.clone()));
            let (o, k) = (graph.map(ScalarOp::Mul, &[o, by]), graph.map(ScalarOp::Mul, &[k, apart]));
            let ahead = graph.map(ScalarOp::Add, &[o, k]);
            let seen = graph.map(ScalarOp::Sub, &[ahead, back]);
            let clamped = graph.within(seen, &self.shape[axis]);
            let same = graph.map(ScalarOp::Eq, &[seen, clamped]);
            inside = Some(match inside {
                None => same,
                Some(others) => graph.map(ScalarOp::And, &[others, same]),
            });
            coordinates.push(clamped);
        }
        for axis in 0..n {
            coordinates.push(graph.iota(shape.clone(), 1 + n + axis, DType::I32));
        }
        let dx = graph.emit(Index, &coordinates);
        let zero = graph.fill_like(dx, 0.0);
        let dx = inside.map_or(dx, |inside| graph.map(ScalarOp::Select, &[inside, dx, zero]));
        Ok(vec![Some(graph.reshape(dx, whole))])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Injective
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
