//! Activations: functions of each element with attributes.

use crate::import::onnx::cx::R;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use ScalarOp::{Abs, Add, Div, Expm1, Gt, Lt, Max, Min, Mul, Sigmoid, Softplus, Sub, Tanh};
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::graph::Operand;
use latentc_ir::scalar::ScalarOp;

rows! {
    "Relu" [1, 6, 13, 14] relu;
    "Tanh" [1, 6, 13] tanh;
    "Sigmoid" [1, 6, 13] sigmoid;
    "Softplus" [1, 22] softplus;
    "Softsign" [1, 22] softsign;
    "LeakyRelu" [1, 6, 16] leaky_relu;
    "PRelu" [1, 6, 7, 9, 16] prelu;
    "Elu" [1, 6, 22] elu;
    "Selu" [1, 6, 22] selu;
    "Celu" [12] celu;
    "ThresholdedRelu" [10, 22] thresholded_relu;
    "HardSigmoid" [1, 6, 22] hard_sigmoid;
    "HardSwish" [14, 22] hard_swish;
    "Gelu" [20] gelu;
    "Mish" [18, 22] mish;
    "Swish" [24] swish;
    "Shrink" [9] shrink;
    "Clip" [1, 6, 11, 12, 13] clip;
}

/// A function of each element, computed in f32 at least.
fn wide(im: &mut Importer<'_>, n: &Node<'_>, f: impl FnOnce(&mut Importer<'_>, Operand) -> R) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let dtype = im.dtype(x);
    let x = im.widen(x)?;
    let y = f(im, x)?;
    let y = im.cast(y, dtype)?;
    im.one(y)
}

fn relu(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let y = im.un(ScalarOp::Relu, x)?;
    im.one(y)
}

fn tanh(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| im.un(Tanh, x))
}

fn sigmoid(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| im.un(Sigmoid, x))
}

fn softplus(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| im.un(Softplus, x))
}

fn softsign(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| {
        let a = im.un(Abs, x)?;
        let a = im.with(Add, a, 1.0)?;
        im.div(x, a)
    })
}

/// `x > at ? a : b`
fn above(im: &mut Importer<'_>, x: Operand, at: f64, a: Operand, b: Operand) -> R {
    let c = im.like(x, at);
    let c = im.map(Gt, &[x, c])?;
    im.select(c, a, b)
}

fn leaky_relu(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let alpha = n.float("alpha", 0.01);
    wide(im, n, |im, x| {
        let y = im.with(Mul, x, alpha)?;
        above(im, x, 0.0, x, y)
    })
}

fn prelu(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, mut slope) = (n.x(0)?, n.x(1)?);
    let (rank, inner) = (im.rank(x), im.rank(slope));
    // Before operator set 7 there is one slope for each channel, axis 1.
    if n.version < 7 && inner == 1 && rank > 1 && im.dim(slope, 0)?.as_const() != Some(1) {
        let mut shape = im.shape(slope);
        shape.extend(std::iter::repeat_n(Dim::constant(1), rank - 2));
        slope = im.reshape(slope, shape)?;
    }
    let all = im.together(&[x, slope])?;
    let y = im.map(Mul, &all)?;
    let zero = im.like_int(x, 0);
    let below = im.map(Lt, &[x, zero])?;
    let y = im.select(below, y, x)?;
    im.one(y)
}

/// `alpha * (e^(x / by) - 1)` below zero, `scale * x` above.
fn exponential(im: &mut Importer<'_>, x: Operand, alpha: f64, by: f64, scale: f64) -> R {
    let low = im.with(Min, x, 0.0)?;
    let low = im.with(Div, low, by)?;
    let low = im.un(Expm1, low)?;
    let low = im.with(Mul, low, alpha)?;
    let up = im.with(Mul, x, scale)?;
    above(im, x, 0.0, up, low)
}

fn elu(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let alpha = n.float("alpha", 1.0);
    wide(im, n, |im, x| exponential(im, x, alpha, 1.0, 1.0))
}

fn selu(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let alpha = n.float("alpha", 1.673_263_192_176_818_8);
    let gamma = n.float("gamma", 1.050_701_022_148_132_3);
    wide(im, n, |im, x| exponential(im, x, alpha * gamma, 1.0, gamma))
}

fn celu(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let alpha = n.float("alpha", 1.0);
    wide(im, n, |im, x| exponential(im, x, alpha, alpha, 1.0))
}

fn thresholded_relu(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let alpha = n.float("alpha", 1.0);
    wide(im, n, |im, x| {
        let zero = im.like(x, 0.0);
        above(im, x, alpha, x, zero)
    })
}

/// `clamp(alpha x + beta, 0, 1)`
fn hard(im: &mut Importer<'_>, x: Operand, alpha: f64, beta: f64) -> R {
    let y = im.with(Mul, x, alpha)?;
    let y = im.with(Add, y, beta)?;
    let y = im.with(Max, y, 0.0)?;
    im.with(Min, y, 1.0)
}

fn hard_sigmoid(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (alpha, beta) = (n.float("alpha", 0.2), n.float("beta", 0.5));
    wide(im, n, |im, x| hard(im, x, alpha, beta))
}

fn hard_swish(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| {
        let h = hard(im, x, 1.0 / 6.0, 0.5)?;
        im.mul(x, h)
    })
}

fn gelu(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let tanh = match n.word("approximate", "none")? {
        "none" => false,
        "tanh" => true,
        other => return n.mode_unknown("approximate", other),
    };
    wide(im, n, |im, x| {
        let inner = if tanh {
            let cube = im.un(ScalarOp::Square, x)?;
            let cube = im.mul(cube, x)?;
            let cube = im.with(Mul, cube, 0.044715)?;
            let s = im.add(x, cube)?;
            let s = im.with(Mul, s, (2.0 / std::f64::consts::PI).sqrt())?;
            im.un(Tanh, s)?
        } else {
            let s = im.with(Mul, x, std::f64::consts::FRAC_1_SQRT_2)?;
            im.un(ScalarOp::Erf, s)?
        };
        let up = im.with(Add, inner, 1.0)?;
        let y = im.mul(x, up)?;
        im.with(Mul, y, 0.5)
    })
}

fn mish(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| {
        let t = im.un(Softplus, x)?;
        let t = im.un(Tanh, t)?;
        im.mul(x, t)
    })
}

fn swish(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let alpha = n.float("alpha", 1.0);
    wide(im, n, |im, x| {
        let s = im.with(Mul, x, alpha)?;
        let s = im.un(Sigmoid, s)?;
        im.mul(x, s)
    })
}

/// `x + bias` below `-lambd`, `x - bias` above `lambd`, else 0.
fn shrink(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (lambd, bias) = (n.float("lambd", 0.5), n.float("bias", 0.0));
    let x = n.x(0)?;
    let out = im.dtype(x);
    let x = if out.is_float() { im.widen(x)? } else { im.cast(x, DType::F64)? };
    let (zero, down, up) = (im.like(x, 0.0), im.with(Sub, x, bias)?, im.with(Add, x, bias)?);
    let y = above(im, x, lambd, down, zero)?;
    let edge = im.like(x, -lambd);
    let low = im.map(Lt, &[x, edge])?;
    let y = im.select(low, up, y)?;
    let y = im.cast(y, out)?;
    im.one(y)
}

fn clip(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let bound = |im: &mut Importer<'_>, at: usize, name: &str| -> R<Option<Operand>> {
        if n.version >= 11 {
            return n.opt(at);
        }
        Ok(n.attr(name).map(|a| im.like(x, f64::from(a.f))))
    };
    let mut y = x;
    if let Some(lo) = bound(im, 1, "min")? {
        y = im.bin(Max, y, lo)?;
    }
    if let Some(hi) = bound(im, 2, "max")? {
        y = im.bin(Min, y, hi)?;
    }
    im.one(y)
}

/// An activation of a recurrent cell.
pub(super) fn cell(
    im: &mut Importer<'_>,
    name: &str,
    x: Operand,
    alpha: Option<f64>,
    beta: Option<f64>,
) -> R {
    match name.to_ascii_lowercase().as_str() {
        "relu" => im.un(ScalarOp::Relu, x),
        "tanh" => im.un(Tanh, x),
        "sigmoid" => im.un(Sigmoid, x),
        "softplus" => im.un(Softplus, x),
        "softsign" => {
            let a = im.un(Abs, x)?;
            let a = im.with(Add, a, 1.0)?;
            im.div(x, a)
        }
        "affine" => {
            let y = im.with(Mul, x, alpha.unwrap_or(1.0))?;
            im.with(Add, y, beta.unwrap_or(0.0))
        }
        "leakyrelu" => {
            let y = im.with(Mul, x, alpha.unwrap_or(0.01))?;
            above(im, x, 0.0, x, y)
        }
        "thresholdedrelu" => {
            let zero = im.like(x, 0.0);
            above(im, x, alpha.unwrap_or(1.0), x, zero)
        }
        "scaledtanh" => {
            let y = im.with(Mul, x, beta.unwrap_or(1.0))?;
            let y = im.un(Tanh, y)?;
            im.with(Mul, y, alpha.unwrap_or(1.0))
        }
        "hardsigmoid" => hard(im, x, alpha.unwrap_or(0.2), beta.unwrap_or(0.5)),
        "elu" => exponential(im, x, alpha.unwrap_or(1.0), 1.0, 1.0),
        _ => Err(crate::import::onnx::error::Fault::Unsupported(format!("the activation {name:?}"))),
    }
}
