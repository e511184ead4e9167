//! Errors as text, as code: no library formats them.

use super::code::{EQ, Fun, I, Kind, LT, Made, P, declare};
use super::signature::Signature;
use super::status::{self, AT, FOUND, LEAST, MOST, WHICH};
use crate::cpu::vector::Ops;
use inkwell::module::Linkage;
use inkwell::types::BasicTypeEnum;
use inkwell::values::{FunctionValue, PointerValue};

/// Bytes as a constant of the module.
pub(super) fn constant<'c>(ops: &Ops<'c>, name: &str, bytes: &[u8], align: u32) -> PointerValue<'c> {
    let value = ops.ctx.const_string(bytes, false);
    let global = ops.module.add_global(value.get_type(), None, name);
    global.set_initializer(&value);
    global.set_constant(true);
    global.set_linkage(Linkage::Private);
    global.set_alignment(align);
    global.as_pointer_value()
}

/// Texts that end with a zero, as a constant table of addresses.
fn table<'c>(ops: &Ops<'c>, name: &str, texts: impl Iterator<Item = Vec<u8>>) -> PointerValue<'c> {
    let texts: Vec<PointerValue> = texts
        .enumerate()
        .map(|(i, mut text)| {
            text.push(0);
            constant(ops, &format!("{name}_{i}"), &text, 1)
        })
        .collect();
    let value = ops.ptr_type().const_array(&texts);
    let global = ops.module.add_global(BasicTypeEnum::from(value.get_type()), None, name);
    global.set_initializer(&value);
    global.set_constant(true);
    global.set_linkage(Linkage::Private);
    global.as_pointer_value()
}

/// Writes `PREFIX_error_text(state, text, bytes) -> length`: the last error as text, as much of it as fits and a
/// zero; the length is that of the whole text.
pub(super) fn emit<'c>(ops: &Ops<'c>, sig: &Signature) -> Made {
    use Kind::{I64, Pointer};
    let put = emit_put(ops, &sig.prefix)?;
    let number = emit_number(ops, &sig.prefix, put)?;
    let name = |what: &str| format!("{}_{what}", sig.prefix);
    let texts = table(ops, &name("texts"), status::ALL.iter().map(|s| status::template(s.text)));
    let places = sig.places();
    let count = places.len() as i64;
    let places = table(ops, &name("places"), places.into_iter().map(String::into_bytes));

    let function = declare(ops, &name("error_text"), &[Pointer, Pointer, I64], Some(I64), true);
    let f = &Fun::begin(ops, function);
    let (state, out, size) = (f.arg_ptr(0)?, f.arg_ptr(1)?, f.arg(2)?);
    let length = f.var(f.int(0))?;
    let position = |table: P<'c>, at: I<'c>| f.load_ptr(ops.element_ptr(ops.ptr_type().into(), table, at)?);
    let word = |at: u64| f.load(f.at(state, at)?);
    // Code and place are the halves of the first word.
    let half = |at: u64| {
        let word = ops.load(ops.ctx.i32_type().into(), f.at(state, at)?, 4)?.into_int_value();
        f.widen(word)
    };
    let known = |at: I<'c>, count: i64| f.pick(f.outside(at, f.int(0), f.int(count))?, f.int(0), at);
    let text = position(texts, known(half(0)?, status::ALL.len() as i64)?)?;
    let place = position(places, known(half(4)?, count)?)?;
    let byte = |base: P<'c>, at: I<'c>| f.element(super::code::DType::U8, base, at);
    let add = |c: I<'c>| {
        f.call(put, &[out.into(), size.into(), f.get(length)?.into(), c.into()])?;
        f.set(length, f.plus(f.get(length)?, 1)?)
    };
    let at = f.var(f.int(0))?;
    f.while_(
        || f.compare(super::code::NE, byte(text, f.get(at)?)?, f.int(0)),
        || {
            let c = byte(text, f.get(at)?)?;
            f.set(at, f.plus(f.get(at)?, 1)?)?;
            let is = |which: u8| f.compare(EQ, c, f.int(i64::from(which)));
            let plain = f.var(f.int(1))?;
            f.set(plain, f.int(1))?;
            f.when(is(WHICH)?, || {
                f.set(plain, f.int(0))?;
                let i = f.var(f.int(0))?;
                f.set(i, f.int(0))?;
                f.while_(
                    || f.compare(super::code::NE, byte(place, f.get(i)?)?, f.int(0)),
                    || {
                        add(byte(place, f.get(i)?)?)?;
                        f.set(i, f.plus(f.get(i)?, 1)?)
                    },
                )
            })?;
            for (which, offset) in [(AT, 8), (FOUND, 16), (LEAST, 24), (MOST, 32)] {
                f.when(is(which)?, || {
                    f.set(plain, f.int(0))?;
                    let args = [out.into(), size.into(), f.get(length)?.into(), word(offset)?.into()];
                    f.set(length, f.call_int(number, &args)?)
                })?;
            }
            f.when(f.compare(EQ, f.get(plain)?, f.int(1))?, || add(c))
        },
    )?;
    // The zero comes after what fits.
    f.when(f.compare(super::code::GT, size, f.int(0))?, || {
        let last = f.min(f.get(length)?, f.plus(size, -1)?)?;
        f.store_byte(f.offset(out, last)?, f.int(0))
    })?;
    f.give(f.get(length)?)
}

/// Writes `(text, bytes, position, byte)`: a byte, where it fits before the zero.
fn emit_put<'c>(ops: &Ops<'c>, prefix: &str) -> Made<FunctionValue<'c>> {
    use Kind::{I64, Pointer};
    let function = declare(ops, &format!("{prefix}_put"), &[Pointer, I64, I64, I64], None, false);
    let f = &Fun::begin(ops, function);
    let at = f.arg(2)?;
    f.when(f.lt(f.plus(at, 1)?, f.arg(1)?)?, || f.store_byte(f.offset(f.arg_ptr(0)?, at)?, f.arg(3)?))?;
    f.done()?;
    Ok(function)
}

/// Writes `(text, bytes, position, number) -> position`: a number in decimal digits.
fn emit_number<'c>(ops: &Ops<'c>, prefix: &str, put: FunctionValue<'c>) -> Made<FunctionValue<'c>> {
    use Kind::{I64, Pointer};
    let function = declare(ops, &format!("{prefix}_put_number"), &[Pointer, I64, I64, I64], Some(I64), false);
    let f = &Fun::begin(ops, function);
    let (out, size) = (f.arg_ptr(0)?, f.arg(1)?);
    let (at, left) = (f.var(f.arg(2)?)?, f.var(f.arg(3)?)?);
    let add = |c: I<'c>| {
        f.call(put, &[out.into(), size.into(), f.get(at)?.into(), c.into()])?;
        f.set(at, f.plus(f.get(at)?, 1)?)
    };
    f.when(f.compare(LT, f.get(left)?, f.int(0))?, || {
        add(f.int(i64::from(b'-')))?;
        f.set(left, f.sub(f.int(0), f.get(left)?)?)
    })?;
    // The greatest power of ten that is not above it, then digit by digit. Unsigned, for the least number.
    let power = f.var(f.int(1))?;
    f.while_(
        || {
            let (rest, _) = f.unsigned_div_rem(f.get(left)?, f.get(power)?)?;
            Ok(ops.builder.build_int_compare(inkwell::IntPredicate::UGE, rest, f.int(10), "")?)
        },
        || f.set(power, f.mul(f.get(power)?, f.int(10))?),
    )?;
    f.while_(
        || f.compare(super::code::GT, f.get(power)?, f.int(0)),
        || {
            let (digit, rest) = f.unsigned_div_rem(f.get(left)?, f.get(power)?)?;
            add(f.plus(digit, i64::from(b'0'))?)?;
            f.set(left, rest)?;
            f.set(power, f.unsigned_div_rem(f.get(power)?, f.int(10))?.0)
        },
    )?;
    f.give(f.get(at)?)?;
    Ok(function)
}
