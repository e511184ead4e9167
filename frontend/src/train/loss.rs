//! Losses: each gives a scalar.
//!
//! [`linear_cross_entropy`], [`InfoNce`] and [`sampled_softmax`] compare rows with many candidates without storing all
//! scores: parts of them are computed one after the other, and again in the derivative.

use crate::tensor::{How, Tensor};
use latentc_ir::compose::contrast::{self, Candidates};
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

/// Which loss of the rows of [`linear_cross_entropy`] is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean, over those that count; 0 where none does.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// Each, `[n]`, 0 for those that do not count.
    Each,
}

/// What [`linear_cross_entropy`] does beside the softmax of a linear layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinearCrossEntropy<'g> {
    /// Added to the scores, `[v]`.
    pub bias: Option<Tensor<'g>>,
    /// The part of the target that is spread evenly over all classes, in `0..1` (Szegedy and others, 2016).
    pub smoothing: f64,
    /// Rows with this target have no loss.
    pub ignore: Option<i32>,
    /// What becomes of the rows' losses.
    pub reduction: Reduction,
}

/// Cross entropy of the classes `softmax(x weight^T + bias)` and targets i32 `[n]`, for `x [n, d]` and
/// `weight [v, d]`. Where `v` is a constant the scores `[n, v]` are never stored at once.
#[track_caller]
pub fn linear_cross_entropy<'g>(
    x: Tensor<'g>,
    weight: Tensor<'g>,
    targets: Tensor<'g>,
    how: LinearCrossEntropy<'g>,
) -> Tensor<'g> {
    let at = Location::caller();
    let operands: Vec<Tensor<'g>> = [x, weight, targets].into_iter().chain(how.bias).collect();
    let [loss, count] = x.scope.composed_all(&operands, at, |g, o| {
        let LinearCrossEntropy { smoothing, ignore, .. } = how;
        let how = contrast::LinearCrossEntropy { bias: o.get(3).copied(), smoothing, ignore };
        g.linear_cross_entropy(o[0], o[1], o[2], &how)
    });
    match how.reduction {
        Reduction::Each => loss,
        Reduction::Sum => loss.sum_all(),
        Reduction::Mean => loss.sum_all() / count.sum_all().apply(ScalarOp::Max, 1.0, at),
    }
}

/// InfoNCE (van den Oord and others, 2018): the cross entropy of each query's own candidate among all candidates, by dot
/// products divided by a temperature.
///
/// ```
/// use latentc::loss::InfoNce;
/// use latentc::prelude::*;
///
/// let step = program("contrast", |g| {
///     let views = ["a", "b"].map(|name| g.params().table(name, [64, 8], init::normal(0.1)).all(g).normalize_rows(1e-12));
///     let loss = InfoNce::new(0.2).two_sided(views[0], views[1]);
///     g.minimise(loss, Adam::new(1e-3));
///     g.output("loss", loss);
/// });
/// assert!(step.is_ok());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct InfoNce<'g> {
    /// What dot products are divided by, positive.
    pub temperature: f64,
    /// Which candidate is each query's own, i32 `[n]`; the one at its place where it is not given.
    pub positives: Option<Tensor<'g>>,
    /// The logarithm of how often each candidate is drawn, `[m]`: subtracted from its scores (Yi and others, 2019).
    pub log_q: Option<Tensor<'g>>,
    /// Names of queries and candidates, i32 `[n]` and `[m]`: a candidate with the query's name is no negative of it. Without
    /// them every other candidate is one.
    pub names: Option<(Tensor<'g>, Tensor<'g>)>,
}

impl<'g> InfoNce<'g> {
    /// With a temperature, own candidates at the queries' places, and nothing else.
    pub fn new(temperature: f64) -> InfoNce<'g> {
        InfoNce { temperature, positives: None, log_q: None, names: None }
    }

    /// The loss of each query, `[n]`, of queries `[n, d]` and candidates `[m, d]`. Where `m` is a constant the scores
    /// `[n, m]` are never stored at once.
    #[track_caller]
    pub fn each(self, queries: Tensor<'g>, candidates: Tensor<'g>) -> Tensor<'g> {
        let mut operands = vec![queries, candidates];
        let mut add = |t: Option<Tensor<'g>>| t.map(|t| (operands.push(t), operands.len() - 1).1);
        let (positives, log_q) = (add(self.positives), add(self.log_q));
        let names = self.names.map(|(a, b)| (add(Some(a)), add(Some(b))));
        queries.scope.composed(&operands, Location::caller(), |g, o| {
            let names = names.and_then(|(a, b)| Some((o[a?], o[b?])));
            let known = Candidates { log_q: log_q.map(|i| o[i]), names };
            g.info_nce(o[0], o[1], positives.map(|i| o[i]), self.temperature, &known)
        })
    }

    /// The mean of the losses of the queries.
    #[track_caller]
    pub fn loss(self, queries: Tensor<'g>, candidates: Tensor<'g>) -> Tensor<'g> {
        self.each(queries, candidates).mean_all()
    }

    /// The mean of the losses both ways, of two views `[n, d]` of the same rows (Chen and others, 2020): each is the
    /// other's candidates. Names, where there are some, are turned round with them.
    #[track_caller]
    pub fn two_sided(self, a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
        let back = InfoNce { names: self.names.map(|(x, y)| (y, x)), ..self };
        (self.loss(a, b) + back.loss(b, a)) * 0.5
    }
}

/// The mean over the rows of the softmax cross entropy of targets i32 `[n]` among themselves and drawn classes i32 `[s]`,
/// scored by `x [n, d]` and rows of `weight [v, d]`, less `log_q [v]`, the logarithm of how often a class is drawn (Bengio
/// and Senecal, 2008). A drawn class that is the row's own target does not count. The gradient of the weight lists the rows
/// that are used.
#[track_caller]
pub fn sampled_softmax<'g>(
    x: Tensor<'g>,
    weight: Tensor<'g>,
    targets: Tensor<'g>,
    drawn: Tensor<'g>,
    log_q: Option<Tensor<'g>>,
) -> Tensor<'g> {
    let operands: Vec<Tensor<'g>> = [x, weight, targets, drawn].into_iter().chain(log_q).collect();
    let each = x.scope.composed(&operands, Location::caller(), |g, o| {
        g.sampled_softmax(o[0], o[1], o[2], o[3], o.get(4).copied())
    });
    each.mean_all()
}
