//! `cholesky`: the triangular root of symmetric positive definite matrices.

use super::triangular_solve::{TriangularSolve, square};
use super::*;
use crate::array::Array;
use crate::compose::Composed;
use crate::dtype::DType;
use crate::scalar::ScalarOp;

/// `x [.., n, n] -> l [.., n, n]`, lower triangular with `l l^T = x`, of f32 or f64. Only the lower triangle of `x` is
/// read; of one that is not positive definite there are NaN.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cholesky;

impl OpDef for Cholesky {
    fn name(&self) -> &'static str {
        "cholesky"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("cholesky", 1, operands)?);
        square("cholesky", x)?;
        Ok(one(operands[0].clone()))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let n = x.shape().last().copied().unwrap_or(1);
        let mut all = x.to_f64();
        for a in all.chunks_mut((n * n).max(1)) {
            for j in 0..n {
                for i in j..n {
                    let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
                    let rest = a[i * n + j] - dot;
                    a[i * n + j] = if i == j { rest.sqrt() } else { rest / a[j * n + j] };
                }
                a[j * n + j + 1..(j + 1) * n].fill(0.0);
            }
        }
        Ok(vec![Value::Tensor(Array::from_f64(x.dtype(), x.shape(), &all))])
    }

    /// With `p` the lower triangle of `l^T dl`, its diagonal halved: `l^-T p l^-1`, of which the upper triangle is added
    /// to the lower one, which alone is read.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(dl) = cx.gradient(0) else { return Ok(vec![None]) };
        let (graph, l) = (&mut *cx.graph, cx.results[0]);
        let fault = |e: String| Nondifferentiable(e);
        let p = graph.matmul(l, dl, true, false);
        let p = halved(graph, p).map_err(fault)?;
        let back = TriangularSolve { lower: true, transpose: true, unit: false };
        // l^-T p l^-1: solved from the left, and from the right as the transpose from the left.
        let left = graph.emit(back.clone(), &[l, p]);
        let turned = transposed(graph, left);
        let both = graph.emit(back, &[l, turned]);
        Ok(vec![Some(folded(graph, both).map_err(fault)?)])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Opaque
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: cubic(&operands[0]).floor_div(&3.into()), bytes: traffic(operands, results) }
    }
}

/// The last two axes swapped.
pub(crate) fn transposed(graph: &mut Graph, x: Operand) -> Operand {
    let rank = graph.tensor(x).rank();
    graph.permute(x, (0..rank - 2).chain([rank - 1, rank - 2]).collect())
}

/// The elements on a side of the diagonal, and those on it (`k` 0) or without them; 0 elsewhere.
pub(super) fn part(graph: &mut Graph, x: Operand, k: i64, upper: bool) -> Composed {
    let k = graph.fill(Literal::int(DType::I64, k), []);
    graph.triangular(x, k, upper)
}

/// The lower triangle, its diagonal halved.
fn halved(graph: &mut Graph, x: Operand) -> Composed {
    let with = part(graph, x, 0, false)?;
    let without = part(graph, x, -1, false)?;
    let sum = graph.map(ScalarOp::Add, &[with, without]);
    Ok(graph.scale(sum, 0.5))
}

/// A gradient of symmetric matrices of which the lower triangle alone is read: the upper one is added to it.
pub(super) fn folded(graph: &mut Graph, x: Operand) -> Composed {
    let across = transposed(graph, x);
    let sum = graph.map(ScalarOp::Add, &[x, across]);
    halved(graph, sum)
}

/// Rows times columns times columns of matrices.
pub(super) fn cubic(ty: &Type) -> Dim {
    let n = ty.as_tensor().and_then(|t| t.shape.last().cloned()).unwrap_or_else(|| 1.into());
    &elements(ty) * &n
}
