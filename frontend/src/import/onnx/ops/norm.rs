//! Normalisations.

use crate::import::onnx::cx::R;
use crate::import::onnx::elem::Elem;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::graph::Operand;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::Shape;

rows! {
    "BatchNormalization" [1, 6, 7, 9, 14, 15] batch;
    "InstanceNormalization" [1, 6, 22] instance;
    "LayerNormalization" [17] layer;
    "GroupNormalization" [18, 21] group;
    "RMSNormalization" [23] rms;
    "LRN" [1, 13] local_response;
    "LpNormalization" [1, 22] lp;
    "MeanVarianceNormalization" [9, 13] mean_variance;
    "Dropout" [1, 6, 7, 10, 12, 13, 22] dropout;
}

/// `x - mean x`, the mean, and the mean of the squares of the difference.
fn moments(im: &mut Importer<'_>, x: Operand, axes: &[usize]) -> R<(Operand, Operand, Operand)> {
    let mean = im.mean(x, axes, true)?;
    let d = im.sub(x, mean)?;
    let s = im.un(ScalarOp::Square, d)?;
    let var = im.mean(s, axes, true)?;
    Ok((d, mean, var))
}

/// `1 / sqrt(var + epsilon)`
fn inverse(im: &mut Importer<'_>, var: Operand, epsilon: f64) -> R {
    let v = im.with(ScalarOp::Add, var, epsilon)?;
    let v = im.un(ScalarOp::Sqrt, v)?;
    im.un(ScalarOp::Recip, v)
}

/// A value for each channel, axis 1 of so many.
fn channels(im: &mut Importer<'_>, x: Operand, rank: usize) -> R {
    let mut shape = im.shape(x);
    if rank > 1 {
        shape.extend(std::iter::repeat_n(Dim::constant(1), rank - 2));
    }
    im.reshape(x, shape)
}

fn batch(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let (rank, dtype, epsilon) = (im.rank(x), im.dtype(x), n.float("epsilon", 1e-5));
    let x = im.widen(x)?;
    let mut given = vec![];
    for i in 1..5 {
        let v = n.x(i)?;
        given.push(im.cast_as(v, x)?);
    }
    let training = if n.version >= 14 {
        n.flag("training_mode", false)
    } else {
        n.version < 7 && !n.flag("is_test", false)
    };
    let (mut mean, mut var) = (given[2], given[3]);
    let mut out = vec![];
    if training {
        let axes: Vec<usize> = (0..rank).filter(|a| *a != 1).collect();
        let (_, m, v) = moments(im, x, &axes)?;
        let (m, v) = (im.squeeze(m, &axes)?, im.squeeze(v, &axes)?);
        let momentum = n.float("momentum", 0.9);
        for (old, new, at) in [(mean, m, 3), (var, v, 4)] {
            let a = im.with(ScalarOp::Mul, old, momentum)?;
            let b = im.with(ScalarOp::Mul, new, 1.0 - momentum)?;
            let y = im.add(a, b)?;
            let to = im.dtype(n.x(at)?);
            let y = im.cast(y, to)?;
            out.push(im.t(y));
        }
        (mean, var) = (m, v);
    }
    let inv = inverse(im, var, epsilon)?;
    let scale = im.mul(given[0], inv)?;
    let (mean, scale, bias) =
        (channels(im, mean, rank)?, channels(im, scale, rank)?, channels(im, given[1], rank)?);
    let d = im.sub(x, mean)?;
    let y = im.mul(d, scale)?;
    let y = im.add(y, bias)?;
    let y = im.cast(y, dtype)?;
    out.insert(0, im.t(y));
    Ok(out)
}

/// Normalises along axes, then scales and shifts by values that broadcast.
fn normalise(im: &mut Importer<'_>, x: Operand, axes: &[usize], epsilon: f64) -> R {
    let (d, _, var) = moments(im, x, axes)?;
    let inv = inverse(im, var, epsilon)?;
    im.mul(d, inv)
}

fn instance(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, scale, bias) = (n.x(0)?, n.x(1)?, n.x(2)?);
    let (rank, dtype) = (im.rank(x), im.dtype(x));
    let x = im.widen(x)?;
    let y = normalise(im, x, &(2..rank).collect::<Vec<_>>(), n.float("epsilon", 1e-5))?;
    let (scale, bias) = (im.cast_as(scale, y)?, im.cast_as(bias, y)?);
    let (scale, bias) = (channels(im, scale, rank)?, channels(im, bias, rank)?);
    let y = im.mul(y, scale)?;
    let y = im.add(y, bias)?;
    let y = im.cast(y, dtype)?;
    im.one(y)
}

fn stash(im: &Importer<'_>, n: &Node<'_>) -> R<DType> {
    let (_, dtype) = im.elem_attr(n, "stash_type", Some(Elem::Float))?;
    Ok(dtype)
}

fn layer(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, scale) = (n.x(0)?, n.x(1)?);
    let (rank, dtype) = (im.rank(x), im.dtype(x));
    let axis = im.axis(n.int("axis", -1), rank)?;
    let wide = stash(im, n)?;
    let x = im.cast(x, wide)?;
    let axes: Vec<usize> = (axis..rank).collect();
    let (d, mean, var) = moments(im, x, &axes)?;
    let inv = inverse(im, var, n.float("epsilon", 1e-5))?;
    let y = im.mul(d, inv)?;
    let y = im.cast(y, dtype)?;
    let mut y = im.mul(y, scale)?;
    if let Some(bias) = n.opt(2)? {
        y = im.add(y, bias)?;
    }
    Ok(vec![im.t(y), im.t(mean), im.t(inv)])
}

fn rms(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, scale) = (n.x(0)?, n.x(1)?);
    let (rank, dtype) = (im.rank(x), im.dtype(x));
    let axis = im.axis(n.int("axis", -1), rank)?;
    let wide = stash(im, n)?;
    let x = im.cast(x, wide)?;
    let axes: Vec<usize> = (axis..rank).collect();
    let s = im.un(ScalarOp::Square, x)?;
    let mean = im.mean(s, &axes, true)?;
    let inv = inverse(im, mean, n.float("epsilon", 1e-5))?;
    let y = im.mul(x, inv)?;
    let out = im.dtype(scale);
    let y = im.cast(y, dtype)?;
    let y = im.cast(y, out)?;
    let y = im.mul(y, scale)?;
    im.one(y)
}

fn group(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, mut scale, mut bias) = (n.x(0)?, n.x(1)?, n.x(2)?);
    let (rank, dtype, shape) = (im.rank(x), im.dtype(x), im.shape(x));
    if rank < 2 {
        return Err("at least two axes are expected".into());
    }
    let groups = n.int("num_groups", 0);
    if groups < 1 || shape[1].as_const().is_none_or(|c| c % groups != 0) {
        return Err(format!("{groups} groups of {} channels", shape[1]).into());
    }
    let wide = if n.version >= 21 { stash(im, n)? } else { DType::F32 };
    let wide = if dtype == DType::F64 { dtype } else { wide };
    let each = shape[1].floor_div(&Dim::constant(groups));
    let mut split: Shape = Shape::from_iter([shape[0].clone(), Dim::constant(groups), each.clone()]);
    split.extend(shape[2..].iter().cloned());
    let y = im.cast(x, wide)?;
    let y = im.reshape(y, split.clone())?;
    let y = normalise(im, y, &(2..=rank).collect::<Vec<_>>(), n.float("epsilon", 1e-5))?;
    let y = im.reshape(y, shape)?;
    let mut y = im.cast(y, dtype)?;
    if n.version < 21 {
        // One for each group, so the same for its channels.
        for v in [&mut scale, &mut bias] {
            let wide = im.unsqueeze(*v, &[1])?;
            let wide = im.expand(wide, &[Dim::constant(groups), each.clone()])?;
            *v = im.reshape(wide, Shape::from_iter([&Dim::constant(groups) * &each]))?;
        }
    }
    let (scale, bias) = (channels(im, scale, rank)?, channels(im, bias, rank)?);
    y = im.mul(y, scale)?;
    y = im.add(y, bias)?;
    im.one(y)
}

/// `x / (bias + alpha / size * sum of squares of the channels around)^beta`
fn local_response(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let (rank, dtype) = (im.rank(x), im.dtype(x));
    let size = usize::try_from(n.int("size", 0)).ok().filter(|s| (1..1 << 20).contains(s));
    let (Some(size), true) = (size, rank >= 2) else { return Err("a size of at least 1 is expected".into()) };
    let x = im.widen(x)?;
    let s = im.un(ScalarOp::Square, x)?;
    let before = (size - 1) / 2;
    let padded = im.pad(s, 1, before, size - 1 - before, 0.0)?;
    let c = im.dim(x, 1)?;
    let mut sum = None;
    for i in 0..size {
        let part = im.slice(padded, 1, Dim::from(i), &c + &Dim::from(i), 1)?;
        sum = Some(match sum {
            None => part,
            Some(s) => im.add(s, part)?,
        });
    }
    let Some(sum) = sum else { return Err("no channel is summed".into()) };
    let y = im.with(ScalarOp::Mul, sum, n.float("alpha", 1e-4) / size as f64)?;
    let y = im.with(ScalarOp::Add, y, n.float("bias", 1.0))?;
    let y = im.with(ScalarOp::Pow, y, n.float("beta", 0.75))?;
    let y = im.div(x, y)?;
    let y = im.cast(y, dtype)?;
    im.one(y)
}

fn lp(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let (axis, dtype) = (im.axis(n.int("axis", -1), im.rank(x))?, im.dtype(x));
    let x = im.widen(x)?;
    let norm = match n.int("p", 2) {
        1 => {
            let a = im.un(ScalarOp::Abs, x)?;
            im.sum(a, &[axis], true)?
        }
        2 => {
            let s = im.un(ScalarOp::Square, x)?;
            let s = im.sum(s, &[axis], true)?;
            im.un(ScalarOp::Sqrt, s)?
        }
        p => return n.mode_unknown("p", &p.to_string()),
    };
    let zero = im.like(norm, 0.0);
    let none = im.map(ScalarOp::Eq, &[norm, zero])?;
    let one = im.like(norm, 1.0);
    let norm = im.map(ScalarOp::Select, &[none, one, norm])?;
    let y = im.div(x, norm)?;
    let y = im.cast(y, dtype)?;
    im.one(y)
}

fn mean_variance(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let rank = im.rank(x);
    let axes = im.axes(n.ints("axes").unwrap_or(&[0, 2, 3]), rank)?;
    let dtype = im.dtype(x);
    let x = im.widen(x)?;
    let (d, _, var) = moments(im, x, &axes)?;
    let dev = im.un(ScalarOp::Sqrt, var)?;
    let dev = im.with(ScalarOp::Add, dev, 1e-9)?;
    let y = im.div(d, dev)?;
    let y = im.cast(y, dtype)?;
    im.one(y)
}

/// Nothing is dropped when a model is used; dropping while training needs draws that the format leaves open.
fn dropout(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let training = match n.opt(2)? {
        Some(t) if n.version >= 12 => im.known_bool(t)?,
        _ => n.version < 7 && !n.flag("is_test", false),
    };
    let ratio = match n.opt(1)? {
        Some(r) if n.version >= 12 => im.value(r)?.get(0).as_f64(),
        _ => n.float("ratio", 0.5),
    };
    if training && ratio != 0.0 {
        return Err(crate::import::onnx::error::Fault::Unsupported("Dropout in training".to_owned()));
    }
    let shape = im.shape(x);
    let mask = im.fill(latentc_ir::dtype::Literal::int(DType::Bool, 1), shape);
    let mask = if n.version < 10 { im.cast_as(mask, x)? } else { mask };
    Ok(vec![im.t(x), im.t(mask)])
}
