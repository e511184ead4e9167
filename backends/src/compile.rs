//! From a graph to a session on this processor.

use crate::cpu::Isa;
use crate::debug::{Dumped, dump};
use crate::{CompileError, Options, Session};
use latentc_ir::graph::Graph;
use latentc_ir::lower::{Schedules, Target};
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
    lower(graph, isa, false, &Schedules::default())
}

/// A plan to be checked as it runs ([`Options::checked`]): every op a kernel of its own.
pub fn plan_checked(graph: &Graph, isa: &Isa) -> Result<Program, CompileError> {
    lower(graph, isa, true, &Schedules::default())
}

fn lower(graph: &Graph, isa: &Isa, checked: bool, schedules: &Schedules) -> Result<Program, CompileError> {
    let target = Target::from(isa);
    let options = passes::Options { library: &Kernels, checked, schedules, ..passes::Options::new(&target) };
    passes::lower(graph, &options).map_err(|diag| CompileError::Lower { diag: Box::new(diag) })
}

impl Session {
    /// Plans a graph for this processor and compiles it.
    pub fn compile(graph: &Graph, options: &Options) -> Result<Session, CompileError> {
        let isa = Isa::of(options)?;
        if let Some(dir) = &options.dump {
            let (threads, checked) = (options.thread_count(), options.checked);
            dump(graph, Dumped { isa: &isa, schedules: &options.schedules, checked, threads }, dir)?;
        }
        Session::start(&lower(graph, &isa, options.checked, &options.schedules)?, options)
    }
}
