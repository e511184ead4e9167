//! Why a program is as it is, as data: what the passes made of the graph, which kernels it became and what each of
//! them costs, what was not fused and what that costs, what is computed again instead of stored, and where
//! everything lies in memory.
//!
//! Nothing here is measured or compiled; a backend adds code, and what the machine can do. Counts are for the
//! greatest values of the sizes.

mod count;
mod fusion;
mod memory;
mod model;

pub use model::*;

use crate::diag::Diag;
use crate::fuse::Kind;
use crate::graph::text::Names;
use crate::graph::{Graph, NodeId, Operand};
use crate::lower::is_free;
use crate::nest::{Kernel, Space, Split};
use crate::ops::{Class, Op, bytes_of};
use crate::passes::{self, Lowered, Options, PASSES};
use crate::plan::{Place, Program};
use crate::types::{Type, shape_text};
use rustc_hash::{FxHashMap, FxHashSet};
use std::time::Instant;

/// A program with what there is to be said about it.
#[derive(Clone, Debug)]
pub struct Explained {
    /// What there is to be said.
    pub explanation: Explanation,
    /// The program; kernels and launches are listed in its order.
    pub program: Program,
}

/// Makes a program of a graph, and says what was done on the way.
///
/// # Errors
/// Those of [`passes::lower`].
pub fn explain(graph: &Graph, options: &Options) -> Result<Explained, Diag> {
    let mut optimised = graph.clone();
    let mut stages = vec![stage("graph", "the program as it was written", &optimised, None, 0.0)];
    for pass in PASSES.iter().filter(|p| (options.rewrite && !options.checked) || !p.optional) {
        let start = Instant::now();
        pass.run(&mut optimised, options.numerics)?;
        let seconds = start.elapsed().as_secs_f64();
        let before = stages.iter().rev().find(|s| s.changed).map(|s| s.text.clone());
        stages.push(stage(pass.name, pass.doc, &optimised, before, seconds));
    }
    let start = Instant::now();
    let lowered = passes::finish(graph, optimised, options)?;
    let lowering_seconds = start.elapsed().as_secs_f64();
    let Lowered { graph: after, fusion, program, origin } = &lowered;

    let mut texts = vec![("regions", "how nodes were put together", passes::regions_text(after, fusion))];
    texts.push(("plan", "buffers, launches and memory", program.to_string()));
    stages.extend(texts.into_iter().map(|(name, about, text)| Stage {
        name: name.to_owned(),
        about: about.to_owned(),
        changed: true,
        nodes: after.len(),
        seconds: 0.0,
        text,
    }));

    let parts = Parts::new(&lowered);
    let regions: Vec<Region> = (0..origin.regions.len()).map(|i| parts.region(i)).collect();
    let launches = (0..program.launches.len()).map(|l| parts.launch(l)).collect();
    let kernels = (0..program.kernels.len()).map(|k| parts.kernel(k)).collect();
    let explanation = Explanation {
        program: program.name.clone(),
        sizes: program
            .dims
            .iter()
            .map(|d| Size { name: d.name.clone(), least: d.lo, greatest: d.hi })
            .collect(),
        before: nodes(graph, |_| None),
        nodes: nodes(after, |n| parts.home.get(&n).copied()),
        regions,
        kernels,
        launches,
        refusals: fusion::refusals(&lowered),
        recomputed: fusion::recomputed(&lowered),
        updates: parts.updates(),
        memory: memory::timeline(&lowered),
        stages,
        lowering_seconds,
    };
    let program = lowered.program;
    Ok(Explained { explanation, program })
}

fn stage(name: &str, about: &str, graph: &Graph, before: Option<String>, seconds: f64) -> Stage {
    let text = graph.to_string();
    let changed = before.is_none_or(|b| b != text);
    Stage {
        name: name.to_owned(),
        about: about.to_owned(),
        changed,
        nodes: graph.len(),
        seconds,
        text: if changed { text } else { String::new() },
    }
}

/// A size, as far as it is a number: no bytes can be fewer than none.
fn number(d: &crate::dim::Dim) -> u64 {
    u64::try_from(d.upper()).unwrap_or(0)
}

/// The nodes of a graph in the order of its text.
fn nodes(graph: &Graph, region: impl Fn(NodeId) -> Option<usize>) -> Vec<Node> {
    let names = Names::new(graph);
    let order = graph.topological();
    let live = crate::fuse::live_nodes(graph);
    let at: FxHashMap<NodeId, usize> = order.iter().enumerate().map(|(i, n)| (*n, i)).collect();
    order
        .iter()
        .map(|n| {
            let node = graph.node(*n);
            let operands: Vec<Type> = node.operands.iter().map(|o| graph.type_of(*o).clone()).collect();
            let values: Vec<String> =
                (0..node.types.len()).map(|p| names.of(Operand { node: *n, port: p as u16 })).collect();
            let types: Vec<String> = node.types.iter().map(ToString::to_string).collect();
            let results =
                graph.outputs.iter().map(|r| ("output", r)).chain(graph.updates.iter().map(|r| ("new", r)));
            Node {
                value: values.join(", "),
                op: match &node.op {
                    Op::Input(i) => i.kind.name().to_owned(),
                    Op::Elementwise(e) => e.op.name().to_owned(),
                    op => op.def().name().to_owned(),
                },
                ty: types.join(", "),
                operands: node.operands.iter().map(|o| at[&o.node]).collect(),
                gives: results
                    .filter(|(_, (_, o))| o.node == *n)
                    .map(|(w, (name, _))| format!("{w} {name}"))
                    .collect(),
                bytes: node.types.iter().map(|t| number(&bytes_of(t))).sum(),
                operations: number(&node.op.def().cost(&operands, &node.types).flops),
                source: node.span.is_known().then(|| Source::from(&node.span)),
                region: region(*n),
                live: live.contains(n),
            }
        })
        .collect()
}

/// What is looked up again and again.
struct Parts<'a> {
    lowered: &'a Lowered,
    names: Names<'a>,
    at: FxHashMap<NodeId, usize>,
    stored: FxHashSet<Operand>,
    /// The region of each node that has one.
    home: FxHashMap<NodeId, usize>,
}

impl<'a> Parts<'a> {
    fn new(lowered: &'a Lowered) -> Parts<'a> {
        let order = lowered.graph.topological();
        let regions = &lowered.origin.regions;
        Parts {
            lowered,
            names: Names::new(&lowered.graph),
            at: order.iter().enumerate().map(|(i, n)| (*n, i)).collect(),
            stored: regions.iter().flat_map(|r| r.outputs.iter().copied()).collect(),
            home: crate::fuse::owners(regions),
        }
    }

    fn value(&self, o: Operand) -> Value {
        let ty = self.lowered.graph.type_of(o);
        Value {
            name: self.names.of(o),
            ty: ty.to_string(),
            bytes: number(&bytes_of(ty)),
            node: self.at[&o.node],
        }
    }

    /// The nodes that a region writes again, and the values that it reads from memory.
    fn reads(&self, region: usize) -> (Vec<NodeId>, Vec<Operand>) {
        let (graph, regions) = (&self.lowered.graph, &self.lowered.origin.regions);
        let inside: FxHashSet<NodeId> = regions[region].nodes.iter().copied().collect();
        let (mut again, mut read) = (vec![], vec![]);
        let mut seen = FxHashSet::default();
        let mut stack: Vec<Operand> =
            regions[region].nodes.iter().flat_map(|n| graph.node(*n).operands.iter().copied()).collect();
        while let Some(o) = stack.pop() {
            if inside.contains(&o.node) || !seen.insert(o) {
                continue;
            }
            let node = graph.node(o.node);
            let input = matches!(node.op, Op::Input(_));
            if input || self.stored.contains(&o) || !is_free(&node.op) {
                read.push(o);
            } else {
                again.push(o.node);
                stack.extend(node.operands.iter().copied());
            }
        }
        again.sort_by_key(|n| self.at[n]);
        again.dedup();
        read.sort_by_key(|o| self.at[&o.node]);
        (again, read)
    }

    fn region(&self, i: usize) -> Region {
        let region = &self.lowered.origin.regions[i];
        let (again, read) = self.reads(i);
        let places = |nodes: &[NodeId]| nodes.iter().map(|n| self.at[n]).collect::<Vec<usize>>();
        let mut sources: Vec<Source> = vec![];
        for n in &region.nodes {
            let span = &self.lowered.graph.node(*n).span;
            if span.is_known() && !sources.iter().any(|s| s.file == *span.file && s.line == span.line) {
                sources.push(Source::from(span));
            }
        }
        sources.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        let launches = &self.lowered.origin.launches;
        Region {
            name: self.lowered.origin.schedules.get(i).map_or(String::new(), |(name, _)| name.clone()),
            loops: match &region.kind {
                Kind::Scalars => "scalars".to_owned(),
                Kind::Rows(rows) => format!("rows {}", shape_text(rows)),
                Kind::Single => "one op".to_owned(),
            },
            nodes: places(&region.nodes),
            again: places(&again),
            reads: read.iter().map(|o| self.value(*o)).collect(),
            stores: region.outputs.iter().map(|o| self.value(*o)).collect(),
            launches: (0..launches.len()).filter(|l| launches[*l] == Some(i)).collect(),
            sources,
        }
    }

    fn launch(&self, l: usize) -> Launch {
        let program = &self.lowered.program;
        let launch = &program.launches[l];
        let kernel = &program.kernels[launch.kernel];
        let dims: Vec<i64> = launch.dims.iter().map(|d| program.dims[*d].hi).collect();
        let counts = count::count(kernel, &dims);
        let params = kernel.params().zip(&launch.buffers);
        let buffers: Vec<Access> = params
            .map(|((id, b), at)| {
                let bytes = counts.length[id.at()].saturating_mul(b.dtype.size() as u64);
                Access {
                    buffer: *at,
                    name: program.buffers[*at].name.clone(),
                    bytes,
                    reads: b.space != Space::Out,
                    writes: b.space != Space::In,
                    scattered: counts.scattered[id.at()].saturating_mul(b.dtype.size() as u64),
                }
            })
            .collect();
        let moved = |a: &Access| a.bytes * (u64::from(a.reads) + u64::from(a.writes));
        Launch {
            kernel: launch.kernel,
            region: self.lowered.origin.launches[l],
            bytes: buffers.iter().map(moved).sum(),
            operations: counts.operations as u64,
            buffers,
        }
    }

    fn kernel(&self, k: usize) -> KernelNote {
        let program = &self.lowered.program;
        let kernel = &program.kernels[k];
        let launches: Vec<usize> =
            (0..program.launches.len()).filter(|l| program.launches[*l].kernel == k).collect();
        let dims: Vec<i64> = launches
            .first()
            .map(|l| program.launches[*l].dims.iter().map(|d| program.dims[*d].hi).collect())
            .unwrap_or_default();
        let counts = count::count(kernel, &dims);
        KernelNote {
            name: kernel.name.clone(),
            schedule: program.schedules.get(k).map(ToString::to_string).unwrap_or_default(),
            by_hand: program
                .schedules
                .get(k)
                .is_some_and(|s| s.form == crate::lower::schedule::Form::Library),
            vectors: counts.vectors(),
            parallel: parallel(kernel, counts.iterations),
            iterations: counts.iterations,
            local_bytes: counts.local_bytes,
            in_place: self.overwritten(&launches),
            nest: kernel.to_string(),
            launches,
            code: None,
        }
    }

    /// Names of what these launches overwrite in place of the old value.
    fn overwritten(&self, launches: &[usize]) -> Vec<String> {
        let program = &self.lowered.program;
        let mut names = vec![];
        for l in launches.iter().filter(|l| self.lowered.origin.launches[**l].is_some()) {
            let launch = &program.launches[*l];
            let params = program.kernels[launch.kernel].params().zip(&launch.buffers);
            for ((_, b), at) in params.filter(|((_, b), _)| b.space != Space::In) {
                let decl = &program.buffers[*at];
                if matches!(decl.place, Place::Input(_)) && !names.contains(&decl.name) {
                    let _ = b;
                    names.push(decl.name.clone());
                }
            }
        }
        names
    }

    /// What becomes of every value that is kept.
    fn updates(&self) -> Vec<Update> {
        let graph = &self.lowered.graph;
        let origin = &self.lowered.origin;
        graph
            .updates
            .iter()
            .map(|(name, new)| {
                let home = graph.input(name).map(Operand::from);
                let in_place = origin.in_place.iter().any(|(n, h)| n == new && Some(*h) == home);
                let why = match () {
                    () if in_place => "",
                    () if Some(*new) == home => "it keeps its value",
                    () => origin.copied.iter().find(|(n, _)| n == name).map_or("", |(_, why)| why),
                };
                let bytes = if in_place || Some(*new) == home {
                    0
                } else {
                    2 * number(&bytes_of(graph.type_of(*new)))
                };
                Update { name: name.clone(), in_place, why: why.to_owned(), bytes }
            })
            .collect()
    }
}

/// How the iterations of a kernel go to threads.
fn parallel(kernel: &Kernel, iterations: u64) -> String {
    match kernel.parallel() {
        None => "one thread: there is no loop whose iterations are independent".to_owned(),
        Some(_) if iterations <= 1 => "one thread: there is one iteration".to_owned(),
        Some((_, _, _, Split::Even)) => format!("{iterations} iterations in equal counts"),
        Some((_, _, _, Split::ByPrefix { prefix, rows_per_iteration })) => {
            let rows = match rows_per_iteration {
                1 => "a row".to_owned(),
                n => format!("{n} rows"),
            };
            let name = kernel.buffers.get(prefix.at()).map_or("?", |b| b.name.as_str());
            format!("{iterations} iterations of {rows}, by equal sums of rows and entries of {name}")
        }
    }
}

/// Whether an op is written element by element wherever its result is needed.
pub(super) fn is_constant(op: &Op) -> bool {
    matches!(op, Op::Fill(_) | Op::Size(_) | Op::Input(_)) || op.def().class() == Class::Leaf
}
