//! Hyperbolic functions and their inverses, by way of binary64, and the way there and back.

use inkwell::FloatPredicate;
use inkwell::values::InstructionOpcode as Op;
use std::f64::consts::{LN_2, LOG2_E};

use super::super::vector::{Ops, R, V};

/// Beyond it `sinh` and `cosh` are infinite in binary32.
const OVER: f64 = 100.0;
/// Below it the first terms of a series are closer than the formula, which takes a small difference.
const SMALL: f64 = 0.02;
/// `sinh(x) / x`, `asinh(x) / x` and `atanh(x) / x` in powers of `x^2`.
const SINH: [f64; 4] = [1.0 / 5040.0, 1.0 / 120.0, 1.0 / 6.0, 1.0];
const ASINH: [f64; 4] = [-5.0 / 112.0, 3.0 / 40.0, -1.0 / 6.0, 1.0];
const ATANH: [f64; 4] = [1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0];

impl<'c> Ops<'c> {
    /// A binary32 as binary64.
    pub(super) fn widened(&self, x: V<'c>) -> R<'c> {
        self.cast(Op::FPExt, x, self.ctx.f64_type().into())
    }

    /// A binary64 rounded to binary32.
    pub(super) fn narrowed(&self, x: V<'c>) -> R<'c> {
        self.cast(Op::FPTrunc, x, self.ctx.f32_type().into())
    }

    /// The natural logarithm of a binary64: infinite at 0 and infinity, NaN below 0 and at NaN.
    pub(super) fn log_wide(&self, x: V<'c>) -> R<'c> {
        let log = self.mul(self.log2_wide(x)?, self.f(x, LN_2))?;
        let infinite = self.fcmp(FloatPredicate::OEQ, x, self.f(x, f64::INFINITY))?;
        let log = self.select(infinite, x, log)?;
        let zero = self.fcmp(FloatPredicate::OEQ, x, self.f(x, 0.0))?;
        let log = self.select(zero, self.f(x, f64::NEG_INFINITY), log)?;
        let outside = self.fcmp(FloatPredicate::ULT, x, self.f(x, 0.0))?;
        self.select(outside, self.f(x, f64::NAN), log)
    }

    /// `e^|x|` and `e^-|x|` in binary64, NaN where x is.
    fn both_exponentials(&self, x: V<'c>) -> Result<(V<'c>, V<'c>), crate::cpu::EmitError> {
        let size = self.at_most(self.intrinsic("llvm.fabs", &[x])?, OVER)?;
        let up = self.exp2_wide(self.mul(size, self.f(x, LOG2_E))?)?;
        let up = self.select(self.fcmp(FloatPredicate::UNO, x, x)?, x, up)?;
        Ok((up, self.div(self.f(x, 1.0), up)?))
    }

    /// The series where x is small, else `r`, which has the size of the result; the sign of x.
    fn odd(&self, x: V<'c>, series: &[f64], r: V<'c>) -> R<'c> {
        let near = self.mul(x, self.poly(self.mul(x, x)?, series)?)?;
        let size = self.intrinsic("llvm.fabs", &[x])?;
        let small = self.fcmp(FloatPredicate::OLT, size, self.f(x, SMALL))?;
        self.select(small, near, self.intrinsic("llvm.copysign", &[r, x])?)
    }

    pub(crate) fn sinh_f32(&self, x: V<'c>) -> R<'c> {
        let x = self.widened(x)?;
        let (up, down) = self.both_exponentials(x)?;
        let r = self.mul(self.sub(up, down)?, self.f(x, 0.5))?;
        self.narrowed(self.odd(x, &SINH, r)?)
    }

    pub(crate) fn cosh_f32(&self, x: V<'c>) -> R<'c> {
        let x = self.widened(x)?;
        let (up, down) = self.both_exponentials(x)?;
        self.narrowed(self.mul(self.add(up, down)?, self.f(x, 0.5))?)
    }

    /// `log(|x| + sqrt(x^2 + 1))`
    pub(crate) fn asinh_f32(&self, x: V<'c>) -> R<'c> {
        let x = self.widened(x)?;
        let size = self.intrinsic("llvm.fabs", &[x])?;
        let root = self.intrinsic("llvm.sqrt", &[self.add(self.mul(x, x)?, self.f(x, 1.0))?])?;
        let r = self.log_wide(self.add(size, root)?)?;
        self.narrowed(self.odd(x, &ASINH, r)?)
    }

    /// `log(x + sqrt((x - 1) (x + 1)))`: of binary32 numbers `x - 1` is exact.
    pub(crate) fn acosh_f32(&self, x: V<'c>) -> R<'c> {
        let x = self.widened(x)?;
        let one = self.f(x, 1.0);
        let root = self.intrinsic("llvm.sqrt", &[self.mul(self.sub(x, one)?, self.add(x, one)?)?])?;
        let r = self.log_wide(self.add(x, root)?)?;
        let below = self.fcmp(FloatPredicate::OLT, x, one)?;
        self.narrowed(self.select(below, self.f(x, f64::NAN), r)?)
    }

    /// `log((1 + x) / (1 - x)) / 2`
    pub(crate) fn atanh_f32(&self, x: V<'c>) -> R<'c> {
        let x = self.widened(x)?;
        let (one, size) = (self.f(x, 1.0), self.intrinsic("llvm.fabs", &[x])?);
        let ratio = self.div(self.add(one, size)?, self.sub(one, size)?)?;
        let r = self.mul(self.log_wide(ratio)?, self.f(x, 0.5))?;
        self.narrowed(self.odd(x, &ATANH, r)?)
    }
}
