//! Systems of equations, inverses and determinants, from the factorizations `lu` and `cholesky`.

use super::Composed;
use crate::dtype::{DType, Literal};
use crate::graph::{Graph, Operand};
use crate::ops::Axes;
use crate::ops::index::Index;
use crate::ops::lu::Lu;
use crate::ops::triangular_solve::TriangularSolve;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::Shape;

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

    /// The identity of the shape of square matrices, to be added to them times a number.
    ///
    /// # Errors
    /// Where there are fewer than two axes.
    pub fn ridge(&mut self, a: Operand, by: f64) -> Composed {
        let ty = self.dense("ridge", a)?;
        let [.., rows, cols] = &ty.shape[..] else { return Err("`ridge` of fewer than two axes".to_owned()) };
        let one = self.eye(rows, cols, 0, ty.dtype)?;
        let one = self.repeat_to(one, &ty.shape)?;
        let by = self.fill(Literal::float(ty.dtype, by), ty.shape);
        let more = self.map(ScalarOp::Mul, &[one, by]);
        self.try_emit(crate::ops::elementwise::Elementwise { op: ScalarOp::Add }, &[a, more])
    }
}
