//! Fusion: which nodes become one kernel.
//!
//! Regions grow in topological order. A node joins the regions of the values it reads and those that read the
//! same values, and merges them, where all work on the same rows, every value is read at the row that is being
//! written, and no path leads out of the region and back. Free ops (broadcasts, slices, constants, random words:
//! see [`is_free`]) belong to no region: whoever uses them writes them again. So do the readers of two kinds of
//! nodes that cost less than their results in memory: sums of few rows into a table of many, and the scaling of a
//! given table that a sparse product gathers from. What a region computes is stored only where another region,
//! an output or an update needs it.

mod legal;
mod order;

use crate::graph::{Graph, NodeId, Operand};
use crate::lower::is_free;
use crate::ops::barrier::behind;
use crate::ops::{Class, Op};
use crate::types::{Shape, Type};
use legal::Paths;
pub use legal::Refusal;
pub(crate) use legal::reads_its_row;
pub(crate) use order::{owners, producers, sorted, walk};
use rustc_hash::{FxHashMap, FxHashSet};

/// How a region loops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Scalars, one after the other.
    Scalars,
    /// Row by row, over these leading axes.
    Rows(Shape),
    /// One op by itself.
    Single,
}

/// Nodes that become one kernel (and the kernel that finishes its sums over rows).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// How it loops.
    pub kind: Kind,
    /// Its nodes, producers first.
    pub nodes: Vec<NodeId>,
    /// The values that it stores.
    pub outputs: Vec<Operand>,
}

/// The regions of a graph, and why those that share values are not one.
#[derive(Clone, Debug, Default)]
pub struct Fusion {
    /// Producers before consumers.
    pub regions: Vec<Region>,
    /// Node, a node of the region that it did not join when it came to it, and why. The region may have
    /// grown since, and the node may have joined it through another.
    pub refusals: Vec<(NodeId, NodeId, Refusal)>,
    /// Sums of few rows into a table of many, which every reader computes for itself.
    pub light: FxHashSet<NodeId>,
    /// Scalings of rows that sparse products apply as they gather.
    pub prologues: FxHashSet<NodeId>,
}

/// The greatest width of a row that is kept in local memory.
pub(crate) const WIDEST_ROW: i64 = 1024;
/// The greatest matrix that a kernel over rows multiplies by, in elements; a sum of outer products, which every
/// chunk of the rows has for itself, is at most a quarter of it.
pub(crate) const LARGEST_MATRIX: i64 = 64 << 10;

/// Nodes of a region, at most, where nothing asks for less.
pub(crate) const MOST_NODES: usize = 400;

/// Divides a graph into regions of so many nodes at most; every node one of its own for 1. Values in `keep` are stored
/// also where no kernel needs them in memory.
pub fn fuse(graph: &Graph, most_nodes: usize, keep: &FxHashSet<Operand>) -> Fusion {
    let together = most_nodes > 1;
    let order = graph.topological();
    let live = live_nodes(graph);
    let prologues = if together { prologues(graph, &live) } else { FxHashSet::default() };
    let mut stored = must_be_stored(graph, &live, &prologues);
    stored.extend(keep.iter().filter(|o| live.contains(&o.node)).map(|o| behind(graph, *o)));
    let mut light: FxHashSet<NodeId> = FxHashSet::default();
    if together {
        light.extend(live.iter().copied().filter(|n| is_light(graph, *n, &stored)));
    }
    let mut fusion = Fusion::default();
    let mut groups: Vec<Option<Group>> = vec![];
    let mut group_of: FxHashMap<NodeId, usize> = FxHashMap::default();
    let mut late: FxHashSet<NodeId> = FxHashSet::default();

    for n in order.iter().copied().filter(|n| live.contains(n)) {
        let op = &graph.node(n).op;
        if matches!(op, Op::Input(_)) || (is_free(op) && !stored.contains(&Operand::from(n))) {
            continue;
        }
        if light.contains(&n) || prologues.contains(&n) {
            continue;
        }
        let kind = kind_of(graph, n);
        // Scalars that wait for no kernel stay apart from those that do: kernels may wait for them.
        if kind == Kind::Scalars && waits(graph, n, &group_of, &groups, &late) {
            late.insert(n);
        }
        let mut nodes: Vec<NodeId> =
            graph.node(n).operands.iter().map(|o| o.node).filter(|m| light.contains(m)).collect();
        nodes.push(n);
        nodes.dedup();
        let mut group = Group { kind, nodes };
        if together && group.kind != Kind::Single {
            for at in candidates(graph, n, &group_of) {
                let Some(other) = &groups[at] else { continue };
                if group.kind == Kind::Scalars && late.contains(&other.nodes[0]) != late.contains(&n) {
                    continue;
                }
                let paths =
                    Paths { graph, groups: &groups, group_of: &group_of, prologues: &prologues, most_nodes };
                match legal::union(&paths, other, &group) {
                    Ok(union) => {
                        group = union;
                        groups[at] = None;
                    }
                    Err(refusal) => {
                        let first = other.nodes.iter().find(|m| !light.contains(m));
                        fusion.refusals.push((n, *first.unwrap_or(&other.nodes[0]), refusal));
                    }
                }
            }
        }
        let at = groups.len();
        for m in group.nodes.iter().filter(|m| !light.contains(m)) {
            group_of.insert(*m, at);
        }
        groups.push(Some(group));
    }
    let groups: Vec<Group> = groups.into_iter().flatten().collect();
    (fusion.light, fusion.prologues) = (light.clone(), prologues.clone());
    let sets = Sets { live, stored, light, prologues };
    fusion.regions = match finish(graph, groups, &sets, &order) {
        Some(regions) => regions,
        None if together => {
            // Regions that wait for each other: growth should have refused it. Nodes by themselves always
            // have an order.
            fusion.refusals.extend(order.last().map(|n| (*n, *n, Refusal::Cycle)));
            (fusion.light, fusion.prologues) = Default::default();
            fuse(graph, 1, keep).regions
        }
        None => vec![],
    };
    fusion
}

/// Whether a scalar depends on a kernel that is not one of scalars.
fn waits(
    graph: &Graph,
    n: NodeId,
    group_of: &FxHashMap<NodeId, usize>,
    groups: &[Option<Group>],
    late: &FxHashSet<NodeId>,
) -> bool {
    graph.node(n).operands.iter().any(|o| match group_of.get(&o.node) {
        Some(g) => late.contains(&o.node) || groups[*g].as_ref().is_some_and(|g| g.kind != Kind::Scalars),
        None => waits(graph, o.node, group_of, groups, late),
    })
}

/// A region that grows.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub kind: Kind,
    pub nodes: Vec<NodeId>,
}

/// What outputs and updates need; not what is only waited for.
pub(crate) fn live_nodes(graph: &Graph) -> FxHashSet<NodeId> {
    let mut live = FxHashSet::default();
    let mut stack: Vec<NodeId> = graph.results().map(|o| o.node).collect();
    while let Some(n) = stack.pop() {
        if live.insert(n) {
            let node = graph.node(n);
            let read = if let Op::Barrier(_) = node.op { 1 } else { node.operands.len() };
            stack.extend(node.operands[..read].iter().map(|o| o.node));
        }
    }
    live
}

/// Values that must be in memory whatever fusion does: results, and what is read at positions that are not
/// those of the row.
fn must_be_stored(
    graph: &Graph,
    live: &FxHashSet<NodeId>,
    prologues: &FxHashSet<NodeId>,
) -> FxHashSet<Operand> {
    let mut stored: FxHashSet<Operand> = graph.results().collect();
    for n in live {
        let node = graph.node(*n);
        match &node.op {
            Op::Spmm(s) => {
                if !prologues.contains(&node.operands[1].node) {
                    stored.insert(node.operands[1]);
                }
                if s.weighted {
                    stored.insert(node.operands[2]);
                }
            }
            Op::SpmmRows(_) => {
                stored.insert(node.operands[1]);
            }
            // Pointers and positions of a pattern are in memory; positions that are counted are not read at all.
            Op::SegmentReduce(_) | Op::SegmentSoftmax(_) | Op::SegmentIds(_) => {
                let read = |o: &&Operand| !matches!(graph.node(o.node).op, Op::CsrArrayOf(_) | Op::Iota(_));
                let (positions, values) = node.operands.split_at(node.operands.len().min(2));
                stored.extend(positions.iter().filter(read));
                stored.extend(values);
            }
            Op::Matmul(_) if kind_of(graph, *n) == Kind::Single => stored.extend(&node.operands[..]),
            Op::Matmul(m) if !m.transpose_a => {
                stored.insert(node.operands[1]);
            }
            // Hand-made kernels read and write memory.
            op if matches!(op.def().class(), Class::Opaque | Class::Composite) => {
                stored.extend(&node.operands[..]);
            }
            _ => {}
        }
    }
    stored.retain(|o| matches!(graph.type_of(*o), Type::Tensor(_)));
    // A barrier has no place of its own: what stands behind it is in memory.
    stored.into_iter().map(|o| behind(graph, o)).collect()
}

/// How a node loops by itself.
fn kind_of(graph: &Graph, n: NodeId) -> Kind {
    let node = graph.node(n);
    let Some(result) = node.types[0].as_tensor() else { return Kind::Single };
    let operand = |i: usize| graph.type_of(node.operands[i]).as_tensor().cloned();
    let narrow = |d: Option<&crate::dim::Dim>| {
        d.is_none_or(|d| d.as_const().is_some_and(|n| (1..=WIDEST_ROW).contains(&n)))
    };
    match &node.op {
        Op::Reduce(r) => {
            let Some(x) = operand(0) else { return Kind::Single };
            let rank = x.rank();
            if rank == 0 {
                Kind::Scalars
            } else if r.axes.len() == 1 && r.axes[0] == rank - 1 && rank > 1 {
                Kind::Rows(x.shape[..rank - 1].into())
            } else if rank <= 2 && r.axes.as_slice() == [0] && narrow(x.shape.get(1)) {
                Kind::Rows(x.shape[..1].into())
            } else {
                Kind::Single
            }
        }
        Op::Spmm(_) | Op::SpmmRows(_) | Op::SegmentReduce(_) => {
            if result.rank() <= 2 && narrow(result.shape.get(1)) {
                Kind::Rows(result.shape[..1].into())
            } else {
                Kind::Single
            }
        }
        Op::Matmul(m) => {
            let (Some(a), Some(b)) = (operand(0), operand(1)) else { return Kind::Single };
            let size = |d: &crate::dim::Dim| d.as_const().filter(|n| *n > 0);
            if a.rank() != 2 || m.transpose_b {
                return Kind::Single;
            }
            let matrix = if m.transpose_a { &result.shape } else { &b.shape };
            match (size(&matrix[0]), size(&matrix[1])) {
                (Some(k), Some(n)) if k * n <= LARGEST_MATRIX && k.max(n) <= WIDEST_ROW => {
                    let large = m.transpose_a && k * n > LARGEST_MATRIX / 4;
                    if large { Kind::Single } else { Kind::Rows(a.shape[..1].into()) }
                }
                _ => Kind::Single,
            }
        }
        Op::Permute(p) if crate::lower::is_transposed(&p.axes, &result.shape) => Kind::Single,
        Op::Concat(_) | Op::IndexUpdate(_) | Op::Sddmm(_) | Op::SegmentSoftmax(_) => Kind::Single,
        op => match op.def().class() {
            Class::Opaque | Class::Composite => Kind::Single,
            _ if result.rank() == 0 => Kind::Scalars,
            _ if result.rank() == 1 => Kind::Rows(result.shape.clone()),
            _ => Kind::Rows(result.shape[..result.rank() - 1].into()),
        },
    }
}

/// The groups that a node might join: those of the values it reads, and those that read the same values.
fn candidates(graph: &Graph, n: NodeId, group_of: &FxHashMap<NodeId, usize>) -> Vec<usize> {
    let mut found = vec![];
    let mut add = |at: Option<&usize>| {
        if let Some(at) = at
            && !found.contains(at)
        {
            found.push(*at);
        }
    };
    let mut reads = vec![];
    let mut stack: Vec<Operand> = graph.node(n).operands.to_vec();
    let mut seen = FxHashSet::default();
    while let Some(o) = stack.pop() {
        if !seen.insert(o) {
            continue;
        }
        reads.push(o);
        match group_of.get(&o.node) {
            Some(at) => add(Some(at)),
            None => stack.extend(graph.node(o.node).operands.iter().copied()),
        }
    }
    // Siblings: sums over rows and products of what another region reads as well.
    for o in reads {
        let large = graph.type_of(o).as_tensor().is_some_and(|t| t.rank() > 0);
        if large {
            for (user, _) in graph.uses(o) {
                add(group_of.get(&user));
            }
        }
    }
    found
}

/// What was decided before regions grew.
struct Sets {
    live: FxHashSet<NodeId>,
    stored: FxHashSet<Operand>,
    light: FxHashSet<NodeId>,
    prologues: FxHashSet<NodeId>,
}

/// Regions in order, with the values that they store.
fn finish(graph: &Graph, groups: Vec<Group>, sets: &Sets, order: &[NodeId]) -> Option<Vec<Region>> {
    let position: FxHashMap<NodeId, usize> = order.iter().enumerate().map(|(i, n)| (*n, i)).collect();
    let mut regions: Vec<Region> = groups
        .into_iter()
        .map(|mut g| {
            let mut inlined: Vec<NodeId> = g
                .nodes
                .iter()
                .flat_map(|n| graph.node(*n).operands.iter().map(|o| o.node))
                .filter(|m| sets.prologues.contains(m))
                .collect();
            g.nodes.append(&mut inlined);
            g.nodes.sort_by_key(|n| position[n]);
            g.nodes.dedup();
            let inside: FxHashSet<NodeId> = g.nodes.iter().copied().collect();
            let outputs = g
                .nodes
                .iter()
                .flat_map(|n| (0..graph.node(*n).types.len()).map(|p| Operand { node: *n, port: p as u16 }))
                .filter(|o| {
                    let again = sets.light.contains(&o.node) || sets.prologues.contains(&o.node);
                    sets.stored.contains(o)
                        || g.kind == Kind::Single
                        || (!again && needed_outside(graph, *o, &inside, sets))
                })
                .collect();
            Region { kind: g.kind, nodes: g.nodes, outputs }
        })
        .collect();
    regions.sort_by_key(|r| r.nodes.last().map(|n| position[n]));
    let of = owners(&regions);
    let before: Vec<Vec<usize>> =
        regions.iter().enumerate().map(|(i, r)| producers(graph, i, r, &of)).collect();
    sorted(regions, &before)
}

/// Whether work outside a region reads a value, through ops that are written again there.
fn needed_outside(graph: &Graph, o: Operand, inside: &FxHashSet<NodeId>, sets: &Sets) -> bool {
    graph.uses(o).iter().any(|(user, position)| {
        let waits = *position > 0 && matches!(graph.node(*user).op, Op::Barrier(_));
        if !sets.live.contains(user) || waits {
            return false;
        }
        if sets.prologues.contains(user) {
            // Whoever inlines it reads this value at other rows.
            return true;
        }
        if inside.contains(user) {
            return false;
        }
        let again = is_free(&graph.node(*user).op) && !sets.stored.contains(&Operand::from(*user));
        !again || needed_outside(graph, (*user).into(), inside, sets)
    })
}

/// Scalings of rows that a sparse product applies as it gathers: `s[r] * x[r, ..]`, read by such products alone.
/// A scale an entry costs less than a scaled copy of `x`.
fn prologues(graph: &Graph, live: &FxHashSet<NodeId>) -> FxHashSet<NodeId> {
    let results: FxHashSet<NodeId> = graph.results().map(|o| o.node).collect();
    let in_memory = |o: Operand| {
        let op = &graph.node(o.node).op;
        matches!(op, Op::Input(_)) || !is_free(op)
    };
    live.iter()
        .copied()
        .filter(|n| {
            let node = graph.node(*n);
            let Op::Elementwise(e) = &node.op else { return false };
            let o = Operand::from(*n);
            if e.op != crate::scalar::ScalarOp::Mul || results.contains(n) || graph.tensor(o).rank() != 2 {
                return false;
            }
            let scale = |o: Operand| match &graph.node(o.node).op {
                Op::Broadcast(b) => b.axes.as_slice() == [0] && in_memory(graph.node(o.node).operands[0]),
                _ => false,
            };
            let (a, b) = (node.operands[0], node.operands[1]);
            // Only a tensor that is given: one that a kernel computes is scaled where it is stored.
            let given = |o: Operand| matches!(graph.node(o.node).op, Op::Input(_));
            if !((given(a) && scale(b)) || (given(b) && scale(a))) {
                return false;
            }
            let bytes = graph.tensor(o).elements().upper().saturating_mul(8);
            graph.uses(o).iter().filter(|(u, _)| live.contains(u)).all(|(u, position)| {
                let user = graph.node(*u);
                let wide = matches!(kind_of(graph, *u), Kind::Rows(_));
                let entries = match &user.op {
                    Op::Spmm(s) if !s.weighted && *position == 1 => &graph.csr(user.operands[0]).nnz,
                    _ => return false,
                };
                wide && entries.upper().saturating_mul(8) <= bytes
            })
        })
        .collect()
}

/// Whether a node is computed again by every region that reads it: a sum of few rows into a table of many, of
/// which most rows are empty. Its table would cost more to write and read than the sums do.
fn is_light(graph: &Graph, n: NodeId, stored: &FxHashSet<Operand>) -> bool {
    let node = graph.node(n);
    if !matches!(&node.op, Op::SegmentReduce(s) if s.op == crate::scalar::ReduceOp::Sum) {
        return false;
    }
    if stored.contains(&Operand::from(n)) || !matches!(kind_of(graph, n), Kind::Rows(_)) {
        return false;
    }
    let (few, rows) = (&graph.tensor(node.operands[1]).shape[0], &graph.tensor(n.into()).shape[0]);
    let mapped = graph
        .uses(n.into())
        .iter()
        .all(|(u, _)| graph.node(*u).op.is_map() && graph.tensor(n.into()).rank() == 2);
    mapped && few.upper().saturating_mul(2) <= rows.lower()
}
