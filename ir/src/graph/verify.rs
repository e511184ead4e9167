//! The rules of graphs, checked: for what passes make of them.

use super::text::symbols;
use super::{Graph, InputKind, NodeId, Operand};
use crate::diag::{Diag, Span};
use crate::ops::Op;
use crate::text::is_word;
use crate::types::Type;
use petgraph::Direction;
use petgraph::visit::EdgeRef;
use std::collections::BTreeMap;

/// Checks a graph: operands exist and equal the edges, nothing depends on itself, types are the inferred
/// ones, inputs have names of their own, outputs exist, updates are of what is kept and have its type, sizes
/// have one range each.
///
/// # Errors
/// Every broken rule that was found, at the user's places where the nodes have them. Types are only judged
/// where operands and order are sound.
pub fn verify(graph: &Graph) -> Result<(), Vec<Diag>> {
    verify_as(graph, false)
}

fn verify_as(graph: &Graph, body: bool) -> Result<(), Vec<Diag>> {
    let mut v = Verifier { graph, body, errors: vec![] };
    v.edges();
    if v.errors.is_empty() {
        v.order();
    }
    if v.errors.is_empty() {
        v.types();
    }
    v.inputs();
    v.results();
    v.sizes();
    v.bodies();
    if v.errors.is_empty() { Ok(()) } else { Err(v.errors) }
}

struct Verifier<'g> {
    graph: &'g Graph,
    /// Whether it is a body: parameters of the kind `arg`, and no others.
    body: bool,
    errors: Vec<Diag>,
}

impl Verifier<'_> {
    fn fail(&mut self, message: String, span: Span, label: &str) {
        self.errors.push(Diag::new(message, span, label));
    }

    /// The type of a result, where it exists.
    fn type_of(&self, o: Operand) -> Option<&Type> {
        self.graph.g.node_weight(o.node)?.types.get(usize::from(o.port))
    }

    /// The operand lists against petgraph's edges.
    fn edges(&mut self) {
        let g = &self.graph.g;
        for id in g.node_indices() {
            let node = &g[id];
            let name = node.op.def().name();
            let mut edges: Vec<(u16, NodeId, u16)> = g
                .edges_directed(id, Direction::Incoming)
                .map(|e| (e.weight().position, e.source(), e.weight().port))
                .collect();
            edges.sort();
            let operands = node.operands.iter().enumerate();
            let listed: Vec<(u16, NodeId, u16)> = operands.map(|(i, o)| (i as u16, o.node, o.port)).collect();
            if edges != listed {
                let message = format!(
                    "the edges into `{name}` are {edges:?}, its operands {listed:?} (position, producer, result)"
                );
                self.fail(message, node.span.clone(), "this node");
            }
            for (i, o) in node.operands.iter().enumerate() {
                if self.type_of(*o).is_none() {
                    let message = format!("operand {i} of `{name}` does not exist");
                    self.fail(message, node.span.clone(), "this node");
                }
            }
        }
    }

    /// Nothing may depend on itself.
    fn order(&mut self) {
        if let Err(cycle) = petgraph::algo::toposort(&self.graph.g, None) {
            let node = &self.graph.g[cycle.node_id()];
            let message = format!("`{}` depends on itself", node.op.def().name());
            self.fail(message, node.span.clone(), "this node");
        }
    }

    fn types(&mut self) {
        let g = &self.graph.g;
        for id in g.node_indices() {
            let node = &g[id];
            let operands: Vec<Type> =
                node.operands.iter().filter_map(|o| self.type_of(*o).cloned()).collect();
            let name = node.op.def().name();
            match node.op.def().infer(&operands) {
                Ok(inferred) if inferred == node.types => {}
                Ok(inferred) => {
                    let message = format!(
                        "`{name}` has the types {}, inferred are {}",
                        list(&node.types),
                        list(&inferred)
                    );
                    self.fail(message, node.span.clone(), "this node");
                }
                Err(message) => self.fail(message, node.span.clone(), "this node"),
            }
        }
    }

    fn inputs(&mut self) {
        let g = &self.graph.g;
        let mut listed: Vec<NodeId> = self.graph.inputs.clone();
        listed.sort();
        let found: Vec<NodeId> = g.node_indices().filter(|n| matches!(g[*n].op, Op::Input(_))).collect();
        if listed != found {
            self.fail(
                format!("the list of inputs is {listed:?}, the inputs are {found:?}"),
                Span::none(),
                "the graph",
            );
        }
        let mut places: BTreeMap<&str, Span> = BTreeMap::new();
        for id in found {
            let Op::Input(i) = &g[id].op else { continue };
            let span = g[id].span.clone();
            if (i.kind == InputKind::Arg) != self.body {
                let message = match self.body {
                    true => format!(
                        "a body has the {} `{}`; its inputs are of the kind `arg`",
                        i.kind.name(),
                        i.name
                    ),
                    false => format!("`{}` is the parameter of a body, and stands outside of one", i.name),
                };
                self.errors.push(Diag::new(message, span.clone(), "declared here"));
            }
            if let Some(first) = places.insert(&i.name, span.clone()) {
                let diag = Diag::new(format!("two inputs are named `{}`", i.name), span, "the second");
                self.errors.push(diag.label(first, "the first"));
            }
        }
    }

    fn results(&mut self) {
        for (word, list) in [("output", &self.graph.outputs), ("update", &self.graph.updates)] {
            for (i, (name, value)) in list.iter().enumerate() {
                let span = self.graph.g.node_weight(value.node).map_or_else(Span::none, |n| n.span.clone());
                if list[..i].iter().any(|(n, _)| n == name) {
                    self.fail(format!("two {word}s are named `{name}`"), span.clone(), "the second");
                }
                let Some(ty) = self.type_of(*value).cloned() else {
                    self.fail(format!("the value of {word} `{name}` does not exist"), span, "the graph");
                    continue;
                };
                if word == "update" {
                    self.update(name, &ty, span);
                }
            }
        }
    }

    fn update(&mut self, name: &str, ty: &Type, span: Span) {
        let input = self.graph.input(name).map(|n| &self.graph.g[n]);
        let Some((Op::Input(input), declared)) = input.map(|n| (&n.op, n.span.clone())) else {
            return self.fail(format!("there is no input `{name}` to update"), span, "its new value");
        };
        if input.kind == InputKind::Data {
            let message = format!("`{name}` is given with every run and cannot be updated");
            self.errors.push(Diag::new(message, span, "its new value").label(declared, "declared here"));
        } else if input.ty != *ty {
            let message = format!("`{name}` is {}, its new value {ty}", input.ty);
            self.errors.push(Diag::new(message, span, "its new value").label(declared, "declared here"));
        }
    }

    fn bodies(&mut self) {
        for id in self.graph.g.node_indices() {
            for body in self.graph.g[id].op.def().bodies() {
                self.errors.extend(verify_as(body.graph(), true).err().into_iter().flatten());
            }
        }
    }

    fn sizes(&mut self) {
        for (name, ranges) in symbols(self.graph) {
            if !is_word(&name) {
                self.fail(
                    format!("size {name:?} is not named with letters, digits and `_`"),
                    Span::none(),
                    "the graph",
                );
            }
            if ranges.len() > 1 {
                let ranges: Vec<String> = ranges.iter().map(|s| format!("{}..={}", s.lo, s.hi)).collect();
                self.fail(
                    format!("size `{name}` has the ranges {}", ranges.join(" and ")),
                    Span::none(),
                    "the graph",
                );
            }
        }
    }
}

fn list(types: &[Type]) -> String {
    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use crate::graph::parse::parse;

    fn graph() -> Graph {
        let text = "graph t {
            param x: f32[4]
            %0 = neg(x)
            %1 = exp(%0)
            output y = %1
            update x = %0
        }";
        parse("t", text).unwrap()
    }

    fn found(graph: &Graph) -> Vec<String> {
        verify(graph).err().unwrap_or_default().into_iter().map(|d| d.message).collect()
    }

    #[test]
    fn sound_graphs_pass() {
        assert_eq!(found(&graph()), [] as [String; 0]);
    }

    #[test]
    fn edges_that_are_not_the_operands() {
        let mut g = graph();
        let edge = g.g.edge_indices().next().unwrap();
        g.g.remove_edge(edge);
        assert!(
            found(&g)[0].starts_with("the edges into `neg` are [], its operands [(0,"),
            "{:?}",
            found(&g)
        );
    }

    #[test]
    fn operands_that_are_gone() {
        let mut g = graph();
        let neg = g.outputs[0].1.node;
        g.g.remove_node(neg);
        assert_eq!(found(&g), ["the value of output `y` does not exist"]);
    }

    #[test]
    fn cycles() {
        let mut g = graph();
        let (y, x) = (g.outputs[0].1, g.inputs[0]);
        let neg = g.node(y.node).operands[0];
        // What `replace` must not be given: the new value depends on the old one.
        let abs = g.emit(crate::ops::elementwise::Elementwise { op: crate::scalar::ScalarOp::Abs }, &[y]);
        g.replace(neg, abs);
        assert_eq!(found(&g)[0].split(' ').skip(1).collect::<Vec<_>>(), ["depends", "on", "itself"]);
        assert!(g.contains(x));
    }

    #[test]
    fn types_that_are_not_inferred() {
        let mut g = graph();
        let y = g.outputs[0].1.node;
        g.g[y].types[0] = Type::scalar(DType::F32);
        assert_eq!(found(&g), ["`exp` has the types f32[], inferred are f32[4]"]);
    }

    #[test]
    fn inputs_results_and_sizes() {
        let mut g = graph();
        let x = Operand::from(g.inputs[0]);
        let sum = g.reduce(crate::scalar::ReduceOp::Sum, x, crate::ops::Axes::from_slice(&[0]));
        g.updates.push(("x".into(), sum));
        g.updates.push(("z".into(), sum));
        for hi in [5, 6] {
            let dim = crate::dim::Dim::symbol("n", 1, hi);
            g.fill(crate::dtype::Literal::zero(DType::F32), [dim]);
        }
        assert_eq!(
            found(&g),
            [
                "two updates are named `x`",
                "`x` is f32[4], its new value f32[]",
                "there is no input `z` to update",
                "size `n` has the ranges 1..=5 and 1..=6",
            ]
        );
    }
}
