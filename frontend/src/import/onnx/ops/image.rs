//! Resizing and sampling.

use crate::import::onnx::cx::R;
use crate::import::onnx::error::Fault;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::compose::regions::RoiAlign;
use latentc_ir::compose::resize::{Coordinates, Interpolation, Nearest, Resize};
use latentc_ir::compose::sample::{Beyond, Sampling};
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::graph::Operand;
use latentc_ir::scalar::ScalarOp;

rows! {
    "Resize" [10, 11, 13, 18, 19] resize;
    "Upsample" [7, 9] upsample;
    "GridSample" [16, 20, 22] grid_sample;
    "AffineGrid" [20] affine_grid;
    "RoiAlign" [10, 16, 22] roi_align;
}

/// Sizes that the format rounds down.
fn scaled(size: usize, scale: f64) -> R<usize> {
    let out = (size as f64 * scale).floor();
    if (0.0..1e12).contains(&out) { Ok(out as usize) } else { Err(format!("a size of {out}").into()) }
}

fn nearest(n: &Node<'_>) -> R<Nearest> {
    match n.word("nearest_mode", "round_prefer_floor")? {
        _ if n.version < 11 => Ok(Nearest::Floor),
        "round_prefer_floor" => Ok(Nearest::RoundPreferFloor),
        "round_prefer_ceil" => Ok(Nearest::RoundPreferCeil),
        "floor" => Ok(Nearest::Floor),
        "ceil" => Ok(Nearest::Ceil),
        other => n.mode_unknown("nearest_mode", other),
    }
}

fn resize(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let sizes = im.sizes(x)?;
    let axes = match n.ints("axes") {
        Some(a) => a.iter().map(|a| im.axis(*a, sizes.len())).collect::<R<Vec<usize>>>()?,
        None => (0..sizes.len()).collect(),
    };
    let old = n.version < 11;
    let list = |im: &mut Importer<'_>, at: usize| -> R<Option<Vec<f64>>> {
        match n.opt(at)? {
            Some(v) => Ok(Some(im.value(v)?.to_f64()).filter(|v| !v.is_empty())),
            None => Ok(None),
        }
    };
    let scales = list(im, if old { 1 } else { 2 })?;
    let wanted = if old { None } else { list(im, 3)? };
    let roi = if old { None } else { list(im, 1)? };
    let mut outs = vec![];
    match (&scales, &wanted) {
        (_, Some(w)) if w.len() == axes.len() => {
            let mut to: Vec<usize> = w.iter().map(|v| v.max(0.0) as usize).collect();
            let ratio = |i: usize| to[i] as f64 / sizes[axes[i]] as f64;
            let all = (0..axes.len()).map(ratio);
            let kept = match n.word("keep_aspect_ratio_policy", "stretch")? {
                "stretch" => None,
                "not_larger" => Some(all.fold(f64::INFINITY, f64::min)),
                "not_smaller" => Some(all.fold(0.0, f64::max)),
                other => return n.mode_unknown("keep_aspect_ratio_policy", other),
            };
            if let Some(s) = kept {
                for (i, axis) in axes.iter().enumerate() {
                    to[i] = (sizes[*axis] as f64 * s).round() as usize;
                }
            }
            // With a ratio that is kept, that ratio is the scale; else the sizes say it.
            for (i, axis) in axes.iter().enumerate() {
                outs.push((*axis, to[i], kept));
            }
        }
        (Some(s), None) if s.len() == axes.len() => {
            for (s, axis) in s.iter().zip(&axes) {
                outs.push((*axis, scaled(sizes[*axis], *s)?, Some(*s)));
            }
        }
        _ => return Err("scales or sizes, one for each axis, are expected".into()),
    }
    let mode = match n.word("mode", "nearest")? {
        "nearest" => Interpolation::Nearest(nearest(n)?),
        "linear" => Interpolation::Linear,
        "cubic" => Interpolation::Cubic(n.float("cubic_coeff_a", -0.75)),
        other => return n.mode_unknown("mode", other),
    };
    let dtype = im.dtype(x);
    let narrow = !matches!(mode, Interpolation::Nearest(_));
    let mut y = if narrow && !dtype.is_float() { im.cast(x, DType::F32)? } else { x };
    for (i, (axis, out, scale)) in outs.into_iter().enumerate() {
        let crop = n.word("coordinate_transformation_mode", "half_pixel")? == "tf_crop_and_resize";
        if out == sizes[axis] && !crop && scale.is_none_or(|s| s == 1.0) {
            continue;
        }
        let coordinates = match n.word("coordinate_transformation_mode", "half_pixel")? {
            _ if old => Coordinates::Asymmetric,
            "half_pixel" => Coordinates::HalfPixel,
            "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNn,
            "tf_crop_and_resize" => {
                let roi = roi
                    .as_ref()
                    .filter(|r| r.len() == 2 * axes.len())
                    .ok_or("a region of two numbers an axis is expected")?;
                let (start, end) = (roi[i], roi[axes.len() + i]);
                Coordinates::TfCropAndResize {
                    start,
                    end,
                    extrapolation: n.float("extrapolation_value", 0.0),
                }
            }
            other => return n.mode_unknown("coordinate_transformation_mode", other),
        };
        let how = Resize {
            mode,
            coordinates,
            scale,
            exclude_outside: n.flag("exclude_outside", false),
            antialias: n.flag("antialias", false),
        };
        y = im.graph.resize_axis(y, axis as i64, &Dim::from(out), &how)?;
    }
    let y = im.cast(y, dtype)?;
    im.one(y)
}

fn upsample(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let sizes = im.sizes(x)?;
    let scales = match n.opt(1)? {
        Some(s) => im.value(s)?.to_f64(),
        None => n.floats("scales").unwrap_or_default(),
    };
    if scales.len() != sizes.len() {
        return Err(format!("{} scales for {} axes", scales.len(), sizes.len()).into());
    }
    let mode = match n.word("mode", "nearest")? {
        "nearest" => Interpolation::Nearest(Nearest::Floor),
        "linear" | "bilinear" => Interpolation::Linear,
        other => return n.mode_unknown("mode", other),
    };
    let mut y = x;
    for (axis, s) in scales.into_iter().enumerate() {
        let out = scaled(sizes[axis], s)?;
        if out != sizes[axis] {
            let how = Resize {
                mode,
                coordinates: Coordinates::Asymmetric,
                scale: Some(s),
                exclude_outside: false,
                antialias: false,
            };
            y = im.graph.resize_axis(y, axis as i64, &Dim::from(out), &how)?;
        }
    }
    im.one(y)
}

fn grid_sample(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, grid) = (n.x(0)?, n.x(1)?);
    let mode = match n.word("mode", "linear")? {
        "nearest" => Sampling::Nearest,
        "linear" | "bilinear" => Sampling::Linear,
        "cubic" | "bicubic" => Sampling::Cubic,
        other => return n.mode_unknown("mode", other),
    };
    let beyond = match n.word("padding_mode", "zeros")? {
        "zeros" => Beyond::Zeros,
        "border" => Beyond::Border,
        "reflection" => Beyond::Reflection,
        other => return n.mode_unknown("padding_mode", other),
    };
    let y = im.graph.grid_sample(x, grid, mode, beyond, n.flag("align_corners", false))?;
    im.one(y)
}

fn roi_align(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, rois, images) = (n.x(0)?, n.x(1)?, n.x(2)?);
    let half_pixel = match n.word("coordinate_transformation_mode", "half_pixel")? {
        _ if n.version < 16 => false,
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => return n.mode_unknown("coordinate_transformation_mode", other),
    };
    let max = match n.word("mode", "avg")? {
        "avg" => false,
        "max" => true,
        other => return n.mode_unknown("mode", other),
    };
    let samples = n.int("sampling_ratio", 0);
    if samples == 0 {
        return Err(Fault::Unsupported(
            "RoiAlign with as many samples as each region has elements".to_owned(),
        ));
    }
    let parts = ["output_height", "output_width"].map(|name| n.int(name, 1));
    if [parts[0], parts[1], samples].iter().any(|s| !(1..1 << 16).contains(s)) {
        return Err(format!("{parts:?} parts of {samples} samples").into());
    }
    let scale = n.float("spatial_scale", 1.0);
    let dtype = im.dtype(x);
    let (x, rois) = (im.widen(x)?, im.widen(rois)?);
    let y = im.graph.roi_align(x, rois, images, &RoiAlign { parts, samples, scale, half_pixel, max })?;
    let y = im.cast(y, dtype)?;
    im.one(y)
}

/// Places of an image turned and moved by matrices `[n, k, k + 1]`.
fn affine_grid(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (theta, size) = (n.x(0)?, n.x(1)?);
    let size = im.known_ints(size)?;
    let corners = n.flag("align_corners", false);
    let spatial = size.get(2..).unwrap_or(&[]).to_vec();
    let k = spatial.len();
    if !(2..=3).contains(&k) || spatial.iter().any(|s| !(1..1 << 31).contains(s)) || im.rank(theta) != 3 {
        return Err(format!("an image of the sizes {size:?}").into());
    }
    let dtype = im.dtype(theta);
    let batch = im.dim(theta, 0)?;
    let flat: i64 = spatial.iter().product();
    let mut shape: Vec<Dim> = spatial.iter().map(|s| Dim::constant(*s)).collect();
    let mut coordinates: Vec<Operand> = vec![];
    for axis in (0..k).rev() {
        let s = spatial[axis] as f64;
        let at = im.iota_along(spatial[axis], axis, k, dtype)?;
        let at = if corners {
            im.with(ScalarOp::Mul, at, 2.0 / (s - 1.0).max(1.0))?
        } else {
            let at = im.with(ScalarOp::Mul, at, 2.0 / s)?;
            im.with(ScalarOp::Add, at, 1.0 / s)?
        };
        let at = im.with(ScalarOp::Sub, at, 1.0)?;
        let at = im.expand(at, &shape)?;
        coordinates.push(im.reshape(at, [Dim::constant(flat)].into_iter().collect())?);
    }
    let first = coordinates[0];
    coordinates.push(im.like(first, 1.0));
    // [1, flat, k + 1] times [n, k + 1, k].
    let places = im.stack(&coordinates, 1)?;
    let places = im.unsqueeze(places, &[0])?;
    let turned = im.transpose(theta)?;
    let y = im.matmul(places, turned)?;
    shape.insert(0, batch);
    shape.push(Dim::from(k));
    let y = im.reshape(y, shape.into_iter().collect())?;
    im.one(y)
}
