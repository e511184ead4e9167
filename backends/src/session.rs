//! One face for every way of running a program.

use crate::error::{CompileError, RunError};
use crate::inputs::Inputs;
use crate::report::Report;
use crate::store::Store;
use latentc_ir::array::{CsrArray, Element};
use latentc_ir::dtype::DType;
use std::sync::Arc;

#[cfg(feature = "llvm")]
use crate::{cpu::machine::Machine, options::Options};

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
    engine: Engine,
    /// Whether there are outputs to be taken.
    ran: bool,
}

enum Engine {
    #[cfg(feature = "llvm")]
    Cpu(Box<Machine>),
}

impl Session {
    /// Compiles a program for this processor, or takes its kernels from the disk cache.
    #[cfg(feature = "llvm")]
    pub fn cpu(program: &latentc_ir::plan::Program, options: &Options) -> Result<Session, CompileError> {
        let inputs = Inputs::new(&program.name, &program.dims, program.inputs.clone())?;
        let engine = Engine::Cpu(Box::new(Machine::new(program, options)?));
        Ok(Session { inputs, engine, ran: false })
    }

    /// Gives a data input for the next runs: a copy, row-major. A truth value is a `u8`, 0 or 1.
    pub fn set<T: Element>(&mut self, name: &str, shape: &[usize], data: &[T]) -> Result<(), RunError> {
        self.inputs.set(name, shape, data)
    }

    /// Gives a sparse pattern for the next runs. It is checked here, once; the session shares it, or a copy
    /// with a twin where it lacks one (see [`CsrArray::with_twin`] to make it once for several sessions).
    pub fn set_csr(&mut self, name: &str, pattern: Arc<CsrArray>) -> Result<(), RunError> {
        let engine = &self.engine;
        let edges = |input| match engine {
            #[cfg(feature = "llvm")]
            Engine::Cpu(m) => m.needs_edges(input),
        };
        self.inputs.set_csr(name, pattern, edges)
    }

    /// Runs the program once, on the inputs as set last, and on the store's parameters and state, which it
    /// updates in place.
    pub fn run(&mut self, store: &mut Store) -> Result<(), RunError> {
        let changed = self.inputs.bind(store)?;
        self.ran = false;
        match &mut self.engine {
            #[cfg(feature = "llvm")]
            Engine::Cpu(m) => m.run(&self.inputs, changed)?,
        }
        self.ran = true;
        Ok(())
    }

    /// Counts the time of each launch from now on, from nothing, or stops. Costs two looks at the clock a
    /// launch. The interpreter has no launches.
    pub fn profile(&mut self, on: bool) {
        match &mut self.engine {
            #[cfg(feature = "llvm")]
            Engine::Cpu(m) => m.set_profile(on),
        }
    }

    /// What was compiled, what it took, what is held.
    pub fn report(&self) -> Report {
        let mut report = match &self.engine {
            #[cfg(feature = "llvm")]
            Engine::Cpu(m) => m.report(),
        };
        self.inputs.count(&mut report.memory);
        report
    }

    /// Sizes and elements of an output of the last run. Truth values are seen as `u8`.
    pub fn output<T: Element>(&self, name: &str) -> Result<(&[usize], &[T]), RunError> {
        match &self.engine {
            #[cfg(feature = "llvm")]
            Engine::Cpu(m) => {
                let outputs = &m.program().outputs;
                let Some(at) = outputs.iter().position(|o| o.name == name) else {
                    let known = outputs.iter().map(|o| o.name.clone()).collect();
                    return Err(RunError::UnknownOutput { name: name.to_owned(), known });
                };
                readable::<T>(name, outputs[at].dtype)?;
                if !self.ran {
                    return Err(RunError::NotRun { name: name.to_owned() });
                }
                let (shape, data) = m.output(at);
                Ok((shape, data.slice(shape.iter().product())))
            }
        }
    }
}

fn readable<T: Element>(name: &str, dtype: DType) -> Result<(), RunError> {
    if T::DTYPE == dtype || (T::DTYPE == DType::U8 && dtype == DType::Bool) {
        return Ok(());
    }
    Err(RunError::ElementType { place: format!("output `{name}`"), expected: dtype, found: T::DTYPE })
}
