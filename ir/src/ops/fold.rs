//! `fold`: what stands at each position of a window is added up where the window saw it: the adjoint of `windows`.

use super::spread::Spread;
use super::windows::{Window, Windows};
use super::*;
use crate::types::{Shape, shape_text};

/// `(g [.., positions.., kernel..]) -> [.., s..]`: each element of the result is the sum of those that a window over
/// it has there, in the order of the window; what stands beyond is left out. Composite: `spread`, then a sum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fold {
    /// The window.
    pub window: Window,
    /// The sizes of the axes that it moves along.
    pub shape: Shape,
}

impl OpDef for Fold {
    fn name(&self) -> &'static str {
        "fold"
    }

    fn attrs(&self) -> Attrs {
        let mut attrs = self.window.attrs();
        attrs.push(("shape", Attr::Dims(self.shape.to_vec())));
        attrs
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let (g, lead) = folded("fold", &self.window, &self.shape, operands)?;
        not_storage("fold", g)?;
        Ok(one(Type::tensor(g.dtype, g.shape[..lead].iter().chain(&self.shape).cloned())))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let g = values::tensor(operands, 0)?;
        let (w, n) = (&self.window, self.window.axes());
        let lead = g.shape().len() - 2 * n;
        let mut shape = g.shape()[..lead].to_vec();
        shape.extend(values::sizes(&self.shape, dims)?);
        let strides = values::strides(&shape);
        let mut sums = values::Sums::zeros(g.dtype(), shape.iter().product());
        values::positions(g.shape(), |i, at| {
            let mut to = values::flat(&at[..lead], &strides);
            for axis in 0..n {
                match w.sees(axis, at[lead + axis], at[lead + n + axis], shape[lead + axis]) {
                    Some(seen) => to += seen * strides[lead + axis],
                    None => return,
                }
            }
            sums.add(to, g.get(i));
        });
        Ok(vec![Value::Tensor(sums.array(&shape))])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let lead = cx.graph.tensor(cx.operands[0]).rank() - 2 * self.window.axes();
        Ok(vec![cx.pull(0, lead > 0, |graph, dy| {
            let value = Literal::zero(graph.dtype_of(dy));
            graph.emit(Windows { window: self.window.clone(), value }, &[dy])
        })])
    }

    fn body(
        &self,
        graph: &mut Graph,
        operands: &[Operand],
    ) -> Option<Result<Vec<Operand>, crate::diag::Diag>> {
        let rank = graph.tensor(operands[0]).rank();
        let spread = Spread { window: self.window.clone(), shape: self.shape.clone() };
        let spread = graph.emit(spread, operands);
        Some(Ok(vec![graph.reduce(ReduceOp::Sum, spread, (rank - self.window.axes()..rank).collect())]))
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Composite
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&operands[0]), bytes: traffic(operands, results) }
    }
}

/// The operand of an op that folds, and how many axes stand in front of the positions of the window.
pub(super) fn folded<'a>(
    name: &str,
    window: &Window,
    shape: &[Dim],
    operands: &'a [Type],
) -> Result<(&'a TensorType, usize), String> {
    let [g] = fixed(tensors(name, 1, operands)?);
    let positions = window.positions(name, shape)?;
    let expected: Vec<Dim> = positions.into_iter().chain(window.sizes()).collect();
    let lead = g.rank().checked_sub(expected.len());
    let fits = lead
        .is_some_and(|lead| g.shape[lead..].iter().zip(&expected).all(|(a, b)| a.eq_proof(b) == Proof::True));
    match lead {
        Some(lead) if fits && g.dtype != crate::dtype::DType::Bool && !g.dtype.is_storage() => Ok((g, lead)),
        _ => Err(format!(
            "`{name}` onto {} takes numbers whose last axes are {}: positions of the window and what it sees; {}{} \
             found",
            shape_text(shape),
            shape_text(&expected),
            g.dtype,
            shape_text(&g.shape)
        )),
    }
}
