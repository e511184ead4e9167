//! Rows that are listed several times, as one.

use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::graph::{Graph, Operand};
use crate::ops::cumulative::Cumulative;
use crate::ops::gather_rows::GatherRows;
use crate::ops::pad::Pad;
use crate::ops::segment_reduce::SegmentReduce;
use crate::ops::segments::Segments;
use crate::ops::slice::Slice;
use crate::ops::sort::Sort;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{Shape, Type};

impl Graph {
    /// The ids of a row-sparse value in ascending order, i32 `[n]`, and beside each the sum of all the rows that are
    /// listed for it, `[n, ..]`; an id that is listed twice is there twice, both times with the whole sum. Work and memory
    /// are those of the listed rows, however large the table is.
    ///
    /// # Panics
    /// Where the value is not row-sparse: a fault of the caller.
    pub fn listed_totals(&mut self, x: Operand) -> (Operand, Operand) {
        assert!(
            matches!(self.type_of(x), Type::RowSparse(_)),
            "a row-sparse value, {} found",
            self.type_of(x)
        );
        let (ids, values) = self.row_sparse_parts(x);
        let count: Dim = self.shape_of(ids)[0].clone();
        let sorted = self.emit_all(Sort { descending: false }, &[ids]);
        let (ids, order) = (sorted[0], sorted[1]);
        // Runs of one id, numbered: a run begins where the id before is another one.
        let before = Pad { axis: 0, before: 1.into(), after: 0.into(), value: Literal::int(DType::I32, -1) };
        let before = self.emit(before, &[ids]);
        let before = self.emit(Slice { axis: 0, start: 0.into(), end: count.clone(), step: 1 }, &[before]);
        let begins = self.map(ScalarOp::Ne, &[ids, before]);
        let begins = self.cast(begins, DType::I32);
        let run = Cumulative { op: ReduceOp::Sum, axis: 0, exclusive: false, reverse: false };
        let run = self.emit(run, &[begins]);
        let one = self.fill(Literal::int(DType::I32, 1), Shape::from_iter([count.clone()]));
        let run = self.map(ScalarOp::Sub, &[run, one]);
        let runs = self.emit_all(Segments { rows: count }, &[run]);
        let sums = self.emit(SegmentReduce { op: ReduceOp::Sum }, &[runs[0], order, values]);
        (ids, self.emit(GatherRows, &[sums, run]))
    }
}
