//! Rules of sparse sums.

use super::{Rule, rules};
use crate::dim::Proof;
use crate::dtype::DType;
use crate::graph::{Graph, NodeId, Operand};
use crate::ops::Op;
use crate::ops::concat::Concat;
use crate::ops::csr_array::CsrArrayOf;
use crate::ops::scatter_rows::ScatterRows;
use crate::ops::segment_ids::cover;
use crate::ops::segment_reduce::SegmentReduce;
use crate::plan::CsrPart;
use crate::scalar::{ReduceOp, ScalarOp};

pub(super) const RULES: &[Rule] = rules! {
    "A x + A y = A (x + y)": Reassociating => sum_of_products,
    "scatter(i, v) + scatter(j, w) = scatter(i ++ j, v ++ w)": Reassociating => sum_of_scatters,
    "a scatter of parts is one of ordered, distinct parts": Reassociating => order_parts,
    "a scatter to segments is their sum": Exact => scatter_to_segments,
};

/// The operands of a sum whose both sides nothing else reads.
fn sum(g: &Graph, n: NodeId) -> Option<(Operand, Operand)> {
    let Op::Elementwise(e) = &g.node(n).op else { return None };
    let [a, b] = g.node(n).operands.as_slice() else { return None };
    let once = |o: Operand| g.uses(o).len() == 1 && !g.results().any(|r| r == o);
    (e.op == ScalarOp::Add && a != b && once(*a) && once(*b)).then_some((*a, *b))
}

fn sum_of_products(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let (a, b) = sum(g, n)?;
    let (Op::Spmm(s), Op::Spmm(t)) = (g.node(a.node).op.clone(), g.node(b.node).op.clone()) else {
        return None;
    };
    let (x, y) = (g.node(a.node).operands.clone(), g.node(b.node).operands.clone());
    if s != t || x[0] != y[0] || x.get(2) != y.get(2) {
        return None;
    }
    let both = g.map(ScalarOp::Add, &[x[1], y[1]]);
    let mut operands = x.clone();
    operands[1] = both;
    Some(g.emit(s, &operands))
}

fn sum_of_scatters(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let (a, b) = sum(g, n)?;
    let (Op::ScatterRows(s), Op::ScatterRows(t)) = (&g.node(a.node).op, &g.node(b.node).op) else {
        return None;
    };
    if s != t {
        return None;
    }
    let rows = s.rows.clone();
    let mut parts = parts(g, a);
    parts.extend(self::parts(g, b));
    Some(scatter(g, rows, parts))
}

/// The ids and values that a scatter adds up: the parts of a concatenation where both are cut alike.
fn parts(g: &Graph, scatter: Operand) -> Vec<(Operand, Operand)> {
    let [ids, values] = g.node(scatter.node).operands[..] else { return vec![] };
    let (i, v) = (g.node(ids.node), g.node(values.node));
    let rows_of = |o: &Operand| g.tensor(*o).shape[0].clone();
    match (&i.op, &v.op) {
        (Op::Concat(a), Op::Concat(b))
            if a.axis == 0
                && b.axis == 0
                && i.operands.iter().map(rows_of).eq(v.operands.iter().map(rows_of)) =>
        {
            i.operands.iter().copied().zip(v.operands.iter().copied()).collect()
        }
        _ => vec![(ids, values)],
    }
}

/// One scatter of parts, in the order of their ids, values of the same ids added.
fn scatter(g: &mut Graph, rows: crate::dim::Dim, parts: Vec<(Operand, Operand)>) -> Operand {
    let mut merged: Vec<(Operand, Operand)> = vec![];
    for (ids, values) in parts {
        match merged.iter_mut().find(|(i, _)| *i == ids) {
            Some((_, v)) => *v = g.map(ScalarOp::Add, &[*v, values]),
            None => merged.push((ids, values)),
        }
    }
    merged.sort_by_key(|(ids, _)| *ids);
    let (ids, values): (Vec<Operand>, Vec<Operand>) = merged.into_iter().unzip();
    let (ids, values) = match ids.as_slice() {
        [one] => (*one, values[0]),
        _ => (g.emit(Concat { axis: 0 }, &ids), g.emit(Concat { axis: 0 }, &values)),
    };
    g.emit(ScatterRows { rows }, &[ids, values])
}

fn order_parts(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::ScatterRows(s) = &g.node(n).op else { return None };
    let rows = s.rows.clone();
    let parts = parts(g, n.into());
    (!parts.is_sorted_by(|a, b| a.0 < b.0)).then(|| scatter(g, rows, parts))
}

/// What is scattered by the row of each entry of a pattern, or by its column, stands in order already, or in the order
/// that the pattern has for its transpose.
fn scatter_to_segments(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::ScatterRows(s) = g.node(n).op.clone() else { return None };
    let [ids, values] = g.node(n).operands[..] else { return None };
    let made = g.node(ids.node).clone();
    let count = g.shape_of(ids);
    let (indptr, order) = match &made.op {
        Op::SegmentIds(_) if cover(g, made.operands[0]) => {
            (made.operands[0], g.iota(count.clone(), 0, DType::I32))
        }
        Op::CsrArrayOf(a) if a.part == CsrPart::Indices => {
            let mut array = |part| g.emit(CsrArrayOf { part }, &made.operands);
            (array(CsrPart::TwinIndptr), array(CsrPart::TwinEdges))
        }
        _ => return None,
    };
    let held = match &g.node(indptr.node).op {
        Op::CsrArrayOf(_) => g.csr(g.node(indptr.node).operands[0]).nnz.clone(),
        _ => g.shape_of(g.node(indptr.node).operands[0])[0].clone(),
    };
    let rows = &g.shape_of(indptr)[0] - &1.into();
    if held.eq_proof(&count[0]) != Proof::True || rows.eq_proof(&s.rows) != Proof::True {
        return None;
    }
    Some(g.emit(SegmentReduce { op: ReduceOp::Sum }, &[indptr, order, values]))
}
