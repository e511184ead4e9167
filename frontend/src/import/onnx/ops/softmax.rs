//! The softmax family.

use crate::import::onnx::cx::R;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::dtype::DType;
use latentc_ir::graph::Operand;
use latentc_ir::scalar::{ReduceOp, ScalarOp};

rows! {
    "Softmax" [1, 11, 13] softmax;
    "LogSoftmax" [1, 11, 13] log_softmax;
    "Hardmax" [1, 11, 13] hardmax;
}

/// Applies a function along an axis. Before operator set 13 all axes from that one on count as one.
fn along(
    im: &mut Importer<'_>,
    n: &Node<'_>,
    f: impl FnOnce(&mut Importer<'_>, Operand, usize) -> R,
) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let (rank, dtype) = (im.rank(x), im.dtype(x));
    let y = if n.version >= 13 {
        let axis = im.axis(n.int("axis", -1), rank)?;
        f(im, x, axis)?
    } else {
        let axis = n.int("axis", 1);
        let axis = if axis == rank as i64 { rank } else { im.axis(axis, rank)? };
        let shape = im.shape(x);
        let flat = im.flatten(x, axis)?;
        let y = f(im, flat, 1)?;
        im.reshape(y, shape)?
    };
    let y = im.cast(y, dtype)?;
    im.one(y)
}

/// `x - max x` along an axis, a greatest value of minus infinity taken for zero.
fn shifted(im: &mut Importer<'_>, x: Operand, axis: usize) -> R {
    let top = im.reduce(ReduceOp::Max, x, &[axis], true)?;
    im.sub(x, top)
}

/// `e^x / sum e^x` along an axis.
pub(super) fn soft(im: &mut Importer<'_>, x: Operand, axis: usize) -> R {
    let x = im.widen(x)?;
    let x = shifted(im, x, axis)?;
    let e = im.un(ScalarOp::Exp, x)?;
    let s = im.sum(e, &[axis], true)?;
    im.div(e, s)
}

/// `x - log sum e^x` along an axis.
pub(super) fn log_soft(im: &mut Importer<'_>, x: Operand, axis: usize) -> R {
    let x = im.widen(x)?;
    let x = shifted(im, x, axis)?;
    let e = im.un(ScalarOp::Exp, x)?;
    let s = im.sum(e, &[axis], true)?;
    let s = im.un(ScalarOp::Log, s)?;
    im.sub(x, s)
}

fn softmax(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    along(im, n, soft)
}

fn log_softmax(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    along(im, n, log_soft)
}

/// 1 at the first greatest element, else 0.
fn hardmax(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    along(im, n, |im, x, axis| {
        let first = super::reduce::first_greatest(im, x, axis)?;
        let (size, rank) = (im.dim(x, axis)?, im.rank(x));
        let at = im.iota_along(size, axis, rank, DType::I32)?;
        let hit = im.bin(ScalarOp::Eq, at, first)?;
        im.cast(hit, DType::F32)
    })
}
