//! `eigh`: symmetric matrices by their eigenvalues and eigenvectors.

use super::cholesky::{folded, part, transposed};
use super::qr::{elements_of_row, sum_of};
use super::reverse::Reverse;
use super::svd::{Svd, off_diagonal, rotate};
use super::triangular_solve::square;
use super::*;
use crate::diag::{Diag, Span};
use crate::dtype::DType;
use crate::scalar::ScalarOp;

/// `x [.., n, n] -> (values [.., n], vectors [.., n, n])`, of f32 or f64: `x vectors = vectors diag(values)`, the least
/// value first, the columns of `vectors` orthonormal, their signs as [`Svd`] has them. Only the lower triangle of `x` is
/// read. A matrix with an element that is no finite number has NaN throughout.
///
/// Composite: a matrix whose eigenvalues are moved up by its size has none below 0, so that they are its singular values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Eigh;

impl OpDef for Eigh {
    fn name(&self) -> &'static str {
        "eigh"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("eigh", 1, operands)?);
        square("eigh", x)?;
        let values = Type::tensor(x.dtype, x.shape[..x.rank() - 1].iter().cloned());
        Ok(Types::from_iter([values, operands[0].clone()]))
    }

    fn eval(
        &self,
        operands: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let (_, n) = values::last_two(x);
        let (mut all, mut vectors) = (vec![], vec![]);
        for x in x.to_f64().chunks((n * n).max(1)) {
            let at = |i: usize, j: usize| x[i.max(j) * n + i.min(j)];
            let of = |f: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
                (0..n * n).map(|i| f(i / n, i % n)).collect()
            };
            let size = of(&|i, j| at(i, j) * at(i, j)).iter().sum::<f64>().sqrt();
            let moved = of(&|i, j| if i == j { at(i, j) + size } else { at(i, j) });
            let [_, s, v] = rotate(&moved, n, n);
            all.extend(s.iter().rev().map(|s| s - size));
            vectors.extend(of(&|i, j| v[i * n + n - 1 - j]));
        }
        values::of_types(types, dims, [all, vectors])
    }

    /// `v (diag(dw) + v^T dv / e) v^T` with `e[i, j] = w[j] - w[i]`, of which the upper triangle is added to the lower
    /// one, which alone is read (Giles 2008, "Collected matrix derivative results"). Vectors of equal values have no
    /// derivative: where a gradient of vectors is given, what comes out there is not finite. The values alone always
    /// have one.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let (dw, dv) = (cx.gradient(0), cx.gradient(1));
        let (graph, w, v) = (&mut *cx.graph, cx.results[0], cx.results[1]);
        let values = dw.map(|dw| graph.diagonal_matrices(dw));
        let vectors = dv.map(|dv| {
            let shape = graph.shape_of(v);
            let product = graph.matmul(v, dv, true, false);
            let [wi, wj] = [true, false].map(|rows| graph.along(w, &shape, rows));
            let e = graph.map(ScalarOp::Sub, &[wj, wi]);
            let e = off_diagonal(graph, e);
            graph.map(ScalarOp::Div, &[product, e])
        });
        let Some(inner) = sum_of(graph, values, vectors) else { return Ok(vec![None]) };
        let left = graph.matmul(v, inner, false, false);
        let whole = graph.matmul(left, v, false, true);
        Ok(vec![Some(folded(graph, whole).map_err(Nondifferentiable)?)])
    }

    fn body(&self, graph: &mut Graph, operands: &[Operand]) -> Option<Result<Vec<Operand>, Diag>> {
        let span = graph.at.clone().unwrap_or_else(Span::none);
        let refused = |what: String| Diag::new(what, span, "here");
        Some(decomposed(graph, operands[0]).map(Vec::from).map_err(refused))
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Composite
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        let flops = &(&elements(&operands[0]) * &elements_of_row(&operands[0])) * &72.into();
        Cost { flops, bytes: traffic(operands, results) }
    }
}

fn decomposed(graph: &mut Graph, x: Operand) -> Result<[Operand; 2], String> {
    let dtype = graph.dtype_of(x);
    // In f64: to the greatest value the least one may be close.
    let wide = graph.cast(x, DType::F64);
    let (with, without) = (part(graph, wide, 0, false)?, part(graph, wide, -1, false)?);
    let upper = transposed(graph, without);
    let whole = graph.map(ScalarOp::Add, &[with, upper]);
    let shape = graph.shape_of(whole);
    let last = shape.len() - 1;
    let squares = graph.map(ScalarOp::Square, &[whole]);
    let size = graph.reduce(ReduceOp::Sum, squares, [last - 1, last].into_iter().collect());
    let size = graph.map(ScalarOp::Sqrt, &[size]);
    let lead: Axes = (0..last - 1).collect();
    let more = graph.broadcast(size, shape.clone(), lead.clone());
    let zero = graph.fill_like(more, 0.0);
    let here = graph.on_diagonal(&shape);
    let more = graph.map(ScalarOp::Select, &[here, more, zero]);
    let moved = graph.map(ScalarOp::Add, &[whole, more]);
    let parts = graph.emit_all(Svd, &[moved]);
    let size = graph.broadcast(size, shape[..last].iter().cloned().collect(), lead);
    let values = graph.map(ScalarOp::Sub, &[parts[1], size]);
    let turned = |graph: &mut Graph, x: Operand, axis: usize| {
        let x = graph.try_emit(Reverse { axes: Axes::from_slice(&[axis]) }, &[x])?;
        Ok::<_, String>(graph.cast(x, dtype))
    };
    Ok([turned(graph, values, last - 1)?, turned(graph, parts[2], last)?])
}
