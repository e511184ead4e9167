//! Rows and blocks at positions that data give, and sparse patterns.

use super::super::builder::{Builder, Entry};
use super::shape_of;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::ops::cast::Cast;
use crate::ops::csr_array::CsrArrayOf;
use crate::ops::csr_degree::CsrDegree;
use crate::ops::gather_rows::GatherRows;
use crate::ops::index::Index;
use crate::ops::index_update::IndexUpdate;
use crate::ops::iota::Iota;
use crate::ops::row_sparse::{RowSparse, RowSparseParts};
use crate::ops::scatter_rows::ScatterRows;
use crate::ops::sddmm::Sddmm;
use crate::ops::segment_ids::SegmentIds;
use crate::ops::segment_reduce::SegmentReduce;
use crate::ops::segment_softmax::SegmentSoftmax;
use crate::ops::segments::Segments;
use crate::ops::spmm::Spmm;
use crate::ops::spmm_rows::SpmmRows;
use crate::plan::CsrPart;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{Shape, Type};

pub(super) fn gather_rows(b: &mut Builder<'_>) -> Option<()> {
    // Every second time few rows of a table that is known to be large, as rewriting looks for them.
    let few = b.one_in(2);
    let large = |ty: &Type| {
        let rows = ty.as_tensor().and_then(|t| t.shape.first()).and_then(Dim::as_const);
        rows.is_some_and(|rows| rows >= 8)
    };
    let table = if few { b.pick(large)? } else { b.any(1) };
    let rows = shape_of(b, &table)[0].clone();
    let rank = b.below(3);
    let shape = if few { Shape::from_iter([Dim::from(1 + b.below(4))]) } else { b.shape(rank) };
    let ids = b.ids(shape, &rows)?;
    b.add(GatherRows, &[&table, &ids])?;
    Some(())
}

/// Coordinates for the first axes of a tensor, counted, given or computed, some of them beyond their axes.
fn coordinates(b: &mut Builder<'_>, x: &Entry) -> Vec<Entry> {
    let (own, rank) = (shape_of(b, x), b.below(3));
    let shape = if b.one_in(3) { own.clone() } else { b.shape(rank) };
    let indexed = 1 + b.below(own.len());
    let mut all = vec![];
    for _ in 0..indexed {
        let dtype = b.one_of(&[DType::I32, DType::I32, DType::I64]);
        let counted = !shape.is_empty() && b.allows("iota") && b.one_in(3);
        let axis = b.below(shape.len());
        let iota = Iota { shape: shape.clone(), axis, dtype };
        let counted = if counted { b.add(iota, &[]).and_then(|mut all| all.pop()) } else { None };
        all.push(match counted {
            Some(counted) => counted,
            None if b.one_in(2) => b.tensor_input(dtype, shape.clone()),
            None => b.value(dtype, shape.clone()),
        });
    }
    all
}

pub(super) fn index(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(1);
    let coordinates = coordinates(b, &x);
    let operands: Vec<&Entry> = std::iter::once(&x).chain(&coordinates).collect();
    b.add(Index, &operands)?;
    Some(())
}

pub(super) fn index_update(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(1);
    let coordinates = coordinates(b, &x);
    let (dtype, indexed) = (b.graph.dtype_of(x.o), coordinates.len());
    let op = match dtype {
        DType::Bool => b.one_of(&[None, Some(ReduceOp::Max), Some(ReduceOp::Min)]),
        _ => b.one_of(&[None, Some(ReduceOp::Sum), Some(ReduceOp::Prod), Some(ReduceOp::Max)]),
    };
    let mut shape = shape_of(b, &coordinates[0]);
    shape.extend(shape_of(b, &x).drain(indexed..));
    let updates = b.value(dtype, shape);
    let operands: Vec<&Entry> =
        std::iter::once(&x).chain(&coordinates).chain(std::iter::once(&updates)).collect();
    b.add(IndexUpdate { op }, &operands)?;
    Some(())
}

/// Values with ids below a number of rows.
fn ids_and_values(b: &mut Builder<'_>) -> Option<(Dim, Entry, Entry)> {
    let values = b.floats(1);
    let count = shape_of(b, &values)[0].clone();
    let rows = b.dim();
    let ids = b.ids(Shape::from_iter([count]), &rows)?;
    Some((rows, ids, values))
}

pub(super) fn scatter_rows(b: &mut Builder<'_>) -> Option<()> {
    let (rows, ids, values) = ids_and_values(b)?;
    let once = b.add(ScatterRows { rows: rows.clone() }, &[&ids, &values])?;
    if b.one_in(4) {
        // A sum of two, as gradients of a table are.
        let (dtype, shape) = (b.graph.dtype_of(values.o), shape_of(b, &values));
        let ids = b.ids(Shape::from_iter([shape[0].clone()]), &rows)?;
        let more = b.value(dtype, shape);
        let again = b.add(ScatterRows { rows }, &[&ids, &more])?;
        b.map(ScalarOp::Add, &[&once[0], &again[0]])?;
    }
    Some(())
}

pub(super) fn row_sparse(b: &mut Builder<'_>) -> Option<()> {
    let (rows, ids, values) = ids_and_values(b)?;
    let whole = b.add(RowSparse { rows: rows.clone() }, &[&ids, &values])?;
    if b.allows("row_sparse_parts") {
        let parts = b.add(RowSparseParts, &[&whole[0]])?;
        if b.allows("scatter_rows") && b.one_in(2) {
            b.add(ScatterRows { rows }, &[&parts[0], &parts[1]])?;
        }
    }
    Some(())
}

pub(super) fn segments(b: &mut Builder<'_>) -> Option<()> {
    let (rows, ids, values) = ids_and_values(b)?;
    let parts = b.add(Segments { rows }, &[&ids])?;
    of_segments(b, &parts[0], &parts[1], &values)
}

/// What is made of segments and values that their order names.
fn of_segments(b: &mut Builder<'_>, indptr: &Entry, order: &Entry, values: &Entry) -> Option<()> {
    let count = shape_of(b, order)[0].clone();
    if b.allows("segment_ids") && b.one_in(4) {
        b.add(SegmentIds { count: count.clone() }, &[indptr])?;
    }
    if b.allows("segment_softmax") && b.one_in(3) {
        b.add(SegmentSoftmax, &[indptr, order, values])?;
    }
    if b.allows("segment_sum") {
        let op = b.one_of(&[ReduceOp::Sum, ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min]);
        let dtype = b.graph.dtype_of(values.o);
        if op == ReduceOp::Sum && b.one_in(3) {
            let weights = b.value(dtype, Shape::from_iter([count]));
            b.add(SegmentReduce { op }, &[indptr, order, values, &weights])?;
        } else {
            b.add(SegmentReduce { op }, &[indptr, order, values])?;
        }
    }
    Some(())
}

/// Values an entry of a pattern, combined by its rows or by its columns, and rows of the entries.
pub(super) fn csr_array(b: &mut Builder<'_>) -> Option<()> {
    let csr = b.pattern();
    let ty = b.graph.csr(csr.o).clone();
    let array = |b: &mut Builder<'_>, part| b.add(CsrArrayOf { part }, &[&csr])?.pop();
    let columns = array(b, CsrPart::Indices)?;
    let rank = b.below(2);
    let shape: Shape = std::iter::once(ty.nnz.clone()).chain(b.shape(rank)).collect();
    let values = b.value(b.float, shape);
    if b.allows("scatter_rows") && b.one_in(3) {
        b.add(ScatterRows { rows: ty.cols.clone() }, &[&columns, &values])?;
    }
    if b.one_in(2) {
        let (indptr, order) = (array(b, CsrPart::TwinIndptr)?, array(b, CsrPart::TwinEdges)?);
        return of_segments(b, &indptr, &order, &values);
    }
    let indptr = array(b, CsrPart::Indptr)?;
    let iota = Iota { shape: Shape::from_iter([ty.nnz.clone()]), axis: 0, dtype: DType::I32 };
    let order = b.add(iota, &[])?.pop()?;
    if b.allows("scatter_rows") && b.allows("segment_ids") && b.one_in(3) {
        let rows = b.add(SegmentIds { count: ty.nnz.clone() }, &[&indptr])?;
        b.add(ScatterRows { rows: ty.rows }, &[&rows[0], &values])?;
    }
    of_segments(b, &indptr, &order, &values)
}

pub(super) fn spmm(b: &mut Builder<'_>) -> Option<()> {
    let csr = b.pattern();
    let ty = b.graph.csr(csr.o).clone();
    let (transpose, weighted) = (b.one_in(2), b.one_in(2));
    let cols = if transpose { ty.rows } else { ty.cols };
    let rank = b.one_of(&[0, 1, 1, 1, 2]);
    let shape: Shape = std::iter::once(cols).chain(b.shape(rank)).collect();
    let x = b.value(b.float, shape);
    let mut operands = vec![&csr, &x];
    let weights;
    if weighted {
        weights = b.value(b.float, Shape::from_iter([ty.nnz]));
        operands.push(&weights);
    }
    let one = b.add(Spmm { transpose, weighted }, &operands)?;
    if !weighted && b.one_in(2) {
        // Two products with one pattern, added up, as rewriting looks for them.
        let shape = shape_of(b, &x);
        let more = b.value(b.float, shape);
        let other = b.add(Spmm { transpose, weighted }, &[&csr, &more])?;
        b.map(ScalarOp::Add, &[&one[0], &other[0]])?;
    }
    Some(())
}

pub(super) fn spmm_rows(b: &mut Builder<'_>) -> Option<()> {
    let csr = b.pattern();
    let ty = b.graph.csr(csr.o).clone();
    let (transpose, rank) = (b.one_in(2), b.below(3));
    let (rows, cols) = if transpose { (ty.cols, ty.rows) } else { (ty.rows, ty.cols) };
    let shape: Shape = std::iter::once(cols).chain(b.shape(rank)).collect();
    let x = b.value(b.float, shape);
    let count = b.dim();
    let ids = b.ids(Shape::from_iter([count]), &rows)?;
    b.add(SpmmRows { transpose }, &[&csr, &x, &ids])?;
    Some(())
}

pub(super) fn sddmm(b: &mut Builder<'_>) -> Option<()> {
    let csr = b.pattern();
    let ty = b.graph.csr(csr.o).clone();
    let width = b.dim();
    let [x, y] = [ty.rows, ty.cols].map(|rows| b.value(b.float, Shape::from_iter([rows, width.clone()])));
    b.add(Sddmm, &[&csr, &x, &y])?;
    Some(())
}

pub(super) fn csr_degree(b: &mut Builder<'_>) -> Option<()> {
    let csr = b.pattern();
    let transpose = b.one_in(2);
    let degree = b.add(CsrDegree { transpose }, &[&csr])?;
    if b.allows("cast") {
        b.add(Cast { to: b.float }, &[&degree[0]])?;
    }
    Some(())
}
