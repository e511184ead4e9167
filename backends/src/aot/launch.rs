//! How compiled code runs one kernel: whole, or in parts through the caller's threads. Parts are cut by counts or
//! by a prefix count, as the in-process runtime cuts them; any cut gives the same bits.

use super::code::{EQ, Fun, GE, GT, I, Kind, Made, P, declare, signature};
use super::signature::{Member, Signature};
use crate::cpu::vector::Ops;
use inkwell::values::FunctionValue;

/// The most parts that a loop is cut into.
const MOST_PARTS: i64 = 1 << 16;

/// A launch on the stack: where each of its numbers is.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    Kernel,
    Pointers,
    Dims,
    Lo,
    Hi,
    Step,
    Spread,
    /// Row pointers that divide the loop by work; null to divide it by counts.
    Prefix,
    /// The number of rows in them.
    Rows,
    RowsPerIteration,
    Parts,
}

/// Bytes of a launch.
pub(super) const BYTES: u64 = 11 * 8;

impl Slot {
    pub const fn at(self) -> u64 {
        8 * self as u64
    }
}

/// Kernels, as [`KernelFn`](crate::cpu::KernelFn).
pub(super) const KERNEL: [Kind; 4] = [Kind::Pointer, Kind::Pointer, Kind::I64, Kind::I64];

/// A launch that is being read.
struct Launch<'f, 'a, 'c> {
    f: &'f Fun<'a, 'c>,
    base: P<'c>,
}

impl<'c> Launch<'_, '_, 'c> {
    fn get(&self, slot: Slot) -> Made<I<'c>> {
        self.f.load(self.f.at(self.base, slot.at())?)
    }

    fn get_ptr(&self, slot: Slot) -> Made<P<'c>> {
        self.f.load_ptr(self.f.at(self.base, slot.at())?)
    }

    /// Iterations of its loop, which has some.
    fn count(&self) -> Made<I<'c>> {
        let f = self.f;
        let (lo, hi, step) = (self.get(Slot::Lo)?, self.get(Slot::Hi)?, self.get(Slot::Step)?);
        f.plus(f.div(f.plus(f.sub(hi, lo)?, -1)?, step)?, 1)
    }

    /// Where an iteration begins; the end for the iteration after the last.
    fn value(&self, at: I<'c>) -> Made<I<'c>> {
        let f = self.f;
        f.min(f.add(self.get(Slot::Lo)?, f.mul(at, self.get(Slot::Step)?)?)?, self.get(Slot::Hi)?)
    }

    fn run(&self, lo: I<'c>, hi: I<'c>) -> Made {
        let kernel = self.get_ptr(Slot::Kernel)?;
        let (pointers, dims) = (self.get_ptr(Slot::Pointers)?, self.get_ptr(Slot::Dims)?);
        let ty = signature(self.f.ops, &KERNEL, None);
        self.f.call_address(ty, kernel, &[pointers.into(), dims.into(), lo.into(), hi.into()])
    }
}

/// Writes `(state, launch)`, which runs a kernel that has a parallel loop.
pub(super) fn emit<'c>(ops: &Ops<'c>, sig: &Signature) -> Made<FunctionValue<'c>> {
    use Kind::{I64, Pointer};
    let task = emit_task(ops, &sig.prefix)?;
    let function = declare(ops, &format!("{}_launch", sig.prefix), &[Pointer, Pointer], None, false);
    let f = &Fun::begin(ops, function);
    let state = f.arg_ptr(0)?;
    let launch = Launch { f, base: f.arg_ptr(1)? };
    let (lo, hi) = (launch.get(Slot::Lo)?, launch.get(Slot::Hi)?);
    f.when(f.compare(GE, lo, hi)?, || f.done())?;
    let member = |m| f.at(state, sig.member_at(m));
    let parallel = f.load_ptr(member(Member::Parallel)?)?;
    let threads = f.load(member(Member::Threads)?)?;
    let asked =
        f.and(f.compare(GT, threads, f.int(1))?, f.compare(EQ, f.widen(f.is_null(parallel)?)?, f.int(0))?)?;
    let worth = f.and(
        f.compare(GT, launch.get(Slot::Spread)?, f.int(0))?,
        f.compare(GT, launch.count()?, f.int(1))?,
    )?;
    f.when(f.and(asked, worth)?, || {
        let parts = f.min(threads, f.int(MOST_PARTS))?;
        f.store(f.at(launch.base, Slot::Parts.at())?, parts)?;
        let context = f.load_ptr(member(Member::Context)?)?;
        let ty = signature(ops, &[Pointer, Pointer, Pointer, I64], None);
        let task = f.address_of(task);
        f.call_address(ty, parallel, &[context.into(), task.into(), launch.base.into(), parts.into()])?;
        f.done()
    })?;
    launch.run(lo, hi)?;
    f.done()?;
    Ok(function)
}

/// Writes `(launch, part)`, which runs one part of a loop.
fn emit_task<'c>(ops: &Ops<'c>, prefix: &str) -> Made<FunctionValue<'c>> {
    use Kind::{I64, Pointer};
    let cut = emit_cut(ops, prefix)?;
    let function = declare(ops, &format!("{prefix}_task"), &[Pointer, I64], None, false);
    let f = &Fun::begin(ops, function);
    let (launch, part) = (Launch { f, base: f.arg_ptr(0)? }, f.arg(1)?);
    let parts = launch.get(Slot::Parts)?;
    f.when(f.outside(part, f.int(0), parts)?, || f.done())?;
    let from = f.call_int(cut, &[launch.base.into(), part.into()])?;
    let to = f.call_int(cut, &[launch.base.into(), f.plus(part, 1)?.into()])?;
    let (lo, hi) = (launch.value(from)?, launch.value(to)?);
    f.when(f.lt(lo, hi)?, || launch.run(lo, hi))?;
    f.done()?;
    Ok(function)
}

/// Writes `(launch, part) -> iteration`, the first iteration of a part.
fn emit_cut<'c>(ops: &Ops<'c>, prefix: &str) -> Made<FunctionValue<'c>> {
    use Kind::{I64, Pointer};
    let work = emit_work(ops, prefix)?;
    let function = declare(ops, &format!("{prefix}_cut"), &[Pointer, I64], Some(I64), false);
    let f = &Fun::begin(ops, function);
    let (launch, part) = (Launch { f, base: f.arg_ptr(0)? }, f.arg(1)?);
    let (count, parts) = (launch.count()?, launch.get(Slot::Parts)?);
    f.when(f.compare(GE, part, parts)?, || f.give(count))?;
    let prefix = launch.get_ptr(Slot::Prefix)?;
    f.when(f.is_null(prefix)?, || {
        let (each, left) = (f.div(count, parts)?, f.rem(count, parts)?);
        f.give(f.add(f.mul(part, each)?, f.min(part, left)?)?)
    })?;
    // The first iteration whose work before it reaches the part's share.
    let before = |at: I<'c>| f.call_int(work, &[launch.base.into(), at.into()]);
    let start = before(f.int(0))?;
    let total = f.sub(before(count)?, start)?;
    let goal = f.add(start, f.div(f.mul(total, part)?, parts)?)?;
    let (lo, hi) = (f.var(f.int(0))?, f.var(count)?);
    f.while_(
        || f.lt(f.get(lo)?, f.get(hi)?),
        || {
            let (a, b) = (f.get(lo)?, f.get(hi)?);
            let middle = f.add(a, f.div(f.sub(b, a)?, f.int(2))?)?;
            let low = f.lt(before(middle)?, goal)?;
            f.when_else(low, || f.set(lo, f.plus(middle, 1)?), || f.set(hi, middle))
        },
    )?;
    f.give(f.get(lo)?)?;
    Ok(function)
}

/// Writes `(launch, iteration) -> work`, rows and entries before an iteration.
fn emit_work<'c>(ops: &Ops<'c>, prefix: &str) -> Made<FunctionValue<'c>> {
    use Kind::{I64, Pointer};
    let function = declare(ops, &format!("{prefix}_work"), &[Pointer, I64], Some(I64), false);
    let f = &Fun::begin(ops, function);
    let launch = Launch { f, base: f.arg_ptr(0)? };
    let rows = f.mul(launch.value(f.arg(1)?)?, launch.get(Slot::RowsPerIteration)?)?;
    let row = f.max(f.min(rows, launch.get(Slot::Rows)?)?, f.int(0))?;
    f.give(f.add(row, f.i32_at(launch.get_ptr(Slot::Prefix)?, row)?)?)?;
    Ok(function)
}
