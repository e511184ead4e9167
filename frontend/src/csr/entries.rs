//! Values an entry of a pattern: how they are combined by rows, and attention along them.
//!
//! They are tensors whose first axis is `nnz`, in the order of the declared pattern's entries, also where a transpose
//! combines them. Memory is planned for the greatest `nnz`: [`Csr::nnz`] gives it a bound where the pattern is declared.

use super::Csr;
use crate::tensor::Tensor;
use latentc_ir::compose::edges::Pattern;
use latentc_ir::dtype::DType;
use latentc_ir::graph::{Graph, Operand};
use latentc_ir::scalar::ReduceOp;
use std::panic::Location;

impl<'g> Csr<'g> {
    /// A composition on the pattern and tensors.
    #[track_caller]
    fn along(
        self,
        tensors: &[Tensor<'g>],
        make: impl FnOnce(&mut Graph, Pattern, &[Operand]) -> Result<Operand, String>,
    ) -> Tensor<'g> {
        let operands: Vec<Tensor<'g>> =
            std::iter::once(self.as_operand()).chain(tensors.iter().copied()).collect();
        self.scope.composed(&operands, Location::caller(), |g, o| {
            make(g, Pattern { csr: o[0], transpose: self.transpose }, &o[1..])
        })
    }

    /// The row of each entry, i32 `[nnz]`; `x.rows(adj.entry_rows())` is what each entry has of its row.
    #[track_caller]
    pub fn entry_rows(self) -> Tensor<'g> {
        self.along(&[], |g, p, _| g.entry_rows(p))
    }

    /// The column of each entry, i32 `[nnz]`.
    #[track_caller]
    pub fn entry_cols(self) -> Tensor<'g> {
        self.transpose().entry_rows()
    }

    /// The sum of the values `[nnz, ..]` of each row's entries, `[rows, ..]`.
    #[track_caller]
    pub fn sum_entries(self, values: Tensor<'g>) -> Tensor<'g> {
        self.along(&[values], |g, p, o| g.reduce_entries(ReduceOp::Sum, p, o[0]))
    }

    /// The mean of the values `[nnz, ..]` of each row's entries, `[rows, ..]`; 0 for a row without entries.
    #[track_caller]
    pub fn mean_entries(self, values: Tensor<'g>) -> Tensor<'g> {
        self.along(&[values], |g, p, o| g.mean_entries(p, o[0]))
    }

    /// The greatest of the values `[nnz, ..]` of each row's entries, `[rows, ..]`; `-inf`, or the least integer, for a
    /// row without entries.
    #[track_caller]
    pub fn max_entries(self, values: Tensor<'g>) -> Tensor<'g> {
        self.along(&[values], |g, p, o| g.reduce_entries(ReduceOp::Max, p, o[0]))
    }

    /// The least of the values `[nnz, ..]` of each row's entries, `[rows, ..]`; `inf`, or the greatest integer, for a row
    /// without entries.
    #[track_caller]
    pub fn min_entries(self, values: Tensor<'g>) -> Tensor<'g> {
        self.along(&[values], |g, p, o| g.reduce_entries(ReduceOp::Min, p, o[0]))
    }

    /// Softmax of scores `[nnz, ..]` among the entries of each row, without overflow: `[nnz, ..]`.
    #[track_caller]
    pub fn softmax_entries(self, scores: Tensor<'g>) -> Tensor<'g> {
        self.along(&[scores], |g, p, o| g.softmax_entries(p, o[0]))
    }

    /// Attention along the entries, head by head: `softmax_entries(scores)`, of scores `[nnz, heads]`, times the rows of
    /// `x [cols, heads, d]`, summed for each row: `[rows, heads, d]`. A row without entries gives 0. Beside the result,
    /// scores and weights an entry are all that is stored.
    #[track_caller]
    pub fn attend(self, scores: Tensor<'g>, x: Tensor<'g>) -> Tensor<'g> {
        self.along(&[scores, x], |g, p, o| g.attend_entries(p, o[0], o[1]))
    }

    /// The scores of graph attention (Velickovic and others, 2018): `leaky_relu(a[row] + b[col])` for each entry,
    /// `[nnz, heads]`, of `a [rows, heads]` and `b [cols, heads]`; the paper has a slope of 0.2.
    #[track_caller]
    pub fn additive_scores(self, a: Tensor<'g>, b: Tensor<'g>, slope: f64) -> Tensor<'g> {
        self.along(&[a, b], |g, p, o| g.additive_scores(p, o[0], o[1], slope))
    }

    /// Scores by dot products, head by head: `scale * q[row, head] . k[col, head]` for each entry, `[nnz, heads]`, of
    /// `q [rows, heads, d]` and `k [cols, heads, d]`.
    #[track_caller]
    pub fn dot_scores(self, q: Tensor<'g>, k: Tensor<'g>, scale: f64) -> Tensor<'g> {
        self.along(&[q, k], |g, p, o| g.dot_scores(p, o[0], o[1], scale))
    }

    /// Weights `[nnz]` that leave out each entry by itself with a probability of `rate`, other ones in every run: 0 for
    /// those that are left out, 1 for the others, which are not scaled up. For [`Csr::spmm_weighted`]; used twice in a
    /// program, they leave out the same entries twice, also in the derivative.
    ///
    /// The pattern keeps its size, as sizes never depend on data; a smaller one for many runs is made by
    /// [`CsrArray::subset`](crate::CsrArray::subset) and given to them.
    #[track_caller]
    pub fn drop_entries(self, rate: f64) -> Tensor<'g> {
        let entries = self.entries();
        if !(0.0..1.0).contains(&rate) {
            let message = format!("entries are left out at a rate of {rate}; it is at least 0 and below 1");
            self.scope.error(Location::caller(), message, "here");
            return self.scope.poisoned(Location::caller());
        }
        self.scope.uniform([entries]).ge(rate).cast(DType::F32)
    }
}
