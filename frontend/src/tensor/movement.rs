//! Elements in other places: shapes, axes, parts, rows.

use super::Tensor;
use crate::dims::{At, AxesLike, AxisLike, DimLike, ShapeLike, range};
use crate::scope::Scope;
use latentc_ir::dim::{Dim as Size, Proof};
use latentc_ir::dtype::Literal;
use latentc_ir::ops::broadcast::Broadcast;
use latentc_ir::ops::concat::Concat;
use latentc_ir::ops::gather_rows::GatherRows;
use latentc_ir::ops::pad::Pad;
use latentc_ir::ops::permute::Permute;
use latentc_ir::ops::scatter_rows::ScatterRows;
use latentc_ir::ops::slice::Slice;
use latentc_ir::types::{Shape, shape_text};
use std::ops::RangeBounds;
use std::panic::Location;

impl<'g> Tensor<'g> {
    /// The same elements in row-major order with other sizes of the same product.
    #[track_caller]
    pub fn reshape(self, shape: impl ShapeLike) -> Tensor<'g> {
        let at = Location::caller();
        match shape.resolve(self.scope, at) {
            Some(shape) => self.reshape_to(shape, at),
            None => self.scope.poisoned(at),
        }
    }

    /// A new axis of size 1 at `axis`; -1 puts it last.
    #[track_caller]
    pub fn unsqueeze(self, axis: impl AxisLike) -> Tensor<'g> {
        let at = Location::caller();
        let Some(ty) = self.ty() else { return self };
        let Some(axis) = axis.axis(ty.rank() + 1) else {
            let message =
                format!("`unsqueeze` at {axis} of a tensor of {} axes, {}", ty.rank(), shape_text(&ty.shape));
            self.fault(at, message, "`unsqueeze` here");
            return self.scope.poisoned(at);
        };
        let mut shape = ty.shape;
        shape.insert(axis, 1.into());
        self.reshape_to(shape, at)
    }

    /// Drops an axis of size 1.
    #[track_caller]
    pub fn squeeze(self, axis: impl AxisLike) -> Tensor<'g> {
        let at = Location::caller();
        let (Some(axes), Some(ty)) = (self.axes(&[axis], "squeeze", at), self.ty()) else {
            return self.scope.poisoned(at);
        };
        let size = &ty.shape[axes[0]];
        if size.as_const() != Some(1) {
            self.fault(at, format!("`squeeze` of axis {axis}, which has size {size}, not 1"), "here");
            return self.scope.poisoned(at);
        }
        let mut shape = ty.shape;
        shape.remove(axes[0]);
        self.reshape_to(shape, at)
    }

    /// Repeats to a shape: last axes are lined up, an axis that is missing or has size 1 repeats.
    #[track_caller]
    pub fn broadcast_to(self, shape: impl ShapeLike) -> Tensor<'g> {
        let at = Location::caller();
        let (Some(to), Some(ty)) = (shape.resolve(self.scope, at), self.ty()) else {
            return self.scope.poisoned(at);
        };
        let fits = ty.rank() <= to.len()
            && ty
                .shape
                .iter()
                .rev()
                .zip(to.iter().rev())
                .all(|(from, to)| from.eq_proof(to) == Proof::True || from.as_const() == Some(1));
        if !fits {
            let message = format!("{} does not repeat to {}", shape_text(&ty.shape), shape_text(&to));
            self.fault(at, message, "`broadcast_to` here");
            return self.scope.poisoned(at);
        }
        self.expand(&to, at)
    }

    /// Axis `i` of the result is axis `axes[i]` of this tensor.
    #[track_caller]
    pub fn permute(self, axes: impl AxesLike) -> Tensor<'g> {
        let at = Location::caller();
        match self.axes(&axes, "permute", at) {
            Some(axes) => self.emit(Permute { axes: axes.into_iter().collect() }, at),
            None => self.scope.poisoned(at),
        }
    }

    /// The last two axes swapped.
    #[track_caller]
    pub fn t(self) -> Tensor<'g> {
        let at = Location::caller();
        let Some(ty) = self.ty() else { return self };
        let rank = ty.rank();
        if rank < 2 {
            self.fault(at, format!("`t` swaps two axes, {rank} found"), "`t` here");
            return self.scope.poisoned(at);
        }
        let axes = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
        self.emit(Permute { axes }, at)
    }

    /// The part `part` of one axis: `2..5`, `..n`, `n..`; both ends are of one kind (see [`Scope::size`]).
    #[track_caller]
    pub fn slice<D: DimLike>(self, axis: impl AxisLike, part: impl RangeBounds<D>) -> Tensor<'g> {
        let at = Location::caller();
        let (Some(axes), Some(ty)) = (self.axes(&[axis], "slice", at), self.ty()) else {
            return self.scope.poisoned(at);
        };
        let axis = axes[0];
        match range(self.scope, at, &part, &ty.shape[axis]) {
            Some((start, end)) if start.as_const() == Some(0) && end == ty.shape[axis] => self,
            Some((start, end)) => self.emit(Slice { axis, start, end, step: 1 }, at),
            None => self.scope.poisoned(at),
        }
    }

    /// `before` and `after` constants around the elements of one axis.
    #[track_caller]
    pub fn pad(
        self,
        axis: impl AxisLike,
        before: impl DimLike,
        after: impl DimLike,
        value: f64,
    ) -> Tensor<'g> {
        let at = Location::caller();
        let (Some(axes), Some(ty)) = (self.axes(&[axis], "pad", at), self.ty()) else {
            return self.scope.poisoned(at);
        };
        let (Some(before), Some(after)) = (before.resolve(self.scope, at), after.resolve(self.scope, at))
        else {
            return self.scope.poisoned(at);
        };
        self.emit(Pad { axis: axes[0], before, after, value: Literal::float(ty.dtype, value) }, at)
    }

    /// This tensor and others, one after the other along an axis.
    #[track_caller]
    pub fn concat(self, others: &[Tensor<'g>], axis: impl AxisLike) -> Tensor<'g> {
        let at = Location::caller();
        let parts: Vec<Tensor<'g>> = std::iter::once(self).chain(others.iter().copied()).collect();
        self.scope.concat_at(&parts, axis, at)
    }

    /// The rows at `ids`, which are i32 of any shape: `[ids.., the rest..]`. An id that is not a row is an
    /// error of the run that gives it.
    #[track_caller]
    pub fn rows(self, ids: Tensor<'g>) -> Tensor<'g> {
        self.scope.emit(GatherRows, &[self, ids], Location::caller())
    }

    /// Adds rows up by position: row `r` of the result, of `rows` rows, is the sum of the rows of this tensor
    /// whose id is `r`, in order.
    #[track_caller]
    pub fn scatter_rows(self, ids: Tensor<'g>, rows: impl DimLike) -> Tensor<'g> {
        let at = Location::caller();
        match rows.resolve(self.scope, at) {
            Some(rows) => self.scope.emit(ScatterRows { rows }, &[ids, self], at),
            None => self.scope.poisoned(at),
        }
    }

    /// Row `i` times `scale[i]`, for `scale` `[rows]`.
    #[track_caller]
    pub fn scale_rows(self, scale: Tensor<'g>) -> Tensor<'g> {
        self.scale_rows_at(scale, Location::caller())
    }

    pub(crate) fn scale_rows_at(self, scale: Tensor<'g>, at: At) -> Tensor<'g> {
        let (Some(ty), Some(by)) = (self.ty(), scale.ty()) else { return self.scope.poisoned(at) };
        if ty.rank() == 0 || by.rank() != 1 || by.shape[0].eq_proof(&ty.shape[0]) != Proof::True {
            let message = format!(
                "`scale_rows` takes one number for each row, {} of {} found",
                shape_text(&by.shape),
                shape_text(&ty.shape)
            );
            self.fault(at, message, "`scale_rows` here");
            return self.scope.poisoned(at);
        }
        let spread = if ty.rank() == 1 {
            scale
        } else {
            scale.emit(Broadcast { shape: ty.shape.clone(), axes: [0].into_iter().collect() }, at)
        };
        self.apply(latentc_ir::scalar::ScalarOp::Mul, spread, at)
    }
}

impl Scope {
    /// Tensors in order along an axis; their other sizes are equal.
    #[track_caller]
    pub fn concat<'g>(&'g self, parts: &[Tensor<'g>], axis: impl AxisLike) -> Tensor<'g> {
        self.concat_at(parts, axis, Location::caller())
    }

    fn concat_at<'g>(&'g self, parts: &[Tensor<'g>], axis: impl AxisLike, at: At) -> Tensor<'g> {
        let Some(first) = parts.first() else {
            self.error(at, "`concat` of no tensors; give at least one", "`concat` here");
            return self.poisoned(at);
        };
        match first.axes(&[axis], "concat", at) {
            Some(_) if parts.len() == 1 => *first,
            Some(axes) => self.emit(Concat { axis: axes[0] }, parts, at),
            None => self.poisoned(at),
        }
    }

    /// Tensors of one shape along a new axis at `axis`.
    #[track_caller]
    pub fn stack<'g>(&'g self, parts: &[Tensor<'g>], axis: impl AxisLike) -> Tensor<'g> {
        let at = Location::caller();
        let Some(parts) = self.same_shapes(parts, at) else { return self.poisoned(at) };
        let Some((_, shape)) = parts.first().map(|(t, s)| (*t, s.clone())) else {
            self.error(at, "`stack` of no tensors; give at least one", "`stack` here");
            return self.poisoned(at);
        };
        let Some(axis) = axis.axis(shape.len() + 1) else {
            parts[0].0.fault(at, format!("`stack` at {axis} of {} axes", shape.len()), "`stack` here");
            return self.poisoned(at);
        };
        let mut shape = shape;
        shape.insert(axis, Size::constant(1));
        let parts: Vec<Tensor<'g>> = parts.iter().map(|(t, _)| t.reshape_to(shape.clone(), at)).collect();
        self.concat_at(&parts, axis, at)
    }

    fn same_shapes<'g>(&'g self, parts: &[Tensor<'g>], at: At) -> Option<Vec<(Tensor<'g>, Shape)>> {
        let parts: Vec<(Tensor<'g>, Shape)> =
            parts.iter().map(|t| t.ty().map(|ty| (*t, ty.shape))).collect::<Option<_>>()?;
        let other = parts.iter().find(|(_, shape)| *shape != parts[0].1);
        if let Some((other, shape)) = other {
            let message = format!("`stack` of {} and {}", shape_text(&parts[0].1), shape_text(shape));
            other.fault(at, message, "`stack` here");
            return None;
        }
        Some(parts)
    }
}
