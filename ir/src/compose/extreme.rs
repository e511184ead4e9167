//! Where extremes are.

use super::{Composed, axis_of};
use crate::dtype::DType;
use crate::graph::{Graph, Operand};
use crate::ops::Axes;
use crate::scalar::{ReduceOp, ScalarOp};

impl Graph {
    /// The position along an axis, which is taken away, of the greatest (`max`) or least (`min`) element, as i32 or
    /// i64; of equal ones the first, or the last. NaN counts as the extreme, as it does in the reduction itself.
    ///
    /// # Errors
    /// Where there is no such axis or it may be empty, for other reductions, and for positions of another type.
    pub fn arg_extreme(&mut self, op: ReduceOp, x: Operand, axis: i64, last: bool, to: DType) -> Composed {
        let what = match op {
            ReduceOp::Max => "arg_max",
            ReduceOp::Min => "arg_min",
            other => return Err(format!("`{}` has no element that it is", other.name())),
        };
        let ty = self.dense(what, x)?;
        let axis = axis_of(what, axis, ty.rank())?;
        if ty.shape[axis].lower() < 1 {
            return Err(format!("`{what}` along axis {axis} of size {}, which may be empty", ty.shape[axis]));
        }
        if !matches!(to, DType::I32 | DType::I64) {
            return Err(format!("positions are i32 or i64, {to} asked for"));
        }
        if ty.dtype.is_storage() {
            return Err(format!(
                "`{what}` does not compute in {}, which is for storage; insert a cast",
                ty.dtype
            ));
        }
        let extreme = self.reduce(op, x, Axes::from_slice(&[axis]));
        let extreme = self.unreduce(extreme, ty.shape.clone(), &[axis]);
        let mut is_it = self.map(ScalarOp::Eq, &[x, extreme]);
        if ty.dtype.is_float() {
            let nan = self.map(ScalarOp::Ne, &[x, x]);
            is_it = self.map(ScalarOp::Or, &[is_it, nan]);
        }
        let at = self.iota(ty.shape.clone(), axis, to);
        // Positions of others are beyond all that are asked for.
        let side = if last { ReduceOp::Max } else { ReduceOp::Min };
        let none = self.fill(side.identity(to), ty.shape);
        let at = self.map(ScalarOp::Select, &[is_it, at, none]);
        Ok(self.reduce(side, at, Axes::from_slice(&[axis])))
    }
}
