//! A compiled program in memory: code, arena, outputs, and the launches with their tables of pointers.
//!
//! Everything that does not depend on the run is settled when it is made; what depends on the dimensions
//! when they change; a run only fills in where inputs and outputs are and calls.

use super::checked::Checked;
use super::code::Code;
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
use crate::trace::{Event, Record, Trace, TracedLaunch};
use latentc_ir::array::CsrArray;
use latentc_ir::dim::Dim;
use latentc_ir::nest::{Kernel, Split};
use latentc_ir::plan::{CsrPart, OpAt, Origin, Place, Program};
use latentc_ir::types::{Shape, product};
use std::path::PathBuf;
use std::time::{Duration, Instant};

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

/// What is counted while profiling.
struct Profile {
    launches: Vec<Counted>,
    /// The work of each launch at the present dimensions.
    costs: Vec<Work>,
    record: Option<(Record, Clock)>,
}

/// What launches of one place in the plan came to.
#[derive(Clone, Copy, Default)]
struct Counted {
    calls: u64,
    total: Duration,
    work: Work,
}

/// Floating-point operations and bytes: as often as rows are gathered, and every array once.
#[derive(Clone, Copy, Default)]
struct Work {
    flops: u64,
    bytes: u64,
    once: u64,
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
        let isa = Isa::host()?;
        let code = Code::new(program, &isa, options)?;
        let memory = |what: &str, bytes| CompileError::Memory {
            program: program.name.clone(),
            what: what.to_owned(),
            bytes,
        };
        let arena = Block::zeros(program.arena_bytes).map_err(|e| memory("the temporaries", e.bytes))?;
        let threads = Threads::start(options.thread_count())?;

        let (mut steps, mut pointers, mut open, mut dims) = (vec![], vec![], vec![], vec![]);
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

    /// A launch whose time is counted, and recorded where there is room.
    fn launch_counted(&mut self, at: usize) {
        let start = Instant::now();
        self.launch(at);
        let end = Instant::now();
        let Some(profile) = &mut self.profile else { return };
        let counted = &mut profile.launches[at];
        counted.calls += 1;
        counted.total += end - start;
        let Work { flops, bytes, once } = profile.costs.get(at).copied().unwrap_or_default();
        counted.work.flops += flops;
        counted.work.bytes += bytes;
        counted.work.once += once;
        let Some((record, clock)) = &mut profile.record else { return };
        let launch = at as u32;
        let (begin, end) = (start - record.start, end - record.start);
        record.push(Event { launch, thread: 0, begin, end });
        if self.steps[at].spread {
            for thread in 1..self.threads.count() {
                let [begin, end] = clock.times(thread);
                record.push(Event { launch, thread: thread as u32, begin, end });
            }
        }
    }

    /// The work of each launch at the present dimensions.
    fn costs(&self, dims: &Dims) -> Vec<Work> {
        let number = |d: &Dim| dims.eval(d).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let origins = &self.program.origins;
        let bytes = |o: &Origin| Work { flops: 0, bytes: number(&o.bytes), once: number(&o.once) };
        let mut costs: Vec<Work> = origins.iter().map(bytes).collect();
        let mut at = 0;
        // Launches of one group stand together; the work is that of the one with the most instructions.
        while at < origins.len() {
            let group = origins[at].group;
            let end = origins[at..].iter().position(|o| o.group != group).map_or(origins.len(), |n| at + n);
            let work = |i: &usize| {
                let step = &self.steps[*i];
                let dims = &self.dims[step.dims..];
                work(&self.program.kernels[step.kernel].body, dims)
            };
            if let Some(main) = (at..end).max_by(|a, b| work(a).total_cmp(&work(b))) {
                costs[main].flops = number(&origins[main].flops);
            }
            at = end;
        }
        costs
    }

    /// Bytes of temporaries in use at each launch, at the present dimensions.
    fn live(&self) -> Vec<u64> {
        let program = &self.program;
        let dims = |d: &Dim| {
            let of = |name: &str| {
                let mut known = program.launches.iter().zip(&self.steps);
                known.find_map(|(launch, step)| {
                    let at = launch.dims.iter().position(|d| program.dims[*d].name == name)?;
                    self.dims.get(step.dims + at).copied()
                })
            };
            d.eval(&of)
        };
        let mut live = vec![0; program.launches.len()];
        for (b, buffer) in program.buffers.iter().enumerate() {
            if !matches!(buffer.place, Place::Arena { .. }) {
                continue;
            }
            let uses = || (0..live.len()).filter(|l| program.launches[*l].buffers.contains(&b));
            if let (Some(from), Some(to)) = (uses().min(), uses().max()) {
                let elements = dims(&product(&buffer.shape)).unwrap_or(0);
                let bytes = u64::try_from(elements).unwrap_or(0) * buffer.dtype.size() as u64;
                live[from..=to].iter_mut().for_each(|l| *l += bytes);
            }
        }
        live
    }

    /// What a launch does of the graph.
    fn ops(&self, at: usize) -> Vec<OpAt> {
        self.program.origins.get(at).map(|o| o.ops.clone()).unwrap_or_default()
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
        let dims = inputs.dims();
        checked.begin(&self.program, inputs, store, &|b| self.bytes(inputs, b))?;
        for at in 0..self.steps.len() {
            checked.launch(&self.program, dims, at, false, &|b| self.bytes(inputs, b))?;
            match self.profile {
                Some(_) => self.launch_counted(at),
                None => self.launch(at),
            }
            checked.launch(&self.program, dims, at, true, &|b| self.bytes(inputs, b))?;
        }
        Ok(())
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
        let mut result = Ok(());
        if self.checked.is_some() {
            result = self.run_checked(inputs, store);
        } else if self.profile.is_some() {
            (0..self.steps.len()).for_each(|at| self.launch_counted(at));
        } else {
            (0..self.steps.len()).for_each(|at| self.launch(at));
        }
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

/// The number of elements of a shape; `None` where it is negative or overflows.
fn extent(shape: &Shape, dims: &Dims) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, d| n.checked_mul(usize::try_from(dims.eval(d)?).ok()?))
}

/// Checks, with these values of the program's dims, that each parameter's length fits its buffer, and the buffer
/// its place.
pub(crate) fn check_lengths(program: &Program, values: &[i64]) -> Result<(), String> {
    let dims = Dims::fixed(program.dims.clone(), values);
    for launch in &program.launches {
        let kernel = &program.kernels[launch.kernel];
        let values: Vec<i64> = launch.dims.iter().map(|d| values[*d]).collect();
        lengths(program, kernel, &launch.buffers, &values, &dims)
            .map_err(|what| format!("launch of `{}`: {what}", kernel.name))?;
    }
    Ok(())
}

/// Checks that each parameter's length fits its buffer, and the buffer its place.
fn lengths(
    program: &Program,
    kernel: &Kernel,
    buffers: &[usize],
    values: &[i64],
    dims: &Dims,
) -> Result<(), String> {
    for ((_, param), &at) in kernel.params().zip(buffers) {
        let buffer = &program.buffers[at];
        let len = value(&param.len, values).and_then(|n| usize::try_from(n).ok());
        let held = extent(&buffer.shape, dims);
        if len.is_none() || len > held {
            let (len, held) = (text(len), text(held));
            return Err(format!(
                "parameter `{}` has {len} elements, its buffer `{}` {held}",
                param.name, buffer.name
            ));
        }
        let room = match &buffer.place {
            Place::Input(i) => match &program.inputs[*i].ty {
                latentc_ir::types::Type::Tensor(t) => extent(&t.shape, dims),
                _ => None,
            },
            Place::Csr { input, part } => program.inputs[*input].ty.as_csr().and_then(|c| {
                let of = |d| dims.eval(d).and_then(|n| usize::try_from(n).ok());
                match part {
                    CsrPart::Indptr => of(&c.rows).map(|n| n + 1),
                    CsrPart::TwinIndptr => of(&c.cols).map(|n| n + 1),
                    CsrPart::Indices | CsrPart::TwinIndices | CsrPart::TwinEdges => of(&c.nnz),
                }
            }),
            Place::Output(o) => extent(&program.outputs[*o].shape, dims),
            Place::Arena { offset } => {
                program.arena_bytes.checked_sub(*offset).map(|left| left / buffer.dtype.size())
            }
        };
        if room < held {
            return Err(format!(
                "buffer `{}` has {} elements, its place {}",
                buffer.name,
                text(held),
                text(room)
            ));
        }
    }
    Ok(())
}

fn text(count: Option<usize>) -> String {
    count.map_or("no number of".to_owned(), |n| n.to_string())
}

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
