//! `spmm`: a sparse matrix in compressed rows times a dense one.

use super::*;

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
        if x.rank() == 0 || !x.dtype.is_float() {
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
