//! Which integer inputs are positions, and how large they may be.

use crate::dim::{Dim, Proof};
use crate::graph::{Graph, NodeId, Operand};
use crate::ops::Op;
use rustc_hash::FxHashMap;

/// For every integer input that is used as row numbers by what outputs and updates need: the number of rows,
/// the least of all uses. A run checks its elements once against it.
pub fn bounds(graph: &Graph) -> FxHashMap<NodeId, Dim> {
    let mut found: FxHashMap<NodeId, Dim> = FxHashMap::default();
    let live = crate::fuse::live_nodes(graph);
    for n in graph.topological().into_iter().filter(|n| live.contains(n)) {
        let Some((position, rows)) = ids_of(graph, n) else { continue };
        let ids = graph.node(n).operands[position];
        for input in inputs_behind(graph, ids).unwrap_or_default() {
            let least = found.get(&input).map_or_else(|| rows.clone(), |old| least(old, &rows));
            found.insert(input, least);
        }
    }
    found
}

/// The lesser of two bounds.
pub(crate) fn least(a: &Dim, b: &Dim) -> Dim {
    if a.le(b) == Proof::True { a.clone() } else { a.min_of(b) }
}

/// The position of the operand of a node that holds row numbers, and how many rows there are.
pub(crate) fn ids_of(graph: &Graph, n: NodeId) -> Option<(usize, Dim)> {
    let node = graph.node(n);
    match &node.op {
        Op::GatherRows(_) => Some((1, graph.shape_of(node.operands[0])[0].clone())),
        Op::Segments(s) => Some((0, s.rows.clone())),
        Op::ScatterRows(s) => Some((0, s.rows.clone())),
        Op::RowSparse(s) => Some((0, s.rows.clone())),
        Op::SpmmRows(s) => {
            let c = graph.csr(node.operands[0]);
            Some((2, if s.transpose { c.cols.clone() } else { c.rows.clone() }))
        }
        Op::ScoreTopK(_) => Some((3, graph.csr(node.operands[2]).rows.clone())),
        _ => None,
    }
}

/// The inputs that ids come from, where they are moved and never computed, all of them: of an input that is
/// cut, the rest may be anything.
fn inputs_behind(graph: &Graph, ids: Operand) -> Option<Vec<NodeId>> {
    let node = graph.node(ids.node);
    match &node.op {
        Op::Input(_) => Some(vec![ids.node]),
        Op::Concat(_) | Op::Reshape(_) | Op::Permute(_) | Op::Broadcast(_) => {
            let mut all = vec![];
            for o in &node.operands {
                all.extend(inputs_behind(graph, *o)?);
            }
            Some(all)
        }
        Op::Barrier(_) => inputs_behind(graph, node.operands[0]),
        Op::CustomVjp(_) | Op::Checkpoint(_) => inputs_behind(graph, node.operands[usize::from(ids.port)]),
        Op::RowSparseParts(_) if ids.port == 0 => {
            let made = graph.node(node.operands[0].node);
            inputs_behind(graph, *made.operands.first()?)
        }
        _ => None,
    }
}

/// Whether every id comes from an input that a run checks, so that kernels need not guard it.
pub(crate) fn are_checked(graph: &Graph, ids: Operand) -> bool {
    inputs_behind(graph, ids).is_some()
}
