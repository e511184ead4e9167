//! Parts of a graph written again with other values.

use super::{Graph, NodeId, Operand};
use rustc_hash::{FxHashMap, FxHashSet};

impl Graph {
    /// What values are computed from, producers first: the nodes behind `roots`, up to values of which `stop` says
    /// that what is behind them is not asked for.
    pub fn behind(&self, roots: &[Operand], stop: impl Fn(Operand) -> bool) -> Vec<NodeId> {
        let mut order = vec![];
        let mut seen = FxHashSet::default();
        let mut stack: Vec<(NodeId, usize)> = vec![];
        for root in roots.iter().filter(|o| !stop(**o)) {
            stack.push((root.node, 0));
            while let Some((n, next)) = stack.pop() {
                if next == 0 && !seen.insert(n) {
                    continue;
                }
                match self.node(n).operands.get(next) {
                    Some(o) => {
                        stack.push((n, next + 1));
                        if !stop(*o) && !seen.contains(&o.node) {
                            stack.push((o.node, 0));
                        }
                    }
                    None => order.push(n),
                }
            }
        }
        order
    }

    /// Values as they are with other values in place of some, which have the types of those. What depends on none of
    /// them is used as it is; the rest is written again, at the places where it was written first.
    pub fn substitute(&mut self, roots: &[Operand], with: &[(Operand, Operand)]) -> Vec<Operand> {
        let mut new: FxHashMap<Operand, Operand> = with.iter().copied().collect();
        for n in self.behind(roots, |o| new.contains_key(&o)) {
            let node = self.node(n).clone();
            let operands: Vec<Operand> =
                node.operands.iter().map(|o| new.get(o).copied().unwrap_or(*o)).collect();
            if operands[..] == node.operands[..] {
                continue;
            }
            let before = self.at.replace(node.span);
            let results = self.emit_all(node.op, &operands);
            self.at = before;
            for (port, result) in results.into_iter().enumerate() {
                new.entry(Operand { node: n, port: port as u16 }).or_insert(result);
            }
        }
        roots.iter().map(|o| new.get(o).copied().unwrap_or(*o)).collect()
    }
}
