//! The order in which regions run.

use super::Region;
use crate::graph::{Graph, NodeId};
use rustc_hash::{FxHashMap, FxHashSet};

/// Regions in an order in which each comes after those it names in `before`, otherwise as they were; `None`
/// where there is no such order.
pub(crate) fn sorted(regions: Vec<Region>, before: &[Vec<usize>]) -> Option<Vec<Region>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; regions.len()];
    let mut order = vec![];
    for start in 0..regions.len() {
        let mut stack = vec![start];
        while let Some(&i) = stack.last() {
            match marks[i] {
                Mark::Done => {
                    stack.pop();
                }
                Mark::Open => {
                    marks[i] = Mark::Done;
                    order.push(i);
                    stack.pop();
                }
                Mark::New => {
                    marks[i] = Mark::Open;
                    let mut first: Vec<usize> =
                        before[i].iter().copied().filter(|b| marks[*b] != Mark::Done).collect();
                    if first.iter().any(|b| marks[*b] == Mark::Open) {
                        return None;
                    }
                    first.sort_unstable_by(|a, b| b.cmp(a));
                    stack.extend(first);
                }
            }
        }
    }
    let mut taken: Vec<Option<Region>> = regions.into_iter().map(Some).collect();
    Some(order.into_iter().filter_map(|i| taken[i].take()).collect())
}

/// The region of each node; nodes that several regions compute for themselves have none.
pub(crate) fn owners(regions: &[Region]) -> FxHashMap<NodeId, usize> {
    let mut of: FxHashMap<NodeId, usize> = FxHashMap::default();
    let mut several = FxHashSet::default();
    for (i, r) in regions.iter().enumerate() {
        for n in &r.nodes {
            if of.insert(*n, i).is_some() {
                several.insert(*n);
            }
        }
    }
    of.retain(|n, _| !several.contains(n));
    of
}

/// The other regions whose values region `own` reads, through free ops.
pub(crate) fn producers(
    graph: &Graph,
    own: usize,
    region: &Region,
    of: &FxHashMap<NodeId, usize>,
) -> Vec<usize> {
    let mut found = FxHashSet::default();
    walk(graph, region, of, &mut |o| {
        if let Some(at) = of.get(&o.node)
            && *at != own
        {
            found.insert(*at);
        }
    });
    let mut found: Vec<usize> = found.into_iter().collect();
    found.sort_unstable();
    found
}

/// Visits every value that a region reads, through ops that belong to no other region.
pub(crate) fn walk(
    graph: &Graph,
    region: &Region,
    of: &FxHashMap<NodeId, usize>,
    visit: &mut dyn FnMut(crate::graph::Operand),
) {
    let mut stack: Vec<NodeId> = region.nodes.clone();
    let mut seen = FxHashSet::default();
    while let Some(n) = stack.pop() {
        if !seen.insert(n) {
            continue;
        }
        for o in &graph.node(n).operands {
            visit(*o);
            if !of.contains_key(&o.node) {
                stack.push(o.node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::Kind;

    fn region(i: usize) -> Region {
        Region { kind: Kind::Single, nodes: vec![NodeId::new(i)], outputs: vec![] }
    }

    #[test]
    fn each_comes_after_what_it_needs_and_a_cycle_has_no_order() {
        let regions = || (0..4).map(region).collect::<Vec<_>>();
        let sort = |before: [&[usize]; 4]| sorted(regions(), &before.map(<[usize]>::to_vec));
        let order = sort([&[2], &[], &[3], &[]]).unwrap();
        assert_eq!(order, [3, 2, 0, 1].map(region));
        assert_eq!(sort([&[], &[], &[], &[]]).unwrap(), regions());
        assert!(sort([&[1], &[2], &[0], &[]]).is_none());
        assert!(sort([&[0], &[], &[], &[]]).is_none());
    }
}
