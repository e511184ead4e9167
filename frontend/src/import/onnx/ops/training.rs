//! Steps of optimizers, of the domain of training.

use crate::import::onnx::cx::R;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::graph::Operand;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::scalar::ScalarOp::{Add, Div, Mul, Pow, Select, Sqrt, Square, Sub};

rows! {
    "Adam" [1] adam;
    "Adagrad" [1] adagrad;
    "Momentum" [1] momentum;
}

/// The step size, the number of the step in its type, and so many values for each tensor.
fn groups(im: &mut Importer<'_>, n: &Node<'_>, each: usize) -> R<(Operand, Operand, Vec<Vec<Operand>>)> {
    let all = n.all()?;
    let Some((&[r, t], rest)) = all.split_first_chunk::<2>() else {
        return Err("a step size and a number are expected".into());
    };
    if rest.is_empty() || rest.len() % each != 0 {
        return Err(format!("{} values in groups of {each}", rest.len()).into());
    }
    let count = rest.len() / each;
    let t = im.cast_as(t, r)?;
    Ok((r, t, (0..count).map(|i| (0..each).map(|k| rest[k * count + i]).collect()).collect()))
}

/// Results of each tensor in the order of the format: all first ones, all second ones.
fn by_kind(im: &Importer<'_>, results: Vec<Vec<Operand>>) -> Vec<Val> {
    let kinds = results.first().map_or(0, Vec::len);
    (0..kinds).flat_map(|k| results.iter().map(move |r| r[k])).map(|o| im.t(o)).collect()
}

/// `norm_coefficient * x + g`
fn regularised(im: &mut Importer<'_>, n: &Node<'_>, x: Operand, g: Operand) -> R {
    let x = im.with(Mul, x, n.float("norm_coefficient", 0.0))?;
    im.add(x, g)
}

/// `a * c + b * (1 - c)`
fn blend(im: &mut Importer<'_>, a: Operand, b: Operand, c: f64) -> R {
    let (a, b) = (im.with(Mul, a, c)?, im.with(Mul, b, 1.0 - c)?);
    im.add(a, b)
}

fn adam(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (r, t, all) = groups(im, n, 4)?;
    let (alpha, beta) = (n.float("alpha", 0.9), n.float("beta", 0.999));
    let mut results = vec![];
    for v in all {
        let g = regularised(im, n, v[0], v[1])?;
        let m = blend(im, v[2], g, alpha)?;
        let s = im.un(Square, g)?;
        let h = blend(im, v[3], s, beta)?;
        let root = im.un(Sqrt, h)?;
        let root = im.with(Add, root, n.float("epsilon", 1e-6))?;
        // 1 - c^t, and the step size as it is before the first step.
        let rest = |im: &mut Importer<'_>, c: f64| {
            let base = im.like(t, c);
            let p = im.map(Pow, &[base, t])?;
            let one = im.like(p, 1.0);
            im.sub(one, p)
        };
        let (a, b) = (rest(im, alpha)?, rest(im, beta)?);
        let b = im.un(Sqrt, b)?;
        let up = im.bin(Mul, r, b)?;
        let adjusted = im.bin(Div, up, a)?;
        let zero = im.like(t, 0.0);
        let later = im.map(ScalarOp::Gt, &[t, zero])?;
        let all = im.together(&[later, adjusted, r])?;
        let step = im.map(Select, &all)?;
        let step = im.mul(step, m)?;
        let step = im.div(step, root)?;
        let x = im.bin(Sub, v[0], step)?;
        let x = im.with(Mul, x, 1.0 - n.float("norm_coefficient_post", 0.0))?;
        results.push(vec![x, m, h]);
    }
    Ok(by_kind(im, results))
}

fn adagrad(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (r, t, all) = groups(im, n, 3)?;
    let decay = im.with(Mul, t, n.float("decay_factor", 0.0))?;
    let decay = im.with(Add, decay, 1.0)?;
    let r = im.bin(Div, r, decay)?;
    let mut results = vec![];
    for v in all {
        let g = regularised(im, n, v[0], v[1])?;
        let s = im.un(Square, g)?;
        let h = im.add(v[2], s)?;
        let root = im.un(Sqrt, h)?;
        let root = im.with(Add, root, n.float("epsilon", 1e-6))?;
        let step = im.mul(r, g)?;
        let step = im.div(step, root)?;
        results.push(vec![im.sub(v[0], step)?, h]);
    }
    Ok(by_kind(im, results))
}

fn momentum(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (r, t, all) = groups(im, n, 3)?;
    let nesterov = match n.word("mode", "standard")? {
        "standard" => false,
        "nesterov" => true,
        other => return n.mode_unknown("mode", other),
    };
    let alpha = n.float("alpha", 0.9);
    let (one, beta, zero) = (im.like(t, 1.0), im.like(t, n.float("beta", 1.0)), im.like(t, 0.0));
    let later = im.map(ScalarOp::Gt, &[t, zero])?;
    let beta = im.map(Select, &[later, beta, one])?;
    let mut results = vec![];
    for v in all {
        let g = regularised(im, n, v[0], v[1])?;
        let old = im.with(Mul, v[2], alpha)?;
        let new = im.mul(g, beta)?;
        let m = im.add(old, new)?;
        let step = if nesterov {
            let ahead = im.with(Mul, m, alpha)?;
            im.add(g, ahead)?
        } else {
            m
        };
        let step = im.mul(step, r)?;
        results.push(vec![im.sub(v[0], step)?, m]);
    }
    Ok(by_kind(im, results))
}
