//! Rules of ops that move elements.

use super::algebra::constant;
use super::{Rule, rules};
use crate::graph::{Graph, NodeId, Operand};
use crate::ops::broadcast::Broadcast;
use crate::ops::fill::Fill;
use crate::ops::permute::Permute;
use crate::ops::reshape::Reshape;
use crate::ops::{Axes, Op};

pub(super) const RULES: &[Rule] = rules! {
    "a moved constant is a constant": Exact => moved_constant,
    "reshape to the same shape": Exact => same_reshape,
    "reshape of reshape": Exact => double_reshape,
    "broadcast to the same shape": Exact => same_broadcast,
    "broadcast of broadcast": Exact => double_broadcast,
    "permute by the identity": Exact => same_permute,
    "permute of permute": Exact => double_permute,
    "concat of one": Exact => single_concat,
    "concat of concats is one concat": Exact => nested_concat,
    "a map of a concat with constants = the concat of maps": Exact => map_of_concat,
    "slice of everything": Exact => whole_slice,
    "slice of concat within a part": Exact => slice_of_concat,
    "pad by nothing": Exact => no_pad,
};

fn moved_constant(g: &mut Graph, n: NodeId) -> Option<Operand> {
    if !matches!(g.node(n).op, Op::Broadcast(_) | Op::Reshape(_) | Op::Permute(_) | Op::Slice(_)) {
        return None;
    }
    let value = constant(g, n.into())?;
    let shape = g.shape_of(n.into());
    Some(g.emit(Fill { value, shape }, &[]))
}

fn same_reshape(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::Reshape(r) = &g.node(n).op else { return None };
    let x = g.node(n).operands[0];
    (g.shape_of(x) == r.shape).then_some(x)
}

fn double_reshape(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::Reshape(r) = g.node(n).op.clone() else { return None };
    let inner = g.node(n).operands[0];
    let Op::Reshape(_) = g.node(inner.node).op else { return None };
    let x = g.node(inner.node).operands[0];
    Some(g.emit(Reshape { shape: r.shape }, &[x]))
}

fn same_broadcast(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::Broadcast(b) = &g.node(n).op else { return None };
    let x = g.node(n).operands[0];
    (g.shape_of(x) == b.shape).then_some(x)
}

fn double_broadcast(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::Broadcast(outer) = g.node(n).op.clone() else { return None };
    let mid = g.node(n).operands[0];
    let Op::Broadcast(inner) = g.node(mid.node).op.clone() else { return None };
    let x = g.node(mid.node).operands[0];
    let axes: Axes = inner.axes.iter().map(|a| outer.axes[*a]).collect();
    Some(g.emit(Broadcast { shape: outer.shape, axes }, &[x]))
}

fn same_permute(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::Permute(p) = &g.node(n).op else { return None };
    p.axes.iter().copied().eq(0..p.axes.len()).then(|| g.node(n).operands[0])
}

fn double_permute(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::Permute(outer) = g.node(n).op.clone() else { return None };
    let mid = g.node(n).operands[0];
    let Op::Permute(inner) = g.node(mid.node).op.clone() else { return None };
    let x = g.node(mid.node).operands[0];
    let axes: Axes = outer.axes.iter().map(|a| inner.axes[*a]).collect();
    Some(g.emit(Permute { axes }, &[x]))
}

fn single_concat(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::Concat(_) = &g.node(n).op else { return None };
    match g.node(n).operands.as_slice() {
        [x] => Some(*x),
        _ => None,
    }
}

fn nested_concat(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::Concat(c) = g.node(n).op.clone() else { return None };
    let operands = g.node(n).operands.clone();
    let mut flat = vec![];
    for o in &operands {
        match &g.node(o.node).op {
            Op::Concat(inner) if inner.axis == c.axis => {
                flat.extend(g.node(o.node).operands.iter().copied());
            }
            _ => flat.push(*o),
        }
    }
    (flat.len() > operands.len()).then(|| g.emit(c, &flat))
}

fn map_of_concat(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let op = g.node(n).op.clone();
    if !op.is_map() {
        return None;
    }
    let operands = g.node(n).operands.clone();
    let at = operands.iter().position(|o| matches!(g.node(o.node).op, Op::Concat(_)))?;
    let Op::Concat(c) = g.node(operands[at].node).op.clone() else { return None };
    let constants: Vec<Option<crate::dtype::Literal>> = operands.iter().map(|o| constant(g, *o)).collect();
    if constants.iter().enumerate().any(|(i, c)| i != at && c.is_none()) {
        return None;
    }
    let mut parts = vec![];
    for part in g.node(operands[at].node).operands.clone() {
        let shape = g.shape_of(part);
        let mut inner = operands.clone();
        for (i, value) in constants.iter().enumerate() {
            inner[i] = match value {
                Some(v) if i != at => g.fill(*v, shape.clone()),
                _ => part,
            };
        }
        parts.push(g.emit(op.clone(), &inner));
    }
    Some(g.emit(c, &parts))
}

fn whole_slice(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::Slice(s) = &g.node(n).op else { return None };
    let x = g.node(n).operands[0];
    let whole = s.step == 1 && s.start.as_const() == Some(0) && s.end == g.shape_of(x)[s.axis];
    whole.then_some(x)
}

fn slice_of_concat(g: &mut Graph, n: NodeId) -> Option<Operand> {
    use crate::dim::{Dim, Proof};
    let Op::Slice(s) = g.node(n).op.clone() else { return None };
    let mid = g.node(n).operands[0];
    let Op::Concat(c) = g.node(mid.node).op.clone() else { return None };
    if c.axis != s.axis {
        return None;
    }
    let mut start = Dim::constant(0);
    for part in g.node(mid.node).operands.clone() {
        let end = &start + &g.shape_of(part)[c.axis];
        if start.le(&s.start) == Proof::True && s.end.le(&end) == Proof::True {
            let slice = crate::ops::slice::Slice {
                axis: s.axis,
                start: &s.start - &start,
                end: &s.end - &start,
                step: s.step,
            };
            return Some(g.emit(slice, &[part]));
        }
        start = end;
    }
    None
}

fn no_pad(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::Pad(p) = &g.node(n).op else { return None };
    (p.before.as_const() == Some(0) && p.after.as_const() == Some(0)).then(|| g.node(n).operands[0])
}
