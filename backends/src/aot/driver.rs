//! The functions that callers see, as code: the size of the workspace, the choice of an instruction set, and a
//! run, which checks everything that it was given before it changes anything.

use super::checks::{self, Fail, Numbers};
use super::code::{DType, EQ, Fun, GT, I, Kind, LE, Made, NE, P, declare};
use super::launch::{self, KERNEL};
use super::level;
use super::signature::{Member, Pointer, REMEMBERED, Signature};
use super::sizes::Sizes;
use super::status::Code;
use super::steps::{Places, Steps};
use super::target::Level;
use super::unit::workspace;
use super::{text, weights};
use crate::cpu::vector::Ops;
use crate::options::Ids;
use inkwell::values::{BasicMetadataValueEnum, FunctionValue};
use latentc_ir::plan::{CsrPart, Place, Program};
use latentc_ir::types::product;

/// Alignment of the workspace, on which the plan places temporaries.
pub(super) const ALIGN: i64 = latentc_ir::array::ALIGN as i64;

/// A program for one instruction set.
pub(super) struct Version {
    pub level: Level,
    pub plan: Program,
    /// Symbols of the plan's kernels.
    pub symbols: Vec<String>,
}

/// What the writers of a program's functions share.
pub(super) struct Driver<'a, 'c> {
    pub ops: &'a Ops<'c>,
    pub sig: &'a Signature,
    pub versions: &'a [Version],
    pub fail: Fail<'c>,
}

/// Writes every function of a program but its kernels.
pub(super) fn emit<'c>(
    ops: &Ops<'c>,
    sig: &Signature,
    versions: &[Version],
    external: bool,
    x86: bool,
) -> Made {
    let fail = Fail::emit(ops, &sig.prefix)?;
    let driver = Driver { ops, sig, versions, fail };
    driver.workspace_bytes()?;
    driver.init(level::emit(ops, &sig.prefix, x86)?)?;
    driver.run()?;
    text::emit(ops, sig)?;
    if sig.patterns.iter().any(|p| p.parts.len() > 2) {
        checks::twin(ops, &sig.prefix)?;
    }
    weights::emit(&driver, external)
}

impl<'c> Driver<'_, 'c> {
    pub fn name(&self, what: &str) -> String {
        format!("{}_{what}", self.sig.prefix)
    }

    /// Bytes of workspace, the most of all versions.
    fn workspace(&self) -> i64 {
        self.versions.iter().map(|v| workspace(self.sig, v) as i64).max().unwrap_or(0)
    }

    /// Where in the workspace runs have the rows that the ids of a pointer stand for: at its end, so that it is the same
    /// place for every version.
    fn settled_at(&self, at: usize) -> Option<u64> {
        let pointers = &self.sig.pointers;
        let behind: u64 = pointers[at..].iter().map(Pointer::settled_bytes).sum();
        pointers[at].is_settled().then(|| self.workspace() as u64 - behind)
    }

    /// `(dims) -> bytes`. The plan has a place for everything at its greatest size, so dims change nothing.
    fn workspace_bytes(&self) -> Made {
        let name = self.name("workspace_bytes");
        let f = Fun::begin(self.ops, declare(self.ops, &name, &[Kind::Pointer], Some(Kind::I64), true));
        f.give(f.int(self.workspace()))
    }

    /// Where a member of the state is.
    fn member(&self, f: &Fun<'_, 'c>, state: P<'c>, member: Member) -> Made<P<'c>> {
        f.at(state, self.sig.member_at(member))
    }

    pub fn pointer(&self, f: &Fun<'_, 'c>, state: P<'c>, at: usize) -> Made<P<'c>> {
        f.load_ptr(f.at(state, self.sig.pointer_at(at))?)
    }

    /// `(state, abi) -> code`: compares interfaces, chooses a version, forgets what was checked.
    fn init(&self, processor: FunctionValue<'c>) -> Made {
        use Kind::{I32, I64, Pointer};
        let f =
            &Fun::begin(self.ops, declare(self.ops, &self.name("init"), &[Pointer, I64], Some(I32), true));
        let (state, abi) = (f.arg_ptr(0)?, f.arg(1)?);
        f.when(f.is_null(state)?, || f.give(f.int32(Code::MISSING.number())))?;
        self.clear_error(f, state)?;
        let (which, none) = (f.int(self.sig.which_program()), Numbers::none(f));
        let own = f.int(self.sig.abi as i64);
        f.when(f.compare(NE, abi, own)?, || {
            self.fail.end(f, state, Code::ABI, which, Numbers { found: abi, least: own, ..none })
        })?;
        let has = f.call_int(processor, &[])?;
        let asked = f.load(self.member(f, state, Member::Level)?)?;
        let any = f.compare(EQ, asked, f.int(0))?;
        for (at, version) in self.versions.iter().enumerate() {
            let rank = f.int(version.level.rank);
            let fits = f.and(f.compare(LE, rank, has)?, f.or(any, f.compare(EQ, rank, asked)?)?)?;
            f.when(fits, || {
                f.store(self.member(f, state, Member::Level)?, rank)?;
                f.store(self.member(f, state, Member::Chosen)?, f.int(at as i64))?;
                for p in 0..self.sig.patterns.len() {
                    for i in 0..REMEMBERED {
                        f.store(f.at(self.member(f, state, Member::Checked(p))?, 8 * i)?, f.int(0))?;
                    }
                }
                f.store(self.member(f, state, Member::Ready)?, own)?;
                f.give(f.int32(0))
            })?;
        }
        let least = self.versions.iter().map(|v| v.level.rank).min().unwrap_or(0);
        let least = f.pick(any, f.int(least), asked)?;
        self.fail.end(f, state, Code::LEVEL, which, Numbers { found: has, least, ..none })?;
        Ok(())
    }

    fn clear_error(&self, f: &Fun<'_, 'c>, state: P<'c>) -> Made {
        (0..5).try_for_each(|i| f.store(f.at(state, 8 * i)?, f.int(0)))
    }

    /// `(state) -> code`: checks, then the version that `init` chose.
    fn run(&self) -> Made {
        use Kind::{I32, Pointer};
        let (ops, sig) = (self.ops, self.sig);
        let launch = launch::emit(ops, sig)?;
        let versions: Vec<FunctionValue> =
            self.versions.iter().map(|v| self.version(v, launch)).collect::<Made<_>>()?;
        let pattern =
            if sig.patterns.is_empty() { None } else { Some(checks::pattern(ops, &sig.prefix, self.fail)?) };
        let mut ids: Vec<((DType, Ids), FunctionValue)> = vec![];
        for p in sig.pointers.iter().filter(|p| p.bound.is_some() || is_truth(p)) {
            if !ids.iter().any(|(known, _)| *known == (p.dtype, p.ids)) {
                let check = match p.ids {
                    Ids::Error => checks::ids(ops, &sig.prefix, self.fail, p.dtype)?,
                    policy => checks::settle(ops, &sig.prefix, self.fail, p.dtype, policy)?,
                };
                ids.push(((p.dtype, p.ids), check));
            }
        }

        let f = &Fun::begin(ops, declare(ops, &self.name("run"), &[Pointer], Some(I32), true));
        let state = f.arg_ptr(0)?;
        let sizes = self.begin_call(f, state)?;
        let none = Numbers::none(f);
        let mut lengths = vec![];
        for at in 0..sig.pointers.len() {
            let len = sizes.dim(&sig.pointers[at].len)?;
            self.check_pointer(f, state, at, len)?;
            lengths.push(len);
        }
        self.check_workspace(f, state)?;
        if let Some(pattern) = &pattern {
            for at in 0..sig.patterns.len() {
                self.check_pattern(f, state, at, &sizes, pattern.whole)?;
            }
        }
        for (at, p) in sig.pointers.iter().enumerate() {
            let bound = match &p.bound {
                Some(bound) => sizes.dim(bound)?,
                None if is_truth(p) => f.int(2),
                None => continue,
            };
            let Some((_, check)) = ids.iter().find(|(d, _)| *d == (p.dtype, p.ids)) else { continue };
            let which = f.int32(sig.which_pointer(at));
            let base = self.pointer(f, state, at)?;
            let mut args: Vec<BasicMetadataValueEnum> =
                vec![state.into(), which.into(), base.into(), lengths[at].into(), bound.into()];
            if let Some(offset) = self.settled_at(at) {
                let workspace = f.load_ptr(self.member(f, state, Member::Workspace)?)?;
                args.push(f.at(workspace, offset)?.into());
            }
            let code = f.call_int(*check, &args)?;
            f.when(f.compare(NE, code, f.int32(0))?, || f.give(code))?;
        }
        // Of all plans alike, since they are of one graph.
        for table in self.versions.iter().take(1).flat_map(|v| &v.plan.tables) {
            let (rows, found) = (sizes.dim(&table.rows)?, sizes.dim(&table.ids)?);
            let wrong = f.and(f.compare(LE, rows, f.int(0))?, f.compare(GT, found, f.int(0))?)?;
            f.when(wrong, || {
                let which = f.int(sig.which_program());
                self.fail.end(f, state, Code::EMPTY_TABLE, which, Numbers { found, ..none })
            })?;
        }
        let chosen = f.load(self.member(f, state, Member::Chosen)?)?;
        for (at, version) in versions.iter().enumerate() {
            f.when(f.compare(EQ, chosen, f.int(at as i64))?, || {
                f.call(*version, &[state.into()])?;
                f.give(f.int32(0))
            })?;
        }
        self.fail.end(f, state, Code::NOT_READY, f.int(sig.which_program()), none)
    }

    /// What a call begins with: a state that has been initialised, whose dims are in their ranges.
    pub fn begin_call<'f, 'a>(&self, f: &'f Fun<'a, 'c>, state: P<'c>) -> Made<Sizes<'f, 'a, 'c>> {
        f.when(f.is_null(state)?, || f.give(f.int32(Code::MISSING.number())))?;
        self.clear_error(f, state)?;
        let ready = f.load(self.member(f, state, Member::Ready)?)?;
        f.when(f.compare(NE, ready, f.int(self.sig.abi as i64))?, || {
            self.fail.end(f, state, Code::NOT_READY, f.int(self.sig.which_program()), Numbers::none(f))
        })?;
        self.dims(f, state)
    }

    /// The dims of a state, each checked against its range.
    fn dims<'f, 'a>(&self, f: &'f Fun<'a, 'c>, state: P<'c>) -> Made<Sizes<'f, 'a, 'c>> {
        let sizes = self.dims_as_they_are(f, state)?;
        for (at, ((_, symbol), (_, found))) in self.sig.dims.iter().zip(&sizes.dims).enumerate() {
            let (least, most) = (f.int(symbol.lo), f.int(symbol.hi));
            let wrong = f.or(f.lt(*found, least)?, f.compare(GT, *found, most)?)?;
            f.when(wrong, || {
                let numbers = Numbers { at: f.int(0), found: *found, least, most };
                self.fail.end(f, state, Code::DIM, f.int(at as i64), numbers)
            })?;
        }
        Ok(sizes)
    }

    fn dims_as_they_are<'f, 'a>(&self, f: &'f Fun<'a, 'c>, state: P<'c>) -> Made<Sizes<'f, 'a, 'c>> {
        let dims = self.sig.dims.iter().enumerate();
        let dims = dims.map(|(at, (_, s))| Ok((s.name.clone(), f.load(f.at(state, self.sig.dim_at(at))?)?)));
        Ok(Sizes { fun: f, dims: dims.collect::<Made<_>>()? })
    }

    /// An address is there, where there are elements, and is aligned to them.
    pub fn check_pointer(&self, f: &Fun<'_, 'c>, state: P<'c>, at: usize, len: I<'c>) -> Made {
        let p = &self.sig.pointers[at];
        let (which, none) = (f.int(self.sig.which_pointer(at)), Numbers::none(f));
        if p.embedded.is_some() {
            weights::fill_in(self, f, state, at)?;
        }
        let base = self.pointer(f, state, at)?;
        f.when(f.is_null(base)?, || {
            f.when(f.compare(GT, len, f.int(0))?, || {
                self.fail.end(f, state, Code::MISSING, which, Numbers { least: len, ..none })
            })
        })?;
        self.check_alignment(f, state, which, base, p.dtype.size() as i64)
    }

    fn check_alignment(&self, f: &Fun<'_, 'c>, state: P<'c>, which: I<'c>, base: P<'c>, align: i64) -> Made {
        if align <= 1 {
            return Ok(());
        }
        let address = f.address(base)?;
        f.when(f.compare(NE, f.and(address, f.int(align - 1))?, f.int(0))?, || {
            let numbers = Numbers { found: address, least: f.int(align), ..Numbers::none(f) };
            self.fail.end(f, state, Code::ALIGNMENT, which, numbers)
        })
    }

    fn check_workspace(&self, f: &Fun<'_, 'c>, state: P<'c>) -> Made {
        let (which, none) = (f.int(self.sig.which_workspace()), Numbers::none(f));
        if self.workspace() == 0 {
            return Ok(());
        }
        let needed = f.int(self.workspace());
        let base = f.load_ptr(self.member(f, state, Member::Workspace)?)?;
        let found = f.load(self.member(f, state, Member::WorkspaceBytes)?)?;
        // As unsigned numbers.
        let small = self.ops.builder.build_int_compare(inkwell::IntPredicate::ULT, found, needed, "")?;
        f.when(small, || {
            self.fail.end(f, state, Code::WORKSPACE, which, Numbers { found, least: needed, ..none })
        })?;
        f.when(f.is_null(base)?, || {
            let least = f.int(self.workspace());
            self.fail.end(f, state, Code::WORKSPACE, which, Numbers { least, ..none })
        })?;
        self.check_alignment(f, state, which, base, ALIGN)
    }

    /// Looks at a pattern unless it is the one that was looked at last.
    fn check_pattern(
        &self,
        f: &Fun<'_, 'c>,
        state: P<'c>,
        at: usize,
        sizes: &Sizes<'_, '_, 'c>,
        check: FunctionValue<'c>,
    ) -> Made {
        let p = &self.sig.patterns[at];
        let array = |part: CsrPart| match self.sig.find(&Place::Csr { input: p.input, part }) {
            Some(pointer) => self.pointer(f, state, pointer),
            // A symmetric pattern whose edges are asked for is its own twin.
            None if p.ty.symmetric && p.parts.contains(&CsrPart::TwinEdges) => {
                let own = if part == CsrPart::TwinIndptr { CsrPart::Indptr } else { CsrPart::Indices };
                match self.sig.find(&Place::Csr { input: p.input, part: own }) {
                    Some(pointer) => self.pointer(f, state, pointer),
                    None => Ok(f.null()),
                }
            }
            None => Ok(f.null()),
        };
        let arrays = [
            array(CsrPart::Indptr)?,
            array(CsrPart::Indices)?,
            array(CsrPart::TwinIndptr)?,
            array(CsrPart::TwinIndices)?,
            if p.parts.contains(&CsrPart::TwinEdges) { array(CsrPart::TwinEdges)? } else { f.null() },
        ];
        let sizes = [sizes.dim(&p.ty.rows)?, sizes.dim(&p.ty.cols)?, sizes.dim(&p.ty.nnz)?];
        let mut now = sizes.to_vec();
        for array in arrays {
            now.push(f.address(array)?);
        }
        let memory = self.member(f, state, Member::Checked(at))?;
        let mut same = self.ops.ctx.bool_type().const_int(1, false);
        for (i, now) in now.iter().enumerate() {
            same = f.and(same, f.compare(EQ, f.load(f.at(memory, 8 * i as u64)?)?, *now)?)?;
        }
        f.when_else(
            same,
            || Ok(()),
            || {
                let symmetric = f.int(i64::from(p.ty.symmetric));
                let which = f.int32(self.sig.which_pattern(at));
                let mut args: Vec<BasicMetadataValueEnum> = vec![state.into(), which.into()];
                args.extend(sizes.iter().chain(&[symmetric]).map(|s| BasicMetadataValueEnum::from(*s)));
                args.extend(arrays.iter().map(|a| BasicMetadataValueEnum::from(*a)));
                let code = f.call_int(check, &args)?;
                f.when(f.compare(NE, code, f.int32(0))?, || f.give(code))?;
                now.iter().enumerate().try_for_each(|(i, x)| f.store(f.at(memory, 8 * i as u64)?, *x))
            },
        )
    }

    /// Writes `(state)`, the launches of a version.
    fn version(&self, version: &Version, launch: FunctionValue<'c>) -> Made<FunctionValue<'c>> {
        let plan = &version.plan;
        let name = format!("{}_run_{}", self.sig.prefix, version.level.symbol);
        let function = declare(self.ops, &name, &[Kind::Pointer], None, false);
        let kernels: Vec<FunctionValue> =
            version.symbols.iter().map(|s| declare(self.ops, s, &KERNEL, None, true)).collect();
        let f = &Fun::begin(self.ops, function);
        let state = f.arg_ptr(0)?;
        let sizes = self.dims_as_they_are(f, state)?;
        let workspace = f.load_ptr(self.member(f, state, Member::Workspace)?)?;
        let mut bases = vec![];
        for at in 0..self.sig.pointers.len() {
            bases.push(match self.settled_at(at) {
                Some(offset) => f.at(workspace, offset)?,
                None => self.pointer(f, state, at)?,
            });
        }
        let steps = Steps::begin(plan, self.sig, sizes, Places { state, workspace, bases }, kernels, launch)?;
        steps.write()?;
        f.done()?;
        Ok(function)
    }
}

fn is_truth(p: &Pointer) -> bool {
    // What a run gives is made by kernels, and what is kept was given once.
    p.dtype == DType::Bool && p.group != super::signature::Group::Out
}

/// What compiled code takes on trust: every parameter of every launch fits its buffer and the buffer its place, at
/// the ends of the ranges of the dims.
pub(super) fn check_plan(plan: &Program) -> Result<(), String> {
    crate::cpu::check::check(plan)?;
    let ends: [fn(&latentc_ir::dim::Symbol) -> i64; 3] =
        [|s| s.lo, |s| s.hi, |s| (s.lo.saturating_add(s.hi)) / 2];
    for end in ends {
        let values: Vec<i64> = plan.dims.iter().map(|s| end(s)).collect();
        crate::cpu::lengths::check_lengths(plan, &values)?;
    }
    for b in &plan.buffers {
        if let Place::Arena { offset } = b.place {
            let bytes = product(&b.shape).upper().saturating_mul(b.dtype.size() as i64);
            if usize::try_from(bytes).is_ok_and(|n| n > plan.arena_bytes.saturating_sub(offset)) {
                return Err(format!("buffer `{}` ends beyond the arena", b.name));
            }
        }
    }
    Ok(())
}
