//! Checks of what callers give, as code: patterns, ids and truth values. They refuse what the in-process
//! runtime refuses, and allocate nothing.

use super::code::{DType, EQ, Fun, GE, GT, I, Kind, LE, Made, NE, P, declare};
use super::status::Code;
use crate::cpu::vector::Ops;
use crate::options::Ids;
use inkwell::values::FunctionValue;

/// The least number of rows, columns or entries that a pattern cannot have.
const TOO_MANY: i64 = i32::MAX as i64;

/// Writes an error into a state and gives its code.
#[derive(Clone, Copy)]
pub(super) struct Fail<'c>(FunctionValue<'c>);

/// The numbers of an error.
#[derive(Clone, Copy)]
pub(super) struct Numbers<'c> {
    pub at: I<'c>,
    pub found: I<'c>,
    pub least: I<'c>,
    pub most: I<'c>,
}

impl<'c> Fail<'c> {
    /// Writes the function.
    pub fn emit(ops: &Ops<'c>, prefix: &str) -> Made<Fail<'c>> {
        use Kind::{I32, I64, Pointer};
        let params = [Pointer, I32, I32, I64, I64, I64, I64];
        let function = declare(ops, &format!("{prefix}_fail"), &params, Some(I32), false);
        let f = Fun::begin(ops, function);
        let error = f.arg_ptr(0)?;
        for (arg, at) in [(1, 0), (2, 4), (3, 8), (4, 16), (5, 24), (6, 32)] {
            f.store(f.at(error, at)?, f.arg(arg)?)?;
        }
        f.give(f.arg(1)?)?;
        Ok(Fail(function))
    }

    /// Ends the call with an error.
    pub fn end(self, f: &Fun<'_, 'c>, state: P<'c>, code: Code, which: I<'c>, n: Numbers<'c>) -> Made {
        f.give(self.write(f, state, code, which, n)?)
    }

    /// The code that a state has.
    pub fn code(self, f: &Fun<'_, 'c>, state: P<'c>) -> Made<I<'c>> {
        Ok(f.ops.load(f.ops.ctx.i32_type().into(), state, 4)?.into_int_value())
    }

    /// Writes an error and goes on with its code.
    pub fn write(
        self,
        f: &Fun<'_, 'c>,
        state: P<'c>,
        code: Code,
        which: I<'c>,
        n: Numbers<'c>,
    ) -> Made<I<'c>> {
        let which = if which.get_type().get_bit_width() == 64 { f.low32(which)? } else { which };
        let (at, found, least, most) = (n.at.into(), n.found.into(), n.least.into(), n.most.into());
        let args = [state.into(), f.int32(code.number()).into(), which.into(), at, found, least, most];
        f.call_int(self.0, &args)
    }
}

impl<'c> Numbers<'c> {
    /// None of them.
    pub fn none(f: &Fun<'_, 'c>) -> Numbers<'c> {
        let zero = f.int(0);
        Numbers { at: zero, found: zero, least: zero, most: zero }
    }
}

/// `(state, which, ids, count, bound) -> code`: every id in `0..bound`. One for each element type; for truth
/// values the bound is 2.
pub(super) fn ids<'c>(ops: &Ops<'c>, prefix: &str, fail: Fail<'c>, dtype: DType) -> Made<FunctionValue<'c>> {
    use Kind::{I32, I64, Pointer};
    let name = format!("{prefix}_check_{}", dtype.name());
    let function = declare(ops, &name, &[Pointer, I32, Pointer, I64, I64], Some(I32), false);
    let f = &Fun::begin(ops, function);
    let (state, which, base, count, bound) = (f.arg_ptr(0)?, f.arg(1)?, f.arg_ptr(2)?, f.arg(3)?, f.arg(4)?);
    f.for_(f.int(0), count, |i| {
        let found = f.element(dtype, base, i)?;
        f.when(f.outside(found, f.int(0), bound)?, || {
            let code = if dtype == DType::Bool { Code::TRUTH } else { Code::ID };
            let numbers = Numbers { at: i, found, most: bound, ..Numbers::none(f) };
            fail.end(f, state, code, which, numbers)
        })
    })?;
    f.give(f.int32(0))?;
    Ok(function)
}

/// `(state, which, ids, count, rows, out) -> code`: writes the row that each id stands for, as
/// [`Ids::row`](crate::Ids::row) has it. One for each element type and policy.
pub(super) fn settle<'c>(
    ops: &Ops<'c>,
    prefix: &str,
    fail: Fail<'c>,
    dtype: DType,
    ids: Ids,
) -> Made<FunctionValue<'c>> {
    use Kind::{I32, I64, Pointer};
    let name = format!("{prefix}_{ids}_{}", dtype.name());
    let function = declare(ops, &name, &[Pointer, I32, Pointer, I64, I64, Pointer], Some(I32), false);
    let f = &Fun::begin(ops, function);
    let (state, which, base, count, rows) = (f.arg_ptr(0)?, f.arg(1)?, f.arg_ptr(2)?, f.arg(3)?, f.arg(4)?);
    let out = f.arg_ptr(5)?;
    let last = f.plus(rows, -1)?;
    f.for_(f.int(0), count, |i| {
        let found = f.element(dtype, base, i)?;
        let refuse =
            || fail.end(f, state, Code::ID, which, Numbers { at: i, found, most: rows, ..Numbers::none(f) });
        f.when(f.compare(LE, rows, f.int(0))?, refuse)?;
        // What is negative as a signed number of 64 bits is beyond every row as an unsigned one.
        let row = match (ids, dtype) {
            (Ids::Wrap, DType::U64) => f.unsigned_div_rem(found, rows)?.1,
            (Ids::Wrap, _) => f.floor_mod(found, rows)?,
            (_, DType::U64) => f.pick(f.outside(found, f.int(0), rows)?, last, found)?,
            _ => f.max(f.min(found, last)?, f.int(0))?,
        };
        f.set_element(dtype, out, i, row)?;
        // A row that the type of the ids cannot name.
        f.when(f.compare(NE, f.element(dtype, out, i)?, row)?, refuse)
    })?;
    f.give(f.int32(0))?;
    Ok(function)
}

/// The functions that look at patterns.
pub(super) struct PatternChecks<'c> {
    /// `(state, which, rows, cols, nnz, symmetric, indptr, indices, twin_indptr, twin_indices, twin_edges) ->
    /// code`; absent arrays are null.
    pub whole: FunctionValue<'c>,
}

/// Writes the checks of patterns.
pub(super) fn pattern<'c>(ops: &Ops<'c>, prefix: &str, fail: Fail<'c>) -> Made<PatternChecks<'c>> {
    use Kind::{I32, I64, Pointer};
    let rows = check_rows(ops, prefix, fail)?;
    let search = search(ops, prefix)?;
    let params = [Pointer, I32, I64, I64, I64, I64, Pointer, Pointer, Pointer, Pointer, Pointer];
    let whole = declare(ops, &format!("{prefix}_check_pattern"), &params, Some(I32), false);
    let f = &Fun::begin(ops, whole);
    let (state, which) = (f.arg_ptr(0)?, f.arg(1)?);
    let [n, m, nnz, symmetric] = [f.arg(2)?, f.arg(3)?, f.arg(4)?, f.arg(5)?];
    let [ptr, col, twin_ptr, twin_col, edges] =
        [f.arg_ptr(6)?, f.arg_ptr(7)?, f.arg_ptr(8)?, f.arg_ptr(9)?, f.arg_ptr(10)?];
    let none = Numbers::none(f);

    for size in [n, m, nnz] {
        f.when(f.compare(GE, size, f.int(TOO_MANY))?, || {
            let numbers = Numbers { found: size, most: f.int(TOO_MANY - 1), ..none };
            fail.end(f, state, Code::PATTERN_SIZE, which, numbers)
        })?;
    }
    let pass = |code: I<'c>| f.when(f.compare(NE, code, f.int32(0))?, || f.give(code));
    pass(f.call_int(
        rows,
        &[state.into(), which.into(), n.into(), m.into(), nnz.into(), ptr.into(), col.into()],
    )?)?;

    // The mirror image of every entry.
    f.when(f.compare(NE, symmetric, f.int(0))?, || {
        f.for_(f.int(0), n, |r| {
            let (lo, hi) = (f.i32_at(ptr, r)?, f.i32_at(ptr, f.plus(r, 1)?)?);
            f.for_(lo, hi, |e| {
                let c = f.i32_at(col, e)?;
                let (from, to) = (f.i32_at(ptr, c)?, f.i32_at(ptr, f.plus(c, 1)?)?);
                let at = f.call_int(search, &[col.into(), from.into(), to.into(), r.into()])?;
                f.when(f.lt(at, f.int(0))?, || {
                    let numbers = Numbers { at: e, found: c, least: r, ..none };
                    fail.end(f, state, Code::PATTERN_SYMMETRY, which, numbers)
                })
            })
        })
    })?;

    // The twin: well-formed, of as many entries, each of them an entry of the pattern. Entries ascend, so no
    // two are the same one, and it is the transpose.
    f.when(f.compare(EQ, f.widen(f.is_null(twin_ptr)?)?, f.int(0))?, || {
        let args =
            [state.into(), which.into(), m.into(), n.into(), nnz.into(), twin_ptr.into(), twin_col.into()];
        pass(f.call_int(rows, &args)?)?;
        let with_edges = f.compare(EQ, f.widen(f.is_null(edges)?)?, f.int(0))?;
        f.for_(f.int(0), m, |c| {
            let (lo, hi) = (f.i32_at(twin_ptr, c)?, f.i32_at(twin_ptr, f.plus(c, 1)?)?);
            f.for_(lo, hi, |t| {
                let r = f.i32_at(twin_col, t)?;
                let (from, to) = (f.i32_at(ptr, r)?, f.i32_at(ptr, f.plus(r, 1)?)?);
                let at = f.call_int(search, &[col.into(), from.into(), to.into(), c.into()])?;
                let wrong = f.var(f.widen(f.lt(at, f.int(0))?)?)?;
                f.when(with_edges, || {
                    let differs = f.widen(f.compare(NE, f.i32_at(edges, t)?, at)?)?;
                    f.set(wrong, f.or(f.get(wrong)?, differs)?)
                })?;
                f.when(f.compare(NE, f.get(wrong)?, f.int(0))?, || {
                    fail.end(
                        f,
                        state,
                        Code::PATTERN_TWIN,
                        which,
                        Numbers { at: t, found: r, least: c, ..none },
                    )
                })
            })
        })
    })?;
    f.give(f.int32(0))?;
    Ok(PatternChecks { whole })
}

/// `(state, which, rows, cols, nnz, indptr, indices) -> code`: the arrays are compressed rows.
fn check_rows<'c>(ops: &Ops<'c>, prefix: &str, fail: Fail<'c>) -> Made<FunctionValue<'c>> {
    use Kind::{I32, I64, Pointer};
    let params = [Pointer, I32, I64, I64, I64, Pointer, Pointer];
    let function = declare(ops, &format!("{prefix}_check_rows"), &params, Some(I32), false);
    let f = &Fun::begin(ops, function);
    let (state, which, rows, cols, nnz) = (f.arg_ptr(0)?, f.arg(1)?, f.arg(2)?, f.arg(3)?, f.arg(4)?);
    let (ptr, col) = (f.arg_ptr(5)?, f.arg_ptr(6)?);
    let none = Numbers::none(f);
    for (at, expected) in [(f.int(0), f.int(0)), (rows, nnz)] {
        let found = f.i32_at(ptr, at)?;
        f.when(f.compare(NE, found, expected)?, || {
            fail.end(f, state, Code::PATTERN_ENDS, which, Numbers { at, found, least: expected, ..none })
        })?;
    }
    // All of them before any is followed: in order between 0 and the number of entries, they are positions.
    f.for_(f.int(0), rows, |r| {
        let (lo, hi) = (f.i32_at(ptr, r)?, f.i32_at(ptr, f.plus(r, 1)?)?);
        f.when(f.compare(GT, lo, hi)?, || {
            fail.end(f, state, Code::PATTERN_ORDER, which, Numbers { at: r, found: hi, least: lo, ..none })
        })
    })?;
    let before = f.var(f.int(0))?;
    f.for_(f.int(0), rows, |r| {
        f.set(before, f.int(-1))?;
        let (lo, hi) = (f.i32_at(ptr, r)?, f.i32_at(ptr, f.plus(r, 1)?)?);
        f.for_(lo, hi, |e| {
            let c = f.i32_at(col, e)?;
            f.when(f.outside(c, f.int(0), cols)?, || {
                fail.end(
                    f,
                    state,
                    Code::PATTERN_COLUMN,
                    which,
                    Numbers { at: e, found: c, most: cols, ..none },
                )
            })?;
            let least = f.get(before)?;
            f.when(f.compare(LE, c, least)?, || {
                fail.end(f, state, Code::PATTERN_COLUMNS, which, Numbers { at: e, found: c, least, ..none })
            })?;
            f.set(before, c)
        })
    })?;
    f.give(f.int32(0))?;
    Ok(function)
}

/// `(indices, from, to, wanted) -> position`, or -1: binary search in a row.
fn search<'c>(ops: &Ops<'c>, prefix: &str) -> Made<FunctionValue<'c>> {
    use Kind::{I64, Pointer};
    let params = [Pointer, I64, I64, I64];
    let function = declare(ops, &format!("{prefix}_search"), &params, Some(I64), false);
    let f = &Fun::begin(ops, function);
    let (col, wanted) = (f.arg_ptr(0)?, f.arg(3)?);
    let (lo, hi) = (f.var(f.arg(1)?)?, f.var(f.arg(2)?)?);
    f.while_(
        || f.lt(f.get(lo)?, f.get(hi)?),
        || {
            let (a, b) = (f.get(lo)?, f.get(hi)?);
            let middle = f.add(a, f.div(f.sub(b, a)?, f.int(2))?)?;
            let found = f.i32_at(col, middle)?;
            f.when(f.compare(EQ, found, wanted)?, || f.give(middle))?;
            f.when_else(f.lt(found, wanted)?, || f.set(lo, f.plus(middle, 1)?), || f.set(hi, middle))
        },
    )?;
    f.give(f.int(-1))?;
    Ok(function)
}

/// `PREFIX_csr_twin(rows, cols, indptr, indices, twin_indptr, twin_indices, twin_edges) -> code`, for callers
/// that have a pattern without its transpose. `twin_edges` may be null. The pattern is trusted to be one but
/// for its columns, which are looked at since positions in the twin follow from them.
pub(super) fn twin<'c>(ops: &Ops<'c>, prefix: &str) -> Made {
    use Kind::{I32, I64, Pointer};
    let params = [I64, I64, Pointer, Pointer, Pointer, Pointer, Pointer];
    let function = declare(ops, &format!("{prefix}_csr_twin"), &params, Some(I32), true);
    let f = &Fun::begin(ops, function);
    let (rows, cols) = (f.arg(0)?, f.arg(1)?);
    let [ptr, col, twin_ptr, twin_col, edges] =
        [f.arg_ptr(2)?, f.arg_ptr(3)?, f.arg_ptr(4)?, f.arg_ptr(5)?, f.arg_ptr(6)?];
    let with_edges = f.compare(EQ, f.widen(f.is_null(edges)?)?, f.int(0))?;
    let (zero, one) = (f.int(0), f.int(1));
    f.for_(zero, f.plus(cols, 1)?, |c| f.set_i32_at(twin_ptr, c, zero))?;
    f.for_(zero, f.i32_at(ptr, rows)?, |e| {
        let c = f.i32_at(col, e)?;
        f.when(f.outside(c, zero, cols)?, || f.give(f.int32(Code::PATTERN_COLUMN.number())))?;
        let next = f.plus(c, 1)?;
        f.set_i32_at(twin_ptr, next, f.plus(f.i32_at(twin_ptr, next)?, 1)?)
    })?;
    f.for_(zero, cols, |c| {
        let next = f.plus(c, 1)?;
        f.set_i32_at(twin_ptr, next, f.add(f.i32_at(twin_ptr, c)?, f.i32_at(twin_ptr, next)?)?)
    })?;
    // The first position of each column moves on to the end of it, where the next one's begins.
    f.for_(zero, rows, |r| {
        f.for_(f.i32_at(ptr, r)?, f.i32_at(ptr, f.plus(r, 1)?)?, |e| {
            let c = f.i32_at(col, e)?;
            let to = f.i32_at(twin_ptr, c)?;
            f.set_i32_at(twin_ptr, c, f.add(to, one)?)?;
            f.set_i32_at(twin_col, to, r)?;
            f.when(with_edges, || f.set_i32_at(edges, to, e))
        })
    })?;
    f.for_(zero, cols, |i| {
        let c = f.sub(cols, i)?;
        f.set_i32_at(twin_ptr, c, f.i32_at(twin_ptr, f.sub(c, one)?)?)
    })?;
    f.set_i32_at(twin_ptr, zero, zero)?;
    f.give(f.int32(0))?;
    Ok(())
}
