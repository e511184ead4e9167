//! `pinv`: the pseudoinverses of matrices.

use super::cholesky::transposed;
use super::qr::{elements_of_row, is_tall};
use super::svd::{Svd, rotate};
use super::triangular_solve::matrices;
use super::*;
use crate::scalar::ScalarOp;

/// `x [.., m, n] -> [.., n, m]`, of f32 or f64: the inverse on what `x` does not map to 0 (Moore and Penrose). Singular
/// values of at most `least` times the greatest count as 0.
///
/// Composite: an op of its own for its derivative, which exists where singular values are equal, too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pinv {
    /// f64, at least 0.
    pub least: Literal,
}

impl OpDef for Pinv {
    fn name(&self) -> &'static str {
        "pinv"
    }

    fn attrs(&self) -> Attrs {
        vec![("least", literal_attr(self.least))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("pinv", 1, operands)?);
        matrices("pinv", x)?;
        if is_tall(&x.shape).is_none() {
            let found = shape_text(&x.shape);
            return Err(format!(
                "`pinv` of {found}, of which it cannot be shown which axis is the longer one"
            ));
        }
        if !(0.0..1.0).contains(&self.least.as_f64()) {
            return Err(format!(
                "`pinv` with values from {} times the greatest on; give 0 to below 1",
                self.least
            ));
        }
        let mut shape = x.shape.clone();
        let rank = shape.len();
        shape.swap(rank - 2, rank - 1);
        Ok(one(Type::tensor(x.dtype, shape)))
    }

    fn eval(
        &self,
        operands: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let (m, n) = values::last_two(x);
        let mut all = vec![];
        for x in x.to_f64().chunks((m * n).max(1)) {
            // Of a wide matrix, the transpose of that of its transpose.
            let turned = m < n;
            let tall: Vec<f64> = if turned { swapped(x, m, n) } else { x.to_vec() };
            let (long, short) = (m.max(n), m.min(n));
            let [u, s, v] = rotate(&tall, long, short);
            let least = self.least.as_f64() * s.first().copied().unwrap_or(0.0);
            let inverse = |s: f64| if s <= least { 0.0 } else { 1.0 / s };
            let at = |i: usize, j: usize| -> f64 {
                (0..short).map(|k| v[i * short + k] * inverse(s[k]) * u[j * short + k]).sum()
            };
            let p: Vec<f64> = (0..short * long).map(|i| at(i / long, i % long)).collect();
            all.extend(if turned { swapped(&p, short, long) } else { p });
        }
        values::of_types(types, dims, [all])
    }

    /// `-p^T g p^T + (1 - x p) g^T p p^T + p^T p g^T (1 - p x)`, the rank unchanged (Golub and Pereyra 1973).
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(g) = cx.gradient(0) else { return Ok(vec![None]) };
        let (graph, x, p) = (&mut *cx.graph, cx.operands[0], cx.results[0]);
        let mut product = |a: (Operand, bool), b: (Operand, bool)| graph.matmul(a.0, b.0, a.1, b.1);
        let (inner, rows) = (product((p, true), (g, false)), product((g, true), (p, false)));
        let cols = product((p, true), (p, false));
        let inner = product((inner, false), (p, true));
        let (rows, cols) = (product((rows, false), (p, true)), product((cols, false), (g, true)));
        let mapped_rows = product((p, false), (rows, false));
        let mapped_rows = product((x, false), (mapped_rows, false));
        let mapped_cols = product((cols, false), (p, false));
        let mapped_cols = product((mapped_cols, false), (x, false));
        let more = graph.map(ScalarOp::Add, &[rows, cols]);
        let less = graph.map(ScalarOp::Add, &[mapped_rows, mapped_cols]);
        let less = graph.map(ScalarOp::Add, &[less, inner]);
        Ok(vec![Some(graph.map(ScalarOp::Sub, &[more, less]))])
    }

    fn body(
        &self,
        graph: &mut Graph,
        operands: &[Operand],
    ) -> Option<Result<Vec<Operand>, crate::diag::Diag>> {
        let x = operands[0];
        let turned = is_tall(&graph.tensor(x).shape) == Some(false);
        let tall = if turned { transposed(graph, x) } else { x };
        let [u, s, v] = fixed(graph.emit_all(Svd, &[tall]));
        let (sizes, shape) = (graph.shape_of(s), graph.shape_of(v));
        let last = sizes.len() - 1;
        let greatest = graph.reduce(ReduceOp::Max, s, [last].into_iter().collect());
        let least = graph.scale(greatest, self.least.as_f64());
        let least = graph.broadcast(least, sizes, (0..last).collect());
        let none = graph.map(ScalarOp::Le, &[s, least]);
        let inverse = graph.map(ScalarOp::Recip, &[s]);
        let zero = graph.fill_like(s, 0.0);
        let inverse = graph.map(ScalarOp::Select, &[none, zero, inverse]);
        let inverse = graph.along(inverse, &shape, false);
        let scaled = graph.map(ScalarOp::Mul, &[v, inverse]);
        let (a, b) = if turned { (u, scaled) } else { (scaled, u) };
        Some(Ok(vec![graph.matmul(a, b, false, true)]))
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

/// A matrix `[m, n]` as `[n, m]`.
fn swapped(x: &[f64], m: usize, n: usize) -> Vec<f64> {
    (0..m * n).map(|i| x[i % m * n + i / m]).collect()
}
