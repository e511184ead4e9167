//! Elements moved: transposed, cut, joined, repeated, padded.

use crate::import::onnx::cx::R;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::dim::{Dim, Proof};
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::Operand;
use latentc_ir::ops::broadcast::Broadcast;
use latentc_ir::ops::pad::Pad;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::Shape;

rows! {
    "Transpose" [1, 13, 21, 23, 24, 25] transpose;
    "Concat" [1, 4, 11, 13] concat;
    "Split" [1, 2, 11, 13, 18] split;
    "Slice" [1, 10, 11, 13] slice;
    "Pad" [1, 2, 11, 13, 18, 19, 21, 23, 24, 25] pad;
    "Tile" [6, 13] tile;
    "DepthToSpace" [1, 11, 13] depth_to_space;
    "SpaceToDepth" [1, 13] space_to_depth;
    "CenterCropPad" [18] center_crop_pad;
    "Trilu" [14] trilu;
}

fn transpose(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.any(0)?;
    let rank = im.rank(x.o);
    let perm = match n.ints("perm") {
        Some(p) => p.iter().map(|a| im.axis(*a, rank)).collect::<R<Vec<usize>>>()?,
        None => (0..rank).rev().collect(),
    };
    let y = im.permute(x.o, &perm)?;
    im.keep(x, y)
}

fn concat(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let all = n.all()?;
    let Some(first) = all.first() else { return Err("it has no operand".into()) };
    let axis = im.axis(n.int("axis", 1), im.rank(*first))?;
    let y = im.concat(&all, axis)?;
    im.one(y)
}

/// The parts of an axis of these sizes.
pub(super) fn parts(im: &mut Importer<'_>, x: Operand, axis: usize, sizes: &[i64]) -> R<Vec<Operand>> {
    let size = im.dim(x, axis)?;
    let total = sizes.iter().try_fold(0i64, |n, s| if *s < 0 { None } else { n.checked_add(*s) });
    if total.map(|t| size.eq_proof(&Dim::constant(t))) != Some(Proof::True) {
        return Err(format!("parts of {sizes:?} of an axis of {size}").into());
    }
    let (mut out, mut from) = (vec![], 0i64);
    for s in sizes {
        out.push(im.slice(x, axis, Dim::constant(from), Dim::constant(from + s), 1)?);
        from += s;
    }
    Ok(out)
}

fn split(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let axis = im.axis(n.int("axis", 0), im.rank(x))?;
    let given = match n.opt(1)? {
        Some(s) => Some(im.known_ints(s)?),
        None => n.ints("split").map(<[i64]>::to_vec),
    };
    let sizes = match given {
        Some(s) => s,
        None => {
            let count = n.int("num_outputs", n.outs() as i64);
            let size = im.size(x, axis)? as i64;
            if count < 1 || count > size.max(n.outs() as i64) {
                return Err(format!("{count} parts of an axis of {size}").into());
            }
            // Equal parts, the last one smaller where the size is no multiple.
            let each = (size + count - 1) / count;
            (0..count).map(|i| each.min(size - each * i).max(0)).collect()
        }
    };
    let parts = parts(im, x, axis, &sizes)?;
    Ok(parts.into_iter().map(|p| im.t(p)).collect())
}

/// A list of integers from an operand, or before operator set 10 from an attribute.
fn list(im: &mut Importer<'_>, n: &Node<'_>, at: usize, name: &str) -> R<Option<Vec<i64>>> {
    if n.version < 10 {
        return Ok(n.ints(name).map(<[i64]>::to_vec));
    }
    match n.opt(at)? {
        Some(x) => Ok(Some(im.known_ints(x)?)),
        None => Ok(None),
    }
}

fn slice(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let rank = im.rank(x);
    let axes = list(im, n, 3, "axes")?;
    let steps = list(im, n, 4, "steps")?;
    let bounds = |im: &mut Importer<'_>, at: usize, name: &str| -> R<Vec<Dim>> {
        if n.version >= 10 {
            let x = n.x(at)?;
            return im.known_dims(x);
        }
        Ok(n.ints(name).unwrap_or(&[]).iter().map(|d| Dim::constant(*d)).collect())
    };
    let (starts, ends) = (bounds(im, 1, "starts")?, bounds(im, 2, "ends")?);
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if starts.len() != ends.len() || starts.len() != axes.len() || starts.len() != steps.len() {
        return Err("starts, ends, axes and steps are not as many".into());
    }
    let mut y = x;
    for (((axis, step), start), end) in axes.iter().zip(&steps).zip(&starts).zip(&ends) {
        let axis = im.axis(*axis, rank)?;
        y = cut(im, y, axis, start, end, *step)?;
    }
    im.one(y)
}

/// Positions of an axis, counted from its end where negative, and bounded by it.
fn cut(im: &mut Importer<'_>, x: Operand, axis: usize, start: &Dim, end: &Dim, step: i64) -> R {
    let size = im.dim(x, axis)?;
    let zero = Dim::constant(0);
    let from_front = |d: &Dim| if d.upper() < 0 { d + &size } else { d.clone() };
    if step > 0 {
        let bound = |d: &Dim| from_front(d).max_of(&zero).min_of(&size);
        let (start, end) = (bound(start), bound(end));
        let end = end.max_of(&start);
        return im.slice(x, axis, start, end, step);
    }
    let n = im.size(x, axis)? as i64;
    let (Some(start), Some(end)) = (start.as_const(), end.as_const()) else {
        return Err("a slice backwards between sizes that are not known".into());
    };
    if step == 0 {
        return Err("a step of 0".into());
    }
    let bound = |d: i64| (if d < 0 { d.saturating_add(n) } else { d }).clamp(-1, n - 1);
    let (start, end) = (bound(start), bound(end));
    let by = step.unsigned_abs().min(i64::MAX as u64) as i64;
    let count = if start > end { (start - end - 1) / by + 1 } else { 0 };
    if count == 0 {
        return im.range(x, axis, 0, 0);
    }
    let low = start - (count - 1) * by;
    let y = im.slice(x, axis, Dim::constant(low), Dim::constant(start + 1), by)?;
    im.flip(y, axis)
}

fn pad(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let rank = im.rank(x);
    let pads = match n.opt(1)? {
        Some(p) => im.known_ints(p)?,
        None => n.ints("pads").or(n.ints("paddings")).unwrap_or(&[]).to_vec(),
    };
    let value = match n.opt(2)? {
        Some(v) => im.value(v)?.get(0),
        None => Literal::float(im.dtype(x), n.float("value", 0.0)),
    };
    let axes = match n.opt(3)? {
        Some(a) => im.known_ints(a)?.iter().map(|a| im.axis(*a, rank)).collect::<R<Vec<usize>>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("{} pads for {} axes", pads.len(), axes.len()).into());
    }
    let mode = n.word("mode", "constant")?.to_owned();
    let mut y = x;
    for (i, axis) in axes.iter().enumerate() {
        y = pad_axis(im, n, y, *axis, [pads[i], pads[axes.len() + i]], &mode, value)?;
    }
    im.one(y)
}

fn pad_axis(
    im: &mut Importer<'_>,
    n: &Node<'_>,
    x: Operand,
    axis: usize,
    [before, after]: [i64; 2],
    mode: &str,
    value: Literal,
) -> R {
    // What is taken away goes first.
    let mut x = x;
    if before < 0 || after < 0 {
        let size = im.dim(x, axis)?;
        let (start, end) = (Dim::constant((-before).max(0)), &size + &Dim::constant(after.min(0)));
        x = im.slice(x, axis, start, end, 1)?;
    }
    let (before, after) = (before.max(0), after.max(0));
    if before == 0 && after == 0 {
        return Ok(x);
    }
    if mode == "constant" {
        let value =
            if value.dtype() == im.dtype(x) { value } else { Literal::float(im.dtype(x), value.as_f64()) };
        let pad = Pad { axis, before: Dim::constant(before), after: Dim::constant(after), value };
        return im.op(pad, &[x]);
    }
    let size = im.size(x, axis)? as i64;
    let total = size.saturating_add(before).saturating_add(after);
    if size == 0 || total > i64::from(i32::MAX) {
        return Err(format!("pads of {before} and {after} by the elements of an axis of {size}").into());
    }
    let at = |i: i64| match mode {
        "edge" => Some(i.clamp(0, size - 1)),
        "wrap" => Some(i.rem_euclid(size)),
        "reflect" if size == 1 => Some(0),
        "reflect" => {
            let period = 2 * (size - 1);
            let i = i.rem_euclid(period);
            Some(if i < size { i } else { period - i })
        }
        _ => None,
    };
    let at: Option<Vec<i32>> = (-before..size + after).map(|i| at(i).map(|i| i as i32)).collect();
    match at {
        Some(at) => im.take(x, axis, &at),
        None => n.mode_unknown("mode", mode),
    }
}

fn tile(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let repeats = n.x(1)?;
    let repeats = im.known_dims(repeats)?;
    let shape = im.shape(x);
    if repeats.len() != shape.len() {
        return Err(format!("{} repeats for {} axes", repeats.len(), shape.len()).into());
    }
    if let Some(bad) = repeats.iter().find(|r| r.lower() < 0) {
        return Err(format!("{bad} repeats").into());
    }
    // [a, b] as [r, a, s, b], of which r and s are new axes.
    let wide: Shape = repeats.iter().zip(&shape).flat_map(|(r, d)| [r.clone(), d.clone()]).collect();
    let axes = (0..shape.len()).map(|a| 2 * a + 1).collect();
    let y = im.op(Broadcast { shape: wide, axes }, &[x])?;
    let y = im.reshape(y, repeats.iter().zip(&shape).map(|(r, d)| r * d).collect())?;
    im.one(y)
}

/// Block size and sizes `[n, c, h, w]`.
fn blocks(im: &mut Importer<'_>, n: &Node<'_>) -> R<(Operand, usize, [Dim; 4])> {
    let x = n.x(0)?;
    let b = usize::try_from(n.int("blocksize", 0)).ok().filter(|b| *b > 0);
    let shape: Vec<Dim> = im.shape(x).to_vec();
    match (b, <[Dim; 4]>::try_from(shape)) {
        (Some(b), Ok(shape)) => Ok((x, b, shape)),
        _ => Err("a block size and four axes are expected".into()),
    }
}

fn depth_to_space(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, b, [batch, c, h, w]) = blocks(im, n)?;
    let k = Dim::from(b);
    let deep = c.floor_div(&Dim::from(b * b));
    let (shape, perm): ([Dim; 6], _) = match n.word("mode", "DCR")? {
        "DCR" => {
            ([batch.clone(), k.clone(), k.clone(), deep.clone(), h.clone(), w.clone()], [0, 3, 4, 1, 5, 2])
        }
        "CRD" => {
            ([batch.clone(), deep.clone(), k.clone(), k.clone(), h.clone(), w.clone()], [0, 1, 4, 2, 5, 3])
        }
        other => return n.mode_unknown("mode", other),
    };
    let y = im.reshape(x, shape.into_iter().collect())?;
    let y = im.permute(y, &perm)?;
    let y = im.reshape(y, Shape::from_iter([batch, deep, &h * &k, &w * &k]))?;
    im.one(y)
}

fn space_to_depth(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, b, [batch, c, h, w]) = blocks(im, n)?;
    let k = Dim::from(b);
    let (h, w) = (h.floor_div(&k), w.floor_div(&k));
    let y = im.reshape(
        x,
        Shape::from_iter([batch.clone(), c.clone(), h.clone(), k.clone(), w.clone(), k.clone()]),
    )?;
    let y = im.permute(y, &[0, 3, 5, 1, 2, 4])?;
    let y = im.reshape(y, Shape::from_iter([batch, &c * &Dim::from(b * b), h, w]))?;
    im.one(y)
}

fn center_crop_pad(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (mut x, target) = (n.x(0)?, n.x(1)?);
    let target = im.known_ints(target)?;
    let rank = im.rank(x);
    let axes = match n.ints("axes") {
        Some(a) => a.iter().map(|a| im.axis(*a, rank)).collect::<R<Vec<usize>>>()?,
        None => (0..rank).collect(),
    };
    if target.len() != axes.len() {
        return Err(format!("{} sizes for {} axes", target.len(), axes.len()).into());
    }
    for (axis, to) in axes.into_iter().zip(target) {
        let size = im.size(x, axis)?;
        let to = usize::try_from(to).map_err(|_| format!("a size of {to}"))?;
        if to <= size {
            let from = (size - to) / 2;
            x = im.range(x, axis, from, from + to)?;
        } else {
            let before = (to - size) / 2;
            x = im.pad(x, axis, before, to - size - before, 0.0)?;
        }
    }
    im.one(x)
}

/// The upper or lower triangle of matrices, from a diagonal on.
fn trilu(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let rank = im.rank(x);
    if rank < 2 {
        return Err("matrices are expected".into());
    }
    let (rows, cols) = (im.dim(x, rank - 2)?, im.dim(x, rank - 1)?);
    let row = im.iota_along(rows, 0, 2, DType::I64)?;
    let col = im.iota_along(cols, 1, 2, DType::I64)?;
    let from = match n.opt(1)? {
        Some(k) => {
            let k = im.reshape(k, Shape::new())?;
            im.add(row, k)?
        }
        None => row,
    };
    let op = if n.flag("upper", true) { ScalarOp::Ge } else { ScalarOp::Le };
    let inside = im.bin(op, col, from)?;
    let zero = im.fill_of(x, 0, Shape::new());
    let y = im.select(inside, x, zero)?;
    im.one(y)
}
