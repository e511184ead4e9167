//! Elements at positions that data or arithmetic give, and elements in order.

use super::Tensor;
use crate::dims::{At, AxesLike, AxisLike, DimLike, ShapeLike};
use crate::scope::Scope;
use latentc_ir::compose::pad::PadMode;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::ops::iota::Iota;
use latentc_ir::scalar::ReduceOp;
use std::panic::Location;

/// How values that are written at one place are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// The last one stays.
    Set,
    /// Added to what stands there.
    Add,
    /// Multiplied with it; has no derivative.
    Multiply,
    /// The greater stays.
    Max,
    /// The lesser stays.
    Min,
}

impl Update {
    fn op(self) -> Option<ReduceOp> {
        match self {
            Update::Set => None,
            Update::Add => Some(ReduceOp::Sum),
            Update::Multiply => Some(ReduceOp::Prod),
            Update::Max => Some(ReduceOp::Max),
            Update::Min => Some(ReduceOp::Min),
        }
    }
}

/// What stands around the elements of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// The nearest element.
    Edge,
    /// The elements mirrored at the first and the last one, which are not repeated.
    Reflect,
    /// The elements mirrored at the ends, so that the first and the last one are repeated.
    Symmetric,
    /// The elements again and again.
    Wrap,
}

impl Scope {
    /// Each element is its own position along one axis, as a number.
    #[track_caller]
    pub fn positions(&self, dtype: DType, shape: impl ShapeLike, axis: impl AxisLike) -> Tensor<'_> {
        let at = Location::caller();
        let Some(shape) = shape.resolve(self, at) else { return self.poisoned(at) };
        match axis.axis(shape.len()) {
            Some(axis) => self.emit(Iota { shape, axis, dtype }, &[], at),
            None => {
                let message = format!("`positions` along axis {axis} of {} axes", shape.len());
                self.error(at, message, "`positions` here");
                self.poisoned(at)
            }
        }
    }
}

impl<'g> Tensor<'g> {
    fn one_axis(self, axis: impl AxisLike, what: &str, at: At) -> Option<i64> {
        self.axes(&[axis], what, at).map(|axes| axes[0] as i64)
    }

    /// Elements at `ids`, i32 or i64 of any shape, along an axis: `[.., ids.., ..]`. Ids beyond the axis count as its
    /// nearest position; [`Tensor::rows`] refuses them.
    #[track_caller]
    pub fn take(self, ids: Tensor<'g>, axis: impl AxisLike) -> Tensor<'g> {
        let at = Location::caller();
        let Some(axis) = self.one_axis(axis, "take", at) else { return self.scope.poisoned(at) };
        self.scope.composed(&[self, ids], at, |g, o| g.take(o[0], o[1], axis))
    }

    /// Element `p` of the result, of the shape of `ids`, is that of this tensor at `p` with `ids[p]` in place of its
    /// position along an axis.
    #[track_caller]
    pub fn take_along(self, ids: Tensor<'g>, axis: impl AxisLike) -> Tensor<'g> {
        let at = Location::caller();
        let Some(axis) = self.one_axis(axis, "take_along", at) else { return self.scope.poisoned(at) };
        self.scope.composed(&[self, ids], at, |g, o| g.gather_elements(o[0], o[1], axis))
    }

    /// This tensor with `values` written where [`Tensor::take_along`] would read them.
    #[track_caller]
    pub fn put_along(
        self,
        ids: Tensor<'g>,
        values: Tensor<'g>,
        axis: impl AxisLike,
        update: Update,
    ) -> Tensor<'g> {
        let at = Location::caller();
        let Some(axis) = self.one_axis(axis, "put_along", at) else { return self.scope.poisoned(at) };
        self.scope.composed(&[self, ids, values], at, |g, o| {
            g.scatter_elements(o[0], o[1], o[2], axis, update.op())
        })
    }

    /// Blocks at `ids [b.., s.., q]`, which name positions along `q` axes behind the first `batch` ones, which both
    /// have: `[b.., s.., the rest..]`.
    #[track_caller]
    pub fn take_blocks(self, ids: Tensor<'g>, batch: usize) -> Tensor<'g> {
        self.scope.composed(&[self, ids], Location::caller(), |g, o| g.gather_nd(o[0], o[1], batch))
    }

    /// This tensor with blocks of `values` written where [`Tensor::take_blocks`] would read them.
    #[track_caller]
    pub fn put_blocks(self, ids: Tensor<'g>, values: Tensor<'g>, batch: usize, update: Update) -> Tensor<'g> {
        self.scope.composed(&[self, ids, values], Location::caller(), |g, o| {
            g.scatter_nd(o[0], o[1], o[2], batch, update.op())
        })
    }

    /// The elements along some axes in the opposite order.
    #[track_caller]
    pub fn flip(self, axes: impl AxesLike) -> Tensor<'g> {
        let at = Location::caller();
        let Some(axes) = self.axes(&axes, "flip", at) else { return self.scope.poisoned(at) };
        let axes: Vec<i64> = axes.into_iter().map(|a| a as i64).collect();
        self.scope.composed(&[self], at, |g, o| g.flip(o[0], &axes))
    }

    /// Element `i` along an axis moves to position `i + shift`, around the end.
    #[track_caller]
    pub fn roll(self, shift: i64, axis: impl AxisLike) -> Tensor<'g> {
        let at = Location::caller();
        let Some(axis) = self.one_axis(axis, "roll", at) else { return self.scope.poisoned(at) };
        self.scope.composed(&[self], at, |g, o| g.roll(o[0], shift, axis))
    }

    /// The whole tensor so many times along each axis.
    #[track_caller]
    pub fn tile(self, times: impl ShapeLike) -> Tensor<'g> {
        let at = Location::caller();
        let Some(times) = times.resolve(self.scope, at) else { return self.scope.poisoned(at) };
        self.scope.composed(&[self], at, |g, o| g.tile(o[0], &times))
    }

    /// Each element so many times in a row along an axis.
    #[track_caller]
    pub fn repeat(self, times: impl DimLike, axis: impl AxisLike) -> Tensor<'g> {
        let at = Location::caller();
        let (Some(axis), Some(times)) = (self.one_axis(axis, "repeat", at), times.resolve(self.scope, at))
        else {
            return self.scope.poisoned(at);
        };
        self.scope.composed(&[self], at, |g, o| g.repeat(o[0], &times, axis))
    }

    /// So many of its own elements in front of and behind those of an axis; a negative number takes away.
    #[track_caller]
    pub fn extend(self, axis: impl AxisLike, before: i64, after: i64, around: Around) -> Tensor<'g> {
        let at = Location::caller();
        let Some(axis) = self.one_axis(axis, "extend", at) else { return self.scope.poisoned(at) };
        let mode = match around {
            Around::Edge => PadMode::Edge,
            Around::Reflect => PadMode::Reflect,
            Around::Symmetric => PadMode::Symmetric,
            Around::Wrap => PadMode::Wrap,
        };
        self.scope.composed(&[self], at, |g, o| g.pad_axis(o[0], axis, before, after, mode))
    }

    /// For ids, a new last axis of `depth` positions with 1 at the position that an id names and 0 elsewhere.
    #[track_caller]
    pub fn one_hot(self, depth: impl DimLike, dtype: DType) -> Tensor<'g> {
        let at = Location::caller();
        let Some(depth) = depth.resolve(self.scope, at) else { return self.scope.poisoned(at) };
        self.scope.composed(&[self], at, |g, o| {
            let [on, off] = [1, 0].map(|v| g.fill(Literal::int(dtype, v), []));
            g.one_hot(o[0], &depth, -1, on, off)
        })
    }

    /// Matrices without what stands below diagonal `k`: the elements whose column minus row is at least `k`, 0
    /// elsewhere.
    #[track_caller]
    pub fn upper_triangle(self, k: i64) -> Tensor<'g> {
        self.triangle(k, true, Location::caller())
    }

    /// Matrices without what stands above diagonal `k`: the elements whose column minus row is at most `k`, 0
    /// elsewhere.
    #[track_caller]
    pub fn lower_triangle(self, k: i64) -> Tensor<'g> {
        self.triangle(k, false, Location::caller())
    }

    fn triangle(self, k: i64, upper: bool, at: At) -> Tensor<'g> {
        self.scope.composed(&[self], at, |g, o| {
            let k = g.fill(Literal::int(DType::I64, k), []);
            g.triangular(o[0], k, upper)
        })
    }

    /// The elements along an axis in order, and the i32 positions that they had: equal ones by position, NaN last.
    #[track_caller]
    pub fn sort(self, axis: impl AxisLike, descending: bool) -> (Tensor<'g>, Tensor<'g>) {
        let at = Location::caller();
        let Some(axis) = self.one_axis(axis, "sort", at) else {
            return (self.scope.poisoned(at), self.scope.poisoned(at));
        };
        let [values, ids] = self.scope.composed_all(&[self], at, |g, o| g.sort(o[0], axis, descending));
        (values, ids)
    }

    /// The positions along an axis that put its elements in order; see [`Tensor::sort`].
    #[track_caller]
    pub fn argsort(self, axis: impl AxisLike, descending: bool) -> Tensor<'g> {
        self.sort(axis, descending).1
    }
}
