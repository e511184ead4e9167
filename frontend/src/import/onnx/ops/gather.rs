//! Elements at positions that are data.

use crate::import::onnx::cx::R;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::array::Array;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::graph::Operand;
use latentc_ir::ops::index::Index;
use latentc_ir::ops::index_update::IndexUpdate;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::Shape;

rows! {
    "Gather" [1, 11, 13] gather;
    "GatherElements" [11, 13] gather_elements;
    "GatherND" [11, 12, 13] gather_nd;
    "Scatter" [9, 11] scatter_elements;
    "ScatterElements" [11, 13, 16, 18] scatter_elements;
    "ScatterND" [11, 13, 16, 18] scatter_nd;
    "TensorScatter" [24] tensor_scatter;
    "OneHot" [9, 11] one_hot;
    "ReverseSequence" [10] reverse_sequence;
    "Compress" [9, 11] compress;
    "NonZero" [9, 13] non_zero;
    "Unique" [11] unique;
    "MaxUnpool" [9, 11, 22] max_unpool;
    "NonMaxSuppression" [10, 11] non_max_suppression;
}

/// Positions counted from the end where negative.
fn from_front(im: &mut Importer<'_>, ids: Operand, size: &Dim) -> R {
    let ids = if matches!(im.dtype(ids), DType::I32 | DType::I64) { ids } else { im.cast(ids, DType::I64)? };
    let zero = im.like_int(ids, 0);
    let below = im.map(ScalarOp::Lt, &[ids, zero])?;
    let size = im.size_of(size)?;
    let size = im.cast_as(size, ids)?;
    let up = im.add(ids, size)?;
    im.map(ScalarOp::Select, &[below, up, ids])
}

fn gather(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, ids) = (n.any(0)?, n.x(1)?);
    let axis = im.axis(n.int("axis", 0), im.rank(x.o))?;
    let size = im.dim(x.o, axis)?;
    let ids = from_front(im, ids, &size)?;
    let y = im.gather(x.o, ids, axis)?;
    im.keep(x, y)
}

/// Coordinates of every element of `ids`, with `ids` itself on one axis.
fn coordinates(im: &mut Importer<'_>, x: Operand, ids: Operand, axis: usize) -> R<Vec<Operand>> {
    let (rank, shape) = (im.rank(x), im.shape(ids));
    if shape.len() != rank {
        return Err(format!("positions of {} axes for {rank}", shape.len()).into());
    }
    let size = im.dim(x, axis)?;
    let ids = from_front(im, ids, &size)?;
    let dtype = im.dtype(ids);
    (0..rank)
        .map(|a| {
            if a == axis {
                return Ok(ids);
            }
            let at = im.iota_along(shape[a].clone(), a, rank, dtype)?;
            im.expand(at, &shape)
        })
        .collect()
}

fn gather_elements(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, ids) = (n.x(0)?, n.x(1)?);
    let axis = im.axis(n.int("axis", 0), im.rank(x))?;
    let mut operands = vec![x];
    operands.extend(coordinates(im, x, ids, axis)?);
    let y = im.op(Index, &operands)?;
    im.one(y)
}

/// Coordinates from the last axis of `ids`, with `batch` leading axes that both have.
fn nd(im: &mut Importer<'_>, x: Operand, ids: Operand, batch: usize) -> R<Vec<Operand>> {
    let (rank, inner) = (im.rank(x), im.rank(ids));
    if inner == 0 {
        return Err("positions have at least one axis".into());
    }
    let count = im.size(ids, inner - 1)?;
    if batch >= inner || batch + count > rank || batch + count == 0 {
        return Err(format!("{count} coordinates behind {batch} axes of {rank}").into());
    }
    let lead: Shape = im.shape(ids)[..inner - 1].iter().cloned().collect();
    let mut all = vec![];
    for b in 0..batch {
        let at = im.iota_along(lead[b].clone(), b, lead.len(), DType::I64)?;
        all.push(im.expand(at, &lead)?);
    }
    for c in 0..count {
        let at = im.at(ids, inner - 1, c)?;
        let size = im.dim(x, batch + c)?;
        let at = from_front(im, at, &size)?;
        all.push(im.cast(at, DType::I64)?);
    }
    Ok(all)
}

fn gather_nd(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, ids) = (n.x(0)?, n.x(1)?);
    let batch = usize::try_from(n.int("batch_dims", 0)).map_err(|_| "a negative batch_dims")?;
    let mut operands = vec![x];
    operands.extend(nd(im, x, ids, batch)?);
    let y = im.op(Index, &operands)?;
    im.one(y)
}

fn combination(n: &Node<'_>) -> R<Option<ReduceOp>> {
    match n.word("reduction", "none")? {
        "none" => Ok(None),
        "add" => Ok(Some(ReduceOp::Sum)),
        "mul" => Ok(Some(ReduceOp::Prod)),
        "max" => Ok(Some(ReduceOp::Max)),
        "min" => Ok(Some(ReduceOp::Min)),
        other => n.mode_unknown("reduction", other),
    }
}

fn scatter_elements(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, ids, new) = (n.x(0)?, n.x(1)?, n.x(2)?);
    let op = combination(n)?;
    let axis = im.axis(n.int("axis", 0), im.rank(x))?;
    let mut operands = vec![x];
    operands.extend(coordinates(im, x, ids, axis)?);
    operands.push(new);
    let y = im.op(IndexUpdate { op }, &operands)?;
    im.one(y)
}

fn scatter_nd(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, ids, new) = (n.x(0)?, n.x(1)?, n.x(2)?);
    let op = combination(n)?;
    let mut operands = vec![x];
    operands.extend(nd(im, x, ids, 0)?);
    operands.push(new);
    let y = im.op(IndexUpdate { op }, &operands)?;
    im.one(y)
}

/// New positions of a cache: `update` from a position of its own for each of the batch.
fn tensor_scatter(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (past, update) = (n.x(0)?, n.x(1)?);
    let rank = im.rank(past);
    let axis = im.axis(n.int("axis", -2), rank)?;
    if axis == 0 || im.rank(update) != rank {
        return Err(format!("an update of {} axes along axis {axis} of {rank}", im.rank(update)).into());
    }
    let circular = match n.word("mode", "linear")? {
        "linear" => false,
        "circular" => true,
        other => return n.mode_unknown("mode", other),
    };
    // Batch and positions first, the axes between behind them.
    let mut perm = vec![0, axis];
    perm.extend((1..rank).filter(|a| *a != axis));
    let (x, u) = (im.permute(past, &perm)?, im.permute(update, &perm)?);
    let lead: Shape = im.shape(u)[..2].iter().cloned().collect();
    let row = im.iota_along(lead[0].clone(), 0, 2, DType::I64)?;
    let row = im.expand(row, &lead)?;
    let mut at = im.iota_along(lead[1].clone(), 1, 2, DType::I64)?;
    if let Some(from) = n.opt(2)? {
        let from = im.cast(from, DType::I64)?;
        let from = im.unsqueeze(from, &[1])?;
        at = im.add(at, from)?;
    }
    if circular {
        let size = im.dim(past, axis)?;
        let size = im.size_of(&size)?;
        at = im.bin(ScalarOp::Rem, at, size)?;
    }
    let at = im.expand(at, &lead)?;
    let y = im.op(IndexUpdate { op: None }, &[x, row, at, u])?;
    let mut back = vec![0; rank];
    for (to, from) in perm.iter().enumerate() {
        back[*from] = to;
    }
    let y = im.permute(y, &back)?;
    im.one(y)
}

fn one_hot(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (ids, depth, values) = (n.x(0)?, n.x(1)?, n.x(2)?);
    let depth = im.value(depth)?;
    if depth.len() != 1 {
        return Err(format!("{} depths", depth.len()).into());
    }
    let depth = Dim::constant(depth.get(0).as_i64().max(0));
    let ids = im.cast(ids, DType::I64)?;
    let rank = im.rank(ids) + 1;
    let axis = im.axis(n.int("axis", -1), rank)?;
    let ids = from_front(im, ids, &depth)?;
    let ids = im.unsqueeze(ids, &[axis])?;
    let at = im.iota_along(depth, axis, rank, DType::I64)?;
    let hit = im.bin(ScalarOp::Eq, at, ids)?;
    let (off, on) = (im.at(values, 0, 0)?, im.at(values, 0, 1)?);
    let y = im.select(hit, on, off)?;
    im.one(y)
}

/// The first so many positions of each of the batch in reverse.
fn reverse_sequence(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, lens) = (n.x(0)?, n.x(1)?);
    let rank = im.rank(x);
    let (batch, time) = (im.axis(n.int("batch_axis", 1), rank)?, im.axis(n.int("time_axis", 0), rank)?);
    if batch == time || rank < 2 {
        return Err("batch and time are one axis".into());
    }
    let mut perm = vec![batch, time];
    perm.extend((0..rank).filter(|a| *a != batch && *a != time));
    let x = im.permute(x, &perm)?;
    let lead: Shape = im.shape(x)[..2].iter().cloned().collect();
    let row = im.iota_along(lead[0].clone(), 0, 2, DType::I64)?;
    let row = im.expand(row, &lead)?;
    let at = im.iota_along(lead[1].clone(), 1, 2, DType::I64)?;
    let lens = im.cast(lens, DType::I64)?;
    let lens = im.unsqueeze(lens, &[1])?;
    let inside = im.bin(ScalarOp::Lt, at, lens)?;
    let last = im.with(ScalarOp::Sub, lens, 1.0)?;
    let other = im.sub(last, at)?;
    let at = im.select(inside, other, at)?;
    let y = im.op(Index, &[x, row, at])?;
    let mut back = vec![0; rank];
    for (to, from) in perm.iter().enumerate() {
        back[*from] = to;
    }
    let y = im.permute(y, &back)?;
    im.one(y)
}

/// The positions of an axis at which a condition, which has to be known, holds.
fn compress(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (mut x, cond) = (n.x(0)?, n.x(1)?);
    let axis = match n.attr("axis") {
        Some(a) => im.axis(a.i, im.rank(x))?,
        None => {
            let count = latentc_ir::types::product(&im.shape(x));
            x = im.reshape(x, Shape::from_iter([count]))?;
            0
        }
    };
    let size = im.size(x, axis)?;
    let cond = im.known_ints(cond)?;
    let at: Vec<i32> =
        cond.iter().take(size).enumerate().filter(|(_, c)| **c != 0).map(|(i, _)| i as i32).collect();
    let y = im.take(x, axis, &at)?;
    im.one(y)
}

/// Coordinates of what is not zero; the operand has to be known, since they decide the shape.
fn non_zero(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let a = im.value(x)?;
    let hits: Vec<usize> = (0..a.len()).filter(|i| a.get(*i).as_f64() != 0.0).collect();
    let rank = a.shape().len();
    let mut all = vec![0i64; rank * hits.len()];
    for (h, hit) in hits.iter().enumerate() {
        let mut rest = *hit;
        for axis in (0..rank).rev() {
            all[axis * hits.len() + h] = (rest % a.shape()[axis]) as i64;
            rest /= a.shape()[axis];
        }
    }
    let y = im.constant("positions", Array::from_slice(&[rank, hits.len()], &all));
    im.one(y)
}

/// Different slices of a value that has to be known, since they decide the shape.
fn unique(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let a = im.value(x)?;
    let sorted = n.flag("sorted", true);
    let (x, axis) = match n.attr("axis") {
        Some(at) => (x, im.axis(at.i, im.rank(x))?),
        None => (im.reshape_to(x, &[a.len()])?, 0),
    };
    let shape = im.sizes(x)?;
    let (outer, size): (usize, usize) = (shape[..axis].iter().product(), shape[axis]);
    let inner: usize = shape[axis + 1..].iter().product();
    let slice = |i: usize| -> Vec<f64> {
        let at = |o: usize, k: usize| a.get((o * size + i) * inner + k);
        (0..outer).flat_map(|o| (0..inner).map(move |k| at(o, k).as_f64())).collect()
    };
    let slices: Vec<Vec<f64>> = (0..size).map(slice).collect();
    // First positions in order of appearance, then by value where that is asked for.
    let mut firsts: Vec<usize> = vec![];
    for i in 0..size {
        if !firsts.iter().any(|f| slices[*f] == slices[i]) {
            firsts.push(i);
        }
    }
    if sorted {
        firsts.sort_by(|p, q| slices[*p].partial_cmp(&slices[*q]).unwrap_or(std::cmp::Ordering::Equal));
    }
    let class = |i: usize| firsts.iter().position(|f| slices[*f] == slices[i]).unwrap_or(0) as i64;
    let inverse: Vec<i64> = (0..size).map(class).collect();
    let mut counts = vec![0i64; firsts.len()];
    for c in &inverse {
        counts[*c as usize] += 1;
    }
    let at: Vec<i32> = firsts.iter().map(|f| *f as i32).collect();
    let y = im.take(x, axis, &at)?;
    let lists = [firsts.iter().map(|f| *f as i64).collect::<Vec<_>>(), inverse, counts];
    let mut out = vec![im.t(y)];
    for list in lists {
        let o = im.ints(&list);
        out.push(im.t(o));
    }
    Ok(out)
}

/// Values at their positions in the pooled tensor, counted over one sample and channel in the file's way: over
/// the whole tensor of the smallest size that the pooling could have had.
fn max_unpool(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, at) = (n.x(0)?, n.x(1)?);
    let shape = im.sizes(x)?;
    let spatial = shape.len().saturating_sub(2);
    let kernel = n.ints("kernel_shape").unwrap_or(&[]).to_vec();
    let strides = n.ints("strides").map_or(vec![1; spatial], <[i64]>::to_vec);
    let pads = n.ints("pads").map_or(vec![0; 2 * spatial], <[i64]>::to_vec);
    if kernel.len() != spatial || strides.len() != spatial || pads.len() != 2 * spatial || spatial == 0 {
        return Err("kernel, strides and pads are not as many as the axes".into());
    }
    let mut small = shape.clone();
    for i in 0..spatial {
        let size = (shape[i + 2] as i64 - 1) * strides[i] - pads[i] - pads[spatial + i] + kernel[i];
        small[i + 2] = usize::try_from(size).map_err(|_| format!("a size of {size}"))?;
    }
    let total = match n.opt(2)? {
        Some(s) => im.known_ints(s)?.iter().map(|d| usize::try_from(*d).ok()).collect::<Option<Vec<usize>>>(),
        None => Some(small.clone()),
    };
    let total = total.filter(|t| t.len() == shape.len()).ok_or("a wrong output shape")?;
    // Coordinates in the smallest size, row-major over all axes.
    let mut rest = im.cast(at, DType::I64)?;
    let mut coordinates = vec![rest; shape.len()];
    for axis in (0..shape.len()).rev() {
        let size = im.like_int(rest, small[axis].max(1) as i64);
        coordinates[axis] = im.map(ScalarOp::Rem, &[rest, size])?;
        rest = im.map(ScalarOp::Div, &[rest, size])?;
    }
    let zero = im.fill_of(x, 0, total.iter().map(|n| Dim::from(*n)).collect());
    let mut operands = vec![zero];
    operands.extend(coordinates);
    operands.push(x);
    let y = im.op(IndexUpdate { op: None }, &operands)?;
    im.one(y)
}

/// The corners of a box.
fn corners(b: &[f64], centred: bool) -> [f64; 4] {
    if centred {
        let (x, y, w, h) = (b[0], b[1], b[2] / 2.0, b[3] / 2.0);
        return [y - h, x - w, y + h, x + w];
    }
    [b[0].min(b[2]), b[1].min(b[3]), b[0].max(b[2]), b[1].max(b[3])]
}

/// Shared area over the area of both.
fn overlap(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let area = |c: &[f64; 4]| (c[2] - c[0]).max(0.0) * (c[3] - c[1]).max(0.0);
    let shared = [a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])];
    let shared = area(&shared);
    let whole = area(a) + area(b) - shared;
    if whole > 0.0 { shared / whole } else { 0.0 }
}

/// The best boxes of each class that do not overlap a better one. Boxes and scores have to be known, since they
/// decide the shape.
fn non_max_suppression(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (boxes, scores) = (n.x(0)?, n.x(1)?);
    let (boxes, scores) = (im.value(boxes)?, im.value(scores)?);
    let (&[batch, count, 4], &[of, classes, each]) = (boxes.shape(), scores.shape()) else {
        return Err("boxes [n, count, 4] and scores [n, classes, count] are expected".into());
    };
    if of != batch || each != count {
        return Err("boxes and scores are not as many".into());
    }
    let number = |im: &mut Importer<'_>, at: usize| -> R<Option<f64>> {
        match n.opt(at)? {
            Some(x) => {
                let a = im.value(x)?;
                if a.len() == 1 {
                    Ok(Some(a.get(0).as_f64()))
                } else {
                    Err(format!("operand {at} is no number").into())
                }
            }
            None => Ok(None),
        }
    };
    let most = number(im, 2)?.unwrap_or(0.0).max(0.0) as usize;
    let (limit, least) = (number(im, 3)?.unwrap_or(0.0), number(im, 4)?);
    let (boxes, scores) = (boxes.to_f64(), scores.to_f64());
    let centred = n.flag("center_point_box", false);
    let mut chosen: Vec<i64> = vec![];
    for b in 0..batch {
        let all: Vec<[f64; 4]> = (0..count)
            .map(|i| corners(&boxes[(b * count + i) * 4..(b * count + i + 1) * 4], centred))
            .collect();
        for c in 0..classes {
            let score = |i: usize| scores[(b * classes + c) * count + i];
            let mut order: Vec<usize> = (0..count).filter(|i| least.is_none_or(|l| score(*i) > l)).collect();
            order.sort_by(|p, q| score(*q).total_cmp(&score(*p)));
            let mut kept: Vec<usize> = vec![];
            for i in order {
                if kept.len() == most {
                    break;
                }
                if kept.iter().all(|k| overlap(&all[*k], &all[i]) <= limit) {
                    kept.push(i);
                    chosen.extend([b as i64, c as i64, i as i64]);
                }
            }
        }
    }
    let y = im.constant("boxes", Array::from_slice(&[chosen.len() / 3, 3], &chosen));
    im.one(y)
}
