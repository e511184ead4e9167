//! `csr_degree`: entries of each row of a pattern.

use super::*;
use crate::array::Array;
use crate::dtype::DType;

/// `csr [rows, cols; nnz] -> i32 [rows]`: the number of entries of each row (of each column with `transpose`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CsrDegree {
    /// Counts columns.
    pub transpose: bool,
}

impl OpDef for CsrDegree {
    fn name(&self) -> &'static str {
        "csr_degree"
    }

    fn attrs(&self) -> Attrs {
        vec![("transpose", Attr::Int(i64::from(self.transpose)))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        match operands {
            [Type::Csr(c)] => Ok(one(Type::tensor(
                DType::I32,
                [if self.transpose { c.cols.clone() } else { c.rows.clone() }],
            ))),
            other => Err(format!("`csr_degree` takes one CSR pattern, {} found", list(other))),
        }
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let csr = values::csr(operands, 0)?;
        let mut degree = vec![0i32; if self.transpose { csr.cols } else { csr.rows }];
        for (row, _, col) in values::entries(csr) {
            degree[if self.transpose { col } else { row }] += 1;
        }
        Ok(vec![Value::Tensor(Array::from_slice(&[degree.len()], &degree))])
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Ok(vec![None])
    }

    fn class(&self) -> Class {
        Class::Elementwise
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&results[0]), bytes: traffic(operands, results) }
    }
}
