//! Writes at computed positions: the old values are copied, unless they are overwritten, then one thread puts the blocks
//! where they go, in order.

use super::cx::{Cx, Row};
use super::single::positions;
use super::value::{as_type, sum_type};
use super::{Job, LowerError, Lowered};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::Operand;
use crate::nest::build::load;
use crate::nest::{AxisKind, BufId, Expr, Index, Space};
use crate::scalar::ReduceOp;
use crate::types::product;

pub(super) fn lower(job: &Job, out: Operand, op: Option<ReduceOp>) -> Result<Lowered, LowerError> {
    let operands = job.graph.node(out.node).operands.clone();
    let last = operands.len() - 1;
    let (x, coordinates, u) = (operands[0], &operands[1..last], operands[last]);
    let shape = job.graph.shape_of(x);
    let dtype = job.graph.dtype_of(x);
    // Sums of narrow floats are taken in a temporary of a wider type.
    let sum = match op {
        Some(ReduceOp::Sum | ReduceOp::Prod) => sum_type(dtype),
        _ => dtype,
    };
    let to = Target { out, dtype: sum, temporary: (sum != dtype).then(|| product(&shape)) };
    let mut lowered = Lowered::default();
    lowered.temps.extend(to.temporary.clone().map(|len| (sum, len)));

    // In the place of the old value, what is not updated stands there already.
    if to.temporary.is_some() || job.in_place.get(&out) != Some(&x) {
        let mut cx = job.cx("_copy");
        copy(&mut cx, &shape, |cx, at| {
            let e = as_type(cx.value(x, at)?, dtype, sum);
            let (buf, index) = (to.buffer(cx)?, cx.linear(&shape, at));
            cx.k.store(buf, index, e);
            Ok(())
        })?;
        lowered.calls.push(cx.finish());
    }

    let mut cx = job.cx("");
    let (places, rest) = (job.graph.shape_of(coordinates[0]), &shape[coordinates.len()..]);
    // No block is put anywhere where there is no place.
    let any = cx.dim(&product(&shape[..coordinates.len()])).min(1);
    let count = cx.dim(&product(&places));
    // A loop that never runs is left out, and with it positions along axes without one.
    let total = if count == Index::Const(0) { count } else { count * any };
    cx.serial(
        "n",
        (Index::Const(0), total),
        1,
        "blocks are put in their order: two of them may meet in one place",
        |cx, n| {
            let index = if places.is_empty() { vec![] } else { cx.delinear(&places, n.clone()) };
            cx.row =
                Some(Row { index: index.clone(), flat: n, in_tile: Index::Const(0), shape: places.to_vec() });
            let block = cx.block(x, coordinates, &index)?;
            inner(cx, rest, vec![], &mut |cx, tail| {
                let e = as_type(cx.value(u, &[index.clone(), tail.to_vec()].concat())?, dtype, sum);
                let (buf, place) = (to.buffer(cx)?, [block.clone(), tail.to_vec()].concat());
                let place = place_in(cx, &shape, &place);
                match op {
                    Some(op) => cx.k.accumulate(op, buf, place, e),
                    None => cx.k.store(buf, place, e),
                }
                Ok(())
            })
        },
    )?;
    lowered.calls.push(cx.finish());

    if let Some(len) = &to.temporary {
        let mut cx = job.cx("_round");
        let buf = cx.temp(0, sum, len, Space::In);
        copy(&mut cx, &shape, |cx, at| {
            let index = cx.linear(&shape, at);
            cx.store(out, at, Expr::Cast(dtype, Box::new(load(buf, index))))
        })?;
        lowered.calls.push(cx.finish());
    }
    Ok(lowered)
}

/// Where the blocks go: the result itself, or a temporary of so many elements.
struct Target {
    out: Operand,
    dtype: DType,
    temporary: Option<Dim>,
}

impl Target {
    fn buffer(&self, cx: &mut Cx) -> Result<BufId, LowerError> {
        match &self.temporary {
            Some(len) => Ok(cx.temp(0, self.dtype, len, Space::InOut)),
            None => cx.buffer(self.out, Space::InOut),
        }
    }
}

/// The row-major position of an index, whatever row is being written.
fn place_in(cx: &mut Cx, shape: &[Dim], at: &[Index]) -> Index {
    let row = cx.row.take();
    let index = cx.linear(shape, at);
    cx.row = row;
    index
}

/// Every element of a shape: rows over threads, each a vector.
fn copy(
    cx: &mut Cx,
    shape: &[Dim],
    body: impl Fn(&mut Cx, &[Index]) -> Result<(), LowerError>,
) -> Result<(), LowerError> {
    let (width, rows) = match shape.split_last() {
        Some((width, rows)) => (cx.dim(width), rows),
        None => return Err(cx.fault("an update of a scalar")),
    };
    let wide = AxisKind::Vector(cx.target.lanes);
    positions(cx, rows, |cx, row| {
        cx.loop_("i", (Index::Const(0), width), 1, wide, |cx, i| body(cx, &[row, vec![i]].concat()))
    })
}

/// What is written for one element of a block.
type Body<'a> = dyn FnMut(&mut Cx, &[Index]) -> Result<(), LowerError> + 'a;

/// Loops over the elements of a block, the last axis in vectors.
fn inner(cx: &mut Cx, shape: &[Dim], at: Vec<Index>, body: &mut Body) -> Result<(), LowerError> {
    match shape.split_first() {
        None => body(cx, &at),
        Some((size, rest)) => {
            let kind = if rest.is_empty() { AxisKind::Vector(cx.target.lanes) } else { AxisKind::Serial };
            let end = cx.dim(size);
            cx.loop_("e", (Index::Const(0), end), 1, kind, |cx, i| {
                if kind == AxisKind::Serial {
                    cx.k.why(&i, "vectors run along the last axis of a block");
                }
                inner(cx, rest, [at, vec![i]].concat(), body)
            })
        }
    }
}
