//! A compiled program in memory: code, arena, outputs, and the launches with their tables of pointers.
//!
//! Everything that does not depend on the run is settled when it is made; what depends on the dimensions
//! when they change; a run only fills in where inputs and outputs are and calls.

mod counted;

use self::counted::{Counted, Profile, Work};
use super::checked::Checked;
use super::code::Code;
use super::lengths::{self, extent, lengths, room};
use super::sizes::{value, work};
use super::split::Range;
use super::threads::{Clock, Part, Threads};
use super::{Isa, KernelFn, Library, check};
use crate::cache::CacheNote;
use crate::error::{CompileError, RunError};
use crate::inputs::{Dims, Inputs, Slot};
use crate::memory::Block;
use crate::options::Options;
use crate::report::{KernelReport, LaunchTime, Memory, Report, Times};
use crate::session::Engine;
use crate::store::Store;
use crate::trace::{Record, Trace, TracedLaunch};
use latentc_ir::array::CsrArray;
use latentc_ir::nest::Split;
use latentc_ir::plan::{Control, CsrPart, Place, Program, Runner, walk};
use latentc_ir::types::product;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Work (see [`work`]) below which a kernel runs on the caller alone: some ten microseconds.
pub(crate) const WORTH_SPREADING: f64 = 20_000.0;

/// A program that is ready to run on this processor.
pub(crate) struct Machine {
    // Dropped first: nothing runs when code and memory go.
    threads: Threads,
    /// Work of a launch from which on it is divided.
    worth: f64,
    program: Program,
    steps: Vec<Step>,
    /// The pointer tables of all steps, one after the other.
    pointers: Vec<Address>,
    /// Entries of `pointers` that a run fills in, with the buffer they are of.
    open: Vec<(usize, usize)>,
    /// Ranges of launches that run several times or only sometimes.
    controls: Arc<[Control]>,
    /// For each of them the entries of `pointers` that change with its turns, with the buffer they are of.
    moving: Vec<Vec<(usize, usize)>>,
    /// The present turn of each, and the number of turns at the present dimensions.
    turns: Vec<(usize, usize)>,
    /// For each buffer that is a part of another one: its bytes at the present dimensions.
    parts_of: Vec<usize>,
    /// The dims of all steps, one after the other.
    dims: Vec<i64>,
    /// Room for the parts of a launch.
    parts: Vec<Part>,
    outputs: Vec<Output>,
    /// Whether `dims`, loops and outputs are those of the dimensions bound last.
    ready: bool,
    profile: Option<Profile>,
    checked: Option<Checked>,
    about: About,
    arena: Block,
    _library: Library,
}

/// What is to be said of its making.
struct About {
    isa: &'static str,
    kernels: Vec<KernelReport>,
    times: Times,
    cache: Option<PathBuf>,
    notes: Vec<CacheNote>,
}

/// An entry of a pointer table: an address that the session keeps alive while kernels use it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Address(*mut u8);

// SAFETY: used only while a run borrows the memory behind it.
unsafe impl Send for Address {}

/// A launch.
struct Step {
    function: KernelFn,
    kernel: usize,
    /// Where its pointers and dims begin.
    pointers: usize,
    dims: usize,
    /// Its parallel loop.
    range: Option<Range>,
    /// Whether it is worth more than one thread at the present dimensions.
    spread: bool,
    /// Length of the prefix buffer that divides its loop.
    prefix: usize,
}

/// An output of a run.
struct Output {
    data: Block,
    shape: Vec<usize>,
}

impl Machine {
    /// Compiles or loads, plans pointers, takes memory, starts threads.
    pub fn new(program: &Program, options: &Options) -> Result<Machine, CompileError> {
        let start = Instant::now();
        let plan = |what| CompileError::Plan { program: program.name.clone(), what };
        check::check(program).map_err(plan)?;
        if options.checked && !program.checked {
            return Err(CompileError::Unchecked { program: program.name.clone() });
        }
        let isa = Isa::of(options)?;
        let code = Code::new(program, &isa, options)?;
        let memory = |what: &str, bytes| CompileError::Memory {
            program: program.name.clone(),
            what: what.to_owned(),
            bytes,
        };
        let arena = Block::zeros(program.arena_bytes).map_err(|e| memory("the temporaries", e.bytes))?;
        let threads = Threads::start(options.thread_count())?;

        let (mut steps, mut pointers, mut open, mut dims) = (vec![], vec![], vec![], vec![]);
        let mut moving = vec![vec![]; program.controls.len()];
        for launch in &program.launches {
            steps.push(Step {
                function: code.functions[launch.kernel],
                kernel: launch.kernel,
                pointers: pointers.len(),
                dims: dims.len(),
                range: None,
                spread: false,
                prefix: 0,
            });
            for &buffer in &launch.buffers {
                pointers.push(match program.buffers[buffer].place {
                    // Whether it ends in the arena is checked before a run uses it.
                    Place::Arena { offset } => Address(arena.pointer().wrapping_add(offset)),
                    Place::Step { control, .. } => {
                        moving[control].push((pointers.len(), buffer));
                        Address(std::ptr::null_mut())
                    }
                    _ => {
                        open.push((pointers.len(), buffer));
                        Address(std::ptr::null_mut())
                    }
                });
            }
            dims.extend(launch.dims.iter().map(|_| 0));
        }
        let mut outputs = vec![];
        for o in &program.outputs {
            // The greatest size at once, where it is not excessive: then no run has to take memory.
            let greatest = product(&o.shape).upper().saturating_mul(o.dtype.size() as i64);
            let ahead = if (0..=AHEAD).contains(&greatest) { greatest as usize } else { 0 };
            let data = Block::zeros(ahead).map_err(|e| memory(&format!("output `{}`", o.name), e.bytes))?;
            outputs.push(Output { data, shape: vec![0; o.shape.len()] });
        }
        let parts = vec![(0, 0); threads.count()];
        let mut kernels = code.kernels;
        for launch in &program.launches {
            kernels[code.distinct[launch.kernel]].launches += 1;
        }
        let times = Times { total: start.elapsed(), ..code.times };
        let about = About { isa: isa.name, kernels, times, cache: code.cache, notes: code.notes };
        Ok(Machine {
            threads,
            worth: WORTH_SPREADING,
            program: program.clone(),
            steps,
            pointers,
            open,
            controls: program.controls.clone().into(),
            moving,
            turns: vec![(0, 0); program.controls.len()],
            parts_of: vec![0; program.buffers.len()],
            dims,
            parts,
            outputs,
            ready: false,
            profile: None,
            checked: options.checked.then(|| Checked::new(program)),
            about,
            arena,
            _library: code.library,
        })
    }

    fn launch(&mut self, at: usize) {
        let step = &self.steps[at];
        let pointers = self.pointers[step.pointers..].as_ptr().cast::<*mut u8>();
        let dims = self.dims[step.dims..].as_ptr();
        let (lo, hi) = step.range.map_or((0, 0), |r| (r.lo, r.hi));
        match step.range {
            Some(range) if step.spread => {
                match self.program.kernels[step.kernel].parallel() {
                    Some((.., Split::ByPrefix { prefix, rows_per_iteration })) => {
                        let start = self.pointers[step.pointers + prefix.at()].0.cast::<i32>();
                        // SAFETY: a parameter of i32 (`check`), aligned and of this length (`rebind`), which
                        // nothing writes during the launch.
                        let prefix = unsafe { std::slice::from_raw_parts(start, step.prefix) };
                        range.by_prefix(prefix, rows_per_iteration, &mut self.parts);
                    }
                    _ => range.evenly(&mut self.parts),
                }
                let clock = self.profile.as_ref().and_then(|p| p.record.as_ref()).map(|(_, clock)| clock);
                // SAFETY: one pointer a parameter, each valid for the length that the kernel declares and
                // not shared with a written one (`check`, `rebind`), one number a dim; the parts are
                // disjoint parts of the loop; the library is ours.
                unsafe { self.threads.run(step.function, pointers, dims, &self.parts, clock) }
            }
            Some(_) if lo >= hi => {}
            // SAFETY: as above, with the whole loop.
            _ => unsafe { (step.function)(pointers, dims, lo, hi) },
        }
    }

    /// Where a buffer of the plan is during this run; null where it is nowhere.
    fn address(&self, inputs: &Inputs, buffer: usize) -> *mut u8 {
        match self.program.buffers[buffer].place {
            Place::Input(i) => match inputs.slot(i) {
                Slot::Kept(p) => p.0,
                Slot::Dense(d) => d.data.pointer(),
                Slot::Pattern(_) => std::ptr::null_mut(),
            },
            Place::Csr { input, part } => match inputs.slot(input) {
                Slot::Pattern(Some(p)) => part_of(p, part).as_ptr().cast_mut().cast(),
                _ => std::ptr::null_mut(),
            },
            Place::Output(o) => self.outputs[o].data.pointer(),
            Place::Arena { offset } => self.arena.pointer().wrapping_add(offset),
            Place::Step { of, control, reverse } => {
                let (turn, turns) = self.turns[control];
                let position = if reverse { turns.saturating_sub(turn + 1) } else { turn };
                self.address(inputs, of).wrapping_add(position * self.parts_of[buffer])
            }
        }
    }

    /// The bytes of a buffer of the plan.
    fn bytes(&self, inputs: &Inputs, buffer: usize) -> &[u8] {
        let decl = &self.program.buffers[buffer];
        let start = self.address(inputs, buffer);
        let len = extent(&decl.shape, inputs.dims()).unwrap_or(0) * decl.dtype.size();
        if start.is_null() || len == 0 {
            return &[];
        }
        // SAFETY: the place of a buffer holds its elements (`rebind`), and no launch is under way.
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    /// Runs all launches with what a checked run looks at in between; on a fault, what is kept is put back.
    fn run_checked(&mut self, inputs: &Inputs, store: &mut Store) -> Result<(), RunError> {
        let Some(mut checked) = self.checked.take() else { return Ok(()) };
        let result = self.launches_checked(&mut checked, inputs, store);
        if result.is_err() {
            checked.take_back(store);
        }
        self.checked = Some(checked);
        result
    }

    fn launches_checked(
        &mut self,
        checked: &mut Checked,
        inputs: &Inputs,
        store: &Store,
    ) -> Result<(), RunError> {
        checked.begin(&self.program, inputs, store, &|b| self.bytes(inputs, b))?;
        self.walk(inputs, Some(checked))
    }

    /// Runs all launches, loops and branches as their conditions say.
    fn walk(&mut self, inputs: &Inputs, checked: Option<&mut Checked>) -> Result<(), RunError> {
        let (controls, launches) = (self.controls.clone(), self.steps.len());
        walk(&controls, launches, &mut Running { machine: self, inputs, checked })
    }

    /// Settles what depends on the dimensions: lengths are checked, loops and outputs get their sizes.
    fn rebind(&mut self, dims: &Dims) -> Result<(), RunError> {
        for (output, decl) in self.outputs.iter_mut().zip(&self.program.outputs) {
            let place = || format!("output `{}`", decl.name);
            let bytes = extent(&decl.shape, dims)
                .and_then(|n| n.checked_mul(decl.dtype.size()))
                .ok_or_else(|| RunError::Memory { place: place(), bytes: usize::MAX })?;
            let memory = |e: crate::memory::NoMemory| RunError::Memory { place: place(), bytes: e.bytes };
            output.data.reserve(bytes).map_err(memory)?;
            for (size, dim) in output.shape.iter_mut().zip(&decl.shape) {
                *size = dims.eval(dim).and_then(|v| usize::try_from(v).ok()).unwrap_or(0);
            }
        }
        for table in &self.program.tables {
            let ids = dims.eval(&table.ids).unwrap_or(0);
            if dims.eval(&table.rows) == Some(0) && ids > 0 {
                let (op, span) = (table.at.op, table.at.span.clone());
                return Err(RunError::NoRow { op, span, ids });
            }
        }
        for (turns, c) in self.turns.iter_mut().zip(&self.program.controls) {
            let most = lengths::turns(c, dims);
            let most = most.ok_or_else(|| RunError::Plan {
                kernel: c.at.op.to_owned(),
                what: "the number of its steps overflows".to_owned(),
            })?;
            *turns = (0, most);
            // What a condition reads is there, whichever it is.
            if let Some(buffer) = c.reads()
                && room(&self.program, buffer, dims) < Some(1)
            {
                let what = "the condition of a branch is nowhere".to_owned();
                return Err(RunError::Plan { kernel: c.at.op.to_owned(), what });
            }
        }
        for (bytes, decl) in self.parts_of.iter_mut().zip(&self.program.buffers) {
            if let Place::Step { .. } = decl.place {
                *bytes = extent(&decl.shape, dims).unwrap_or(0) * decl.dtype.size();
            }
        }
        let spread = self.threads.count() > 1;
        for (step, launch) in self.steps.iter_mut().zip(&self.program.launches) {
            let kernel = &self.program.kernels[launch.kernel];
            let values = &mut self.dims[step.dims..step.dims + launch.dims.len()];
            for (value, &dim) in values.iter_mut().zip(&launch.dims) {
                *value = dims.value(dim);
            }
            let wrong = |what| RunError::Plan { kernel: kernel.name.clone(), what };
            lengths(&self.program, kernel, &launch.buffers, values, dims).map_err(wrong)?;
            let Some((lo, hi, by, split)) = kernel.parallel() else { continue };
            let (Some(lo), Some(hi)) = (value(lo, values), value(hi, values)) else {
                return Err(wrong("the bounds of its loop overflow".to_owned()));
            };
            let range = Range { lo, hi, step: by };
            step.range = Some(range);
            step.spread = spread && range.count() > 1 && work(&kernel.body, values) >= self.worth;
            if let Split::ByPrefix { prefix, .. } = split {
                let len = value(&kernel.buffers[prefix.at()].len, values);
                step.prefix = len.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
            }
        }
        Ok(())
    }
}

/// A run under way.
struct Running<'m> {
    machine: &'m mut Machine,
    inputs: &'m Inputs,
    checked: Option<&'m mut Checked>,
}

impl Runner for Running<'_> {
    type Error = RunError;

    fn launch(&mut self, at: usize) -> Result<(), RunError> {
        let (machine, inputs) = (&mut *self.machine, self.inputs);
        if let Some(checked) = &mut self.checked {
            checked.launch(&machine.program, inputs.dims(), at, false, &|b| machine.bytes(inputs, b))?;
        }
        match machine.profile {
            Some(_) => machine.launch_counted(at),
            None => machine.launch(at),
        }
        match &mut self.checked {
            Some(c) => c.launch(&machine.program, inputs.dims(), at, true, &|b| machine.bytes(inputs, b)),
            None => Ok(()),
        }
    }

    fn turn(&mut self, control: usize, turn: usize) -> Result<(), RunError> {
        let machine = &mut *self.machine;
        machine.turns[control].0 = turn;
        for at in 0..machine.moving[control].len() {
            let (entry, buffer) = machine.moving[control][at];
            machine.pointers[entry] = Address(machine.address(self.inputs, buffer));
        }
        Ok(())
    }

    fn turns(&mut self, control: usize) -> usize {
        self.machine.turns[control].1
    }

    fn holds(&mut self, buffer: usize) -> Result<bool, RunError> {
        let at = self.machine.address(self.inputs, buffer);
        // SAFETY: a truth value, one byte in memory (`check`, `rebind`), and no launch is under way.
        Ok(unsafe { at.read() } != 0)
    }
}

impl Engine for Machine {
    fn needs_edges(&self, input: usize) -> bool {
        let place = Place::Csr { input, part: CsrPart::TwinEdges };
        self.program.buffers.iter().any(|b| b.place == place)
    }

    fn run(&mut self, inputs: &Inputs, store: &mut Store, changed: bool) -> Result<(), RunError> {
        if changed || !self.ready {
            self.ready = false;
            self.rebind(inputs.dims())?;
            if self.profile.is_some() {
                let costs = self.costs(inputs.dims());
                self.profile.iter_mut().for_each(|p| p.costs.clone_from(&costs));
            }
            self.ready = true;
        }
        for at in 0..self.open.len() {
            let (entry, buffer) = self.open[at];
            self.pointers[entry] = Address(self.address(inputs, buffer));
        }
        let shared = self.steps.iter().any(|s| s.spread);
        if shared {
            self.threads.begin();
        }
        let result = match self.checked {
            Some(_) => self.run_checked(inputs, store),
            None => self.walk(inputs, None),
        };
        if shared {
            self.threads.end();
        }
        result
    }

    #[cfg(feature = "testing")]
    fn divide(&mut self, threads: usize) -> Result<(), CompileError> {
        self.threads = Threads::start(threads)?;
        self.parts = vec![(0, 0); threads];
        (self.worth, self.ready) = (0.0, false);
        self.profile.iter_mut().for_each(|p| p.record = None);
        Ok(())
    }

    fn output(&self, at: usize) -> Option<(&[usize], &[u8])> {
        let Output { data, shape } = &self.outputs[at];
        let elements: usize = shape.iter().product();
        Some((shape, data.slice(elements * self.program.outputs[at].dtype.size())))
    }

    fn set_profile(&mut self, on: bool) {
        let launches = vec![Counted::default(); self.steps.len()];
        let record = self.profile.take().and_then(|p| p.record);
        self.profile = on.then_some(Profile { launches, costs: vec![], record });
        // Costs are worked out with the dimensions.
        self.ready = false;
    }

    fn record(&mut self, events: usize) {
        if self.profile.is_none() {
            self.set_profile(true);
        }
        let threads = self.threads.count();
        if let Some(profile) = &mut self.profile {
            profile.record = (events > 0).then(|| {
                let record = Record::new(events);
                let clock = Clock::new(record.start, threads);
                (record, clock)
            });
        }
    }

    fn trace(&self) -> Option<Trace> {
        let profile = self.profile.as_ref()?;
        let (record, _) = profile.record.as_ref()?;
        let live = self.live();
        let launches = self.steps.iter().enumerate().map(|(at, step)| {
            let Work { flops, bytes, .. } = profile.costs.get(at).copied().unwrap_or_default();
            TracedLaunch {
                kernel: self.program.kernels[step.kernel].name.clone(),
                ops: self.ops(at),
                flops,
                bytes,
                live: live[at],
            }
        });
        Some(Trace {
            program: self.program.name.clone(),
            start: record.start,
            launches: launches.collect(),
            events: record.events.clone(),
            dropped: record.dropped,
        })
    }

    fn report(&self) -> Report {
        let about = &self.about;
        let counted = self.profile.iter().flat_map(|p| &p.launches);
        let times = counted.zip(&self.steps).enumerate().map(|(at, (counted, step))| LaunchTime {
            name: self.program.kernels[step.kernel].name.clone(),
            ops: self.ops(at),
            calls: counted.calls,
            total: counted.total,
            flops: counted.work.flops,
            bytes: counted.work.bytes,
            once: counted.work.once,
        });
        Report {
            program: self.program.name.clone(),
            device: format!("cpu {}", about.isa),
            threads: self.threads.count(),
            kernels: about.kernels.clone(),
            launches: self.steps.len(),
            times: about.times,
            memory: Memory {
                arena: self.arena.capacity(),
                outputs: self.outputs.iter().map(|o| o.data.capacity()).sum(),
                code: about.kernels.iter().map(|k| k.bytes).sum(),
                ..Memory::default()
            },
            cache: about.cache.clone(),
            notes: about.notes.clone(),
            profile: times.collect(),
        }
    }
}

/// Outputs get memory for their greatest size at once up to this many bytes.
const AHEAD: i64 = 1 << 30;

/// An array of a pattern. The twin of a symmetric one is itself; where it is needed it has been made.
fn part_of(p: &CsrArray, part: CsrPart) -> &[i32] {
    match (part, &p.twin) {
        (CsrPart::Indptr, _) | (CsrPart::TwinIndptr, None) => &p.indptr,
        (CsrPart::Indices, _) | (CsrPart::TwinIndices, None) => &p.indices,
        (CsrPart::TwinIndptr, Some(t)) => &t.indptr,
        (CsrPart::TwinIndices, Some(t)) => &t.indices,
        (CsrPart::TwinEdges, Some(t)) => &t.edges,
        (CsrPart::TwinEdges, None) => &[],
    }
}
