//! Reductions along axes.

use crate::import::onnx::cx::R;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::Operand;
use latentc_ir::ops::Axes;
use latentc_ir::ops::top_k::TopK;
use latentc_ir::scalar::{ReduceOp, ScalarOp};

rows! {
    "ReduceSum" [1, 11, 13] sum;
    "ReduceMean" [1, 11, 13, 18] mean;
    "ReduceMax" [1, 11, 12, 13, 18, 20] max;
    "ReduceMin" [1, 11, 12, 13, 18, 20] min;
    "ReduceProd" [1, 11, 13, 18] prod;
    "ReduceL1" [1, 11, 13, 18] l1;
    "ReduceL2" [1, 11, 13, 18] l2;
    "ReduceLogSum" [1, 11, 13, 18] log_sum;
    "ReduceLogSumExp" [1, 11, 13, 18] log_sum_exp;
    "ReduceSumSquare" [1, 11, 13, 18] sum_square;
    "ArgMax" [1, 11, 12, 13] arg_max;
    "ArgMin" [1, 11, 12, 13] arg_min;
    "TopK" [1, 10, 11, 24] top_k;
}

/// The operand, the axes, and whether they stay.
fn along(im: &mut Importer<'_>, n: &Node<'_>) -> R<(Operand, Axes, bool)> {
    let x = n.x(0)?;
    let rank = im.rank(x);
    let axes = match (n.opt(1)?, n.ints("axes")) {
        (Some(axes), _) => im.known_ints(axes)?,
        (None, Some(axes)) => axes.to_vec(),
        (None, None) => vec![],
    };
    let axes = if !axes.is_empty() {
        im.axes(&axes, rank)?
    } else if n.flag("noop_with_empty_axes", false) {
        Axes::new()
    } else {
        (0..rank).collect()
    };
    Ok((x, axes, n.flag("keepdims", true)))
}

fn plain(im: &mut Importer<'_>, n: &Node<'_>, op: ReduceOp) -> R<Vec<Val>> {
    let (x, axes, keep) = along(im, n)?;
    let y = im.reduce(op, x, &axes, keep)?;
    im.one(y)
}

fn sum(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    plain(im, n, ReduceOp::Sum)
}

fn max(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    plain(im, n, ReduceOp::Max)
}

fn min(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    plain(im, n, ReduceOp::Min)
}

fn prod(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    plain(im, n, ReduceOp::Prod)
}

fn mean(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, axes, keep) = along(im, n)?;
    let y = if im.dtype(x).is_float() {
        im.mean(x, &axes, keep)?
    } else {
        let dtype = im.dtype(x);
        let wide = im.cast(x, DType::F64)?;
        let y = im.mean(wide, &axes, keep)?;
        im.cast(y, dtype)?
    };
    im.one(y)
}

fn l1(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, axes, keep) = along(im, n)?;
    let x = im.un(ScalarOp::Abs, x)?;
    let y = im.sum(x, &axes, keep)?;
    im.one(y)
}

fn square_sum(im: &mut Importer<'_>, n: &Node<'_>) -> R {
    let (x, axes, keep) = along(im, n)?;
    let x = im.un(ScalarOp::Square, x)?;
    im.sum(x, &axes, keep)
}

fn sum_square(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let y = square_sum(im, n)?;
    im.one(y)
}

/// A function of floats, of integers by way of f64.
fn as_float(im: &mut Importer<'_>, op: ScalarOp, x: Operand) -> R {
    let dtype = im.dtype(x);
    if dtype.is_float() {
        return im.un(op, x);
    }
    let wide = im.cast(x, DType::F64)?;
    let y = im.un(op, wide)?;
    im.cast(y, dtype)
}

fn l2(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let y = square_sum(im, n)?;
    let y = as_float(im, ScalarOp::Sqrt, y)?;
    im.one(y)
}

fn log_sum(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, axes, keep) = along(im, n)?;
    let y = im.sum(x, &axes, keep)?;
    let y = as_float(im, ScalarOp::Log, y)?;
    im.one(y)
}

/// With the greatest value taken out first, where it is finite.
fn log_sum_exp(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, axes, keep) = along(im, n)?;
    let dtype = im.dtype(x);
    let x = im.widen(x)?;
    let x = if dtype.is_float() { x } else { im.cast(x, DType::F64)? };
    let top = im.reduce(ReduceOp::Max, x, &axes, true)?;
    let size = im.un(ScalarOp::Abs, top)?;
    let bound = im.like(size, f64::MAX.min(3e38));
    let finite = im.map(ScalarOp::Le, &[size, bound])?;
    let zero = im.like(top, 0.0);
    let top = im.select(finite, top, zero)?;
    let e = im.sub(x, top)?;
    let e = im.un(ScalarOp::Exp, e)?;
    let s = im.sum(e, &axes, true)?;
    let s = im.un(ScalarOp::Log, s)?;
    let y = im.add(s, top)?;
    let y = if keep { y } else { im.squeeze(y, &axes)? };
    let y = im.cast(y, dtype)?;
    im.one(y)
}

/// Numbers whose order is the reverse.
fn reversed(im: &mut Importer<'_>, x: Operand) -> R {
    let dtype = im.dtype(x);
    if dtype.is_float() {
        return im.un(ScalarOp::Neg, x);
    }
    // All bits the other way round: without a number that has no negative.
    let x = if dtype == DType::Bool { im.cast(x, DType::U8)? } else { x };
    im.un(ScalarOp::Not, x)
}

/// The positions of the first greatest elements along an axis, i32, the axis with size 1.
pub(super) fn first_greatest(im: &mut Importer<'_>, x: Operand, axis: usize) -> R {
    let last = im.rank(x) - 1;
    let x = if im.dtype(x) == DType::Bool { im.cast(x, DType::U8)? } else { x };
    let mut axes: Vec<usize> = (0..=last).collect();
    axes.swap(axis, last);
    let x = im.permute(x, &axes)?;
    let all = im.op_all(TopK { k: 1 }, &[x])?;
    im.permute(all[1], &axes)
}

fn arg(im: &mut Importer<'_>, n: &Node<'_>, least: bool) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let rank = im.rank(x);
    let axis = im.axis(n.int("axis", 0), rank)?;
    let x = if least { reversed(im, x)? } else { x };
    let last = n.flag("select_last_index", false);
    let x = if last { im.flip(x, axis)? } else { x };
    let mut y = first_greatest(im, x, axis)?;
    if last {
        let end = im.size(x, axis)? as i64 - 1;
        let end = im.like_int(y, end);
        y = im.sub(end, y)?;
    }
    let y = if n.flag("keepdims", true) { y } else { im.squeeze(y, &[axis])? };
    let y = im.cast(y, DType::I64)?;
    im.one(y)
}

fn arg_max(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    arg(im, n, false)
}

fn arg_min(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    arg(im, n, true)
}

fn top_k(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let k = match n.opt(1)? {
        Some(k) => im.known_int(k)?,
        None => n.int("k", 0),
    };
    let rank = im.rank(x);
    let axis = im.axis(n.int("axis", -1), rank)?;
    let k = usize::try_from(k).map_err(|_| format!("k is {k}"))?;
    let mut axes: Vec<usize> = (0..rank).collect();
    axes.swap(axis, rank - 1);
    if k == 0 {
        let mut shape = im.shape(x);
        shape[axis] = 0.into();
        let values = im.fill_of(x, 0, shape.clone());
        let ids = im.fill(Literal::zero(DType::I64), shape);
        return Ok(vec![im.t(values), im.t(ids)]);
    }
    let x = im.permute(x, &axes)?;
    let least = !n.flag("largest", true);
    let key = if least { reversed(im, x)? } else { x };
    let all = im.op_all(TopK { k }, &[key])?;
    let values = if least { reversed(im, all[0])? } else { all[0] };
    let (values, ids) = (im.permute(values, &axes)?, im.permute(all[1], &axes)?);
    let ids = im.cast(ids, DType::I64)?;
    Ok(vec![im.t(values), im.t(ids)])
}
