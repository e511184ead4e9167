//! Poolings: what a window sees at each position, reduced to one number.

use super::{Composed, wide};
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::graph::{Graph, Operand};
use crate::ops::Axes;
use crate::ops::pad::Pad;
use crate::ops::windows::{Window, Windows};
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{Shape, shape_text};

impl Window {
    /// The window with so much more behind each axis of these sizes that its positions are rounded up: a last one
    /// that reaches beyond the constants behind counts where it begins within the elements or the constants in front.
    ///
    /// # Errors
    /// Where a size is no constant and the stride is not 1.
    pub fn rounded_up(&self, sizes: &[Dim]) -> Result<Window, String> {
        let mut w = self.clone();
        for (axis, size) in sizes.iter().enumerate().take(self.axes()) {
            let (stride, before) = (self.stride[axis], self.before[axis]);
            if stride == 1 {
                continue;
            }
            let Some(size) = size.as_const() else {
                return Err(format!("positions rounded up along a size that is no constant: {size}"));
            };
            let room = size + before + self.after[axis] - self.extent(axis);
            let mut last = room.max(0).div_euclid(stride) + i64::from(room.max(0) % stride != 0);
            if last * stride >= size + before {
                last -= 1;
            }
            w.after[axis] = (last * stride + self.extent(axis) - size - before).max(self.after[axis]);
        }
        Ok(w)
    }
}

impl Graph {
    fn seen(&mut self, x: Operand, window: &Window, value: Literal) -> Result<(Operand, Axes), String> {
        let y = self.try_emit(Windows { window: window.clone(), value }, &[x])?;
        let rank = self.shape_of(y).len();
        Ok((y, (rank - window.axes()..rank).collect()))
    }

    /// The greatest that a window along the last axes sees; what is around the elements never counts.
    ///
    /// # Errors
    /// Where the window does not fit.
    pub fn max_pool(&mut self, x: Operand, window: &Window) -> Composed {
        let dtype = self.dense("max_pool", x)?.dtype;
        let (seen, axes) = self.seen(x, window, ReduceOp::Max.identity(dtype))?;
        Ok(self.reduce(ReduceOp::Max, seen, axes))
    }

    /// The greatest that a window sees, and the i64 position in row-major order, in the whole tensor, of the first that
    /// is as great (with `by_columns`: of the position whose two last axes are counted the other way round).
    ///
    /// # Errors
    /// Where the window does not fit.
    pub fn max_pool_with_indices(
        &mut self,
        x: Operand,
        window: &Window,
        by_columns: bool,
    ) -> Result<[Operand; 2], String> {
        let ty = self.dense("max_pool", x)?;
        let greatest = self.max_pool(x, window)?;
        let (seen, axes) = self.seen(x, window, ReduceOp::Max.identity(ty.dtype))?;
        let flat = Shape::from_iter([ty.elements()]);
        let places = self.iota(flat, 0, DType::I64);
        let mut shape = ty.shape.clone();
        let rank = shape.len();
        if by_columns && rank >= 2 {
            shape.swap(rank - 2, rank - 1);
        }
        let mut places = self.reshape(places, shape);
        if by_columns && rank >= 2 {
            places = self.permute(places, (0..rank - 2).chain([rank - 1, rank - 2]).collect());
        }
        let none = Literal::int(DType::I64, i64::MAX);
        let (places, _) = self.seen(places, window, none)?;
        let greatest_there = self.unreduce(greatest, self.shape_of(seen), &axes);
        let is_it = self.map(ScalarOp::Eq, &[seen, greatest_there]);
        let none = self.fill(none, self.shape_of(places));
        let places = self.select(is_it, places, none);
        Ok([greatest, self.reduce(ReduceOp::Min, places, axes)])
    }

    /// The mean of what a window sees: of the elements, and with `count_pads` of the zeros that `window` has around
    /// them. `seen` is the window that moves: `window`, or the same rounded up.
    ///
    /// # Errors
    /// Where the window does not fit, or the elements are no floats.
    pub fn average_pool(&mut self, x: Operand, window: &Window, seen: &Window, count_pads: bool) -> Composed {
        let ty = self.dense("average_pool", x)?;
        if !ty.dtype.is_real() {
            return Err(format!("`average_pool` of {}; it takes floats", ty.dtype));
        }
        let (all, axes) = self.seen(x, seen, Literal::zero(ty.dtype))?;
        let sum = self.reduce(ReduceOp::Sum, all, axes);
        let shape = self.shape_of(sum);
        let (n, mut count) = (window.axes(), None);
        let lead = shape.len() - n;
        // How many elements a window sees is a product of how many it sees along each axis.
        for axis in 0..n {
            let mut ones = self.fill(Literal::int(DType::F32, 1), [ty.shape[lead + axis].clone()]);
            let value = Literal::int(DType::F32, i64::from(count_pads));
            let (before, after) = (window.before[axis], window.after[axis]);
            if before > 0 || after > 0 {
                ones = self
                    .try_emit(Pad { axis: 0, before: before.into(), after: after.into(), value }, &[ones])?;
            }
            let mut along = Window::new([seen.kernel[axis]]);
            along.stride[0] = seen.stride[axis];
            along.dilation[0] = seen.dilation[axis];
            along.after[0] = seen.after[axis] - after;
            let (ones, axes) = self.seen(ones, &along, Literal::zero(DType::F32))?;
            let along = self.reduce(ReduceOp::Sum, ones, axes);
            let along = self.cast(along, ty.dtype);
            let along = self.broadcast(along, shape.clone(), Axes::from_slice(&[lead + axis]));
            count = Some(match count {
                None => along,
                Some(so_far) => self.map(ScalarOp::Mul, &[so_far, along]),
            });
        }
        Ok(count.map_or(sum, |count| self.map(ScalarOp::Div, &[sum, count])))
    }

    /// `(sum |x|^p)^(1/p)` of what a window sees.
    ///
    /// # Errors
    /// Where the window does not fit, or the elements are no floats.
    pub fn lp_pool(&mut self, x: Operand, window: &Window, p: f64) -> Composed {
        let ty = self.dense("lp_pool", x)?;
        if !ty.dtype.is_real() {
            return Err(format!("`lp_pool` of {}; it takes floats", ty.dtype));
        }
        let (all, axes) = self.seen(x, window, Literal::zero(ty.dtype))?;
        self.lp_norm(all, axes, p)
    }

    /// `(sum |x|^p)^(1/p)` along axes, which are taken away.
    ///
    /// # Errors
    /// Where the elements are no floats.
    pub fn lp_norm(&mut self, x: Operand, axes: Axes, p: f64) -> Composed {
        let dtype = self.dense("lp_norm", x)?.dtype;
        if !dtype.is_real() {
            return Err(format!("`lp_norm` of {}; it takes floats", dtype));
        }
        let size = self.map(ScalarOp::Abs, &[x]);
        Ok(if p == 1.0 {
            self.reduce(ReduceOp::Sum, size, axes)
        } else if p == 2.0 {
            let square = self.map(ScalarOp::Square, &[x]);
            let sum = self.reduce(ReduceOp::Sum, square, axes);
            self.map(ScalarOp::Sqrt, &[sum])
        } else {
            let power = self.by(ScalarOp::Pow, size, p);
            let sum = self.reduce(ReduceOp::Sum, power, axes);
            self.by(ScalarOp::Pow, sum, 1.0 / p)
        })
    }

    /// The values of a max pooling at the positions that it found, 0 elsewhere: `[n, c, s..]` of the given shape.
    ///
    /// # Errors
    /// Where values and positions differ in shape, or positions are not i32 or i64.
    pub fn max_unpool(&mut self, x: Operand, indices: Operand, shape: &[Dim]) -> Composed {
        let (ty, at) = (self.dense("max_unpool", x)?, self.dense("max_unpool", indices)?);
        if ty.shape != at.shape {
            return Err(format!(
                "`max_unpool` of {} at {}; there is one position for each value",
                shape_text(&ty.shape),
                shape_text(&at.shape)
            ));
        }
        let shape: Shape = shape.iter().cloned().collect();
        let total = crate::types::product(&shape);
        let flat = Shape::from_iter([ty.elements()]);
        let (x, indices) = (self.reshape(x, flat.clone()), self.reshape(indices, flat));
        let zero = self.fill(Literal::zero(ty.dtype), [total]);
        let y = self.try_emit(crate::ops::index_update::IndexUpdate { op: None }, &[zero, indices, x])?;
        Ok(self.reshape(y, shape))
    }

    /// Numbers of a narrow float as those of a wider one, to compute with.
    pub(super) fn widened(&mut self, x: Operand) -> Operand {
        let to = wide(self.dtype_of(x));
        self.cast(x, to)
    }
}
