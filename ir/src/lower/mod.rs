//! From fused regions of the graph to loop nests.
//!
//! A region becomes one kernel, or a few that share temporaries: the module `rows` writes those that work row by
//! row (with staged products, reductions, sparse sums and sums over rows), `flat` those that work element by
//! element, `single` the ops that stand alone. A [`Library`] of hand-made kernels may claim an op that stands
//! alone first.

mod cx;
mod decompose;
mod flat;
mod levels;
mod linalg;
mod permute;
mod products;
mod reduce;
mod rows;
pub mod schedule;
mod segments;
mod single;
mod sort;
mod stage;
mod update;
mod value;
mod windows;

use crate::dim::Dim;
use crate::dtype::DType;
use crate::fuse::{Kind, Region};
use crate::graph::{Graph, NodeId, Operand};
use crate::nest::{Kernel, VarId};
use crate::ops::Op;
use crate::plan::CsrPart;
use rustc_hash::{FxHashMap, FxHashSet};

pub(crate) use permute::is_transposed;
use schedule::Form;
pub use schedule::{Schedule, Schedules};
pub use value::is_free;

/// What lowering knows of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// f32 lanes of a vector register, a power of two.
    pub lanes: u32,
    /// Vector registers.
    pub registers: u32,
    /// Entries that loops over sparse rows look ahead with prefetches; 0 for none.
    pub prefetch: u32,
    /// Whether the sum of four products of bytes is one instruction.
    pub dot4: bool,
    /// Bytes of the first data cache.
    pub l1: usize,
    /// Bytes of the second cache.
    pub l2: usize,
}

impl Default for Target {
    /// A machine with 32 vector registers of 16 lanes.
    fn default() -> Target {
        Target { lanes: 16, registers: 32, prefetch: 32, dot4: false, l1: 48 << 10, l2: 2 << 20 }
    }
}

/// What a parameter of a kernel stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arg {
    /// A dense value of the graph.
    Value(Operand),
    /// An array of a CSR input.
    Csr(Operand, CsrPart),
    /// A temporary of the lowering, by its position.
    Temp(usize),
}

/// A kernel, and what its parameters stand for, in order.
#[derive(Clone, Debug)]
pub struct Call {
    /// The kernel.
    pub kernel: Kernel,
    /// One for each of its parameters.
    pub args: Vec<Arg>,
    /// Loops whose own work runs one value at a time, and why; nothing is known of kernels made by hand.
    pub scalar: Vec<(VarId, &'static str)>,
}

/// What a region becomes: calls in order, and the temporaries between them.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    /// Kernels in order.
    pub calls: Vec<Call>,
    /// Element type and number of elements of each temporary.
    pub temps: Vec<(DType, Dim)>,
}

/// A region that cannot be written as a nest: a fault of the compiler or an op without a kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kernel}: {what}")]
pub struct LowerError {
    /// The kernel that was being written.
    pub kernel: String,
    /// What is wrong.
    pub what: String,
}

/// Kernels made by hand, which may claim an op.
pub trait Library {
    /// The kernels of a node, where the library has some for its shapes. `name` is unique; every kernel's
    /// name begins with it.
    fn claim(&self, graph: &Graph, node: NodeId, name: &str, target: &Target) -> Option<Lowered>;
}

/// A library without kernels.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLibrary;

impl Library for NoLibrary {
    fn claim(&self, _: &Graph, _: NodeId, _: &str, _: &Target) -> Option<Lowered> {
        None
    }
}

/// For whom and with what kernels are written.
#[derive(Clone, Copy)]
pub struct How<'a> {
    /// The machine.
    pub target: &'a Target,
    /// Kernels made by hand.
    pub library: &'a dyn Library,
    /// Decisions that replace the usual ones.
    pub schedules: &'a Schedules,
    /// Whether the nodes of bodies are fused.
    pub fuse: bool,
    /// Whether the plan is to be checked as it runs.
    pub checked: bool,
}

/// Writes the kernels of a region. `stored` are the values that regions store, of which none is computed again
/// by a region that only reads it; `in_place` maps values to the inputs whose buffers they take. Gives what was decided,
/// too.
pub fn lower(
    graph: &Graph,
    region: &Region,
    name: &str,
    options: &How,
    stored: &FxHashSet<Operand>,
    in_place: &FxHashMap<Operand, Operand>,
) -> Result<(Lowered, Schedule), LowerError> {
    let members: FxHashSet<NodeId> = region.nodes.iter().copied().collect();
    let target = options.target;
    let schedule = Schedule::new(Form::Scalars);
    let job = Job { graph, region, name, target, schedule, members: &members, stored, in_place };
    let named =
        |e: LowerError| if e.kernel.is_empty() { LowerError { kernel: name.to_owned(), ..e } } else { e };
    let claim = |target: &Target| match region.kind {
        Kind::Single => options.library.claim(graph, region.nodes[0], name, target),
        _ => None,
    };
    // What is to be written, and the usual decisions about it.
    let mut claimed = claim(target);
    let mut plan = None;
    let usual = match &region.kind {
        Kind::Scalars => schedule,
        Kind::Single if claimed.is_some() => schedule::library(target),
        Kind::Single => schedule::single(target, matches!(graph.node(region.nodes[0]).op, Op::Matmul(_))),
        Kind::Rows(_) if flat::is_flat(&job) => schedule::flat(target),
        Kind::Rows(rows) => {
            let made = plan.insert(rows::plan(&job, rows).map_err(named)?);
            schedule::rows(target, &made.about(&job))
        }
    };
    let schedule = options.schedules.choose(name, usual)?;
    let target = &schedule.target(target);
    if claimed.is_some() && schedule != usual {
        let what = "its schedule: no kernel made by hand takes it";
        claimed = claim(target);
        claimed.as_ref().ok_or_else(|| LowerError { kernel: name.to_owned(), what: what.to_owned() })?;
    }
    let job = Job { target, schedule, ..job };
    let lowered = match (&region.kind, claimed, plan) {
        (Kind::Single, Some(mut claimed), _) => {
            for arg in claimed.calls.iter_mut().flat_map(|c| &mut c.args) {
                if let Arg::Value(o) = arg {
                    *o = in_place.get(o).copied().unwrap_or(*o);
                }
            }
            Ok(claimed)
        }
        (Kind::Single, ..) => single::lower(&job),
        (Kind::Scalars, ..) => flat::scalars(&job),
        (Kind::Rows(_), _, Some(plan)) => rows::lower(&job, plan),
        (Kind::Rows(_), ..) => flat::lower(&job),
    };
    Ok((lowered.map_err(named)?, schedule))
}

/// One region on its way to kernels.
#[derive(Clone, Copy)]
struct Job<'a> {
    graph: &'a Graph,
    region: &'a Region,
    name: &'a str,
    /// The machine, with what was decided in place of what it has.
    target: &'a Target,
    schedule: Schedule,
    members: &'a FxHashSet<NodeId>,
    stored: &'a FxHashSet<Operand>,
    in_place: &'a FxHashMap<Operand, Operand>,
}

impl<'a> Job<'a> {
    fn cx(&self, suffix: &str) -> cx::Cx<'a> {
        let name = format!("{}{suffix}", self.name);
        cx::Cx::new(&name, self)
    }

    /// Whether a value that the region reads is written again by it: free, and stored nowhere.
    fn is_inlined(&self, o: Operand) -> bool {
        is_inlined(self.graph, self.stored, o)
    }
}

/// Whether a value that a kernel reads is written again by it: a constant, or free and stored nowhere.
fn is_inlined(graph: &Graph, stored: &FxHashSet<Operand>, o: Operand) -> bool {
    let op = &graph.node(o.node).op;
    matches!(op, Op::Fill(_)) || (is_free(op) && !stored.contains(&o))
}
