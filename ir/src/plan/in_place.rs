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
    /// Updates that are computed aside and copied, by name, and why.
    pub copied: Vec<(String, &'static str)>,
}

/// Decides for each update. One that cannot be written in place is computed aside and copied at the end.
pub(super) fn decide(graph: &Graph, regions: Vec<Region>) -> InPlace {
    let of = owners(&regions);
    let mut before: Vec<Vec<usize>> =
        regions.iter().enumerate().map(|(i, r)| producers(graph, i, r, &of)).collect();
    let mut shared: FxHashMap<Operand, Operand> = FxHashMap::default();
    let mut copied: Vec<(String, &'static str)> = vec![];
    for (name, new) in &graph.updates {
        let mut aside = |why| copied.push((name.clone(), why));
        let Some(home) = graph.input(name).map(Operand::from) else { continue };
        let Some(&writer) = of.get(&new.node) else {
            aside("no kernel computes its new value: it is another input, or one that several compute");
            continue;
        };
        // What copies take at the end: new values that are given out, old ones that are given out or kept.
        let given_out = graph.outputs.iter().any(|(_, o)| o == new || *o == home)
            || graph.updates.iter().any(|(_, o)| *o == home);
        let taken = shared.contains_key(new) || shared.values().any(|h| *h == home);
        let rows = writes_blocks(graph, &regions[writer], home, &of);
        if taken || given_out || (regions[writer].kind == Kind::Single && !rows) {
            aside(match () {
                () if taken => "its new value has the place of another one",
                () if given_out => "a copy at the end takes the old or the new value",
                () => "its new value is made by an op that is a kernel by itself",
            });
            continue;
        }
        let same = rows || same_element(graph, &regions[writer], home);
        if graph.type_of(*new) != graph.type_of(home) || !same {
            aside("the kernel reads the old value at other elements than the one that it writes");
            continue;
        }
        let readers: Vec<usize> = (0..regions.len())
            .filter(|r| *r != writer && reads_input(graph, &regions[*r], home, &of))
            .collect();
        if readers.iter().any(|r| reaches(&before, *r, writer)) {
            aside("a kernel that reads the old value waits for the one that writes the new one");
            continue;
        }
        before[writer].extend(readers);
        shared.insert(*new, home);
    }
    match sorted(regions.clone(), &before) {
        Some(regions) => InPlace { regions, shared, copied },
        // Readers never wait for their writer, so there is an order; without one nothing is overwritten.
        None => {
            let why = "no order of the kernels was found in which overwriting is safe";
            copied.extend(graph.updates.iter().map(|(name, _)| (name.clone(), why)));
            InPlace { regions, shared: FxHashMap::default(), copied }
        }
    }
}

fn reads_input(graph: &Graph, region: &Region, input: Operand, of: &FxHashMap<NodeId, usize>) -> bool {
    let mut found = false;
    walk(graph, region, of, &mut |o| found |= o == input);
    found
}

/// Whether a region is an update of some blocks of an input, which it reads nowhere else: the other blocks stay as
/// they are.
fn writes_blocks(graph: &Graph, region: &Region, home: Operand, of: &FxHashMap<NodeId, usize>) -> bool {
    let [n] = region.nodes[..] else { return false };
    let node = graph.node(n);
    let mut reads = 0;
    walk(graph, region, of, &mut |o| reads += usize::from(o == home));
    matches!(node.op, Op::IndexUpdate(_)) && node.operands[0] == home && reads == 1
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
        let map = node.op.is_map();
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
