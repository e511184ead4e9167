//! A program within so many bytes: values that are far from their next reader are computed again for it.
//!
//! A value is a candidate where the arena is fullest if it waits there: made before, read after, by no one in
//! between. What makes it from values that are stored is written again behind a barrier (see
//! [`Checkpoint`](crate::ops::checkpoint::Checkpoint), which does by mark what is done here by need), for the late
//! readers. Those that save most bytes for an operation come first; after each round everything is planned again, and
//! a round that did not help is taken back. (Jain and others 2020, Checkmate; this is the greedy end of it.)

use super::{Lowered, Options, plan_as_is};
use crate::diag::{Diag, Span};
use crate::fuse::{MOST_NODES, owners};
use crate::graph::{Graph, NodeId, Operand};
use crate::lower::is_free;
use crate::ops::Op;
use crate::ops::barrier::{Barrier, behind};
use crate::plan::Place;
use crate::types::Type;
use rustc_hash::{FxHashMap, FxHashSet};

/// Rounds at most: a net under rounds that help little.
const ROUNDS: usize = 64;
/// A round frees one in so many of the bytes that are taken where the arena is fullest.
const SHARE: u64 = 8;
/// Nodes that a value is made from again, at most.
const LONGEST: usize = 200;

/// Nodes of a region at most: a kernel over much reads much at the same time. Where that stands in the way, smaller
/// kernels are tried.
const SIZES: [usize; 3] = [MOST_NODES, 48, 12];

/// The graph with so much computed again that its arena takes `bytes` at most, planned.
///
/// # Errors
/// Those of a plan; where the arena cannot be made as small, with the least that was reached.
pub(super) fn fit(graph: &Graph, optimised: Graph, options: &Options, bytes: usize) -> Result<Lowered, Diag> {
    let mut least = usize::MAX;
    for most_nodes in SIZES {
        let found = shrink(graph, optimised.clone(), options, bytes, most_nodes)?;
        if found.program.arena_bytes <= bytes {
            return Ok(found);
        }
        least = least.min(found.program.arena_bytes);
    }
    let name = &graph.name;
    let message = format!("`{name}` needs {least} bytes for temporaries at least, {bytes} are allowed");
    Err(Diag::new(message, Span::none(), "in the program")
        .note("what is kept for a later reader is computed again as far as that frees memory")
        .help("allow more bytes, or give the dims smaller upper ends"))
}

/// The plan that takes `bytes` at most, or as little as can be reached with kernels of so many nodes.
fn shrink(
    graph: &Graph,
    optimised: Graph,
    options: &Options,
    bytes: usize,
    most_nodes: usize,
) -> Result<Lowered, Diag> {
    let plan = |optimised: Graph| plan_as_is(graph, optimised, options, most_nodes);
    let (mut best, mut before) = (plan(optimised.clone())?, optimised);
    let mut in_vain: FxHashSet<Operand> = FxHashSet::default();
    for _ in 0..ROUNDS {
        if best.program.arena_bytes <= bytes {
            break;
        }
        let mut chosen = candidates(&best, &before, &in_vain);
        if chosen.is_empty() {
            break;
        }
        // The whole round, else fewer of it.
        while !chosen.is_empty() {
            let mut tried = before.clone();
            again(&mut tried, &best, &chosen);
            let planned = plan(tried.clone())?;
            if planned.program.arena_bytes < best.program.arena_bytes {
                (best, before) = (planned, tried);
                break;
            }
            if let [alone] = &chosen[..] {
                in_vain.insert(alone.value);
                break;
            }
            chosen.truncate((chosen.len() / 4).max(1));
        }
    }
    Ok(best)
}

/// A value that can be computed again for its late readers.
struct Candidate {
    value: Operand,
    /// The region of its first late reader.
    late: usize,
    /// What it is made from.
    edge: Vec<Operand>,
    saves: u64,
    costs: u64,
}

fn number(d: &crate::dim::Dim) -> u64 {
    u64::try_from(d.upper()).unwrap_or(0)
}

/// What might be computed again at the fullest point of the arena, that which saves most for its work first: a share of
/// what is there.
fn candidates(lowered: &Lowered, graph: &Graph, in_vain: &FxHashSet<Operand>) -> Vec<Candidate> {
    let (program, origin) = (&lowered.program, &lowered.origin);
    let launches = program.launches.len();
    // The launches that use each buffer, and how full the arena is at each.
    let mut uses: Vec<Vec<usize>> = vec![vec![]; program.buffers.len()];
    for (l, launch) in program.launches.iter().enumerate() {
        launch.buffers.iter().for_each(|b| uses[*b].push(l));
    }
    let size = |b: usize| {
        let decl = &program.buffers[b];
        number(&crate::types::product(&decl.shape)).saturating_mul(decl.dtype.size() as u64)
    };
    let in_arena =
        |b: &usize| matches!(program.buffers[*b].place, Place::Arena { .. }) && !uses[*b].is_empty();
    let mut alive = vec![0u64; launches];
    for b in (0..uses.len()).filter(in_arena) {
        (uses[b][0]..=uses[b][uses[b].len() - 1]).for_each(|l| alive[l] += size(b));
    }
    let Some(peak) = (0..launches).max_by_key(|l| (alive[*l], std::cmp::Reverse(*l))) else { return vec![] };
    let last: FxHashMap<Operand, usize> =
        (0..uses.len()).filter_map(|b| Some((origin.values[b]?, *uses[b].last()?))).collect();
    let stored: FxHashSet<Operand> = origin.regions.iter().flat_map(|r| r.outputs.iter().copied()).collect();

    let mut all: Vec<Candidate> = vec![];
    for b in (0..uses.len()).filter(in_arena) {
        let Some(value) = origin.values[b].filter(|v| !in_vain.contains(v) && graph.contains(v.node)) else {
            continue;
        };
        let Some(next) = uses[b].iter().position(|l| *l >= peak).filter(|i| *i > 0) else { continue };
        let next = uses[b][next];
        // A copy at the end reads what is given out; it waits for the end in any case.
        let late: Option<Vec<usize>> =
            uses[b].iter().filter(|l| **l >= peak).map(|l| origin.launches[*l]).collect();
        let Some(late) = late.as_ref().and_then(|l| l.first().copied()).filter(|_| next > peak) else {
            continue;
        };
        // From what is there then: inputs, and what is kept for others.
        let there = |o: Operand| stored.contains(&o) && last.get(&o).is_some_and(|l| *l >= next);
        let (nodes, edge) = recipe(graph, value, there);
        if nodes.is_empty() || nodes.len() > LONGEST {
            continue;
        }
        let flops: u64 = nodes
            .iter()
            .map(|n| {
                let node = graph.node(*n);
                let operands: Vec<Type> = node.operands.iter().map(|o| graph.type_of(*o).clone()).collect();
                number(&node.op.def().cost(&operands, &node.types).flops)
            })
            .fold(0, u64::saturating_add);
        let costs = flops.saturating_add(size(b));
        all.push(Candidate { value, late, edge, saves: size(b), costs });
    }
    all.sort_by(|a, b| {
        let (x, y) = (u128::from(a.saves) * u128::from(b.costs), u128::from(b.saves) * u128::from(a.costs));
        y.cmp(&x).then(a.value.cmp(&b.value))
    });
    // So much a round whatever is allowed, so that one way leads to every size.
    let mut wanted = alive[peak] / SHARE;
    let needed = all.iter().take_while(|c| {
        let more = wanted > 0;
        wanted = wanted.saturating_sub(c.saves);
        more
    });
    let needed = needed.count().max(usize::from(!all.is_empty()));
    all.truncate(needed);
    all
}

/// The nodes that make a value, producers first, from inputs and values that are there, and these.
fn recipe(graph: &Graph, value: Operand, there: impl Fn(Operand) -> bool) -> (Vec<NodeId>, Vec<Operand>) {
    let ends = |o: Operand| {
        let real = behind(graph, o);
        real != value && (there(real) || matches!(graph.node(real.node).op, Op::Input(_)))
    };
    let nodes = graph.behind(&[value], ends);
    let mut edge: Vec<Operand> = vec![];
    for o in nodes.iter().flat_map(|n| graph.node(*n).operands.iter().copied()).filter(|o| ends(*o)) {
        let o = behind(graph, o);
        if !edge.contains(&o) {
            edge.push(o);
        }
    }
    (nodes, edge)
}

/// Writes values again for their late readers.
fn again(graph: &mut Graph, lowered: &Lowered, chosen: &[Candidate]) {
    let regions = &lowered.origin.regions;
    let of = owners(regions);
    let position: FxHashMap<NodeId, usize> =
        graph.topological().into_iter().enumerate().map(|(i, n)| (n, i)).collect();
    let mut order: Vec<(&Candidate, usize)> = chosen.iter().map(|c| (c, c.late)).collect();
    order.sort_by_key(|(c, _)| position[&c.value.node]);
    // One that another is made from is needed as early as that one.
    for i in (0..order.len()).rev() {
        let (candidate, late) = order[i];
        for (_, earlier) in order[..i].iter_mut().filter(|(c, _)| candidate.edge.contains(&c.value)) {
            *earlier = late.min(*earlier);
        }
    }
    let mut copies: FxHashMap<Operand, Operand> = FxHashMap::default();
    for (Candidate { value, edge, .. }, late) in &order {
        // What the regions before it gave last: it is there when the first late reader's turn comes.
        let wait = regions[..*late]
            .iter()
            .rev()
            .flat_map(|r| &r.outputs)
            .find(|o| graph.type_of(**o).as_tensor().is_some());
        let Some(wait) = wait.copied() else { continue };
        let nodes = recipe(graph, *value, |o| edge.contains(&o)).0;
        let mut with = vec![];
        for o in edge.iter().copied() {
            let new = match copies.get(&o) {
                Some(copy) => *copy,
                None if o == wait || graph.type_of(o).as_tensor().is_none() => o,
                None => graph.emit(Barrier, &[o, wait]),
            };
            with.push((o, new));
        }
        // Barriers that it is behind already give way to those that wait longer.
        for o in nodes.iter().flat_map(|n| &graph.node(*n).operands) {
            let real = behind(graph, *o);
            if let Some((_, new)) = with.iter().find(|(from, _)| *from == real && real != *o) {
                with.push((*o, *new));
            }
        }
        let copy = graph.substitute(&[*value], &with)[0];
        if copy != *value {
            copies.insert(*value, copy);
        }
    }
    for (value, late) in chosen.iter().map(|c| (c.value, c.late)) {
        let Some(copy) = copies.get(&value).copied() else { continue };
        for (at, region) in regions.iter().enumerate().skip(late) {
            // A node that several regions have may run early in one of them.
            for n in region.nodes.iter().filter(|n| of.get(n) == Some(&at)) {
                for i in 0..graph.node(*n).operands.len() {
                    let x = graph.node(*n).operands[i];
                    let new = read_from(graph, x, value, copy, &of);
                    if new != x {
                        graph.redirect(*n, i, new);
                    }
                }
            }
        }
    }
    graph.remove_dead();
}

/// An operand with a copy in place of a value that it is, or is made from by ops that every reader writes again.
fn read_from(
    graph: &mut Graph,
    x: Operand,
    value: Operand,
    copy: Operand,
    of: &FxHashMap<NodeId, usize>,
) -> Operand {
    if x == value {
        return copy;
    }
    let node = graph.node(x.node).clone();
    if !is_free(&node.op) || of.contains_key(&x.node) {
        return x;
    }
    // What a barrier waits for is not read.
    let read = if let Op::Barrier(_) = node.op { 1 } else { node.operands.len() };
    let mut operands = node.operands.clone();
    for o in &mut operands[..read] {
        *o = read_from(graph, *o, value, copy, of);
    }
    if operands == node.operands {
        return x;
    }
    let before = graph.at.replace(node.span);
    let new = graph.emit_all(node.op, &operands)[usize::from(x.port)];
    graph.at = before;
    new
}
