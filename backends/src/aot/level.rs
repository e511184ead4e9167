//! The level of the processor that compiled code runs on, as code: nothing of a library is called.

use super::code::{EQ, Fun, GE, I, Kind, Made, declare};
use crate::cpu::EmitError;
use crate::cpu::vector::Ops;
use inkwell::InlineAsmDialect;
use inkwell::values::{BasicMetadataValueEnum, FunctionValue};

/// Bits of the answers of `cpuid`, as the psABI lists the levels: a leaf, its register, and what must be set.
struct Needed {
    leaf: u32,
    register: u32,
    bits: &'static [u32],
}

const EBX: u32 = 1;
const ECX: u32 = 2;

/// SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT; LAHF.
const V2: &[Needed] = &[
    Needed { leaf: 1, register: ECX, bits: &[0, 9, 13, 19, 20, 23] },
    Needed { leaf: 0x8000_0001, register: ECX, bits: &[0] },
];
/// FMA, MOVBE, OSXSAVE, AVX, F16C; BMI1, AVX2, BMI2; LZCNT.
const V3: &[Needed] = &[
    Needed { leaf: 1, register: ECX, bits: &[12, 22, 27, 28, 29] },
    Needed { leaf: 7, register: EBX, bits: &[3, 5, 8] },
    Needed { leaf: 0x8000_0001, register: ECX, bits: &[5] },
];
/// AVX512F, DQ, CD, BW, VL.
const V4: &[Needed] = &[Needed { leaf: 7, register: EBX, bits: &[16, 17, 28, 30, 31] }];
/// States of registers that the system saves: SSE and AVX, and for the third level of vectors all of AVX-512.
const SAVES_AVX: i64 = 0x6;
const SAVES_AVX512: i64 = 0xe6;

/// Writes `() -> level` of the processor: 1 to 4 for x86-64, 1 for others.
pub(super) fn emit<'c>(ops: &Ops<'c>, prefix: &str, x86: bool) -> Made<FunctionValue<'c>> {
    let function = declare(ops, &format!("{prefix}_processor"), &[], Some(Kind::I64), false);
    let f = &Fun::begin(ops, function);
    if x86 {
        let level = f.var(f.int(1))?;
        let most = cpuid(f, 0)?[0];
        let extended = cpuid(f, 0x8000_0000)?[0];
        // A leaf that is not there answers with another one's bits.
        let there = f.and(
            f.compare(GE, f.widen(most)?, f.int(7))?,
            f.compare(GE, f.widen(extended)?, f.int(0x8000_0001))?,
        )?;
        f.when(f.and(there, has(f, V2)?)?, || {
            f.set(level, f.int(2))?;
            f.when(has(f, V3)?, || {
                let saved = f.widen(saved(f)?)?;
                let saves = |bits| f.compare(EQ, f.and(saved, f.int(bits))?, f.int(bits));
                f.when(saves(SAVES_AVX)?, || {
                    f.set(level, f.int(3))?;
                    f.when(f.and(has(f, V4)?, saves(SAVES_AVX512)?)?, || f.set(level, f.int(4)))
                })
            })
        })?;
        f.give(f.get(level)?)?;
    } else {
        f.give(f.int(1))?;
    }
    Ok(function)
}

fn has<'c>(f: &Fun<'_, 'c>, all: &[Needed]) -> Made<I<'c>> {
    let mut holds = f.ops.ctx.bool_type().const_int(1, false);
    for needed in all {
        let word = cpuid(f, needed.leaf)?[needed.register as usize];
        let mask = needed.bits.iter().fold(0u32, |m, bit| m | 1 << bit);
        let mask = f.int32(i64::from(mask));
        holds = f.and(holds, f.compare(EQ, f.and(word, mask)?, mask)?)?;
    }
    Ok(holds)
}

/// The four words that the processor says of a leaf: eax, ebx, ecx, edx.
fn cpuid<'c>(f: &Fun<'_, 'c>, leaf: u32) -> Made<[I<'c>; 4]> {
    let (leaf, zero) = (f.int32(i64::from(leaf)), f.int32(0));
    let outputs = "={ax},={bx},={cx},={dx},{ax},{cx},~{dirflag},~{fpsr},~{flags}";
    let words = asm(f, "cpuid", outputs, 4, &[leaf.into(), zero.into()])?;
    words.try_into().map_err(|_| EmitError::internal("cpuid gives four words"))
}

/// The low word of the states that the system saves.
fn saved<'c>(f: &Fun<'_, 'c>) -> Made<I<'c>> {
    let outputs = "={ax},={dx},{cx},~{dirflag},~{fpsr},~{flags}";
    Ok(asm(f, "xgetbv", outputs, 2, &[f.int32(0).into()])?[0])
}

/// An instruction that gives words of 32 bits.
fn asm<'c>(
    f: &Fun<'_, 'c>,
    text: &str,
    constraints: &str,
    words: usize,
    args: &[BasicMetadataValueEnum<'c>],
) -> Made<Vec<I<'c>>> {
    let (ctx, b) = (f.ops.ctx, &f.ops.builder);
    let word = ctx.i32_type();
    let results = ctx.struct_type(&vec![word.into(); words], false);
    let ty = results.fn_type(&vec![word.into(); args.len()], false);
    let dialect = Some(InlineAsmDialect::ATT);
    let code =
        ctx.create_inline_asm(ty, text.to_owned(), constraints.to_owned(), true, false, dialect, false);
    let given = b.build_indirect_call(ty, code, args, "")?.try_as_basic_value().basic();
    let given = given.ok_or_else(|| EmitError::internal("an instruction that gives nothing"))?;
    (0..words as u32)
        .map(|i| Ok(b.build_extract_value(given.into_struct_value(), i, "")?.into_int_value()))
        .collect()
}
