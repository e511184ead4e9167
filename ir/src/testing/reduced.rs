//! The smallest part of a program that still shows something.

use super::graphs::RandomGraph;
use crate::array::Value;
use crate::graph::{Graph, InputKind, NodeId, Operand};
use crate::interp::run_watched;
use crate::ops::Op;
use crate::ops::input::Input;
use crate::types::Type;
use std::collections::BTreeMap;

impl RandomGraph {
    /// A part of this program that `shows` what the whole shows: with fewer outputs and updates, and with values given in
    /// place of what computes them. Asks about once for each result and node.
    pub fn reduced(&self, shows: &mut dyn FnMut(&RandomGraph) -> bool) -> RandomGraph {
        let mut best = self.clone();
        for name in self.graph.outputs.iter().chain(&self.graph.updates).map(|(name, _)| name) {
            let mut less = best.clone();
            less.graph.outputs.retain(|(n, _)| n != name);
            less.graph.updates.retain(|(n, _)| n != name);
            keep_if(&mut best, less, shows);
        }
        // From the results towards the inputs, so that what is cut off is cut off whole.
        for node in self.graph.topological().into_iter().rev() {
            if let Some(less) = given_instead(&best, node) {
                keep_if(&mut best, less, shows);
            }
        }
        best
    }
}

fn keep_if(best: &mut RandomGraph, mut less: RandomGraph, shows: &mut dyn FnMut(&RandomGraph) -> bool) {
    if less.graph.results().next().is_none() {
        return;
    }
    less.graph.remove_dead();
    without_idle_inputs(&mut less);
    if shows(&less) {
        *best = less;
    }
}

/// The program with the results of a node as inputs; `None` where it is one, or gives what cannot be given.
fn given_instead(whole: &RandomGraph, node: NodeId) -> Option<RandomGraph> {
    if !whole.graph.contains(node) || matches!(whole.graph.node(node).op, Op::Input(_)) {
        return None;
    }
    let mut found: Option<Vec<Value>> = None;
    let given = |name: &str| whole.input(name);
    run_watched(&whole.graph, &given, &mut |graph, at, _, results, _| {
        // Bodies have nodes of their own with the same numbers.
        if at == node
            && std::ptr::eq(graph, &whole.graph)
            && let Some(results) = results
        {
            found = Some(results.to_vec());
        }
        Ok(())
    })
    .ok()?;
    let mut less = whole.clone();
    for (port, value) in found?.into_iter().enumerate() {
        let old = Operand { node, port: port as u16 };
        let ty = less.graph.type_of(old).clone();
        if !matches!((&ty, &value), (Type::Tensor(_), Value::Tensor(_))) {
            return None;
        }
        let name = format!("v{}", less.inputs.len());
        let new = less.graph.emit(Input { name: name.clone(), kind: InputKind::Data, ty }, &[]);
        less.graph.replace(old, new);
        less.inputs.push((name, value));
    }
    Some(less)
}

/// Takes away inputs that nothing reads, but for those that a size is known by and those that are updated.
fn without_idle_inputs(program: &mut RandomGraph) {
    let fewer_of = |graph: &Graph| {
        let mut fewer = Graph::new(graph.name.clone());
        let mut same: BTreeMap<Operand, Operand> = BTreeMap::new();
        let updated = |name: &str| graph.updates.iter().any(|(n, _)| n == name);
        for node in graph.topological() {
            let n = graph.node(node);
            let results = 0..n.types.len();
            if let Op::Input(i) = &n.op {
                let read = results.clone().any(|p| {
                    let o = Operand { node, port: p as u16 };
                    !graph.uses(o).is_empty() || graph.results().any(|r| r == o)
                });
                if !read && !updated(&i.name) {
                    continue;
                }
            }
            let operands: Vec<Operand> = n.operands.iter().map(|o| same[o]).collect();
            let new = fewer.emit_all(n.op.clone(), &operands);
            same.extend(results.zip(new).map(|(p, o)| (Operand { node, port: p as u16 }, o)));
        }
        let moved = |list: &[(String, Operand)]| list.iter().map(|(n, o)| (n.clone(), same[o])).collect();
        fewer.outputs = moved(&graph.outputs);
        fewer.updates = moved(&graph.updates);
        fewer
    };
    let graph = fewer_of(&program.graph);
    let inputs: Vec<_> = program.inputs.iter().filter(|(n, _)| graph.input(n).is_some()).cloned().collect();
    let fewer = RandomGraph { graph, inputs };
    // An input that only says how large something is stays.
    if fewer.run().is_ok() || program.run().is_err() {
        *program = fewer;
    }
}
