//! Images and signals: convolutions, poolings, resizing, sampling. Tensors are `[n, c, s..]`: a batch, channels, and
//! the axes that windows move along.

use super::Tensor;
use crate::dims::{AxisLike, DimLike};
use latentc_ir::compose::regions::RoiAlign;
use latentc_ir::compose::resize::Resize;
use latentc_ir::compose::sample::{Beyond, Sampling};
use latentc_ir::ops::conv::Conv;
use latentc_ir::ops::conv_transpose::ConvTranspose;
use latentc_ir::ops::windows::Window;
use latentc_ir::scalar::ReduceOp;
use std::panic::Location;

impl<'g> Tensor<'g> {
    /// The convolution by filters `[m, c / groups, kernel..]`: `[n, m, positions..]`.
    #[track_caller]
    pub fn conv(self, filters: Tensor<'g>, window: &Window, groups: usize) -> Tensor<'g> {
        let op = Conv { window: window.clone(), groups: groups as i64 };
        self.scope.emit(op, &[self, filters], Location::caller())
    }

    /// The adjoint of the convolution by `window`, with filters `[c, m / groups, kernel..]`: `[n, m, s..]`. `more`
    /// elements stand behind each axis, where the window could not reach the end of what it came from.
    #[track_caller]
    pub fn conv_transpose(
        self,
        filters: Tensor<'g>,
        window: &Window,
        groups: usize,
        more: &[i64],
    ) -> Tensor<'g> {
        let at = Location::caller();
        self.scope.composed(&[self, filters], at, |g, o| {
            let shape = g.dense("conv_transpose", o[0])?.shape;
            let shape = ConvTranspose::sizes(window, shape.get(2..).unwrap_or_default(), more);
            g.try_emit(ConvTranspose { window: window.clone(), groups: groups as i64, shape }, o)
        })
    }

    /// The greatest element that a window along the last axes sees.
    #[track_caller]
    pub fn max_pool(self, window: &Window) -> Tensor<'g> {
        self.scope.composed(&[self], Location::caller(), |g, o| g.max_pool(o[0], window))
    }

    /// The mean of what a window along the last axes sees; with `count_pads` the zeros around the elements count.
    #[track_caller]
    pub fn average_pool(self, window: &Window, count_pads: bool) -> Tensor<'g> {
        self.scope
            .composed(&[self], Location::caller(), |g, o| g.average_pool(o[0], window, window, count_pads))
    }

    /// The mean over all axes behind the channels, which the result keeps with size 1.
    #[track_caller]
    pub fn global_average_pool(self) -> Tensor<'g> {
        let axes: Vec<usize> = (2..self.rank()).collect();
        self.reduce(super::How::Mean, "global_average_pool", &axes, true, Location::caller())
    }

    /// What a window along the last axes sees at each position: `[.., positions.., kernel..]`, 0 beyond the elements.
    #[track_caller]
    pub fn windows(self, window: &Window) -> Tensor<'g> {
        self.scope.composed(&[self], Location::caller(), |g, o| {
            let value = latentc_ir::dtype::Literal::zero(g.dense("windows", o[0])?.dtype);
            g.try_emit(latentc_ir::ops::windows::Windows { window: window.clone(), value }, o)
        })
    }

    /// `out` positions along an axis, by interpolation.
    #[track_caller]
    pub fn resize(self, axis: impl AxisLike, out: impl DimLike, how: &Resize) -> Tensor<'g> {
        let at = Location::caller();
        let (Some(axes), Some(out)) = (self.axes(&[axis], "resize", at), out.resolve(self.scope, at)) else {
            return self.scope.poisoned(at);
        };
        self.scope.composed(&[self], at, |g, o| g.resize_axis(o[0], axes[0] as i64, &out, how))
    }

    /// Values at places `[n, o.., k]` for `k` axes `s`: `[n, c, o..]`. Places are given from the last axis to the
    /// first, -1 to 1 from one end to the other: from the middle of the first element to that of the last
    /// (`align_corners`), else from edge to edge.
    #[track_caller]
    pub fn grid_sample(
        self,
        places: Tensor<'g>,
        mode: Sampling,
        beyond: Beyond,
        align_corners: bool,
    ) -> Tensor<'g> {
        self.scope.composed(&[self, places], Location::caller(), |g, o| {
            g.grid_sample(o[0], o[1], mode, beyond, align_corners)
        })
    }

    /// For regions `corners [r, 4]` (`x1, y1, x2, y2`) of the images that `images [r]` names, the means of parts of each:
    /// `[r, c, parts..]`; see [`RoiAlign`].
    #[track_caller]
    pub fn roi_align(self, corners: Tensor<'g>, images: Tensor<'g>, how: &RoiAlign) -> Tensor<'g> {
        let at = Location::caller();
        self.scope.composed(&[self, corners, images], at, |g, o| g.roi_align(o[0], o[1], o[2], how))
    }

    /// `[n, c, s..] -> [n, c / block^k, s * block..]` for `k` axes `s`: channels become neighbours.
    #[track_caller]
    pub fn depth_to_space(self, block: i64) -> Tensor<'g> {
        self.scope.composed(&[self], Location::caller(), |g, o| g.depth_to_space(o[0], block, true))
    }

    /// The inverse of [`Tensor::depth_to_space`].
    #[track_caller]
    pub fn space_to_depth(self, block: i64) -> Tensor<'g> {
        self.scope.composed(&[self], Location::caller(), |g, o| g.space_to_depth(o[0], block))
    }

    /// The greatest over all axes behind the channels, which the result keeps with size 1.
    #[track_caller]
    pub fn global_max_pool(self) -> Tensor<'g> {
        let at = Location::caller();
        self.scope.composed(&[self], at, |g, o| {
            let shape = g.dense("global_max_pool", o[0])?.shape;
            let kept = (0..shape.len()).map(|a| if a < 2 { shape[a].clone() } else { 1.into() }).collect();
            let most = g.reduce(ReduceOp::Max, o[0], (2..shape.len()).collect());
            Ok(g.reshape(most, kept))
        })
    }
}
