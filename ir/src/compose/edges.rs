//! Values an entry of a sparse pattern: combined by rows, normalised, and attention along them.

use super::Composed;
use crate::dim::Proof;
use crate::dtype::DType;
use crate::graph::{Graph, Operand};
use crate::ops::csr_array::CsrArrayOf;
use crate::ops::csr_degree::CsrDegree;
use crate::ops::gather_rows::GatherRows;
use crate::ops::iota::Iota;
use crate::ops::sddmm::Sddmm;
use crate::ops::segment_ids::SegmentIds;
use crate::ops::segment_reduce::SegmentReduce;
use crate::ops::segment_softmax::SegmentSoftmax;
use crate::ops::slice::Slice;
use crate::ops::spmm::Spmm;
use crate::plan::CsrPart;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{CsrType, Shape, Type, shape_text};

/// A pattern, or its transpose. Values an entry stand in the order of the pattern's own entries in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The pattern.
    pub csr: Operand,
    /// Whether its transpose is meant.
    pub transpose: bool,
}

impl Graph {
    fn pattern(&self, what: &str, p: Pattern) -> Result<CsrType, String> {
        match self.type_of(p.csr) {
            Type::Csr(c) => Ok(c.clone()),
            other => Err(format!("`{what}` takes a CSR pattern, {other} found")),
        }
    }

    fn csr_array(&mut self, csr: Operand, part: CsrPart) -> Operand {
        self.emit(CsrArrayOf { part }, &[csr])
    }

    /// The entries of each row as segments: pointers and order.
    fn segments_of(&mut self, p: Pattern, c: &CsrType) -> [Operand; 2] {
        if p.transpose {
            return [CsrPart::TwinIndptr, CsrPart::TwinEdges].map(|part| self.csr_array(p.csr, part));
        }
        let own = Iota { shape: Shape::from_iter([c.nnz.clone()]), axis: 0, dtype: DType::I32 };
        [self.csr_array(p.csr, CsrPart::Indptr), self.emit(own, &[])]
    }

    /// The row of each entry, i32 `[nnz]`; of a transpose, the column.
    ///
    /// # Errors
    /// Where there is no pattern.
    pub fn entry_rows(&mut self, p: Pattern) -> Composed {
        let count = self.pattern("entry_rows", p)?.nnz;
        if p.transpose {
            return Ok(self.csr_array(p.csr, CsrPart::Indices));
        }
        let indptr = self.csr_array(p.csr, CsrPart::Indptr);
        Ok(self.emit(SegmentIds { count }, &[indptr]))
    }

    /// `values [nnz, ..]` combined row by row: `[rows, ..]`; the identity for a row without entries.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn reduce_entries(&mut self, op: ReduceOp, p: Pattern, values: Operand) -> Composed {
        let c = self.pattern("reduce_entries", p)?;
        self.an_entry("reduce_entries", &c, values)?;
        let [indptr, order] = self.segments_of(p, &c);
        self.try_emit(SegmentReduce { op }, &[indptr, order, values])
    }

    /// The mean of the `values [nnz, ..]` of each row: `[rows, ..]`; 0 for a row without entries.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn mean_entries(&mut self, p: Pattern, values: Operand) -> Composed {
        let sum = self.reduce_entries(ReduceOp::Sum, p, values)?;
        let ty = self.dense("mean_entries", sum)?;
        if !ty.dtype.is_real() {
            return Err(format!("`mean_entries` takes floats, {} found", ty.dtype));
        }
        let degree = self.emit(CsrDegree { transpose: p.transpose }, &[p.csr]);
        let degree = self.cast(degree, ty.dtype);
        let degree = self.by(ScalarOp::Max, degree, 1.0);
        let degree = self.unreduce(degree, ty.shape.clone(), &(1..ty.rank()).collect::<Vec<_>>());
        Ok(self.map(ScalarOp::Div, &[sum, degree]))
    }

    /// Softmax of the `values [nnz, ..]` among the entries of each row, without overflow.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn softmax_entries(&mut self, p: Pattern, values: Operand) -> Composed {
        let c = self.pattern("softmax_entries", p)?;
        self.an_entry("softmax_entries", &c, values)?;
        let [indptr, order] = self.segments_of(p, &c);
        self.try_emit(SegmentSoftmax, &[indptr, order, values])
    }

    fn an_entry(&self, what: &str, c: &CsrType, values: Operand) -> Result<(), String> {
        let ty = self.dense(what, values)?;
        match ty.shape.first() {
            Some(n) if n.eq_proof(&c.nnz) == Proof::True => Ok(()),
            _ => Err(format!(
                "`{what}` takes values an entry, axis 0 of {} positions, {} found",
                c.nnz,
                shape_text(&ty.shape)
            )),
        }
    }

    /// `leaky_relu(a[row] + b[col])` for each entry, `[nnz, heads]`, of `a [rows, heads]` and `b [cols, heads]`: the
    /// scores of graph attention (Velickovic and others, 2018).
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn additive_scores(&mut self, p: Pattern, a: Operand, b: Operand, slope: f64) -> Composed {
        let rows = self.entry_rows(p)?;
        let cols = self.entry_rows(Pattern { transpose: !p.transpose, ..p })?;
        let a = self.rows_of("additive_scores", p, a, false)?;
        let b = self.rows_of("additive_scores", p, b, true)?;
        let [a, b] = [(a, rows), (b, cols)].map(|(x, ids)| self.emit(GatherRows, &[x, ids]));
        let sum = self.try_emit(crate::ops::elementwise::Elementwise { op: ScalarOp::Add }, &[a, b])?;
        if !self.dtype_of(sum).is_real() {
            return Err(format!("`additive_scores` takes floats, {} found", self.dtype_of(sum)));
        }
        let zero = self.fill_like(sum, 0.0);
        let positive = self.map(ScalarOp::Gt, &[sum, zero]);
        let less = self.by(ScalarOp::Mul, sum, slope);
        Ok(self.select(positive, sum, less))
    }

    /// A value of as many rows as the pattern has rows, or columns.
    fn rows_of(&self, what: &str, p: Pattern, x: Operand, columns: bool) -> Composed {
        let c = self.pattern(what, p)?;
        let (size, name) = if p.transpose != columns { (c.cols, "columns") } else { (c.rows, "rows") };
        let ty = self.dense(what, x)?;
        match ty.shape.first() {
            Some(n) if n.eq_proof(&size) == Proof::True => Ok(x),
            _ => Err(format!(
                "`{what}`: the pattern has {size} {name}, the tensor is {}",
                shape_text(&ty.shape)
            )),
        }
    }

    /// Dot products at the entries, head by head: `[nnz, heads]` of `a [rows, heads, d]` and `b [cols, heads, d]`,
    /// times `scale`.
    ///
    /// # Errors
    /// Where shapes or types do not fit, or the number of heads is no constant.
    pub fn dot_scores(&mut self, p: Pattern, a: Operand, b: Operand, scale: f64) -> Composed {
        let c = self.pattern("dot_scores", p)?;
        let a = self.rows_of("dot_scores", p, a, false)?;
        let b = self.rows_of("dot_scores", p, b, true)?;
        let heads = self.heads("dot_scores", a, 1)?;
        let (a, b) = if p.transpose { (b, a) } else { (a, b) };
        let mut all = vec![];
        for head in 0..heads {
            let a = self.head("dot_scores", a, head, heads)?;
            let b = self.head("dot_scores", b, head, heads)?;
            let dots = self.try_emit(Sddmm, &[p.csr, a, b])?;
            let dots = self.by(ScalarOp::Mul, dots, scale);
            all.push(self.reshape(dots, Shape::from_iter([c.nnz.clone(), 1.into()])));
        }
        match all[..] {
            [one] => Ok(one),
            _ => self.try_emit(crate::ops::concat::Concat { axis: 1 }, &all),
        }
    }

    /// Attention along the entries of a pattern: for each row and head the sum over its entries of
    /// `softmax(scores)[entry, head] * x[col, head]`: `[rows, heads, d]` of `scores [nnz, heads]` and
    /// `x [cols, heads, d]`. A row without entries gives 0. Scores and weights an entry are all that is stored beside
    /// the result.
    ///
    /// # Errors
    /// Where shapes or types do not fit, or the number of heads is no constant.
    pub fn attend_entries(&mut self, p: Pattern, scores: Operand, x: Operand) -> Composed {
        let x = self.rows_of("attend_entries", p, x, true)?;
        let heads = self.heads("attend_entries", x, 1)?;
        let weights = self.softmax_entries(p, scores)?;
        let mut all = vec![];
        for head in 0..heads {
            let w = self.head("attend_entries", weights, head, heads)?;
            let x = self.head("attend_entries", x, head, heads)?;
            let y = self.try_emit(Spmm { transpose: p.transpose, weighted: true }, &[p.csr, x, w])?;
            let shape = self.shape_of(y);
            all.push(self.reshape(y, [shape[0].clone(), 1.into(), shape[1].clone()].into_iter().collect()));
        }
        match all[..] {
            [one] => Ok(one),
            _ => self.try_emit(crate::ops::concat::Concat { axis: 1 }, &all),
        }
    }

    /// How many heads a value has along an axis.
    fn heads(&self, what: &str, x: Operand, axis: usize) -> Result<i64, String> {
        let ty = self.dense(what, x)?;
        match ty.shape.get(axis).and_then(|d| d.as_const()) {
            Some(heads) if heads > 0 && ty.rank() == 3 => Ok(heads),
            _ => Err(format!(
                "`{what}` takes rows [.., heads, d] of a constant number of heads, {} found",
                shape_text(&ty.shape)
            )),
        }
    }

    /// What one of so many heads has along axis 1.
    fn head(&mut self, what: &str, x: Operand, head: i64, heads: i64) -> Composed {
        let ty = self.dense(what, x)?;
        if ty.shape.get(1).and_then(|d| d.as_const()) != Some(heads) {
            return Err(format!("`{what}`: {heads} heads, and {} found", shape_text(&ty.shape)));
        }
        let op = Slice { axis: 1, start: head.into(), end: (head + 1).into(), step: 1 };
        let x = if heads == 1 { x } else { self.try_emit(op, &[x])? };
        let shape = ty.shape.iter().enumerate().filter(|(a, _)| *a != 1).map(|(_, d)| d.clone()).collect();
        Ok(self.reshape(x, shape))
    }
}
