//! What was not fused and what that costs; what is computed again and what that saves.

use super::{Again, Parts, Refused, is_constant, number};
use crate::fuse::{Refusal, live_nodes};
use crate::graph::{NodeId, Operand};
use crate::lower::is_free;
use crate::ops::{Op, bytes_of};
use crate::passes::Lowered;
use crate::types::Type;
use rustc_hash::{FxHashMap, FxHashSet};

/// Refusals between regions as they became, one for each reason and pair of them: those of which one reads what
/// the other stores, and those that read the same.
pub(super) fn refusals(lowered: &Lowered) -> Vec<Refused> {
    let parts = Parts::new(lowered);
    let regions = &lowered.origin.regions;
    let reads: Vec<FxHashSet<Operand>> =
        (0..regions.len()).map(|r| parts.reads(r).1.into_iter().collect()).collect();
    let results: FxHashSet<Operand> = lowered.graph.results().collect();
    let mut said: FxHashSet<(usize, usize, Refusal)> = FxHashSet::default();
    let mut all = vec![];
    for (n, m, why) in &lowered.fusion.refusals {
        let (Some(&region), Some(&other)) = (parts.home.get(n), parts.home.get(m)) else { continue };
        if region == other || !said.insert((region, other, *why)) {
            continue;
        }
        let sized = |o: &&Operand| matches!(lowered.graph.type_of(**o), Type::Tensor(t) if t.rank() > 0);
        let through: Vec<Operand> = regions[other]
            .outputs
            .iter()
            .filter(|o| reads[region].contains(o))
            .filter(sized)
            .copied()
            .collect();
        let stored = !through.is_empty();
        let mut values = through;
        if !stored {
            values = reads[region].intersection(&reads[other]).filter(sized).copied().collect();
            values.sort_by_key(|o| (parts.at[&o.node], o.port));
        }
        // What another region or the program itself needs is stored in any case.
        let needed = |o: &Operand| {
            results.contains(o) || (0..regions.len()).any(|r| r != region && reads[r].contains(o))
        };
        let bytes = values
            .iter()
            .map(|o| {
                let bytes = number(&bytes_of(lowered.graph.type_of(*o)));
                if stored && !needed(o) { 2 * bytes } else { bytes }
            })
            .sum();
        if bytes == 0 {
            continue;
        }
        let values = values.into_iter().map(|o| parts.value(o)).collect();
        all.push(Refused { node: parts.at[n], region, other, why: why.to_string(), stored, values, bytes });
    }
    all.sort_by_key(|r| (!r.stored, std::cmp::Reverse(r.bytes), r.region, r.other));
    all
}

/// Values that no kernel stores, because every reader computes them for itself.
pub(super) fn recomputed(lowered: &Lowered) -> Vec<Again> {
    let parts = Parts::new(lowered);
    let graph = &lowered.graph;
    let regions = &lowered.origin.regions;
    let mut readers: Vec<(NodeId, Vec<usize>)> = vec![];
    let mut add = |n: NodeId, r: usize| match readers.iter_mut().find(|(m, _)| *m == n) {
        Some((_, all)) => all.push(r),
        None => readers.push((n, vec![r])),
    };
    let chosen = |n: &NodeId| lowered.fusion.light.contains(n) || lowered.fusion.prologues.contains(n);
    for (r, region) in regions.iter().enumerate() {
        parts.reads(r).0.into_iter().for_each(|n| add(n, r));
        region.nodes.iter().filter(|n| chosen(n)).for_each(|n| add(*n, r));
    }
    let live = live_nodes(graph);
    let repeated = repeated(lowered).into_iter().map(|(n, region)| Again {
        node: parts.at[&n],
        why: "written a second time for later readers: the first is not kept for them".to_owned(),
        regions: vec![region],
        bytes: graph.node(n).types.iter().map(|t| number(&bytes_of(t))).sum(),
    });
    let mut all: Vec<Again> = readers
        .into_iter()
        .filter(|(n, _)| live.contains(n) && !is_constant(&graph.node(*n).op))
        .map(|(n, regions)| {
            let why = if lowered.fusion.light.contains(&n) {
                "most of its rows are empty: the sums cost less than the table"
            } else if lowered.fusion.prologues.contains(&n) {
                "applied as rows are gathered: the entries are no more than the elements"
            } else if is_free(&graph.node(n).op) {
                "index arithmetic in whoever reads it"
            } else {
                "cheaper than memory"
            };
            let bytes: u64 = graph.node(n).types.iter().map(|t| number(&bytes_of(t))).sum();
            let bytes = bytes.saturating_mul(1 + regions.len() as u64);
            Again { node: parts.at[&n], why: why.to_owned(), regions, bytes }
        })
        .chain(repeated)
        .collect();
    all.sort_by_key(|a| (std::cmp::Reverse(a.bytes), a.node));
    all
}

/// What is there twice: nodes that compute what another one has computed, with their regions.
fn repeated(lowered: &Lowered) -> Vec<(NodeId, usize)> {
    let graph = &lowered.graph;
    let home = crate::fuse::owners(&lowered.origin.regions);
    let mut first: FxHashMap<NodeId, NodeId> = FxHashMap::default();
    let mut known: FxHashMap<(&Op, Vec<Operand>), NodeId> = FxHashMap::default();
    let mut found = vec![];
    for n in graph.topological() {
        let node = graph.node(n);
        let operands = node.operands.iter().map(|o| Operand { node: first[&o.node], port: o.port }).collect();
        let same = *known.entry((&node.op, operands)).or_insert(n);
        first.insert(n, same);
        if same != n
            && let (Some(a), Some(b)) = (home.get(&same), home.get(&n))
            && a != b
        {
            found.push((n, *a.max(b)));
        }
    }
    found
}
