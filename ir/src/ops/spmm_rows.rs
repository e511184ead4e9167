//! `spmm_rows`: some rows of a sparse product.

use super::scatter_rows::ScatterRows;
use super::spmm::{Spmm, sparse_product};
use super::*;
use crate::dtype::DType;

/// `(csr [rows, cols; nnz], x [cols, ..], ids i32 [n]) -> [n, ..]`: row `ids[i]` of [`spmm`] without weights,
/// for each `i`. With `transpose` the transposed pattern is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpmmRows {
    /// Multiplies by the transpose.
    pub transpose: bool,
}

impl OpDef for SpmmRows {
    fn name(&self) -> &'static str {
        "spmm_rows"
    }

    fn attrs(&self) -> Attrs {
        vec![("transpose", Attr::Int(i64::from(self.transpose)))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [csr, x, Type::Tensor(ids)] = operands else {
            return Err(format!(
                "`spmm_rows` takes a CSR pattern, a tensor and ids, {} found",
                list(operands)
            ));
        };
        let whole = Spmm { transpose: self.transpose, weighted: false };
        let whole = whole.infer(&[csr.clone(), x.clone()])?;
        let shape = whole[0].as_tensor().map(|t| t.shape.clone()).unwrap_or_default();
        if ids.dtype != DType::I32 || ids.rank() != 1 {
            return Err(format!("`spmm_rows` takes i32 ids of one axis, {} found", operands[2]));
        }
        let dtype = x.as_tensor().map_or(DType::F32, |t| t.dtype);
        Ok(one(Type::tensor(dtype, ids.shape.iter().chain(&shape[1..]).cloned())))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let (csr, x) = (values::csr(operands, 0)?, values::tensor(operands, 1)?);
        let whole = sparse_product(csr, x, None, self.transpose);
        let ids = values::tensor(operands, 2)?;
        let rows = values::rows_near("spmm_rows", 2, ids, whole.shape()[0])?;
        Ok(vec![Value::Tensor(values::rows(&whole, &rows, ids.shape()))])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(dy) = cx.gradient(0) else { return Ok(vec![None; 3]) };
        let (csr, ids) = (cx.operands[0], cx.operands[2]);
        let pattern = cx.graph.csr(csr).clone();
        let rows = if self.transpose { pattern.cols } else { pattern.rows };
        let dense = cx.graph.emit(ScatterRows { rows }, &[ids, dy]);
        let transpose = !self.transpose && !pattern.symmetric;
        let dx = cx.graph.emit(Spmm { transpose, weighted: false }, &[csr, dense]);
        Ok(vec![None, Some(dx), None])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        if cx.batched[2] {
            return Err(
                "`spmm_rows` computes one list of rows, which cannot differ within a batch".to_owned()
            );
        }
        super::spmm::sparse_batch(cx, self.clone().into())
    }

    fn class(&self) -> Class {
        Class::Sparse
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        // As if rows had the average number of entries; the rows picked are not known.
        Cost { flops: &elements(&results[0]) * &2.into(), bytes: traffic(&operands[1..], results) }
    }
}
