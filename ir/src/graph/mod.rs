//! The graph of tensors: nodes are ops, operands are ordered, equal pure nodes are one node.
//!
//! The operand list stored in a node is the truth; petgraph's edges (producer to consumer, carrying the
//! port and the operand position) are kept equal to it by the few functions that change the graph, so that
//! petgraph's algorithms work. Pure nodes are hash-consed at insertion.

pub mod body;
pub mod build;
mod copy;
pub mod parse;
pub(crate) mod text;
pub mod verify;

use crate::diag::{Diag, Span};
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::ops::Op;
use crate::types::{CsrType, TensorType, Type};
pub use body::Body;
use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// A node of a graph.
pub type NodeId = NodeIndex<u32>;

/// One result of a node: what operands refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Operand {
    /// The producer.
    pub node: NodeId,
    /// Which of its results.
    pub port: u16,
}

/// A list of operands.
pub type Operands = SmallVec<[Operand; 4]>;

/// An op applied to operands.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it computes, with its attributes.
    pub op: Op,
    /// On what, in order.
    pub operands: Operands,
    /// The types of its results.
    pub types: SmallVec<[Type; 1]>,
    /// Where the user wrote it.
    pub span: Span,
}

/// An edge: port of the producer, position in the consumer's operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Port of the producer.
    pub port: u16,
    /// Position among the consumer's operands.
    pub position: u16,
}

/// What an input of a graph is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InputKind {
    /// Given with every run.
    Data,
    /// Kept between runs and trained.
    Param,
    /// Kept between runs: optimizer state, counters.
    State,
    /// A parameter of a body: what the op that runs the body gives it.
    Arg,
}

impl InputKind {
    /// The name in text.
    pub const fn name(self) -> &'static str {
        match self {
            InputKind::Data => "data",
            InputKind::Param => "param",
            InputKind::State => "state",
            InputKind::Arg => "arg",
        }
    }

    /// The kind with this name.
    pub fn parse(name: &str) -> Option<InputKind> {
        [InputKind::Data, InputKind::Param, InputKind::State, InputKind::Arg]
            .into_iter()
            .find(|k| k.name() == name)
    }
}

/// A whole program as a graph: inputs, named outputs, and new values for what is kept.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The program's name.
    pub name: String,
    g: StableDiGraph<Node, Edge>,
    pure: FxHashMap<(Op, Operands), NodeId>,
    /// Input nodes in the order of declaration.
    inputs: Vec<NodeId>,
    /// Named results.
    pub outputs: Vec<(String, Operand)>,
    /// New values of parameters and state, by the name of the input.
    pub updates: Vec<(String, Operand)>,
    /// The place that the functions of [`build`] give to what they add: that of the user's line whose
    /// derivative or expansion is being written.
    pub at: Option<Span>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Graph {
        Graph { name: name.into(), ..Graph::default() }
    }

    /// Adds a node, or finds the equal pure node. Fails with the op's own words where the operand types do
    /// not fit; both the node's place and the operands' places are labelled.
    pub fn add(&mut self, op: impl Into<Op>, operands: &[Operand], span: Span) -> Result<NodeId, Diag> {
        let op = op.into();
        let key = (op, Operands::from_slice(operands));
        if let Some(found) = self.pure.get(&key) {
            return Ok(*found);
        }
        let (op, operands) = key;
        let types = {
            let operand_types: Vec<Type> = operands.iter().map(|o| self.type_of(*o).clone()).collect();
            op.def().infer(&operand_types).map_err(|message| {
                let mut diag = Diag::new(message, span.clone(), format!("`{}` here", op.def().name()));
                for (o, t) in operands.iter().zip(&operand_types) {
                    diag = diag.label(self.node(o.node).span.clone(), format!("this is {t}"));
                }
                diag
            })?
        };
        let pure = op.def().is_pure();
        let id = self.g.add_node(Node { op: op.clone(), operands: operands.clone(), types, span });
        for (position, o) in operands.iter().enumerate() {
            self.g.add_edge(o.node, id, Edge { port: o.port, position: position as u16 });
        }
        if matches!(op, Op::Input(_)) {
            self.inputs.push(id);
        }
        if pure {
            self.pure.insert((op, operands), id);
        }
        Ok(id)
    }

    /// Adds a node with one result and gives that result.
    pub fn value(&mut self, op: impl Into<Op>, operands: &[Operand], span: Span) -> Result<Operand, Diag> {
        Ok(self.add(op, operands, span)?.into())
    }

    /// A constant tensor, every element the same.
    pub fn fill(&mut self, value: Literal, shape: impl IntoIterator<Item = Dim>) -> Operand {
        let op = crate::ops::fill::Fill { value, shape: shape.into_iter().collect() };
        // A fill has no operands, so nothing can fail to fit.
        match self.add(op, &[], Span::none()) {
            Ok(id) => id.into(),
            Err(d) => unreachable!("a constant fits anywhere: {d}"),
        }
    }

    /// A scalar f32 constant.
    pub fn constant_f32(&mut self, value: f64) -> Operand {
        self.fill(Literal::float(DType::F32, value), [])
    }

    /// The node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.g[id]
    }

    /// Whether the node is (still) there.
    pub fn contains(&self, id: NodeId) -> bool {
        self.g.contains_node(id)
    }

    /// The type of a result.
    pub fn type_of(&self, o: Operand) -> &Type {
        &self.g[o.node].types[usize::from(o.port)]
    }

    /// The tensor type of a result that is known to be a tensor.
    ///
    /// # Panics
    /// Where it is not one: a mistake of the caller, since types are checked at insertion.
    pub fn tensor(&self, o: Operand) -> &TensorType {
        match self.type_of(o) {
            Type::Tensor(t) => t,
            other => panic!("a tensor is expected, {other} found"),
        }
    }

    /// The CSR type of a result that is known to be a pattern.
    ///
    /// # Panics
    /// Where it is not one: a mistake of the caller, since types are checked at insertion.
    pub fn csr(&self, o: Operand) -> &CsrType {
        match self.type_of(o) {
            Type::Csr(t) => t,
            other => panic!("a CSR pattern is expected, {other} found"),
        }
    }

    /// The input nodes, in the order of declaration.
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// The input of this name.
    pub fn input(&self, name: &str) -> Option<NodeId> {
        self.inputs.iter().copied().find(|n| matches!(&self.g[*n].op, Op::Input(i) if i.name == name))
    }

    /// Every node, producers before consumers, deterministic: the order of insertion where operands allow.
    pub fn topological(&self) -> Vec<NodeId> {
        // Depth first over operands from nodes in order of insertion, so the order does not depend on
        // petgraph's adjacency lists.
        let mut done: Vec<bool> = vec![];
        let mut order = Vec::with_capacity(self.g.node_count());
        let bound = self.g.node_indices().map(|n| n.index() + 1).max().unwrap_or(0);
        done.resize(bound, false);
        let mut stack: Vec<(NodeId, usize)> = vec![];
        for root in self.g.node_indices() {
            if done[root.index()] {
                continue;
            }
            stack.push((root, 0));
            while let Some((n, next)) = stack.pop() {
                if done[n.index()] {
                    continue;
                }
                match self.g[n].operands.get(next) {
                    Some(o) => {
                        stack.push((n, next + 1));
                        if !done[o.node.index()] {
                            stack.push((o.node, 0));
                        }
                    }
                    None => {
                        done[n.index()] = true;
                        order.push(n);
                    }
                }
            }
        }
        order
    }

    /// Who uses a result: consumers and the operand position, in order of insertion.
    pub fn uses(&self, o: Operand) -> Vec<(NodeId, usize)> {
        let mut uses: Vec<(NodeId, usize)> = self
            .g
            .edges_directed(o.node, Direction::Outgoing)
            .filter(|e| e.weight().port == o.port)
            .map(|e| (e.target(), usize::from(e.weight().position)))
            .collect();
        uses.sort();
        uses
    }

    /// Every result that a program gives: outputs, then updates.
    pub fn results(&self) -> impl Iterator<Item = Operand> + '_ {
        self.outputs.iter().chain(&self.updates).map(|(_, o)| *o)
    }

    /// Makes every user of `old` (outputs and updates too) use `new` instead. `new` must not depend on
    /// `old`, except that uses by `new`'s own node are left alone.
    pub fn replace(&mut self, old: Operand, new: Operand) {
        if old == new {
            return;
        }
        for (user, position) in self.uses(old) {
            if user == new.node {
                continue;
            }
            self.redirect(user, position, new);
        }
        for (_, o) in self.outputs.iter_mut().chain(&mut self.updates) {
            if *o == old {
                *o = new;
            }
        }
    }

    /// Gives a node another operand, which has the type of the old one and does not depend on the node.
    pub(crate) fn redirect(&mut self, user: NodeId, position: usize, new: Operand) {
        let old = self.g[user].operands[position];
        self.forget(user);
        let edge = self
            .g
            .edges_directed(old.node, Direction::Outgoing)
            .find(|e| e.target() == user && usize::from(e.weight().position) == position)
            .map(|e| e.id());
        if let Some(edge) = edge {
            self.g.remove_edge(edge);
        }
        self.g[user].operands[position] = new;
        self.g.add_edge(new.node, user, Edge { port: new.port, position: position as u16 });
        self.remember(user);
    }

    fn forget(&mut self, n: NodeId) {
        let key = (self.g[n].op.clone(), self.g[n].operands.clone());
        if self.pure.get(&key) == Some(&n) {
            self.pure.remove(&key);
        }
    }

    fn remember(&mut self, n: NodeId) {
        if self.g[n].op.def().is_pure() {
            let key = (self.g[n].op.clone(), self.g[n].operands.clone());
            self.pure.entry(key).or_insert(n);
        }
    }

    /// Takes an input out of the graph that nothing uses.
    pub(crate) fn remove_input(&mut self, n: NodeId) {
        debug_assert!(self.g.edges_directed(n, Direction::Outgoing).next().is_none(), "an input in use");
        self.forget(n);
        self.inputs.retain(|i| *i != n);
        self.g.remove_node(n);
    }

    /// Removes nodes that no output and no update needs. Inputs stay. Gives how many went.
    pub fn remove_dead(&mut self) -> usize {
        let mut live: rustc_hash::FxHashSet<NodeId> = self.inputs.iter().copied().collect();
        let mut stack: Vec<NodeId> = self.results().map(|o| o.node).collect();
        while let Some(n) = stack.pop() {
            if live.insert(n) {
                stack.extend(self.g[n].operands.iter().map(|o| o.node));
            }
        }
        let dead: Vec<NodeId> = self.g.node_indices().filter(|n| !live.contains(n)).collect();
        for n in &dead {
            self.forget(*n);
            self.g.remove_node(*n);
        }
        dead.len()
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.g.node_count()
    }

    /// Whether it has no node.
    pub fn is_empty(&self) -> bool {
        self.g.node_count() == 0
    }

    /// The petgraph underneath, for its algorithms.
    pub fn petgraph(&self) -> &StableDiGraph<Node, Edge> {
        &self.g
    }
}

impl From<NodeId> for Operand {
    fn from(node: NodeId) -> Operand {
        Operand { node, port: 0 }
    }
}
