//! Exponentials, logarithms and the functions made of them.

use inkwell::{FloatPredicate, IntPredicate};

use super::super::vector::{Ops, R, V};
use crate::cpu::EmitError;

/// Adding it to a small number leaves the nearest integer in the low bits of the sum.
const ROUNDER: f64 = 12_582_912.0;
const ROUNDER_BITS: i64 = 0x4b40_0000;
const LN2_HI: f64 = 0.693_145_751_953_125;
const LN2_LO: f64 = 1.428_606_765_330_187e-6;
/// `(e^r - 1 - r) / r^2` on half a binade of r.
const EXP: [f64; 6] = [
    1.987_569_15e-4,
    1.398_199_950_7e-3,
    8.333_451_907_3e-3,
    4.166_579_589_4e-2,
    1.666_666_545_9e-1,
    5.000_000_120_1e-1,
];
/// `(log(1 + f) - f + f^2 / 2) / f^3` on [sqrt(1/2) - 1, sqrt(2) - 1].
const LOG: [f64; 9] = [
    7.037_683_629_2e-2,
    -1.151_461_031_0e-1,
    1.167_699_874_0e-1,
    -1.242_014_084_6e-1,
    1.424_932_278_7e-1,
    -1.666_805_766_5e-1,
    2.000_071_476_5e-1,
    -2.499_999_399_3e-1,
    3.333_333_117_4e-1,
];
const ERF_P: [f64; 7] = [
    -2.726_142_258_013_06e-10,
    2.770_681_424_959_02e-8,
    -2.101_024_020_825_08e-6,
    -5.692_506_394_623_46e-5,
    -7.349_906_303_268_55e-4,
    -2.954_599_808_540_25e-3,
    -1.609_603_332_624_15e-2,
];
const ERF_Q: [f64; 5] = [
    -1.456_607_184_649_96e-5,
    -2.133_740_552_789_05e-4,
    -1.682_827_034_382_03e-3,
    -7.373_329_167_204_68e-3,
    -1.426_473_905_141_89e-2,
];
/// Above it erf is nearer to 1 than to the binary32 below 1.
const ERF_IS_ONE: f64 = 3.919_206;

impl<'c> Ops<'c> {
    fn int_of(&self, v: V<'c>) -> R<'c> {
        self.bits(v, self.ctx.i32_type().into())
    }

    fn float_of(&self, v: V<'c>) -> R<'c> {
        self.bits(v, self.ctx.f32_type().into())
    }

    /// `n` and `e^r - 1` with `x = n log 2 + r`; `n` as an integer.
    fn exp_parts(&self, x: V<'c>) -> Result<(V<'c>, V<'c>), EmitError> {
        let t = self.mad(x, self.f(x, std::f64::consts::LOG2_E), self.f(x, ROUNDER))?;
        let n = self.sub(t, self.f(x, ROUNDER))?;
        let r = self.mad(n, self.f(x, -LN2_HI), x)?;
        let r = self.mad(n, self.f(x, -LN2_LO), r)?;
        let p = self.mad(self.mul(r, r)?, self.poly(r, &EXP)?, r)?;
        let bits = self.int_of(t)?;
        Ok((self.isub(bits, self.i(bits, ROUNDER_BITS))?, p))
    }

    /// `2^n` for n from -126 to 127.
    fn power_of_two(&self, n: V<'c>) -> R<'c> {
        self.float_of(self.shl(self.iadd(n, self.i(n, 127))?, self.i(n, 23))?)
    }

    pub(crate) fn exp_f32(&self, x: V<'c>) -> R<'c> {
        let x = self.at_least(self.at_most(x, 89.0)?, -104.0)?;
        let (n, p) = self.exp_parts(x)?;
        let y = self.add(p, self.f(x, 1.0))?;
        let half = self.ashr(n, self.i(n, 1))?;
        let rest = self.isub(n, half)?;
        self.mul(self.mul(y, self.power_of_two(half)?)?, self.power_of_two(rest)?)
    }

    pub(crate) fn expm1_f32(&self, x: V<'c>) -> R<'c> {
        let c = self.at_least(self.at_most(x, 89.0)?, -80.0)?;
        let (n, p) = self.exp_parts(c)?;
        // Half of the result, so that the power of two is finite.
        let s = self.power_of_two(self.isub(n, self.i(n, 1))?)?;
        let h = self.mad(s, p, self.sub(s, self.f(x, 0.5))?)?;
        let r = self.add(h, h)?;
        let tiny = self.fcmp(FloatPredicate::OLT, self.intrinsic("llvm.fabs", &[x])?, self.f(x, 3e-8))?;
        self.select(tiny, x, r)
    }

    /// `log(u) + c` for positive finite `u`; other `u` are left to [`Self::log_limits`].
    fn log_core(&self, u: V<'c>, c: Option<V<'c>>) -> R<'c> {
        let small = self.fcmp(FloatPredicate::OLT, u, self.f(u, f64::from(f32::MIN_POSITIVE)))?;
        let u = self.select(small, self.mul(u, self.f(u, 8_388_608.0))?, u)?;
        let bits = self.int_of(u)?;
        // u = 2^e m with m from sqrt(1/2) to sqrt(2).
        let t = self.isub(bits, self.i(bits, 0x3f35_04f3))?;
        let e = self.ashr(t, self.i(t, 23))?;
        let e = self.select(small, self.isub(e, self.i(e, 23))?, e)?;
        let m = self.iadd(self.and(t, self.i(t, 0x007f_ffff))?, self.i(t, 0x3f35_04f3))?;
        let f = self.sub(self.float_of(m)?, self.f(u, 1.0))?;
        let e = self.cast(inkwell::values::InstructionOpcode::SIToFP, e, self.ctx.f32_type().into())?;
        let z = self.mul(f, f)?;
        let y = self.mul(self.mul(self.poly(f, &LOG)?, f)?, z)?;
        let y = self.mad(e, self.f(u, -2.121_944_40e-4), y)?;
        let y = match c {
            Some(c) => self.add(y, c)?,
            None => y,
        };
        let y = self.mad(z, self.f(u, -0.5), y)?;
        self.mad(e, self.f(u, 0.693_359_375), self.add(f, y)?)
    }

    /// The logarithm's values at zero, infinity, negative numbers and NaN.
    fn log_limits(&self, u: V<'c>, r: V<'c>) -> R<'c> {
        let infinite = self.fcmp(FloatPredicate::OEQ, u, self.f(u, f64::INFINITY))?;
        let r = self.select(infinite, u, r)?;
        let zero = self.fcmp(FloatPredicate::OEQ, u, self.f(u, 0.0))?;
        let r = self.select(zero, self.f(u, f64::NEG_INFINITY), r)?;
        let outside = self.fcmp(FloatPredicate::ULT, u, self.f(u, 0.0))?;
        self.select(outside, self.f(u, f64::NAN), r)
    }

    pub(crate) fn log_f32(&self, x: V<'c>) -> R<'c> {
        self.log_limits(x, self.log_core(x, None)?)
    }

    pub(crate) fn log1p_f32(&self, x: V<'c>) -> R<'c> {
        let one = self.f(x, 1.0);
        let u = self.add(x, one)?;
        // What the sum lost, as a correction of the logarithm.
        let large = self.fcmp(FloatPredicate::OGE, x, one)?;
        let lost = self.select(large, self.sub(one, self.sub(u, x)?)?, self.sub(x, self.sub(u, one)?)?)?;
        let r = self.log_limits(u, self.log_core(u, Some(self.div(lost, u)?))?)?;
        let tiny = self.fcmp(FloatPredicate::OLT, self.intrinsic("llvm.fabs", &[x])?, self.f(x, 3e-8))?;
        self.select(tiny, x, r)
    }

    pub(crate) fn sigmoid_f32(&self, x: V<'c>) -> R<'c> {
        let one = self.f(x, 1.0);
        let e = self.exp_f32(self.neg(self.intrinsic("llvm.fabs", &[x])?)?)?;
        let below = self.fcmp(FloatPredicate::OLT, x, self.f(x, 0.0))?;
        self.div(self.select(below, e, one)?, self.add(e, one)?)
    }

    pub(crate) fn softplus_f32(&self, x: V<'c>) -> R<'c> {
        let e = self.exp_f32(self.neg(self.intrinsic("llvm.fabs", &[x])?)?)?;
        self.add(self.at_least(x, 0.0)?, self.log1p_f32(e)?)
    }

    /// `(e^2x - 1) / (e^2x + 1)` for the size of x, which loses nothing near zero and ends in 1.
    pub(crate) fn tanh_f32(&self, x: V<'c>) -> R<'c> {
        // At 10 the quotient is 1 long since, and no power overflows.
        let size = self.at_most(self.intrinsic("llvm.fabs", &[x])?, 10.0)?;
        let (n, p) = self.exp_parts(self.add(size, size)?)?;
        let s = self.power_of_two(n)?;
        let e = self.mad(s, p, self.sub(s, self.f(x, 1.0))?)?;
        let r = self.div(e, self.add(e, self.f(x, 2.0))?)?;
        self.intrinsic("llvm.copysign", &[r, x])
    }

    /// `x p(x^2) / q(x^2)`, a line near zero, and 1 from where 1 is the nearest number on.
    pub(crate) fn erf_f32(&self, x: V<'c>) -> R<'c> {
        let size = self.intrinsic("llvm.fabs", &[x])?;
        let y = self.at_least(self.at_most(x, 4.0)?, -4.0)?;
        let s = self.mul(y, y)?;
        let r = self.div(self.mul(y, self.poly(s, &ERF_P)?)?, self.poly(s, &ERF_Q)?)?;
        let r = self.at_least(self.at_most(r, 1.0)?, -1.0)?;
        let near = self.fcmp(FloatPredicate::OLT, size, self.f(x, 4e-4))?;
        let r = self.select(near, self.mul(x, self.f(x, std::f64::consts::FRAC_2_SQRT_PI))?, r)?;
        let far = self.fcmp(FloatPredicate::OGT, size, self.f(x, ERF_IS_ONE))?;
        self.select(far, self.intrinsic("llvm.copysign", &[self.f(x, 1.0), x])?, r)
    }

    /// Whether any lane of a truth value is set.
    pub(crate) fn any(&self, c: V<'c>) -> Result<inkwell::values::IntValue<'c>, EmitError> {
        match c {
            V::VectorValue(_) => match self.intrinsic("llvm.vector.reduce.or", &[c])? {
                V::IntValue(v) => Ok(v),
                _ => Err(EmitError::internal("a reduction that gives no truth value")),
            },
            c => match self.icmp(IntPredicate::NE, c, self.i(c, 0))? {
                V::IntValue(v) => Ok(v),
                _ => Err(EmitError::internal("a comparison that gives no truth value")),
            },
        }
    }
}
