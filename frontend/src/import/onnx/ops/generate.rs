//! Values from nothing: constants, ranges, diagonals, windows of signals.

use crate::import::onnx::cx::R;
use crate::import::onnx::elem::Elem;
use crate::import::onnx::error::Fault;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, T, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::array::Array;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::Shape;

rows! {
    "Constant" [1, 9, 11, 12, 13, 19, 21, 23, 24, 25] constant;
    "ConstantOfShape" [9, 20, 21, 23, 24, 25] constant_of_shape;
    "Range" [11, 27] range;
    "EyeLike" [9, 22] eye_like;
    "HannWindow" [17] hann;
    "HammingWindow" [17] hamming;
    "BlackmanWindow" [17] blackman;
    "MelWeightMatrix" [17] mel;
}

impl Importer<'_> {
    /// The element type that an attribute names, and the type that holds it.
    pub fn elem_attr(&self, n: &Node<'_>, name: &str, default: Option<Elem>) -> R<(Elem, DType)> {
        let elem = match n.attr(name) {
            Some(a) => i32::try_from(a.i)
                .ok()
                .and_then(Elem::from_number)
                .ok_or_else(|| format!("`{name}` is {}, which is no element type", a.i))?,
            None => default.ok_or_else(|| format!("it has no `{name}`"))?,
        };
        match elem.dtype() {
            Some(dtype) => Ok((elem, dtype)),
            None => Err(Fault::Unsupported(format!("{} with the type {elem}", n.proto.op_type))),
        }
    }
}

fn constant(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let name = n.proto.output.first().map_or("constant", String::as_str);
    let array = if let Some(t) = n.attr("value").and_then(|a| a.t.as_ref()) {
        return Ok(vec![im.tensor(name, t)?]);
    } else if let Some(s) = n.attr("sparse_value").and_then(|a| a.sparse_tensor.as_ref()) {
        let (elem, array) = im.sparse(s)?;
        let o = im.constant(name, array);
        return Ok(vec![Val::Tensor(T { o, elem })]);
    } else if let Some(a) = n.attr("value_float") {
        Array::scalar(a.f)
    } else if let Some(a) = n.attr("value_int") {
        Array::scalar(a.i)
    } else if let Some(a) = n.attr("value_floats") {
        Array::from_slice(&[a.floats.len()], &a.floats)
    } else if let Some(a) = n.attr("value_ints") {
        Array::from_slice(&[a.ints.len()], &a.ints)
    } else if n.attr("value_string").or(n.attr("value_strings")).is_some() {
        return Err(Fault::Unsupported("type STRING".to_owned()));
    } else {
        return Err("it has no value".into());
    };
    let y = im.constant(name, array);
    im.one(y)
}

fn constant_of_shape(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let shape = n.x(0)?;
    let shape: Shape = im.known_dims(shape)?.into_iter().collect();
    if let Some(bad) = shape.iter().find(|d| d.lower() < 0) {
        return Err(format!("a size of {bad}").into());
    }
    let (elem, value) = match n.attr("value").and_then(|a| a.t.as_ref()) {
        Some(t) => {
            let (elem, a) = im.array(t)?;
            if a.len() != 1 {
                return Err(format!("a value of {} elements", a.len()).into());
            }
            (elem, a.get(0))
        }
        None => (Elem::Float, Literal::zero(DType::F32)),
    };
    let o = im.fill(value, shape);
    Ok(vec![Val::Tensor(T { o, elem })])
}

fn range(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (start, limit, delta) = (n.x(0)?, n.x(1)?, n.x(2)?);
    let dtype = im.dtype(start);
    let (a, b, d) = (im.value(start)?.get(0), im.value(limit)?.get(0), im.value(delta)?.get(0));
    if d.as_f64() == 0.0 || !d.as_f64().is_finite() {
        return Err(format!("a distance of {d}").into());
    }
    let count = if dtype.is_float() {
        ((b.as_f64() - a.as_f64()) / d.as_f64()).ceil().max(0.0)
    } else {
        let (a, b, d) = (i128::from(a.as_i64()), i128::from(b.as_i64()), i128::from(d.as_i64()));
        let span = if d > 0 { b - a } else { a - b };
        if span <= 0 { 0.0 } else { ((span - 1) / d.abs() + 1) as f64 }
    };
    if count.is_nan() || count > 1e9 {
        return Err(format!("{count} numbers").into());
    }
    let count = count as usize;
    let wide = match dtype {
        d if d.is_float() && d.size() < 8 => DType::F32,
        d => d,
    };
    let at = im.iota(count, wide)?;
    let (a, d) = (im.fill(Literal::float(wide, a.as_f64()), Shape::new()), {
        let value =
            if wide.is_float() { Literal::float(wide, d.as_f64()) } else { Literal::int(wide, d.as_i64()) };
        im.fill(value, Shape::new())
    });
    let a = if dtype.is_float() {
        a
    } else {
        let start = im.value(start)?.get(0);
        im.fill(start, Shape::new())
    };
    let y = im.mul(at, d)?;
    let y = im.add(y, a)?;
    let y = im.cast(y, dtype)?;
    im.one(y)
}

fn eye_like(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    if im.rank(x) != 2 {
        return Err("a matrix is expected".into());
    }
    let (_, dtype) = im.elem_attr(n, "dtype", Some(im.elem(x)))?;
    let (rows, cols) = (im.dim(x, 0)?, im.dim(x, 1)?);
    let row = im.iota_along(rows, 0, 2, DType::I64)?;
    let row = im.with(ScalarOp::Add, row, n.int("k", 0) as f64)?;
    let col = im.iota_along(cols, 1, 2, DType::I64)?;
    let y = im.bin(ScalarOp::Eq, row, col)?;
    let y = im.cast(y, dtype)?;
    im.one(y)
}

/// `a - b cos(2 pi i / n) + c cos(4 pi i / n)`
fn window(im: &mut Importer<'_>, n: &Node<'_>, [a, b, c]: [f64; 3]) -> R<Vec<Val>> {
    let size = n.x(0)?;
    let size = usize::try_from(im.known_int(size)?).map_err(|_| "a negative size")?;
    if size > 1 << 28 {
        return Err(format!("a window of {size}").into());
    }
    let (_, dtype) = im.elem_attr(n, "output_datatype", Some(Elem::Float))?;
    let over = if n.flag("periodic", true) { size } else { size.saturating_sub(1) }.max(1) as f64;
    let turn = |i: usize| 2.0 * std::f64::consts::PI * i as f64 / over;
    let values: Vec<f64> = (0..size).map(|i| a - b * turn(i).cos() + c * (2.0 * turn(i)).cos()).collect();
    let y = im.constant("window", Array::from_f64(dtype, &[size], &values));
    im.one(y)
}

fn hann(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    window(im, n, [0.5, 0.5, 0.0])
}

fn hamming(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    window(im, n, [25.0 / 46.0, 21.0 / 46.0, 0.0])
}

fn blackman(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    window(im, n, [0.42, 0.5, 0.08])
}

/// Triangles of frequency bands on the mel scale, `[dft_length / 2 + 1, bins]`.
fn mel(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let mut ints = [0usize; 3];
    for (at, int) in ints.iter_mut().enumerate() {
        let x = n.x(at)?;
        *int = usize::try_from(im.known_int(x)?).map_err(|_| "a negative size")?;
    }
    let [bins, length, rate] = ints;
    if bins > 1 << 20 || length > 1 << 20 || rate == 0 {
        return Err(format!("{bins} bands of {length} samples at {rate} a second").into());
    }
    let mut edges = [0.0; 2];
    for (at, edge) in edges.iter_mut().enumerate() {
        let x = n.x(3 + at)?;
        *edge = im.value(x)?.get(0).as_f64();
    }
    let (_, dtype) = im.elem_attr(n, "output_datatype", Some(Elem::Float))?;
    let to_mel = |hz: f64| 2595.0 * (1.0 + hz / 700.0).log10();
    let (low, high) = (to_mel(edges[0]), to_mel(edges[1]));
    // As the format's reference has it: as many steps as points, so the last point is below the upper edge.
    let step = (high - low) / (bins as f64 + 2.0);
    let points: Vec<usize> = (0..bins + 2)
        .map(|i| {
            let hz = 700.0 * (10f64.powf((low + step * i as f64) / 2595.0) - 1.0);
            ((length as f64 + 1.0) * hz / rate as f64).floor().max(0.0) as usize
        })
        .collect();
    let rows = length / 2 + 1;
    let mut values = vec![0.0; rows * bins];
    for band in 0..bins {
        let (from, middle, to) = (points[band], points[band + 1], points[band + 2]);
        let mut set = |row: usize, value: f64| {
            if row < rows {
                values[row * bins + band] = value;
            }
        };
        if middle == from {
            set(middle, 1.0);
        } else {
            (from..=middle).for_each(|j| set(j, (j - from) as f64 / (middle - from) as f64));
        }
        if to > middle {
            (middle..to).for_each(|j| set(j, (to - j) as f64 / (to - middle) as f64));
        }
    }
    let y = im.constant("mel", Array::from_f64(dtype, &[rows, bins], &values));
    im.one(y)
}
