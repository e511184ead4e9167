//! Philox4x32-10 in lanes: the random word of a logical element, equal to
//! [`latentc_ir::philox::element_bits`].

use inkwell::IntPredicate;
use inkwell::values::InstructionOpcode as Op;

use super::super::vector::{Ops, R, V};
use crate::cpu::EmitError;

const MULTIPLIERS: [i64; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [i64; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

impl<'c> Ops<'c> {
    /// The low and high words of an i64.
    fn words(&self, v: V<'c>) -> Result<(V<'c>, V<'c>), EmitError> {
        let i32 = self.ctx.i32_type().into();
        Ok((self.cast(Op::Trunc, v, i32)?, self.cast(Op::Trunc, self.lshr(v, self.i(v, 32))?, i32)?))
    }

    /// The random word of an element; all operands are i64 of one shape, the result is 32 bits.
    pub(crate) fn philox(&self, index: V<'c>, seed: V<'c>, stream: V<'c>, step: V<'c>) -> R<'c> {
        let i64 = self.ctx.i64_type().into();
        let (low, high) = self.words(self.lshr(index, self.i(index, 2))?)?;
        let mut c = [low, high, self.words(stream)?.0, self.words(step)?.0];
        let keys = self.words(seed)?;
        let mut k = [keys.0, keys.1];
        for round in 0..ROUNDS {
            if round > 0 {
                k = [self.iadd(k[0], self.i(k[0], WEYL[0]))?, self.iadd(k[1], self.i(k[1], WEYL[1]))?];
            }
            let product = |word: V<'c>, by: i64| {
                let wide = self.cast(Op::ZExt, word, i64)?;
                self.words(self.imul(wide, self.i(wide, by))?)
            };
            let (p0, q0) = product(c[0], MULTIPLIERS[0])?;
            let (p1, q1) = product(c[2], MULTIPLIERS[1])?;
            c = [self.xor(self.xor(q1, c[1])?, k[0])?, p1, self.xor(self.xor(q0, c[3])?, k[1])?, p0];
        }
        let word = self.and(self.words(index)?.0, self.i(low, 3))?;
        let odd = self.icmp(IntPredicate::NE, self.and(word, self.i(word, 1))?, self.i(word, 0))?;
        let upper = self.icmp(IntPredicate::UGE, word, self.i(word, 2))?;
        self.select(upper, self.select(odd, c[3], c[2])?, self.select(odd, c[1], c[0])?)
    }
}
