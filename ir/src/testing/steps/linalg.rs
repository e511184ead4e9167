//! Factorizations and systems of equations, of matrices for which they are well conditioned.

use super::super::builder::Builder;
use super::shape_of;
use crate::ops::cholesky::Cholesky;
use crate::ops::lu::Lu;
use crate::ops::triangular_solve::TriangularSolve;

pub(super) fn cholesky(b: &mut Builder<'_>) -> Option<()> {
    let x = b.matrices(false);
    b.add(Cholesky, &[&x])?;
    Some(())
}

pub(super) fn triangular_solve(b: &mut Builder<'_>) -> Option<()> {
    let a = b.matrices(false);
    let mut shape = shape_of(b, &a);
    shape.pop();
    shape.push(b.dim());
    let y = b.value(b.float, shape);
    let [lower, transpose, unit] = [(); 3].map(|()| b.one_in(2));
    b.add(TriangularSolve { lower, transpose, unit }, &[&a, &y])?;
    Some(())
}

pub(super) fn lu(b: &mut Builder<'_>) -> Option<()> {
    let x = b.matrices(true);
    b.add(Lu, &[&x])?;
    Some(())
}
