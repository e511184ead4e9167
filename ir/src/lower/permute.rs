//! Permutations that move the last axis: square tiles, so that a line of the cache is used whole while it is there.

use super::cx::Cx;
use super::single::positions;
use super::{Job, LowerError, Lowered};
use crate::dim::Dim;
use crate::graph::Operand;
use crate::nest::{AxisKind, Index};

/// Elements of a tile along both axes: floats of a line of the cache.
const SIDE: i64 = 16;

/// Why loops of tiles are no vectors themselves.
const TILES: &str = "rows and tiles come one after the other; vectors run along a row of a tile";

/// Whether a permutation moves the last axis and gains by tiles: neither of the two axes is short.
pub(crate) fn is_transposed(axes: &[usize], to: &[Dim]) -> bool {
    let Some(last) = axes.len().checked_sub(1) else { return false };
    let long = |d: &Dim| d.as_const().is_none_or(|n| n >= SIDE / 2);
    axes[last] != last && long(&to[last]) && long(&to[along(axes)])
}

/// The axis of the result along which the operand lies side by side.
fn along(axes: &[usize]) -> usize {
    let last = axes.len() - 1;
    axes.iter().position(|a| *a == last).unwrap_or(last)
}

pub(super) fn lower(job: &Job, out: Operand, axes: &[usize]) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let x = job.graph.node(out.node).operands[0];
    let to = job.graph.shape_of(out);
    let (last, across) = (axes.len() - 1, along(axes));
    let outer: Vec<usize> = (0..last).filter(|a| *a != across).collect();
    let shape: Vec<Dim> = outer.iter().map(|a| to[*a].clone()).chain([to[across].ceil_div(SIDE)]).collect();
    let (rows, columns) = (cx.dim(&to[across]), cx.dim(&to[last]));
    positions(&mut cx, &shape, |cx, mut at| {
        let first = at.pop().unwrap_or(Index::Const(0)) * SIDE;
        let end = (first.clone() + SIDE).min(rows.clone());
        let tile = |cx: &mut Cx, from: Index, width: Index| {
            cx.serial("r", (first.clone(), end.clone()), 1, TILES, |cx, r| {
                let wide = AxisKind::Vector(cx.target.lanes);
                cx.loop_("c", (Index::Const(0), width.clone()), 1, wide, |cx, c| {
                    let mut index = vec![Index::Const(0); axes.len()];
                    for (axis, i) in outer.iter().zip(&at) {
                        index[*axis] = i.clone();
                    }
                    index[across] = r.clone();
                    index[last] = from.clone() + c;
                    let mut source = index.clone();
                    for (i, axis) in index.iter().zip(axes) {
                        source[*axis] = i.clone();
                    }
                    let e = cx.value(x, &source)?;
                    cx.store(out, &index, e)
                })
            })
        };
        let whole = columns.clone().floor_div(SIDE) * SIDE;
        cx.serial("c0", (Index::Const(0), whole.clone()), SIDE, TILES, |cx, from| {
            tile(cx, from, Index::Const(SIDE))
        })?;
        if whole == columns { Ok(()) } else { tile(cx, whole.clone(), columns.clone() - whole) }
    })?;
    Ok(Lowered { calls: vec![cx.finish()], temps: vec![] })
}
