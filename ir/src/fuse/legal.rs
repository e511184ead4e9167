//! Whether two groups may be one kernel.

use super::{Group, Kind};
use crate::graph::{Graph, NodeId, Operand};
use crate::lower::is_free;
use crate::ops::Op;
use crate::types::Shape;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt;

/// Why two groups are not one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// One of them is a kernel of its own.
    Alone,
    /// They loop over different rows.
    Rows,
    /// A value is needed at other rows than the one being written.
    OtherRows,
    /// A value is complete only when all rows are done.
    AllRows,
    /// A path leads out of the region and back.
    Cycle,
    /// The kernel would keep more in local memory than fits.
    Memory,
    /// The kernel would be larger than pays.
    Size,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Alone => "one of them is a kernel of its own",
            Refusal::Rows => "they loop over different rows",
            Refusal::OtherRows => "a value is read at other rows than the one being written",
            Refusal::AllRows => "a sum over all rows is read before all rows are done",
            Refusal::Cycle => "a path leads out of the region and back",
            Refusal::Memory => "it would keep more in local memory than fits",
            Refusal::Size => "the kernel would be larger than pays",
        })
    }
}

/// The groups so far, as far as paths between them matter.
pub(super) struct Paths<'a> {
    pub graph: &'a Graph,
    pub groups: &'a [Option<Group>],
    pub group_of: &'a FxHashMap<NodeId, usize>,
    /// Scalings that sparse products apply as they gather.
    pub prologues: &'a FxHashSet<NodeId>,
    /// Nodes of a kernel at most.
    pub most_nodes: usize,
}

impl Paths<'_> {
    /// Whether what a node's group (or the node, where it has none yet) needs leads back into a set of nodes.
    /// Groups count as wholes: each runs before or after another, never in between.
    fn leads_into(&self, start: NodeId, set: &FxHashSet<NodeId>, seen: &mut FxHashSet<NodeId>) -> bool {
        let mut stack = vec![start];
        while let Some(n) = stack.pop() {
            if set.contains(&n) {
                return true;
            }
            if !seen.insert(n) {
                continue;
            }
            let group = self.group_of.get(&n).and_then(|g| self.groups[*g].as_ref());
            for m in group.map_or(std::slice::from_ref(&n), |g| &g.nodes) {
                seen.insert(*m);
                stack.extend(
                    self.graph.node(*m).operands.iter().map(|o| o.node).filter(|o| !seen.contains(o)),
                );
            }
        }
        false
    }
}

/// Bytes that what a kernel keeps of a tile of rows may take.
const MOST_KEPT: i64 = 160 << 10;

/// The two groups as one, or why not.
pub(super) fn union(paths: &Paths, a: &Group, b: &Group) -> Result<Group, Refusal> {
    let graph = paths.graph;
    let kind = match (&a.kind, &b.kind) {
        (Kind::Single, _) | (_, Kind::Single) => return Err(Refusal::Alone),
        (x, y) if x == y => x.clone(),
        (Kind::Rows(x), Kind::Rows(y)) if !x.is_empty() => common_rows(graph, a, x, b, y)?,
        _ => return Err(Refusal::Rows),
    };
    let mut nodes: Vec<NodeId> = a.nodes.clone();
    nodes.extend(b.nodes.iter().filter(|n| !a.nodes.contains(n)));
    if nodes.len() > paths.most_nodes {
        return Err(Refusal::Size);
    }
    let inside: FxHashSet<NodeId> = nodes.iter().copied().collect();
    let rows = match &kind {
        Kind::Rows(r) => Some(r),
        _ => None,
    };
    let mut seen = FxHashSet::default();
    for n in &nodes {
        let node = graph.node(*n);
        for (position, o) in node.operands.iter().enumerate() {
            // A member may itself be one that moves elements.
            let moves = is_free(&node.op) && !rows.is_none_or(|r| keeps_rows(graph, (*n).into(), r));
            let aligned = reads_its_row(&node.op, position) && !moves;
            check(paths, *o, aligned, rows, &inside, &mut seen)?;
        }
    }
    if let Some(rows) = rows
        && kept_bytes(graph, &nodes, rows) > MOST_KEPT
    {
        return Err(Refusal::Memory);
    }
    Ok(Group { kind, nodes })
}

/// Rows that both groups can loop over: equal ones, or those of one where everything in the other fits them as
/// scalars or vectors of the row.
fn common_rows(graph: &Graph, a: &Group, x: &Shape, b: &Group, y: &Shape) -> Result<Kind, Refusal> {
    for (rows, other) in [(x, b), (y, a)] {
        let fits = other.nodes.iter().all(|n| {
            let node = graph.node(*n);
            let maps = is_map(&node.op);
            maps && graph
                .type_of(Operand::from(*n))
                .as_tensor()
                .is_some_and(|t| t.shape.starts_with(rows) && t.rank() <= rows.len() + 1)
        });
        if fits {
            return Ok(Kind::Rows(rows.clone()));
        }
    }
    Err(Refusal::Rows)
}

/// Whether an op is computed element by element, so that it may be looped over in more than one way.
fn is_map(op: &Op) -> bool {
    !matches!(
        op,
        Op::Reduce(_)
            | Op::Matmul(_)
            | Op::Spmm(_)
            | Op::SpmmRows(_)
            | Op::SegmentReduce(_)
            | Op::GatherRows(_)
            | Op::Index(_)
    )
}

/// Whether an operand is read at the row that is being written; otherwise it must come from elsewhere.
pub(crate) fn reads_its_row(op: &Op, position: usize) -> bool {
    match op {
        Op::Spmm(_) | Op::SegmentReduce(_) => false,
        Op::SpmmRows(_) => position == 2,
        Op::GatherRows(_) => position == 1,
        Op::Index(_) => position > 0,
        Op::Matmul(m) => m.transpose_a || position == 0,
        _ => true,
    }
}

/// Follows an operand through free ops to members of the group and to the outside.
fn check(
    paths: &Paths,
    o: Operand,
    aligned: bool,
    rows: Option<&Shape>,
    inside: &FxHashSet<NodeId>,
    seen: &mut FxHashSet<NodeId>,
) -> Result<(), Refusal> {
    let graph = paths.graph;
    let node = graph.node(o.node);
    if inside.contains(&o.node) {
        if rows.is_some() && is_sum_over_rows(&node.op) {
            return Err(Refusal::AllRows);
        }
        if !aligned {
            return Err(Refusal::OtherRows);
        }
        let Some(rows) = rows else { return Ok(()) };
        let shape = graph.tensor(o).shape.clone();
        return if shape.starts_with(rows) && shape.len() <= rows.len() + 1 {
            Ok(())
        } else {
            Err(Refusal::OtherRows)
        };
    }
    if paths.prologues.contains(&o.node) {
        for x in &node.operands {
            check(paths, *x, false, rows, inside, seen)?;
        }
        return Ok(());
    }
    // One that has a group is stored, and read from memory.
    let again = is_free(&node.op) && !paths.group_of.contains_key(&o.node);
    if again && !matches!(node.op, Op::Input(_)) {
        let aligned = aligned && rows.is_none_or(|r| keeps_rows(graph, o, r));
        for x in &node.operands {
            check(paths, *x, aligned, rows, inside, seen)?;
        }
        return Ok(());
    }
    if paths.leads_into(o.node, inside, seen) { Err(Refusal::Cycle) } else { Ok(()) }
}

pub(super) fn is_sum_over_rows(op: &Op) -> bool {
    match op {
        Op::Reduce(r) => r.axes.first() == Some(&0),
        Op::Matmul(m) => m.transpose_a,
        _ => false,
    }
}

/// Whether a free op reads, for each row of its result, the same row of its operand.
fn keeps_rows(graph: &Graph, o: Operand, rows: &Shape) -> bool {
    let node = graph.node(o.node);
    let n = rows.len();
    let Some(x) = node.operands.first().and_then(|x| graph.type_of(*x).as_tensor()) else { return true };
    let starts = |s: &Shape| s.starts_with(rows);
    if !starts(&x.shape) {
        // Not a value of these rows: no member of the group can stand behind it unless it does not vary.
        return x.rank() == 0;
    }
    match &node.op {
        Op::Broadcast(b) => starts(&b.shape) && b.axes.iter().take(n).copied().eq(0..n),
        Op::Reshape(r) => {
            // Axes of size one may come and go behind the rows.
            let dense = |s: &[crate::dim::Dim]| {
                s.iter().filter(|d| d.as_const() != Some(1)).cloned().collect::<Vec<_>>()
            };
            starts(&r.shape) && dense(&r.shape[n..]) == dense(&x.shape[n..])
        }
        Op::Permute(p) => p.axes.iter().take(n).copied().eq(0..n),
        Op::Slice(s) => s.axis >= n,
        Op::Pad(p) => p.axis >= n,
        Op::Reverse(r) => r.axes.iter().all(|a| *a >= n),
        Op::Windows(w) => n + w.window.axes() <= x.rank(),
        Op::Spread(s) => n + 2 * s.window.axes() <= x.rank(),
        _ => true,
    }
}

/// About how many bytes a tile of rows keeps in local memory.
fn kept_bytes(graph: &Graph, nodes: &[NodeId], rows: &Shape) -> i64 {
    let mut bytes = 0i64;
    let mut tile = 1;
    for n in nodes {
        let node = graph.node(*n);
        let o = Operand::from(*n);
        let Some(t) = graph.type_of(o).as_tensor() else { continue };
        let size = t.dtype.size() as i64;
        if matches!(&node.op, Op::Matmul(_)) {
            tile = 8;
        }
        if is_sum_over_rows(&node.op) {
            bytes = bytes.saturating_add(t.elements().upper().saturating_mul(size) / 8);
            tile = tile.max(6);
            continue;
        }
        let width = t.shape.get(rows.len()).map_or(1, |d| d.as_const().unwrap_or(1));
        let heavy = matches!(&node.op, Op::Matmul(_) | Op::Spmm(_) | Op::SpmmRows(_) | Op::SegmentReduce(_));
        // Maps are kept only where several levels use them: about half of those with several uses.
        let kept = heavy || graph.uses(o).len() > 1;
        if kept {
            bytes = bytes.saturating_add(width * size);
        }
    }
    bytes.saturating_mul(tile)
}
