//! From a graph to a program in several ways, and the interpreters.

use super::{Failure, Results, fail};
use crate::cpu::Isa;
use latentc_ir::array::Value;
use latentc_ir::fuse::Refusal;
use latentc_ir::graph::{Graph, InputKind, NodeId};
use latentc_ir::lower::{Library, Lowered, Schedules, Target};
use latentc_ir::nest::verify::verify;
use latentc_ir::ops::Op;
use latentc_ir::passes;
use latentc_ir::plan::{self, Program};
use latentc_ir::testing::RandomGraph;
use latentc_kernels::Kernels;
use std::fmt;

/// How a graph becomes a program.
#[derive(Clone, Debug)]
pub struct How {
    /// The processor it is for.
    pub target: Target,
    /// Whether rules rewrite it.
    pub rewrite: bool,
    /// Whether its ops are fused.
    pub fuse: bool,
    /// Whether kernels made by hand may be used where there are others.
    pub by_hand: bool,
    /// Decisions about kernels that replace the usual ones.
    pub schedules: Schedules,
}

impl How {
    /// As programs are made for this processor.
    ///
    /// # Panics
    /// On a processor that no code can be made for.
    pub fn usual() -> How {
        let host = Isa::host().unwrap_or_else(|e| panic!("{e}"));
        let schedules = Schedules::default();
        How { target: Target::from(&host), rewrite: true, fuse: true, by_hand: true, schedules }
    }

    /// Nothing that only makes programs faster.
    pub fn plain() -> How {
        How { rewrite: false, fuse: false, by_hand: false, ..How::usual() }
    }

    /// Fused but not rewritten, or the other way round, for a processor with narrow vectors.
    pub fn narrow(rewrite: bool) -> How {
        let target = Target { lanes: 4, registers: 16, prefetch: 2, dot4: false, l1: 1 << 12, l2: 1 << 13 };
        How { target, rewrite, fuse: true, by_hand: rewrite, schedules: Schedules::default() }
    }

    /// The program of a graph.
    ///
    /// # Errors
    /// What a pass says, or that its regions wait for each other.
    pub fn plan(&self, graph: &Graph) -> Result<Program, Failure> {
        let library: &dyn Library = if self.by_hand { &Kernels } else { &Selection };
        let (rewrite, fuse, schedules) = (self.rewrite, self.fuse, &self.schedules);
        let options =
            passes::Options { library, rewrite, fuse, schedules, ..passes::Options::new(&self.target) };
        let optimised = passes::optimise(graph, &options).map_err(fail)?;
        let fusion = passes::regions(&optimised, &options);
        if fusion.refusals.iter().any(|(n, m, why)| n == m && *why == Refusal::Cycle) {
            return Err(fail("regions that wait for each other"));
        }
        let lowered = passes::finish(graph, optimised, &options);
        Ok(lowered.map_err(|d| fail(format!("no program: {d}")))?.program)
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |holds: bool, word: &'static str| if holds { word } else { "" };
        write!(
            f,
            "{}{}{}{} lanes",
            word(self.rewrite, "rewritten, "),
            word(self.fuse, "fused, "),
            word(self.by_hand, "kernels by hand, "),
            self.target.lanes
        )
    }
}

/// The kernels made by hand of ops that have no others.
struct Selection;

impl Library for Selection {
    fn claim(&self, graph: &Graph, node: NodeId, name: &str, target: &Target) -> Option<Lowered> {
        match graph.node(node).op {
            Op::TopK(_) | Op::ScoreTopK(_) => Kernels.claim(graph, node, name, target),
            _ => None,
        }
    }
}

/// What is kept, before the run.
pub(super) fn kept_of(graph: &RandomGraph) -> Vec<(String, Value)> {
    let kept = |name: &str| {
        let node = graph.graph.input(name).map(|n| &graph.graph.node(n).op);
        matches!(node, Some(Op::Input(i)) if i.kind != InputKind::Data)
    };
    graph.inputs.iter().filter(|(name, _)| kept(name)).cloned().collect()
}

/// The same graph, given what is kept after a run.
pub fn after(graph: &RandomGraph, run: &Results) -> RandomGraph {
    let mut next = graph.clone();
    for (name, value) in &mut next.inputs {
        if let Some((_, kept)) = run.kept.iter().find(|(n, _)| n == name) {
            *value = kept.clone();
        }
    }
    next
}

/// By the graph's interpreter.
///
/// # Errors
/// What it refuses.
pub fn interpreted(graph: &RandomGraph) -> Result<Results, Failure> {
    let run = graph.run().map_err(fail)?;
    let mut kept = kept_of(graph);
    for (name, value) in run.updates {
        if let Some((_, old)) = kept.iter_mut().find(|(n, _)| *n == name) {
            *old = value;
        }
    }
    Ok(Results { outputs: run.outputs, kept })
}

/// By the interpreters of plans and nests: every position is checked, every kernel well-formed.
///
/// # Errors
/// What they refuse.
pub fn simulated(graph: &RandomGraph, how: &How) -> Result<Results, Failure> {
    let program = how.plan(&graph.graph)?;
    for kernel in &program.kernels {
        if let Err(faults) = verify(kernel) {
            return Err(fail(format!("{how}\n{faults:?}\n{kernel}")));
        }
    }
    let run = plan::interp::run(&program, &|name| graph.input(name));
    let run = run.map_err(|e| fail(format!("{how}\n{e}\n{program}")))?;
    Ok(Results { outputs: run.outputs, kept: run.updates })
}
