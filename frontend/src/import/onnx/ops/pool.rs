//! Pooling: windows of the spatial axes and what is taken of each.

use crate::import::onnx::cx::R;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::Operand;
use latentc_ir::ops::pad::Pad;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::Shape;

rows! {
    "MaxPool" [1, 8, 10, 11, 12, 22] max_pool;
    "AveragePool" [1, 7, 10, 11, 19, 22] average_pool;
    "LpPool" [1, 2, 11, 18, 22] lp_pool;
    "GlobalMaxPool" [1, 22] global_max;
    "GlobalAveragePool" [1, 22] global_average;
    "GlobalLpPool" [1, 2, 22] global_lp;
}

/// How a window moves over the spatial axes.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    /// Sizes of the window.
    pub kernel: Vec<usize>,
    /// Distances between windows.
    pub strides: Vec<usize>,
    /// Distances within a window.
    pub dilations: Vec<usize>,
    /// Elements in front of and behind each axis.
    pub pads: Vec<[i64; 2]>,
    /// Number of windows.
    pub out: Vec<usize>,
}

/// A list of so many positive integers.
pub(super) fn positive(n: &Node<'_>, name: &str, count: usize) -> R<Vec<usize>> {
    let list = n.ints(name).map_or(vec![1; count], <[i64]>::to_vec);
    let good: Option<Vec<usize>> =
        list.iter().map(|v| usize::try_from(*v).ok().filter(|v| (1..1 << 31).contains(v))).collect();
    match good.filter(|g| g.len() == count) {
        Some(g) => Ok(g),
        None => Err(format!("`{name}` is {list:?} for {count} axes").into()),
    }
}

impl Windows {
    /// From the attributes of a node, for spatial sizes.
    pub fn new(n: &Node<'_>, sizes: &[usize], kernel: Vec<usize>) -> R<Windows> {
        let count = sizes.len();
        if kernel.len() != count || count == 0 {
            return Err(format!("a window of {kernel:?} for {count} axes").into());
        }
        let (strides, dilations) = (positive(n, "strides", count)?, positive(n, "dilations", count)?);
        let auto = n.word("auto_pad", "NOTSET")?;
        let given = n.ints("pads").map_or(vec![0; 2 * count], <[i64]>::to_vec);
        if given.len() != 2 * count || given.iter().any(|p| !(-(1 << 31)..1 << 31).contains(p)) {
            return Err(format!("pads of {given:?} for {count} axes").into());
        }
        let ceil = n.flag("ceil_mode", false);
        let (mut pads, mut out) = (vec![], vec![]);
        for i in 0..count {
            let (size, stride) = (sizes[i] as i64, strides[i] as i64);
            let span = dilations[i] as i64 * (kernel[i] as i64 - 1) + 1;
            let (pad, windows) = match auto {
                "NOTSET" | "VALID" => {
                    let pad = if auto == "VALID" { [0, 0] } else { [given[i], given[count + i]] };
                    let free = size + pad[0] + pad[1] - span;
                    if free < 0 {
                        return Err(format!("a window of {span} over {size} with pads of {pad:?}").into());
                    }
                    let mut windows = if ceil { (free + stride - 1) / stride + 1 } else { free / stride + 1 };
                    // A window must begin within what is there or padded in front.
                    if ceil && (windows - 1) * stride >= size + pad[0] {
                        windows -= 1;
                    }
                    (pad, windows)
                }
                "SAME_UPPER" | "SAME_LOWER" => {
                    let windows = (size + stride - 1) / stride;
                    let total = ((windows - 1) * stride + span - size).max(0);
                    let less = total / 2;
                    let pad = if auto == "SAME_UPPER" { [less, total - less] } else { [total - less, less] };
                    (pad, windows)
                }
                other => return n.mode_unknown("auto_pad", other),
            };
            pads.push(pad);
            out.push(usize::try_from(windows).map_err(|_| format!("{windows} windows"))?);
        }
        Ok(Windows { kernel, strides, dilations, pads, out })
    }

    /// `[n, c, s..]` as `[n, c, o.., k..]`, with `value` where a window is outside.
    pub fn of(&self, im: &mut Importer<'_>, x: Operand, value: Literal) -> R {
        let count = self.out.len();
        let mut y = x;
        for i in 0..count {
            // Axes so far: n, c, (o, k) of those done, then the spatial ones.
            let axis = 2 + 2 * i;
            let size = im.size(y, axis)? as i64;
            let reach = (self.out[i] as i64 - 1) * self.strides[i] as i64
                + self.dilations[i] as i64 * (self.kernel[i] as i64 - 1)
                + 1;
            let before = self.pads[i][0];
            let after = reach - size - before;
            if before < 0 {
                y = im.slice(y, axis, Dim::constant(-before), Dim::constant(size), 1)?;
            }
            let (before, after) = (before.max(0), after.max(0));
            if before > 0 || after > 0 {
                let pad = Pad { axis, before: Dim::constant(before), after: Dim::constant(after), value };
                y = im.op(pad, &[y])?;
            }
            let at = im.iota_along(self.out[i], 0, 2, DType::I32)?;
            let at = im.with(ScalarOp::Mul, at, self.strides[i] as f64)?;
            let within = im.iota_along(self.kernel[i], 1, 2, DType::I32)?;
            let within = im.with(ScalarOp::Mul, within, self.dilations[i] as f64)?;
            let at = im.add(at, within)?;
            y = im.gather(y, at, axis)?;
        }
        let mut perm = vec![0, 1];
        perm.extend((0..count).map(|i| 2 + 2 * i));
        perm.extend((0..count).map(|i| 3 + 2 * i));
        im.permute(y, &perm)
    }
}

/// The operand, the windows over it.
fn pooled(im: &mut Importer<'_>, n: &Node<'_>) -> R<(Operand, Windows)> {
    let x = n.x(0)?;
    let sizes = im.sizes(x)?;
    let spatial = sizes.get(2..).ok_or("at least three axes are expected")?;
    if n.attr("kernel_shape").is_none() {
        return Err("it has no kernel_shape".into());
    }
    let kernel = positive(n, "kernel_shape", spatial.len())?;
    let windows = Windows::new(n, spatial, kernel)?;
    Ok((x, windows))
}

/// The last so many axes as one.
fn fold_last(im: &mut Importer<'_>, x: Operand, count: usize) -> R {
    let shape = im.shape(x);
    let (lead, last) = shape.split_at(shape.len() - count);
    let one = latentc_ir::types::product(last);
    im.reshape(x, lead.iter().cloned().chain([one]).collect())
}

fn max_pool(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, w) = pooled(im, n)?;
    let (dtype, count) = (im.dtype(x), w.out.len());
    let least = ReduceOp::Max.identity(dtype);
    let all = w.of(im, x, least)?;
    let all = fold_last(im, all, count)?;
    let axis = count + 2;
    let y = im.reduce(ReduceOp::Max, all, &[axis], false)?;
    let mut out = vec![im.t(y)];
    if n.wants(1) {
        let at = positions(im, n, x, &w)?;
        let at = fold_last(im, at, count)?;
        let shape = im.shape(all);
        let at = im.expand(at, &shape)?;
        // Padding is never the greatest: where all are equally small, the first that is no padding.
        let zero = im.like_int(at, 0);
        let top = im.unsqueeze(y, &[axis])?;
        let top = im.expand(top, &shape)?;
        let hit = im.map(ScalarOp::Eq, &[all, top])?;
        let inside = im.map(ScalarOp::Ge, &[at, zero])?;
        let hit = im.map(ScalarOp::And, &[hit, inside])?;
        let hit = im.cast(hit, DType::I32)?;
        let first = super::reduce::first_greatest(im, hit, axis)?;
        let within = im.iota_along(shape[axis].clone(), axis, axis + 1, DType::I32)?;
        let here = im.bin(ScalarOp::Eq, within, first)?;
        let chosen = im.select(here, at, zero)?;
        let ids = im.sum(chosen, &[axis], false)?;
        out.push(im.t(ids));
    }
    Ok(out)
}

/// The positions that windows read, in the flat tensor, `[n, c, o.., k..]` i64; below zero for padding.
fn positions(im: &mut Importer<'_>, n: &Node<'_>, x: Operand, w: &Windows) -> R {
    let sizes = im.sizes(x)?;
    let total: usize = sizes.iter().product();
    let at = if n.flag("storage_order", false) {
        // Columns first within a sample and channel.
        let rank = sizes.len();
        let mut at = im.scalar(DType::I64, 0.0);
        let mut stride = 1usize;
        for axis in (2..rank).chain([1, 0]) {
            let along = im.iota_along(sizes[axis], axis, rank, DType::I64)?;
            let along = im.with(ScalarOp::Mul, along, stride as f64)?;
            at = im.add(at, along)?;
            stride *= sizes[axis];
        }
        let shape = im.shape(x);
        im.expand(at, &shape)?
    } else {
        let at = im.iota(total, DType::I64)?;
        im.reshape_to(at, &sizes)?
    };
    w.of(im, at, Literal::int(DType::I64, -1))
}

fn average_pool(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, w) = pooled(im, n)?;
    let (dtype, count) = (im.dtype(x), w.out.len());
    let wide = im.widen(x)?;
    let axes: Vec<usize> = (2 + count..2 + 2 * count).collect();
    let all = w.of(im, wide, Literal::zero(im.dtype(wide)))?;
    let sum = im.sum(all, &axes, false)?;
    // How many elements of each window count: those of the tensor, or of the tensor and its pads.
    let mut shape: Shape = Shape::from_iter([Dim::constant(1), Dim::constant(1)]);
    let padded = n.flag("count_include_pad", false);
    let sizes = im.sizes(x)?;
    let mut counting = w.clone();
    for i in 0..count {
        let mut size = sizes[i + 2] as i64;
        if padded {
            size += w.pads[i][0].max(0) + w.pads[i][1].max(0);
            counting.pads[i] = [0, 0];
        }
        shape.push(Dim::constant(size));
    }
    let ones = im.fill_of(wide, 1, shape);
    let ones = counting.of(im, ones, Literal::zero(im.dtype(wide)))?;
    let ones = im.sum(ones, &axes, false)?;
    let y = im.div(sum, ones)?;
    let y = im.cast(y, dtype)?;
    im.one(y)
}

/// `(sum |x|^p)^(1/p)` along axes.
fn norm(im: &mut Importer<'_>, x: Operand, axes: &[usize], keep: bool, p: f64) -> R {
    let x = im.un(ScalarOp::Abs, x)?;
    let powers = match p {
        1.0 => x,
        2.0 => im.un(ScalarOp::Square, x)?,
        p => im.with(ScalarOp::Pow, x, p)?,
    };
    let sum = im.sum(powers, axes, keep)?;
    match p {
        1.0 => Ok(sum),
        2.0 => im.un(ScalarOp::Sqrt, sum),
        p => im.with(ScalarOp::Pow, sum, 1.0 / p),
    }
}

/// The exponent, which was a float at first.
fn exponent(n: &Node<'_>) -> f64 {
    if n.version < 2 { n.float("p", 2.0) } else { n.int("p", 2) as f64 }
}

fn lp_pool(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, w) = pooled(im, n)?;
    let (dtype, count) = (im.dtype(x), w.out.len());
    let wide = im.widen(x)?;
    let all = w.of(im, wide, Literal::zero(im.dtype(wide)))?;
    let axes: Vec<usize> = (2 + count..2 + 2 * count).collect();
    let y = norm(im, all, &axes, false, exponent(n))?;
    let y = im.cast(y, dtype)?;
    im.one(y)
}

fn spatial(im: &mut Importer<'_>, n: &Node<'_>) -> R<(Operand, Vec<usize>)> {
    let x = n.x(0)?;
    let rank = im.rank(x);
    if rank < 3 {
        return Err("at least three axes are expected".into());
    }
    Ok((x, (2..rank).collect()))
}

fn global_max(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, axes) = spatial(im, n)?;
    let y = im.reduce(ReduceOp::Max, x, &axes, true)?;
    im.one(y)
}

fn global_average(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, axes) = spatial(im, n)?;
    let y = im.mean(x, &axes, true)?;
    im.one(y)
}

fn global_lp(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, axes) = spatial(im, n)?;
    let y = norm(im, x, &axes, true, exponent(n))?;
    im.one(y)
}
