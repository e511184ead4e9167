//! `segment_ids`: the segment of each position, and what derivatives of sums over segments read by it.

use super::csr_array::CsrArrayOf;
use super::gather_rows::GatherRows;
use super::scatter_rows::ScatterRows;
use super::*;
use crate::array::Array;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::plan::CsrPart;
use crate::scalar::ScalarOp;
use std::ops::Range;

/// `indptr i32 [rows + 1] -> i32 [n]`: position `e` is in segment `r` where `indptr[r] <= e < indptr[r + 1]`; -1 where
/// it is in none. Pointers are as [`SegmentReduce`](super::segment_reduce::SegmentReduce) has them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SegmentIds {
    /// Number of positions.
    pub count: Dim,
}

impl OpDef for SegmentIds {
    fn name(&self) -> &'static str {
        "segment_ids"
    }

    fn attrs(&self) -> Attrs {
        vec![("count", Attr::Dims(vec![self.count.clone()]))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [indptr] = fixed(tensors("segment_ids", 1, operands)?);
        if indptr.dtype != DType::I32 || indptr.rank() != 1 || indptr.shape[0].lower() < 1 {
            return Err(format!(
                "`segment_ids` takes at least one i32 row pointer, {} found",
                list(operands)
            ));
        }
        Ok(one(Type::tensor(DType::I32, [self.count.clone()])))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let mut ids = vec![-1i32; values::size(&self.count, dims)?];
        for (r, segment) in
            segments(self.name(), values::tensor(operands, 0)?, ids.len())?.into_iter().enumerate()
        {
            ids[segment].fill(r as i32);
        }
        Ok(vec![Value::Tensor(Array::from_slice(&[ids.len()], &ids))])
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Ok(vec![None])
    }

    fn class(&self) -> Class {
        Class::Opaque
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}

/// The segments that pointers name among so many positions.
pub(super) fn segments(op: &str, indptr: &Array, count: usize) -> Result<Vec<Range<usize>>, EvalError> {
    let bounds = values::rows_near(op, 0, indptr, count + 1)?;
    let segment = |(at, w): (usize, &[usize])| match w[0] <= w[1] {
        true => Ok(w[0]..w[1]),
        false => Err(format!("`{op}`: operand 0 descends from {} at position {at}", w[0])),
    };
    bounds.windows(2).enumerate().map(segment).collect()
}

/// Whether segments follow each other from the first position to the last: those of a pattern and of `segments`.
pub(crate) fn cover(graph: &Graph, indptr: Operand) -> bool {
    let op = &graph.node(indptr.node).op;
    matches!(op, Op::Segments(_)) && indptr.port == 0
        || matches!(op, Op::CsrArrayOf(c) if matches!(c.part, CsrPart::Indptr | CsrPart::TwinIndptr))
}

/// Whether an order names each of so many rows once.
pub(crate) fn is_permutation(graph: &Graph, order: Operand, rows: &Dim) -> bool {
    let made = match &graph.node(order.node).op {
        Op::Iota(i) => i.axis == 0,
        Op::Segments(_) => order.port == 1,
        Op::CsrArrayOf(c) => c.part == CsrPart::TwinEdges,
        _ => false,
    };
    made && graph.shape_of(order)[0] == *rows
}

/// What each position of an order has of the segment it is in, of a value a segment: `[rows, ..] -> [n, ..]`; zero
/// where it is in none.
pub(crate) fn of_positions(graph: &mut Graph, indptr: Operand, order: Operand, of: Operand) -> Operand {
    let count = graph.shape_of(order)[0].clone();
    let ids = graph.emit(SegmentIds { count }, &[indptr]);
    let each = graph.emit(GatherRows, &[of, ids]);
    if cover(graph, indptr) {
        return each;
    }
    let none = graph.fill_like(ids, 0.0);
    let inside = graph.map(ScalarOp::Ge, &[ids, none]);
    let shape = graph.shape_of(each);
    let inside = graph.broadcast(inside, shape, Axes::from_slice(&[0]));
    let zero = graph.fill_like(each, 0.0);
    graph.map(ScalarOp::Select, &[inside, each, zero])
}

/// As [`of_positions`], at what the order names: element `order[e]` has what position `e` has. The order must be a
/// permutation.
pub(crate) fn spread(graph: &mut Graph, indptr: Operand, order: Operand, of: Operand) -> Operand {
    match graph.node(order.node).op.clone() {
        Op::Iota(_) => of_positions(graph, indptr, order, of),
        // The entries of a column, in the order of the rows: each has its column.
        Op::CsrArrayOf(_) => {
            let csr = graph.node(order.node).operands[0];
            let columns = graph.emit(CsrArrayOf { part: CsrPart::Indices }, &[csr]);
            graph.emit(GatherRows, &[of, columns])
        }
        _ => {
            let rows = graph.shape_of(order)[0].clone();
            let each = of_positions(graph, indptr, order, of);
            graph.emit(ScatterRows { rows }, &[order, each])
        }
    }
}
