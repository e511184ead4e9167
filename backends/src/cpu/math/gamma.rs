//! The logarithm of the gamma function and its derivative, in binary64 throughout.
//!
//! Below one half by reflection, up to 10 at least by the recurrence, there by the asymptotic series
//! (Abramowitz and Stegun 6.1.17, 6.1.15, 6.1.41 and 6.3.7, 6.3.5, 6.3.18).

use inkwell::FloatPredicate;
use std::f64::consts::PI;

use super::super::vector::{Ops, R, V};
use crate::cpu::EmitError;

/// Steps of the recurrence.
const STEPS: usize = 10;
/// The series of `lgamma` behind `(w - 1/2) log w - w + log(2 pi) / 2`, in powers of `w^-2` times `1 / w`.
const LGAMMA: [f64; 7] =
    [1.0 / 156.0, -691.0 / 360_360.0, 1.0 / 1188.0, -1.0 / 1680.0, 1.0 / 1260.0, -1.0 / 360.0, 1.0 / 12.0];
/// The series of `digamma` behind `log w - 1 / 2 w`, in powers of `w^-2` times `-w^-2`.
const DIGAMMA: [f64; 7] =
    [1.0 / 12.0, -691.0 / 32_760.0, 1.0 / 132.0, -1.0 / 240.0, 1.0 / 252.0, -1.0 / 120.0, 1.0 / 12.0];
/// `sin(r) / r` in powers of `r^2`: its series, to a unit of binary64 on half a turn.
const SIN: [f64; 11] = [
    1.0 / 51_090_942_171_709_440_000.0,
    -1.0 / 121_645_100_408_832_000.0,
    1.0 / 355_687_428_096_000.0,
    -1.0 / 1_307_674_368_000.0,
    1.0 / 6_227_020_800.0,
    -1.0 / 39_916_800.0,
    1.0 / 362_880.0,
    -1.0 / 5040.0,
    1.0 / 120.0,
    -1.0 / 6.0,
    1.0,
];
const HALF_LOG_2_PI: f64 = 0.918_938_533_204_672_7;

/// A number on the right side of the reflection.
struct Right<'c> {
    /// Whether it was on the left.
    mirrored: V<'c>,
    /// At least 10, or the number itself where that is more.
    w: V<'c>,
    /// The product of the steps from the number to `w`, and its derivative.
    product: V<'c>,
    derivative: V<'c>,
    /// `pi` times what lies between the number and the nearest integer.
    angle: V<'c>,
}

impl<'c> Ops<'c> {
    /// The sine of a binary64 within a quarter turn of 0. It is a term that cancels: that of `sin_f32`, which
    /// is right to binary32, would not do.
    fn sine(&self, r: V<'c>) -> R<'c> {
        self.mul(self.poly(self.mul(r, r)?, &SIN)?, r)
    }

    fn cosine(&self, r: V<'c>) -> R<'c> {
        let size = self.intrinsic("llvm.fabs", &[r])?;
        self.sine(self.sub(self.f(r, PI / 2.0), size)?)
    }

    fn right(&self, x: V<'c>) -> Result<Right<'c>, EmitError> {
        let (zero, one) = (self.f(x, 0.0), self.f(x, 1.0));
        let mirrored = self.fcmp(FloatPredicate::OLT, x, self.f(x, 0.5))?;
        let z = self.select(mirrored, self.sub(one, x)?, x)?;
        let near = self.fcmp(FloatPredicate::OLT, z, self.f(x, STEPS as f64))?;
        let from = self.select(near, z, one)?;
        let (mut product, mut derivative) = (from, one);
        for i in 1..STEPS {
            let factor = self.add(from, self.f(x, i as f64))?;
            derivative = self.mad(derivative, factor, product)?;
            product = self.mul(product, factor)?;
        }
        let w = self.select(near, self.add(z, self.f(x, STEPS as f64))?, z)?;
        let product = self.select(near, product, one)?;
        let derivative = self.select(near, derivative, zero)?;
        let rest = self.sub(x, self.intrinsic("llvm.roundeven", &[x])?)?;
        let angle = self.mul(rest, self.f(x, PI))?;
        Ok(Right { mirrored, w, product, derivative, angle })
    }

    pub(crate) fn lgamma_f32(&self, x: V<'c>) -> R<'c> {
        let x = self.widened(x)?;
        let r = self.right(x)?;
        let inverse = self.div(self.f(x, 1.0), r.w)?;
        let series = self.mul(self.poly(self.mul(inverse, inverse)?, &LGAMMA)?, inverse)?;
        let log = self.log_wide(r.w)?;
        let most = self.sub(self.mul(self.sub(r.w, self.f(x, 0.5))?, log)?, r.w)?;
        let most = self.add(most, self.f(x, HALF_LOG_2_PI))?;
        let up = self.sub(self.add(most, series)?, self.log_wide(r.product)?)?;
        // log(pi / |sin(pi x)|) - lgamma(1 - x)
        let sine = self.intrinsic("llvm.fabs", &[self.sine(r.angle)?])?;
        let share = self.log_wide(self.div(self.f(x, PI), sine)?)?;
        let y = self.select(r.mirrored, self.sub(share, up)?, up)?;
        // What is left of terms that cancel would be nothing but their rounding.
        let one = self.fcmp(FloatPredicate::OEQ, x, self.f(x, 1.0))?;
        let two = self.fcmp(FloatPredicate::OEQ, x, self.f(x, 2.0))?;
        let y = self.select(self.or(one, two)?, self.f(x, 0.0), y)?;
        // Infinite at integers, where the sine is 0, and at both infinities.
        let size = self.intrinsic("llvm.fabs", &[x])?;
        let endless = self.fcmp(FloatPredicate::OEQ, size, self.f(x, f64::INFINITY))?;
        let pole = self.and(r.mirrored, self.fcmp(FloatPredicate::OEQ, sine, self.f(x, 0.0))?)?;
        let y = self.select(self.or(endless, pole)?, self.f(x, f64::INFINITY), y)?;
        self.narrowed(self.select(self.fcmp(FloatPredicate::UNO, x, x)?, x, y)?)
    }

    pub(crate) fn digamma_f32(&self, x: V<'c>) -> R<'c> {
        let wide = self.widened(x)?;
        let r = self.right(wide)?;
        let cotangent = self.div(self.cosine(r.angle)?, self.sine(r.angle)?)?;
        let log = self.log_wide(r.w)?;
        self.narrowed(self.digamma(wide, &r, cotangent, log)?)
    }

    pub(crate) fn digamma_f64(&self, x: V<'c>) -> R<'c> {
        let r = self.right(x)?;
        let cotangent = self.div(self.f(x, 1.0), self.libm("tan", &[r.angle])?)?;
        let log = self.libm("log", &[r.w])?;
        self.digamma(x, &r, cotangent, log)
    }

    fn digamma(&self, x: V<'c>, r: &Right<'c>, cotangent: V<'c>, log: V<'c>) -> R<'c> {
        let one = self.f(x, 1.0);
        let inverse = self.div(one, r.w)?;
        let square = self.mul(inverse, inverse)?;
        let series = self.mul(self.poly(square, &DIGAMMA)?, square)?;
        let up = self.sub(self.sub(log, self.mul(inverse, self.f(x, 0.5))?)?, series)?;
        let up = self.sub(up, self.div(r.derivative, r.product)?)?;
        let down = self.sub(up, self.mul(cotangent, self.f(x, PI))?)?;
        let y = self.select(r.mirrored, down, up)?;
        // A pole of one sign at zero, of both at the other integers.
        let whole = self.fcmp(FloatPredicate::OEQ, self.intrinsic("llvm.floor", &[x])?, x)?;
        let negative = self.fcmp(FloatPredicate::OLT, x, self.f(x, 0.0))?;
        let y = self.select(self.and(whole, negative)?, self.f(x, f64::NAN), y)?;
        let zero = self.fcmp(FloatPredicate::OEQ, x, self.f(x, 0.0))?;
        let y = self.select(zero, self.div(self.f(x, -1.0), x)?, y)?;
        let endless = self.fcmp(FloatPredicate::OEQ, x, self.f(x, f64::INFINITY))?;
        self.select(endless, x, y)
    }
}
