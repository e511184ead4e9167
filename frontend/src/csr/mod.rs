//! Sparse patterns: propagation along the edges of a graph.

mod entries;

use crate::dims::{At, Dim, DimLike};
use crate::scope::Scope;
use crate::tensor::Tensor;
use latentc_ir::diag::{Diag, Span};
use latentc_ir::dim::{Dim as Size, Proof};
use latentc_ir::dtype::DType;
use latentc_ir::graph::Operand;
use latentc_ir::ops::csr_degree::CsrDegree;
use latentc_ir::ops::sddmm::Sddmm;
use latentc_ir::ops::spmm::Spmm;
use latentc_ir::scalar::ScalarOp;
use std::fmt;
use std::panic::Location;

/// The pattern of a sparse matrix A `[rows, cols]`: which entries there are, each 1. A handle, free to copy.
///
/// The pattern itself has no gradient. Scaling by degrees is written as ordinary elementwise ops around the
/// product, for the compiler to fold into it.
#[derive(Clone, Copy)]
pub struct Csr<'g> {
    scope: &'g Scope,
    /// Position among the scope's patterns; `None` where poisoned.
    index: Option<usize>,
    transpose: bool,
}

/// A declared pattern.
#[derive(Clone)]
pub(crate) struct CsrDecl {
    pub name: String,
    pub at: At,
    pub rows: Size,
    pub cols: Size,
    pub nnz: Option<Size>,
    pub symmetric: bool,
    /// The input node, once something uses the pattern.
    pub value: Option<Operand>,
}

impl<'g> Csr<'g> {
    pub(crate) fn new(scope: &'g Scope, index: usize) -> Csr<'g> {
        Csr { scope, index: Some(index), transpose: false }
    }

    pub(crate) fn poisoned(scope: &'g Scope) -> Csr<'g> {
        Csr { scope, index: None, transpose: false }
    }

    /// Changes the declaration, which is possible until the pattern is used.
    fn declare(self, what: &str, at: At, change: impl FnOnce(&mut CsrDecl)) -> Csr<'g> {
        let Some(index) = self.index else { return self };
        let used = {
            let decl = &mut self.scope.state.borrow_mut().csrs[index];
            let used = decl.value.is_some();
            if !used {
                change(decl);
            }
            used
        };
        if used {
            let diag = Diag::new(
                format!("`{what}` says more about a pattern that is already in use"),
                Span::from(at),
                "said here",
            );
            self.scope.report(diag.help(format!("write `.{what}` where the pattern is declared")));
        }
        self
    }

    /// Promises that the pattern equals its transpose; a run checks it. Its transpose then needs no memory.
    #[track_caller]
    pub fn symmetric(self) -> Csr<'g> {
        let at = Location::caller();
        let Some(index) = self.index else { return self };
        let (name, rows, cols) = {
            let decl = &self.scope.state.borrow().csrs[index];
            (decl.name.clone(), decl.rows.clone(), decl.cols.clone())
        };
        if rows.eq_proof(&cols) != Proof::True {
            let message =
                format!("the pattern `{name}` of {rows} rows and {cols} columns cannot be symmetric");
            self.scope.error(at, message, "said here");
            return self;
        }
        self.declare("symmetric()", at, |decl| decl.symmetric = true)
    }

    /// Gives the number of entries, where it is known or shared with other inputs.
    #[track_caller]
    pub fn nnz(self, entries: impl DimLike) -> Csr<'g> {
        let at = Location::caller();
        match entries.resolve(self.scope, at) {
            Some(nnz) => self.declare("nnz(..)", at, |decl| decl.nnz = Some(nnz)),
            None => self,
        }
    }

    /// The transpose.
    pub fn transpose(self) -> Csr<'g> {
        Csr { transpose: !self.transpose, ..self }
    }

    fn size(self, of: impl FnOnce(&CsrDecl) -> Size) -> Dim<'g> {
        let size = self.index.map(|index| of(&self.scope.state.borrow().csrs[index]));
        size.map_or(Dim { scope: self.scope, index: None }, |size| self.scope.intern(size))
    }

    /// Number of rows.
    pub fn rows(self) -> Dim<'g> {
        self.size(|decl| if self.transpose { decl.cols.clone() } else { decl.rows.clone() })
    }

    /// Number of columns.
    pub fn cols(self) -> Dim<'g> {
        self.size(|decl| if self.transpose { decl.rows.clone() } else { decl.cols.clone() })
    }

    /// Number of entries; settles it, as any use does.
    pub fn entries(self) -> Dim<'g> {
        let Some(value) = self.index.and_then(|index| self.scope.csr_node(index)) else {
            return Dim { scope: self.scope, index: None };
        };
        let nnz = self.scope.state.borrow().graph.csr(value).nnz.clone();
        self.scope.intern(nnz)
    }

    /// The pattern as a value of the graph; `None` where it comes out of a mistake.
    pub fn operand(self) -> Option<Operand> {
        self.scope.csr_node(self.index?)
    }

    /// The pattern among the operands of an op, labelled by its declaration.
    pub(crate) fn as_operand(self) -> Tensor<'g> {
        let at = match self.index {
            Some(index) => self.scope.state.borrow().csrs[index].at,
            None => Location::caller(),
        };
        Tensor { scope: self.scope, value: self.operand(), at }
    }

    /// A x: for `x [cols, ..]` the sums of its rows over the entries of each row, `[rows, ..]`.
    #[track_caller]
    pub fn spmm(self, x: Tensor<'g>) -> Tensor<'g> {
        self.spmm_at(x, Location::caller())
    }

    /// As [`Csr::spmm`], with the entry `e` being `weights[e]`, `weights` `[nnz]`. The transpose keeps the
    /// weight of each entry.
    #[track_caller]
    pub fn spmm_weighted(self, weights: Tensor<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let op = Spmm { transpose: self.transpose, weighted: true };
        self.scope.emit(op, &[self.as_operand(), x, weights], Location::caller())
    }

    /// For each entry, in order, the dot product of row `row` of `a [rows, d]` and row `column` of
    /// `b [cols, d]`: `[nnz]`. For the transpose of a declared pattern, in the order of the original's entries.
    #[track_caller]
    pub fn dot_entries(self, a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
        let (a, b) = if self.transpose { (b, a) } else { (a, b) };
        self.scope.emit(Sddmm, &[self.as_operand(), a, b], Location::caller())
    }

    /// The number of entries of each row, f32 `[rows]`.
    #[track_caller]
    pub fn degree(self) -> Tensor<'g> {
        let at = Location::caller();
        let op = CsrDegree { transpose: self.transpose };
        self.scope.emit(op, &[self.as_operand()], at).cast_at(DType::F32, at)
    }

    /// The degree of each row, at least `least`, in the element type of `like`. A row without entries
    /// multiplies nothing but zero, so its own scale only has to be finite.
    fn degree_like(self, least: f64, like: Tensor<'g>, at: At) -> Tensor<'g> {
        let Some(dtype) = like.dtype() else { return self.scope.poisoned(at) };
        let op = CsrDegree { transpose: self.transpose };
        let degree = self.scope.emit(op, &[self.as_operand()], at).cast_at(dtype, at);
        if least > 0.0 { degree.apply(ScalarOp::Max, least, at) } else { degree }
    }

    pub(crate) fn is_transposed(self) -> bool {
        self.transpose
    }

    fn spmm_at(self, x: Tensor<'g>, at: At) -> Tensor<'g> {
        let op = Spmm { transpose: self.transpose, weighted: false };
        self.scope.emit(op, &[self.as_operand(), x], at)
    }

    /// D^-1/2 A D'^-1/2 x: entry (r, c) counts 1 / sqrt(degree of row r * degree of column c); for a
    /// symmetric pattern, the symmetric normalisation. A row without entries gives 0.
    #[track_caller]
    pub fn sym_norm_spmm(self, x: Tensor<'g>) -> Tensor<'g> {
        let at = Location::caller();
        let rows = self.degree_like(1.0, x, at).map(ScalarOp::Rsqrt, at);
        let symmetric = self.index.is_some_and(|index| self.scope.state.borrow().csrs[index].symmetric);
        let cols =
            if symmetric { rows } else { self.transpose().degree_like(1.0, x, at).map(ScalarOp::Rsqrt, at) };
        self.spmm_at(x.scale_rows_at(cols, at), at).scale_rows_at(rows, at)
    }

    /// D^-1 A x: the mean of the rows of `x` over the entries of each row. A row without entries gives 0.
    #[track_caller]
    pub fn row_norm_spmm(self, x: Tensor<'g>) -> Tensor<'g> {
        let at = Location::caller();
        let scale = self.degree_like(1.0, x, at).map(ScalarOp::Recip, at);
        self.spmm_at(x, at).scale_rows_at(scale, at)
    }

    /// (D + I)^-1 (A + I) x = (A x + x) / (degree + 1): the mean over a row's entries and the row itself.
    /// The pattern stays as it is, without the diagonal; it must be square. A row without entries gives
    /// its row of `x`.
    #[track_caller]
    pub fn row_norm_self_spmm(self, x: Tensor<'g>) -> Tensor<'g> {
        let at = Location::caller();
        let scale = self.degree_like(0.0, x, at).apply(ScalarOp::Add, 1.0, at).map(ScalarOp::Recip, at);
        self.spmm_at(x, at).apply(ScalarOp::Add, x, at).scale_rows_at(scale, at)
    }
}

impl fmt::Debug for Csr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(index) = self.index else { return f.write_str("poisoned") };
        let decl = &self.scope.state.borrow().csrs[index];
        write!(f, "{}[{}, {}]", decl.name, decl.rows, decl.cols)?;
        f.write_str(if self.transpose { " transposed" } else { "" })
    }
}
