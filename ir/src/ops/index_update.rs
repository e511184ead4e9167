//! `index_update`: elements, or blocks of them, at computed positions get other values.

use super::index::{Index, blocks, check_coordinates};
use super::*;
use crate::array::Array;
use crate::dtype::DType;
use crate::scalar::{ReduceOp, ScalarOp, combine};
use crate::types::Shape;

/// `(x [d0, .., dq-1, rest..], i0 [s..], .., iq-1 [s..], u [s.., rest..]) -> x` with the blocks of `u`, one after
/// the other in row-major order of their positions, put in place of what stands at `[i0[p], .., iq-1[p]]`, or
/// combined with it. Where several blocks name one place, the last one stays, or all are combined in order.
///
/// Coordinates that are beyond their axes count as in [`Index`]; where an axis that is
/// indexed is empty, nothing is put anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IndexUpdate {
    /// How a block is combined with what stands there; `None` puts it in its place.
    pub op: Option<ReduceOp>,
}

impl OpDef for IndexUpdate {
    fn name(&self) -> &'static str {
        "index_update"
    }

    fn attrs(&self) -> Attrs {
        vec![("op", Attr::Word(self.op.map_or("set", ReduceOp::name).to_owned()))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let all = tensors("index_update", operands.len().max(3), operands)?;
        let (x, coordinates, u) = (all[0], &all[1..all.len() - 1], all[all.len() - 1]);
        check_coordinates("index_update", x, coordinates)?;
        let rest = &x.shape[coordinates.len()..];
        let expected = TensorType::new(x.dtype, coordinates[0].shape.iter().chain(rest).cloned());
        if u.dtype != x.dtype {
            return Err(format!("`index_update` of {} by {}; give values of one type", x.dtype, u.dtype));
        }
        if self.op.is_some() {
            not_storage("index_update", x)?;
        }
        if x.dtype == DType::Bool && matches!(self.op, Some(ReduceOp::Sum | ReduceOp::Prod)) {
            return Err("`index_update` adds and multiplies numbers, bool found".to_owned());
        }
        same_shape("index_update", &expected, u)?;
        Ok(one(operands[0].clone()))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let last = operands.len() - 1;
        let (x, u) = (values::tensor(operands, 0)?, values::tensor(operands, last)?);
        let (blocks, _) = blocks(x, &operands[1..last])?;
        let width: usize = x.shape()[last - 1..].iter().product();
        let pairs = blocks.iter().enumerate().filter_map(|(p, b)| b.map(|b| (p, b)));
        let pairs = pairs.flat_map(|(p, b)| (0..width).map(move |i| (p * width + i, b * width + i)));
        // Sums and products of floats are taken in f64.
        let wide = x.dtype().is_float() && matches!(self.op, Some(ReduceOp::Sum | ReduceOp::Prod));
        let mut y = if wide { Array::from_f64(DType::F64, x.shape(), &x.to_f64()) } else { x.clone() };
        for (from, to) in pairs {
            let new = if wide { Literal::float(DType::F64, u.get(from).as_f64()) } else { u.get(from) };
            let value = self.op.map_or(new, |op| combine(op, y.get(to), new));
            y.set(to, value);
        }
        let y = if wide { Array::from_f64(x.dtype(), x.shape(), &y.to_f64()) } else { y };
        Ok(vec![Value::Tensor(y)])
    }

    /// Of an extreme: equal shares for all that equal it, as for reductions. Of values that were put in place:
    /// the last block at a place has the gradient.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let mut gradients = vec![None; cx.operands.len()];
        let last = cx.operands.len() - 1;
        let Some(dy) = cx.gradient(0) else { return Ok(gradients) };
        let graph = &mut *cx.graph;
        let (x, u, y) = (cx.operands[0], cx.operands[last], cx.results[0]);
        let at = &cx.operands[1..last];
        let (dx, du) = match self.op {
            Some(ReduceOp::Sum) => (dy, read(graph, dy, at)),
            None => {
                let zero = graph.fill_like(u, 0.0);
                let dx = written(graph, None, dy, at, zero);
                let du = read(graph, dy, at);
                let stays = stays(graph, x, at);
                let axes = (0..graph.shape_of(at[0]).len()).collect();
                let stays = graph.broadcast(stays, graph.shape_of(u), axes);
                (dx, graph.map(ScalarOp::Select, &[stays, du, zero]))
            }
            Some(ReduceOp::Max | ReduceOp::Min) => {
                let dtype = graph.dtype_of(x);
                let whole = graph.map(ScalarOp::Eq, &[x, y]);
                let extreme = read(graph, y, at);
                let part = graph.map(ScalarOp::Eq, &[u, extreme]);
                let (own, others) = (graph.cast(whole, dtype), graph.cast(part, dtype));
                let count = written(graph, Some(ReduceOp::Sum), own, at, others);
                let share = graph.map(ScalarOp::Div, &[dy, count]);
                let (zero_x, zero_u) = (graph.fill_like(x, 0.0), graph.fill_like(u, 0.0));
                let share_u = read(graph, share, at);
                let dx = graph.map(ScalarOp::Select, &[whole, share, zero_x]);
                (dx, graph.map(ScalarOp::Select, &[part, share_u, zero_u]))
            }
            Some(ReduceOp::Prod) => {
                return Err(Nondifferentiable(
                    "the derivative of `index_update` by products is not written: it needs, for each block, the \
                     product of the others at its place; reduce over an axis instead"
                        .to_owned(),
                ));
            }
        };
        gradients[0] = Some(dx);
        gradients[last] = Some(du);
        Ok(gradients)
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        let mut operands = cx.all();
        let slices = cx.numbers(1, cx.graph.dtype_of(operands[1]));
        operands.insert(1, slices);
        Ok(Some(vec![cx.graph.emit(self.clone(), &operands)]))
    }

    fn class(&self) -> Class {
        Class::Scatter
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        let flops = self.op.map_or_else(zero_flops, |_| elements(&operands[operands.len() - 1]));
        Cost { flops, bytes: traffic(operands, results) }
    }
}

/// What stands at coordinates.
fn read(graph: &mut Graph, from: Operand, at: &[Operand]) -> Operand {
    graph.emit(Index, &[&[from], at].concat())
}

/// A value with others written at coordinates.
fn written(graph: &mut Graph, op: Option<ReduceOp>, to: Operand, at: &[Operand], by: Operand) -> Operand {
    graph.emit(IndexUpdate { op }, &[&[to], at, &[by]].concat())
}

/// Which blocks no later one takes the place of: each writes its number where it stands and finds it there again.
fn stays(graph: &mut Graph, x: Operand, at: &[Operand]) -> Operand {
    let shape = graph.shape_of(at[0]);
    let count = crate::types::product(&shape);
    let numbers = graph.iota(Shape::from_iter([count]), 0, DType::I32);
    let numbers = graph.reshape(numbers, shape);
    let indexed = graph.shape_of(x).into_iter().take(at.len());
    let none = graph.fill(Literal::int(DType::I32, -1), indexed);
    let whose = written(graph, None, none, at, numbers);
    let whose = read(graph, whose, at);
    graph.map(ScalarOp::Eq, &[whose, numbers])
}
