//! `sddmm`: products of rows at the entries of a sparse pattern.

use super::*;

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
        if a.rank() != 2 || b.rank() != 2 || a.dtype != b.dtype || !a.dtype.is_float() {
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
        _operands: &[&Value],
        _types: &[Type],
        _dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        Err("eval is not written".to_owned())
    }

    fn vjp(&self, _cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Err(Nondifferentiable("vjp is not written".to_owned()))
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
