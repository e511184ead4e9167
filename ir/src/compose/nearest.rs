//! The nearest rows of a table, whose distances are never stored at once.

use crate::dim::{Dim, Proof};
use crate::dtype::DType;
use crate::graph::{Graph, Operand};
use crate::ops::Axes;
use crate::ops::concat::Concat;
use crate::ops::cumulative::Cumulative;
use crate::ops::gather_rows::GatherRows;
use crate::ops::score_top_k::ScoreTopK;
use crate::ops::slice::Slice;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{Shape, TensorType, shape_text};

/// What is near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// By the cosine of the angle, greatest first.
    Cosine,
    /// By the squared Euclidean distance, least first.
    Euclidean,
}

impl Graph {
    /// For each row of `x [n, d]` the nearest of the rows of `codes [k, d]`: ids i32 `[n]`, of equal distances the least,
    /// and squared distances `[n]`. It is found in f32 by `x . c - |c|^2 / 2`; distances are those of the rows that are
    /// found, in the type of `x`, with gradients to both.
    ///
    /// # Errors
    /// Where shapes or types do not fit, or there may be no code.
    pub fn nearest(&mut self, x: Operand, codes: Operand) -> Result<[Operand; 2], String> {
        let (tx, tc) = (self.floats_of("nearest", x)?, self.floats_of("nearest", codes)?);
        if tx.dtype != tc.dtype
            || tx.shape[1].eq_proof(&tc.shape[1]) != Proof::True
            || tc.shape[0].lower() < 1
        {
            return Err(format!(
                "`nearest` takes rows and at least one code of one type and width, {}{} and {}{} found",
                tx.dtype,
                shape_text(&tx.shape),
                tc.dtype,
                shape_text(&tc.shape)
            ));
        }
        let (_, ids) = self.by_distance(x, codes, 1);
        let ids = self.reshape(ids, Shape::from_iter([tx.shape[0].clone()]));
        let found = self.emit(GatherRows, &[codes, ids]);
        let difference = self.map(ScalarOp::Sub, &[x, found]);
        let square = self.map(ScalarOp::Square, &[difference]);
        Ok([ids, self.reduce(ReduceOp::Sum, square, Axes::from_slice(&[1]))])
    }

    /// For each row of `x [n, d]` the `k` nearest of the others: ids i32 `[n, k]`, nearest first, and their cosines or
    /// squared distances, f32 `[n, k]`. Where there are fewer than `k` others, the id is -1. Without a gradient.
    ///
    /// # Errors
    /// Where `x` is no matrix of floats, or `k` is 0.
    pub fn neighbours(&mut self, x: Operand, k: usize, metric: Metric) -> Result<[Operand; 2], String> {
        let ty = self.floats_of("neighbours", x)?;
        if k == 0 {
            return Err("`neighbours` of 0 rows; k must be at least 1".to_owned());
        }
        let x = self.cast(x, DType::F32);
        let square = self.map(ScalarOp::Square, &[x]);
        let squares = self.reduce(ReduceOp::Sum, square, Axes::from_slice(&[1]));
        // One more, as a row is among its own nearest, or at least as near as those are.
        let (scores, ids) = match metric {
            Metric::Euclidean => self.by_distance(x, x, k + 1),
            Metric::Cosine => {
                let least = self.fill_like(squares, 1e-24);
                let norm = self.map(ScalarOp::Max, &[squares, least]);
                let norm = self.map(ScalarOp::Rsqrt, &[norm]);
                let norm = self.broadcast(norm, ty.shape.clone(), Axes::from_slice(&[0]));
                let unit = self.map(ScalarOp::Mul, &[x, norm]);
                let found = self.emit_all(ScoreTopK { k: k + 1 }, &[unit, unit]);
                (found[0], found[1])
            }
        };
        let shape = self.shape_of(ids);
        let own = self.iota(shape, 0, DType::I32);
        let own = self.map(ScalarOp::Eq, &[ids, own]);
        let own = self.cast(own, DType::I32);
        let behind = Cumulative { op: ReduceOp::Max, axis: 1, exclusive: false, reverse: false };
        let behind = self.emit(behind, &[own]);
        let behind = self.columns(behind, 0, k);
        let behind = self.cast(behind, DType::Bool);
        let [ids, scores] = [ids, scores].map(|all| {
            let (here, next) = (self.columns(all, 0, k), self.columns(all, 1, k));
            self.map(ScalarOp::Select, &[behind, next, here])
        });
        if metric == Metric::Cosine {
            return Ok([ids, scores]);
        }
        let shape = self.shape_of(scores);
        let squares = self.broadcast(squares, shape, Axes::from_slice(&[0]));
        let twice = self.scale(scores, 2.0);
        let distance = self.map(ScalarOp::Sub, &[squares, twice]);
        let zero = self.fill_like(distance, 0.0);
        Ok([ids, self.map(ScalarOp::Max, &[distance, zero])])
    }

    /// The greatest `x . c - |c|^2 / 2`, which are the least distances, and their codes.
    fn by_distance(&mut self, x: Operand, codes: Operand, k: usize) -> (Operand, Operand) {
        let [x, codes] = [x, codes].map(|o| self.cast(o, DType::F32));
        let square = self.map(ScalarOp::Square, &[codes]);
        let squares = self.reduce(ReduceOp::Sum, square, Axes::from_slice(&[1]));
        let half = self.scale(squares, -0.5);
        let column = |g: &Graph, o: Operand| Shape::from_iter([g.shape_of(o)[0].clone(), Dim::from(1)]);
        let (rows, columns) = (column(self, x), column(self, codes));
        let half = self.reshape(half, columns);
        let one = self.fill(crate::dtype::Literal::float(DType::F32, 1.0), rows);
        let [x, codes] = [[x, one], [codes, half]].map(|parts| self.emit(Concat { axis: 1 }, &parts));
        let found = self.emit_all(ScoreTopK { k }, &[x, codes]);
        (found[0], found[1])
    }

    /// So many columns from one on.
    fn columns(&mut self, x: Operand, first: usize, count: usize) -> Operand {
        let op = Slice { axis: 1, start: first.into(), end: (first + count).into(), step: 1 };
        self.emit(op, &[x])
    }

    fn floats_of(&self, what: &str, x: Operand) -> Result<TensorType, String> {
        let ty = self.dense(what, x)?;
        if ty.rank() == 2 && ty.dtype.is_real() {
            return Ok(ty);
        }
        Err(format!("`{what}` takes matrices of floats, {}{} found", ty.dtype, shape_text(&ty.shape)))
    }
}
