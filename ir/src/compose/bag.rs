//! Bags of rows of a table: each a sum, a mean or the greatest of the rows that its ids name.

use super::Composed;
use crate::dtype::DType;
use crate::graph::{Graph, Operand};
use crate::ops::Axes;
use crate::ops::gather_rows::GatherRows;
use crate::ops::segment_reduce::SegmentReduce;
use crate::ops::segments::Segments;
use crate::ops::slice::Slice;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::shape_text;

/// How the rows of a bag become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bag {
    /// Their sum, each with its weight where there are some.
    Sum,
    /// Their mean.
    Mean,
    /// The greatest of each column.
    Max,
}

impl Graph {
    /// Rows of a table `[rows, ..]`, bag by bag: `[bags, ..]`. Bag `b` has the rows `ids[e]` for `e` in
    /// `offsets[b]..offsets[b + 1]`, of ids i32 `[n]` and offsets i32 `[bags + 1]`; ids behind the last offset belong
    /// to no bag. An empty bag gives 0. The rows are never stored one by one, and the gradient lists those that are
    /// used.
    ///
    /// # Errors
    /// Where shapes or types do not fit, and for weights of anything but sums.
    pub fn bag(
        &mut self,
        table: Operand,
        ids: Operand,
        offsets: Operand,
        mode: Bag,
        weights: Option<Operand>,
    ) -> Composed {
        let ty = self.dense("bag", table)?;
        if !ty.dtype.is_real() {
            return Err(format!("`bag` takes a table of floats, {} found", ty.dtype));
        }
        if weights.is_some() && mode != Bag::Sum {
            return Err(
                "`bag` takes weights for sums; multiply by the weights and divide a sum yourself".to_owned()
            );
        }
        let op = if mode == Bag::Max { ReduceOp::Max } else { ReduceOp::Sum };
        let operands: Vec<Operand> = [offsets, ids, table].into_iter().chain(weights).collect();
        let y = self.try_emit(SegmentReduce { op }, &operands)?;
        if mode == Bag::Sum {
            return Ok(y);
        }
        let shape = self.shape_of(y);
        let bags = shape[0].clone();
        let mut end = |start: i64| {
            let op = Slice { axis: 0, start: start.into(), end: &bags + &start.into(), step: 1 };
            self.emit(op, &[offsets])
        };
        let (first, last) = (end(0), end(1));
        let count = self.map(ScalarOp::Sub, &[last, first]);
        let one = self.fill_like(count, 1.0);
        if mode == Bag::Max {
            let some = self.map(ScalarOp::Ge, &[count, one]);
            let some = self.broadcast(some, shape, Axes::from_slice(&[0]));
            let zero = self.fill_like(y, 0.0);
            return Ok(self.select(some, y, zero));
        }
        let count = self.map(ScalarOp::Max, &[count, one]);
        let count = self.cast(count, ty.dtype);
        let count = self.broadcast(count, shape, Axes::from_slice(&[0]));
        Ok(self.map(ScalarOp::Div, &[y, count]))
    }

    /// As [`Graph::bag`], where `of` i32 `[n]` says for each id which of `bags` bags it is in, in any order.
    ///
    /// # Errors
    /// Where shapes or types do not fit, and for weights of anything but sums.
    pub fn bag_by_id(
        &mut self,
        table: Operand,
        ids: Operand,
        (of, bags): (Operand, crate::dim::Dim),
        mode: Bag,
        weights: Option<Operand>,
    ) -> Composed {
        let (ids_ty, of_ty) = (self.dense("bag", ids)?, self.dense("bag", of)?);
        if ids_ty != of_ty || ids_ty.dtype != DType::I32 || ids_ty.rank() != 1 {
            return Err(format!(
                "`bag` takes i32 ids of one axis and as many numbers of bags, {}{} and {}{} found",
                ids_ty.dtype,
                shape_text(&ids_ty.shape),
                of_ty.dtype,
                shape_text(&of_ty.shape)
            ));
        }
        let made = self.emit_all(Segments { rows: bags }, &[of]);
        let (offsets, order) = (made[0], made[1]);
        let ids = self.try_emit(GatherRows, &[ids, order])?;
        let weights = weights.map(|w| self.try_emit(GatherRows, &[w, order])).transpose()?;
        self.bag(table, ids, offsets, mode, weights)
    }
}
