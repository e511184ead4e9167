//! Powers, by way of binary64: the product with the exponent magnifies the logarithm's error, which 24 bits
//! could not bear.

use inkwell::values::InstructionOpcode as Op;
use inkwell::{FloatPredicate, IntPredicate};

use super::super::vector::{Ops, R, V};

/// `2 / ((2k + 1) log 2)`, k falling: the series of log2((1 + s) / (1 - s)) in odd powers of s.
const LOG2: [f64; 9] = [
    0.16972882833987804,
    0.19235933878519512,
    0.2219530832136867,
    0.2623081892525388,
    0.3205988979753252,
    0.41219858311113244,
    0.5770780163555853,
    0.9617966939259757,
    2.8853900817779268,
];
/// `(log 2)^k / k!`, k falling: the series of 2^r.
const EXP2: [f64; 12] = [
    4.44553827187081e-10,
    7.054911620801121e-09,
    1.0178086009239696e-07,
    1.3215486790144305e-06,
    1.5252733804059838e-05,
    0.00015403530393381606,
    0.0013333558146428441,
    0.009618129107628477,
    0.055504108664821576,
    0.2402265069591007,
    std::f64::consts::LN_2,
    1.0,
];
const ROUNDER: f64 = 6_755_399_441_055_744.0;

impl<'c> Ops<'c> {
    /// `log2(x)` in binary64 for a positive finite normal binary64.
    pub(super) fn log2_wide(&self, x: V<'c>) -> R<'c> {
        let (i64, f64) = (self.ctx.i64_type().into(), self.ctx.f64_type().into());
        let bits = self.bits(x, i64)?;
        let sqrt_half = 0x3fe6_a09e_667f_3bcd;
        let t = self.isub(bits, self.i(bits, sqrt_half))?;
        let e = self.ashr(t, self.i(t, 52))?;
        let m = self.iadd(self.and(t, self.i(t, 0x000f_ffff_ffff_ffff))?, self.i(t, sqrt_half))?;
        let m = self.bits(m, f64)?;
        let one = self.f(x, 1.0);
        let s = self.div(self.sub(m, one)?, self.add(m, one)?)?;
        let e = self.cast(Op::Trunc, e, self.ctx.i32_type().into())?;
        let e = self.cast(Op::SIToFP, e, f64)?;
        self.mad(s, self.poly(self.mul(s, s)?, &LOG2)?, e)
    }

    /// `2^t` in binary64 for t from -1000 to 1000.
    pub(super) fn exp2_wide(&self, t: V<'c>) -> R<'c> {
        let (i64, f64) = (self.ctx.i64_type().into(), self.ctx.f64_type().into());
        let sum = self.add(t, self.f(t, ROUNDER))?;
        let r = self.sub(t, self.sub(sum, self.f(t, ROUNDER))?)?;
        let p = self.poly(r, &EXP2)?;
        let n = self.shl(self.bits(sum, i64)?, self.iconst(self.bits(sum, i64)?.get_type(), 52))?;
        self.bits(self.iadd(self.bits(p, i64)?, n)?, f64)
    }

    /// `x^y` with C's rules for zeros, infinities, negative numbers and NaN.
    pub(crate) fn pow_f32(&self, x: V<'c>, y: V<'c>) -> R<'c> {
        let (i32, f32, f64) =
            (self.ctx.i32_type().into(), self.ctx.f32_type().into(), self.ctx.f64_type().into());
        let size = self.intrinsic("llvm.fabs", &[x])?;
        let (wide, wide_y) = (self.cast(Op::FPExt, size, f64)?, self.cast(Op::FPExt, y, f64)?);
        let log = self.log2_wide(wide)?;
        let zero = self.fcmp(FloatPredicate::OEQ, wide, self.f(wide, 0.0))?;
        let log = self.select(zero, self.f(log, f64::NEG_INFINITY), log)?;
        let infinite = self.fcmp(FloatPredicate::OEQ, wide, self.f(wide, f64::INFINITY))?;
        let log = self.select(infinite, wide, log)?;
        let t = self.mul(log, wide_y)?;
        // One to any power, infinite ones included.
        let unit = self.fcmp(FloatPredicate::OEQ, log, self.f(log, 0.0))?;
        let t = self.select(unit, self.f(t, 0.0), t)?;
        let t = self.at_least(self.at_most(t, 200.0)?, -200.0)?;
        let r = self.cast(Op::FPTrunc, self.exp2_wide(t)?, f32)?;

        // The sign of an odd power, and no value for a broken power, of a negative number.
        let whole = self.fcmp(FloatPredicate::OEQ, self.intrinsic("llvm.floor", &[y])?, y)?;
        let half = self.mul(y, self.f(y, 0.5))?;
        let even = self.fcmp(FloatPredicate::OEQ, self.intrinsic("llvm.floor", &[half])?, half)?;
        let odd = self.and(whole, self.xor(even, self.i(even, -1))?)?;
        let xb = self.bits(x, i32)?;
        let negative_bit = self.icmp(IntPredicate::SLT, xb, self.i(xb, 0))?;
        let flip = self.and(odd, negative_bit)?;
        let r = self.select(flip, self.neg(r)?, r)?;
        let negative = self.fcmp(FloatPredicate::OLT, x, self.f(x, 0.0))?;
        let finite = self.fcmp(FloatPredicate::ONE, x, self.f(x, f64::NEG_INFINITY))?;
        let broken = self.and(self.and(negative, finite)?, self.xor(whole, self.i(whole, -1))?)?;
        let r = self.select(broken, self.f(x, f64::NAN), r)?;
        let unordered = self.fcmp(FloatPredicate::UNO, x, y)?;
        let r = self.select(unordered, self.f(x, f64::NAN), r)?;
        let one = self.fcmp(FloatPredicate::OEQ, x, self.f(x, 1.0))?;
        let to_zero = self.fcmp(FloatPredicate::OEQ, y, self.f(y, 0.0))?;
        self.select(self.or(one, to_zero)?, self.f(x, 1.0), r)
    }
}
