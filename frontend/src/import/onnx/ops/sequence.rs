//! Sequences and values that may be absent: both are taken apart when a model is imported.

use crate::import::onnx::cx::R;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, T, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::array::Array;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::types::Shape;

rows! {
    "SequenceConstruct" [11] construct;
    "SequenceEmpty" [11] empty;
    "SequenceAt" [11] at;
    "SequenceInsert" [11] insert;
    "SequenceErase" [11] erase;
    "SequenceLength" [11] length;
    "SplitToSequence" [11, 24] split;
    "ConcatFromSequence" [11] concat;
    "SequenceMap" [17] map;
    "Optional" [15] optional;
    "OptionalHasElement" [15, 18] has_element;
    "OptionalGetElement" [15, 18] get_element;
}

fn seq(n: &Node<'_>, at: usize) -> R<Vec<Val>> {
    match n.val(at) {
        Some(Val::Seq(all)) => Ok(all.clone()),
        Some(Val::Opt(Some(v))) => match &**v {
            Val::Seq(all) => Ok(all.clone()),
            _ => Err(format!("operand {at} is no sequence").into()),
        },
        _ => Err(format!("operand {at} is no sequence").into()),
    }
}

fn construct(_: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    Ok(vec![Val::Seq(n.ins.iter().flatten().cloned().collect())])
}

fn empty(_: &mut Importer<'_>, _: &Node<'_>) -> R<Vec<Val>> {
    Ok(vec![Val::Seq(vec![])])
}

/// A position of a sequence, which has to be known, counted from the end where negative.
fn position(im: &mut Importer<'_>, n: &Node<'_>, at: usize, len: usize, beyond: bool) -> R<Option<usize>> {
    let Some(p) = n.opt(at)? else { return Ok(None) };
    let p = im.known_int(p)?;
    let i = if p < 0 { p.saturating_add(len as i64) } else { p };
    match usize::try_from(i) {
        Ok(i) if i < len || (beyond && i == len) => Ok(Some(i)),
        _ => Err(format!("position {p} of a sequence of {len}").into()),
    }
}

fn at(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let all = seq(n, 0)?;
    match position(im, n, 1, all.len(), false)? {
        Some(i) => Ok(vec![all[i].clone()]),
        None => Err("operand 1 is missing".into()),
    }
}

fn insert(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let mut all = seq(n, 0)?;
    let new = n.val(1).cloned().ok_or("operand 1 is missing")?;
    let i = position(im, n, 2, all.len(), true)?.unwrap_or(all.len());
    all.insert(i, new);
    Ok(vec![Val::Seq(all)])
}

fn erase(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let mut all = seq(n, 0)?;
    let i = match position(im, n, 1, all.len(), false)? {
        Some(i) => i,
        None => all.len().checked_sub(1).ok_or("the sequence is empty")?,
    };
    all.remove(i);
    Ok(vec![Val::Seq(all)])
}

fn length(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let all = seq(n, 0)?;
    let y = im.fill(Literal::int(DType::I64, all.len() as i64), Shape::new());
    im.one(y)
}

fn split(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let axis = im.axis(n.int("axis", 0), im.rank(x))?;
    let size = im.size(x, axis)? as i64;
    let (sizes, keep) = match n.opt(1)? {
        None => (vec![1; size as usize], n.flag("keepdims", true)),
        Some(s) if im.rank(s) == 0 => {
            let each = im.known_int(s)?;
            if each < 1 {
                return Err(format!("parts of {each}").into());
            }
            ((0..(size + each - 1) / each).map(|i| each.min(size - i * each)).collect(), true)
        }
        Some(s) => (im.known_ints(s)?, true),
    };
    let parts = super::movement::parts(im, x, axis, &sizes)?;
    let mut out = vec![];
    for p in parts {
        let p = if keep { p } else { im.squeeze(p, &[axis])? };
        out.push(im.t(p));
    }
    Ok(vec![Val::Seq(out)])
}

fn concat(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let mut parts = vec![];
    for v in seq(n, 0)? {
        match v {
            Val::Tensor(T { o, .. }) => parts.push(o),
            _ => return Err("a sequence of tensors is expected".into()),
        }
    }
    let Some(first) = parts.first() else { return Err("the sequence is empty".into()) };
    let new = n.flag("new_axis", false);
    let axis = im.axis(n.int("axis", 0), im.rank(*first) + usize::from(new))?;
    let y = if new { im.stack(&parts, axis)? } else { im.concat(&parts, axis)? };
    im.one(y)
}

/// The body for each element of the first sequence, and of the others at the same position.
fn map(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let body = n.graph("body")?;
    let first = seq(n, 0)?;
    let mut outs: Vec<Vec<Val>> = vec![vec![]; body.output.len()];
    for i in 0..first.len() {
        let mut ins = vec![];
        for v in n.ins.iter().flatten() {
            ins.push(match v {
                Val::Seq(all) => all.get(i).cloned().ok_or("sequences of different lengths")?,
                other => other.clone(),
            });
        }
        outs.iter_mut().zip(im.inner(body, ins)?).for_each(|(all, v)| all.push(v));
    }
    Ok(outs.into_iter().map(Val::Seq).collect())
}

fn optional(_: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    Ok(vec![Val::Opt(n.val(0).cloned().map(Box::new))])
}

fn has_element(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let has = !matches!(n.val(0), None | Some(Val::Opt(None)));
    let mut a = Array::zeros(DType::Bool, &[]);
    a.set(0, Literal::int(DType::Bool, i64::from(has)));
    let y = im.constant("has", a);
    im.one(y)
}

fn get_element(_: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    match n.val(0) {
        Some(Val::Opt(Some(v))) => Ok(vec![(**v).clone()]),
        Some(Val::Opt(None)) | None => Err("the value is absent".into()),
        Some(v) => Ok(vec![v.clone()]),
    }
}
