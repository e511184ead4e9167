//! One face for every way of running a program.

use crate::error::{CompileError, Declared, RunError};
use crate::inputs::Inputs;
use crate::interp::Interpreter;
use crate::options::Options;
use crate::report::Report;
use crate::store::Store;
#[cfg(feature = "llvm")]
use crate::trace::EVENTS;
use crate::trace::Trace;
use latentc_ir::array::{CsrArray, Element};
use latentc_ir::diag::Span;
use latentc_ir::dtype::DType;
use latentc_ir::graph::Graph;
use std::sync::Arc;

/// A program that is ready to run, with the memory that its runs use.
///
/// ```text
/// let mut session = Session::cpu(&program, &Options::default())?;
/// session.set_csr("adj", adjacency)?;
/// loop {
///     session.set("user", &[n], &users)?;      // copied, kept until it is set again
///     session.run(&mut store)?;                // parameters and state change in place
///     let (_, loss) = session.output::<f32>("loss")?;
/// }
/// ```
///
/// A run either happens whole or is refused before anything has changed. On the processor a run allocates
/// nothing once its inputs and outputs have been at their greatest sizes.
pub struct Session {
    inputs: Inputs,
    /// Names and element types.
    outputs: Vec<(String, DType)>,
    engine: Box<dyn Engine>,
    /// Whether there are outputs to be taken.
    ran: bool,
}

/// What runs a program whose inputs have been checked.
pub(crate) trait Engine: Send {
    /// Whether it needs the edges of the twin of this symmetric input.
    fn needs_edges(&self, input: usize) -> bool;
    /// Runs the program; `changed` says whether a dimension has another value than in the run before.
    fn run(&mut self, inputs: &Inputs, store: &mut Store, changed: bool) -> Result<(), RunError>;
    /// Sizes and bytes of an output of the last run, by its position.
    fn output(&self, at: usize) -> Option<(&[usize], &[u8])>;
    /// Starts counting time from nothing, or stops.
    fn set_profile(&mut self, on: bool);
    /// Records so many events from now on.
    fn record(&mut self, events: usize);
    /// What was recorded.
    fn trace(&self) -> Option<Trace>;
    /// Runs on so many threads from now on, every launch divided among them, however small.
    #[cfg(all(feature = "llvm", feature = "testing"))]
    fn divide(&mut self, _threads: usize) -> Result<(), CompileError> {
        Ok(())
    }
    /// What it is and holds; inputs are not counted.
    fn report(&self) -> Report;
}

impl Session {
    /// Compiles a program for this processor, or takes its kernels from the disk cache.
    #[cfg(feature = "llvm")]
    pub fn cpu(program: &latentc_ir::plan::Program, options: &Options) -> Result<Session, CompileError> {
        if let Some(dir) = &options.dump {
            crate::debug::dump_plan(program, &crate::cpu::Isa::of(options)?, options.thread_count(), dir)?;
        }
        Session::start(program, options)
    }

    /// Compiles a program without a dump.
    #[cfg(feature = "llvm")]
    pub(crate) fn start(
        program: &latentc_ir::plan::Program,
        options: &crate::options::Options,
    ) -> Result<Session, CompileError> {
        let inputs = Inputs::new(&program.name, &program.dims, program.inputs.clone(), options)?;
        let outputs = named(program.outputs.iter().map(|o| (o.name.clone(), o.dtype)))?;
        let machine = crate::cpu::machine::Machine::new(program, options)?;
        let mut session = Session { inputs, outputs, engine: Box::new(machine), ran: false };
        if options.profile {
            session.profile(true);
            session.record(EVENTS);
        }
        Ok(session)
    }

    /// Takes a graph as it is and interprets it: the specification of what compiled programs compute, slow.
    pub fn interp(graph: &Graph) -> Result<Session, CompileError> {
        Session::interp_with(graph, &Options::default())
    }

    /// As [`Session::interp`]. Of the options, those on row numbers count, and `checked`: the interpreter looks at
    /// every op as a checked run does.
    pub fn interp_with(graph: &Graph, options: &Options) -> Result<Session, CompileError> {
        let interpreter = Interpreter::new(graph, options.checked)?;
        let inputs = Inputs::new(&graph.name, &[], Interpreter::inputs(graph), options)?;
        let outputs = named(interpreter.outputs())?;
        Ok(Session { inputs, outputs, engine: Box::new(interpreter), ran: false })
    }

    /// Gives a data input for the next runs: a copy, row-major. A truth value is a `u8`, 0 or 1.
    pub fn set<T: Element>(&mut self, name: &str, shape: &[usize], data: &[T]) -> Result<(), RunError> {
        self.inputs.set(name, shape, data)
    }

    /// Gives a sparse pattern for the next runs. It is checked here, once; the session shares it, or a copy
    /// with a twin where it lacks one (see [`CsrArray::with_twin`] to make it once for several sessions).
    pub fn set_csr(&mut self, name: &str, pattern: Arc<CsrArray>) -> Result<(), RunError> {
        self.inputs.set_csr(name, pattern, |input| self.engine.needs_edges(input))
    }

    /// Runs the program once, on the inputs as set last, and on the store's parameters and state, which it
    /// updates in place.
    pub fn run(&mut self, store: &mut Store) -> Result<(), RunError> {
        let changed = self.inputs.bind(store)?;
        self.ran = false;
        self.engine.run(&self.inputs, store, changed)?;
        self.ran = true;
        Ok(())
    }

    /// Sizes and elements of an output of the last run. Truth values are seen as `u8`.
    pub fn output<T: Element>(&self, name: &str) -> Result<(&[usize], &[T]), RunError> {
        let Some(at) = self.outputs.iter().position(|(n, _)| n == name) else {
            let known = self.outputs.iter().map(|(n, _)| n.clone()).collect();
            return Err(RunError::UnknownOutput { name: name.to_owned(), known });
        };
        let dtype = self.outputs[at].1;
        if !dtype.is_seen_as(T::DTYPE) {
            let place = Box::new(Declared { kind: "output", name: name.to_owned(), span: Span::none() });
            return Err(RunError::ElementType { place, expected: dtype, found: T::DTYPE });
        }
        match self.engine.output(at) {
            Some((shape, bytes)) if self.ran => {
                // SAFETY: any bits are a `T`; every output is aligned to a cache line, so all of it is seen.
                let (_, elements, _) = unsafe { bytes.align_to::<T>() };
                Ok((shape, elements))
            }
            _ => Err(RunError::NotRun { name: name.to_owned() }),
        }
    }

    /// The element type of an output.
    pub(crate) fn output_type(&self, name: &str) -> Result<DType, RunError> {
        match self.outputs.iter().find(|(n, _)| n == name) {
            Some((_, dtype)) => Ok(*dtype),
            None => {
                let known = self.outputs.iter().map(|(n, _)| n.clone()).collect();
                Err(RunError::UnknownOutput { name: name.to_owned(), known })
            }
        }
    }

    /// Runs on so many threads from now on, every launch divided among them, however small. The interpreter has one.
    #[cfg(all(feature = "llvm", feature = "testing"))]
    pub(crate) fn divide(&mut self, threads: usize) -> Result<(), CompileError> {
        self.engine.divide(threads)
    }

    /// Counts the time of each launch from now on, from nothing, or stops. Costs two looks at the clock a
    /// launch. The interpreter has no launches.
    pub fn profile(&mut self, on: bool) {
        self.engine.set_profile(on);
    }

    /// Records which launch ran when on which thread, from now on and from nothing, up to so many events (24 bytes
    /// each, taken at once); 0 stops. The interpreter has nothing to record.
    pub fn record(&mut self, events: usize) {
        self.engine.record(events);
    }

    /// What was recorded; nothing where [`Session::record`] was not asked for.
    pub fn trace(&self) -> Option<Trace> {
        self.engine.trace()
    }

    /// What was compiled, what it took, what is held.
    pub fn report(&self) -> Report {
        let mut report = self.engine.report();
        self.inputs.count(&mut report.memory);
        report
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let report = self.engine.report();
        let outputs: Vec<&str> = self.outputs.iter().map(|(n, _)| n.as_str()).collect();
        f.debug_struct("Session")
            .field("program", &report.program)
            .field("device", &report.device)
            .field("outputs", &outputs)
            .finish_non_exhaustive()
    }
}

fn named(outputs: impl Iterator<Item = (String, DType)>) -> Result<Vec<(String, DType)>, CompileError> {
    let outputs: Vec<(String, DType)> = outputs.collect();
    for (at, (name, _)) in outputs.iter().enumerate() {
        if outputs[..at].iter().any(|(other, _)| other == name) {
            return Err(CompileError::Twice { what: "output", name: name.clone() });
        }
    }
    Ok(outputs)
}
