//! Values of parameters that do not come from the caller's memory: those that an object brings along, and those
//! of a safetensors file that the caller has mapped.
//!
//! A value that runs only read is used where it lies. One that runs update is copied into the caller's memory, since
//! neither an object nor a mapped file is to be written.

use super::Weights;
use super::checks::Numbers;
use super::code::{DType, EQ, Fun, GT, I, Kind, Made, NE, P, declare as function};
use super::driver::Driver;
use super::safetensors::{Reader, Text};
use super::signature::{Group, Pointer, Signature};
use super::status::Code;
use super::text::constant;
use crate::cpu::EmitError;
use inkwell::values::{BasicMetadataValueEnum, FunctionValue, PointerValue};
use std::fmt::Write as _;

/// Writes `NAME_weights(state)`, which copies embedded values, or `NAME_weights(state, file, bytes)`, which takes
/// them from a file.
pub(super) fn emit(driver: &Driver, external: bool) -> Made {
    if external { from_file(driver) } else { from_object(driver) }
}

/// Parameters and state, with their positions.
fn kept(sig: &Signature) -> impl Iterator<Item = (usize, &Pointer)> {
    sig.pointers.iter().enumerate().filter(|(_, p)| matches!(p.group, Group::Params | Group::State))
}

/// Whether there are embedded values that have to be copied.
fn copies(sig: &Signature) -> bool {
    kept(sig).any(|(_, p)| p.embedded.is_some() && p.written)
}

/// The embedded value of a pointer, which is in the object once.
fn embedded<'c>(driver: &Driver<'_, 'c>, at: usize) -> Option<PointerValue<'c>> {
    let pointer = &driver.sig.pointers[at];
    let value = pointer.embedded.as_ref()?;
    let name = format!("{}_weight_{at}", driver.sig.prefix);
    let found = driver.ops.module.get_global(&name).map(|g| g.as_pointer_value());
    Some(found.unwrap_or_else(|| constant(driver.ops, &name, value.as_bytes(), 64)))
}

/// Where the pointer to a value that runs only read is null, makes it that of the embedded one.
pub(super) fn fill_in<'c>(driver: &Driver<'_, 'c>, f: &Fun<'_, 'c>, state: P<'c>, at: usize) -> Made {
    let Some(data) = embedded(driver, at).filter(|_| !driver.sig.pointers[at].written) else { return Ok(()) };
    let base = driver.pointer(f, state, at)?;
    f.when(f.is_null(base)?, || f.store_ptr(f.at(state, driver.sig.pointer_at(at))?, data))
}

fn from_object(driver: &Driver) -> Made {
    let (ops, sig) = (driver.ops, driver.sig);
    if !copies(sig) {
        return Ok(());
    }
    let f = &Fun::begin(ops, function(ops, &driver.name("weights"), &[Kind::Pointer], Some(Kind::I32), true));
    let state = f.arg_ptr(0)?;
    let sizes = driver.begin_call(f, state)?;
    for (at, p) in kept(sig).filter(|(_, p)| p.written) {
        let Some(data) = embedded(driver, at) else { continue };
        let len = sizes.dim(&p.len)?;
        driver.check_pointer(f, state, at, len)?;
        copy(f, driver.pointer(f, state, at)?, data, f.mul(len, f.int(p.dtype.size() as i64))?)?;
    }
    f.give(f.int32(0))
}

/// Parameters of the function that finds a weight: state, file, its bytes, the end of the header, where its object
/// begins; the weight's place, its key, its type, the lengths of both; its sizes, how many, its bytes.
const FIND: [Kind; 13] = {
    use Kind::{I32, I64, Pointer};
    [Pointer, Pointer, I64, I64, I64, I32, Pointer, I64, Pointer, I64, Pointer, I64, I64]
};

/// Writes the function that finds a weight: gives where its data begins, or 0 after it has written an error.
fn emit_find<'c>(driver: &Driver<'_, 'c>, reader: Reader<'c>) -> Made<FunctionValue<'c>> {
    let ops = driver.ops;
    let find = function(ops, &driver.name("find_weight"), &FIND, Some(Kind::I64), false);
    let f = &Fun::begin(ops, find);
    let (state, file, bytes, end) = (f.arg_ptr(0)?, f.arg_ptr(1)?, f.arg(2)?, f.arg(3)?);
    let (start, which) = (f.arg(4)?, f.arg(5)?);
    let (sizes, rank, needed) = (f.arg_ptr(10)?, f.arg(11)?, f.arg(12)?);
    let text = Text { f, reader, file, end };
    let none = Numbers::none(f);
    let fail = |code, numbers| {
        driver.fail.write(f, state, code, which, numbers)?;
        f.give(f.int(0))
    };
    let malformed = |at| fail(Code::WEIGHTS_FORM, Numbers { at, found: bytes, ..none });
    let is_0 = |x| f.compare(EQ, x, f.int(0));

    let entry = text.member(start, f.arg_ptr(6)?, f.arg(7)?)?;
    f.when(is_0(entry)?, || fail(Code::WEIGHTS_MISSING, none))?;
    let member = |name: &str| {
        let key = format!("\"{name}\"");
        let constant = constant(ops, &driver.name(&format!("key_{name}")), key.as_bytes(), 1);
        let value = text.member(entry, constant, f.int(key.len() as i64))?;
        f.when(is_0(value)?, || malformed(entry))?;
        Ok::<_, EmitError>(value)
    };
    let dtype = member("dtype")?;
    let same = text.equal(dtype, f.arg_ptr(8)?, f.arg(9)?)?;
    f.when(is_0(same)?, || fail(Code::WEIGHTS_TYPE, none))?;

    // `[`, numbers with commas between, `]`.
    let out = f.room(8)?;
    let opened = |list| {
        f.when(text.differs(list, b'[')?, || malformed(list))?;
        f.var(text.space(f.plus(list, 1)?)?)
    };
    let next = |at| {
        let after = text.number(f.get(at)?, out)?;
        f.when(is_0(after)?, || malformed(f.get(at)?))?;
        let behind = text.space(after)?;
        f.when_else(
            text.differs(behind, b',')?,
            || f.set(at, behind),
            || f.set(at, text.space(f.plus(behind, 1)?)?),
        )?;
        f.load(out)
    };
    let shape = member("shape")?;
    let (at, count) = (opened(shape)?, f.var(f.int(0))?);
    f.while_(
        || text.differs(f.get(at)?, b']'),
        || {
            let found = next(at)?;
            let i = f.get(count)?;
            f.when(f.lt(i, rank)?, || {
                let least = f.load(f.offset(sizes, f.mul(i, f.int(8))?)?)?;
                f.when(f.compare(NE, found, least)?, || {
                    fail(Code::WEIGHTS_SHAPE, Numbers { at: i, found, least, ..none })
                })
            })?;
            f.set(count, f.plus(i, 1)?)
        },
    )?;
    let found = f.get(count)?;
    f.when(f.compare(NE, found, rank)?, || fail(Code::WEIGHTS_RANK, Numbers { found, least: rank, ..none }))?;

    let offsets = member("data_offsets")?;
    let at = opened(offsets)?;
    let (from, to) = (next(at)?, next(at)?);
    f.when(text.differs(f.get(at)?, b']')?, || malformed(offsets))?;
    let outside = f.or(f.lt(to, from)?, f.compare(GT, to, f.sub(bytes, end)?)?)?;
    f.when(outside, || malformed(offsets))?;
    let found = f.sub(to, from)?;
    f.when(f.compare(NE, found, needed)?, || {
        fail(Code::WEIGHTS_BYTES, Numbers { found, least: needed, ..none })
    })?;
    f.give(f.add(end, from)?)?;
    Ok(find)
}

fn from_file<'c>(driver: &Driver<'_, 'c>) -> Made {
    let (ops, sig) = (driver.ops, driver.sig);
    let reader = Reader::emit(ops, &sig.prefix)?;
    let find = emit_find(driver, reader)?;
    let params = [Kind::Pointer, Kind::Pointer, Kind::I64];
    let f = &Fun::begin(ops, function(ops, &driver.name("weights"), &params, Some(Kind::I32), true));
    let (state, file, bytes) = (f.arg_ptr(0)?, f.arg_ptr(1)?, f.arg(2)?);
    let values = driver.begin_call(f, state)?;
    let (program, none) = (f.int(sig.which_program()), Numbers::none(f));
    f.when(f.is_null(file)?, || driver.fail.end(f, state, Code::MISSING, program, none))?;
    let malformed =
        |at| driver.fail.end(f, state, Code::WEIGHTS_FORM, program, Numbers { at, found: bytes, ..none });
    // Eight bytes of length, the header, the data.
    f.when(f.lt(bytes, f.int(10))?, || malformed(f.int(0)))?;
    let header = f.little_endian(file)?;
    let wrong = f.or(f.lt(header, f.int(2))?, f.compare(GT, header, f.plus(bytes, -8)?)?)?;
    f.when(wrong, || malformed(f.int(0)))?;
    let end = f.plus(header, 8)?;
    let text = Text { f, reader, file, end };
    let start = text.space(f.int(8))?;
    f.when(text.differs(start, b'{')?, || malformed(start))?;
    f.when(f.compare(EQ, text.value(start)?, f.int(0))?, || malformed(start))?;

    let rank = kept(sig).map(|(_, p)| p.shape.len()).max().unwrap_or(0);
    let sizes = f.room(8 * rank.max(1) as u64)?;
    for (at, p) in kept(sig) {
        for (i, d) in p.shape.iter().enumerate() {
            f.store(f.at(sizes, 8 * i as u64)?, values.dim(d)?)?;
        }
        let len = values.dim(&p.len)?;
        let needed = f.mul(len, f.int(p.dtype.size() as i64))?;
        let (key, dtype) = (key(&p.given), format!("\"{}\"", type_name(p.dtype)));
        let place =
            |what: &str, text: &str| constant(ops, &driver.name(&format!("{what}_{at}")), text.as_bytes(), 1);
        let args: [BasicMetadataValueEnum; 13] = [
            state.into(),
            file.into(),
            bytes.into(),
            end.into(),
            start.into(),
            f.int32(sig.which_pointer(at)).into(),
            place("key", &key).into(),
            f.int(key.len() as i64).into(),
            place("type", &dtype).into(),
            f.int(dtype.len() as i64).into(),
            sizes.into(),
            f.int(p.shape.len() as i64).into(),
            needed.into(),
        ];
        let found = f.call_int(find, &args)?;
        f.when(f.compare(EQ, found, f.int(0))?, || f.give(driver.fail.code(f, state)?))?;
        let data = f.offset(file, found)?;
        if p.written {
            driver.check_pointer(f, state, at, len)?;
            copy(f, driver.pointer(f, state, at)?, data, needed)?;
        } else {
            f.store_ptr(f.at(state, sig.pointer_at(at))?, data)?;
            driver.check_pointer(f, state, at, len)?;
        }
    }
    f.give(f.int32(0))
}

fn copy<'c>(f: &Fun<'_, 'c>, to: P<'c>, from: P<'c>, bytes: I<'c>) -> Made {
    let made = f.ops.builder.build_memcpy(to, 1, from, 1, bytes);
    made.map(|_| ()).map_err(|e| EmitError::internal(e.to_string()))
}

/// A name as a JSON string.
fn key(name: &str) -> String {
    let mut text = String::from('"');
    for c in name.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if u32::from(c) < 32 => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// What safetensors calls an element type.
fn type_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "F64",
        DType::F32 => "F32",
        DType::Bf16 => "BF16",
        DType::F16 => "F16",
        DType::I64 => "I64",
        DType::I32 => "I32",
        DType::U32 => "U32",
        DType::I16 => "I16",
        DType::I8 => "I8",
        DType::U64 => "U64",
        DType::U16 => "U16",
        DType::F8E4M3Fn => "F8_E4M3",
        DType::F8E5M2 => "F8_E5M2",
        DType::F8E4M3Fnuz => "F8_E4M3FNUZ",
        DType::F8E5M2Fnuz => "F8_E5M2FNUZ",
        DType::U8 => "U8",
        DType::Bool => "BOOL",
    }
}

/// Whether a program has the function `NAME_weights`, and whether that takes a file.
pub(super) fn has(s: &Signature, weights: &Weights) -> Option<bool> {
    match weights {
        Weights::External => Some(true),
        _ => copies(s).then_some(false),
    }
}

/// Declares in C what a program has for its weights.
pub(super) fn declare(t: &mut String, s: &Signature, weights: &Weights) {
    let name = &s.prefix;
    let text = match has(s, weights) {
        None => return,
        Some(true) => format!(
            "/* Takes parameters and state from a safetensors file in memory, by name, after init. What runs only read is\n\
             \x20  used where it lies, so the file has to stay; what runs update is copied to the addresses in the state. */\n\
             int32_t {name}_weights({name} *state, const void *file, size_t bytes);\n"
        ),
        Some(false) => format!(
            "/* Copies the first values of what runs update to the addresses in the state, after init. */\n\
             int32_t {name}_weights({name} *state);\n"
        ),
    };
    t.push_str(&text);
}
