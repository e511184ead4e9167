//! `segment_sum` and its kin: rows combined segment by segment.

use super::elementwise::Elementwise;
use super::gather_rows::GatherRows;
use super::iota::Iota;
use super::row_sparse::RowSparse;
use super::segment_ids::{self, spread};
use super::*;
use crate::dtype::DType;
use crate::scalar::{ScalarOp, combine};

/// `(indptr i32 [rows + 1], order i32 [n], values [m, ..]) -> [rows, ..]`: row `r` is the sum (the greatest, the
/// least element) of `values[order[e]]` for `e` in `indptr[r]..indptr[r + 1]`, in that order; the identity where
/// there is none. Sums take weights `[n]` as a fourth operand: `weights[e] * values[order[e]]`.
///
/// Segments are made by [`segments`] or by a pattern ([`csr_array`]). Pointers and
/// positions that are given must be in bounds; computed ones are brought to the nearest. A pointer that descends is an
/// error of the data; a compiled program takes such a segment as empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SegmentReduce {
    /// How elements are combined: a sum or an extreme.
    pub op: ReduceOp,
}

impl OpDef for SegmentReduce {
    fn name(&self) -> &'static str {
        match self.op {
            ReduceOp::Sum => "segment_sum",
            ReduceOp::Prod => "segment_prod",
            ReduceOp::Max => "segment_max",
            ReduceOp::Min => "segment_min",
        }
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let name = self.name();
        let weighted = self.op == ReduceOp::Sum && operands.len() == 4;
        let all = tensors(name, if weighted { 4 } else { 3 }, operands)?;
        let (indptr, order, values) = (all[0], all[1], all[2]);
        if self.op == ReduceOp::Prod {
            return Err("products of segments are not written; take sums of logarithms".to_owned());
        }
        if [indptr, order].iter().any(|t| t.dtype != DType::I32 || t.rank() != 1) || values.rank() == 0 {
            return Err(format!(
                "`{name}` takes i32 row pointers and positions of one axis and values of at least one, {} found",
                list(operands)
            ));
        }
        not_storage(name, values)?;
        // The sum of truth values is whether any of them is true.
        if values.dtype == DType::Bool && self.op != ReduceOp::Sum {
            return Err(format!("`{name}` takes numbers, bool found; insert a cast"));
        }
        if weighted {
            let expected = TensorType::new(values.dtype, [order.shape[0].clone()]);
            if !values.dtype.is_real() || *all[3] != expected {
                return Err(format!(
                    "`{name}` of floats takes weights {}, {} found",
                    operands[1], operands[3]
                ));
            }
        }
        let rows = &indptr.shape[0] - &1.into();
        if rows.lower() < 0 {
            return Err(format!("`{name}` needs at least one row pointer"));
        }
        Ok(one(Type::tensor(values.dtype, std::iter::once(rows).chain(values.shape[1..].iter().cloned()))))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let (order, values) = (values::tensor(operands, 1)?, values::tensor(operands, 2)?);
        let segments = segment_ids::segments(self.name(), values::tensor(operands, 0)?, order.len())?;
        let weights = operands.get(3).map(|_| values::tensor(operands, 3)).transpose()?.map(|w| w.to_f64());
        let (rows, width) = (segments.len(), values::row_width(values));
        let positions = values::rows_near(self.name(), 1, order, values.shape()[0])?;
        let shape = values::with_rows(rows, values);
        let mut sums = values::Sums::zeros(values.dtype(), rows * width);
        let mut extremes = values::filled(self.op.identity(values.dtype()), &shape);
        for (r, segment) in segments.into_iter().enumerate() {
            for e in segment {
                for column in 0..width {
                    let (at, value) = (r * width + column, values.get(positions[e] * width + column));
                    match (self.op, &weights) {
                        (ReduceOp::Sum, None) => sums.add(at, value),
                        (ReduceOp::Sum, Some(w)) => {
                            sums.add(at, Literal::float(DType::F64, w[e] * value.as_f64()));
                        }
                        _ => extremes.set(at, combine(self.op, extremes.get(at), value)),
                    }
                }
            }
        }
        Ok(vec![Value::Tensor(if self.op == ReduceOp::Sum { sums.array(&shape) } else { extremes })])
    }

    /// Of an extreme: equal shares for all that equal it, as for reductions.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let mut gradients = vec![None; cx.operands.len()];
        let Some(dy) = cx.gradient(0) else { return Ok(gradients) };
        let (indptr, order, values) = (cx.operands[0], cx.operands[1], cx.operands[2]);
        let (y, weights) = (cx.results[0], cx.operands.get(3).copied());
        let graph = &mut *cx.graph;
        let rows = graph.shape_of(values)[0].clone();
        if weights.is_none() && self.op == ReduceOp::Sum && segment_ids::is_permutation(graph, order, &rows) {
            // Each value stands in one segment: its gradient is that of the segment.
            gradients[2] = Some(spread(graph, indptr, order, dy));
            return Ok(gradients);
        }
        // What each position of the order adds, where it stands.
        let each = segment_ids::of_positions(graph, indptr, order, dy);
        let found = graph.emit(GatherRows, &[values, order]);
        let shape = graph.shape_of(found);
        let rows_of = match (self.op, weights) {
            (ReduceOp::Sum, None) => each,
            (ReduceOp::Sum, Some(w)) => {
                let product = graph.map(ScalarOp::Mul, &[each, found]);
                gradients[3] = Some(graph.reduce(ReduceOp::Sum, product, (1..shape.len()).collect()));
                let w = graph.broadcast(w, shape, Axes::from_slice(&[0]));
                graph.map(ScalarOp::Mul, &[each, w])
            }
            _ => {
                let extreme = segment_ids::of_positions(graph, indptr, order, y);
                let is_it = graph.emit(Elementwise { op: ScalarOp::Eq }, &[found, extreme]);
                let counted = graph.cast(is_it, graph.dtype_of(found));
                let n = graph.shape_of(order);
                let own = graph.emit(Iota { shape: n, axis: 0, dtype: DType::I32 }, &[]);
                let count = graph.emit(SegmentReduce { op: ReduceOp::Sum }, &[indptr, own, counted]);
                let count = segment_ids::of_positions(graph, indptr, order, count);
                let share = graph.map(ScalarOp::Div, &[each, count]);
                let zero = graph.fill_like(share, 0.0);
                graph.map(ScalarOp::Select, &[is_it, share, zero])
            }
        };
        let identity = matches!(&graph.node(order.node).op, Op::Iota(_)) && graph.shape_of(order)[0] == rows;
        gradients[2] =
            Some(if identity { rows_of } else { graph.emit(RowSparse { rows }, &[order, rows_of]) });
        Ok(gradients)
    }

    fn class(&self) -> Class {
        Class::Sparse
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: &elements(&operands[1]) * &width(&operands[2]), bytes: traffic(operands, results) }
    }
}
