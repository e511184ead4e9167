//! `svd`: tall matrices by their singular values and vectors.

use super::cholesky::transposed;
use super::qr::{elements_of_row, sum_of, tall};
use super::*;
use crate::scalar::ScalarOp;

/// `x [.., m, n] -> (u [.., m, n], s [.., n], v [.., n, n])`, of f32 or f64, `m >= n`: `x = u diag(s) v^T` with
/// orthonormal columns of `u` and `v`; `s` is not negative, the greatest first. In each column of `v` the first element
/// of at least 0.9 times the greatest size is positive, which makes the vectors of distinct values unique. Values that are
/// no more than rounding of the matrix in f64 have any vectors in `u` that complete the others. A matrix with an element
/// that is no finite number has NaN throughout.
///
/// By rotations of pairs of columns (Hestenes 1958, one-sided Jacobi), in f64.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Svd;

/// Passes over all pairs of columns: it takes about 8, and no matrix is known to take twice as many.
pub const SWEEPS: usize = 32;

/// Columns count as orthogonal where the cosine between them is at most this times the root of their length, and one
/// counts as 0 where its share of the norm of the matrix is: what rotations leave of dependent columns is rounding, whose
/// direction they would never settle.
pub const ORTHOGONAL: f64 = 4.0 * f64::EPSILON;

/// The part of the greatest size from which on an element may decide the sign of a vector. No part of 1, since equal
/// sizes are as good as never equal after rounding.
pub const GREAT: f64 = 0.9;

impl OpDef for Svd {
    fn name(&self) -> &'static str {
        "svd"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("svd", 1, operands)?);
        let Some(cols) = tall("svd", x)?.last() else { unreachable!("matrices have two axes") };
        let of = |last: &[&Dim]| {
            let lead = x.shape[..x.rank() - 2].iter();
            Type::tensor(x.dtype, lead.chain(last.iter().copied()).cloned())
        };
        Ok(Types::from_iter([operands[0].clone(), of(&[cols]), of(&[cols, cols])]))
    }

    fn eval(
        &self,
        operands: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let (m, n) = values::last_two(x);
        let mut all = [vec![], vec![], vec![]];
        for x in x.to_f64().chunks((m * n).max(1)) {
            for (all, part) in all.iter_mut().zip(rotate(x, m, n)) {
                all.extend(part);
            }
        }
        values::of_types(types, dims, all)
    }

    /// With `e[i, j] = s[j]^2 - s[i]^2`, and `skew(a) = a - a^T` over `e`:
    /// `u (skew(u^T du) diag(s) + diag(ds) + diag(s) skew(v^T dv)) v^T + (1 - u u^T) du diag(1/s) v^T` (Townsend 2016,
    /// "Differentiating the singular value decomposition"). Vectors of equal values have no derivative, nor have those of
    /// `u` whose value is 0: where a gradient of vectors is given, what comes out there is not finite. The values alone
    /// always have one.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let [du, ds, dv] = [0, 1, 2].map(|port| cx.gradient(port));
        let (graph, x) = (&mut *cx.graph, cx.operands[0]);
        let (u, s, v) = (cx.results[0], cx.results[1], cx.results[2]);
        let square = graph.shape_of(v);
        let mut inner = ds.map(|ds| graph.diagonal_matrices(ds));
        for (vectors, d, left) in [(u, du, false), (v, dv, true)] {
            let Some(d) = d else { continue };
            let product = graph.matmul(vectors, d, true, false);
            let back = transposed(graph, product);
            let skew = graph.map(ScalarOp::Sub, &[product, back]);
            let [si, sj] = [true, false].map(|rows| graph.along(s, &square, rows));
            let (less, more) = (graph.map(ScalarOp::Sub, &[sj, si]), graph.map(ScalarOp::Add, &[sj, si]));
            let e = graph.map(ScalarOp::Mul, &[less, more]);
            let e = off_diagonal(graph, e);
            let part = graph.map(ScalarOp::Div, &[skew, e]);
            let part = graph.map(ScalarOp::Mul, &[part, if left { si } else { sj }]);
            inner = sum_of(graph, inner, Some(part));
        }
        let Some(inner) = inner else { return Ok(vec![None]) };
        let mut sum = graph.matmul(u, inner, false, false);
        let shape = graph.shape_of(x);
        let [.., rows, cols] = &shape[..] else { unreachable!("matrices have two axes") };
        if let Some(du) = du.filter(|_| rows.eq_proof(cols) != Proof::True) {
            let within = graph.matmul(u, du, true, false);
            let within = graph.matmul(u, within, false, false);
            let beyond = graph.map(ScalarOp::Sub, &[du, within]);
            let size = graph.along(s, &shape, false);
            let beyond = graph.map(ScalarOp::Div, &[beyond, size]);
            sum = graph.map(ScalarOp::Add, &[sum, beyond]);
        }
        Ok(vec![Some(graph.matmul(sum, v, false, true))])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Opaque
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        // Eight passes, nine operations an element of either column and of those of `v`.
        let flops = &(&elements(&operands[0]) * &elements_of_row(&operands[0])) * &72.into();
        Cost { flops, bytes: traffic(operands, results) }
    }
}

/// What differences are divided by: without a number on the diagonal, where there is no pair.
pub(super) fn off_diagonal(graph: &mut Graph, e: Operand) -> Operand {
    let shape = graph.shape_of(e);
    let here = graph.on_diagonal(&shape);
    let none = graph.fill_like(e, f64::INFINITY);
    graph.map(ScalarOp::Select, &[here, none, e])
}

/// `[u, s, v]` of one matrix `[m, n]`.
pub(super) fn rotate(x: &[f64], m: usize, n: usize) -> [Vec<f64>; 3] {
    let none: f64 = x.iter().map(|x| x * 0.0).sum();
    let mut w: Vec<Vec<f64>> = (0..n).map(|j| (0..m).map(|i| x[i * n + j] + none).collect()).collect();
    let mut v: Vec<Vec<f64>> =
        (0..n).map(|j| (0..n).map(|i| f64::from(u8::from(i == j)) + none).collect()).collect();
    let near = ORTHOGONAL * (m as f64).sqrt();
    let least = near * near * w.iter().map(|c| dot(c, c)).sum::<f64>();
    let mut busy = true;
    for _ in 0..SWEEPS {
        if !std::mem::take(&mut busy) {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let (a, b, c) = (dot(&w[p], &w[p]), dot(&w[q], &w[q]), dot(&w[p], &w[q]));
                if a.min(b) > least && c.abs() > near * (a * b).sqrt() {
                    busy = true;
                    let zeta = (b - a) / (c + c);
                    let t = (if zeta < 0.0 { -1.0 } else { 1.0 }) / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                    let cos = 1.0 / (1.0 + t * t).sqrt();
                    turn(&mut w, p, q, cos, cos * t);
                    turn(&mut v, p, q, cos, cos * t);
                }
            }
        }
    }
    let sizes: Vec<f64> = w.iter().map(|c| dot(c, c).sqrt()).collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| sizes[*b].partial_cmp(&sizes[*a]).unwrap_or(std::cmp::Ordering::Equal));
    let mut left: Vec<Vec<f64>> = vec![];
    let (mut u, mut right) = (vec![0.0; m * n], vec![0.0; n * n]);
    for (place, j) in order.iter().enumerate() {
        let greatest = v[*j].iter().fold(0.0f64, |g, x| g.max(x.abs()));
        let first = v[*j].iter().find(|x| x.abs() >= GREAT * greatest);
        let sign = if first.is_some_and(|x| *x < 0.0) { -1.0 } else { 1.0 };
        let size = sizes[*j];
        let column = if size * size <= least {
            beside(&left, m)
        } else {
            w[*j].iter().map(|x| sign * x / size).collect()
        };
        (0..m).for_each(|i| u[i * n + place] = column[i]);
        (0..n).for_each(|i| right[i * n + place] = sign * v[*j][i]);
        left.push(column);
    }
    [u, order.iter().map(|j| sizes[*j]).collect(), right]
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn turn(columns: &mut [Vec<f64>], p: usize, q: usize, cos: f64, sin: f64) {
    for i in 0..columns[p].len() {
        let (a, b) = (columns[p][i], columns[q][i]);
        columns[p][i] = cos * a - sin * b;
        columns[q][i] = sin * a + cos * b;
    }
}

/// A vector of length 1 at right angles to others: that axis which they say the least of, without what they say of it.
fn beside(others: &[Vec<f64>], m: usize) -> Vec<f64> {
    let rest = |i: usize| 1.0 - others.iter().map(|c| c[i] * c[i]).sum::<f64>();
    let axis = (1..m).fold(0, |best, i| if rest(i) > rest(best) { i } else { best });
    let mut column = vec![0.0; m];
    column[axis] = 1.0;
    // Twice is enough.
    for _ in 0..2 {
        for c in others {
            let by = dot(c, &column);
            column.iter_mut().zip(c).for_each(|(x, c)| *x -= by * c);
        }
    }
    let size = dot(&column, &column).sqrt();
    column.iter_mut().for_each(|x| *x /= size);
    column
}
