//! Rows at positions that data give, and sparse sums.

use super::super::make::Make;
use super::shape;
use crate::dim::Dim;
use crate::graph::Operand;
use crate::ops::csr_degree::CsrDegree;
use crate::ops::gather_rows::GatherRows;
use crate::ops::scatter_rows::ScatterRows;
use crate::ops::sddmm::Sddmm;
use crate::ops::spmm::Spmm;
use crate::ops::spmm_rows::SpmmRows;
use crate::scalar::ScalarOp;

/// A pattern for the rows of `x`, transposed or not: `(pattern, transpose, entries of a row at most)`.
fn pattern_for(m: &mut Make, cols: Dim) -> (Operand, bool, f64) {
    if m.one_in(2) {
        let (csr, most) = m.pattern(cols.clone(), cols, true);
        return (csr, m.one_in(3), most);
    }
    let others = [m.rows[0].clone(), m.rows[1].clone(), 19.into()];
    let rows = m.one_of(&others);
    if m.one_in(2) {
        let (csr, most) = m.pattern(rows, cols, false);
        (csr, false, most)
    } else {
        let (csr, most) = m.pattern(cols, rows, false);
        (csr, true, most)
    }
}

pub(super) fn sparse(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let rows = m.shape(x.o)[0].clone();
    let (csr, transpose, most) = pattern_for(m, rows);
    let y = m.g.emit(Spmm { transpose, weighted: false }, &[csr, x.o]);
    m.push(y, x.bound * most);
    Some(())
}

pub(super) fn sparse_rows(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let cols = m.shape(x.o)[0].clone();
    let (csr, transpose, most) = pattern_for(m, cols);
    let c = m.g.csr(csr).clone();
    let rows = if transpose { c.cols } else { c.rows };
    let b = m.rows[1].clone();
    let ids = m.ids(shape([b]), &rows)?;
    let y = m.g.emit(SpmmRows { transpose }, &[csr, x.o, ids]);
    m.push(y, x.bound * most);
    Some(())
}

/// A sparse sum with weights that are given, or the scores of the two rows of each entry.
pub(super) fn weighted(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let rows = m.shape(x.o)[0].clone();
    let (csr, transpose, most) = pattern_for(m, rows);
    let c = m.g.csr(csr).clone();
    let w = if m.one_in(2) {
        m.input(m.float, shape([c.nnz]))
    } else {
        let width = m.width(m.size(&c.rows).max(m.size(&c.cols)));
        let width = Dim::from(width.min(64));
        let (a, b) = (m.value(&[c.rows, width.clone()]), m.value(&[c.cols, width.clone()]));
        let w = m.g.emit(Sddmm, &[csr, a.o, b.o]);
        m.push(w, a.bound * b.bound * m.size(&width) as f64)
    };
    let y = m.g.emit(Spmm { transpose, weighted: true }, &[csr, x.o, w.o]);
    m.push(y, x.bound * w.bound * most);
    Some(())
}

pub(super) fn gather(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty() && s.len() < 4)?;
    let rows = m.shape(x.o)[0].clone();
    let b = m.rows[1].clone();
    let of = match m.below(4) {
        0 => shape([b, 3.into()]),
        1 => shape([]),
        _ => shape([b]),
    };
    let width = m.count(&m.shape(x.o)[1..]);
    (m.count(&of) * width <= 60_000).then_some(())?;
    let ids = m.ids(of, &rows)?;
    let y = m.g.emit(GatherRows, &[x.o, ids]);
    m.push(y, x.bound);
    Some(())
}

pub(super) fn scatter(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let count = m.shape(x.o)[0].clone();
    let rows = m.one_of(&[m.rows[0].clone(), m.rows[1].clone(), 5.into(), 2000.into()]);
    (m.size(&rows) * m.count(&m.shape(x.o)[1..]) <= 60_000).then_some(())?;
    let ids = m.ids(shape([count.clone()]), &rows)?;
    let y = m.g.emit(ScatterRows { rows }, &[ids, x.o]);
    m.push(y, x.bound * m.size(&count).max(1) as f64);
    Some(())
}

/// `1 / sqrt(degree)` of the rows of a pattern, or of its columns.
pub(super) fn degree(m: &mut Make) -> Option<()> {
    let (rows, cols) = (m.rows[0].clone(), m.one_of(&m.rows.clone()));
    let symmetric = rows == cols;
    let (csr, _) = m.pattern(rows, cols, symmetric);
    let transpose = m.one_in(2);
    let degree = m.g.emit(CsrDegree { transpose }, &[csr]);
    let degree = m.g.cast(degree, m.float);
    let positive = m.positive(degree, 1.0);
    let y = m.map(ScalarOp::Rsqrt, &[positive]);
    m.push(y, 1.0);
    Some(())
}
