//! Convolutions and what is made of patches.

use super::cast::{Fit, quantized};
use super::pool::{Windows, positive};
use super::product::centred;
use crate::import::onnx::cx::R;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::compose::sample::{Beyond, Sampling};
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::graph::Operand;
use latentc_ir::ops::conv::Conv;
use latentc_ir::ops::conv_transpose::ConvTranspose;
use latentc_ir::ops::fold::Fold;
use latentc_ir::ops::windows::{Extents, Window};
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::Shape;

rows! {
    "Conv" [1, 11, 22] conv;
    "ConvTranspose" [1, 11, 22] conv_transpose;
    "ConvInteger" [10] conv_integer;
    "QLinearConv" [10] conv_quantized;
    "Col2Im" [18] col2im;
    "DeformConv" [19, 22] deform;
}

fn extents(all: impl IntoIterator<Item = i64>) -> Extents {
    all.into_iter().collect()
}

/// One number for each channel, axis 1 of so many.
fn per_channel(im: &mut Importer<'_>, x: Operand, spatial: usize) -> R {
    let mut shape = im.shape(x);
    shape.extend(std::iter::repeat_n(Dim::constant(1), spatial));
    im.reshape(x, shape)
}

/// A convolution of floats with the attributes of a node.
fn convolve(im: &mut Importer<'_>, n: &Node<'_>, mut x: Operand, w: Operand) -> R {
    let (sizes, filters) = (im.sizes(x)?, im.sizes(w)?);
    if sizes.len() < 3 || filters.len() != sizes.len() {
        return Err(format!("filters of {} axes for {}", filters.len(), sizes.len()).into());
    }
    let kernel = filters[2..].to_vec();
    if n.ints("kernel_shape").is_some_and(|k| !k.iter().copied().eq(kernel.iter().map(|k| *k as i64))) {
        return Err(format!("its filters have the sizes {kernel:?}, kernel_shape says otherwise").into());
    }
    let v = Windows::new(n, &sizes[2..], kernel)?;
    // Negative pads cut.
    for (i, pad) in v.pads.iter().enumerate() {
        if pad.iter().any(|p| *p < 0) {
            let (from, to) = ((-pad[0]).max(0), sizes[i + 2] as i64 - (-pad[1]).max(0));
            x = im.slice(x, i + 2, Dim::constant(from), Dim::constant(to), 1)?;
        }
    }
    let window = Window {
        kernel: extents(v.kernel.iter().map(|k| *k as i64)),
        stride: extents(v.strides.iter().map(|k| *k as i64)),
        dilation: extents(v.dilations.iter().map(|k| *k as i64)),
        before: extents(v.pads.iter().map(|p| p[0].max(0))),
        after: extents(v.pads.iter().map(|p| p[1].max(0))),
    };
    im.op(Conv { window, groups: n.int("group", 1) }, &[x, w])
}

fn conv(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, w) = (n.x(0)?, n.x(1)?);
    let mut y = convolve(im, n, x, w)?;
    if let Some(b) = n.opt(2)? {
        let b = per_channel(im, b, im.rank(x).saturating_sub(2))?;
        y = im.add(y, b)?;
    }
    im.one(y)
}

fn conv_integer(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, w) = (n.x(0)?, n.x(1)?);
    let x = centred(im, x, n.opt(2)?, false)?;
    let zero = match n.opt(3)? {
        Some(z) if im.rank(z) == 1 => Some(filters_zero(im, z, w)?),
        z => z,
    };
    let w = centred(im, w, zero, false)?;
    let y = convolve(im, n, x, w)?;
    let y = im.cast(y, DType::I32)?;
    im.one(y)
}

/// Zero points of filters, one for each of the first axis.
fn filters_zero(im: &mut Importer<'_>, z: Operand, w: Operand) -> R {
    if im.dim(z, 0)?.as_const() == Some(1) {
        return im.reshape(z, Shape::new());
    }
    let mut shape = im.shape(z);
    shape.extend(std::iter::repeat_n(Dim::constant(1), im.rank(w).saturating_sub(1)));
    im.reshape(z, shape)
}

fn conv_quantized(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, w) = (n.x(0)?, n.x(3)?);
    let spatial = im.rank(x).saturating_sub(2);
    let x = centred(im, x, n.opt(2)?, false)?;
    let zero = match n.opt(5)? {
        Some(z) if im.rank(z) == 1 => Some(filters_zero(im, z, w)?),
        z => z,
    };
    let w = centred(im, w, zero, false)?;
    let mut y = convolve(im, n, x, w)?;
    if let Some(b) = n.opt(8)? {
        let b = im.cast(b, DType::F64)?;
        let b = per_channel(im, b, spatial)?;
        y = im.add(y, b)?;
    }
    let scale = |im: &mut Importer<'_>, at: usize| -> R {
        let s = n.x(at)?;
        let s = im.cast(s, DType::F64)?;
        if im.rank(s) == 1 { per_channel(im, s, spatial) } else { Ok(s) }
    };
    let (a, b, out) = (scale(im, 1)?, scale(im, 4)?, scale(im, 6)?);
    let by = im.mul(a, b)?;
    let y = im.mul(y, by)?;
    let zero = n.any(7)?;
    let y = quantized(im, y, out, Some(zero.o), zero.elem, Fit { saturate: true, round: "up" })?;
    Ok(vec![Val::Tensor(y)])
}

fn conv_transpose(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, w) = (n.x(0)?, n.x(1)?);
    let (sizes, filters) = (im.sizes(x)?, im.sizes(w)?);
    if sizes.len() < 3 || filters.len() != sizes.len() {
        return Err(format!("filters of {} axes for {}", filters.len(), sizes.len()).into());
    }
    let count = sizes.len() - 2;
    let (strides, dilations) = (positive(n, "strides", count)?, positive(n, "dilations", count)?);
    let more = n.ints("output_padding").map_or(vec![0; count], <[i64]>::to_vec);
    let pads = n.ints("pads").map_or(vec![0; 2 * count], <[i64]>::to_vec);
    let wanted = n.ints("output_shape").map(|s| s[s.len().saturating_sub(count)..].to_vec());
    if more.len() != count || pads.len() != 2 * count || wanted.as_ref().is_some_and(|w| w.len() != count) {
        return Err("pads or output sizes are not as many as the axes".into());
    }
    let auto = n.word("auto_pad", "NOTSET")?;
    let mut shape = im.shape(w);
    shape[1] = Dim::constant(0);
    // The whole result, then what pads take away of it.
    let mut window = Window {
        kernel: extents(filters[2..].iter().map(|k| *k as i64)),
        stride: extents(strides.iter().map(|k| *k as i64)),
        dilation: extents(dilations.iter().map(|k| *k as i64)),
        before: extents(vec![0; count]),
        after: extents(vec![0; count]),
    };
    let mut out = vec![];
    let mut cuts = vec![];
    for i in 0..count {
        let whole = (sizes[i + 2] as i64 - 1) * strides[i] as i64 + window.extent(i);
        let (from, size) = match (&wanted, auto) {
            (Some(w), _) => {
                let total = whole + more[i] - w[i];
                let half = total.div_euclid(2);
                (if auto == "SAME_UPPER" { half } else { total - half }, w[i])
            }
            (None, "SAME_UPPER" | "SAME_LOWER") => {
                let size = sizes[i + 2] as i64 * strides[i] as i64;
                let total = whole + more[i] - size;
                (if auto == "SAME_UPPER" { total / 2 } else { total - total / 2 }, size)
            }
            (None, "VALID") => (0, whole + more[i]),
            (None, "NOTSET") => (pads[i], whole + more[i] - pads[i] - pads[count + i]),
            (None, other) => return n.mode_unknown("auto_pad", other),
        };
        if !(0..1 << 40).contains(&size) || !(-(1 << 31)..1 << 31).contains(&from) {
            return Err(format!("a size of {size} from {from}").into());
        }
        out.push(Dim::constant(whole));
        cuts.push((from, size, whole));
    }
    window.after = extents(vec![0; count]);
    let op = ConvTranspose { window, groups: n.int("group", 1), shape: out.into_iter().collect() };
    let mut y = im.op(op, &[x, w])?;
    for (i, (from, size, whole)) in cuts.into_iter().enumerate() {
        let (before, after) = ((-from).max(0), (from + size - whole).max(0));
        y = im.pad(y, i + 2, before as usize, after as usize, 0.0)?;
        let start = from.max(0);
        y = im.slice(y, i + 2, Dim::constant(start), Dim::constant(start + size), 1)?;
    }
    if let Some(b) = n.opt(2)? {
        let b = per_channel(im, b, count)?;
        y = im.add(y, b)?;
    }
    im.one(y)
}

/// Patches `[n, c * kernel, positions]` added up to images.
fn col2im(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, image, block) = (n.x(0)?, n.x(1)?, n.x(2)?);
    let (image, block) = (im.known_ints(image)?, im.known_ints(block)?);
    let count = block.len();
    let (strides, dilations) = (positive(n, "strides", count)?, positive(n, "dilations", count)?);
    let pads = n.ints("pads").map_or(vec![0; 2 * count], <[i64]>::to_vec);
    if image.len() != count || pads.len() != 2 * count || count == 0 || im.rank(x) != 3 {
        return Err("image, block and pads are not as many".into());
    }
    let window = Window {
        kernel: extents(block.iter().copied()),
        stride: extents(strides.iter().map(|k| *k as i64)),
        dilation: extents(dilations.iter().map(|k| *k as i64)),
        before: extents(pads[..count].iter().copied()),
        after: extents(pads[count..].iter().copied()),
    };
    if block.iter().chain(&image).any(|v| !(1..1 << 31).contains(v)) {
        return Err("sizes of at least 1 are expected".into());
    }
    let sizes: Shape = image.iter().map(|v| Dim::constant(*v)).collect();
    let positions = window.positions("Col2Im", &sizes)?;
    let (batch, rows) = (im.dim(x, 0)?, im.dim(x, 1)?);
    let per: i64 = block.iter().product();
    let channels = rows.floor_div(&Dim::constant(per));
    let mut shape = Shape::from_iter([batch, channels]);
    shape.extend(window.kernel.iter().map(|k| Dim::constant(*k)));
    shape.extend(positions);
    let y = im.reshape(x, shape)?;
    let mut perm = vec![0, 1];
    perm.extend(2 + count..2 + 2 * count);
    perm.extend(2..2 + count);
    let y = im.permute(y, &perm)?;
    let y = im.op(Fold { window, shape: sizes }, &[y])?;
    im.one(y)
}

/// A convolution whose window sees other places, each with an offset of its own, of two axes.
fn deform(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, w, offset) = (n.x(0)?, n.x(1)?, n.x(2)?);
    let (sizes, filters) = (im.sizes(x)?, im.sizes(w)?);
    if sizes.len() != 4 || filters.len() != 4 || n.int("group", 1) < 1 || n.int("offset_group", 1) < 1 {
        return Err("two spatial axes are expected".into());
    }
    let (groups, parts) = (n.int("group", 1) as usize, n.int("offset_group", 1) as usize);
    let v = Windows::new(n, &sizes[2..], filters[2..].to_vec())?;
    let (batch, c, m) = (sizes[0], sizes[1], filters[0]);
    let (kh, kw, oh, ow) = (v.kernel[0], v.kernel[1], v.out[0], v.out[1]);
    if c % parts != 0 || c % groups != 0 || m % groups != 0 {
        return Err("groups do not divide the channels".into());
    }
    // Places [n, parts, kh, kw, oh, ow] of each axis.
    let offset = im.reshape_to(offset, &[batch, parts, kh, kw, 2, oh, ow])?;
    let mut places = vec![];
    for axis in 0..2 {
        let o = im.at(offset, 4, axis)?;
        let dtype = im.dtype(o);
        let out = im.iota_along(v.out[axis], 4 + axis, 6, dtype)?;
        let out = im.with(ScalarOp::Mul, out, v.strides[axis] as f64)?;
        let within = im.iota_along(v.kernel[axis], 2 + axis, 6, dtype)?;
        let within = im.with(ScalarOp::Mul, within, v.dilations[axis] as f64)?;
        let at = im.add(out, within)?;
        let at = im.with(ScalarOp::Sub, at, v.pads[axis][0] as f64)?;
        let at = im.add(o, at)?;
        // As the grid has it: -1 and 1 are the middles of the outermost elements.
        let span = (sizes[2 + axis] as f64 - 1.0).max(1.0);
        let at = im.with(ScalarOp::Mul, at, 2.0 / span)?;
        places.push(im.with(ScalarOp::Sub, at, 1.0)?);
    }
    let grid = im.stack(&[places[1], places[0]], 6)?;
    let grid = im.reshape_to(grid, &[batch * parts, kh * kw, oh * ow, 2])?;
    let each = im.reshape_to(x, &[batch * parts, c / parts, sizes[2], sizes[3]])?;
    let seen = im.graph.grid_sample(each, grid, Sampling::Linear, Beyond::Zeros, true)?;
    let mut seen = im.reshape_to(seen, &[batch, parts, c / parts, kh * kw, oh * ow])?;
    if let Some(mask) = n.opt(4)? {
        let mask = im.reshape_to(mask, &[batch, parts, 1, kh * kw, oh * ow])?;
        seen = im.mul(seen, mask)?;
    }
    let columns = im.reshape_to(seen, &[batch, groups, c / groups * kh * kw, oh * ow])?;
    let rows = im.reshape_to(w, &[1, groups, m / groups, c / groups * kh * kw])?;
    let y = im.matmul(rows, columns)?;
    let mut y = im.reshape_to(y, &[batch, m, oh, ow])?;
    if let Some(b) = n.opt(3)? {
        let b = per_channel(im, b, 2)?;
        y = im.add(y, b)?;
    }
    im.one(y)
}
