//! Activation functions, written in operations that fuse.
//!
//! None takes an exponential of what may be large, so values and gradients are finite wherever the function is.

use super::Tensor;
use latentc_ir::scalar::ScalarOp;
use std::f64::consts::{FRAC_1_SQRT_2, PI};
use std::panic::Location;

impl<'g> Tensor<'g> {
    /// `x` where positive, else `slope * x`.
    #[track_caller]
    pub fn leaky_relu(self, slope: f64) -> Tensor<'g> {
        let at = Location::caller();
        let scaled = self.apply(ScalarOp::Mul, slope, at);
        self.apply(ScalarOp::Gt, 0, at).choose(self, scaled, at)
    }

    /// `x` where positive, else `slope * x` with slopes that repeat to the shape.
    #[track_caller]
    pub fn prelu(self, slope: Tensor<'g>) -> Tensor<'g> {
        let at = Location::caller();
        let scaled = self.apply(ScalarOp::Mul, slope, at);
        self.apply(ScalarOp::Gt, 0, at).choose(self, scaled, at)
    }

    /// Within `0..=6`.
    #[track_caller]
    pub fn relu6(self) -> Tensor<'g> {
        let at = Location::caller();
        self.map(ScalarOp::Relu, at).apply(ScalarOp::Min, 6, at)
    }

    /// `x` above `threshold`, else 0.
    #[track_caller]
    pub fn thresholded_relu(self, threshold: f64) -> Tensor<'g> {
        let at = Location::caller();
        self.apply(ScalarOp::Gt, threshold, at).choose(self, 0, at)
    }

    /// `x` where positive, else `alpha (e^x - 1)`.
    #[track_caller]
    pub fn elu(self, alpha: f64) -> Tensor<'g> {
        let at = Location::caller();
        let low = self.apply(ScalarOp::Min, 0, at).map(ScalarOp::Expm1, at);
        self.map(ScalarOp::Relu, at).apply(ScalarOp::Add, low.apply(ScalarOp::Mul, alpha, at), at)
    }

    /// [`Tensor::elu`] with the constants that keep mean 0 and variance 1 (Klambauer et al. 2017).
    #[track_caller]
    pub fn selu(self) -> Tensor<'g> {
        let at = Location::caller();
        self.elu(1.673_263_242_354_377_2).apply(ScalarOp::Mul, 1.050_700_987_355_480_5, at)
    }

    /// `max(x, 0) + min(alpha (e^(x / alpha) - 1), 0)` for positive `alpha`.
    #[track_caller]
    pub fn celu(self, alpha: f64) -> Tensor<'g> {
        let at = Location::caller();
        let share = self.apply(ScalarOp::Div, alpha, at);
        let low = share.apply(ScalarOp::Min, 0, at).map(ScalarOp::Expm1, at);
        self.map(ScalarOp::Relu, at).apply(ScalarOp::Add, low.apply(ScalarOp::Mul, alpha, at), at)
    }

    /// `x` times the share of a normal distribution below it: `x (1 + erf(x / sqrt 2)) / 2`.
    #[track_caller]
    pub fn gelu(self) -> Tensor<'g> {
        let at = Location::caller();
        let erf = self.apply(ScalarOp::Mul, FRAC_1_SQRT_2, at).map(ScalarOp::Erf, at);
        let share = erf.apply(ScalarOp::Add, 1, at).apply(ScalarOp::Mul, 0.5, at);
        self.apply(ScalarOp::Mul, share, at)
    }

    /// [`Tensor::gelu`] by way of `tanh(sqrt(2 / pi) (x + 0.044715 x^3))` in place of the error function.
    #[track_caller]
    pub fn gelu_tanh(self) -> Tensor<'g> {
        let at = Location::caller();
        let cube = self.map(ScalarOp::Square, at).apply(ScalarOp::Mul, self, at);
        let inner = self.apply(ScalarOp::Add, cube.apply(ScalarOp::Mul, 0.044_715, at), at);
        let tanh = inner.apply(ScalarOp::Mul, (2.0 / PI).sqrt(), at).map(ScalarOp::Tanh, at);
        let share = tanh.apply(ScalarOp::Add, 1, at).apply(ScalarOp::Mul, 0.5, at);
        self.apply(ScalarOp::Mul, share, at)
    }

    /// `x sigmoid(x)`
    #[track_caller]
    pub fn silu(self) -> Tensor<'g> {
        let at = Location::caller();
        self.apply(ScalarOp::Mul, self.map(ScalarOp::Sigmoid, at), at)
    }

    /// `x sigmoid(beta x)`
    #[track_caller]
    pub fn swish(self, beta: f64) -> Tensor<'g> {
        let at = Location::caller();
        let gate = self.apply(ScalarOp::Mul, beta, at).map(ScalarOp::Sigmoid, at);
        self.apply(ScalarOp::Mul, gate, at)
    }

    /// `x tanh(softplus(x))`
    #[track_caller]
    pub fn mish(self) -> Tensor<'g> {
        let at = Location::caller();
        let gate = self.map(ScalarOp::Softplus, at).map(ScalarOp::Tanh, at);
        self.apply(ScalarOp::Mul, gate, at)
    }

    /// `alpha x + beta` within `0..=1`.
    #[track_caller]
    pub fn hard_sigmoid(self, alpha: f64, beta: f64) -> Tensor<'g> {
        let at = Location::caller();
        let line = self.apply(ScalarOp::Mul, alpha, at).apply(ScalarOp::Add, beta, at);
        line.apply(ScalarOp::Max, 0, at).apply(ScalarOp::Min, 1, at)
    }

    /// `x hard_sigmoid(x)` with slope 1/6 and height 1/2.
    #[track_caller]
    pub fn hard_swish(self) -> Tensor<'g> {
        let at = Location::caller();
        let gate = self.hard_sigmoid(1.0 / 6.0, 0.5);
        self.apply(ScalarOp::Mul, gate, at)
    }

    /// Within `-1..=1`.
    #[track_caller]
    pub fn hard_tanh(self) -> Tensor<'g> {
        self.clamp(-1.0, 1.0)
    }

    /// `x / (1 + |x|)`
    #[track_caller]
    pub fn softsign(self) -> Tensor<'g> {
        let at = Location::caller();
        let size = self.map(ScalarOp::Abs, at).apply(ScalarOp::Add, 1, at);
        self.apply(ScalarOp::Div, size, at)
    }

    /// `log sigmoid(x)`, without overflow.
    #[track_caller]
    pub fn log_sigmoid(self) -> Tensor<'g> {
        let at = Location::caller();
        self.map(ScalarOp::Neg, at).map(ScalarOp::Softplus, at).map(ScalarOp::Neg, at)
    }

    /// `x - bias` above `lambda`, `x + bias` below `-lambda`, else 0.
    #[track_caller]
    pub fn shrink(self, lambda: f64, bias: f64) -> Tensor<'g> {
        let at = Location::caller();
        let low = self.apply(ScalarOp::Lt, -lambda, at).choose(self.apply(ScalarOp::Add, bias, at), 0, at);
        self.apply(ScalarOp::Gt, lambda, at).choose(self.apply(ScalarOp::Sub, bias, at), low, at)
    }

    /// `x - tanh(x)`
    #[track_caller]
    pub fn tanh_shrink(self) -> Tensor<'g> {
        let at = Location::caller();
        self.apply(ScalarOp::Sub, self.map(ScalarOp::Tanh, at), at)
    }
}
