//! Arithmetic, comparisons, logic and functions of each element.

use crate::import::onnx::cx::R;
use crate::import::onnx::error::Fault;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::dim::{Dim, Proof};
use latentc_ir::dtype::DType;
use latentc_ir::graph::Operand;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::Shape;

rows! {
    "Add" [1, 6, 7, 13, 14] add;
    "Sub" [1, 6, 7, 13, 14] sub;
    "Mul" [1, 6, 7, 13, 14] mul;
    "Div" [1, 6, 7, 13, 14] div;
    "Pow" [1, 7, 12, 13, 15] pow;
    "Mod" [10, 13] modulo;
    "Min" [1, 6, 8, 12, 13] min;
    "Max" [1, 6, 8, 12, 13] max;
    "Sum" [1, 6, 8, 13] sum;
    "Mean" [1, 6, 8, 13] mean;
    "And" [1, 7] and;
    "Or" [1, 7] or;
    "Xor" [1, 7] xor;
    "Not" [1] not;
    "BitwiseAnd" [18] and;
    "BitwiseOr" [18] or;
    "BitwiseXor" [18] xor;
    "BitwiseNot" [18] not;
    "BitShift" [11] shift;
    "Equal" [1, 7, 11, 13, 19] equal;
    "Less" [1, 7, 9, 13] less;
    "Greater" [1, 7, 9, 13] greater;
    "LessOrEqual" [12, 16] less_equal;
    "GreaterOrEqual" [12, 16] greater_equal;
    "Where" [9, 16] select;
    "Abs" [1, 6, 13] abs;
    "Neg" [1, 6, 13] neg;
    "Sign" [9, 13] sign;
    "Exp" [1, 6, 13] exp;
    "Log" [1, 6, 13] log;
    "Sqrt" [1, 6, 13] sqrt;
    "Reciprocal" [1, 6, 13] recip;
    "Floor" [1, 6, 13] floor;
    "Ceil" [1, 6, 13] ceil;
    "Round" [11, 22] round;
    "Erf" [9, 13] erf;
    "Sin" [7, 22] sin;
    "Cos" [7, 22] cos;
    "Tan" [7, 22] tan;
    "Asin" [7, 22] asin;
    "Acos" [7, 22] acos;
    "Atan" [7, 22] atan;
    "Sinh" [9, 22] sinh;
    "Cosh" [9, 22] cosh;
    "Asinh" [9, 22] asinh;
    "Acosh" [9, 22] acosh;
    "Atanh" [9, 22] atanh;
    "IsNaN" [9, 13, 20] is_nan;
    "IsInf" [10, 20] is_inf;
}

/// The second operand with the axes that the operator sets before 7 let an attribute place.
fn placed(im: &mut Importer<'_>, n: &Node<'_>) -> R<(Operand, Operand)> {
    let (a, b) = (n.x(0)?, n.x(1)?);
    if n.version >= 7 || !n.flag("broadcast", false) || n.attr("axis").is_none() {
        return Ok((a, b));
    }
    let (rank, inner) = (im.rank(a), im.rank(b));
    let axis = im.axis(n.int("axis", 0), rank.max(1))?;
    let Some(behind) = rank.checked_sub(axis + inner) else {
        return Err(format!("{inner} axes at axis {axis} of {rank}").into());
    };
    let mut shape = im.shape(b);
    shape.extend(std::iter::repeat_n(Dim::constant(1), behind));
    Ok((a, im.reshape(b, shape)?))
}

fn binary(im: &mut Importer<'_>, n: &Node<'_>, op: ScalarOp) -> R<Vec<Val>> {
    let (a, b) = placed(im, n)?;
    let y = im.bin(op, a, b)?;
    im.one(y)
}

fn unary(im: &mut Importer<'_>, n: &Node<'_>, op: ScalarOp) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let y = im.un(op, x)?;
    im.one(y)
}

macro_rules! simple {
    ($($name:ident = $how:ident $op:ident;)+) => {
        $(fn $name(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> { $how(im, n, ScalarOp::$op) })+
    };
}
simple! {
    add = binary Add;
    sub = binary Sub;
    mul = binary Mul;
    div = binary Div;
    and = binary And;
    or = binary Or;
    xor = binary Xor;
    equal = binary Eq;
    less = binary Lt;
    greater = binary Gt;
    less_equal = binary Le;
    greater_equal = binary Ge;
    not = unary Not;
    exp = unary Exp;
    log = unary Log;
    sqrt = unary Sqrt;
    recip = unary Recip;
    erf = unary Erf;
    sin = unary Sin;
    cos = unary Cos;
    min = fold Min;
    max = fold Max;
    sum = fold Add;
    neg = unary Neg;
    sign = unary Sign;
    floor = rounding Floor;
    ceil = rounding Ceil;
    round = rounding Round;
}

/// Integers are rounded already.
fn rounding(im: &mut Importer<'_>, n: &Node<'_>, op: ScalarOp) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let y = if im.dtype(x).is_float() { im.un(op, x)? } else { x };
    im.one(y)
}

fn abs(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    unary(im, n, ScalarOp::Abs)
}

/// Any number of operands, combined one after the other.
fn fold(im: &mut Importer<'_>, n: &Node<'_>, op: ScalarOp) -> R<Vec<Val>> {
    let all = n.all()?;
    let Some((first, rest)) = all.split_first() else { return Err("it has no operand".into()) };
    let mut y = *first;
    for x in rest {
        y = im.bin(op, y, *x)?;
    }
    im.one(y)
}

fn mean(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let count = n.ins.len();
    let total = match fold(im, n, ScalarOp::Add)?.as_slice() {
        [Val::Tensor(t)] => t.o,
        _ => return Err("it has no sum".into()),
    };
    let y = im.with(ScalarOp::Div, total, count as f64)?;
    im.one(y)
}

/// `a^b` in the type of `a`.
fn pow(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (a, b) = placed(im, n)?;
    let out = im.dtype(a);
    // Integers up to 2^53 are exact in between.
    let wide = if out.is_float() { out } else { DType::F64 };
    let (a, b) = (im.cast(a, wide)?, im.cast(b, wide)?);
    let y = im.bin(ScalarOp::Pow, a, b)?;
    let y = im.cast(y, out)?;
    im.one(y)
}

/// The remainder with the sign of the divisor, or with `fmod` that of the dividend.
fn modulo(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (a, b) = (n.x(0)?, n.x(1)?);
    let all = im.together(&[a, b])?;
    let y = im.map(ScalarOp::Rem, &all)?;
    let signed = im.dtype(a).is_float() || im.is_signed(a);
    if !n.flag("fmod", false) || !signed {
        return im.one(y);
    }
    // Where the signs of the operands differ and something is left, it is one divisor too far.
    let zero = im.like_int(y, 0);
    let (left, a_neg, b_neg) = (
        im.map(ScalarOp::Ne, &[y, zero])?,
        im.map(ScalarOp::Lt, &[all[0], zero])?,
        im.map(ScalarOp::Lt, &[all[1], zero])?,
    );
    let differ = im.map(ScalarOp::Xor, &[a_neg, b_neg])?;
    let far = im.map(ScalarOp::And, &[differ, left])?;
    let back = im.map(ScalarOp::Sub, &[y, all[1]])?;
    let y = im.map(ScalarOp::Select, &[far, back, y])?;
    im.one(y)
}

/// Shifts of unsigned integers: products with and quotients by powers of two.
fn shift(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, by) = (n.x(0)?, n.x(1)?);
    let left = match n.word("direction", "")? {
        "LEFT" => true,
        "RIGHT" => false,
        other => return n.mode_unknown("direction", other),
    };
    let dtype = im.dtype(x);
    if !dtype.is_int() {
        return Err(Fault::Wrong(format!("shifts of {dtype}")));
    }
    let all = im.together(&[x, by])?;
    let wide = im.cast(all[1], DType::F64)?;
    let two = im.like(wide, 2.0);
    let power = im.map(ScalarOp::Pow, &[two, wide])?;
    let power = im.cast(power, dtype)?;
    let y = im.map(if left { ScalarOp::Mul } else { ScalarOp::Div }, &[all[0], power])?;
    let bits = im.like_int(all[1], 8 * dtype.size() as i64);
    let some = im.map(ScalarOp::Lt, &[all[1], bits])?;
    let none = im.like_int(y, 0);
    let y = im.map(ScalarOp::Select, &[some, y, none])?;
    im.one(y)
}

fn select(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (c, a, b) = (n.x(0)?, n.x(1)?, n.x(2)?);
    let y = im.select(c, a, b)?;
    im.one(y)
}

/// A function of a float, computed in f32 at least.
fn wide(im: &mut Importer<'_>, n: &Node<'_>, f: impl FnOnce(&mut Importer<'_>, Operand) -> R) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let dtype = im.dtype(x);
    let x = im.widen(x)?;
    let y = f(im, x)?;
    let y = im.cast(y, dtype)?;
    im.one(y)
}

fn tan(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| {
        let (s, c) = (im.un(ScalarOp::Sin, x)?, im.un(ScalarOp::Cos, x)?);
        im.div(s, c)
    })
}

/// `(e^x - e^-x) / 2`, by `t = e^x - 1` so that small values keep their digits.
fn sinh(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| {
        let t = im.un(ScalarOp::Expm1, x)?;
        let up = im.with(ScalarOp::Add, t, 1.0)?;
        let ratio = im.div(t, up)?;
        let s = im.add(t, ratio)?;
        im.with(ScalarOp::Mul, s, 0.5)
    })
}

fn cosh(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| {
        let e = im.un(ScalarOp::Exp, x)?;
        let r = im.un(ScalarOp::Recip, e)?;
        let s = im.add(e, r)?;
        im.with(ScalarOp::Mul, s, 0.5)
    })
}

/// `sign(x) log(|x| + sqrt(x^2 + 1))`
fn asinh(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| {
        let a = im.un(ScalarOp::Abs, x)?;
        let s = im.un(ScalarOp::Square, x)?;
        let root = im.with(ScalarOp::Add, s, 1.0)?;
        let root = im.un(ScalarOp::Sqrt, root)?;
        // log1p(|x| + x^2 / (1 + sqrt(x^2 + 1)))
        let below = im.with(ScalarOp::Add, root, 1.0)?;
        let q = im.div(s, below)?;
        let t = im.add(a, q)?;
        let l = im.un(ScalarOp::Log1p, t)?;
        let sign = im.un(ScalarOp::Sign, x)?;
        im.mul(sign, l)
    })
}

/// `log(x + sqrt(x^2 - 1))`
fn acosh(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| {
        let (a, b) = (im.with(ScalarOp::Sub, x, 1.0)?, im.with(ScalarOp::Add, x, 1.0)?);
        let p = im.mul(a, b)?;
        let root = im.un(ScalarOp::Sqrt, p)?;
        let t = im.add(a, root)?;
        im.un(ScalarOp::Log1p, t)
    })
}

/// `log1p(2x / (1 - x)) / 2`
fn atanh(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| {
        let one = im.like(x, 1.0);
        let (top, below) = (im.with(ScalarOp::Mul, x, 2.0)?, im.sub(one, x)?);
        let q = im.div(top, below)?;
        let l = im.un(ScalarOp::Log1p, q)?;
        im.with(ScalarOp::Mul, l, 0.5)
    })
}

/// The angle of a ratio of at least 0, by halving it twice and a series that is then exact to a few units.
fn angle(im: &mut Importer<'_>, x: Operand) -> R {
    let mut t = x;
    // tan(a / 2) = tan(a) / (1 + sqrt(1 + tan(a)^2)); an infinite ratio is brought to a finite one first.
    let large = im.like(t, 1e18);
    t = im.map(ScalarOp::Min, &[t, large])?;
    for _ in 0..3 {
        let s = im.un(ScalarOp::Square, t)?;
        let s = im.with(ScalarOp::Add, s, 1.0)?;
        let s = im.un(ScalarOp::Sqrt, s)?;
        let s = im.with(ScalarOp::Add, s, 1.0)?;
        t = im.div(t, s)?;
    }
    let s = im.un(ScalarOp::Square, t)?;
    let mut p = im.like(t, 1.0 / 17.0);
    for k in (0..8).rev() {
        let c = im.like(t, 1.0 / f64::from(2 * k + 1));
        let q = im.mul(p, s)?;
        p = im.sub(c, q)?;
    }
    let y = im.mul(p, t)?;
    im.with(ScalarOp::Mul, y, 8.0)
}

fn atan(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| {
        let a = im.un(ScalarOp::Abs, x)?;
        let y = angle(im, a)?;
        let s = im.un(ScalarOp::Sign, x)?;
        im.mul(y, s)
    })
}

/// `2 atan(sqrt((1 - |x|) / (1 + |x|)))`: the angle whose cosine is `|x|`.
fn arc(im: &mut Importer<'_>, x: Operand) -> R {
    let a = im.un(ScalarOp::Abs, x)?;
    let one = im.like(a, 1.0);
    let (top, below) = (im.sub(one, a)?, im.add(one, a)?);
    let q = im.div(top, below)?;
    let q = im.un(ScalarOp::Sqrt, q)?;
    let y = angle(im, q)?;
    im.with(ScalarOp::Mul, y, 2.0)
}

fn asin(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| {
        let y = arc(im, x)?;
        let quarter = im.like(x, std::f64::consts::FRAC_PI_2);
        let y = im.sub(quarter, y)?;
        let s = im.un(ScalarOp::Sign, x)?;
        im.mul(y, s)
    })
}

fn acos(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    wide(im, n, |im, x| {
        let y = arc(im, x)?;
        let half = im.like(x, std::f64::consts::PI);
        let other = im.sub(half, y)?;
        let zero = im.like(x, 0.0);
        let negative = im.map(ScalarOp::Lt, &[x, zero])?;
        im.select(negative, other, y)
    })
}

fn is_nan(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let y = im.map(ScalarOp::Ne, &[x, x])?;
    im.one(y)
}

fn is_inf(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let found = |im: &mut Importer<'_>, value: f64| {
        let c = im.like(x, value);
        im.map(ScalarOp::Eq, &[x, c])
    };
    let y = match (n.flag("detect_positive", true), n.flag("detect_negative", true)) {
        (true, false) => found(im, f64::INFINITY)?,
        (false, true) => found(im, f64::NEG_INFINITY)?,
        (true, true) => {
            let (a, b) = (found(im, f64::INFINITY)?, found(im, f64::NEG_INFINITY)?);
            im.map(ScalarOp::Or, &[a, b])?
        }
        (false, false) => {
            let shape: Shape = im.shape(x);
            im.fill(latentc_ir::dtype::Literal::zero(DType::Bool), shape)
        }
    };
    im.one(y)
}

impl Importer<'_> {
    /// Whether elements are integers that may be negative.
    pub fn is_signed(&self, x: Operand) -> bool {
        self.dtype(x).is_signed()
    }

    /// Whether two values have one shape for every run.
    pub fn same_shape(&self, a: Operand, b: Operand) -> bool {
        let (a, b) = (self.shape(a), self.shape(b));
        a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| x.eq_proof(y) == Proof::True)
    }
}
