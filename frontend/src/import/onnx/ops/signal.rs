//! Running sums and spectra.

use crate::import::onnx::cx::R;
use crate::import::onnx::error::Fault;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::array::Array;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::Literal;
use latentc_ir::graph::Operand;
use latentc_ir::ops::pad::Pad;
use latentc_ir::scalar::ScalarOp;

rows! {
    "CumSum" [11, 14] sum;
    "CumProd" [26] product;
    "DFT" [17, 20] dft;
    "STFT" [17] stft;
}

/// Each element combined with all before it: with those 1, 2, 4, .. before, in as many steps as the length has bits.
fn running(im: &mut Importer<'_>, n: &Node<'_>, op: ScalarOp, unit: i64) -> R<Vec<Val>> {
    let (x, axis) = (n.x(0)?, n.x(1)?);
    let axis = im.known_int(axis)?;
    let axis = im.axis(axis, im.rank(x))?;
    let size = im.size(x, axis)? as i64;
    let unit = Literal::int(im.dtype(x), unit);
    let reverse = n.flag("reverse", false);
    let shifted = |im: &mut Importer<'_>, x: Operand, by: i64| -> R {
        let by = by.min(size);
        let pad = Pad { axis, before: Dim::constant(by), after: Dim::constant(0), value: unit };
        let y = im.op(pad, &[x])?;
        im.slice(y, axis, Dim::constant(0), Dim::constant(size), 1)
    };
    let mut y = if reverse { im.flip(x, axis)? } else { x };
    if n.flag("exclusive", false) {
        y = shifted(im, y, 1)?;
    }
    let mut by = 1;
    while by < size {
        let before = shifted(im, y, by)?;
        y = im.map(op, &[y, before])?;
        by *= 2;
    }
    let y = if reverse { im.flip(y, axis)? } else { y };
    im.one(y)
}

fn sum(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    running(im, n, ScalarOp::Add, 0)
}

fn product(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    running(im, n, ScalarOp::Mul, 1)
}

/// Real and imaginary part of `e^(-2 pi i j k / length)` for `j` below `rows` and `k` below `bins`.
fn waves(
    im: &mut Importer<'_>,
    like: Operand,
    [rows, bins, length]: [usize; 3],
    sign: f64,
) -> R<[Operand; 2]> {
    if rows.saturating_mul(bins) > 1 << 24 {
        return Err(Fault::Unsupported(format!("a spectrum of {rows} by {bins}")));
    }
    let dtype = im.dtype(like);
    let turn = |i: usize| {
        let (j, k) = (i / bins.max(1), i % bins.max(1));
        sign * 2.0 * std::f64::consts::PI * ((j * k) % length.max(1)) as f64 / length.max(1) as f64
    };
    let table = |im: &mut Importer<'_>, f: fn(f64) -> f64| {
        let values: Vec<f64> = (0..rows * bins).map(|i| f(turn(i))).collect();
        im.constant("waves", Array::from_f64(dtype, &[rows, bins], &values))
    };
    Ok([table(im, f64::cos), table(im, f64::sin)])
}

/// Real and imaginary part along the last axis of `[.., 1 or 2]`.
fn complex(im: &mut Importer<'_>, x: Operand) -> R<(Operand, Option<Operand>)> {
    let last = im.rank(x) - 1;
    let re = im.at(x, last, 0)?;
    match im.size(x, last)? {
        1 => Ok((re, None)),
        2 => Ok((re, Some(im.at(x, last, 1)?))),
        other => Err(format!("{other} parts of a number").into()),
    }
}

/// A transform along an axis, as a product with a table of waves.
fn dft(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let rank = im.rank(x);
    if rank < 2 {
        return Err("at least two axes are expected".into());
    }
    let axis = match n.opt(2)? {
        Some(a) if n.version >= 20 => im.known_int(a)?,
        _ if n.version >= 20 => -2,
        _ => n.int("axis", 1),
    };
    let axis = im.axis(axis, rank)?;
    if axis == rank - 1 {
        return Err("the last axis has the parts of the numbers".into());
    }
    let (inverse, onesided) = (n.flag("inverse", false), n.flag("onesided", false));
    let given = im.size(x, axis)?;
    let (mut re, mut imag) = complex(im, x)?;
    let length = match n.opt(1)? {
        Some(l) => usize::try_from(im.known_int(l)?).map_err(|_| "a negative length")?,
        None if inverse && onesided => 2 * given.saturating_sub(1),
        None => given,
    };
    // The axis becomes the last one, cut or padded to what is transformed.
    let mut perm: Vec<usize> = (0..rank - 1).filter(|a| *a != axis).collect();
    perm.push(axis);
    let rows = if inverse && onesided { length / 2 + 1 } else { length };
    let fit = |im: &mut Importer<'_>, v: Operand| -> R {
        let v = im.permute(v, &perm)?;
        let v = im.range(v, rank - 2, 0, given.min(rows))?;
        im.pad(v, rank - 2, 0, rows.saturating_sub(given), 0.0)
    };
    re = fit(im, re)?;
    if let Some(i) = imag {
        imag = Some(fit(im, i)?);
    }
    if inverse && onesided {
        // The other half is the conjugate of what is given, in reverse.
        let half = (length - 1) / 2;
        let i = match imag {
            Some(i) => i,
            None => im.like(re, 0.0),
        };
        let (r2, i2) = (im.range(re, rank - 2, 1, 1 + half)?, im.range(i, rank - 2, 1, 1 + half)?);
        let (r2, i2) = (im.flip(r2, rank - 2)?, im.flip(i2, rank - 2)?);
        let i2 = im.un(ScalarOp::Neg, i2)?;
        re = im.concat(&[re, r2], rank - 2)?;
        imag = Some(im.concat(&[i, i2], rank - 2)?);
    }
    let bins = if onesided && !inverse { length / 2 + 1 } else { length };
    let (mut a, mut b) = transform(im, re, imag, [length, bins, length], if inverse { 1.0 } else { -1.0 })?;
    if inverse {
        a = im.with(ScalarOp::Div, a, length as f64)?;
        b = im.with(ScalarOp::Div, b, length as f64)?;
    }
    let mut back = vec![0; rank - 1];
    perm.iter().enumerate().for_each(|(to, from)| back[*from] = to);
    let (a, b) = (im.permute(a, &back)?, im.permute(b, &back)?);
    let y = if inverse && onesided { im.unsqueeze(a, &[rank - 1])? } else { im.stack(&[a, b], rank - 1)? };
    im.one(y)
}

/// `[.., length]` times waves `[length, bins]`, both parts.
fn transform(
    im: &mut Importer<'_>,
    re: Operand,
    imag: Option<Operand>,
    sizes: [usize; 3],
    sign: f64,
) -> R<(Operand, Operand)> {
    let [cos, sin] = waves(im, re, sizes, sign)?;
    let (mut a, mut b) = (im.numpy_matmul(re, cos)?, im.numpy_matmul(re, sin)?);
    if let Some(i) = imag {
        let (c, s) = (im.numpy_matmul(i, cos)?, im.numpy_matmul(i, sin)?);
        a = im.sub(a, s)?;
        b = im.add(b, c)?;
    }
    Ok((a, b))
}

/// Spectra of frames of a signal `[n, length, 1 or 2]`.
fn stft(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, step) = (n.x(0)?, n.x(1)?);
    let step = usize::try_from(im.known_int(step)?)
        .ok()
        .filter(|s| *s > 0)
        .ok_or("a frame step of at least 1 is expected")?;
    if im.rank(x) != 3 {
        return Err("three axes are expected".into());
    }
    let window = n.opt(2)?;
    let frame = match (n.opt(3)?, window) {
        (Some(l), _) => usize::try_from(im.known_int(l)?).map_err(|_| "a negative length")?,
        (None, Some(w)) => im.size(w, 0)?,
        (None, None) => return Err("a window or a frame length is expected".into()),
    };
    let length = im.size(x, 1)?;
    if frame == 0 || frame > length {
        return Err(format!("frames of {frame} in a signal of {length}").into());
    }
    let frames = (length - frame) / step + 1;
    let (re, imag) = complex(im, x)?;
    let cut = |im: &mut Importer<'_>, v: Operand| -> R {
        let at = im.iota_along(frames, 0, 2, latentc_ir::dtype::DType::I32)?;
        let at = im.with(ScalarOp::Mul, at, step as f64)?;
        let within = im.iota_along(frame, 1, 2, latentc_ir::dtype::DType::I32)?;
        let at = im.add(at, within)?;
        let v = im.gather(v, at, 1)?;
        match window {
            Some(w) => im.mul(v, w),
            None => Ok(v),
        }
    };
    let re = cut(im, re)?;
    let imag = match imag {
        Some(i) => Some(cut(im, i)?),
        None => None,
    };
    let bins = if n.flag("onesided", true) && imag.is_none() { frame / 2 + 1 } else { frame };
    let (a, b) = transform(im, re, imag, [frame, bins, frame], -1.0)?;
    let y = im.stack(&[a, b], 3)?;
    im.one(y)
}
