//! Which integer inputs are positions, and how large they may be.

use crate::dim::{Dim, Proof};
use crate::graph::{Graph, InputKind, NodeId, Operand};
use crate::ops::{Op, segment_ids};
use crate::plan::CsrPart;
use rustc_hash::FxHashMap;

/// For every integer input that is used as row numbers by what outputs and updates need: the number of rows,
/// the least of all uses. A run checks its elements once against it.
pub fn bounds(graph: &Graph) -> FxHashMap<NodeId, Dim> {
    let mut found: FxHashMap<NodeId, Dim> = FxHashMap::default();
    let live = crate::fuse::live_nodes(graph);
    for n in graph.topological().into_iter().filter(|n| live.contains(n)) {
        for (position, rows) in ids_of(graph, n) {
            let ids = graph.node(n).operands[position];
            for input in inputs_behind(graph, ids).unwrap_or_default() {
                let least = found.get(&input).map_or_else(|| rows.clone(), |old| least(old, &rows));
                found.insert(input, least);
            }
        }
    }
    found
}

/// The lesser of two bounds.
pub(crate) fn least(a: &Dim, b: &Dim) -> Dim {
    if a.le(b) == Proof::True { a.clone() } else { a.min_of(b) }
}

/// The operands of a node that hold row numbers, by position, and how many rows there are.
pub(crate) fn ids_of(graph: &Graph, n: NodeId) -> Vec<(usize, Dim)> {
    let node = graph.node(n);
    let size = |at: usize| graph.shape_of(node.operands[at])[0].clone();
    match &node.op {
        Op::GatherRows(_) => vec![(1, size(0))],
        Op::Segments(s) => vec![(0, s.rows.clone())],
        Op::ScatterRows(s) => vec![(0, s.rows.clone())],
        Op::RowSparse(s) => vec![(0, s.rows.clone())],
        // A pointer may be that of the end.
        Op::SegmentReduce(_) | Op::SegmentSoftmax(_) => vec![(0, &size(1) + &1.into()), (1, size(2))],
        Op::SegmentIds(s) => vec![(0, &s.count + &1.into())],
        Op::SpmmRows(s) => {
            let c = graph.csr(node.operands[0]);
            vec![(2, if s.transpose { c.cols.clone() } else { c.rows.clone() })]
        }
        Op::ScoreTopK(_) if node.operands.len() > 2 => vec![(3, graph.csr(node.operands[2]).rows.clone())],
        _ => vec![],
    }
}

/// The inputs that ids come from, where they are moved and never computed, all of them: of an input that is
/// cut, the rest may be anything.
fn inputs_behind(graph: &Graph, ids: Operand) -> Option<Vec<NodeId>> {
    let node = graph.node(ids.node);
    match &node.op {
        // What a body is given, whoever runs it, has been computed.
        Op::Input(i) => (i.kind != InputKind::Arg).then(|| vec![ids.node]),
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

/// Whether every id comes from an input that a run checks, or from an op whose results are below so many rows, so that
/// kernels need not guard it.
pub(crate) fn are_checked(graph: &Graph, ids: Operand, rows: &Dim) -> bool {
    inputs_behind(graph, ids).is_some() || made_below(graph, ids).is_some_and(|b| b.le(rows) == Proof::True)
}

/// What the results of an op that makes positions are below; none of them is negative.
fn made_below(graph: &Graph, ids: Operand) -> Option<Dim> {
    let node = graph.node(ids.node);
    match &node.op {
        Op::Iota(i) => i.shape.get(i.axis).cloned(),
        Op::Segments(_) => {
            let count = graph.shape_of(node.operands[0])[0].clone();
            Some(if ids.port == 0 { &count + &1.into() } else { count })
        }
        Op::CsrArrayOf(a) => {
            let csr = graph.csr(node.operands[0]);
            Some(match a.part {
                CsrPart::Indptr | CsrPart::TwinIndptr => &csr.nnz + &1.into(),
                CsrPart::Indices => csr.cols.clone(),
                CsrPart::TwinIndices => csr.rows.clone(),
                CsrPart::TwinEdges => csr.nnz.clone(),
            })
        }
        Op::SegmentIds(s) => {
            let pointers = node.operands[0];
            let within =
                segment_ids::cover(graph, pointers) && made_below(graph, pointers)? == &s.count + &1.into();
            within.then(|| &graph.shape_of(pointers)[0] - &1.into())
        }
        _ => None,
    }
}
