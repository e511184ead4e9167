//! Segments: positions grouped by id, the segment of each position, softmax within segments.

use super::cx::Cx;
use super::value::{as_type, sum_type};
use super::{Job, LowerError, Lowered};
use crate::dtype::{DType, Literal};
use crate::graph::Operand;
use crate::nest::build::{load, op1, op2};
use crate::nest::{AxisKind, Expr, Index, Space, Split};
use crate::ops::segment_ids::cover;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::product;

/// Positions grouped by id: counted, then placed in order. One thread, linear in ids and rows.
pub(super) fn segments(job: &Job, out: Operand) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let ids = job.graph.node(out.node).operands[0];
    let order = Operand { node: out.node, port: 1 };
    let shape = job.graph.shape_of(out);
    let rows = cx.dim(&shape[0]) - 1;
    let count = cx.dim(&job.graph.shape_of(ids)[0].clone());
    let ids = cx.buffer(ids, Space::In)?;
    let (indptr, order) = (cx.buffer(out, Space::InOut)?, cx.buffer(order, Space::Out)?);
    let int = |v: i64| Expr::Lit(Literal::int(DType::I32, v));
    let wide = AxisKind::Vector(job.target.lanes);
    let k = &mut cx.k;
    k.for_("z", rows.clone() + 1, wide, |k, z| k.store(indptr, z, int(0)));
    k.for_("i", count.clone(), AxisKind::Serial, |k, i| {
        k.why(&i, "ids are counted one by one: two of a vector might meet in one row");
        let id = k.load_index(ids, i);
        k.accumulate(ReduceOp::Sum, indptr, id, int(1));
    });
    let running = k.buffer("running", DType::I32, 1, Space::Register);
    k.fill(running, Literal::int(DType::I32, 0));
    k.for_("r", rows.clone() + 1, AxisKind::Serial, |k, r| {
        k.why(&r, "each sum continues the one before it");
        k.accumulate(ReduceOp::Sum, running, 0, load(indptr, r.clone()));
        k.store(indptr, r, load(running, 0));
    });
    // Backwards, so that equal ids keep their order: `indptr[r]` moves from the end of row `r` to its start.
    k.for_("i", count.clone(), AxisKind::Serial, |k, i| {
        k.why(&i, "positions are placed one by one: two of a vector might meet in one row");
        let i = count.clone() - 1 - i;
        let id = k.load_index(ids, i.clone());
        k.accumulate(ReduceOp::Sum, indptr, id.clone(), int(-1));
        let at = k.load_index(indptr, id);
        k.store(order, at, Expr::Cast(DType::I32, Box::new(i.into())));
    });
    Ok(Lowered { calls: vec![cx.finish()], temps: vec![] })
}

/// Why the loop over segments is no vector.
const SEGMENTS: &str = "segments are as long as data say; one comes after the other";
/// Why the work of segments along several columns is done one value at a time.
const WHY: &str =
    "segments are as long as data say, and their entries are taken in order, a column after the other";

/// Row by row: positions of different segments are apart where segments cover all; else one thread writes them in
/// order.
fn division(job: &Job, indptr: Operand, prefix: crate::nest::BufId) -> AxisKind {
    match cover(job.graph, indptr) {
        true => AxisKind::Parallel(Split::ByPrefix { prefix, rows_per_iteration: 1 }),
        false => AxisKind::Serial,
    }
}

/// What no segment holds has a value first, where that may be.
fn uncovered(
    job: &Job,
    out: Operand,
    indptr: Operand,
    value: Literal,
    lowered: &mut Lowered,
) -> Result<(), LowerError> {
    if cover(job.graph, indptr) {
        return Ok(());
    }
    let mut cx = job.cx("_none");
    let count = cx.dim(&product(&job.graph.shape_of(out)));
    let buf = cx.buffer(out, Space::Out)?;
    cx.k.for_("i", count, AxisKind::Vector(job.target.lanes), |k, i| k.store(buf, i, Expr::Lit(value)));
    lowered.calls.push(cx.finish());
    Ok(())
}

/// Each position of a segment gets its number.
pub(super) fn ids(job: &Job, out: Operand) -> Result<Lowered, LowerError> {
    let indptr = job.graph.node(out.node).operands[0];
    let mut lowered = Lowered::default();
    uncovered(job, out, indptr, Literal::int(DType::I32, -1), &mut lowered)?;
    let mut cx = job.cx("");
    let rows = cx.dim(&job.graph.shape_of(indptr)[0].clone()) - 1;
    let bounds = cx.positions(indptr)?;
    let to = cx.buffer(out, Space::Out)?;
    let wide = AxisKind::Vector(job.target.lanes);
    let kind = division(job, indptr, bounds);
    cx.loop_("r", (Index::Const(0), rows), 1, kind, |cx, r| {
        cx.k.why(&r, SEGMENTS);
        let (first, end) = (cx.load_index(bounds, r.clone()), cx.load_index(bounds, r.clone() + 1));
        cx.loop_("e", (first, end), 1, wide, |cx, e| {
            cx.k.store(to, e, Expr::Cast(DType::I32, Box::new(r.into())));
            Ok(())
        })
    })?;
    lowered.calls.push(cx.finish());
    Ok(lowered)
}

/// Three walks over the elements of a segment: the greatest, the sum of exponentials, the quotients.
pub(super) fn softmax(job: &Job, out: Operand) -> Result<Lowered, LowerError> {
    let node = job.graph.node(out.node).clone();
    let (indptr, order, x) = (node.operands[0], node.operands[1], node.operands[2]);
    let dtype = job.graph.dtype_of(out);
    let mut lowered = Lowered::default();
    uncovered(job, out, indptr, Literal::zero(dtype), &mut lowered)?;
    let mut cx = job.cx("");
    let width = cx.dim(&product(&job.graph.shape_of(out)[1..]));
    let rows = cx.dim(&job.graph.shape_of(indptr)[0].clone()) - 1;
    let (bounds, indices) = cx.segments(indptr, order)?;
    let (from, to) = (cx.buffer(x, Space::In)?, cx.buffer(out, Space::Out)?);
    let wide = sum_type(dtype);
    let max = cx.k.buffer("max", dtype, 1, Space::Register);
    let sum = cx.k.buffer("sum", wide, 1, Space::Register);
    let place = |cx: &mut Cx, e: Index, d: &Index| {
        let row = match indices {
            Some(indices) => cx.load_index(indices, e),
            None => e,
        };
        row * width.clone() + d.clone()
    };
    let kind = division(job, indptr, bounds);
    cx.loop_("r", (Index::Const(0), rows), 1, kind, |cx, r| {
        cx.k.why(&r, SEGMENTS);
        let (first, end) = (cx.load_index(bounds, r.clone()), cx.load_index(bounds, r + 1));
        let each = || (first.clone(), end.clone());
        cx.serial("d", (Index::Const(0), width.clone()), 1, WHY, |cx, d| {
            cx.k.fill(max, ReduceOp::Max.identity(dtype));
            cx.k.fill(sum, ReduceOp::Sum.identity(wide));
            cx.serial("e", each(), 1, WHY, |cx, e| {
                let at = place(cx, e, &d);
                cx.k.accumulate(ReduceOp::Max, max, 0, load(from, at));
                Ok(())
            })?;
            let max = cx.bind(wide, as_type(load(max, 0), dtype, wide));
            let exp = |at: Index| {
                let x = as_type(load(from, at), dtype, wide);
                op1(ScalarOp::Exp, op2(ScalarOp::Sub, x, max.clone()))
            };
            cx.serial("e", each(), 1, WHY, |cx, e| {
                let at = place(cx, e, &d);
                cx.k.accumulate(ReduceOp::Sum, sum, 0, exp(at));
                Ok(())
            })?;
            let sum = cx.bind(wide, load(sum, 0));
            cx.serial("e", each(), 1, WHY, |cx, e| {
                let at = place(cx, e, &d);
                let y = op2(ScalarOp::Div, exp(at.clone()), sum.clone());
                cx.k.store(to, at, as_type(y, wide, dtype));
                Ok(())
            })
        })
    })?;
    lowered.calls.push(cx.finish());
    Ok(lowered)
}
