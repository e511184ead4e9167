//! Sine, cosine and tangent.

use inkwell::FloatPredicate;
use inkwell::module::Linkage;
use inkwell::types::BasicType;
use inkwell::values::InstructionOpcode as Op;

use super::super::vector::{Ops, R, V, lanes};
use crate::cpu::EmitError;

/// Beyond it the reduction below loses bits, and the C library is asked.
const FAR: f64 = 4e8;
/// The leading 25 bits of pi, so that products with integers to 2^28 are exact in binary64.
const PI_HI: f64 = 2.0 * 1.570_796_310_901_641_8;
const PI_LO: f64 = 2.0 * 1.589_325_477_352_819_7e-8;
/// Adding it to a small binary64 leaves the nearest integer in the low bits of the sum.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// `sin(r) / r` in powers of `r^2` on [-pi/2, pi/2], within 3e-11.
const SIN: [f64; 6] = [
    -2.388_879_239_431_803_8e-8,
    2.752_537_794_254_758e-6,
    -1.984_086_808_678_638e-4,
    8.333_331_107_688_207e-3,
    -1.666_666_662_612_867e-1,
    1.0,
];

impl<'c> Ops<'c> {
    pub(crate) fn sin_f32(&self, x: V<'c>) -> R<'c> {
        self.wave(x, "sin", 0.0)
    }

    pub(crate) fn cos_f32(&self, x: V<'c>) -> R<'c> {
        self.wave(x, "cos", 0.5)
    }

    /// `sin` where `shift` is 0, `cos` where it is a half: `x` is brought within a quarter turn of
    /// `(n + shift) pi`, and the sine of what remains gets the sign of that extremum or zero.
    fn wave(&self, x: V<'c>, name: &'static str, shift: f64) -> R<'c> {
        let (i32, f32, f64) =
            (self.ctx.i32_type().into(), self.ctx.f32_type().into(), self.ctx.f64_type().into());
        let d = self.cast(Op::FPExt, x, f64)?;
        let turns = self.mad(d, self.f(d, std::f64::consts::FRAC_1_PI), self.f(d, -shift))?;
        let t = self.add(turns, self.f(d, ROUNDER))?;
        let n = self.add(self.sub(t, self.f(d, ROUNDER))?, self.f(d, shift))?;
        let r = self.mad(n, self.f(d, -PI_HI), d)?;
        let r = self.mad(n, self.f(d, -PI_LO), r)?;
        // In binary64 up to here and to the end: near a quarter turn the result is the small difference of
        // large terms, and must not come out above one.
        let y = self.mul(self.poly(self.mul(r, r)?, &SIN)?, r)?;
        let y = self.cast(Op::FPTrunc, y, f32)?;
        let parity = self.cast(Op::Trunc, self.bits(t, self.ctx.i64_type().into())?, i32)?;
        let parity = if shift == 0.0 { parity } else { self.xor(parity, self.i(parity, 1))? };
        let flip = self.shl(parity, self.i(parity, 31))?;
        let near = self.bits(self.xor(self.bits(y, i32)?, flip)?, f32)?;
        self.unless_far(x, near, name)
    }

    /// The value found, or the C library's in lanes whose argument is beyond the reduction.
    fn unless_far(&self, x: V<'c>, near: V<'c>, name: &'static str) -> R<'c> {
        let size = self.intrinsic("llvm.fabs", &[x])?;
        let is_far = self.fcmp(FloatPredicate::OGT, size, self.f(x, FAR))?;
        let far = self.any(is_far)?;
        let b = &self.builder;
        let no_block = || EmitError::internal("no open block");
        let here = b.get_insert_block().ok_or_else(no_block)?;
        let function = here.get_parent().ok_or_else(no_block)?;
        let slow = self.ctx.append_basic_block(function, "far");
        let next = self.ctx.append_basic_block(function, "near");
        b.build_conditional_branch(far, slow, next)?;
        b.position_at_end(slow);
        // Only in the lanes that are far: no lane's value may depend on its neighbours.
        let from_library = self.select(is_far, self.far_wave(x, name)?, near)?;
        b.build_unconditional_branch(next)?;
        b.position_at_end(next);
        let phi = b.build_phi(x.get_type(), "")?;
        phi.add_incoming(&[(&near, here), (&from_library, slow)]);
        Ok(phi.as_basic_value())
    }

    /// The sine of a binary64 within a quarter turn of 0.
    fn quarter_sine(&self, r: V<'c>) -> R<'c> {
        self.mul(self.poly(self.mul(r, r)?, &SIN)?, r)
    }

    /// `sin / cos` of what is left of the nearest multiple of pi.
    pub(crate) fn tan_f32(&self, x: V<'c>) -> R<'c> {
        let d = self.cast(Op::FPExt, x, self.ctx.f64_type().into())?;
        let part = |shift: f64| -> Result<(V<'c>, V<'c>), EmitError> {
            let turns = self.mad(d, self.f(d, std::f64::consts::FRAC_1_PI), self.f(d, -shift))?;
            let t = self.add(turns, self.f(d, ROUNDER))?;
            let n = self.add(self.sub(t, self.f(d, ROUNDER))?, self.f(d, shift))?;
            let r = self.mad(n, self.f(d, -PI_HI), d)?;
            let r = self.mad(n, self.f(d, -PI_LO), r)?;
            Ok((self.quarter_sine(r)?, t))
        };
        // The cosine is the sine a quarter turn on, with the sign changed.
        let ((sine, t), (cosine, u)) = (part(0.0)?, part(0.5)?);
        let quotient = self.neg(self.div(sine, cosine)?)?;
        let i64 = self.ctx.i64_type().into();
        let parity = self.xor(self.bits(t, i64)?, self.bits(u, i64)?)?;
        let flip = self.shl(parity, self.i(parity, 63))?;
        let y = self.bits(self.xor(self.bits(quotient, i64)?, flip)?, self.ctx.f64_type().into())?;
        self.unless_far(x, self.cast(Op::FPTrunc, y, self.ctx.f32_type().into())?, "tan")
    }

    /// The C library's function in binary64 on every lane, as a function of its own.
    fn far_wave(&self, x: V<'c>, name: &'static str) -> R<'c> {
        let symbol = format!("latentc.{name}.{}", lanes(x));
        if let Some(f) = self.module.get_function(&symbol) {
            return self.call_function(f, &[x]);
        }
        let ty = x.get_type();
        let f = self.module.add_function(&symbol, ty.fn_type(&[ty.into()], false), Some(Linkage::Internal));
        crate::cpu::emit::mark_function(self.ctx, f, 32 * lanes(x));
        let caller = self.builder.get_insert_block();
        self.builder.position_at_end(self.ctx.append_basic_block(f, "entry"));
        let argument =
            f.get_first_param().ok_or_else(|| EmitError::internal("a function without its parameter"))?;
        let wide = self.cast(Op::FPExt, argument, self.ctx.f64_type().into())?;
        let r = self.cast(Op::FPTrunc, self.libm(name, &[wide])?, self.ctx.f32_type().into())?;
        self.builder.build_return(Some(&r))?;
        if let Some(caller) = caller {
            self.builder.position_at_end(caller);
        }
        self.call_function(f, &[x])
    }
}
