//! Products of matrices and rows, the best-scoring items, factorizations and systems of equations.

use super::Tensor;
use super::reduce::How;
use crate::csr::Csr;
use crate::dims::At;
use latentc_ir::compose::nearest::Metric;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::{Graph, Operand};
use latentc_ir::ops::Op;
use latentc_ir::ops::cholesky::Cholesky;
use latentc_ir::ops::eigh::Eigh;
use latentc_ir::ops::matmul::Matmul;
use latentc_ir::ops::pinv::Pinv;
use latentc_ir::ops::score_top_k::ScoreTopK;
use latentc_ir::ops::top_k::TopK;
use latentc_ir::ops::triangular_solve::TriangularSolve;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::{Shape, product};
use std::panic::Location;

impl<'g> Tensor<'g> {
    /// `[.., m, k] x [.., k, n] -> [.., m, n]`, for operands of one float type. The second may be a plain
    /// matrix for every matrix of the first. A transpose by [`Tensor::t`] costs nothing here.
    #[track_caller]
    pub fn matmul(self, other: Tensor<'g>) -> Tensor<'g> {
        let at = Location::caller();
        let (Some(a), Some(b)) = (self.ty(), other.ty()) else { return self.scope.poisoned(at) };
        if a.rank() > 2 && b.rank() == 2 {
            let (rows, k) = a.shape.split_at(a.rank() - 1);
            let flat: Shape = [product(rows), k[0].clone()].into_iter().collect();
            let result = self.reshape_to(flat, at).matmul_at(other, at);
            let Some(ty) = result.ty() else { return result };
            let shape = rows.iter().cloned().chain([ty.shape[1].clone()]).collect();
            return result.reshape_to(shape, at);
        }
        self.matmul_at(other, at)
    }

    fn matmul_at(self, other: Tensor<'g>, at: At) -> Tensor<'g> {
        // The place of the operand is that of its transpose, which is what the user gave.
        let [(a, transpose_a), (b, transpose_b)] = [self, other].map(|t| match t.transposed() {
            Some(source) => (Tensor { value: Some(source), ..t }, true),
            None => (t, false),
        });
        self.scope.emit(Matmul { transpose_a, transpose_b }, &[a, b], at)
    }

    /// What this tensor is the transpose of, in its last two axes.
    fn transposed(self) -> Option<Operand> {
        let graph = &self.scope.state.borrow().graph;
        let node = graph.node(self.value?.node);
        let Op::Permute(permute) = &node.op else { return None };
        let rank = permute.axes.len();
        let swapped = rank >= 2
            && permute.axes[rank - 2] == rank - 1
            && permute.axes[rank - 1] == rank - 2
            && permute.axes[..rank - 2].iter().copied().eq(0..rank - 2);
        swapped.then(|| node.operands[0])
    }

    /// The dot product of each row with the same row of another tensor: the sum of products along the last
    /// axis.
    #[track_caller]
    pub fn dot_rows(self, other: Tensor<'g>) -> Tensor<'g> {
        let at = Location::caller();
        self.apply(ScalarOp::Mul, other, at).reduce(How::Sum, "dot_rows", &[-1], false, at)
    }

    /// The `k` greatest elements along the last axis and their positions, i32: greatest first, equal ones
    /// by lower position, NaN last. `k` is at most the size of the axis.
    #[track_caller]
    pub fn top_k(self, k: usize) -> (Tensor<'g>, Tensor<'g>) {
        let at = Location::caller();
        self.pair(self.scope.node(TopK { k }, &[self], at), at)
    }

    /// For queries `[q, d]` (this tensor) and items `[n, d]`, the `k` items of greatest dot product that row
    /// `users[i]` of the pattern `seen [users, n]` does not hold: scores `[q, k]` and ids i32 `[q, k]`,
    /// greatest first, equal scores by lower id. Where there are fewer, id -1 and score -inf. The scores of
    /// all items are never stored.
    #[track_caller]
    pub fn score_top_k(
        self,
        items: Tensor<'g>,
        seen: Csr<'g>,
        users: Tensor<'g>,
        k: usize,
    ) -> (Tensor<'g>, Tensor<'g>) {
        let at = Location::caller();
        if seen.is_transposed() {
            self.fault(at, "`score_top_k` takes a pattern as declared, a transpose found", "here");
            return (self.scope.poisoned(at), self.scope.poisoned(at));
        }
        let operands = [self, items, seen.as_operand(), users];
        self.pair(self.scope.node(ScoreTopK { k }, &operands, at), at)
    }

    /// As [`Tensor::score_top_k`], of all items.
    #[track_caller]
    pub fn best_items(self, items: Tensor<'g>, k: usize) -> (Tensor<'g>, Tensor<'g>) {
        let at = Location::caller();
        self.pair(self.scope.node(ScoreTopK { k }, &[self, items], at), at)
    }

    /// For each row of `[n, d]` (this tensor) the nearest of the rows of `codes [k, d]`: ids i32 `[n]`, of equal distances
    /// the least id, and squared Euclidean distances `[n]`, with gradients to both. It is looked for in f32, and the
    /// distances to all codes are never stored.
    #[track_caller]
    pub fn nearest(self, codes: Tensor<'g>) -> (Tensor<'g>, Tensor<'g>) {
        let [ids, distances] =
            self.scope.composed_all(&[self, codes], Location::caller(), |g, o| g.nearest(o[0], o[1]));
        (ids, distances)
    }

    /// For each row of `[n, d]` the `k` nearest of the others: ids i32 `[n, k]`, nearest first, and their cosines or
    /// squared distances, f32 `[n, k]`. Where there are fewer others the id is -1. All pairs are compared, and none of the
    /// comparisons is stored; there is no gradient.
    #[track_caller]
    pub fn neighbours(self, k: usize, metric: Metric) -> (Tensor<'g>, Tensor<'g>) {
        let [ids, near] =
            self.scope.composed_all(&[self], Location::caller(), |g, o| g.neighbours(o[0], k, metric));
        (ids, near)
    }

    fn pair(self, node: Option<latentc_ir::graph::NodeId>, at: At) -> (Tensor<'g>, Tensor<'g>) {
        let result = |port| Tensor { scope: self.scope, value: node.map(|node| Operand { node, port }), at };
        (result(0), result(1))
    }
}

/// Which triangle of a matrix a system of equations reads, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Triangle {
    /// The upper triangle, else the lower one.
    pub upper: bool,
    /// Its transpose.
    pub transpose: bool,
    /// With ones on the diagonal, whatever stands there.
    pub unit: bool,
}

/// Factorizations of matrices, the last two axes of f32 or f64; the axes before them are matrices by themselves, of which
/// each is done by one thread.
impl<'g> Tensor<'g> {
    /// The lower triangular `l` with `l l^T = x`, of symmetric positive definite matrices `x [.., n, n]`, of which the
    /// lower triangle alone is read; NaN where one is not positive definite.
    #[track_caller]
    pub fn cholesky(self) -> Tensor<'g> {
        self.emit(Cholesky, Location::caller())
    }

    /// `x [.., n, m]` with `a x = b`, where `a [.., n, n]` is this tensor. A matrix without inverse gives infinities or
    /// NaN.
    #[track_caller]
    pub fn solve(self, b: Tensor<'g>) -> Tensor<'g> {
        self.scope.composed(&[self, b], Location::caller(), |g, o| g.solve(o[0], o[1]))
    }

    /// `x [.., n, m]` with `a x = b`, where one triangle of this tensor `[.., n, n]` is `a`.
    #[track_caller]
    pub fn triangular_solve(self, b: Tensor<'g>, how: Triangle) -> Tensor<'g> {
        let Triangle { upper, transpose, unit } = how;
        let op = TriangularSolve { lower: !upper, transpose, unit };
        self.scope.emit(op, &[self, b], Location::caller())
    }

    /// `x [.., n, m]` with `l l^T x = b`, where `l` is this tensor, as [`Tensor::cholesky`] gives it.
    #[track_caller]
    pub fn cholesky_solve(self, b: Tensor<'g>) -> Tensor<'g> {
        self.scope.composed(&[self, b], Location::caller(), |g, o| g.cholesky_solve(o[0], o[1]))
    }

    /// The inverses of matrices `[.., n, n]`; of one that has none, infinities or NaN.
    #[track_caller]
    pub fn inverse(self) -> Tensor<'g> {
        self.scope.composed(&[self], Location::caller(), |g, o| g.inverse(o[0]))
    }

    /// The pseudoinverses `[.., n, m]` of matrices `[.., m, n]` (Moore and Penrose), for which singular values of at most
    /// `least` times the greatest count as 0: the product of the greater size and the precision of the elements is usual.
    #[track_caller]
    pub fn pinv(self, least: f64) -> Tensor<'g> {
        self.emit(Pinv { least: Literal::float(DType::F64, least) }, Location::caller())
    }

    /// The determinants `[..]` of matrices `[.., n, n]`. The derivative is not a number where one is 0.
    #[track_caller]
    pub fn det(self) -> Tensor<'g> {
        self.scope.composed(&[self], Location::caller(), |g, o| g.determinant(o[0]))
    }

    /// The logarithms `[..]` of the determinants of matrices `[.., n, n]`: NaN where one is negative.
    #[track_caller]
    pub fn logdet(self) -> Tensor<'g> {
        self.scope.composed(&[self], Location::caller(), |g, o| g.logdet(o[0]))
    }

    /// The sign of the determinants `[..]` of matrices `[.., n, n]`, and the logarithm of their size.
    #[track_caller]
    pub fn slogdet(self) -> (Tensor<'g>, Tensor<'g>) {
        self.two(Location::caller(), Graph::log_determinant)
    }

    /// `(q [.., m, k], r [.., k, n])` of matrices `[.., m, n]`, where `k` is the lesser of `m` and `n`: `q r` is the
    /// matrix, `q` has orthonormal columns, `r` is upper triangular with no negative element on its diagonal. Where
    /// columns depend on each other there is no derivative: it is not finite.
    #[track_caller]
    pub fn qr(self) -> (Tensor<'g>, Tensor<'g>) {
        self.two(Location::caller(), Graph::qr)
    }

    /// `(u [.., m, k], s [.., k], v [.., n, k])` of matrices `[.., m, n]`, where `k` is the lesser of `m` and `n`:
    /// `u diag(s) v^T` is the matrix, `u` and `v` have orthonormal columns, `s` is not negative and the greatest first.
    /// Vectors of equal values have no derivative: it is not finite; the values alone have.
    #[track_caller]
    pub fn svd(self) -> (Tensor<'g>, Tensor<'g>, Tensor<'g>) {
        let [u, s, v] = self.scope.composed_all(&[self], Location::caller(), |g, o| g.svd(o[0]));
        (u, s, v)
    }

    /// `(values [.., n], vectors [.., n, n])` of symmetric matrices `[.., n, n]`, of which the lower triangle alone is
    /// read: `x vectors = vectors diag(values)`, the least value first, the columns of `vectors` orthonormal. Vectors of
    /// equal values have no derivative: it is not finite; the values alone have.
    #[track_caller]
    pub fn eigh(self) -> (Tensor<'g>, Tensor<'g>) {
        let at = Location::caller();
        self.pair(self.scope.node(Eigh, &[self], at), at)
    }

    fn two(
        self,
        at: At,
        make: impl FnOnce(&mut Graph, Operand) -> Result<[Operand; 2], String>,
    ) -> (Tensor<'g>, Tensor<'g>) {
        let [a, b] = self.scope.composed_all(&[self], at, |g, o| make(g, o[0]));
        (a, b)
    }
}
