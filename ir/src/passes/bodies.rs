//! Ops with bodies, made smaller: constants are written in the body, results and parameters that nothing needs go,
//! and what is the same in every step of a loop is computed once, before it.

use crate::diag::Diag;
use crate::graph::{Body, Graph, NodeId, Operand};
use crate::ops::broadcast::Broadcast;
use crate::ops::fill::Fill;
use crate::ops::scan::Scan;
use crate::ops::{Axes, Op};
use crate::types::{Shape, Type};
use rustc_hash::{FxHashMap, FxHashSet};

/// An op with bodies, taken apart. All bodies have the same parameters: what is carried, what is read step by step,
/// and the others.
struct Parts {
    bodies: Vec<Graph>,
    carries: usize,
    slices: usize,
    args: Vec<Operand>,
    /// Whether the bodies run several times.
    looped: bool,
}

/// Tightens every op with bodies, those that use the others first.
pub(super) fn tighten(graph: &mut Graph) -> Result<(), Diag> {
    let has_bodies = |graph: &Graph, n: NodeId| !graph.node(n).op.def().bodies().is_empty();
    let nodes: Vec<NodeId> = graph.topological().into_iter().filter(|n| has_bodies(graph, *n)).collect();
    if !nodes.is_empty() {
        graph.remove_dead();
    }
    for n in nodes.into_iter().rev() {
        if graph.contains(n) {
            let before = graph.at.replace(graph.node(n).span.clone());
            tighten_node(graph, n);
            graph.at = before;
            graph.remove_dead();
        }
    }
    Ok(())
}

fn tighten_node(graph: &mut Graph, n: NodeId) {
    let node = graph.node(n).clone();
    let (first, carries, slices) = match &node.op {
        Op::Scan(s) => (0, s.carries, s.slices),
        Op::While(w) => (0, w.carries, 0),
        Op::Cond(_) => (1, 0, 0),
        _ => return,
    };
    let bodies = node.op.def().bodies().into_iter().map(|b| b.graph().clone()).collect();
    let args = node.operands[first..].to_vec();
    let mut parts = Parts { bodies, carries, slices, args, looped: first == 0 };
    let given_out: FxHashSet<Operand> = graph.results().collect();
    let results: Vec<Operand> = (0..node.types.len()).map(|p| Operand { node: n, port: p as u16 }).collect();
    let used: Vec<bool> =
        results.iter().map(|o| given_out.contains(o) || !graph.uses(*o).is_empty()).collect();

    // What becomes of each result: one of the new op, or an operand, or nothing.
    let mut places: Vec<Option<Place>> = (0..results.len()).map(|i| Some(Place::Result(i))).collect();
    match &node.op {
        Op::Scan(_) => places = parts.drop_results(&used),
        Op::Cond(_) if used.contains(&true) => {
            for body in &mut parts.bodies {
                keep(&mut body.outputs, &used);
            }
            places = numbered(used.iter().map(|used| used.then_some(Place::Result(0))));
        }
        _ => {}
    }
    parts.constants(graph);
    parts.twins();
    if parts.looped {
        parts.hoist(graph);
    }
    parts.drop_params();
    let Parts { bodies, carries, slices, args, .. } = parts;
    let bodies: Vec<Body> = bodies.into_iter().map(Body::new).collect();
    let op = match (&node.op, node.op.with_bodies(bodies)) {
        (Op::Scan(old), Some(Op::Scan(new))) => {
            Scan { carries, slices, trips: old.trips.clone(), ..new }.into()
        }
        (_, Some(op)) => op,
        _ => return,
    };
    let operands: Vec<Operand> = node.operands[..first].iter().copied().chain(args).collect();
    if op == node.op && operands == node.operands.to_vec() {
        return;
    }
    let new = graph.emit_all(op, &operands);
    for (old, place) in results.into_iter().zip(places) {
        match place {
            Some(Place::Result(i)) => graph.replace(old, new[i]),
            Some(Place::Given(o)) => graph.replace(old, o),
            None => {}
        }
    }
}

#[derive(Clone, Copy)]
enum Place {
    Result(usize),
    Given(Operand),
}

/// Results in order have numbers in order.
fn numbered(places: impl Iterator<Item = Option<Place>>) -> Vec<Option<Place>> {
    let mut next = 0;
    places
        .map(|place| {
            place.map(|p| match p {
                Place::Result(_) => {
                    next += 1;
                    Place::Result(next - 1)
                }
                given => given,
            })
        })
        .collect()
}

fn keep<T>(list: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    list.retain(|_| *keep.next().unwrap_or(&true));
}

impl Parts {
    /// The parameters of a body.
    fn params(&self, body: usize) -> Vec<Operand> {
        self.bodies[body].inputs().iter().map(|n| Operand::from(*n)).collect()
    }

    /// Leaves out the results of a scan that nothing uses, and carries that only they need; a carry that no step
    /// changes becomes one of the other parameters. Says what becomes of the results.
    fn drop_results(&mut self, used: &[bool]) -> Vec<Option<Place>> {
        let params = self.params(0);
        let body = &mut self.bodies[0];
        let mut kept = used.to_vec();
        loop {
            let outputs: Vec<Operand> =
                body.outputs.iter().zip(&kept).filter(|(_, kept)| **kept).map(|((_, o), _)| *o).collect();
            let live = needed(body, &outputs);
            let more: Vec<usize> =
                (0..self.carries).filter(|i| !kept[*i] && live.contains(&params[*i].node)).collect();
            if more.is_empty() {
                break;
            }
            more.into_iter().for_each(|i| kept[i] = true);
        }
        let fixed: Vec<bool> =
            (0..kept.len()).map(|i| i < self.carries && kept[i] && body.outputs[i].1 == params[i]).collect();
        let places = numbered((0..kept.len()).map(|i| match (kept[i], fixed[i]) {
            (true, true) => Some(Place::Given(self.args[i])),
            (true, false) => Some(Place::Result(0)),
            (false, _) => None,
        }));
        let carried: Vec<usize> = (0..self.carries).filter(|i| kept[*i] && !fixed[*i]).collect();
        let rest = self.carries..self.carries + self.slices;
        let others = self.carries + self.slices..params.len();
        let moved = (0..self.carries).filter(|i| fixed[*i] || !kept[*i]);
        let order: Vec<usize> = carried.iter().copied().chain(rest).chain(others).chain(moved).collect();
        let stay: Vec<bool> = kept.iter().zip(&fixed).map(|(kept, fixed)| *kept && !*fixed).collect();
        keep(&mut body.outputs, &stay);
        body.remove_dead();
        body.order_inputs(&order);
        self.args = order.iter().map(|i| self.args[*i]).collect();
        self.carries = carried.len();
        places
    }

    /// Writes constants in the bodies, and repeats there what is repeated along the steps.
    fn constants(&mut self, graph: &Graph) {
        for i in self.carries..self.args.len() {
            let slice = i < self.carries + self.slices;
            let node = graph.node(self.args[i].node);
            match &node.op {
                Op::Fill(f) => {
                    let shape: Shape = f.shape.iter().skip(usize::from(slice)).cloned().collect();
                    for b in 0..self.bodies.len() {
                        let param = self.params(b)[i];
                        let fill = self.bodies[b].emit(Fill { value: f.value, shape: shape.clone() }, &[]);
                        self.bodies[b].replace(param, fill);
                    }
                }
                // The same in every step.
                Op::Broadcast(br) if slice && !br.axes.contains(&0) => {
                    let source = node.operands[0];
                    let axes: Axes = br.axes.iter().map(|a| a - 1).collect();
                    let shape: Shape = br.shape[1..].iter().cloned().collect();
                    let ty = graph.type_of(source).clone();
                    self.args.push(source);
                    for b in 0..self.bodies.len() {
                        let param = self.params(b)[i];
                        let body = &mut self.bodies[b];
                        let new = body.arg("w", ty.clone());
                        let new = if body.shape_of(new) == shape {
                            new
                        } else {
                            body.emit(Broadcast { shape: shape.clone(), axes: axes.clone() }, &[new])
                        };
                        body.replace(param, new);
                    }
                }
                _ => {}
            }
        }
    }

    /// One parameter for each value.
    fn twins(&mut self) {
        let slices = self.carries..self.carries + self.slices;
        for i in self.carries..self.args.len() {
            let first = (self.carries..i)
                .find(|j| self.args[*j] == self.args[i] && slices.contains(j) == slices.contains(&i));
            let Some(first) = first else { continue };
            for b in 0..self.bodies.len() {
                let params = self.params(b);
                self.bodies[b].replace(params[i], params[first]);
            }
        }
    }

    /// Computes outside what depends on nothing that a step changes.
    fn hoist(&mut self, graph: &mut Graph) {
        for b in 0..self.bodies.len() {
            let params = self.params(b);
            let changing = self.carries + self.slices;
            let mut fixed: FxHashSet<NodeId> = params[changing..].iter().map(|o| o.node).collect();
            let order = self.bodies[b].topological();
            for n in &order {
                let node = self.bodies[b].node(*n);
                let inner = matches!(node.op, Op::Input(_) | Op::Random(_)) || node.operands.is_empty();
                let all = node
                    .operands
                    .iter()
                    .all(|o| fixed.contains(&o.node) || is_constant(&self.bodies[b].node(o.node).op));
                if !inner && all {
                    fixed.insert(*n);
                }
            }
            // What of it steps read, through ops that are written again by their readers.
            let body = &self.bodies[b];
            let mut wanted: Vec<Operand> = vec![];
            let mut stack: Vec<Operand> = body.outputs.iter().map(|(_, o)| *o).collect();
            for n in order.iter().filter(|n| !fixed.contains(n)) {
                stack.extend(body.node(*n).operands.iter().copied());
            }
            while let Some(o) = stack.pop() {
                let node = body.node(o.node);
                if !fixed.contains(&o.node) || matches!(node.op, Op::Input(_)) || wanted.contains(&o) {
                    continue;
                }
                if matches!(node.op, Op::Broadcast(_) | Op::Reshape(_)) {
                    stack.extend(node.operands.iter().copied());
                } else if matches!(node.types[usize::from(o.port)], Type::Tensor(_)) {
                    wanted.push(o);
                }
            }
            wanted.sort_unstable();
            if wanted.is_empty() {
                continue;
            }
            let mut outside: FxHashMap<Operand, Operand> =
                params.iter().copied().zip(self.args.iter().copied()).collect();
            let nodes = needed(body, &wanted);
            let nodes: Vec<NodeId> = order.into_iter().filter(|n| nodes.contains(n)).collect();
            graph.copy(body, &nodes, &mut outside);
            for o in wanted {
                self.args.push(outside[&o]);
                let ty = graph.type_of(outside[&o]).clone();
                let mut own = None;
                for (i, body) in self.bodies.iter_mut().enumerate() {
                    let arg = body.arg("w", ty.clone());
                    if i == b {
                        own = Some(arg);
                    }
                }
                if let Some(own) = own {
                    self.bodies[b].replace(o, own);
                }
            }
        }
    }

    /// Leaves out parameters that no body needs.
    fn drop_params(&mut self) {
        let live: Vec<FxHashSet<NodeId>> = self.bodies.iter().map(crate::fuse::live_nodes).collect();
        let used = |parts: &Parts, i: usize| {
            (0..parts.bodies.len()).any(|b| live[b].contains(&parts.params(b)[i].node))
        };
        let order: Vec<usize> =
            (0..self.args.len()).filter(|i| *i < self.carries || used(self, *i)).collect();
        for body in &mut self.bodies {
            body.remove_dead();
            body.order_inputs(&order);
        }
        let slices = self.carries..self.carries + self.slices;
        self.slices = order.iter().filter(|i| slices.contains(i)).count();
        self.args = order.iter().map(|i| self.args[*i]).collect();
    }
}

fn is_constant(op: &Op) -> bool {
    matches!(op, Op::Fill(_) | Op::Size(_) | Op::Iota(_))
}

/// The nodes that values are computed from.
fn needed(graph: &Graph, values: &[Operand]) -> FxHashSet<NodeId> {
    let mut found = FxHashSet::default();
    let mut stack: Vec<NodeId> = values.iter().map(|o| o.node).collect();
    while let Some(n) = stack.pop() {
        if found.insert(n) {
            stack.extend(graph.node(n).operands.iter().map(|o| o.node));
        }
    }
    found
}
