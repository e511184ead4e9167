//! Conversions: between element types, between registers and memory, and the rounding of narrow floats.
//!
//! A 16-bit float (and an 8-bit one, see `f8`) lives in a register as the binary32 that equals it; every operation on it rounds its
//! result back to the format, so values are the same whether or not they pass through memory.

use inkwell::values::InstructionOpcode as Op;
use inkwell::{FloatPredicate, IntPredicate};
use latentc_ir::dtype::DType;

use super::super::vector::{Ops, R, V, lanes};

impl<'c> Ops<'c> {
    /// From the form in memory to the form in registers.
    pub(super) fn decode(&self, d: DType, v: V<'c>) -> R<'c> {
        let n = lanes(v);
        let (i32, f32) = (self.ctx.i32_type().into(), self.ctx.f32_type().into());
        match d {
            DType::Bool => self.icmp(IntPredicate::NE, v, self.i(v, 0)),
            DType::Bf16 => {
                let wide = self.cast(Op::ZExt, v, i32)?;
                self.bits(self.shl(wide, self.i(wide, 16))?, f32)
            }
            DType::F16 if self.f16 => {
                let half = self.bits(v, self.ctx.f16_type().into())?;
                self.cast(Op::FPExt, half, f32)
            }
            DType::F16 => {
                let wide = self.cast(Op::ZExt, v, i32)?;
                let sign = self.shl(self.and(wide, self.i(wide, 0x8000))?, self.i(wide, 16))?;
                let magnitude = self.shl(self.and(wide, self.i(wide, 0x7fff))?, self.i(wide, 13))?;
                // The exponent's bias differs by 112; a product moves it and is exact for subnormals too.
                let scaled = self.bits(magnitude, f32)?;
                let scaled = self.mul(scaled, self.f(scaled, (112f64).exp2()))?;
                let finite = self.bits(scaled, i32)?;
                let special = self.or(magnitude, self.i(magnitude, 0x7f80_0000))?;
                let is_special = self.icmp(IntPredicate::UGE, magnitude, self.i(magnitude, 0x7c00 << 13))?;
                let bits = self.or(self.select(is_special, special, finite)?, sign)?;
                self.bits(bits, self.reg(DType::F32, n))
            }
            d => match d.f8() {
                Some(f) => self.decode_f8(f, v),
                None => Ok(v),
            },
        }
    }

    /// From the form in registers to the form in memory. Narrow floats are rounded already.
    pub(super) fn encode(&self, d: DType, v: V<'c>) -> R<'c> {
        let (i16, i32) = (self.ctx.i16_type().into(), self.ctx.i32_type().into());
        match d {
            DType::Bool => self.cast(Op::ZExt, v, self.ctx.i8_type().into()),
            DType::Bf16 => {
                let b = self.bits(v, i32)?;
                self.cast(Op::Trunc, self.lshr(b, self.i(b, 16))?, i16)
            }
            DType::F16 if self.f16 => {
                let half = self.cast(Op::FPTrunc, v, self.ctx.f16_type().into())?;
                self.bits(half, i16)
            }
            DType::F16 => {
                let b = self.bits(v, i32)?;
                let sign = self.lshr(self.and(b, self.i(b, 0x8000_0000))?, self.i(b, 16))?;
                let magnitude = self.and(b, self.i(b, 0x7fff_ffff))?;
                let x = self.bits(magnitude, self.ctx.f32_type().into())?;
                // Below 2^-14 the format counts units of 2^-24.
                let units = self.mul(x, self.f(x, (24f64).exp2()))?;
                let small = self.icmp(IntPredicate::ULT, magnitude, self.i(b, 113 << 23))?;
                let subnormal = self.cast(Op::FPToSI, self.select(small, units, self.f(x, 0.0))?, i32)?;
                let normal = self.isub(self.lshr(magnitude, self.i(b, 13))?, self.i(b, 112 << 10))?;
                let r = self.select(small, subnormal, normal)?;
                let inf = self.icmp(IntPredicate::EQ, magnitude, self.i(b, 0x7f80_0000))?;
                let r = self.select(inf, self.i(b, 0x7c00), r)?;
                let nan = self.icmp(IntPredicate::UGT, magnitude, self.i(b, 0x7f80_0000))?;
                let r = self.select(nan, self.i(b, 0x7e00), r)?;
                self.cast(Op::Trunc, self.or(r, sign)?, i16)
            }
            d => match d.f8() {
                Some(f) => self.encode_f8(f, v),
                None => Ok(v),
            },
        }
    }

    /// Rounds a binary32 result to the element type, nearest even; other types are left as they are.
    pub(super) fn round_to(&self, d: DType, v: V<'c>) -> R<'c> {
        let (i32, f32) = (self.ctx.i32_type().into(), self.ctx.f32_type().into());
        match d {
            DType::Bf16 => {
                let b = self.bits(v, i32)?;
                let odd = self.and(self.lshr(b, self.i(b, 16))?, self.i(b, 1))?;
                let up = self.iadd(self.iadd(b, self.i(b, 0x7fff))?, odd)?;
                let nan = self.fcmp(FloatPredicate::UNO, v, v)?;
                let quiet = self.or(b, self.i(b, 0x0040_0000))?;
                let r = self.select(nan, quiet, up)?;
                self.bits(self.and(r, self.i(b, -0x1_0000))?, f32)
            }
            DType::F16 if self.f16 => {
                let half = self.cast(Op::FPTrunc, v, self.ctx.f16_type().into())?;
                self.cast(Op::FPExt, half, f32)
            }
            DType::F16 => {
                let b = self.bits(v, i32)?;
                let sign = self.and(b, self.i(b, 0x8000_0000))?;
                let magnitude = self.and(b, self.i(b, 0x7fff_ffff))?;
                let odd = self.and(self.lshr(magnitude, self.i(b, 13))?, self.i(b, 1))?;
                let up = self.iadd(self.iadd(magnitude, self.i(b, 0xfff))?, odd)?;
                let normal = self.and(up, self.i(b, !0x1fff))?;
                let over = self.icmp(IntPredicate::UGE, normal, self.i(b, 0x4780_0000))?;
                let normal = self.select(over, self.i(b, 0x7f80_0000), normal)?;
                // Adding a half leaves a unit of 2^-24 in the last place.
                let x = self.bits(magnitude, f32)?;
                let half = self.f(x, 0.5);
                let units = self.bits(self.sub(self.add(x, half)?, half)?, i32)?;
                let small = self.icmp(IntPredicate::ULT, magnitude, self.i(b, 113 << 23))?;
                let r = self.select(small, units, normal)?;
                let nan = self.icmp(IntPredicate::UGT, magnitude, self.i(b, 0x7f80_0000))?;
                let r = self.select(nan, self.i(b, 0x7fc0_0000), r)?;
                self.bits(self.or(r, sign)?, f32)
            }
            d => match d.f8() {
                Some(f) => self.round_f8(f, v),
                None => Ok(v),
            },
        }
    }

    /// A binary64 to a float of 16 or 8 bits in one rounding: first to binary32 towards an odd last bit.
    fn narrow(&self, d: DType, v: V<'c>) -> R<'c> {
        let (i32, f32, f64) =
            (self.ctx.i32_type().into(), self.ctx.f32_type().into(), self.ctx.f64_type().into());
        let t = self.cast(Op::FPTrunc, v, f32)?;
        if d == DType::F32 {
            return Ok(t);
        }
        let back = self.cast(Op::FPExt, t, f64)?;
        let b = self.bits(t, i32)?;
        let (size, kept) = (self.intrinsic("llvm.fabs", &[v])?, self.intrinsic("llvm.fabs", &[back])?);
        let even = self.icmp(IntPredicate::EQ, self.and(b, self.i(b, 1))?, self.i(b, 0))?;
        let below = self.and(self.fcmp(FloatPredicate::OLT, kept, size)?, even)?;
        let above = self.and(self.fcmp(FloatPredicate::OGT, kept, size)?, even)?;
        let b = self.select(below, self.iadd(b, self.i(b, 1))?, b)?;
        let b = self.select(above, self.isub(b, self.i(b, 1))?, b)?;
        self.round_to(d, self.bits(b, f32)?)
    }

    /// Converts between element types, register form to register form.
    pub(super) fn convert(&self, from: DType, to: DType, v: V<'c>) -> R<'c> {
        if from == to {
            return Ok(v);
        }
        let target = self.reg(to, 1);
        let f64 = self.ctx.f64_type().into();
        let unsigned = from.is_unsigned() || from == DType::Bool;
        match (from.is_float(), to) {
            (true, DType::Bool) => self.fcmp(FloatPredicate::UNE, v, self.f(v, 0.0)),
            (false, DType::Bool) => self.icmp(IntPredicate::NE, v, self.i(v, 0)),
            (true, DType::F64) => self.cast(Op::FPExt, v, f64),
            (true, to) if to.is_float() && from == DType::F64 => self.narrow(to, v),
            (true, to) if to.is_float() => self.round_to(to, v),
            (true, to) => {
                let name = if to.is_unsigned() { "llvm.fptoui.sat" } else { "llvm.fptosi.sat" };
                let r = self.reg(to, lanes(v));
                self.call(name, &[r, v.get_type()], &[v])?
                    .ok_or_else(|| super::EmitError::internal("a conversion that gives nothing"))
            }
            (false, to) if to.is_float() => {
                let op = if unsigned { Op::UIToFP } else { Op::SIToFP };
                match to {
                    DType::F64 | DType::F32 => self.cast(op, v, target),
                    _ => self.narrow(to, self.cast(op, v, f64)?),
                }
            }
            (false, to) => {
                let width = |d: DType| if d == DType::Bool { 0 } else { d.size() };
                match (width(from), width(to)) {
                    (a, b) if a > b => self.cast(Op::Trunc, v, target),
                    (a, b) if a == b => Ok(v),
                    _ => self.cast(if unsigned { Op::ZExt } else { Op::SExt }, v, target),
                }
            }
        }
    }
}
