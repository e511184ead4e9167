//! `qr`: tall matrices as orthonormal columns times triangular matrices.

use super::cholesky::{part, transposed};
use super::triangular_solve::{TriangularSolve, matrices};
use super::*;
use crate::compose::Composed;
use crate::scalar::ScalarOp;

/// `x [.., m, n] -> (q [.., m, n], r [.., n, n])`, of f32 or f64, `m >= n`: `q r = x`, the columns of `q` are
/// orthonormal, `r` is upper triangular and no element on its diagonal is negative, which makes both unique where the
/// columns of `x` are independent. By reflections (Householder 1958), in f64.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Qr;

impl OpDef for Qr {
    fn name(&self) -> &'static str {
        "qr"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("qr", 1, operands)?);
        let [.., rows, cols] = tall("qr", x)? else { unreachable!("matrices have two axes") };
        let lead = || x.shape[..x.rank() - 2].iter();
        let of = |a: &Dim| Type::tensor(x.dtype, lead().chain([a, cols]).cloned());
        Ok(Types::from_iter([of(rows), of(cols)]))
    }

    fn eval(
        &self,
        operands: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let (m, n) = values::last_two(x);
        let (mut qs, mut rs) = (vec![], vec![]);
        for x in x.to_f64().chunks((m * n).max(1)) {
            let (q, r) = reflect(x, m, n);
            qs.extend(q);
            rs.extend(r);
        }
        values::of_types(types, dims, [qs, rs])
    }

    /// `(dq + q c) r^-T`, where `c` is symmetric with the lower triangle of `r dr^T - dq^T q` (Walter and Lehmann 2018,
    /// "Algorithmic differentiation of linear algebra functions"). Where columns of `x` depend on each other there is no
    /// derivative: what comes out is not finite.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let (dq, dr) = (cx.gradient(0), cx.gradient(1));
        let (graph, q, r) = (&mut *cx.graph, cx.results[0], cx.results[1]);
        let above = dr.map(|dr| graph.matmul(r, dr, false, true));
        let below = dq.map(|dq| {
            let product = graph.matmul(dq, q, true, false);
            graph.map(ScalarOp::Neg, &[product])
        });
        let Some(c) = sum_of(graph, above, below) else { return Ok(vec![None]) };
        let mut mirrored = || -> Composed {
            let (with, without) = (part(graph, c, 0, false)?, part(graph, c, -1, false)?);
            let upper = transposed(graph, without);
            Ok(graph.map(ScalarOp::Add, &[with, upper]))
        };
        let c = mirrored().map_err(Nondifferentiable)?;
        let product = graph.matmul(q, c, false, false);
        let both = sum_of(graph, dq, Some(product)).unwrap_or(product);
        // Solved from the right by `r^T`: the transpose from the left by `r`.
        let turned = transposed(graph, both);
        let by_r = TriangularSolve { lower: false, transpose: false, unit: false };
        let solved = graph.emit(by_r, &[r, turned]);
        Ok(vec![Some(transposed(graph, solved))])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Opaque
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        let flops = &(&elements(&operands[0]) * &elements_of_row(&operands[0])) * &4.into();
        Cost { flops, bytes: traffic(operands, results) }
    }
}

/// Matrices of f32 or f64 that have at least as many rows as columns.
pub(super) fn tall<'a>(name: &str, x: &'a TensorType) -> Result<&'a [Dim], String> {
    matrices(name, x)?;
    if is_tall(&x.shape) == Some(true) {
        return Ok(&x.shape);
    }
    Err(format!(
        "`{name}` takes matrices that can be shown to have no more columns than rows, {}{} found",
        x.dtype,
        shape_text(&x.shape)
    ))
}

/// Whether matrices have at least as many rows as columns, or at least as many columns as rows, where that can be shown.
pub(crate) fn is_tall(shape: &[Dim]) -> Option<bool> {
    let [.., rows, cols] = shape else { return None };
    let known = |a: &Dim, b: &Dim| a.le(b) == Proof::True;
    known(cols, rows).then_some(true).or_else(|| known(rows, cols).then_some(false))
}

/// Sizes of the last axis.
pub(super) fn elements_of_row(ty: &Type) -> Dim {
    ty.as_tensor().and_then(|t| t.shape.last().cloned()).unwrap_or_else(|| 1.into())
}

/// The sum of what there is.
pub(super) fn sum_of(graph: &mut Graph, a: Option<Operand>, b: Option<Operand>) -> Option<Operand> {
    match (a, b) {
        (Some(a), Some(b)) => Some(graph.map(ScalarOp::Add, &[a, b])),
        (a, b) => a.or(b),
    }
}

/// `q [m, n]` and `r [n, n]` of one matrix.
fn reflect(x: &[f64], m: usize, n: usize) -> (Vec<f64>, Vec<f64>) {
    // Columns of x become those of r above the diagonal, and below it the vectors to reflect along.
    let mut w: Vec<Vec<f64>> = (0..n).map(|j| (0..m).map(|i| x[i * n + j]).collect()).collect();
    let (mut diagonal, mut halves) = (vec![0.0; n], vec![1.0; n]);
    let along = |v: &[f64], half: f64, y: &mut [f64]| {
        let dot: f64 = v.iter().zip(&*y).map(|(v, y)| v * y).sum();
        y.iter_mut().zip(v).for_each(|(y, v)| *y -= dot / half * v);
    };
    for j in 0..n {
        let norm = w[j][j..].iter().map(|v| v * v).sum::<f64>().sqrt();
        let first = w[j][j];
        diagonal[j] = if first < 0.0 { norm } else { -norm };
        w[j][j] = first - diagonal[j];
        // Half of the square of the vector; of a column of zeros, which is not reflected, anything but 0.
        halves[j] = if norm == 0.0 { 1.0 } else { norm * (norm + first.abs()) };
        let (known, rest) = w.split_at_mut(j + 1);
        rest.iter_mut().for_each(|y| along(&known[j][j..], halves[j], &mut y[j..]));
    }
    let (mut q, mut r) = (vec![0.0; m * n], vec![0.0; n * n]);
    let signs: Vec<f64> = diagonal.iter().map(|d| if *d < 0.0 { -1.0 } else { 1.0 }).collect();
    for c in 0..n {
        let mut column = vec![0.0; m];
        column[c] = 1.0;
        (0..=c).rev().for_each(|j| along(&w[j][j..], halves[j], &mut column[j..]));
        (0..m).for_each(|i| q[i * n + c] = signs[c] * column[i]);
        (0..c).for_each(|i| r[i * n + c] = signs[i] * w[c][i]);
        r[c * n + c] = diagonal[c].abs();
    }
    (q, r)
}
