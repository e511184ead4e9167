//! Conversions between element types, and quantisation.

use super::product::centred;
use crate::import::onnx::cx::R;
use crate::import::onnx::elem::Elem;
use crate::import::onnx::error::Fault;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, T, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::graph::Operand;
use latentc_ir::ops::bitcast::Bitcast;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::Shape;

rows! {
    "Cast" [1, 6, 9, 13, 19, 21, 23, 24, 25] cast;
    "BitCast" [26] bitcast;
    "CastLike" [15, 19, 21, 23, 24, 25] cast_like;
    "QuantizeLinear" [10, 13, 19, 21, 23, 24, 25] quantize;
    "DequantizeLinear" [10, 13, 19, 21, 23, 24, 25] dequantize;
    "DynamicQuantizeLinear" [11] dynamic;
    "QLinearMatMul" [10, 21] matmul;
}

/// What happens to what does not fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit<'a> {
    /// Whether 8-bit floats saturate.
    pub saturate: bool,
    /// How the exponents of `FLOAT8E8M0` are rounded.
    pub round: &'a str,
}

/// The greatest finite number of an 8-bit float.
fn greatest(elem: Elem) -> Option<f64> {
    match elem {
        Elem::Float8E4M3Fn => Some(448.0),
        Elem::Float8E4M3Fnuz => Some(240.0),
        Elem::Float8E5M2 | Elem::Float8E5M2Fnuz => Some(57344.0),
        _ => None,
    }
}

/// Least and greatest number of an integer type below eight bits.
fn narrow(elem: Elem) -> Option<(i64, i64)> {
    match elem {
        Elem::Int4 => Some((-8, 7)),
        Elem::Uint4 => Some((0, 15)),
        Elem::Int2 => Some((-2, 1)),
        Elem::Uint2 => Some((0, 3)),
        _ => None,
    }
}

/// A tensor in another element type.
pub(super) fn convert(im: &mut Importer<'_>, x: T, to: Elem, fit: Fit<'_>) -> R<T> {
    let dtype = to.dtype().ok_or_else(|| Fault::Unsupported(format!("the type {to}")))?;
    if x.elem == to {
        return Ok(x);
    }
    let from = im.dtype(x.o);
    let o = if let Some(top) = greatest(to) {
        let wide = im.cast(x.o, DType::F32)?;
        let y = if fit.saturate {
            // NaN stays: it is not greater and not less.
            let (hi, lo) = (im.like(wide, top), im.like(wide, -top));
            let over = im.map(ScalarOp::Gt, &[wide, hi])?;
            let y = im.map(ScalarOp::Select, &[over, hi, wide])?;
            let under = im.map(ScalarOp::Lt, &[y, lo])?;
            im.map(ScalarOp::Select, &[under, lo, y])?
        } else {
            wide
        };
        im.cast(y, dtype)?
    } else if let Some((lo, hi)) = narrow(to) {
        // The low bits.
        let span = hi - lo + 1;
        let y = im.cast(x.o, DType::I64)?;
        let y = im.with(ScalarOp::Sub, y, lo as f64)?;
        let y = im.with(ScalarOp::Rem, y, span as f64)?;
        let y = im.with(ScalarOp::Add, y, lo as f64)?;
        im.cast(y, dtype)?
    } else if to == Elem::Float4E2M1 {
        let wide = im.cast(x.o, DType::F32)?;
        fp4(im, wide)?
    } else if to == Elem::Float8E8M0 {
        let wide = im.cast(x.o, DType::F32)?;
        power(im, wide, fit)?
    } else if dtype.is_storage() || from.is_storage() {
        let wide = im.cast(x.o, DType::F32)?;
        im.cast(wide, dtype)?
    } else {
        im.cast(x.o, dtype)?
    };
    Ok(T { o, elem: to })
}

/// The nearest of 0, 0.5, 1, 1.5, 2, 3, 4 and 6 with a sign, ties to an even mantissa.
fn fp4(im: &mut Importer<'_>, x: Operand) -> R {
    let a = im.un(ScalarOp::Abs, x)?;
    let a = im.with(ScalarOp::Min, a, 6.0)?;
    let mut step = im.like(a, 2.0);
    for (below, s) in [(4.0, 1.0), (2.0, 0.5)] {
        let (edge, s) = (im.like(a, below), im.like(a, s));
        let less = im.map(ScalarOp::Lt, &[a, edge])?;
        step = im.map(ScalarOp::Select, &[less, s, step])?;
    }
    let q = im.div(a, step)?;
    let q = im.un(ScalarOp::Round, q)?;
    let y = im.mul(q, step)?;
    let minus = im.un(ScalarOp::Neg, y)?;
    let zero = im.like(x, 0.0);
    let negative = im.map(ScalarOp::Lt, &[x, zero])?;
    let y = im.map(ScalarOp::Select, &[negative, minus, y])?;
    // There is no NaN among these.
    let nan = im.map(ScalarOp::Ne, &[x, x])?;
    let none = im.like(y, -0.0);
    im.map(ScalarOp::Select, &[nan, none, y])
}

/// The power of two that `FLOAT8E8M0` has for a number.
fn power(im: &mut Importer<'_>, x: Operand, fit: Fit<'_>) -> R {
    let wide = im.cast(x, DType::F64)?;
    let a = im.un(ScalarOp::Abs, wide)?;
    let log = im.un(ScalarOp::Log, a)?;
    let log = im.with(ScalarOp::Mul, log, std::f64::consts::LOG2_E)?;
    let two = im.like(wide, 2.0);
    // The greatest power not above, mended where the logarithm was rounded across a power.
    let low = im.un(ScalarOp::Round, log)?;
    let mut at = im.map(ScalarOp::Pow, &[two, low])?;
    let over = im.map(ScalarOp::Gt, &[at, a])?;
    let half = im.with(ScalarOp::Mul, at, 0.5)?;
    at = im.map(ScalarOp::Select, &[over, half, at])?;
    let next = im.with(ScalarOp::Mul, at, 2.0)?;
    let up = match fit.round {
        "up" => im.map(ScalarOp::Gt, &[a, at])?,
        "down" => im.map(ScalarOp::Ge, &[a, next])?,
        "nearest" => {
            let middle = im.with(ScalarOp::Mul, at, 1.5)?;
            im.map(ScalarOp::Ge, &[a, middle])?
        }
        other => return Err(Fault::Unsupported(format!("round_mode = {other:?}"))),
    };
    let mut y = im.map(ScalarOp::Select, &[up, next, at])?;
    let (least, most) = (2f64.powi(-127), 2f64.powi(127));
    if fit.saturate {
        let finite = im.with(ScalarOp::Max, y, least)?;
        let finite = im.with(ScalarOp::Min, finite, most)?;
        let zero = im.like(a, 0.0);
        let none = im.map(ScalarOp::Eq, &[a, zero])?;
        let low = im.like(a, least);
        y = im.map(ScalarOp::Select, &[none, low, finite])?;
    } else {
        let nan = im.like(y, f64::NAN);
        for (op, edge) in [(ScalarOp::Lt, least), (ScalarOp::Gt, most)] {
            let edge = im.like(y, edge);
            let out = im.map(op, &[y, edge])?;
            y = im.map(ScalarOp::Select, &[out, nan, y])?;
        }
    }
    im.cast(y, DType::F32)
}

fn fit<'a>(n: &'a Node<'_>) -> R<Fit<'a>> {
    Ok(Fit { saturate: n.flag("saturate", true), round: n.word("round_mode", "up")? })
}

fn cast(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.any(0)?;
    let (to, _) = im.elem_attr(n, "to", None)?;
    let y = convert(im, x, to, fit(n)?)?;
    Ok(vec![Val::Tensor(y)])
}

/// The same bits in another type of the same size.
fn bitcast(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.any(0)?;
    let number = n.int("to", 0);
    let to = i32::try_from(number).ok().and_then(Elem::from_number);
    let to = to.ok_or_else(|| format!("the element type {number}"))?;
    let dtype = to.dtype().filter(|_| !to.is_tagged() && !x.elem.is_tagged());
    let dtype = dtype.ok_or_else(|| Fault::Unsupported(format!("the bits of {} as {to}", x.elem)))?;
    let o = im.op(Bitcast { to: dtype }, &[x.o])?;
    im.one(o)
}

fn cast_like(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, like) = (n.any(0)?, n.any(1)?);
    let y = convert(im, x, like.elem, fit(n)?)?;
    Ok(vec![Val::Tensor(y)])
}

/// A scale or zero point with the shape that it has for a tensor: one number, one for each position of an axis,
/// or one for each block along it.
fn spread(im: &mut Importer<'_>, n: &Node<'_>, v: Operand, x: Operand) -> R {
    let (rank, own) = (im.rank(x), im.rank(v));
    let single = im.shape(v).iter().all(|d| d.as_const() == Some(1));
    let block = n.int("block_size", 0);
    if own == 0 || (single && block == 0) {
        return im.reshape(v, Shape::new());
    }
    let axis = im.axis(n.int("axis", 1), rank)?;
    if own == 1 && block == 0 {
        let mut shape: Shape = std::iter::repeat_n(Dim::constant(1), rank).collect();
        shape[axis] = im.dim(v, 0)?;
        return im.reshape(v, shape);
    }
    if own != rank || block <= 0 {
        return Err(format!("a scale of {own} axes for {rank}, blocks of {block}").into());
    }
    // Each position of the axis repeated, and what is too much cut off.
    let size = im.dim(x, axis)?;
    let mut shape = im.shape(v);
    let wide = im.unsqueeze(v, &[axis + 1])?;
    let mut to = im.shape(wide);
    to[axis + 1] = Dim::constant(block);
    let wide = im.expand(wide, &to)?;
    shape[axis] = &shape[axis] * &Dim::constant(block);
    let y = im.reshape(wide, shape)?;
    im.slice(y, axis, Dim::constant(0), size, 1)
}

/// The numbers of an integer type, as f64.
fn bounds(elem: Elem) -> Option<(f64, f64)> {
    if let Some((lo, hi)) = narrow(elem) {
        return Some((lo as f64, hi as f64));
    }
    let (lo, hi) = elem.dtype()?.int_range()?;
    Some((lo as f64, hi as f64))
}

/// `saturate(round(x / scale) + zero)` in an element type.
pub(super) fn quantized(
    im: &mut Importer<'_>,
    x: Operand,
    scale: Operand,
    zero: Option<Operand>,
    to: Elem,
    fit: Fit<'_>,
) -> R<T> {
    let q = im.div(x, scale)?;
    let Some((lo, hi)) = bounds(to) else {
        let mut q = im.widen(q)?;
        if let Some(z) = zero {
            let z = im.cast_as(z, q)?;
            q = im.add(q, z)?;
        }
        return convert(im, T { o: q, elem: im.elem(q) }, to, fit);
    };
    let q = im.un(ScalarOp::Round, q)?;
    let mut q = im.cast(q, DType::F64)?;
    if let Some(z) = zero {
        let z = im.cast(z, DType::F64)?;
        q = im.add(q, z)?;
    }
    let q = im.with(ScalarOp::Max, q, lo)?;
    let q = im.with(ScalarOp::Min, q, hi)?;
    let dtype = to.dtype().ok_or("an integer type")?;
    Ok(T { o: im.cast(q, dtype)?, elem: to })
}

fn quantize(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, scale, zero) = (n.x(0)?, n.any(1)?.o, n.any_opt(2)?);
    let to = match zero {
        Some(z) => z.elem,
        None => match n.int("output_dtype", 0) {
            0 => Elem::Uint8,
            _ => im.elem_attr(n, "output_dtype", None)?.0,
        },
    };
    // The precision of the division is asked for, or that of the scale.
    let wide = match n.int("precision", 0) {
        0 => im.dtype(scale),
        _ => im.elem_attr(n, "precision", None)?.1,
    };
    let (scale, zero) = (
        spread(im, n, scale, x)?,
        match zero {
            Some(z) => Some(spread(im, n, z.o, x)?),
            None => None,
        },
    );
    let wide = if wide.is_real() { wide } else { DType::F32 };
    let (scale, x) = (im.cast(scale, wide)?, im.cast(x, wide)?);
    let y = quantized(im, x, scale, zero, to, fit(n)?)?;
    Ok(vec![Val::Tensor(y)])
}

fn dequantize(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, scale, zero) = (n.any(0)?.o, n.any(1)?, n.any_opt(2)?);
    let out = match n.int("output_dtype", 0) {
        0 => im.dtype(scale.o),
        _ => im.elem_attr(n, "output_dtype", None)?.1,
    };
    let scale = spread(im, n, scale.o, x)?;
    let wide = if im.dtype(x).is_int() { DType::F64 } else { DType::F32 };
    let mut y = im.cast(x, wide)?;
    if let Some(z) = zero {
        let z = spread(im, n, z.o, x)?;
        let z = im.cast(z, wide)?;
        y = im.sub(y, z)?;
    }
    let scale = im.cast(scale, wide)?;
    let y = im.mul(y, scale)?;
    let y = im.cast(y, out)?;
    im.one(y)
}

fn dynamic(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let axes: Vec<usize> = (0..im.rank(x)).collect();
    let (lo, hi) = (im.reduce(ReduceOp::Min, x, &axes, false)?, im.reduce(ReduceOp::Max, x, &axes, false)?);
    let (lo, hi) = (im.with(ScalarOp::Min, lo, 0.0)?, im.with(ScalarOp::Max, hi, 0.0)?);
    let span = im.sub(hi, lo)?;
    let scale = im.with(ScalarOp::Div, span, 255.0)?;
    let z = im.div(lo, scale)?;
    let z = im.un(ScalarOp::Neg, z)?;
    let z = im.with(ScalarOp::Max, z, 0.0)?;
    let z = im.with(ScalarOp::Min, z, 255.0)?;
    let z = im.un(ScalarOp::Round, z)?;
    let zero = im.cast(z, DType::U8)?;
    let y = quantized(im, x, scale, Some(zero), Elem::Uint8, Fit { saturate: true, round: "up" })?;
    Ok(vec![Val::Tensor(y), im.t(scale), im.t(zero)])
}

/// A product of quantised matrices, quantised again.
fn matmul(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (a, az) = (n.x(0)?, n.x(2)?);
    let (b, bz) = (n.x(3)?, n.x(5)?);
    let (a_scale, b_scale, y_scale, y_zero) = (n.x(1)?, n.x(4)?, n.x(6)?, n.any(7)?);
    let (a, b) = (centred(im, a, Some(az), true)?, centred(im, b, Some(bz), false)?);
    let y = im.numpy_matmul(a, b)?;
    // A list of scales of the first operand is one for each row.
    let mut scale = im.cast(a_scale, DType::F64)?;
    if im.rank(scale) == 1 && im.rank(y) > 1 {
        scale = im.unsqueeze(scale, &[1])?;
    }
    let other = im.cast(b_scale, DType::F64)?;
    let scale = im.mul(scale, other)?;
    let y = im.mul(y, scale)?;
    let y_scale = im.cast(y_scale, DType::F64)?;
    let y = quantized(im, y, y_scale, Some(y_zero.o), y_zero.elem, Fit { saturate: true, round: "up" })?;
    Ok(vec![Val::Tensor(y)])
}
