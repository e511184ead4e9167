//! 8-bit floats: a register holds the binary32 that equals them, as it does for 16-bit floats.

use inkwell::values::InstructionOpcode as Op;
use inkwell::{FloatPredicate, IntPredicate};
use latentc_ir::dtype::F8;

use super::super::vector::{Ops, R, V};

const INFINITE: i64 = 0x7f80_0000;
const QUIET_NAN: i64 = 0x7fc0_0000;

/// The bits that binary32 has and the format lacks.
fn dropped(f: F8) -> i64 {
    23 - i64::from(f.mantissa)
}

fn bits_of(x: f64) -> i64 {
    i64::from((x as f32).to_bits())
}

impl<'c> Ops<'c> {
    /// From memory to binary32.
    pub(super) fn decode_f8(&self, f: F8, v: V<'c>) -> R<'c> {
        let (i32, f32) = (self.ctx.i32_type().into(), self.ctx.f32_type().into());
        let wide = self.cast(Op::ZExt, v, i32)?;
        let sign = self.shl(self.and(wide, self.i(wide, 0x80))?, self.i(wide, 24))?;
        let size = self.and(wide, self.i(wide, 0x7f))?;
        let magnitude = self.shl(size, self.i(wide, dropped(f)))?;
        // A product moves the exponent's bias and is exact for subnormal numbers too.
        let scaled = self.bits(magnitude, f32)?;
        let scaled = self.mul(scaled, self.f(scaled, f64::from(127 - f.bias).exp2()))?;
        let finite = self.bits(scaled, i32)?;
        let (special, beyond) = if f.unsigned_zero {
            (self.i(wide, QUIET_NAN), self.icmp(IntPredicate::EQ, wide, self.i(wide, 0x80))?)
        } else {
            let beyond = self.icmp(IntPredicate::UGT, size, self.i(wide, f.greatest_bits().into()))?;
            let special = if f.infinite {
                self.or(magnitude, self.i(wide, INFINITE))?
            } else {
                self.i(wide, QUIET_NAN)
            };
            (special, beyond)
        };
        self.bits(self.or(self.select(beyond, special, finite)?, sign)?, f32)
    }

    /// The nearest number of the format, ties to even, as binary32.
    pub(super) fn round_f8(&self, f: F8, v: V<'c>) -> R<'c> {
        let (i32, f32) = (self.ctx.i32_type().into(), self.ctx.f32_type().into());
        let b = self.bits(v, i32)?;
        let magnitude = self.and(b, self.i(b, 0x7fff_ffff))?;
        let unit = 1 << dropped(f);
        let odd = self.and(self.lshr(magnitude, self.i(b, dropped(f)))?, self.i(b, 1))?;
        let up = self.iadd(self.iadd(magnitude, self.i(b, unit / 2 - 1))?, odd)?;
        let normal = self.and(up, self.i(b, !(unit - 1)))?;
        // Adding a power of two leaves the least subnormal number in the last place.
        let x = self.bits(magnitude, f32)?;
        let anchor = self.f(x, f64::from(23 + f.least_exponent() - f.mantissa as i32).exp2());
        let units = self.bits(self.sub(self.add(x, anchor)?, anchor)?, i32)?;
        let small = self.icmp(IntPredicate::ULT, magnitude, self.i(b, bits_of(f.least_normal())))?;
        let r = self.select(small, units, normal)?;
        let over = self.icmp(IntPredicate::UGT, r, self.i(b, bits_of(f.greatest())))?;
        let r = self.select(over, self.i(b, if f.infinite { INFINITE } else { QUIET_NAN }), r)?;
        let nan = self.fcmp(FloatPredicate::UNO, v, v)?;
        let r = self.select(nan, self.i(b, QUIET_NAN), r)?;
        let signed = self.or(r, self.and(b, self.i(b, 0x8000_0000))?)?;
        if !f.unsigned_zero {
            return self.bits(signed, f32);
        }
        let zero = self.icmp(IntPredicate::EQ, r, self.i(b, 0))?;
        self.bits(self.select(zero, r, signed)?, f32)
    }

    /// From a binary32 that is a number of the format to memory.
    pub(super) fn encode_f8(&self, f: F8, v: V<'c>) -> R<'c> {
        let i32 = self.ctx.i32_type().into();
        let b = self.bits(v, i32)?;
        let sign = self.lshr(self.and(b, self.i(b, 0x8000_0000))?, self.i(b, 24))?;
        let magnitude = self.and(b, self.i(b, 0x7fff_ffff))?;
        let x = self.bits(magnitude, self.ctx.f32_type().into())?;
        let small = self.icmp(IntPredicate::ULT, magnitude, self.i(b, bits_of(f.least_normal())))?;
        let units = self.mul(x, self.f(x, f64::from(f.mantissa as i32 - f.least_exponent()).exp2()))?;
        let subnormal = self.cast(Op::FPToSI, self.select(small, units, self.f(x, 0.0))?, i32)?;
        let moved = self.i(b, i64::from(127 - f.bias) << f.mantissa);
        let normal = self.isub(self.lshr(magnitude, self.i(b, dropped(f)))?, moved)?;
        let r = self.select(small, subnormal, normal)?;
        let beyond = self.icmp(IntPredicate::UGT, magnitude, self.i(b, bits_of(f.greatest())))?;
        let special = if f.infinite { f.greatest_bits() + 1 } else { f.nan_bits() };
        let r = self.select(beyond, self.i(b, special.into()), r)?;
        let nan = self.icmp(IntPredicate::UGT, magnitude, self.i(b, INFINITE))?;
        let r = self.select(nan, self.i(b, f.nan_bits().into()), r)?;
        self.cast(Op::Trunc, self.or(r, sign)?, self.ctx.i8_type().into())
    }
}
