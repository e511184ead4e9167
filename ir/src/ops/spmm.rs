//! `spmm`: a sparse matrix in compressed rows times a dense one.

use super::sddmm::Sddmm;
use super::*;
use crate::array::{Array, CsrArray};
use crate::types::product;

/// `(csr [rows, cols; nnz], x [cols, ..]) -> [rows, ..]`: `y[r] = sum over the entries e of row r of w[e] * x[col[e]]`, in the order of the entries. With `weighted` a third operand gives `w [nnz]`; without it every `w` is 1. With `transpose` the transposed pattern is used (x has `rows` rows, y has `cols`), each entry with the weight of the original entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spmm {
    /// Multiplies by the transpose.
    pub transpose: bool,
    /// Whether a third operand gives a weight for each entry.
    pub weighted: bool,
}

impl OpDef for Spmm {
    fn name(&self) -> &'static str {
        "spmm"
    }

    fn attrs(&self) -> Attrs {
        vec![
            ("transpose", Attr::Int(i64::from(self.transpose))),
            ("weighted", Attr::Int(i64::from(self.weighted))),
        ]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let count = 2 + usize::from(self.weighted);
        let (Some(Type::Csr(csr)), Some(Type::Tensor(x)), true) =
            (operands.first(), operands.get(1), operands.len() == count)
        else {
            return Err(format!(
                "`spmm` takes a CSR pattern, a tensor{}, {} found",
                if self.weighted { " and weights" } else { "" },
                list(operands)
            ));
        };
        let (rows, cols) = if self.transpose { (&csr.cols, &csr.rows) } else { (&csr.rows, &csr.cols) };
        if x.rank() == 0 || !x.dtype.is_real() {
            return Err(format!("`spmm` takes a float tensor of at least one axis, {} found", operands[1]));
        }
        same_dim("spmm", "the columns of the pattern", cols, "axis 0 of the tensor", &x.shape[0])?;
        if let Some(w) = operands.get(2) {
            let expected = Type::tensor(x.dtype, [csr.nnz.clone()]);
            if *w != expected {
                return Err(format!("`spmm` takes weights {expected}, {w} found"));
            }
        }
        Ok(one(Type::tensor(x.dtype, std::iter::once(rows.clone()).chain(x.shape[1..].iter().cloned()))))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let (csr, x) = (values::csr(operands, 0)?, values::tensor(operands, 1)?);
        let weights = if self.weighted { Some(values::tensor(operands, 2)?.to_f64()) } else { None };
        Ok(vec![Value::Tensor(sparse_product(csr, x, weights.as_deref(), self.transpose))])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(dy) = cx.gradient(0) else { return Ok(vec![None; cx.operands.len()]) };
        let (csr, x) = (cx.operands[0], cx.operands[1]);
        let graph = &mut *cx.graph;
        let mut out = vec![None; cx.operands.len()];
        if cx.wanted[1] {
            // Without weights a symmetric pattern is its own transpose; with weights its entries are not.
            let transpose = !self.transpose && (self.weighted || !graph.csr(csr).symmetric);
            let operands: Vec<Operand> = [csr, dy].into_iter().chain(cx.operands.get(2).copied()).collect();
            out[1] = Some(graph.emit(Spmm { transpose, weighted: self.weighted }, &operands));
        }
        if self.weighted && cx.wanted[2] {
            // The weight of an entry multiplies one row of `x` into one row of `y`.
            let (dy, x) = (matrix(graph, dy), matrix(graph, x));
            let (a, b) = if self.transpose { (x, dy) } else { (dy, x) };
            out[2] = Some(graph.emit(Sddmm, &[csr, a, b]));
        }
        Ok(out)
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        if cx.batched.get(2) == Some(&true) {
            return Err("`spmm` has one weight an entry, which cannot differ within a batch".to_owned());
        }
        sparse_batch(cx, self.clone().into())
    }

    fn class(&self) -> Class {
        Class::Sparse
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost {
            flops: &width(&operands[1]) * &(&nnz(&operands[0]) * &2.into()),
            bytes: traffic(operands, results),
        }
    }
}

/// A tensor as a matrix of its rows.
fn matrix(graph: &mut Graph, x: Operand) -> Operand {
    let shape = graph.shape_of(x);
    graph.reshape(x, [shape[0].clone(), product(&shape[1..])].into_iter().collect())
}

/// The product of a pattern, or its transpose, and a tensor; weights by entry, 1 without them.
pub(super) fn sparse_product(csr: &CsrArray, x: &Array, weights: Option<&[f64]>, transpose: bool) -> Array {
    let (xv, width) = (x.to_f64(), values::row_width(x));
    let rows = if transpose { csr.cols } else { csr.rows };
    let mut sums = vec![0.0; rows * width];
    // In the order of the entries, which is also that of the transpose: its rows list theirs ascending.
    for (row, entry, col) in values::entries(csr) {
        let (to, from) = if transpose { (col, row) } else { (row, col) };
        let weight = weights.map_or(1.0, |w| w[entry]);
        for l in 0..width {
            sums[to * width + l] += weight * xv[from * width + l];
        }
    }
    Array::from_f64(x.dtype(), &values::with_rows(rows, x), &sums)
}

/// A sparse product over a batch of dense operands: the slices side by side are wider rows.
pub(super) fn sparse_batch(cx: &mut Batch<'_>, op: Op) -> Result<Option<Vec<Operand>>, String> {
    let (slice, size) = (cx.slice(1), cx.size.clone());
    let x = cx.moved(cx.operands[1], 0, 1);
    let wide = [slice[0].clone(), &size * &product(&slice[1..])];
    cx.operands[1] = cx.graph.reshape(x, wide.into_iter().collect());
    let y = cx.graph.emit(op, &cx.operands);
    let rows = cx.graph.shape_of(y)[0].clone();
    let y = cx.graph.reshape(y, [rows, size].into_iter().chain(slice[1..].iter().cloned()).collect());
    Ok(Some(vec![cx.moved(y, 1, 0)]))
}
