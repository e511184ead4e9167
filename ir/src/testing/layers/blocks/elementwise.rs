//! Element by element, with numbers for rows and columns.

use super::super::make::{Entry, Make};
use crate::dtype::DType;
use crate::dtype::Literal;
use crate::graph::Operand;
use crate::ops::Axes;
use crate::ops::broadcast::Broadcast;
use crate::ops::dropout::Dropout;
use crate::scalar::ScalarOp;
use crate::types::Shape;

pub(super) fn unary(m: &mut Make) -> Option<()> {
    let x = m.pick(|_| true)?;
    use ScalarOp::*;
    let op =
        m.one_of(&[Tanh, Sigmoid, Relu, Square, Neg, Abs, Sin, Cos, Exp, Softplus, Sqrt, Rsqrt, Recip, Log]);
    let (y, bound) = match op {
        Tanh | Sigmoid | Sin | Cos => (m.map(op, &[x.o]), 1.0),
        Relu | Neg | Abs => (m.map(op, &[x.o]), x.bound),
        Square => (m.map(op, &[x.o]), x.bound * x.bound),
        Softplus => (m.map(op, &[x.o]), x.bound + 1.0),
        Exp => {
            let small = m.map(Tanh, &[x.o]);
            (m.map(op, &[small]), 2.8)
        }
        _ => {
            let positive = m.positive(x.o, 0.5);
            (m.map(op, &[positive]), x.bound + 2.0)
        }
    };
    m.push(y, bound);
    Some(())
}

pub(super) fn binary(m: &mut Make) -> Option<()> {
    let x = m.pick(|_| true)?;
    let shape = m.shape(x.o);
    let y = if m.one_in(4) { x.clone() } else { m.value(&shape) };
    use ScalarOp::*;
    let op = m.one_of(&[Add, Sub, Mul, Max, Min, Div]);
    let (z, bound) = match op {
        Add | Sub => (m.map(op, &[x.o, y.o]), x.bound + y.bound),
        Mul => (m.map(op, &[x.o, y.o]), x.bound * y.bound),
        Div => {
            let y = m.positive(y.o, 0.5);
            (m.map(op, &[x.o, y]), 2.0 * x.bound)
        }
        _ => (m.map(op, &[x.o, y.o]), x.bound.max(y.bound)),
    };
    m.push(z, bound);
    Some(())
}

/// Chosen by truth values that are given.
pub(super) fn choose(m: &mut Make) -> Option<()> {
    let x = m.pick(|_| true)?;
    let shape = m.shape(x.o);
    let y = m.value(&shape);
    let condition = m.input(DType::Bool, shape);
    let condition = if m.one_in(2) { m.map(ScalarOp::Not, &[condition.o]) } else { condition.o };
    let z = m.map(ScalarOp::Select, &[condition, x.o, y.o]);
    m.push(z, x.bound.max(y.bound));
    Some(())
}

fn scaled_by(m: &mut Make, x: &Entry, y: Operand, bound: f64) {
    use ScalarOp::*;
    let op = m.one_of(&[Add, Mul, Sub, Div, Max]);
    let (z, bound) = match op {
        Mul => (m.map(op, &[x.o, y]), x.bound * bound),
        Div => {
            let y = m.positive(y, 0.5);
            (m.map(op, &[x.o, y]), 2.0 * x.bound)
        }
        _ => (m.map(op, &[x.o, y]), x.bound + bound),
    };
    m.push(z, bound);
}

/// Every row with a number of its own.
pub(super) fn over_row(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let shape = m.shape(x.o);
    let y = m.value(&shape[..1]);
    let whole = m.g.emit(Broadcast { shape, axes: Axes::from_slice(&[0]) }, &[y.o]);
    scaled_by(m, &x, whole, y.bound);
    Some(())
}

/// Every row with one vector.
pub(super) fn over_rows(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let shape = m.shape(x.o);
    let y = m.value(&shape[1..]);
    let whole = m.g.emit(Broadcast { shape, axes: Axes::from_slice(&[1]) }, &[y.o]);
    scaled_by(m, &x, whole, y.bound);
    Some(())
}

pub(super) fn over_all(m: &mut Make) -> Option<()> {
    let x = m.pick(|_| true)?;
    let y = m.value(&[]);
    let shape = m.shape(x.o);
    let whole = m.g.broadcast(y.o, shape, Axes::new());
    scaled_by(m, &x, whole, y.bound);
    Some(())
}

pub(super) fn dropout(m: &mut Make) -> Option<()> {
    let x = m.pick(|_| true)?;
    let [seed, step] = [(); 2].map(|()| m.input(DType::I64, Shape::new()));
    let rate = Literal::float(DType::F64, m.one_of(&[0.0, 0.1, 0.5]));
    let stream = m.below(4) as u32;
    let y = m.g.emit(Dropout { rate, stream }, &[x.o, seed.o, step.o]);
    m.push(y, x.bound * 2.0);
    Some(())
}

/// By way of f64.
pub(super) fn wide(m: &mut Make) -> Option<()> {
    let x = m.pick(|_| true)?;
    let y = m.g.cast(x.o, DType::F64);
    let c = m.g.fill_like(y, 1.0 / 3.0);
    let y = m.map(ScalarOp::Mul, &[y, c]);
    let y = m.g.cast(y, m.float);
    m.push(y, x.bound);
    Some(())
}

/// Integers and truth values that are given, as floats.
pub(super) fn numbers(m: &mut Make) -> Option<()> {
    let x = m.pick(|_| true)?;
    let shape = m.shape(x.o);
    let dtype = m.one_of(&[DType::I32, DType::I64, DType::U8, DType::Bool, DType::U32]);
    let k = m.input(dtype, shape);
    let truth = if m.one_in(2) {
        let zero = m.g.fill_like(k.o, 0.0);
        m.map(ScalarOp::Ne, &[k.o, zero])
    } else {
        k.o
    };
    let k = m.g.cast(truth, m.float);
    let y = m.map(ScalarOp::Mul, &[x.o, k]);
    m.push(y, x.bound * 4.0);
    Some(())
}
