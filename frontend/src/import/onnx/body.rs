//! Graphs within graphs as bodies of ops: they are written once, on values that stand for what a step is given, and
//! what depends on these becomes the body.

use super::cx::R;
use super::error::Fault;
use super::import::Importer;
use super::node::{T, Val};
use latentc_ir::dim::Dim;
use latentc_ir::graph::{Graph, InputKind, NodeId, Operand};
use latentc_ir::ops::Op;
use latentc_ir::ops::cond::Cond;
use latentc_ir::ops::input::Input;
use latentc_ir::ops::scan::Scan;
use latentc_ir::ops::while_loop::While;
use latentc_ir::types::Type;
use std::collections::HashSet;

/// What the values of a loop go through.
pub(super) struct Loop<'a> {
    /// How many steps.
    pub trips: Dim,
    /// Whether the last position comes first.
    pub reverse: bool,
    /// What is carried, at the beginning.
    pub begin: &'a [Operand],
    /// What is read along axis 0, step by step.
    pub along: &'a [Operand],
}

impl Importer<'_> {
    /// Writes something that may turn out not to be possible: then everything is as before, and there is `None`.
    pub fn attempt<X>(&mut self, f: impl FnOnce(&mut Self) -> R<X>) -> Option<X> {
        let (graph, used) = (self.graph.clone(), self.used.clone());
        let params: HashSet<String> = self.params.keys().cloned().collect();
        let state = self.mark();
        match f(self) {
            Ok(x) if self.mark().noted == state.noted => Some(x),
            _ => {
                self.back_to(state);
                self.params.retain(|name, _| params.contains(name));
                self.folded.retain(|n, _| graph.contains(*n));
                self.graph = graph;
                self.used = used;
                None
            }
        }
    }

    /// A value that stands for what a step is given.
    fn stand_in(&mut self, ty: Type) -> R {
        // No name in the text of a graph that comes from a file begins with a space and this word.
        let name = format!(" step {}", self.graph.inputs().len());
        let span = self.span.clone();
        let node = self.graph.add(Input { name, kind: InputKind::Arg, ty }, &[], span)?;
        self.stand_ins.push(node);
        Ok(node.into())
    }

    /// A loop as one op. `step` writes a step, from what is carried and what is read at its position; it gives what is
    /// carried next and what the step leaves. Gives what was carried last, and what the steps left along a new axis 0.
    pub fn scan(
        &mut self,
        how: &Loop<'_>,
        step: impl FnOnce(&mut Self, &[Operand], &[Operand]) -> R<Vec<Operand>>,
    ) -> R<Vec<Operand>> {
        let mut given = vec![];
        for o in how.begin {
            let ty = self.graph.type_of(*o).clone();
            given.push(self.stand_in(ty)?);
        }
        for o in how.along {
            let t = self.graph.tensor(*o).clone();
            given.push(self.stand_in(Type::tensor(t.dtype, t.shape[1..].iter().cloned()))?);
        }
        let (carried, read) = given.split_at(how.begin.len());
        let results = step(self, carried, read)?;
        let (body, captured) = self.graph.outline(&given, &results, &inside(&self.graph, &given));
        let op = Scan {
            trips: how.trips.clone(),
            carries: how.begin.len(),
            slices: how.along.len(),
            reverse: how.reverse,
            checkpoint: 0,
            body,
        };
        let operands = [how.begin, how.along, &captured].concat();
        self.op_all(op, &operands)
    }

    /// A loop that goes on while a truth value holds, which `step` gives first, before what is carried next; `going` is
    /// that of the first step. It has `limit` steps at most.
    pub fn while_(
        &mut self,
        limit: i64,
        going: Operand,
        begin: &[Operand],
        step: impl FnOnce(&mut Self, Operand, &[Operand]) -> R<Vec<Operand>>,
    ) -> R<Vec<Operand>> {
        let begin = [&[going], begin].concat();
        let mut given = vec![];
        for o in &begin {
            let ty = self.graph.type_of(*o).clone();
            given.push(self.stand_in(ty)?);
        }
        let results = step(self, given[0], &given[1..])?;
        let all = [&[given[0]], results.as_slice()].concat();
        let (both, captured) = self.graph.outline(&given, &all, &inside(&self.graph, &given));
        let op = While {
            limit: Dim::constant(limit),
            carries: begin.len(),
            test: both.giving(0..1),
            body: both.giving(1..all.len()),
        };
        let mut last = self.op_all(op, &[begin, captured].concat())?;
        last.remove(0);
        Ok(last)
    }

    /// A choice between two graphs as one op, where both give tensors of the same types.
    pub fn choice(&mut self, which: Operand, branches: [&super::proto::GraphProto; 2]) -> R<Vec<Val>> {
        let which = self.reshape(which, latentc_ir::types::Shape::new())?;
        let before: HashSet<NodeId> = self.graph.petgraph().node_indices().collect();
        let mut results: Vec<Operand> = vec![];
        let mut elems = vec![];
        let mut count = [0, 0];
        for (branch, count) in branches.into_iter().zip(&mut count) {
            let all = tensors(self.inner(branch, vec![])?)?;
            *count = all.len();
            results.extend(all.iter().map(|t| t.o));
            elems.push(all.iter().map(|t| t.elem).collect::<Vec<_>>());
        }
        if elems[0] != elems[1] {
            return Err(Fault::Unsupported("branches that give different things".to_owned()));
        }
        let graph = &self.graph;
        let inside = |n: NodeId| !before.contains(&n) || is_constant(graph, n);
        let (both, captured) = graph.outline(&[], &results, &inside);
        let op = Cond { then: both.giving(0..count[0]), otherwise: both.giving(count[0]..results.len()) };
        let given = self.op_all(op, &[vec![which], captured].concat())?;
        Ok(given.into_iter().zip(&elems[0]).map(|(o, elem)| Val::Tensor(T { o, elem: *elem })).collect())
    }

    /// Whether a value depends on what a run is given.
    pub fn is_given(&self, o: Operand) -> bool {
        let mut stack = vec![o.node];
        let mut seen = HashSet::new();
        while let Some(n) = stack.pop() {
            if !seen.insert(n) {
                continue;
            }
            let node = self.graph.node(n);
            match &node.op {
                Op::Input(i) if !self.params.contains_key(&i.name) => return true,
                _ => stack.extend(node.operands.iter().map(|o| o.node)),
            }
        }
        false
    }
}

/// Values that are all tensors.
pub(super) fn tensors(all: Vec<Val>) -> R<Vec<T>> {
    let one = |v| match v {
        Val::Tensor(t) => Ok(t),
        _ => Err(Fault::Unsupported("a body that gives other values than tensors".to_owned())),
    };
    all.into_iter().map(one).collect()
}

fn inside<'g>(graph: &'g Graph, given: &[Operand]) -> impl Fn(NodeId) -> bool + use<'g> {
    let own = graph.dependent(given);
    move |n| {
        own.contains(&n)
            || is_constant(graph, n)
            || matches!(graph.node(n).op, Op::Broadcast(_) | Op::Reshape(_))
    }
}

fn is_constant(graph: &Graph, n: NodeId) -> bool {
    matches!(graph.node(n).op, Op::Fill(_) | Op::Size(_) | Op::Iota(_))
}
