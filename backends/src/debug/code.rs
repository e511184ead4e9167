//! Explaining a graph for a processor, with the code of its kernels.

use super::limits::Limits;
use super::model::Explanation;
use crate::Options;
use crate::compile::passes_options;
use crate::cpu::workers::each;
use crate::cpu::{EmitError, Isa, inspect};
use crate::error::CompileError;
use latentc_ir::explain::{self, Code};
use latentc_ir::graph::Graph;
use latentc_ir::lower::Target;
use latentc_ir::nest::Kernel;
use std::time::Instant;

/// What is wanted of an explanation.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it is called.
    pub title: String,
    /// The processor.
    pub isa: Isa,
    /// What the machine can do.
    pub limits: Limits,
    /// How the program is made.
    pub options: Options,
    /// Whether code is made.
    pub code: bool,
    /// Threads that make it.
    pub threads: usize,
}

/// Plans a graph for a processor and says what was done and why.
///
/// # Errors
/// What cannot be compiled, at the user's line.
pub fn explain(graph: &Graph, wanted: Wanted) -> Result<Explanation, CompileError> {
    let target = Target::from(&wanted.isa);
    let options = passes_options(&target, &wanted.options);
    let mut explained =
        explain::explain(graph, &options).map_err(|diag| CompileError::Lower { diag: Box::new(diag) })?;
    if wanted.code {
        let code = codes(&explained.program.kernels, &wanted.isa, wanted.threads)?;
        for (kernel, code) in explained.explanation.kernels.iter_mut().zip(code) {
            kernel.code = Some(code);
        }
    }
    let isa = wanted.isa.name.to_owned();
    let mut made = Explanation::new(wanted.title, isa, explained.explanation, wanted.limits);
    made.read_sources();
    Ok(made)
}

/// The code of kernels, in their order, on up to so many threads.
pub(super) fn codes(kernels: &[Kernel], isa: &Isa, threads: usize) -> Result<Vec<Code>, EmitError> {
    each(kernels, threads.clamp(1, 64), |kernel| code(kernel, isa)).into_iter().collect()
}

fn code(kernel: &Kernel, isa: &Isa) -> Result<Code, EmitError> {
    let start = Instant::now();
    let listing = inspect(std::slice::from_ref(kernel), isa)?;
    Ok(Code {
        isa: isa.name.to_owned(),
        ir: listing.ir,
        optimised: listing.optimised,
        assembly: listing.assembly,
        seconds: start.elapsed().as_secs_f64(),
    })
}
