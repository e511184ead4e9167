//! Sums of four products of bytes: one instruction of the machine a vector, or shifts and multiplications.

use latentc_ir::dtype::DType;
use latentc_ir::nest::{BufId, Index};

use super::super::EmitError;
use super::super::vector::{R, V, lanes, widen};
use super::index::Ix;
use super::{Emitter, Value};

impl<'c> Emitter<'_, 'c> {
    /// `to + a[i]*b[j] + .. + a[i+3]*b[j+3]` of bytes, those of `a` without a sign, those of `b` with one.
    pub(super) fn dot4(
        &self,
        a: &(BufId, Box<Index>),
        b: &(BufId, Box<Index>),
        to: Option<Value<'c>>,
    ) -> Result<Value<'c>, EmitError> {
        let o = self.ops;
        let (x, y) = (self.word(a, DType::U8)?, self.word(b, DType::I8)?);
        let n = [Some(x), Some(y), to.map(|t| t.raw)].into_iter().flatten().map(lanes).max().unwrap_or(1);
        let (x, y) = (o.splat(x, n)?, o.splat(y, n)?);
        let to = match to {
            Some(to) => o.splat(to.raw, n)?,
            None => o.i(x, 0),
        };
        let instruction = match n {
            4 => "llvm.x86.avx512.vpdpbusd.128",
            8 => "llvm.x86.avx512.vpdpbusd.256",
            16 => "llvm.x86.avx512.vpdpbusd.512",
            _ => "",
        };
        let raw = if self.isa.dot4 && !instruction.is_empty() {
            let bytes = widen(o.ctx.i8_type().into(), 4 * n);
            let [x, y] = [x, y].map(|v| o.builder.build_bit_cast(v, bytes, ""));
            o.call(instruction, &[], &[to, x?, y?])?
                .ok_or_else(|| EmitError::internal(format!("{instruction} gives nothing")))?
        } else {
            let mut sum = to;
            for k in 0..4 {
                let byte = o.and(o.lshr(x, o.i(x, 8 * k))?, o.i(x, 255))?;
                let signed = o.ashr(o.shl(y, o.i(y, 24 - 8 * k))?, o.i(y, 24))?;
                sum = o.iadd(sum, o.imul(byte, signed)?)?;
            }
            sum
        };
        Ok(Value { raw, dtype: DType::I32 })
    }

    /// Four bytes from an element on, the first lowest, as an i32: one value where all lanes read the same.
    fn word(&self, (buf, index): &(BufId, Box<Index>), expected: DType) -> R<'c> {
        let (_, dtype) = self.buffer(*buf)?;
        if dtype != expected {
            return Err(self.mismatch("what `dot4` multiplies", expected.name(), dtype.name()));
        }
        let word = || self.ops.mem(DType::I32, 1);
        match self.index(index)? {
            Ix::Linear(l) if l.stride == 0 => self.ops.load(word(), self.address(*buf, &l)?, 1),
            Ix::Linear(l) if l.stride == 4 => {
                self.ops.load(self.ops.mem(DType::I32, self.lanes), self.address(*buf, &l)?, 1)
            }
            ix => {
                let mut at = self.lane_positions(&ix)?.into_iter();
                self.ops.each_lane(&[self.ops.iota(self.lanes)], |_: &[V<'c>]| {
                    let l = at.next().ok_or_else(|| EmitError::internal("fewer positions than lanes"))?;
                    self.ops.load(word(), self.address(*buf, &l)?, 1)
                })
            }
        }
    }
}
