//! From a graph to a session on this processor.

use crate::cpu::Isa;
use crate::debug::{Dumped, dump};
use crate::{CompileError, Options, Session};
use latentc_ir::graph::Graph;
use latentc_ir::lower::Target;
use latentc_ir::passes;
use latentc_ir::plan::Program;
use latentc_kernels::Kernels;

impl From<&Isa> for Target {
    fn from(isa: &Isa) -> Target {
        Target {
            lanes: isa.lanes,
            registers: isa.registers,
            prefetch: isa.prefetch,
            dot4: isa.dot4,
            l1: isa.l1,
            l2: isa.l2,
        }
    }
}

/// The plan of a graph for a processor: optimised, fused, lowered, with the kernels made by hand.
pub fn plan(graph: &Graph, isa: &Isa) -> Result<Program, CompileError> {
    lower(graph, isa, &Options::default())
}

/// A plan to be checked as it runs ([`Options::checked`]): every op a kernel of its own.
pub fn plan_checked(graph: &Graph, isa: &Isa) -> Result<Program, CompileError> {
    lower(graph, isa, &Options { checked: true, ..Options::default() })
}

/// What the passes have to know of what the caller chose.
pub(crate) fn passes_options<'a>(target: &'a Target, options: &'a Options) -> passes::Options<'a> {
    passes::Options {
        library: &Kernels,
        checked: options.checked,
        schedules: &options.schedules,
        numerics: options.numerics,
        memory: options.memory,
        ..passes::Options::new(target)
    }
}

fn lower(graph: &Graph, isa: &Isa, options: &Options) -> Result<Program, CompileError> {
    let target = Target::from(isa);
    passes::lower(graph, &passes_options(&target, options))
        .map_err(|diag| CompileError::Lower { diag: Box::new(diag) })
}

impl Session {
    /// Plans a graph for this processor and compiles it.
    pub fn compile(graph: &Graph, options: &Options) -> Result<Session, CompileError> {
        let isa = Isa::of(options)?;
        if let Some(dir) = &options.dump {
            dump(graph, Dumped { isa: &isa, threads: options.thread_count(), options }, dir)?;
        }
        Session::start(&lower(graph, &isa, options)?, options)
    }
}
