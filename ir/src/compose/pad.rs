//! Elements around a tensor: constants, or its own.

use super::{Composed, axis_of};
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::graph::{Graph, Operand};
use crate::ops::pad::Pad;
use crate::ops::slice::Slice;
use crate::scalar::ScalarOp;
use crate::types::Shape;

/// What stands around the elements of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// A constant of the element type.
    Constant(Literal),
    /// The nearest element.
    Edge,
    /// The elements mirrored at the first and the last one, which are not repeated.
    Reflect,
    /// The elements mirrored at the ends, so that the first and the last one are repeated.
    Symmetric,
    /// The elements again and again.
    Wrap,
}

impl Graph {
    /// So many elements in front of and behind those of an axis; a negative number takes away.
    ///
    /// # Errors
    /// Where there is no such axis, more is taken away than is there, or the constant is of another type.
    pub fn pad_axis(&mut self, x: Operand, axis: i64, before: i64, after: i64, mode: PadMode) -> Composed {
        let ty = self.dense("pad", x)?;
        let axis = axis_of("pad", axis, ty.rank())?;
        let size = ty.shape[axis].clone();
        let total = &size + &(before + after).into();
        if let PadMode::Constant(value) = mode {
            let mut x = x;
            if before < 0 || after < 0 {
                let (start, end) = (Dim::from((-before).max(0)), &size - &(-after).max(0).into());
                x = self.try_emit(Slice { axis, start, end, step: 1 }, &[x])?;
            }
            let (before, after) = (Dim::from(before.max(0)), Dim::from(after.max(0)));
            if before == 0.into() && after == 0.into() {
                return Ok(x);
            }
            return self.try_emit(Pad { axis, before, after, value }, &[x]);
        }
        if total.lower() < 0 {
            return Err(format!("`pad` of {size} positions by {before} and {after} leaves {total}"));
        }
        let shape = Shape::from_iter([total]);
        let i = self.iota(shape.clone(), 0, DType::I64);
        let i = self.by(ScalarOp::Sub, i, before as f64);
        let size = self.size_as(&size, DType::I64, shape);
        let from = match mode {
            // Positions beyond the axis count as the nearest one anyway.
            PadMode::Constant(_) | PadMode::Edge => i,
            PadMode::Wrap => self.map(ScalarOp::Rem, &[i, size]),
            PadMode::Reflect => {
                let last = self.by(ScalarOp::Sub, size, 1.0);
                let period = self.by(ScalarOp::Mul, last, 2.0);
                let i = self.map(ScalarOp::Rem, &[i, period]);
                let back = self.map(ScalarOp::Sub, &[period, i]);
                self.map(ScalarOp::Min, &[i, back])
            }
            PadMode::Symmetric => {
                let period = self.by(ScalarOp::Mul, size, 2.0);
                let i = self.map(ScalarOp::Rem, &[i, period]);
                let last = self.by(ScalarOp::Sub, period, 1.0);
                let back = self.map(ScalarOp::Sub, &[last, i]);
                self.map(ScalarOp::Min, &[i, back])
            }
        };
        self.take(x, from, axis as i64)
    }
}
