//! Bodies: graphs that an op runs, several times or only sometimes.
//!
//! A body is a function. Its inputs, all of kind [`InputKind::Arg`], are its parameters in the order of their
//! declaration, and its outputs are its results in order. It sees no value of the graph around it: what it uses of
//! that is a parameter, and an operand of the op that runs it.

use super::{Graph, InputKind, NodeId, Operand};
use crate::diag::Span;
use crate::dim::Dim;
use crate::ops::Op;
use crate::ops::input::Input;
use crate::types::Type;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A graph as an attribute of an op. Bodies with the same text are equal, so that equal ops are one node.
#[derive(Clone)]
pub struct Body(Arc<Inner>);

struct Inner {
    graph: Graph,
    text: String,
}

impl Body {
    /// A graph as a body. What its results do not need is left out, and its parameters stay.
    pub fn new(mut graph: Graph) -> Body {
        graph.remove_dead();
        graph.name.clear();
        let text = graph.lines_text("");
        Body(Arc::new(Inner { graph, text }))
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.0.graph
    }

    /// Its lines, as they stand in the text of the op.
    pub(crate) fn text(&self) -> &str {
        &self.0.text
    }

    /// The types of its parameters.
    pub fn params(&self) -> Vec<Type> {
        let graph = self.graph();
        graph.inputs.iter().map(|n| graph.node(*n).types[0].clone()).collect()
    }

    /// The types of its results.
    pub fn results(&self) -> Vec<Type> {
        let graph = self.graph();
        graph.outputs.iter().map(|(_, o)| graph.type_of(*o).clone()).collect()
    }

    /// Floating-point operations of one run.
    pub fn flops(&self) -> Dim {
        let graph = self.graph();
        graph.topological().into_iter().fold(Dim::constant(0), |sum, n| {
            let node = graph.node(n);
            let operands: Vec<Type> = node.operands.iter().map(|o| graph.type_of(*o).clone()).collect();
            &sum + &node.op.def().cost(&operands, &node.types).flops
        })
    }

    /// Which parameters a result needs.
    pub fn used(&self) -> Vec<bool> {
        let graph = self.graph();
        let live = crate::fuse::live_nodes(graph);
        graph.inputs.iter().map(|n| live.contains(n)).collect()
    }

    /// The same body with some of its results alone.
    pub fn giving(&self, results: std::ops::Range<usize>) -> Body {
        let mut graph = self.graph().clone();
        graph.outputs = graph.outputs[results].to_vec();
        Body::new(graph)
    }

    /// The same body with some of its parameters alone. The others must be those that no result needs.
    pub fn keeping(&self, keep: &[bool]) -> Body {
        let mut graph = self.graph().clone();
        let inputs = graph.inputs.clone();
        for (n, _) in inputs.iter().zip(keep).filter(|(_, keep)| !**keep) {
            graph.remove_input(*n);
        }
        Body::new(graph)
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.text == other.0.text
    }
}

impl Eq for Body {}

impl Hash for Body {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\n{}}}", self.text())
    }
}

impl Graph {
    /// Adds a parameter to a graph that becomes a body. One whose name is taken gets another.
    pub fn arg(&mut self, name: &str, ty: Type) -> Operand {
        let mut unique = name.to_owned();
        let mut n = 0;
        while self.input(&unique).is_some() {
            n += 1;
            unique = format!("{name}_{n}");
        }
        self.emit(Input { name: unique, kind: InputKind::Arg, ty }, &[])
    }

    /// Writes a body into a graph: its results for these arguments, which have the types of its parameters.
    pub fn write(&mut self, body: &Body, args: &[Operand]) -> Vec<Operand> {
        let from = body.graph();
        let mut to: FxHashMap<Operand, Operand> =
            from.inputs.iter().map(|n| Operand::from(*n)).zip(args.iter().copied()).collect();
        let before = self.at.clone();
        self.copy(from, &from.topological(), &mut to);
        self.at = before;
        from.outputs.iter().map(|(_, o)| to[o]).collect()
    }

    /// Copies nodes of another graph, in an order in which producers come first. `to` says what stands here for the
    /// values of that graph, and learns what the copies are.
    pub(crate) fn copy(&mut self, from: &Graph, nodes: &[NodeId], to: &mut FxHashMap<Operand, Operand>) {
        for &n in nodes {
            let node = from.node(n);
            if to.contains_key(&Operand::from(n)) {
                continue;
            }
            if node.span.is_known() {
                self.at = Some(node.span.clone());
            }
            let operands: Vec<Operand> = node.operands.iter().map(|o| to[o]).collect();
            for (port, new) in self.emit_all(node.op.clone(), &operands).into_iter().enumerate() {
                to.insert(Operand { node: n, port: port as u16 }, new);
            }
        }
    }

    /// A part of this graph as a body: what `results` are computed from, as far as `inside` says of a node that it
    /// belongs to the body. `params`, which are nodes of kind [`InputKind::Arg`], become the first parameters; every
    /// value from outside that the body uses becomes one more. Gives the body and those values, in order.
    pub fn outline(
        &self,
        params: &[Operand],
        results: &[Operand],
        inside: &dyn Fn(NodeId) -> bool,
    ) -> (Body, Vec<Operand>) {
        let mut body = Graph::new("");
        let mut to: FxHashMap<Operand, Operand> = FxHashMap::default();
        for (i, p) in params.iter().enumerate() {
            let name = match &self.node(p.node).op {
                Op::Input(input) => input.name.trim().to_owned(),
                _ => format!("p{i}"),
            };
            body.at = Some(self.node(p.node).span.clone()).filter(Span::is_known);
            let arg = body.arg(&name, self.type_of(*p).clone());
            to.insert(*p, arg);
        }
        // What is inside, and what of the outside it reads, in the order of the graph.
        let mut members: FxHashSet<NodeId> = FxHashSet::default();
        let mut captured: Vec<Operand> = vec![];
        let mut stack: Vec<Operand> = results.to_vec();
        let mut seen: FxHashSet<Operand> = params.iter().copied().collect();
        while let Some(o) = stack.pop() {
            if !seen.insert(o) {
                continue;
            }
            if inside(o.node) && !matches!(self.node(o.node).op, Op::Input(_)) {
                members.insert(o.node);
                stack.extend(self.node(o.node).operands.iter().copied());
            } else {
                captured.push(o);
            }
        }
        let order = self.topological();
        let position: FxHashMap<NodeId, usize> = order.iter().enumerate().map(|(i, n)| (*n, i)).collect();
        captured.sort_by_key(|o| (position[&o.node], o.port));
        for o in &captured {
            let name = match &self.node(o.node).op {
                Op::Input(input) => input.name.trim().to_owned(),
                op => op.def().name().to_owned(),
            };
            body.at = Some(self.node(o.node).span.clone()).filter(Span::is_known);
            let arg = body.arg(&name, self.type_of(*o).clone());
            to.insert(*o, arg);
        }
        let members: Vec<NodeId> = order.into_iter().filter(|n| members.contains(n)).collect();
        body.copy(self, &members, &mut to);
        body.at = None;
        body.outputs = results.iter().enumerate().map(|(i, o)| (format!("r{i}"), to[o])).collect();
        (Body::new(body), captured)
    }

    /// The inputs at these positions, in this order; the others must be those that nothing needs.
    pub(crate) fn order_inputs(&mut self, order: &[usize]) {
        let all = self.inputs.clone();
        for (_, n) in all.iter().enumerate().filter(|(i, _)| !order.contains(i)) {
            self.remove_input(*n);
        }
        self.inputs = order.iter().map(|i| all[*i]).collect();
    }

    /// The nodes that depend on some values.
    pub fn dependent(&self, on: &[Operand]) -> FxHashSet<NodeId> {
        let mut found: FxHashSet<NodeId> = on.iter().map(|o| o.node).collect();
        for n in self.topological() {
            if self.node(n).operands.iter().any(|o| found.contains(&o.node)) {
                found.insert(n);
            }
        }
        found
    }

    /// Removes nodes and what depends on them; nothing that is left may need it.
    pub fn discard(&mut self, nodes: &[NodeId]) {
        let values: Vec<Operand> = nodes.iter().map(|n| Operand::from(*n)).collect();
        let all = self.dependent(&values);
        for n in self.topological().into_iter().rev().filter(|n| all.contains(n)) {
            self.remove_input(n);
        }
    }

    /// Runs a pass on every body of this graph, bodies within them first.
    ///
    /// # Errors
    /// Those of the pass.
    pub fn each_body<E>(&mut self, f: &mut dyn FnMut(&mut Graph) -> Result<(), E>) -> Result<(), E> {
        let mut changed = false;
        for n in self.topological() {
            let node = self.node(n).clone();
            let bodies = node.op.def().bodies();
            if bodies.is_empty() {
                continue;
            }
            let mut new = vec![];
            for body in &bodies {
                let mut graph = body.graph().clone();
                graph.each_body(f)?;
                f(&mut graph)?;
                new.push(Body::new(graph));
            }
            if new.iter().eq(bodies.iter().copied()) {
                continue;
            }
            let Some(op) = node.op.with_bodies(new) else { continue };
            changed = true;
            let before = self.at.replace(node.span.clone());
            let results = self.emit_all(op, &node.operands);
            self.at = before;
            for (port, new) in results.into_iter().enumerate() {
                self.replace(Operand { node: n, port: port as u16 }, new);
            }
        }
        if changed {
            self.remove_dead();
        }
        Ok(())
    }
}
