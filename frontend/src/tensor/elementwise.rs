//! Functions of each element.

use super::{Arg, Tensor};
use crate::dims::At;
use latentc_ir::dtype::DType;
use latentc_ir::ops::bitcast::Bitcast;
use latentc_ir::scalar::ScalarOp;
use std::panic::Location;

macro_rules! unary {
    ($($(#[doc = $doc:literal])+ $name:ident = $op:ident;)+) => {
        impl<'g> Tensor<'g> {$(
            $(#[doc = $doc])+
            #[track_caller]
            pub fn $name(self) -> Tensor<'g> {
                self.map(ScalarOp::$op, Location::caller())
            }
        )+}
    };
}

unary! {
    /// `|x|`
    abs = Abs;
    /// `-1`, `0` or `1`; keeps NaN
    sign = Sign;
    /// `e^x`
    exp = Exp;
    /// `e^x - 1`, exact near 0
    expm1 = Expm1;
    /// natural logarithm
    log = Log;
    /// `log(1 + x)`, exact near 0
    log1p = Log1p;
    /// square root
    sqrt = Sqrt;
    /// `1 / sqrt(x)`
    rsqrt = Rsqrt;
    /// `1 / x`
    recip = Recip;
    /// `x * x`
    square = Square;
    /// sine, radians
    sin = Sin;
    /// cosine, radians
    cos = Cos;
    /// tangent, radians
    tan = Tan;
    /// the angle in `[-pi/2, pi/2]` with this sine; NaN beyond 1
    asin = Asin;
    /// the angle in `[0, pi]` with this cosine; NaN beyond 1
    acos = Acos;
    /// the angle in `[-pi/2, pi/2]` with this tangent
    atan = Atan;
    /// hyperbolic sine
    sinh = Sinh;
    /// hyperbolic cosine
    cosh = Cosh;
    /// hyperbolic tangent
    tanh = Tanh;
    /// inverse of the hyperbolic sine
    asinh = Asinh;
    /// inverse of the hyperbolic cosine, at least 0; NaN below 1
    acosh = Acosh;
    /// inverse of the hyperbolic tangent; NaN beyond 1
    atanh = Atanh;
    /// logarithm of the size of the gamma function
    lgamma = Lgamma;
    /// derivative of [`Tensor::lgamma`]
    digamma = Digamma;
    /// Gauss error function
    erf = Erf;
    /// `1 / (1 + e^-x)`
    sigmoid = Sigmoid;
    /// `log(1 + e^x)`, without overflow
    softplus = Softplus;
    /// `max(x, 0)`; keeps NaN
    relu = Relu;
    /// greatest integer not above, as a float
    floor = Floor;
    /// least integer not below, as a float
    ceil = Ceil;
    /// the integer part, towards zero, as a float
    trunc = Trunc;
    /// nearest integer, ties to even, as a float
    round = Round;
}

macro_rules! binary {
    ($($(#[doc = $doc:literal])+ $name:ident = $op:ident;)+) => {
        impl<'g> Tensor<'g> {$(
            $(#[doc = $doc])+
            #[track_caller]
            pub fn $name(self, other: impl Arg<'g>) -> Tensor<'g> {
                self.apply(ScalarOp::$op, other, Location::caller())
            }
        )+}
    };
}

binary! {
    /// `self^other`
    pow = Pow;
    /// remainder with the sign of `self`, as C's `fmod`; `%` has that of `other`
    fmod = Fmod;
    /// the angle of the point `(other, self)`, in `[-pi, pi]`
    atan2 = Atan2;
    /// the greater; NaN if either is NaN
    maximum = Max;
    /// the lesser; NaN if either is NaN
    minimum = Min;
    /// `self == other`, a bool tensor
    eq = Eq;
    /// `self != other`, a bool tensor
    ne = Ne;
    /// `self < other`, a bool tensor
    lt = Lt;
    /// `self <= other`, a bool tensor
    le = Le;
    /// `self > other`, a bool tensor
    gt = Gt;
    /// `self >= other`, a bool tensor
    ge = Ge;
}

impl<'g> Tensor<'g> {
    /// The same numbers in another element type: float to int truncates and saturates (NaN gives 0), int to
    /// int wraps, to bool is `!= 0`.
    #[track_caller]
    pub fn cast(self, to: DType) -> Tensor<'g> {
        self.cast_at(to, Location::caller())
    }

    /// The bits of each element as an element of another type of the same size. Which of many bit patterns a NaN has is
    /// not kept.
    #[track_caller]
    pub fn bitcast(self, to: DType) -> Tensor<'g> {
        self.emit(Bitcast { to }, Location::caller())
    }

    /// Of a bool tensor: `yes` where true, else `no`. The three shapes meet as in any operation.
    #[track_caller]
    pub fn select(self, yes: Tensor<'g>, no: impl Arg<'g>) -> Tensor<'g> {
        self.choose(yes, no, Location::caller())
    }

    pub(crate) fn choose(self, yes: Tensor<'g>, no: impl Arg<'g>, at: At) -> Tensor<'g> {
        self.scope.elementwise(ScalarOp::Select, &[self, yes, no.tensor(yes, at)], at)
    }

    /// Whether an element is NaN, a bool tensor.
    #[track_caller]
    pub fn is_nan(self) -> Tensor<'g> {
        self.apply(ScalarOp::Ne, self, Location::caller())
    }

    /// Whether an element is an infinity of either sign, a bool tensor.
    #[track_caller]
    pub fn is_inf(self) -> Tensor<'g> {
        let at = Location::caller();
        self.map(ScalarOp::Abs, at).apply(ScalarOp::Eq, f64::INFINITY, at)
    }

    /// Whether an element is neither NaN nor an infinity, a bool tensor.
    #[track_caller]
    pub fn is_finite(self) -> Tensor<'g> {
        let at = Location::caller();
        self.map(ScalarOp::Abs, at).apply(ScalarOp::Lt, f64::INFINITY, at)
    }

    /// Within `lo..=hi`.
    #[track_caller]
    pub fn clamp(self, lo: f64, hi: f64) -> Tensor<'g> {
        let at = Location::caller();
        self.apply(ScalarOp::Max, lo, at).apply(ScalarOp::Min, hi, at)
    }
}
