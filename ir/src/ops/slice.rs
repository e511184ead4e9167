//! `slice`: a part of one axis.

use super::pad::Pad;
use super::*;
use crate::dim::{Dim, Proof};

/// Elements `start, start + step, ..` below `end` along one axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// Which axis.
    pub axis: usize,
    /// First position.
    pub start: Dim,
    /// End, exclusive.
    pub end: Dim,
    /// Distance, positive.
    pub step: i64,
}

impl OpDef for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn attrs(&self) -> Attrs {
        vec![
            ("axis", Attr::Int(self.axis as i64)),
            ("range", Attr::Dims(vec![self.start.clone(), self.end.clone()])),
            ("step", Attr::Int(self.step)),
        ]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("slice", 1, operands)?);
        let size = axis_size("slice", x, self.axis)?;
        if self.step < 1 {
            return Err(format!("`slice` steps by {}; steps are positive", self.step));
        }
        let zero = Dim::constant(0);
        for (lo, hi, what) in [
            (&zero, &self.start, "its start is negative"),
            (&self.start, &self.end, "its start is beyond its end"),
            (&self.end, size, "it ends beyond the axis"),
        ] {
            if lo.le(hi) != Proof::True {
                return Err(format!(
                    "`slice` {}..{} of axis {} with {size} positions: {what}, or cannot be shown not to be",
                    self.start, self.end, self.axis
                ));
            }
        }
        let mut shape = x.shape.clone();
        shape[self.axis] = (&self.end - &self.start).ceil_div(self.step);
        Ok(one(Type::tensor(x.dtype, shape)))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let (start, end) = (values::size(&self.start, dims)?, values::size(&self.end, dims)?);
        let step = usize::try_from(self.step).map_err(|_| format!("`slice` steps by {}", self.step))?;
        let strides = values::strides(x.shape());
        let mut shape = x.shape().to_vec();
        shape[self.axis] = (end - start).div_ceil(step);
        let y = values::moved(x, &shape, Literal::zero(x.dtype()), |at| {
            let along = start + at[self.axis] * (step - 1);
            Some(values::flat(at, &strides) + along * strides[self.axis])
        });
        Ok(vec![Value::Tensor(y)])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        // From `start` on: the gradient, each element followed by `step - 1` zeros.
        let behind = &cx.graph.tensor(cx.operands[0]).shape[self.axis] - &self.start;
        let spread = match self.step {
            1 => &self.end - &self.start,
            step => &cx.graph.tensor(cx.results[0]).shape[self.axis] * &step.into(),
        };
        // The last of those zeros may lie beyond the end of the operand.
        let fits = spread.le(&behind) == Proof::True;
        if !fits && behind.le(&spread) != Proof::True {
            return Err(Nondifferentiable(format!(
                "the gradient of a `slice` by steps of {} needs sizes that decide whether {spread} \
                 positions fit into {behind}; slice with step 1, or declare sizes that decide it",
                self.step
            )));
        }
        Ok(vec![cx.pull(0, self.axis > 0, |graph, dy| {
            let value = Literal::zero(graph.dtype_of(dy));
            let (mut dx, mut size) = (self.spread(graph, dy), spread);
            if !fits {
                let inside = Slice { axis: self.axis, start: 0.into(), end: behind.clone(), step: 1 };
                (dx, size) = (graph.emit(inside, &[dx]), behind.clone());
            }
            let (before, after) = (self.start.clone(), &behind - &size);
            if before == 0.into() && after == 0.into() {
                return dx;
            }
            graph.emit(Pad { axis: self.axis, before, after, value }, &[dx])
        })])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(Slice { axis: self.axis + 1, ..self.clone() })))
    }

    fn class(&self) -> Class {
        Class::Injective
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}

impl Slice {
    /// Each element followed by `step - 1` zeros, by way of an axis of its own.
    fn spread(&self, graph: &mut Graph, x: Operand) -> Operand {
        if self.step == 1 {
            return x;
        }
        let (axis, step, mut shape) = (self.axis + 1, Dim::from(self.step), graph.shape_of(x));
        shape.insert(axis, 1.into());
        let apart = graph.reshape(x, shape.clone());
        let value = Literal::zero(graph.dtype_of(x));
        let padded = graph.emit(Pad { axis, before: 0.into(), after: &step - &1.into(), value }, &[apart]);
        shape.remove(axis);
        shape[self.axis] = &shape[self.axis] * &step;
        graph.reshape(padded, shape)
    }
}
