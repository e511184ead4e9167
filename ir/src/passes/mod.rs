//! The pipeline from a graph to a program, as a table.

mod bodies;
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

impl Options<'_> {
    /// Whether nodes are fused: strict programs round each of them.
    fn together(&self) -> bool {
        self.fuse && self.numerics == Numerics::Fast
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
    /// Whether plans to be checked as they run go without it: a rule that would move what is looked at, or a net under
    /// numbers that such a run refuses.
    pub unchecked: bool,
    run: fn(&mut Graph, &Options) -> Result<(), Diag>,
}

/// The passes over the graph, in order.
pub const PASSES: &[Pass] = &[
    Pass {
        name: "simplify",
        doc: "applies the rules of algebra, movement and sparse sums to a fixpoint",
        optional: true,
        unchecked: true,
        run: |g, o| rewrite::simplify(g, o.numerics),
    },
    Pass {
        name: "tighten",
        doc: "writes constants in bodies, computes once what no step changes, leaves out what nothing needs",
        optional: true,
        unchecked: true,
        run: |g, _| bodies::tighten(g),
    },
    Pass {
        name: "inline",
        doc: "replaces composite ops that the library has no kernel for by their bodies",
        optional: false,
        unchecked: false,
        run: canonical::inline,
    },
    Pass {
        name: "simplify",
        doc: "the same rules again, on what the bodies are made of",
        optional: true,
        unchecked: true,
        run: |g, o| rewrite::simplify(g, o.numerics),
    },
    Pass {
        name: "guard",
        doc: "keeps ids that the program computes within what kernels index by them",
        optional: false,
        unchecked: true,
        run: |g, _| canonical::guard(g),
    },
    Pass {
        name: "cover",
        doc: "gives what may be empty and is indexed a zero to read",
        optional: false,
        unchecked: true,
        run: |g, _| canonical::cover(g),
    },
    Pass {
        name: "orient",
        doc: "brings products and reductions into the forms that kernels are written for",
        optional: false,
        unchecked: false,
        run: |g, _| canonical::orient(g),
    },
    Pass {
        name: "tighten",
        doc: "the same again, for what the passes have written in bodies",
        optional: true,
        unchecked: true,
        run: |g, _| bodies::tighten(g),
    },
    Pass {
        name: "settle",
        doc: "writes parts of row-sparse values and pads of what may be empty without either",
        optional: false,
        unchecked: false,
        run: |g, _| canonical::settle(g),
    },
    Pass {
        name: "clean",
        doc: "removes what no output and no update needs",
        optional: false,
        unchecked: false,
        run: |g, _| {
            g.remove_dead();
            Ok(())
        },
    },
];

impl Pass {
    /// Runs the pass, on bodies first.
    pub fn run(&self, graph: &mut Graph, options: &Options) -> Result<(), Diag> {
        graph.each_body(&mut |body| (self.run)(body, options))?;
        (self.run)(graph, options)
    }
}

/// The passes that run with these options, in order.
pub(crate) fn chosen(options: &Options) -> impl Iterator<Item = &'static Pass> + use<> {
    let Options { rewrite, checked, .. } = *options;
    PASSES.iter().filter(move |p| (rewrite || !p.optional) && !(checked && p.unchecked))
}

/// The graph as it is divided into regions.
pub fn optimise(graph: &Graph, options: &Options) -> Result<Graph, Diag> {
    let mut graph = graph.clone();
    chosen(options).try_for_each(|pass| pass.run(&mut graph, options))?;
    Ok(graph)
}

/// A graph with bodies in place of its composite ops.
pub fn inlined(graph: &Graph) -> Result<Graph, Diag> {
    let mut graph = graph.clone();
    let target = Target::default();
    canonical::inline(&mut graph, &Options::new(&target))?;
    Ok(graph)
}

/// The regions of an optimised graph.
pub fn regions(graph: &Graph, options: &Options) -> Fusion {
    regions_within(graph, options, MOST_NODES)
}

fn regions_within(graph: &Graph, options: &Options, most_nodes: usize) -> Fusion {
    divide(graph, if options.together() { most_nodes } else { 1 }, options.checked)
}

/// The regions of a graph or a body, of so many nodes at most.
pub(crate) fn divide(graph: &Graph, most_nodes: usize, checked: bool) -> Fusion {
    if checked {
        return fuse(graph, 1, &plan::read_by_checks(graph));
    }
    fuse(graph, most_nodes, &FxHashSet::default())
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
        fuse: options.together(),
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
