//! Normalisation, and dropout.

use super::Tensor;
use super::reduce::How;
use crate::dims::AxisLike;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::ops::dropout::Dropout;
use latentc_ir::ops::log_sum_exp::LogSumExp;
use latentc_ir::ops::softmax::Softmax;
use latentc_ir::scalar::ScalarOp;
use std::panic::Location;

impl<'g> Tensor<'g> {
    /// `exp(x) / sum exp(x)` along the last axis, without overflow.
    #[track_caller]
    pub fn softmax(self) -> Tensor<'g> {
        self.emit(Softmax, Location::caller())
    }

    /// `log sum exp(x)` along the last axis, which the result no longer has, without overflow.
    #[track_caller]
    pub fn log_sum_exp(self) -> Tensor<'g> {
        self.emit(LogSumExp, Location::caller())
    }

    /// The logarithm of [`Tensor::softmax`], without overflow.
    #[track_caller]
    pub fn log_softmax(self) -> Tensor<'g> {
        let at = Location::caller();
        let total = self.emit(LogSumExp, at);
        let Some(mut shape) = total.ty().map(|t| t.shape) else { return total };
        shape.push(1.into());
        self.apply(ScalarOp::Sub, total.reshape_to(shape, at), at)
    }

    /// `(x - mean) / sqrt(variance + eps)` over the axes from `axis` on; `scale` and `bias` are usually applied after it.
    #[track_caller]
    pub fn layer_norm(self, axis: impl AxisLike, eps: f64) -> Tensor<'g> {
        let at = Location::caller();
        let Some(axes) = self.axes(&[axis], "layer_norm", at) else { return self.scope.poisoned(at) };
        self.scope.composed(&[self], at, |g, o| Ok(g.layer_norm(o[0], None, None, axes[0] as i64, eps)?.y))
    }

    /// `x / sqrt(mean(x^2) + eps)` over the axes from `axis` on.
    #[track_caller]
    pub fn rms_norm(self, axis: impl AxisLike, eps: f64) -> Tensor<'g> {
        let at = Location::caller();
        let Some(axes) = self.axes(&[axis], "rms_norm", at) else { return self.scope.poisoned(at) };
        self.scope.composed(&[self], at, |g, o| g.rms_norm(o[0], None, axes[0] as i64, eps))
    }

    /// Normalisation of `[n, c, s..]` over groups of channels and all `s`, times `scale [c]`, plus `bias [c]`. As many
    /// groups as channels make it instance normalisation.
    #[track_caller]
    pub fn group_norm(self, groups: usize, scale: Tensor<'g>, bias: Tensor<'g>, eps: f64) -> Tensor<'g> {
        self.scope.composed(&[self, scale, bias], Location::caller(), |g, o| {
            g.group_norm(o[0], groups as i64, Some(o[1]), Some(o[2]), eps)
        })
    }

    /// Normalisation of the channels of `[n, c, s..]` by given `mean [c]` and `variance [c]`, times `scale [c]`, plus
    /// `bias [c]`; [`Tensor::channel_statistics`] gives those of the tensor itself.
    #[track_caller]
    pub fn batch_norm(
        self,
        scale: Tensor<'g>,
        bias: Tensor<'g>,
        (mean, variance): (Tensor<'g>, Tensor<'g>),
        eps: f64,
    ) -> Tensor<'g> {
        self.scope.composed(&[self, scale, bias, mean, variance], Location::caller(), |g, o| {
            g.batch_norm(o[0], o[1], o[2], [o[3], o[4]], eps)
        })
    }

    /// Mean and variance, `[c]` each, of the channels of `[n, c, s..]`.
    #[track_caller]
    pub fn channel_statistics(self) -> (Tensor<'g>, Tensor<'g>) {
        let [mean, variance] =
            self.scope.composed_all(&[self], Location::caller(), |g, o| g.channel_statistics(o[0]));
        (mean, variance)
    }

    /// Half the sum of the squares of all elements: the penalty whose gradient is `x`.
    #[track_caller]
    pub fn half_square_sum(self) -> Tensor<'g> {
        let at = Location::caller();
        let axes: Vec<usize> = (0..self.rank()).collect();
        let sum = self.map(ScalarOp::Square, at).reduce(How::Sum, "half_square_sum", &axes, false, at);
        sum.apply(ScalarOp::Mul, 0.5, at)
    }

    /// The Euclidean norm along the last axis, which the result no longer has. Its gradient at a row of zeros
    /// is not a number; [`Tensor::normalize_rows`] has none of that.
    #[track_caller]
    pub fn norm_rows(self) -> Tensor<'g> {
        let at = Location::caller();
        let sum = self.map(ScalarOp::Square, at).reduce(How::Sum, "norm_rows", &[-1], false, at);
        sum.map(ScalarOp::Sqrt, at)
    }

    /// `x / max(norm of x along the last axis, eps)`. Rows shorter than `eps`, rows of zeros too, have a finite
    /// gradient: that of `x / eps`. `eps` is at least 1e-12.
    #[track_caller]
    pub fn normalize_rows(self, eps: f64) -> Tensor<'g> {
        let at = Location::caller();
        // Below, the derivative of `rsqrt` at eps^2 is beyond f32.
        if eps.is_nan() || eps < 1e-12 {
            self.fault(at, format!("`normalize_rows` with eps {eps}; it is at least 1e-12"), "here");
            return self.scope.poisoned(at);
        }
        // The square is bounded before the root is taken: the root is never near its singular point.
        let square = self.map(ScalarOp::Square, at).reduce(How::Sum, "normalize_rows", &[-1], true, at);
        let scale = square.apply(ScalarOp::Max, eps * eps, at).map(ScalarOp::Rsqrt, at);
        self.apply(ScalarOp::Mul, scale, at)
    }

    /// Zeroes each element with probability `rate` and divides the others by `1 - rate`; `rate` is in `0..1`,
    /// and 0 gives the tensor itself. Draws are new at every run and at every call.
    #[track_caller]
    pub fn dropout(self, rate: f64) -> Tensor<'g> {
        let at = Location::caller();
        if self.value.is_none() {
            return self;
        }
        // A stream is taken even at rate 0, so that one rate does not change the draws of others; seed and step
        // are not, so that a program without draws keeps no state for them.
        if rate == 0.0 {
            self.scope.next_stream();
            return self;
        }
        let Some(([seed, step], stream)) = self.scope.draw(at) else { return self.scope.poisoned(at) };
        let op = Dropout { rate: Literal::float(DType::F64, rate), stream };
        self.scope.emit(op, &[self, seed, step], at)
    }
}
