//! What is said to derivatives about values: marks that a run knows nothing of.

use super::Composed;
use crate::graph::{Graph, NodeId, Operand};
use crate::ops::checkpoint::Checkpoint;
use crate::ops::custom_vjp::CustomVjp;
use crate::ops::placeholder::Placeholder;
use crate::ops::{Class, Op};
use crate::types::Type;

impl Graph {
    /// The same value as a constant to derivatives.
    ///
    /// # Errors
    /// None for a value of the graph.
    pub fn stop_gradient(&mut self, x: Operand) -> Composed {
        self.try_emit(CustomVjp, &[x])
    }

    /// The bits of `value`, and the gradient of `surrogate`, of one type with it (Bengio, Léonard and Courville 2013).
    ///
    /// # Errors
    /// Where the types differ.
    pub fn straight_through(&mut self, value: Operand, surrogate: Operand) -> Composed {
        let (v, s) = (self.dense("straight_through", value)?, self.dense("straight_through", surrogate)?);
        if v != s {
            let [v, s] = [v, s].map(Type::Tensor);
            return Err(format!("`straight_through` takes two tensors of one type, {v} and {s} found"));
        }
        let dy = self.placeholder(Type::Tensor(v));
        self.try_emit(CustomVjp, &[value, dy, surrogate, dy])
    }

    /// A placeholder that equals no other one.
    ///
    /// # Panics
    /// Where the type is no tensor's: a mistake of the caller.
    pub fn placeholder(&mut self, ty: Type) -> Operand {
        let ids = self.petgraph().node_weights().filter_map(|n| match &n.op {
            Op::Placeholder(p) => Some(p.id + 1),
            _ => None,
        });
        let id = ids.max().unwrap_or(0);
        self.emit(Placeholder { id, ty }, &[])
    }

    /// Values that derivatives compute again, from what the nodes of a region read and the region does not hold, instead
    /// of keeping what lies between. Inputs in the region count as read.
    ///
    /// # Errors
    /// Where a value is no tensor.
    pub fn checkpoint(
        &mut self,
        values: &[Operand],
        region: impl Fn(NodeId) -> bool,
    ) -> Result<Vec<Operand>, String> {
        let inside = |g: &Graph, o: Operand| region(o.node) && !matches!(g.node(o.node).op, Op::Input(_));
        let mut entries: Vec<(Operand, Operand)> = vec![];
        let mut outer: Vec<Operand> = vec![];
        for n in self.behind(values, |o| !inside(self, o)) {
            for o in self.node(n).operands.iter().filter(|o| !inside(self, **o)) {
                if self.type_of(*o).as_tensor().is_some() && !outer.contains(o) {
                    outer.push(*o);
                }
            }
        }
        for x in outer {
            entries.push((x, self.try_emit(Checkpoint { results: 1 }, &[x])?));
        }
        let mut operands = self.substitute(values, &entries);
        let exit = Checkpoint { results: operands.len() };
        operands.extend(entries.iter().map(|(_, entry)| *entry));
        if entries.is_empty() || values.is_empty() {
            return Ok(values.to_vec());
        }
        let span = self.at.clone().unwrap_or_else(crate::diag::Span::none);
        let node = self.add(exit, &operands, span).map_err(|d| d.message)?;
        Ok((0..values.len()).map(|port| Operand { node, port: port as u16 }).collect())
    }

    /// Puts the values in place of the marks: what is left to be done once all derivatives are written.
    pub fn dissolve_marks(&mut self) {
        for n in self.topological() {
            if !self.contains(n) || !matches!(self.node(n).op, Op::CustomVjp(_) | Op::Checkpoint(_)) {
                continue;
            }
            debug_assert_eq!(self.node(n).op.def().class(), Class::Composite);
            for port in 0..self.node(n).types.len() {
                let value = self.node(n).operands[port];
                self.replace(Operand { node: n, port: port as u16 }, value);
            }
        }
        self.remove_dead();
    }
}
