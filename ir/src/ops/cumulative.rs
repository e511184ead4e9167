//! `cumulative`: what reductions have combined up to each element.

use super::*;
use crate::array::Array;
use crate::dtype::DType;
use crate::scalar::{ReduceOp, ScalarOp, combine};

/// Element `i` along an axis is the combination of the elements `0..=i`; of `0..i` where `exclusive`, so that the
/// first is the identity. In `reverse` the axis is walked from its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cumulative {
    /// How elements combine.
    pub op: ReduceOp,
    /// The axis that is walked.
    pub axis: usize,
    /// Whether the element itself is left out.
    pub exclusive: bool,
    /// Whether the walk begins at the end of the axis.
    pub reverse: bool,
}

impl OpDef for Cumulative {
    fn name(&self) -> &'static str {
        "cumulative"
    }

    fn attrs(&self) -> Attrs {
        vec![
            ("op", Attr::Word(self.op.name().to_owned())),
            ("axis", Attr::Int(self.axis as i64)),
            ("exclusive", Attr::Int(i64::from(self.exclusive))),
            ("reverse", Attr::Int(i64::from(self.reverse))),
        ]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("cumulative", 1, operands)?);
        axis_size("cumulative", x, self.axis)?;
        not_storage("cumulative", x)?;
        if x.dtype == DType::Bool && matches!(self.op, ReduceOp::Sum | ReduceOp::Prod) {
            return Err(format!(
                "`cumulative` takes numbers for {}, bool found; insert a cast, or use max or min",
                self.op.name()
            ));
        }
        Ok(one(operands[0].clone()))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let (size, step) = (x.shape()[self.axis], values::strides(x.shape())[self.axis]);
        // Sums and products of floats are taken in f64.
        let wide = x.dtype().is_float() && matches!(self.op, ReduceOp::Sum | ReduceOp::Prod);
        let dtype = if wide { DType::F64 } else { x.dtype() };
        let mut y = Array::zeros(x.dtype(), x.shape());
        for first in (0..x.len()).filter(|i| i / step % size == 0) {
            let mut so_far = self.op.identity(dtype);
            for i in 0..size {
                let at = first + step * if self.reverse { size - 1 - i } else { i };
                let element = if wide { Literal::float(dtype, x.get(at).as_f64()) } else { x.get(at) };
                let next = combine(self.op, so_far, element);
                y.set(at, if self.exclusive { so_far } else { next });
                so_far = next;
            }
        }
        Ok(vec![Value::Tensor(y)])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let (x, y) = (cx.operands[0], cx.results[0]);
        Ok(vec![cx.pull(0, false, |graph, dy| match self.op {
            ReduceOp::Sum => self.back(graph, dy),
            ReduceOp::Prod => self.product_vjp(graph, x, y, dy),
            ReduceOp::Max | ReduceOp::Min => self.extreme_vjp(graph, x, dy),
        })])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(Cumulative { axis: self.axis + 1, ..self.clone() })))
    }

    fn class(&self) -> Class {
        Class::Opaque
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&operands[0]), bytes: traffic(operands, results) }
    }
}

impl Cumulative {
    /// The sums that go the other way: the transpose of the sums.
    fn back(&self, graph: &mut Graph, dy: Operand) -> Operand {
        graph.emit(Cumulative { op: ReduceOp::Sum, reverse: !self.reverse, ..self.clone() }, &[dy])
    }

    /// The gradient of products: the sums of `dy y` behind an element, divided by the element. The first zero of a
    /// walk, behind which every product is 0, has the products without it; the zeros behind it have none. The
    /// derivative of this rule itself is right only where no element is zero.
    fn product_vjp(&self, graph: &mut Graph, x: Operand, y: Operand, dy: Operand) -> Operand {
        let dtype = graph.dtype_of(x);
        let (zero, one) = (graph.fill_like(x, 0.0), graph.fill_like(x, 1.0));
        let is_zero = graph.map(ScalarOp::Eq, &[x, zero]);
        let ones = graph.cast(is_zero, dtype);
        let count = Cumulative { op: ReduceOp::Sum, exclusive: true, ..self.clone() };
        let before = graph.emit(count, &[ones]);
        let none = graph.map(ScalarOp::Eq, &[before, zero]);
        let first = graph.map(ScalarOp::And, &[is_zero, none]);
        let spared = graph.map(ScalarOp::Select, &[first, one, x]);
        let without = graph.emit(self.clone(), &[spared]);
        let nonzero = graph.map(ScalarOp::Select, &[is_zero, one, x]);
        let [all, without] = [y, without].map(|products| {
            let part = graph.map(ScalarOp::Mul, &[dy, products]);
            self.back(graph, part)
        });
        let all = graph.map(ScalarOp::Div, &[all, nonzero]);
        graph.map(ScalarOp::Select, &[first, without, all])
    }

    /// The gradient of extremes: each is an element of `x`, the last one before it, or itself, that was beyond all
    /// that came before; of equal ones the first of the walk.
    fn extreme_vjp(&self, graph: &mut Graph, x: Operand, dy: Operand) -> Operand {
        let shape = graph.shape_of(x);
        let before = graph.emit(Cumulative { exclusive: true, ..self.clone() }, &[x]);
        let beyond = if self.op == ReduceOp::Max { ScalarOp::Gt } else { ScalarOp::Lt };
        let new = graph.map(beyond, &[x, before]);
        let at = graph.iota(shape.clone(), self.axis, DType::I64);
        let latest = if self.reverse { ReduceOp::Min } else { ReduceOp::Max };
        let none = graph.fill(latest.identity(DType::I64), shape);
        let at = graph.map(ScalarOp::Select, &[new, at, none]);
        let at = graph.emit(Cumulative { op: latest, ..self.clone() }, &[at]);
        // Before the first element there is none.
        let some = graph.map(ScalarOp::Ne, &[at, none]);
        let zero = graph.fill_like(x, 0.0);
        let dy = graph.map(ScalarOp::Select, &[some, dy, zero]);
        match graph.scatter_elements(zero, at, dy, self.axis as i64, Some(ReduceOp::Sum)) {
            Ok(dx) => dx,
            Err(e) => unreachable!("positions of its own elements: {e}"),
        }
    }
}
