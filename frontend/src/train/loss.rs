//! Losses: each gives a scalar.

use crate::tensor::{How, Tensor};
use latentc_ir::scalar::ScalarOp;
use std::panic::Location;

/// Bayesian personalised ranking (Rendle and others, 2009): the mean over the batch of
/// `-log sigmoid(user . positive - user . negative)`, without overflow. Rows `[batch, d]`.
#[track_caller]
pub fn bpr<'g>(user: Tensor<'g>, positive: Tensor<'g>, negative: Tensor<'g>) -> Tensor<'g> {
    (user.dot_rows(negative) - user.dot_rows(positive)).softplus().mean_all()
}

/// The mean of the squared differences.
#[track_caller]
pub fn mse<'g>(found: Tensor<'g>, expected: Tensor<'g>) -> Tensor<'g> {
    (found - expected).square().mean_all()
}

/// The mean of the absolute differences.
#[track_caller]
pub fn mae<'g>(found: Tensor<'g>, expected: Tensor<'g>) -> Tensor<'g> {
    (found - expected).abs().mean_all()
}

/// Cross entropy of truth values: the mean of `-t log sigmoid(x) - (1 - t) log(1 - sigmoid(x))` for scores
/// `x` and targets `t` in `0..=1`, without overflow.
#[track_caller]
pub fn binary_cross_entropy<'g>(scores: Tensor<'g>, targets: Tensor<'g>) -> Tensor<'g> {
    (scores.softplus() - scores * targets).mean_all()
}

/// Cross entropy of classes: the mean over the rows of `-sum t log softmax(x)` along the last axis, for scores
/// `x` and probabilities `t` of one shape.
#[track_caller]
pub fn cross_entropy<'g>(scores: Tensor<'g>, targets: Tensor<'g>) -> Tensor<'g> {
    let at = Location::caller();
    let terms = scores.log_softmax().apply(ScalarOp::Mul, targets, at);
    -terms.reduce(How::Sum, "cross_entropy", &[-1], false, at).mean_all()
}
