//! The text form of graphs. What it prints, [`parse`](super::parse::parse) reads back.
//!
//! ```text
//! graph step {
//!   dim batch: 1..=8192
//!
//!   data user: i32[batch]
//!   param nodes: f32[100, 64]
//!
//!   %0 = gather_rows(nodes, user) : f32[batch, 64]
//!   %1 = reduce(%0) {op = sum, axes = [0, 1]} : f32[]
//!
//!   output loss = %1
//! }
//! ```
//!
//! Inputs go by name, other values by number in the order of the text, which puts producers first. The types
//! after `:` may be left out when writing by hand; where they stand they must be the inferred ones. Equal
//! pure nodes are one node after reading.

use super::{Graph, NodeId, Operand};
use crate::dim::{Dim, Symbol};
use crate::dtype::DType;
use crate::ops::{Attr, Op};
use crate::text::{float_text, name_text, quoted, value_text};
use crate::types::{Type, shape_text};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The sizes in a type.
pub(super) fn dims_of(ty: &Type) -> Vec<&Dim> {
    match ty {
        Type::Tensor(t) => t.shape.iter().collect(),
        Type::Csr(c) => vec![&c.rows, &c.cols, &c.nnz],
        Type::RowSparse(r) => r.shape.iter().chain([&r.count]).collect(),
    }
}

/// The symbols of a graph: all ranges that each name has (a well-formed graph has one).
pub(crate) fn symbols(graph: &Graph) -> BTreeMap<String, BTreeSet<Arc<Symbol>>> {
    let mut all: BTreeMap<String, BTreeSet<Arc<Symbol>>> = BTreeMap::new();
    let mut add = |s: Arc<Symbol>| {
        all.entry(s.name.clone()).or_default().insert(s);
    };
    for id in graph.petgraph().node_indices() {
        let node = graph.node(id);
        node.types.iter().flat_map(dims_of).flat_map(Dim::symbols).for_each(&mut add);
        for (_, attr) in node.op.def().attrs() {
            match attr {
                Attr::Dims(dims) => dims.iter().flat_map(Dim::symbols).for_each(&mut add),
                Attr::Type(ty) => dims_of(&ty).into_iter().flat_map(Dim::symbols).for_each(&mut add),
                Attr::Body(body) => symbols(body.graph()).into_values().flatten().for_each(&mut add),
                _ => {}
            }
        }
    }
    all
}

/// An attribute as text. The lines of a body stand two columns further in than `margin`, which is that of the node.
fn attr_text(attr: &Attr, margin: &str) -> String {
    match attr {
        Attr::Body(body) => {
            let lines = body.text().lines().map(|l| match l {
                "" => "\n".to_owned(),
                l => format!("{margin}{l}\n"),
            });
            format!("{{\n{}{margin}}}", lines.collect::<String>())
        }
        Attr::Int(i) => i.to_string(),
        Attr::Float(f) => float_text(DType::F64, *f),
        Attr::Word(w) => w.clone(),
        Attr::Ints(i) => format!("{i:?}"),
        Attr::Dims(d) => shape_text(d),
        Attr::Type(t) => t.to_string(),
        Attr::Text(t) => quoted(t),
        Attr::Literal(l) if l.dtype() == DType::Bool => value_text(*l),
        Attr::Literal(l) => format!("{}:{}", value_text(*l), l.dtype()),
    }
}

/// The values' names in the text.
pub(crate) struct Names<'g> {
    graph: &'g Graph,
    numbers: FxHashMap<NodeId, usize>,
}

impl<'g> Names<'g> {
    /// Numbers for what is no input, in the order of the text.
    pub(crate) fn new(graph: &'g Graph) -> Names<'g> {
        let mut names = Names { graph, numbers: FxHashMap::default() };
        let mut next = 0;
        for n in graph.topological() {
            if !matches!(graph.node(n).op, Op::Input(_)) {
                names.numbers.insert(n, next);
                next += graph.node(n).types.len();
            }
        }
        names
    }

    /// The name of a value.
    pub(crate) fn of(&self, o: Operand) -> String {
        match self.numbers.get(&o.node) {
            Some(first) => format!("%{}", first + usize::from(o.port)),
            None => match self.graph.petgraph().node_weight(o.node).map(|n| &n.op) {
                Some(Op::Input(i)) => name_text(&i.name),
                _ => "%?".to_owned(),
            },
        }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "graph {} {{\n{}}}\n", name_text(&self.name), self.lines_text(""))
    }
}

impl Graph {
    /// The lines between the braces, each with `margin` and two columns before it.
    pub(crate) fn lines_text(&self, margin: &str) -> String {
        // Between parts that have something in them there is an empty line.
        let mut parts: Vec<Vec<String>> = vec![];
        let dim = |s: &Arc<Symbol>| format!("dim {}: {}..={}", name_text(&s.name), s.lo, s.hi);
        parts.push(symbols(self).values().flatten().map(dim).collect());

        let input = |n: &NodeId| match &self.node(*n).op {
            Op::Input(i) => format!("{} {}: {}", i.kind.name(), name_text(&i.name), i.ty),
            other => format!("# {} among the inputs", other.def().name()),
        };
        parts.push(self.inputs().iter().map(input).collect());

        let order = self.topological();
        let names = Names::new(self);
        let own = format!("{margin}  ");
        let node = |n: &NodeId| {
            let node = self.node(*n);
            let results: Vec<String> =
                (0..node.types.len()).map(|p| names.of(Operand { node: *n, port: p as u16 })).collect();
            let operands: Vec<String> = node.operands.iter().map(|o| names.of(*o)).collect();
            let attrs = node.op.def().attrs();
            let attrs: Vec<String> =
                attrs.iter().map(|(name, a)| format!("{name} = {}", attr_text(a, &own))).collect();
            let attrs = if attrs.is_empty() { String::new() } else { format!(" {{{}}}", attrs.join(", ")) };
            let types: Vec<String> = node.types.iter().map(ToString::to_string).collect();
            format!(
                "{} = {}({}){attrs} : {}",
                results.join(", "),
                node.op.def().name(),
                operands.join(", "),
                types.join(", ")
            )
        };
        parts.push(order.iter().filter(|n| names.numbers.contains_key(n)).map(node).collect());

        let mut results = vec![];
        for (word, list) in [("output", &self.outputs), ("update", &self.updates)] {
            results.extend(
                list.iter().map(|(name, o)| format!("{word} {} = {}", name_text(name), names.of(*o))),
            );
        }
        parts.push(results);
        let parts = parts.into_iter().filter(|p| !p.is_empty());
        let parts: Vec<String> = parts.map(|p| p.iter().map(|l| format!("{own}{l}\n")).collect()).collect();
        parts.join("\n")
    }
}
