//! A reader of safetensors headers, as code: what it takes of JSON to find a tensor's type, sizes and place.
//!
//! The file is 8 bytes of length, a JSON object of that length, and the data. Nothing is trusted: every position is
//! compared with the end before it is read. Functions take `(file, at, end)` and give a position, 0 where the text is
//! not what they look for (a header begins at 8).

use super::code::{DType, EQ, Fun, GE, GT, I, Kind, Made, NE, P, declare};
use crate::cpu::vector::Ops;
use inkwell::values::FunctionValue;

use Kind::{I64, Pointer};

/// The functions of the reader.
#[derive(Clone, Copy)]
pub(super) struct Reader<'c> {
    space: FunctionValue<'c>,
    value: FunctionValue<'c>,
    equal: FunctionValue<'c>,
    member: FunctionValue<'c>,
    number: FunctionValue<'c>,
}

/// A header that is being read by a function.
#[derive(Clone, Copy)]
pub(super) struct Text<'f, 'a, 'c> {
    pub f: &'f Fun<'a, 'c>,
    pub reader: Reader<'c>,
    pub file: P<'c>,
    /// The end of the header.
    pub end: I<'c>,
}

impl<'c> Text<'_, '_, 'c> {
    /// The byte at a position; -1 at the end and beyond.
    pub fn byte(&self, at: I<'c>) -> Made<I<'c>> {
        byte(self.f, self.file, at, self.end)
    }

    /// Whether the byte at a position is another one.
    pub fn differs(&self, at: I<'c>, from: u8) -> Made<I<'c>> {
        self.f.compare(NE, self.byte(at)?, self.f.int(i64::from(from)))
    }

    fn call(&self, function: FunctionValue<'c>, at: I<'c>) -> Made<I<'c>> {
        self.f.call_int(function, &[self.file.into(), at.into(), self.end.into()])
    }

    /// The position after white space.
    pub fn space(&self, at: I<'c>) -> Made<I<'c>> {
        self.call(self.reader.space, at)
    }

    /// The position after a value.
    pub fn value(&self, at: I<'c>) -> Made<I<'c>> {
        self.call(self.reader.value, at)
    }

    /// Whether these bytes stand at a position (1 or 0).
    pub fn equal(&self, at: I<'c>, text: P<'c>, len: I<'c>) -> Made<I<'c>> {
        let args = [self.file.into(), at.into(), self.end.into(), text.into(), len.into()];
        self.f.call_int(self.reader.equal, &args)
    }

    /// Where the value of a member of the object at a position begins. The key has its quotation marks.
    pub fn member(&self, at: I<'c>, key: P<'c>, len: I<'c>) -> Made<I<'c>> {
        let args = [self.file.into(), at.into(), self.end.into(), key.into(), len.into()];
        self.f.call_int(self.reader.member, &args)
    }

    /// Reads a number into a place; gives the position after it.
    pub fn number(&self, at: I<'c>, out: P<'c>) -> Made<I<'c>> {
        let args = [self.file.into(), at.into(), self.end.into(), out.into()];
        self.f.call_int(self.reader.number, &args)
    }
}

fn byte<'c>(f: &Fun<'_, 'c>, file: P<'c>, at: I<'c>, end: I<'c>) -> Made<I<'c>> {
    let found = f.var(f.int(-1))?;
    f.set(found, f.int(-1))?;
    f.when(f.lt(at, end)?, || f.set(found, f.element(DType::U8, file, at)?))?;
    f.get(found)
}

impl<'c> Reader<'c> {
    /// Writes the functions.
    pub fn emit(ops: &Ops<'c>, prefix: &str) -> Made<Reader<'c>> {
        let name = |what: &str| format!("{prefix}_json_{what}");
        let three = [Pointer, I64, I64];
        let space = declare(ops, &name("space"), &three, Some(I64), false);
        let string = declare(ops, &name("string"), &three, Some(I64), false);
        let value = declare(ops, &name("value"), &three, Some(I64), false);
        let four = [Pointer, I64, I64, Pointer];
        let number = declare(ops, &name("number"), &four, Some(I64), false);
        let five = [Pointer, I64, I64, Pointer, I64];
        let equal = declare(ops, &name("equal"), &five, Some(I64), false);
        let member = declare(ops, &name("member"), &five, Some(I64), false);
        let reader = Reader { space, value, equal, member, number };
        emit_space(ops, space)?;
        emit_string(ops, string)?;
        emit_value(ops, value, string)?;
        emit_number(ops, number, reader)?;
        emit_equal(ops, equal)?;
        emit_member(ops, member, string, reader)?;
        Ok(reader)
    }
}

/// The arguments that all have.
fn begin<'a, 'c>(ops: &'a Ops<'c>, function: FunctionValue<'c>) -> Made<(Fun<'a, 'c>, P<'c>, I<'c>, I<'c>)> {
    let f = Fun::begin(ops, function);
    let (file, at, end) = (f.arg_ptr(0)?, f.arg(1)?, f.arg(2)?);
    Ok((f, file, at, end))
}

/// Whether a byte is one of these.
fn one_of<'c>(f: &Fun<'_, 'c>, c: I<'c>, bytes: &[u8]) -> Made<I<'c>> {
    let mut any = f.ops.ctx.bool_type().const_zero();
    for b in bytes {
        any = f.or(any, f.compare(EQ, c, f.int(i64::from(*b)))?)?;
    }
    Ok(any)
}

fn emit_space<'c>(ops: &Ops<'c>, function: FunctionValue<'c>) -> Made {
    let (f, file, from, end) = begin(ops, function)?;
    let at = f.var(from)?;
    f.while_(
        || one_of(&f, byte(&f, file, f.get(at)?, end)?, b" \t\n\r"),
        || f.set(at, f.plus(f.get(at)?, 1)?),
    )?;
    f.give(f.get(at)?)
}

/// The position after a string that begins here with its quotation mark.
fn emit_string<'c>(ops: &Ops<'c>, function: FunctionValue<'c>) -> Made {
    let (f, file, from, end) = begin(ops, function)?;
    f.when(f.compare(NE, byte(&f, file, from, end)?, f.int(i64::from(b'"')))?, || f.give(f.int(0)))?;
    let at = f.var(f.plus(from, 1)?)?;
    f.while_(
        || f.lt(f.get(at)?, end),
        || {
            let c = byte(&f, file, f.get(at)?, end)?;
            f.when(one_of(&f, c, b"\"")?, || f.give(f.plus(f.get(at)?, 1)?))?;
            // What follows a backslash ends nothing.
            let step = f.pick(one_of(&f, c, b"\\")?, f.int(2), f.int(1))?;
            f.set(at, f.add(f.get(at)?, step)?)
        },
    )?;
    f.give(f.int(0))
}

/// The position after a value: brackets are counted, strings stepped over.
fn emit_value<'c>(ops: &Ops<'c>, function: FunctionValue<'c>, string: FunctionValue<'c>) -> Made {
    let (f, file, from, end) = begin(ops, function)?;
    let (at, depth) = (f.var(from)?, f.var(f.int(0))?);
    f.while_(
        || f.lt(f.get(at)?, end),
        || {
            let here = f.get(at)?;
            let c = byte(&f, file, here, end)?;
            let flat = f.compare(EQ, f.get(depth)?, f.int(0))?;
            f.when_else(
                one_of(&f, c, b"\"")?,
                || {
                    let after = f.call_int(string, &[file.into(), here.into(), end.into()])?;
                    f.when(f.compare(EQ, after, f.int(0))?, || f.give(f.int(0)))?;
                    f.when(flat, || f.give(after))?;
                    f.set(at, after)
                },
                || {
                    // A number or a word ends before these.
                    f.when(f.and(flat, one_of(&f, c, b",]} \t\n\r")?)?, || {
                        f.give(f.pick(f.compare(GT, here, from)?, here, f.int(0))?)
                    })?;
                    f.when(one_of(&f, c, b"[{")?, || f.set(depth, f.plus(f.get(depth)?, 1)?))?;
                    f.set(at, f.plus(here, 1)?)?;
                    f.when(one_of(&f, c, b"]}")?, || {
                        let left = f.plus(f.get(depth)?, -1)?;
                        f.set(depth, left)?;
                        f.when(f.compare(EQ, left, f.int(0))?, || f.give(f.get(at)?))
                    })
                },
            )
        },
    )?;
    f.give(f.int(0))
}

/// `(file, at, end, out)`: a number of at most 18 digits, after white space.
fn emit_number<'c>(ops: &Ops<'c>, function: FunctionValue<'c>, reader: Reader<'c>) -> Made {
    let (f, file, from, end) = begin(ops, function)?;
    let first = f.call_int(reader.space, &[file.into(), from.into(), end.into()])?;
    let (at, total) = (f.var(first)?, f.var(f.int(0))?);
    let digit = || {
        let c = byte(&f, file, f.get(at)?, end)?;
        f.plus(c, -i64::from(b'0'))
    };
    f.while_(
        || {
            let d = digit()?;
            f.and(f.compare(GE, d, f.int(0))?, f.lt(d, f.int(10))?)
        },
        || {
            f.set(total, f.add(f.mul(f.get(total)?, f.int(10))?, digit()?)?)?;
            f.set(at, f.plus(f.get(at)?, 1)?)
        },
    )?;
    let digits = f.sub(f.get(at)?, first)?;
    f.when(f.outside(digits, f.int(1), f.int(19))?, || f.give(f.int(0)))?;
    f.store(f.arg_ptr(3)?, f.get(total)?)?;
    f.give(f.get(at)?)
}

/// `(file, at, end, text, length)`: whether the text stands here.
fn emit_equal<'c>(ops: &Ops<'c>, function: FunctionValue<'c>) -> Made {
    let (f, file, from, end) = begin(ops, function)?;
    let (text, len) = (f.arg_ptr(3)?, f.arg(4)?);
    f.for_(f.int(0), len, |i| {
        let c = byte(&f, file, f.add(from, i)?, end)?;
        f.when(f.compare(NE, c, f.element(DType::U8, text, i)?)?, || f.give(f.int(0)))
    })?;
    f.give(f.int(1))
}

/// `(file, at, end, key, length)`: where the value of a member of the object that begins here begins.
fn emit_member<'c>(
    ops: &Ops<'c>,
    function: FunctionValue<'c>,
    string: FunctionValue<'c>,
    reader: Reader<'c>,
) -> Made {
    let (f, file, from, end) = begin(ops, function)?;
    let text = Text { f: &f, reader, file, end };
    let (key, len) = (f.arg_ptr(3)?, f.arg(4)?);
    let no = || f.give(f.int(0));
    f.when(text.differs(from, b'{')?, no)?;
    let at = f.var(text.space(f.plus(from, 1)?)?)?;
    f.while_(
        || f.lt(f.get(at)?, end),
        || {
            let name = f.get(at)?;
            let after = f.call_int(string, &[file.into(), name.into(), end.into()])?;
            f.when(f.compare(EQ, after, f.int(0))?, no)?;
            let colon = text.space(after)?;
            f.when(text.differs(colon, b':')?, no)?;
            let value = text.space(f.plus(colon, 1)?)?;
            let long = f.compare(EQ, f.sub(after, name)?, len)?;
            f.when(f.and(long, f.compare(NE, text.equal(name, key, len)?, f.int(0))?)?, || f.give(value))?;
            let behind = text.value(value)?;
            f.when(f.compare(EQ, behind, f.int(0))?, no)?;
            let comma = text.space(behind)?;
            f.when(text.differs(comma, b',')?, no)?;
            f.set(at, text.space(f.plus(comma, 1)?)?)
        },
    )?;
    no()
}
