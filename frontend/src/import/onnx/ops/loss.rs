//! Losses over classes.

use crate::import::onnx::cx::R;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::dtype::DType;
use latentc_ir::graph::Operand;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::Shape;

rows! {
    "NegativeLogLikelihoodLoss" [12, 13, 22] likelihood;
    "SoftmaxCrossEntropyLoss" [12, 13] cross_entropy;
}

/// `-w[t] x[t]` of log-probabilities `[n, c, d..]` and classes `[n, d..]`, put together as asked for.
fn loss(im: &mut Importer<'_>, n: &Node<'_>, log: Operand) -> R {
    let classes = n.x(1)?;
    if im.rank(log) < 2 || im.rank(classes) + 1 != im.rank(log) {
        return Err("scores [n, c, d..] and classes [n, d..] are expected".into());
    }
    let rank = im.rank(log);
    let classes = im.cast(classes, DType::I64)?;
    let shape = im.shape(classes);
    let count = im.dim(log, 1)?;
    // One class of each: a sum over all with a condition, so no position is ever out of range.
    let at = im.iota_along(count, 1, rank, DType::I64)?;
    let t = im.unsqueeze(classes, &[1])?;
    let hit = im.bin(ScalarOp::Eq, at, t)?;
    let zero = im.like(log, 0.0);
    let chosen = im.select(hit, log, zero)?;
    let picked = im.sum(chosen, &[1], false)?;
    let dtype = im.dtype(log);
    let mut weight = match n.opt(2)? {
        Some(w) => {
            let w = im.cast(w, dtype)?;
            let mut wide: Shape = im.shape(w);
            wide.extend(std::iter::repeat_n(1.into(), rank - 2));
            let w = im.reshape(w, wide)?;
            let w = im.select(hit, w, zero)?;
            im.sum(w, &[1], false)?
        }
        None => im.fill(latentc_ir::dtype::Literal::int(dtype, 1), shape),
    };
    if let Some(ignored) = n.attr("ignore_index") {
        let i = im.like_int(classes, ignored.i);
        let kept = im.map(ScalarOp::Ne, &[classes, i])?;
        let none = im.like(weight, 0.0);
        weight = im.map(ScalarOp::Select, &[kept, weight, none])?;
    }
    let y = im.mul(picked, weight)?;
    let y = im.un(ScalarOp::Neg, y)?;
    let all: Vec<usize> = (0..rank - 1).collect();
    match n.word("reduction", "mean")? {
        "none" => Ok(y),
        "sum" => im.sum(y, &all, false),
        "mean" => {
            let (sum, weights) = (im.sum(y, &all, false)?, im.sum(weight, &all, false)?);
            im.div(sum, weights)
        }
        other => n.mode_unknown("reduction", other),
    }
}

fn likelihood(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let dtype = im.dtype(x);
    let x = im.widen(x)?;
    let y = loss(im, n, x)?;
    let y = im.cast(y, dtype)?;
    im.one(y)
}

fn cross_entropy(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let dtype = im.dtype(x);
    if im.rank(x) < 2 {
        return Err("scores of at least two axes are expected".into());
    }
    let log = super::softmax::log_soft(im, x, 1)?;
    let y = loss(im, n, log)?;
    let (y, log) = (im.cast(y, dtype)?, im.cast(log, dtype)?);
    Ok(vec![im.t(y), im.t(log)])
}
