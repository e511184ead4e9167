//! Reductions that are a kernel of their own: over the reduced axes in order, for every element of the result.

use super::cx::Cx;
use super::single::{over, positions};
use super::value::{as_type, sum_type};
use super::{Job, LowerError, Lowered};
use crate::dim::Dim;
use crate::graph::Operand;
use crate::nest::build::load;
use crate::nest::{AxisKind, Expr, Index, Space};
use crate::scalar::ReduceOp;
use crate::types::Shape;

/// Elements along the last axis whose partial results are kept together: they stay in the first cache while what
/// is reduced streams past, a row after the other.
const BLOCK: i64 = 2048;

pub(super) fn lower(job: &Job, out: Operand, op: ReduceOp, axes: &[usize]) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let x = job.graph.node(out.node).operands[0];
    let from = job.graph.shape_of(x);
    let last = from.len().saturating_sub(1);
    let beside = from.last().is_some_and(|n| n.as_const().is_none_or(|n| n > 1)) && !axes.contains(&last);
    let lanes = i64::from(cx.target.lanes);
    let long = from.last().is_some_and(|n| n.as_const().is_none_or(|n| n >= lanes));
    match () {
        () if beside => columns(&mut cx, x, out, op, axes, &from)?,
        () if long && axes.contains(&last) => lanewise(&mut cx, x, out, op, axes, &from)?,
        () => elements(&mut cx, x, out, op, axes, &from)?,
    }
    Ok(Lowered { calls: vec![cx.finish()], temps: vec![] })
}

/// Every element of the result by itself.
fn elements(
    cx: &mut Cx,
    x: Operand,
    out: Operand,
    op: ReduceOp,
    axes: &[usize],
    from: &Shape,
) -> Result<(), LowerError> {
    let dtype = cx.dtype(out);
    let sum = sum_type(dtype);
    let acc = cx.k.buffer("acc", sum, 1, Space::Register);
    let to = cx.graph.shape_of(out);
    positions(cx, &to, |cx, at| {
        cx.k.fill(acc, op.identity(sum));
        over(cx, from, kept(from.len(), axes, &at), &mut |cx, index| {
            let e = cx.summand(x, index)?;
            cx.k.accumulate(op, acc, 0, e);
            Ok(())
        })?;
        cx.store(out, &at, as_type(load(acc, 0), sum, dtype))
    })
}

/// Every element of the result by itself, its terms along the last axis in vectors: a partial result a lane, added up by
/// halves, and what no vector holds one by one.
fn lanewise(
    cx: &mut Cx,
    x: Operand,
    out: Operand,
    op: ReduceOp,
    axes: &[usize],
    from: &Shape,
) -> Result<(), LowerError> {
    let dtype = cx.dtype(out);
    let sum = sum_type(dtype);
    let lanes = cx.target.lanes;
    let wide = i64::from(lanes);
    let acc = cx.k.buffer("acc", sum, wide, Space::Register);
    let one = cx.k.buffer("one", sum, 1, Space::Register);
    let to = cx.graph.shape_of(out);
    let lead = from.len() - 1;
    let end = cx.dim(&from[lead]);
    let vectors = end.clone().floor_div(wide);
    let main = vectors.clone() * wide;
    positions(cx, &to, |cx, at| {
        cx.k.fill(acc, op.identity(sum));
        cx.k.fill(one, op.identity(sum));
        over(cx, &from[..lead], kept(lead, axes, &at), &mut |cx, index| {
            cx.serial("v", (Index::Const(0), vectors.clone()), 1, VECTORS, |cx, v| {
                cx.loop_("l", (Index::Const(0), Index::Const(wide)), 1, AxisKind::Vector(lanes), |cx, l| {
                    let e = cx.summand(x, &[index, &[v * wide + l.clone()]].concat())?;
                    cx.k.accumulate(op, acc, l, e);
                    Ok(())
                })
            })?;
            cx.serial("c", (main.clone(), end.clone()), 1, REST, |cx, c| {
                let e = cx.summand(x, &[index, &[c]].concat())?;
                cx.k.accumulate(op, one, 0, e);
                Ok(())
            })
        })?;
        cx.k.accumulate(op, one, 0, Expr::Lanes { op, buf: acc });
        cx.store(out, &at, as_type(load(one, 0), sum, dtype))
    })
}

const VECTORS: &str = "vectors of a row come one after the other";
const REST: &str = "elements of a row that fill no vector";

/// Elements side by side along the last axis, which is kept: a block of them at a time, in vectors.
fn columns(
    cx: &mut Cx,
    x: Operand,
    out: Operand,
    op: ReduceOp,
    axes: &[usize],
    from: &Shape,
) -> Result<(), LowerError> {
    let dtype = cx.dtype(out);
    let sum = sum_type(dtype);
    let lanes = cx.target.lanes;
    let to = cx.graph.shape_of(out);
    let Some((width, rows)) = to.split_last() else {
        return Err(cx.fault("a reduction without a last axis"));
    };
    let block = width.as_const().map_or(BLOCK, |n| n.clamp(1, BLOCK));
    let acc = cx.k.buffer("acc", sum, block, Space::Stack);
    let size = cx.dim(width);
    let blocks: Vec<Dim> = rows.iter().cloned().chain([width.ceil_div(block)]).collect();
    positions(cx, &blocks, |cx, mut at| {
        let first = at.pop().unwrap_or(Index::Const(0)) * block;
        let whole = width.as_const().is_some_and(|n| n % block == 0);
        let here = if whole { Index::Const(block) } else { (size.clone() - first.clone()).min(block) };
        let side_by_side = AxisKind::Vector(lanes);
        cx.k.fill(acc, op.identity(sum));
        let lead = from.len() - 1;
        // Rows lie far apart, which no prefetcher of the machine follows: the next is asked for here.
        let ahead = (!cx.is_inlined(x) && !cx.is_member(x)).then(|| cx.dim(&from[lead]));
        over(cx, &from[..lead], kept(lead, axes, &at), &mut |cx, index| {
            cx.loop_("c", (Index::Const(0), here.clone()), 1, side_by_side, |cx, c| {
                let index = [index, &[first.clone() + c.clone()]].concat();
                if let Some(row) = &ahead {
                    let (buf, here) = (cx.buffer(x, Space::In)?, cx.linear(from, &index));
                    cx.k.prefetch(buf, here + row.clone());
                }
                let e = cx.summand(x, &index)?;
                cx.k.accumulate(op, acc, c, e);
                Ok(())
            })
        })?;
        cx.loop_("c", (Index::Const(0), here.clone()), 1, side_by_side, |cx, c| {
            let index = [&at[..], &[first.clone() + c.clone()]].concat();
            cx.store(out, &index, as_type(load(acc, c), sum, dtype))
        })
    })
}

/// An index of an operand: that of the result where an axis is kept.
fn kept(rank: usize, axes: &[usize], at: &[Index]) -> Vec<Option<Index>> {
    let mut at = at.iter().cloned();
    (0..rank).map(|a| if axes.contains(&a) { None } else { at.next() }).collect()
}
