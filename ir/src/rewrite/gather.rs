//! Gathers of rows, moved towards inputs.
//!
//! `rows(f(x), ids) = f(rows(x, ids))` for whatever works row by row. Where only gathers read `f(x)`, and they
//! read few of its rows, the right side computes only those: the last layer of a graph network, norms and
//! concatenations of a table of embeddings, a whole layer's products.

use super::{Rule, rules};
use crate::dim::{Dim, Proof};
use crate::graph::{Graph, NodeId, Operand};
use crate::ops::broadcast::Broadcast;
use crate::ops::concat::Concat;
use crate::ops::gather_rows::GatherRows;
use crate::ops::pad::Pad;
use crate::ops::reduce::Reduce;
use crate::ops::slice::Slice;
use crate::ops::spmm_rows::SpmmRows;
use crate::ops::{Axes, Op, OpDef};

pub(super) const RULES: &[Rule] = rules! {
    "rows of a map = the map of rows": Exact => map,
    "rows of a dropout = rows of its body": Exact => dropout,
    "rows of a constant are constant": Exact => constant,
    "rows of a broadcast = a broadcast of rows": Exact => broadcast,
    "rows of a reshape of columns = that of the rows": Exact => reshape,
    "rows of a concat of columns = a concat of rows": Exact => concat,
    "rows of a slice or pad of columns = that of the rows": Exact => columns,
    "rows of a reduction along rows = the reduction of rows": Exact => reduce,
    "rows of a product = the product of rows": Exact => product,
    "rows of a sparse product = the product of some rows": Exact => sparse,
};

/// A gather with one axis of ids of a value that only gathers read, which together read at most half as many
/// rows as it has: table and ids.
fn few_rows(g: &Graph, n: NodeId) -> Option<(Operand, Operand)> {
    let Op::GatherRows(_) = g.node(n).op else { return None };
    let (table, ids) = (g.node(n).operands[0], g.node(n).operands[1]);
    if g.tensor(ids).rank() != 1 || g.results().any(|o| o == table) {
        return None;
    }
    let mut count = Dim::constant(0);
    for (user, position) in g.uses(table) {
        if !matches!(g.node(user).op, Op::GatherRows(_)) || position != 0 {
            return None;
        }
        count = &count + &crate::types::product(&g.shape_of(g.node(user).operands[1]));
    }
    let rows = &g.tensor(table).shape[0];
    let few = Dim::constant(count.upper().saturating_mul(2)).le(&Dim::constant(rows.lower()));
    (few == Proof::True).then_some((table, ids))
}

fn gather(g: &mut Graph, table: Operand, ids: Operand) -> Operand {
    g.emit(GatherRows, &[table, ids])
}

fn map(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let (table, ids) = few_rows(g, n)?;
    let op = g.node(table.node).op.clone();
    let stops = matches!(op, Op::CustomVjp(_)) && g.node(table.node).operands.len() == 1;
    if !op.is_map() && !stops {
        return None;
    }
    let operands = g.node(table.node).operands.clone();
    let rows: Vec<Operand> = operands.iter().map(|o| gather(g, *o, ids)).collect();
    Some(g.emit(op, &rows))
}

/// Words of random numbers are addressed by their element, so those of a few rows are drawn alone.
fn dropout(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let (table, ids) = few_rows(g, n)?;
    let Op::Dropout(op) = g.node(table.node).op.clone() else { return None };
    let operands = g.node(table.node).operands.clone();
    let body = op.body(g, &operands)?.ok()?;
    Some(gather(g, *body.first()?, ids))
}

fn constant(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::GatherRows(_) = g.node(n).op else { return None };
    let value = super::algebra::constant(g, g.node(n).operands[0])?;
    let shape = g.shape_of(n.into());
    Some(g.fill(value, shape))
}

fn broadcast(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::GatherRows(_) = g.node(n).op else { return None };
    let (table, ids) = (g.node(n).operands[0], g.node(n).operands[1]);
    let Op::Broadcast(b) = g.node(table.node).op.clone() else { return None };
    if g.tensor(ids).rank() != 1 {
        return None;
    }
    let x = g.node(table.node).operands[0];
    let mut shape = b.shape.clone();
    shape[0] = g.tensor(ids).shape[0].clone();
    // An operand with axis 0 is gathered; one without is the same for all rows.
    let x = if b.axes.first() == Some(&0) { gather(g, x, ids) } else { x };
    Some(g.emit(Broadcast { shape, axes: b.axes }, &[x]))
}

fn reshape(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let (table, ids) = few_rows(g, n)?;
    let Op::Reshape(r) = g.node(table.node).op.clone() else { return None };
    let x = g.node(table.node).operands[0];
    let mut shape = r.shape;
    if g.shape_of(x).first() != shape.first() {
        return None;
    }
    shape[0] = g.tensor(ids).shape[0].clone();
    let rows = gather(g, x, ids);
    Some(g.reshape(rows, shape))
}

fn concat(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let (table, ids) = few_rows(g, n)?;
    let Op::Concat(c) = g.node(table.node).op.clone() else { return None };
    if c.axis == 0 {
        return None;
    }
    let parts = g.node(table.node).operands.clone();
    let rows: Vec<Operand> = parts.iter().map(|o| gather(g, *o, ids)).collect();
    Some(g.emit(Concat { axis: c.axis }, &rows))
}

fn columns(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let (table, ids) = few_rows(g, n)?;
    let op = match g.node(table.node).op.clone() {
        Op::Slice(s) if s.axis > 0 => Op::from(Slice { ..s }),
        Op::Pad(p) if p.axis > 0 => Op::from(Pad { ..p }),
        _ => return None,
    };
    let x = g.node(table.node).operands[0];
    let rows = gather(g, x, ids);
    Some(g.emit(op, &[rows]))
}

fn reduce(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let (table, ids) = few_rows(g, n)?;
    let Op::Reduce(r) = g.node(table.node).op.clone() else { return None };
    if r.axes.contains(&0) {
        return None;
    }
    let x = g.node(table.node).operands[0];
    let rows = gather(g, x, ids);
    Some(g.emit(Reduce { op: r.op, axes: Axes::from_slice(&r.axes) }, &[rows]))
}

fn product(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let (table, ids) = few_rows(g, n)?;
    let Op::Matmul(m) = g.node(table.node).op.clone() else { return None };
    if m.transpose_a || g.tensor(table).rank() != 2 {
        return None;
    }
    let operands = g.node(table.node).operands.clone();
    let rows = gather(g, operands[0], ids);
    Some(g.matmul(rows, operands[1], false, m.transpose_b))
}

fn sparse(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let (table, ids) = few_rows(g, n)?;
    let Op::Spmm(s) = g.node(table.node).op.clone() else { return None };
    if s.weighted {
        return None;
    }
    let operands = g.node(table.node).operands.clone();
    Some(g.emit(SpmmRows { transpose: s.transpose }, &[operands[0], operands[1], ids]))
}
