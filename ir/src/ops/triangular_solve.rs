//! `triangular_solve`: systems of equations whose matrices are triangular.

use super::cholesky::{part, transposed};
use super::*;
use crate::array::Array;
use crate::dtype::DType;
use crate::scalar::ScalarOp;
use crate::types::shape_text;

/// `(a [.., n, n], b [.., n, m]) -> x [.., n, m]` with `a x = b`, of f32 or f64. Only one triangle of `a` is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TriangularSolve {
    /// Whether that is the lower one.
    pub lower: bool,
    /// Whether the transpose of that triangle stands in place of `a`.
    pub transpose: bool,
    /// Whether the diagonal counts as ones and is not read.
    pub unit: bool,
}

impl OpDef for TriangularSolve {
    fn name(&self) -> &'static str {
        "triangular_solve"
    }

    fn attrs(&self) -> Attrs {
        [("lower", self.lower), ("transpose", self.transpose), ("unit", self.unit)]
            .map(|(name, flag)| (name, Attr::Int(i64::from(flag))))
            .to_vec()
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [a, b] = fixed(tensors("triangular_solve", 2, operands)?);
        square("triangular_solve", a)?;
        let lead = a.rank() - 1;
        let same = a.rank() == b.rank()
            && a.dtype == b.dtype
            && a.shape[..lead].iter().zip(&b.shape).all(|(x, y)| x.eq_proof(y) == Proof::True);
        if !same {
            return Err(format!(
                "`triangular_solve` takes matrices [.., n, n] and right-hand sides [.., n, m] of one type, {}{} and \
                 {}{} found",
                a.dtype,
                shape_text(&a.shape),
                b.dtype,
                shape_text(&b.shape)
            ));
        }
        Ok(one(operands[1].clone()))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let (a, b) = (values::tensor(operands, 0)?, values::tensor(operands, 1)?);
        let (n, m) = (a.shape()[a.shape().len() - 1], b.shape()[b.shape().len() - 1]);
        let (matrices, mut all) = (a.to_f64(), b.to_f64());
        let forward = self.lower != self.transpose;
        for (a, x) in matrices.chunks((n * n).max(1)).zip(all.chunks_mut((n * m).max(1))) {
            let at = |i: usize, k: usize| if self.transpose { a[k * n + i] } else { a[i * n + k] };
            for step in 0..n {
                let i = if forward { step } else { n - 1 - step };
                for c in 0..m {
                    let known = if forward { 0..i } else { i + 1..n };
                    let dot: f64 = known.map(|k| at(i, k) * x[k * m + c]).sum();
                    let rest = x[i * m + c] - dot;
                    x[i * m + c] = if self.unit { rest } else { rest / at(i, i) };
                }
            }
        }
        Ok(vec![Value::Tensor(Array::from_f64(b.dtype(), b.shape(), &all))])
    }

    /// `db` solves the transposed system for `dx`; `da` is `-db x^T`, or its transpose, of the triangle that is read.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(dx) = cx.gradient(0) else { return Ok(vec![None, None]) };
        let (graph, a, x) = (&mut *cx.graph, cx.operands[0], cx.results[0]);
        let turned = TriangularSolve { transpose: !self.transpose, ..self.clone() };
        let db = graph.emit(turned, &[a, dx]);
        let da = graph.matmul(db, x, false, true);
        let da = if self.transpose { transposed(graph, da) } else { da };
        let da = graph.map(ScalarOp::Neg, &[da]);
        let k = if self.lower { -i64::from(self.unit) } else { i64::from(self.unit) };
        let da = part(graph, da, k, !self.lower).map_err(Nondifferentiable)?;
        Ok(vec![Some(da), Some(db)])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Opaque
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        let n = operands[0].as_tensor().and_then(|t| t.shape.last().cloned()).unwrap_or_else(|| 1.into());
        Cost { flops: &elements(&results[0]) * &n, bytes: traffic(operands, results) }
    }
}

/// Square matrices of f32 or f64.
pub(super) fn square(name: &str, x: &TensorType) -> Result<(), String> {
    matrices(name, x)?;
    if x.shape[x.rank() - 1].eq_proof(&x.shape[x.rank() - 2]) == Proof::True {
        return Ok(());
    }
    Err(format!("`{name}` takes square matrices, {}{} found", x.dtype, shape_text(&x.shape)))
}

/// Matrices of f32 or f64.
pub(super) fn matrices(name: &str, x: &TensorType) -> Result<(), String> {
    if x.rank() >= 2 && matches!(x.dtype, DType::F32 | DType::F64) {
        return Ok(());
    }
    Err(format!("`{name}` takes matrices of f32 or f64, {}{} found", x.dtype, shape_text(&x.shape)))
}
