//! Layers of published systems.

use super::super::make::{Entry, Make};
use super::shape;
use crate::ops::Axes;
use crate::ops::broadcast::Broadcast;
use crate::ops::csr_degree::CsrDegree;
use crate::ops::gather_rows::GatherRows;
use crate::ops::spmm::Spmm;
use crate::scalar::ReduceOp;
use crate::scalar::ScalarOp;

/// A layer of neural graph collaborative filtering: sums over neighbours, two products, an activation.
pub(super) fn ngcf(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let s = m.shape(x.o);
    let (rows, k) = (m.size(&s[0]), m.size(&s[1]));
    let n = m.width(rows.max(k)).min(64);
    (rows * k * n <= 600_000).then_some(())?;
    let (csr, most) = m.pattern(s[0].clone(), s[0].clone(), true);
    let sum = m.g.emit(Spmm { transpose: false, weighted: false }, &[csr, x.o]);
    let sum = m.g.scale(sum, 1.0 / most);
    let both = m.map(ScalarOp::Mul, &[x.o, sum]);
    let [w, v] = [(); 2].map(|()| m.value(&[s[1].clone(), n.into()]));
    let bias = m.value(&[n.into()]);
    let all = m.map(ScalarOp::Add, &[x.o, sum]);
    let (a, b) = (m.g.matmul(all, w.o, false, false), m.g.matmul(both, v.o, false, false));
    let y = m.map(ScalarOp::Add, &[a, b]);
    let shape = m.shape(y);
    let bias_rows = m.g.emit(Broadcast { shape, axes: Axes::from_slice(&[1]) }, &[bias.o]);
    let y = m.map(ScalarOp::Add, &[y, bias_rows]);
    let slope = m.g.scale(y, 0.25);
    let y = m.map(ScalarOp::Max, &[y, slope]);
    m.push(y, x.bound * k as f64 * (2.0 * w.bound + x.bound * v.bound) + bias.bound);
    Some(())
}

/// Layers of a light graph convolution: sums over neighbours, rows scaled before and after, all layers added.
pub(super) fn propagate(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let s = m.shape(x.o);
    let (csr, most) = m.pattern(s[0].clone(), s[0].clone(), true);
    let scale = if m.one_in(2) {
        m.value(&s[..1])
    } else {
        let degree = m.g.emit(CsrDegree { transpose: false }, &[csr]);
        let degree = m.g.cast(degree, m.float);
        let degree = m.positive(degree, 1.0);
        Entry { o: m.map(ScalarOp::Rsqrt, &[degree]), bound: 1.0 }
    };
    let rows = m.g.emit(Broadcast { shape: s, axes: Axes::from_slice(&[0]) }, &[scale.o]);
    let (mut layer, mut sum, mut bound) = (x.o, x.o, x.bound);
    for _ in 0..1 + m.below(3) {
        let before = m.map(ScalarOp::Mul, &[rows, layer]);
        let next = m.g.emit(Spmm { transpose: false, weighted: false }, &[csr, before]);
        let next = m.g.scale(next, 0.0625 / most);
        layer = m.map(ScalarOp::Mul, &[next, rows]);
        sum = m.map(ScalarOp::Add, &[sum, layer]);
        bound += x.bound;
    }
    m.push(sum, bound);
    Some(())
}

/// Dot products of gathered rows.
pub(super) fn score(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let s = m.shape(x.o);
    let b = m.rows[1].clone();
    let width = m.size(&s[1]);
    (m.size(&b) * width <= 40_000).then_some(())?;
    let [i, j] = [m.ids(shape([b.clone()]), &s[0])?, m.ids(shape([b]), &s[0])?];
    let [u, v] = [i, j].map(|ids| m.g.emit(GatherRows, &[x.o, ids]));
    let both = m.map(ScalarOp::Mul, &[u, v]);
    let y = m.g.reduce(ReduceOp::Sum, both, Axes::from_slice(&[1]));
    m.push(y, x.bound * x.bound * width as f64);
    Some(())
}
