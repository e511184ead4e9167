//! The launches of a version as code, in loops and branches as the plan says.

use super::code::{I, Made, NE, P, Var};
use super::launch::{self, Slot};
use super::signature::Signature;
use super::sizes::Sizes;
use crate::cpu::EmitError;
use crate::cpu::machine::WORTH_SPREADING;
use inkwell::FloatPredicate;
use inkwell::values::FunctionValue;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::nest::Split;
use latentc_ir::plan::{ControlKind, Place, Program};
use latentc_ir::types::product;
use std::ops::Range;

/// Where a run finds memory.
pub(super) struct Places<'c> {
    pub state: P<'c>,
    pub workspace: P<'c>,
    /// By the pointers of the signature.
    pub bases: Vec<P<'c>>,
}

/// A version that is being written.
pub(super) struct Steps<'s, 'f, 'a, 'c> {
    plan: &'s Program,
    sig: &'s Signature,
    sizes: Sizes<'f, 'a, 'c>,
    places: Places<'c>,
    kernels: Vec<FunctionValue<'c>>,
    launch: FunctionValue<'c>,
    /// The pointers and the dims of a launch, and what a launch in parts is told.
    pointers: P<'c>,
    dims: P<'c>,
    record: P<'c>,
    /// The present turn of each loop, and the number of its turns.
    turns: Vec<(Var<'c>, I<'c>)>,
}

impl<'s, 'f, 'a, 'c> Steps<'s, 'f, 'a, 'c> {
    /// Takes room on the stack.
    pub fn begin(
        plan: &'s Program,
        sig: &'s Signature,
        sizes: Sizes<'f, 'a, 'c>,
        places: Places<'c>,
        kernels: Vec<FunctionValue<'c>>,
        launch: FunctionValue<'c>,
    ) -> Made<Steps<'s, 'f, 'a, 'c>> {
        let f = sizes.fun;
        let most = |n: fn(&latentc_ir::plan::Launch) -> usize| {
            8 * plan.launches.iter().map(n).max().unwrap_or(0).max(1) as u64
        };
        let (pointers, dims) = (f.room(most(|l| l.buffers.len()))?, f.room(most(|l| l.dims.len()))?);
        let record = f.room(launch::BYTES)?;
        let mut turns = vec![];
        for c in &plan.controls {
            let count = match &c.kind {
                ControlKind::Loop { trips } | ControlKind::While { limit: trips, .. } => sizes.dim(trips)?,
                ControlKind::Branch { .. } => f.int(1),
            };
            turns.push((f.var(f.int(0))?, count));
        }
        Ok(Steps { plan, sig, sizes, places, kernels, launch, pointers, dims, record, turns })
    }

    /// Writes every launch.
    pub fn write(&self) -> Made {
        self.range(0, 0..self.plan.launches.len())
    }

    /// Writes so many launches; the ranges among them are those from `next` on. (As `plan::walk`.)
    fn range(&self, mut next: usize, launches: Range<usize>) -> Made {
        let f = self.sizes.fun;
        let mut at = launches.start;
        while at < launches.end {
            while self.plan.controls.get(next).is_some_and(|c| c.first < at) {
                next += 1;
            }
            let here = |c: &&latentc_ir::plan::Control| c.first == at && c.end <= launches.end && at < c.end;
            let Some(c) = self.plan.controls.get(next).filter(here) else {
                self.step(at)?;
                at += 1;
                continue;
            };
            match c.kind {
                ControlKind::Loop { .. } => {
                    self.turn(next, || self.range(next + 1, c.first..c.end))?;
                }
                ControlKind::While { body, going, .. } => self.turn(next, || {
                    self.range(next + 1, c.first..body)?;
                    let (turn, turns) = self.turns[next];
                    f.when_else(
                        self.holds(going)?,
                        || self.range(next + 1, body..c.end),
                        // The last turn: what comes after it ends the loop.
                        || f.set(turn, turns),
                    )
                })?,
                ControlKind::Branch { on, otherwise } => f.when_else(
                    self.holds(on)?,
                    || self.range(next + 1, c.first..otherwise),
                    || self.range(next + 1, otherwise..c.end),
                )?,
            }
            at = c.end;
        }
        Ok(())
    }

    /// A loop over the turns of a range.
    fn turn(&self, control: usize, body: impl FnOnce() -> Made) -> Made {
        let f = self.sizes.fun;
        let (turn, turns) = self.turns[control];
        f.set(turn, f.int(0))?;
        f.while_(
            || f.lt(f.get(turn)?, turns),
            || {
                body()?;
                f.set(turn, f.plus(f.get(turn)?, 1)?)
            },
        )
    }

    /// A truth value in memory.
    fn holds(&self, buffer: usize) -> Made<I<'c>> {
        let f = self.sizes.fun;
        let byte = f.element(DType::Bool, self.address(buffer)?, f.int(0))?;
        f.compare(NE, byte, f.int(0))
    }

    fn address(&self, buffer: usize) -> Made<P<'c>> {
        let f = self.sizes.fun;
        let decl = &self.plan.buffers[buffer];
        let pointer = match &decl.place {
            Place::Arena { offset } => return f.at(self.places.workspace, *offset as u64),
            Place::Step { of, control, reverse } => {
                let (turn, turns) = self.turns[*control];
                let turn = f.get(turn)?;
                let position = if *reverse { f.plus(f.sub(turns, turn)?, -1)? } else { turn };
                let bytes = self.sizes.dim(&(&product(&decl.shape) * &Dim::from(decl.dtype.size())))?;
                return f.offset(self.address(*of)?, f.mul(position, bytes)?);
            }
            Place::Csr { input, part } => self.sig.part(*input, *part),
            place => self.sig.find(place),
        };
        let base = pointer.and_then(|at| self.places.bases.get(at).copied());
        base.ok_or_else(|| EmitError::internal("a buffer that has no place"))
    }

    /// One launch.
    fn step(&self, at: usize) -> Made {
        let f = self.sizes.fun;
        let step = &self.plan.launches[at];
        let kernel = &self.plan.kernels[step.kernel];
        let mut values = vec![];
        for (i, &dim) in step.dims.iter().enumerate() {
            values.push(self.sizes.dims[dim].1);
            f.store(f.at(self.dims, 8 * i as u64)?, values[i])?;
        }
        for (i, &buffer) in step.buffers.iter().enumerate() {
            f.store_ptr(f.at(self.pointers, 8 * i as u64)?, self.address(buffer)?)?;
        }
        let Some((lo, hi, by, split)) = kernel.parallel() else {
            let zero = f.int(0).into();
            return f.call(self.kernels[step.kernel], &[self.pointers.into(), self.dims.into(), zero, zero]);
        };
        let set = |slot: Slot, x| f.store(f.at(self.record, slot.at())?, x);
        let set_ptr = |slot: Slot, x| f.store_ptr(f.at(self.record, slot.at())?, x);
        set_ptr(Slot::Kernel, f.address_of(self.kernels[step.kernel]))?;
        set_ptr(Slot::Pointers, self.pointers)?;
        set_ptr(Slot::Dims, self.dims)?;
        set(Slot::Lo, self.sizes.index(lo, &values)?)?;
        set(Slot::Hi, self.sizes.index(hi, &values)?)?;
        set(Slot::Step, f.int(by))?;
        let limit = f.ops.ctx.f64_type().const_float(WORTH_SPREADING);
        let work = self.sizes.work(&kernel.body, &values)?;
        let worth = f.ops.builder.build_float_compare(FloatPredicate::OGE, work, limit, "")?;
        set(Slot::Spread, f.widen(worth)?)?;
        match split {
            Split::Even => set_ptr(Slot::Prefix, f.null())?,
            Split::ByPrefix { prefix, rows_per_iteration } => {
                set_ptr(Slot::Prefix, self.address(step.buffers[prefix.at()])?)?;
                let rows = f.plus(self.sizes.index(&kernel.buffers[prefix.at()].len, &values)?, -1)?;
                set(Slot::Rows, rows)?;
                set(Slot::RowsPerIteration, f.int(i64::from(rows_per_iteration)))?;
            }
        }
        f.call(self.launch, &[self.places.state.into(), self.record.into()])
    }
}
