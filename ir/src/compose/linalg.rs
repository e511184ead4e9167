//! Systems of equations, inverses and determinants, from the factorizations `lu` and `cholesky`.

use super::Composed;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::{Graph, Operand};
use crate::ops::Axes;
use crate::ops::cholesky::transposed;
use crate::ops::concat::Concat;
use crate::ops::elementwise::Elementwise;
use crate::ops::index::Index;
use crate::ops::lu::Lu;
use crate::ops::qr::{Qr, is_tall};
use crate::ops::slice::Slice;
use crate::ops::svd::Svd;
use crate::ops::triangular_solve::TriangularSolve;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{Shape, shape_text};

/// The parts of an LU factorization; see [`Lu`].
#[derive(Clone, Copy, Debug)]
struct Parts {
    lu: Operand,
    rows: Operand,
    sign: Operand,
}

impl Graph {
    fn lu(&mut self, a: Operand) -> Result<Parts, String> {
        let lu = self.try_emit(Lu, &[a])?;
        let port = |port| Operand { node: lu.node, port };
        Ok(Parts { lu, rows: port(1), sign: port(2) })
    }

    /// `x [.., n, m]` with `a x = b`, for `a [.., n, n]` and `b [.., n, m]` of f32 or f64. A matrix without inverse gives
    /// infinities or NaN.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn solve(&mut self, a: Operand, b: Operand) -> Composed {
        let parts = self.lu(a)?;
        let shape = self.shape_of(parts.rows);
        let mut operands = vec![b];
        operands.extend((0..shape.len() - 1).map(|axis| self.iota(shape.clone(), axis, DType::I32)));
        operands.push(parts.rows);
        let b = self.try_emit(Index, &operands)?;
        let forward = TriangularSolve { lower: true, transpose: false, unit: true };
        let y = self.try_emit(forward, &[parts.lu, b])?;
        self.try_emit(TriangularSolve { lower: false, transpose: false, unit: false }, &[parts.lu, y])
    }

    /// The inverses of matrices `[.., n, n]` of f32 or f64; of one that has none, infinities or NaN.
    ///
    /// # Errors
    /// Where the operand holds no such matrices.
    pub fn inverse(&mut self, a: Operand) -> Composed {
        let ty = self.dense("inverse", a)?;
        let Some(n) = ty.shape.last() else { return Err("`inverse` of a scalar".to_owned()) };
        let one = self.eye(n, n, 0, ty.dtype)?;
        let one = self.repeat_to(one, &ty.shape)?;
        self.solve(a, one)
    }

    /// `[q [.., m, k], r [.., k, n]]` of matrices `[.., m, n]` of f32 or f64, where `k` is the lesser of `m` and `n`; see
    /// [`Qr`]. What a wide matrix has beyond its square part is that part's `q^T` times it.
    ///
    /// # Errors
    /// Where the operand holds no such matrices, or which axis is the longer one cannot be shown.
    pub fn qr(&mut self, x: Operand) -> Result<[Operand; 2], String> {
        let (shape, wide) = self.is_wide("qr", x)?;
        if !wide {
            let q = self.try_emit(Qr, &[x])?;
            return Ok([q, Operand { node: q.node, port: 1 }]);
        }
        let [.., rows, cols] = &shape[..] else { unreachable!("a wide matrix has two axes") };
        let axis = shape.len() - 1;
        let mut part =
            |start: Dim, end: &Dim| self.try_emit(Slice { axis, start, end: end.clone(), step: 1 }, &[x]);
        let (square, rest) = (part(0.into(), rows)?, part(rows.clone(), cols)?);
        let q = self.try_emit(Qr, &[square])?;
        let rest = self.matmul(q, rest, true, false);
        let r = self.try_emit(Concat { axis }, &[Operand { node: q.node, port: 1 }, rest])?;
        Ok([q, r])
    }

    /// `[u [.., m, k], s [.., k], v [.., n, k]]` with `x = u diag(s) v^T` of matrices `[.., m, n]` of f32 or f64, where
    /// `k` is the lesser of `m` and `n`; see [`Svd`], which a wide matrix is the transpose of.
    ///
    /// # Errors
    /// Where the operand holds no such matrices, or which axis is the longer one cannot be shown.
    pub fn svd(&mut self, x: Operand) -> Result<[Operand; 3], String> {
        let (_, wide) = self.is_wide("svd", x)?;
        let x = if wide { transposed(self, x) } else { x };
        let left = self.try_emit(Svd, &[x])?;
        let [s, right] = [1, 2].map(|port| Operand { node: left.node, port });
        Ok(if wide { [right, s, left] } else { [left, s, right] })
    }

    /// The sizes of matrices, and whether they have more columns than rows.
    fn is_wide(&self, what: &str, x: Operand) -> Result<(Shape, bool), String> {
        let shape = self.dense(what, x)?.shape;
        match is_tall(&shape) {
            None if shape.len() > 1 => Err(format!(
                "`{what}` of {}, of which it cannot be shown which axis is the longer one",
                shape_text(&shape)
            )),
            tall => Ok((shape, tall == Some(false))),
        }
    }

    /// Whether an element of matrices of this shape is on their diagonal.
    pub(crate) fn on_diagonal(&mut self, shape: &Shape) -> Operand {
        let rank = shape.len();
        let [row, col] = [rank - 2, rank - 1].map(|a| self.iota(shape.clone(), a, DType::I64));
        self.map(ScalarOp::Eq, &[row, col])
    }

    /// `x [.., n]` repeated to matrices of a shape: one element a row, or one a column.
    pub(crate) fn along(&mut self, x: Operand, shape: &Shape, rows: bool) -> Operand {
        let rank = shape.len();
        let axes = (0..rank - 2).chain([if rows { rank - 2 } else { rank - 1 }]).collect();
        self.broadcast(x, shape.clone(), axes)
    }

    /// Matrices `[.., n, n]` with `x [.., n]` on the diagonal and 0 elsewhere.
    pub(crate) fn diagonal_matrices(&mut self, x: Operand) -> Operand {
        let mut shape = self.shape_of(x);
        shape.extend(shape.last().cloned());
        let (here, x) = (self.on_diagonal(&shape), self.along(x, &shape, false));
        let zero = self.fill_like(x, 0.0);
        self.select(here, x, zero)
    }

    /// The elements on the diagonals of matrices.
    fn diagonal_of(&mut self, x: Operand) -> Composed {
        let shape: Shape = self.shape_of(x).into_iter().rev().skip(1).rev().collect();
        let last = shape.len() - 1;
        let axes = (0..=last).chain([last]);
        let mut operands = vec![x];
        operands.extend(axes.map(|axis| self.iota(shape.clone(), axis, DType::I32)));
        self.try_emit(Index, &operands)
    }

    /// The determinants `[..]` of matrices `[.., n, n]` of f32 or f64. The derivative is not a number where one is 0.
    ///
    /// # Errors
    /// Where the operand holds no such matrices.
    pub fn determinant(&mut self, a: Operand) -> Composed {
        let parts = self.lu(a)?;
        let diagonal = self.diagonal_of(parts.lu)?;
        let last = self.shape_of(diagonal).len() - 1;
        let product = self.reduce(ReduceOp::Prod, diagonal, Axes::from_slice(&[last]));
        Ok(self.map(ScalarOp::Mul, &[product, parts.sign]))
    }

    /// The logarithms `[..]` of the determinants of matrices `[.., n, n]` of f32 or f64: NaN where one is negative.
    ///
    /// # Errors
    /// Where the operand holds no such matrices.
    pub fn logdet(&mut self, a: Operand) -> Composed {
        let [sign, log] = self.log_determinant(a)?;
        // The logarithm of 1 is 0, and of -1 it is NaN.
        let negative = self.map(ScalarOp::Log, &[sign]);
        Ok(self.map(ScalarOp::Add, &[log, negative]))
    }

    /// The sign of the determinants `[..]` of matrices `[.., n, n]` of f32 or f64, and the logarithm of their size.
    ///
    /// # Errors
    /// Where the operand holds no such matrices.
    pub fn log_determinant(&mut self, a: Operand) -> Result<[Operand; 2], String> {
        let parts = self.lu(a)?;
        let diagonal = self.diagonal_of(parts.lu)?;
        let last = Axes::from_slice(&[self.shape_of(diagonal).len() - 1]);
        let signs = self.map(ScalarOp::Sign, &[diagonal]);
        let sign = self.reduce(ReduceOp::Prod, signs, last.clone());
        let sign = self.map(ScalarOp::Mul, &[sign, parts.sign]);
        let size = self.map(ScalarOp::Abs, &[diagonal]);
        let log = self.map(ScalarOp::Log, &[size]);
        Ok([sign, self.reduce(ReduceOp::Sum, log, last)])
    }

    /// `a^-1 b` where `l` is the triangular root of a symmetric positive definite `a`, as `cholesky` gives it.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn cholesky_solve(&mut self, l: Operand, b: Operand) -> Composed {
        let forward = TriangularSolve { lower: true, transpose: false, unit: false };
        let y = self.try_emit(forward.clone(), &[l, b])?;
        self.try_emit(TriangularSolve { transpose: true, ..forward }, &[l, y])
    }

    /// Matrices with a number added to each element on their diagonals.
    ///
    /// # Errors
    /// Where there are fewer than two axes.
    pub fn ridge(&mut self, a: Operand, by: f64) -> Composed {
        let ty = self.dense("ridge", a)?;
        if ty.rank() < 2 {
            return Err(format!("`ridge` of fewer than two axes, {} found", shape_text(&ty.shape)));
        }
        let here = self.on_diagonal(&ty.shape);
        let by = self.fill_like(a, by);
        let more = self.try_emit(Elementwise { op: ScalarOp::Add }, &[a, by])?;
        Ok(self.select(here, more, a))
    }
}
