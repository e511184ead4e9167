//! Rules of arithmetic.

use super::{Rule, rules};
use crate::dtype::{DType, Literal};
use crate::graph::{Graph, NodeId, Operand};
use crate::ops::Op;
use crate::scalar::ScalarOp;

pub(super) const RULES: &[Rule] = rules! {
    "an op on constants is a constant": Exact => fold,
    "x * 1 = x": Exact => |g, n| unit(g, n, ScalarOp::Mul, 1.0, true),
    "x / 1 = x": Exact => |g, n| unit(g, n, ScalarOp::Div, 1.0, false),
    "x - 0 = x": Exact => |g, n| unit(g, n, ScalarOp::Sub, 0.0, false),
    "x + (-0) = x": Exact => |g, n| unit(g, n, ScalarOp::Add, -0.0, true),
    "cast to the same type": Exact => same_cast,
    "neg neg x = x": Exact => |g, n| twice(g, n, ScalarOp::Neg),
    "not not x = x": Exact => |g, n| twice(g, n, ScalarOp::Not),
    "select(not c, x, y) = select(c, y, x)": Exact => select_of_not,
    "x / c = x * (1 / c) for a power of two": Exact => divide_by_power,
    "x / c = x * (1 / c)": Reassociating => divide_by_constant,
    "(x * c) * d = x * (c * d)": Reassociating => combine_scales,
};

fn elementwise(g: &Graph, o: Operand) -> Option<(ScalarOp, Vec<Operand>)> {
    match &g.node(o.node).op {
        Op::Elementwise(e) => Some((e.op, g.node(o.node).operands.to_vec())),
        _ => None,
    }
}

/// The constant that every element of a value is.
pub(super) fn constant(g: &Graph, o: Operand) -> Option<Literal> {
    match &g.node(o.node).op {
        Op::Fill(f) => Some(f.value),
        Op::Broadcast(_) | Op::Reshape(_) | Op::Permute(_) | Op::Slice(_) => {
            constant(g, g.node(o.node).operands[0])
        }
        _ => None,
    }
}

fn fold(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let value = match &g.node(n).op {
        Op::Elementwise(e) => {
            let operands: Option<Vec<Literal>> = g.node(n).operands.iter().map(|o| constant(g, *o)).collect();
            crate::scalar::eval(e.op, &operands?)?
        }
        Op::Cast(c) => crate::scalar::convert(constant(g, g.node(n).operands[0])?, c.to),
        Op::Bitcast(c) => crate::scalar::reinterpret(constant(g, g.node(n).operands[0])?, c.to),
        _ => return None,
    };
    let shape = g.shape_of(n.into());
    Some(g.fill(value, shape))
}

/// `x op unit = x`; for commutative ops on either side.
fn unit(g: &mut Graph, n: NodeId, op: ScalarOp, unit: f64, commutes: bool) -> Option<Operand> {
    let (found, operands) = elementwise(g, n.into())?;
    if found != op {
        return None;
    }
    let is_unit = |o: Operand| constant(g, o).is_some_and(|c| c == Literal::float(c.dtype(), unit));
    if is_unit(operands[1]) {
        Some(operands[0])
    } else if commutes && is_unit(operands[0]) {
        Some(operands[1])
    } else {
        None
    }
}

fn same_cast(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let Op::Cast(c) = &g.node(n).op else { return None };
    let x = g.node(n).operands[0];
    (g.dtype_of(x) == c.to).then_some(x)
}

fn twice(g: &mut Graph, n: NodeId, op: ScalarOp) -> Option<Operand> {
    let (found, outer) = elementwise(g, n.into())?;
    let (inner, operands) = elementwise(g, outer[0])?;
    (found == op && inner == op).then(|| operands[0])
}

/// Masks are stored once, not with their opposites.
fn select_of_not(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let (op, operands) = elementwise(g, n.into())?;
    let (inner, c) = elementwise(g, operands[0])?;
    (op == ScalarOp::Select && inner == ScalarOp::Not)
        .then(|| g.map(ScalarOp::Select, &[c[0], operands[2], operands[1]]))
}

/// Whether a float format holds a number with all its digits.
fn is_normal(dtype: DType, value: f64) -> bool {
    let held = Literal::float(dtype, value).as_f64().abs();
    held.is_finite() && held >= dtype.least_normal()
}

/// A division by a constant: the value and the constant, whose reciprocal its format holds.
fn divided(g: &Graph, n: NodeId) -> Option<(Operand, f64)> {
    let (op, operands) = elementwise(g, n.into())?;
    let c = constant(g, *operands.get(1)?)?;
    let fits =
        c.dtype().is_float() && is_normal(c.dtype(), c.as_f64()) && is_normal(c.dtype(), c.as_f64().recip());
    (op == ScalarOp::Div && fits).then_some((operands[0], c.as_f64()))
}

fn divide_by_power(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let (x, c) = divided(g, n)?;
    let power = c.to_bits() << 12 == 0;
    power.then(|| g.scale(x, c.recip()))
}

fn divide_by_constant(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let (x, c) = divided(g, n)?;
    Some(g.scale(x, c.recip()))
}

/// The value and the constant of a product with a constant.
fn scaled(g: &Graph, o: Operand) -> Option<(Operand, Literal)> {
    let (op, operands) = elementwise(g, o)?;
    if op != ScalarOp::Mul || !g.dtype_of(o).is_float() {
        return None;
    }
    match (constant(g, operands[0]), constant(g, operands[1])) {
        (None, Some(c)) => Some((operands[0], c)),
        (Some(c), None) => Some((operands[1], c)),
        _ => None,
    }
}

fn combine_scales(g: &mut Graph, n: NodeId) -> Option<Operand> {
    let (inner, d) = scaled(g, n.into())?;
    let (x, c) = scaled(g, inner)?;
    let product = c.as_f64() * d.as_f64();
    if !is_normal(c.dtype(), product) {
        return None;
    }
    let both = g.fill_like(x, product);
    Some(g.map(ScalarOp::Mul, &[x, both]))
}
