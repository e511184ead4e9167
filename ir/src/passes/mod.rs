//! The pipeline from a graph to a program, as a table.

mod canonical;
mod mixed;
mod remat;
mod stages;

use crate::diag::Diag;
use crate::fuse::{Fusion, MOST_NODES, fuse};
use crate::graph::Graph;
use crate::lower::schedule::USUAL;
use crate::lower::{How, Library, NoLibrary, Schedules, Target};
use crate::ops::barrier;
use crate::plan::{self, Program, Provenance};
use crate::rewrite;
pub use crate::rewrite::Numerics;
pub use mixed::mixed;
use rustc_hash::FxHashSet;
pub use stages::{Stage, regions_text, stages};

/// How a program is made.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The machine.
    pub target: &'a Target,
    /// Kernels made by hand.
    pub library: &'a dyn Library,
    /// Whether rewrite rules run; what they do is never needed, only faster.
    pub rewrite: bool,
    /// Whether nodes are fused; without it every op is a kernel of its own.
    pub fuse: bool,
    /// Decisions about kernels that replace the usual ones.
    pub schedules: &'a Schedules,
    /// Whether the plan is made to be checked as it runs: neither rewritten nor fused, with
    /// [`Program::checks`](plan::Program::checks).
    pub checked: bool,
    /// What may be done to numbers.
    pub numerics: Numerics,
    /// Bytes that temporaries may take at most: values are computed again for late readers as far as that needs.
    pub memory: Option<usize>,
}

impl Options<'_> {
    /// Everything on, for a machine.
    pub fn new(target: &Target) -> Options<'_> {
        Options {
            target,
            library: &NoLibrary,
            rewrite: true,
            fuse: true,
            schedules: &USUAL,
            checked: false,
            numerics: Numerics::Fast,
            memory: None,
        }
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("target", &self.target)
            .field("rewrite", &self.rewrite)
            .field("fuse", &self.fuse)
            .field("schedules", &self.schedules)
            .field("checked", &self.checked)
            .field("numerics", &self.numerics)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

/// A pass over the graph.
pub struct Pass {
    /// Its name: a verb.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Whether it only makes the program faster.
    pub optional: bool,
    run: fn(&mut Graph, Numerics) -> Result<(), Diag>,
}

/// The passes over the graph, in order.
pub const PASSES: &[Pass] = &[
    Pass {
        name: "simplify",
        doc: "applies the rules of algebra, movement and sparse sums to a fixpoint",
        optional: true,
        run: rewrite::simplify,
    },
    Pass {
        name: "inline",
        doc: "replaces composite ops by their bodies",
        optional: false,
        run: |g, _| canonical::inline(g),
    },
    Pass {
        name: "simplify",
        doc: "the same rules again, on what the bodies are made of",
        optional: true,
        run: rewrite::simplify,
    },
    Pass {
        name: "guard",
        doc: "keeps ids that the program computes within what kernels index by them",
        optional: false,
        run: |g, _| canonical::guard(g),
    },
    Pass {
        name: "orient",
        doc: "brings products and reductions into the forms that kernels are written for",
        optional: false,
        run: |g, _| canonical::orient(g),
    },
    Pass {
        name: "settle",
        doc: "writes parts of row-sparse values and pads of what may be empty without either",
        optional: false,
        run: |g, _| canonical::settle(g),
    },
    Pass {
        name: "clean",
        doc: "removes what no output and no update needs",
        optional: false,
        run: |g, _| {
            g.remove_dead();
            Ok(())
        },
    },
];

impl Pass {
    /// Runs the pass, under a policy that optional ones keep to.
    ///
    /// # Errors
    /// What it cannot do, at the user's line.
    pub fn run(&self, graph: &mut Graph, numerics: Numerics) -> Result<(), Diag> {
        (self.run)(graph, numerics)
    }
}

/// The graph as it is divided into regions.
pub fn optimise(graph: &Graph, options: &Options) -> Result<Graph, Diag> {
    let mut graph = graph.clone();
    for pass in PASSES {
        if (options.rewrite && !options.checked) || !pass.optional {
            pass.run(&mut graph, options.numerics)?;
        }
    }
    Ok(graph)
}

/// The regions of an optimised graph.
pub fn regions(graph: &Graph, options: &Options) -> Fusion {
    regions_within(graph, options, MOST_NODES)
}

fn regions_within(graph: &Graph, options: &Options, most_nodes: usize) -> Fusion {
    if options.checked {
        return fuse(graph, 1, &plan::read_by_checks(graph));
    }
    let together = options.fuse && options.numerics == Numerics::Fast;
    fuse(graph, if together { most_nodes } else { 1 }, &FxHashSet::default())
}

/// A graph as a program.
///
/// # Errors
/// What a pass cannot do, at the user's line; an op without a kernel; a schedule that cannot be.
pub fn lower(graph: &Graph, options: &Options) -> Result<Program, Diag> {
    Ok(finish(graph, optimise(graph, options)?, options)?.program)
}

/// A program with everything it was made from.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The graph after the passes; values of `fusion` and `origin` are its.
    pub graph: Graph,
    /// Its regions, and why they are not fewer.
    pub fusion: Fusion,
    /// The program.
    pub program: Program,
    /// Where its parts come from.
    pub origin: Provenance,
}

/// The steps after the passes; `optimised` is what they made of `graph`.
///
/// # Errors
/// Those of [`lower`].
pub fn finish(graph: &Graph, optimised: Graph, options: &Options) -> Result<Lowered, Diag> {
    match options.memory {
        Some(bytes) => remat::fit(graph, optimised, options, bytes),
        None => plan_as_is(graph, optimised, options, MOST_NODES),
    }
}

fn plan_as_is(
    graph: &Graph,
    mut optimised: Graph,
    options: &Options,
    most_nodes: usize,
) -> Result<Lowered, Diag> {
    let fusion = regions_within(&optimised, options, most_nodes);
    // Regions have their order: nothing is left to wait for.
    barrier::release(&mut optimised);
    optimised.remove_dead();
    let how = How {
        target: options.target,
        library: options.library,
        schedules: options.schedules,
        checked: options.checked,
    };
    let (mut program, origin) = plan::build(&optimised, fusion.regions.clone(), &how)?;
    // Ids must be in bounds also where a rule has done away with what they name.
    let bounds = plan::bounds::bounds(graph);
    for (input, node) in program.inputs.iter_mut().zip(graph.inputs()) {
        if let Some(asked) = bounds.get(node) {
            let bound = input.bound.as_ref().map_or_else(|| asked.clone(), |b| plan::bounds::least(b, asked));
            input.bound = Some(bound);
        }
    }
    Ok(Lowered { graph: optimised, fusion, program, origin })
}
