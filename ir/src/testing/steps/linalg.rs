//! Factorizations and systems of equations, of matrices for which they are well conditioned: the greatest elements are on
//! the diagonal, or in some order of the columns; what hangs on the difference of eigenvalues has them apart.

use super::super::builder::{Builder, Entry};
use super::shape_of;
use crate::dtype::{DType, Literal};
use crate::ops::Op;
use crate::ops::cholesky::Cholesky;
use crate::ops::eigh::Eigh;
use crate::ops::lu::Lu;
use crate::ops::pinv::Pinv;
use crate::ops::qr::Qr;
use crate::ops::svd::Svd;
use crate::ops::triangular_solve::TriangularSolve;

fn size(b: &mut Builder<'_>) -> usize {
    b.one_of(&[1, 2, 3, 5, 9])
}

fn diagonal(b: &mut Builder<'_>) -> Entry {
    let n = size(b);
    b.matrices(n, n, |i, j| if i == j { 2.0 } else { 0.0 })
}

/// Square ones, or with more rows.
fn apart(b: &mut Builder<'_>, square: bool) -> Entry {
    let n = size(b);
    let more = if square { 0 } else { b.below(4) };
    b.matrices(n + more, n, |i, j| if i == j { 0.75 + 0.4 * i as f64 } else { 0.0 })
}

fn add(b: &mut Builder<'_>, op: impl Into<Op>, x: &Entry) -> Option<()> {
    b.add(op, &[x])?;
    Some(())
}

pub(super) fn cholesky(b: &mut Builder<'_>) -> Option<()> {
    let x = diagonal(b);
    add(b, Cholesky, &x)
}

pub(super) fn triangular_solve(b: &mut Builder<'_>) -> Option<()> {
    let a = diagonal(b);
    let mut shape = shape_of(b, &a);
    shape.pop();
    shape.push(b.dim());
    let y = b.value(b.float, shape);
    let [lower, transpose, unit] = [(); 3].map(|()| b.one_in(2));
    b.add(TriangularSolve { lower, transpose, unit }, &[&a, &y])?;
    Some(())
}

pub(super) fn lu(b: &mut Builder<'_>) -> Option<()> {
    let n = size(b);
    let mut order: Vec<usize> = (0..n).collect();
    b.random.shuffle(&mut order);
    let x = b.matrices(n, n, |i, j| if order[i] == j { 2.0 } else { 0.0 });
    add(b, Lu, &x)
}

pub(super) fn qr(b: &mut Builder<'_>) -> Option<()> {
    let x = apart(b, false);
    add(b, Qr, &x)
}

pub(super) fn svd(b: &mut Builder<'_>) -> Option<()> {
    let x = apart(b, false);
    add(b, Svd, &x)
}

pub(super) fn eigh(b: &mut Builder<'_>) -> Option<()> {
    let x = apart(b, true);
    add(b, Eigh, &x)
}

pub(super) fn pinv(b: &mut Builder<'_>) -> Option<()> {
    let x = apart(b, false);
    add(b, Pinv { least: Literal::float(DType::F64, 1e-3) }, &x)
}
