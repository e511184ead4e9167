//! Kernels without rows: element by element over one shape, and on scalars.

use super::cx::{Cx, Row};
use super::value::is_free;
use super::{Job, LowerError, Lowered};
use crate::graph::{NodeId, Operand};
use crate::nest::{AxisKind, Index, Split};
use crate::ops::{Class, Op};
use crate::types::{Shape, product};
use rustc_hash::FxHashSet;

/// Scalars, one after the other.
pub(super) fn scalars(job: &Job) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    store_all(&mut cx, &job.region.outputs, &[])?;
    Ok(Lowered { calls: vec![cx.finish()], temps: vec![] })
}

/// Computes all values at an index, then stores them: one may take the buffer of an input of another.
fn store_all(cx: &mut Cx, outputs: &[Operand], at: &[Index]) -> Result<(), LowerError> {
    let mut values = vec![];
    for o in outputs {
        let e = cx.value(*o, at)?;
        let e = cx.bind(cx.dtype(*o), e);
        cx.remember(*o, at, e.clone());
        values.push(e);
    }
    for (o, e) in outputs.iter().zip(values) {
        cx.store(*o, at, e)?;
    }
    Ok(())
}

/// Whether a region is element by element over one shape throughout: every value that it reads or computes has
/// that shape, or is one scalar.
pub(super) fn is_flat(job: &Job) -> bool {
    let Some(shape) = job.region.outputs.first().map(|o| job.graph.shape_of(*o)) else { return false };
    let mut seen = FxHashSet::default();
    let mut stack: Vec<Operand> = job.region.outputs.clone();
    if job.region.outputs.iter().any(|o| job.graph.shape_of(*o) != shape) {
        return false;
    }
    let maps = |n: &NodeId| {
        is_free(&job.graph.node(*n).op) || job.graph.node(*n).op.def().class() == Class::Elementwise
    };
    if !job.region.nodes.iter().all(maps) {
        return false;
    }
    stack.extend(job.region.nodes.iter().map(|n| Operand::from(*n)));
    while let Some(o) = stack.pop() {
        if !seen.insert(o) {
            continue;
        }
        let Some(t) = job.graph.type_of(o).as_tensor() else { return false };
        let member = job.members.contains(&o.node);
        // A scalar that is read from elsewhere is the same for every element; one made here is a sum.
        if t.rank() == 0 && !member {
            continue;
        }
        if t.shape != shape {
            return false;
        }
        let node = job.graph.node(o.node);
        match &node.op {
            op if member && op.is_map() => stack.extend(node.operands.iter().copied()),
            op if member && op.def().class() != Class::Elementwise && !is_free(op) => return false,
            Op::Fill(_) | Op::Random(_) => {}
            Op::Broadcast(_) if job.graph.shape_of(node.operands[0]).is_empty() => {}
            Op::Input(_) => {}
            _ if !member && !job.is_inlined(o) => {}
            // Permutations, slices, reshapes and the like read at other positions, which a kernel over a single
            // axis can still follow.
            op if is_free(op) && shape.len() != 1 => return false,
            _ => {}
        }
    }
    true
}

/// A kernel over the elements of one shape in row-major order.
pub(super) fn lower(job: &Job) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let shape = job.graph.shape_of(job.region.outputs[0]);
    let count = product(&shape);
    let outputs = &job.region.outputs;
    elements(&mut cx, &shape, count.as_const(), |cx, at| store_all(cx, outputs, at))?;
    Ok(Lowered { calls: vec![cx.finish()], temps: vec![] })
}

/// Writes loops over all elements of a shape, in vectors; the body gets the index of each.
pub(super) fn elements(
    cx: &mut Cx,
    shape: &Shape,
    count: Option<i64>,
    body: impl Fn(&mut Cx, &[Index]) -> Result<(), LowerError>,
) -> Result<(), LowerError> {
    let wide = AxisKind::Vector(cx.target.lanes * 2);
    let total = cx.dim(&product(shape));
    let each = |cx: &mut Cx, i: Index| {
        let index = cx.delinear(shape, i.clone());
        cx.row = Some(Row { index: index.clone(), flat: i, in_tile: Index::Const(0), shape: shape.to_vec() });
        body(cx, &index)
    };
    let chunk = cx.schedule.of(cx.schedule.chunk);
    if let Some(n) = count.filter(|n| *n <= chunk / 4) {
        return cx.loop_("i", (Index::Const(0), Index::Const(n)), 1, wide, each);
    }
    let chunks = (total.clone() + (chunk - 1)).floor_div(chunk);
    let parallel = cx.divide(Split::Even);
    cx.loop_("c", (Index::Const(0), chunks), 1, parallel, |cx, c| {
        let lo = c * chunk;
        let hi = (lo.clone() + chunk).min(total);
        cx.loop_("i", (lo, hi), 1, wide, each)
    })
}
