//! `sddmm`: products of rows at the entries of a sparse pattern.

use super::spmm::Spmm;
use super::*;
use crate::array::Array;

/// `(csr [rows, cols; nnz], a [rows, d], b [cols, d]) -> [nnz]`: entry `e` in row `r` is the dot product of `a[r]` and `b[col[e]]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sddmm;

impl OpDef for Sddmm {
    fn name(&self) -> &'static str {
        "sddmm"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [Type::Csr(csr), Type::Tensor(a), Type::Tensor(b)] = operands else {
            return Err(format!("`sddmm` takes a CSR pattern and two tensors, {} found", list(operands)));
        };
        if a.rank() != 2 || b.rank() != 2 || a.dtype != b.dtype || !a.dtype.is_real() {
            return Err(format!("`sddmm` takes two matrices of one float type, {} found", list(operands)));
        }
        same_dim("sddmm", "the rows of the pattern", &csr.rows, "axis 0 of the first tensor", &a.shape[0])?;
        same_dim(
            "sddmm",
            "the columns of the pattern",
            &csr.cols,
            "axis 0 of the second tensor",
            &b.shape[0],
        )?;
        same_dim("sddmm", "axis 1 of the first tensor", &a.shape[1], "that of the second", &b.shape[1])?;
        Ok(one(Type::tensor(a.dtype, [csr.nnz.clone()])))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let csr = values::csr(operands, 0)?;
        let (a, b) = (values::tensor(operands, 1)?, values::tensor(operands, 2)?);
        let width = values::row_width(a);
        let (av, bv) = (a.to_f64(), b.to_f64());
        let mut dots = vec![0.0; csr.indices.len()];
        for (row, entry, col) in values::entries(csr) {
            dots[entry] = (0..width).fold(0.0, |sum, l| sum + av[row * width + l] * bv[col * width + l]);
        }
        Ok(vec![Value::Tensor(Array::from_f64(a.dtype(), &[dots.len()], &dots))])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(dy) = cx.gradient(0) else { return Ok(vec![None; 3]) };
        let (csr, a, b) = (cx.operands[0], cx.operands[1], cx.operands[2]);
        let weighted = |transpose| Spmm { transpose, weighted: true };
        let da = cx.wanted[1].then(|| cx.graph.emit(weighted(false), &[csr, b, dy]));
        let db = cx.wanted[2].then(|| cx.graph.emit(weighted(true), &[csr, a, dy]));
        Ok(vec![None, da, db])
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
