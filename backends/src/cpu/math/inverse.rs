//! Inverse trigonometric functions, by way of binary64: all are the angle of a point.

use inkwell::FloatPredicate;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use super::super::vector::{Ops, R, V};

/// `atan(q) / q` in powers of `q^2` for q up to `tan(pi / 8)`, within 8e-13.
const ATAN: [f64; 8] = [
    -0.037_699_718_130_417_19,
    0.069_768_925_159_273_65,
    -0.089_931_927_082_069_32,
    0.111_035_322_775_526_44,
    -0.142_853_911_150_851_14,
    0.199_999_931_851_604_67,
    -0.333_333_332_783_487_7,
    0.999_999_999_999_27,
];
const TAN_PI_8: f64 = std::f64::consts::SQRT_2 - 1.0;

impl<'c> Ops<'c> {
    /// The angle of the point `(x, y)` in binary64, with C's rules for zeros and infinities; NaN where either
    /// is.
    fn angle(&self, y: V<'c>, x: V<'c>) -> R<'c> {
        let (height, width) = (self.intrinsic("llvm.fabs", &[y])?, self.intrinsic("llvm.fabs", &[x])?);
        let steep = self.fcmp(FloatPredicate::OGT, height, width)?;
        let (low, high) = (self.select(steep, width, height)?, self.select(steep, height, width)?);
        // Beyond pi / 8 what is left of pi / 4: atan(q) = pi / 4 + atan((q - 1) / (q + 1)).
        let far = self.fcmp(FloatPredicate::OGT, low, self.mul(high, self.f(high, TAN_PI_8))?)?;
        let zero = self.f(x, 0.0);
        let equal = self.fcmp(FloatPredicate::OEQ, low, high)?;
        // Equal sizes may be infinite, or zero, which is not far.
        let above = self.select(equal, zero, self.sub(low, high)?)?;
        let above = self.select(far, above, low)?;
        let below = self.select(far, self.add(low, high)?, high)?;
        let empty = self.fcmp(FloatPredicate::OEQ, below, zero)?;
        let q = self.div(above, self.select(empty, self.f(x, 1.0), below)?)?;
        let r = self.mul(q, self.poly(self.mul(q, q)?, &ATAN)?)?;
        let r = self.add(r, self.select(far, self.f(x, FRAC_PI_4), zero)?)?;
        let r = self.select(steep, self.sub(self.f(x, FRAC_PI_2), r)?, r)?;
        let sign = self.intrinsic("llvm.copysign", &[self.f(x, 1.0), x])?;
        let left = self.fcmp(FloatPredicate::OLT, sign, zero)?;
        let r = self.select(left, self.sub(self.f(x, PI), r)?, r)?;
        let r = self.intrinsic("llvm.copysign", &[r, y])?;
        let unordered = self.fcmp(FloatPredicate::UNO, x, y)?;
        self.select(unordered, self.f(x, f64::NAN), r)
    }

    pub(crate) fn atan2_f32(&self, y: V<'c>, x: V<'c>) -> R<'c> {
        self.narrowed(self.angle(self.widened(y)?, self.widened(x)?)?)
    }

    pub(crate) fn atan_f32(&self, x: V<'c>) -> R<'c> {
        let x = self.widened(x)?;
        self.narrowed(self.angle(x, self.f(x, 1.0))?)
    }

    /// The other side of the right triangle with this one and a longest side of 1: `1 - x` and `1 + x` are
    /// exact. NaN beyond 1.
    fn other_side(&self, x: V<'c>) -> R<'c> {
        let one = self.f(x, 1.0);
        self.intrinsic("llvm.sqrt", &[self.mul(self.sub(one, x)?, self.add(one, x)?)?])
    }

    pub(crate) fn asin_f32(&self, x: V<'c>) -> R<'c> {
        let x = self.widened(x)?;
        self.narrowed(self.angle(x, self.other_side(x)?)?)
    }

    pub(crate) fn acos_f32(&self, x: V<'c>) -> R<'c> {
        let x = self.widened(x)?;
        self.narrowed(self.angle(self.other_side(x)?, x)?)
    }
}
