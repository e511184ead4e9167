//! Which updates are written over the old value, and the order of regions that makes it safe.

use crate::fuse::{Kind, Region, owners, producers, reads_its_row, sorted, walk};
use crate::graph::{Graph, NodeId, Operand};
use crate::lower::is_free;
use crate::ops::Op;
use rustc_hash::{FxHashMap, FxHashSet};

/// The decision.
pub(super) struct InPlace {
    /// The regions in an order in which every reader of an old value comes before its writer.
    pub regions: Vec<Region>,
    /// New values and the inputs whose buffers they take.
    pub shared: FxHashMap<Operand, Operand>,
}

/// Decides for each update. One that cannot be written in place is computed aside and copied at the end.
pub(super) fn decide(graph: &Graph, regions: Vec<Region>) -> InPlace {
    let of = owners(&regions);
    let mut before: Vec<Vec<usize>> =
        regions.iter().enumerate().map(|(i, r)| producers(graph, i, r, &of)).collect();
    let mut shared: FxHashMap<Operand, Operand> = FxHashMap::default();
    for (name, new) in &graph.updates {
        let Some(home) = graph.input(name).map(Operand::from) else { continue };
        let Some(&writer) = of.get(&new.node) else { continue };
        // What copies take at the end: new values that are given out, old ones that are given out or kept.
        let copied = graph.outputs.iter().any(|(_, o)| o == new || *o == home)
            || graph.updates.iter().any(|(_, o)| *o == home);
        let taken = shared.contains_key(new) || shared.values().any(|h| *h == home);
        if taken || copied || regions[writer].kind == Kind::Single {
            continue;
        }
        if graph.type_of(*new) != graph.type_of(home) || !same_element(graph, &regions[writer], home) {
            continue;
        }
        let readers: Vec<usize> = (0..regions.len())
            .filter(|r| *r != writer && reads_input(graph, &regions[*r], home, &of))
            .collect();
        if readers.iter().any(|r| reaches(&before, *r, writer)) {
            continue;
        }
        before[writer].extend(readers);
        shared.insert(*new, home);
    }
    match sorted(regions.clone(), &before) {
        Some(regions) => InPlace { regions, shared },
        // Readers never wait for their writer, so there is an order; without one nothing is overwritten.
        None => InPlace { regions, shared: FxHashMap::default() },
    }
}

fn reads_input(graph: &Graph, region: &Region, input: Operand, of: &FxHashMap<NodeId, usize>) -> bool {
    let mut found = false;
    walk(graph, region, of, &mut |o| found |= o == input);
    found
}

/// Whether region `r` depends on region `writer`.
fn reaches(before: &[Vec<usize>], r: usize, writer: usize) -> bool {
    let mut stack = vec![r];
    let mut seen = FxHashSet::default();
    while let Some(i) = stack.pop() {
        if i == writer {
            return true;
        }
        if seen.insert(i) {
            stack.extend(&before[i]);
        }
    }
    false
}

/// Whether a region reads an input only at the element that it is writing.
fn same_element(graph: &Graph, region: &Region, input: Operand) -> bool {
    let inside: FxHashSet<NodeId> = region.nodes.iter().copied().collect();
    let mut stack: Vec<(NodeId, bool)> = region.nodes.iter().map(|n| (*n, true)).collect();
    let mut seen = FxHashSet::default();
    while let Some((n, same)) = stack.pop() {
        if !seen.insert((n, same)) {
            continue;
        }
        let node = graph.node(n);
        let map = matches!(node.op, Op::Elementwise(_) | Op::Cast(_));
        // What moves elements reads its operand's members at other elements, and so do those, if they map.
        let moved = is_free(&node.op) || (map && !same);
        let same = same && map;
        for (position, o) in node.operands.iter().enumerate() {
            if *o == input {
                if !same {
                    return false;
                }
            } else if inside.contains(&o.node) {
                if moved || !reads_its_row(&node.op, position) {
                    stack.push((o.node, false));
                }
            } else if is_free(&node_op(graph, *o)) {
                stack.push((o.node, same));
            }
        }
    }
    true
}

fn node_op(graph: &Graph, o: Operand) -> Op {
    graph.node(o.node).op.clone()
}
