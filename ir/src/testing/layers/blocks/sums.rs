//! Sums along rows and over rows, and products.

use super::super::make::Make;
use crate::dim::Dim;
use crate::ops::Axes;
use crate::ops::log_sum_exp::LogSumExp;
use crate::ops::reduce::Reduce;
use crate::ops::softmax::Softmax;
use crate::scalar::ReduceOp;
use crate::scalar::ScalarOp;

/// A number for every row.
pub(super) fn statistic(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| s.len() >= 2)?;
    let shape = m.shape(x.o);
    let op = m.one_of(&[ReduceOp::Sum, ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min]);
    let last = shape.len() - 1;
    let width = m.size(&shape[last]);
    (op == ReduceOp::Sum || width > 0).then_some(())?;
    let y = m.g.emit(Reduce { op, axes: Axes::from_slice(&[last]) }, &[x.o]);
    let bound = if op == ReduceOp::Sum { x.bound * width as f64 } else { x.bound };
    m.push(y, bound);
    Some(())
}

pub(super) fn column_sums(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let op = m.one_of(&[ReduceOp::Sum, ReduceOp::Sum, ReduceOp::Max]);
    let rows = m.shape(x.o)[0].clone();
    let rows = m.size(&rows);
    (op == ReduceOp::Sum || rows > 0).then_some(())?;
    let y = m.g.emit(Reduce { op, axes: Axes::from_slice(&[0]) }, &[x.o]);
    m.push(y, if op == ReduceOp::Sum { x.bound * rows as f64 } else { x.bound });
    Some(())
}

/// Over several axes at once.
pub(super) fn total(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let s = m.shape(x.o);
    let mut axes: Axes = (0..s.len()).collect();
    if axes.len() > 1 && m.one_in(3) {
        let at = m.below(axes.len());
        axes.remove(at);
    }
    let count: usize = axes.iter().map(|a| m.size(&s[*a])).product();
    let y = m.g.emit(Reduce { op: ReduceOp::Sum, axes }, &[x.o]);
    m.push(y, x.bound * count as f64);
    Some(())
}

pub(super) fn softmax(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let y = m.g.emit(Softmax, &[x.o]);
    m.push(y, 1.0);
    Some(())
}

pub(super) fn log_sum_exp(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let width = m.shape(x.o).last()?.clone();
    (m.size(&width) > 0).then_some(())?;
    let y = m.g.emit(LogSumExp, &[x.o]);
    m.push(y, x.bound + 8.0);
    Some(())
}

/// Rows divided by their length.
pub(super) fn norm(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let s = m.shape(x.o);
    let square = m.map(ScalarOp::Square, &[x.o]);
    let sum = m.g.reduce(ReduceOp::Sum, square, Axes::from_slice(&[1]));
    let length = m.positive(sum, 0.25);
    let inverse = m.map(ScalarOp::Rsqrt, &[length]);
    let inverse = m.g.broadcast(inverse, s, Axes::from_slice(&[0]));
    let y = m.map(ScalarOp::Mul, &[x.o, inverse]);
    m.push(y, 1.0);
    Some(())
}

pub(super) fn product_(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let s = m.shape(x.o);
    let (rows, k) = (m.size(&s[0]), m.size(&s[1]));
    let n = m.width(rows.max(k));
    let transposed = m.one_in(3);
    let w = if transposed { [n.into(), s[1].clone()] } else { [s[1].clone(), n.into()] };
    (rows * k * n <= 1_500_000).then_some(())?;
    let w = m.value(&w);
    let y = m.g.matmul(x.o, w.o, false, transposed);
    m.push(y, x.bound * w.bound * k as f64);
    Some(())
}

/// A product over the rows of both.
pub(super) fn outer(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let s = m.shape(x.o);
    let y = m.pick(|t| t.len() == 2 && t[0] == s[0])?;
    let t = m.shape(y.o);
    let (rows, a, b) = (m.size(&s[0]), m.size(&s[1]), m.size(&t[1]));
    (rows * a * b <= 1_500_000).then_some(())?;
    let z = m.g.matmul(x.o, y.o, true, false);
    m.push(z, x.bound * y.bound * rows as f64);
    Some(())
}

pub(super) fn batched(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| s.len() == 3)?;
    let s = m.shape(x.o);
    let [ta, tb] = [m.one_in(2), m.one_in(2)];
    let k = if ta { s[1].clone() } else { s[2].clone() };
    let n = Dim::from(m.one_of(&[1usize, 3, 16, 70]));
    let rows = if ta { &s[2] } else { &s[1] };
    let work = m.size(&s[0]) * m.size(rows) * m.size(&k) * m.size(&n);
    let small = m.size(&s[0]) * m.size(&k) * m.size(&n) <= 30_000;
    (work <= 600_000 && small).then_some(())?;
    let y = if tb { [s[0].clone(), n, k.clone()] } else { [s[0].clone(), k.clone(), n] };
    let y = m.value(&y);
    let z = m.g.matmul(x.o, y.o, ta, tb);
    m.push(z, x.bound * y.bound * m.size(&k) as f64);
    Some(())
}
