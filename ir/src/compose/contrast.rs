//! Losses over many candidates whose scores are never stored at once.

use super::{Composed, wide};
use crate::dim::{Dim, Proof};
use crate::dtype::DType;
use crate::graph::{Graph, Operand};
use crate::ops::Axes;
use crate::ops::gather_rows::GatherRows;
use crate::ops::linear_log_sum_exp::LinearLogSumExp;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{Shape, TensorType, shape_text};

/// Elements of the scores that are there at once, about.
const AT_ONCE: i64 = 1 << 22;
/// Parts of the candidates, at most: each has kernels of its own.
const MOST_PARTS: i64 = 16;

/// What the cross entropy of a linear layer does beside its softmax.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinearCrossEntropy {
    /// Added to the scores, `[v]`.
    pub bias: Option<Operand>,
    /// The part of the target that is spread evenly over all classes, in `0..1` (Szegedy and others, 2016).
    pub smoothing: f64,
    /// Rows with this target have no loss.
    pub ignore: Option<i32>,
}

/// What a contrastive loss knows of its candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Candidates {
    /// The logarithm of how often each candidate is drawn, `[m]`: subtracted from its score (Bengio and Senecal, 2008;
    /// Yi and others, 2019).
    pub log_q: Option<Operand>,
    /// Names of queries and of candidates, i32 `[n]` and `[m]`: a candidate that has the name of the query is no negative
    /// of it.
    pub names: Option<(Operand, Operand)>,
}

impl Graph {
    /// `log sum exp` of `x w^T` (plus a bias `[v]`) along the columns, without those that have the name of the row; see
    /// [`LinearLogSumExp`].
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn linear_log_sum_exp(
        &mut self,
        x: Operand,
        w: Operand,
        bias: Option<Operand>,
        names: Option<(Operand, Operand)>,
    ) -> Composed {
        let (tx, tw) = (self.dense("linear_log_sum_exp", x)?, self.dense("linear_log_sum_exp", w)?);
        let part = match (tx.shape.first(), tw.shape.first()) {
            (Some(n), Some(v)) => part_of(n, v),
            _ => 1,
        };
        let op = LinearLogSumExp { part, biased: bias.is_some(), excluding: names.is_some() };
        let mut operands = vec![x, w];
        operands.extend(bias);
        operands.extend(names.into_iter().flat_map(|(a, b)| [a, b]));
        self.try_emit(op, &operands)
    }

    /// Cross entropy of the classes `softmax(x w^T + bias)` and targets i32 `[n]`, for `x [n, d]` and `w [v, d]`: the loss
    /// of each row `[n]`, and 1 for each row that counts, 0 for those that are ignored. Narrow floats are computed in
    /// f32. Scores are never stored at once.
    ///
    /// # Errors
    /// Where shapes or types do not fit, or the smoothing is not in `0..1`.
    pub fn linear_cross_entropy(
        &mut self,
        x: Operand,
        w: Operand,
        targets: Operand,
        how: &LinearCrossEntropy,
    ) -> Result<[Operand; 2], String> {
        if !(0.0..1.0).contains(&how.smoothing) {
            return Err(format!("a label smoothing of {}; it is at least 0 and below 1", how.smoothing));
        }
        let [x, w] = self.matched("linear_cross_entropy", x, w)?;
        let n = self.shape_of(x)[0].clone();
        self.named("linear_cross_entropy", "targets", targets, DType::I32, &n)?;
        let dtype = self.dtype_of(x);
        let bias = how.bias.map(|b| self.cast(b, dtype));
        let every = self.linear_log_sum_exp(x, w, bias, None)?;
        let counted = match how.ignore {
            None => None,
            Some(ignored) => {
                let ignored = self.fill_like(targets, f64::from(ignored));
                Some(self.map(ScalarOp::Ne, &[targets, ignored]))
            }
        };
        let none = self.fill_like(targets, 0.0);
        let targets = counted.map_or(targets, |c| self.select(c, targets, none));
        let own = self.emit(GatherRows, &[w, targets]);
        let mut own = self.dots(x, own);
        if let Some(bias) = bias {
            let bias = self.try_emit(GatherRows, &[bias, targets])?;
            own = self.map(ScalarOp::Add, &[own, bias]);
        }
        if how.smoothing > 0.0 {
            // The mean of all scores is the score of the mean.
            let all = self.mean(w, &[0]);
            let shape = self.shape_of(x);
            let all = self.broadcast(all, shape, Axes::from_slice(&[1]));
            let mut even = self.dots(x, all);
            if let Some(bias) = bias {
                let bias = self.mean(bias, &[0]);
                let bias = self.broadcast(bias, Shape::from_iter([n.clone()]), Axes::new());
                even = self.map(ScalarOp::Add, &[even, bias]);
            }
            let even = self.by(ScalarOp::Mul, even, how.smoothing);
            own = self.by(ScalarOp::Mul, own, 1.0 - how.smoothing);
            own = self.map(ScalarOp::Add, &[own, even]);
        }
        let mut loss = self.map(ScalarOp::Sub, &[every, own]);
        let mut count = self.fill_like(loss, 1.0);
        if let Some(counted) = counted {
            let zero = self.fill_like(loss, 0.0);
            loss = self.select(counted, loss, zero);
            count = self.cast(counted, dtype);
        }
        Ok([loss, count])
    }

    /// InfoNCE (van den Oord and others, 2018): for each query of `[n, d]` the cross entropy of its own candidate among all
    /// of `[m, d]`, by dot products divided by a temperature: `[n]`. The own candidate of query `i` is `positives[i]`, i32
    /// `[n]`, or candidate `i`; it counts once, whatever its name. Scores are never stored at once where `m` is a constant.
    ///
    /// # Errors
    /// Where shapes or types do not fit, or the temperature is not positive.
    pub fn info_nce(
        &mut self,
        queries: Operand,
        candidates: Operand,
        positives: Option<Operand>,
        temperature: f64,
        known: &Candidates,
    ) -> Composed {
        if temperature.is_nan() || temperature <= 0.0 {
            return Err(format!("a temperature of {temperature}; it is positive"));
        }
        let [x, w] = self.matched("info_nce", queries, candidates)?;
        let (n, m) = (self.shape_of(x)[0].clone(), self.shape_of(w)[0].clone());
        let x = self.by(ScalarOp::Mul, x, 1.0 / temperature);
        let own = match positives {
            Some(ids) => {
                self.named("info_nce", "positives", ids, DType::I32, &n)?;
                self.emit(GatherRows, &[w, ids])
            }
            None if n.eq_proof(&m) == Proof::True => w,
            None => {
                return Err(format!(
                    "`info_nce` of {n} queries and {m} candidates; say which candidate is each query's own"
                ));
            }
        };
        let mut own = self.dots(x, own);
        let bias = match known.log_q {
            None => None,
            Some(log_q) => {
                self.named("info_nce", "log_q", log_q, self.dtype_of(log_q), &m)?;
                let log_q = self.cast(log_q, self.dtype_of(x));
                let of_own = match positives {
                    Some(ids) => self.emit(GatherRows, &[log_q, ids]),
                    None => log_q,
                };
                own = self.map(ScalarOp::Sub, &[own, of_own]);
                Some(self.map(ScalarOp::Neg, &[log_q]))
            }
        };
        if known.names.is_none() {
            let every = self.linear_log_sum_exp(x, w, bias, None)?;
            return Ok(self.map(ScalarOp::Sub, &[every, own]));
        }
        let others = self.linear_log_sum_exp(x, w, bias, known.names)?;
        Ok(self.beside(others, own))
    }

    /// Softmax cross entropy of targets i32 `[n]` among themselves and drawn classes i32 `[s]`: scores are those of
    /// `x [n, d]` and rows of `w [v, d]`, less the logarithm of how often a class is drawn, `log_q [v]` (Bengio and Senecal,
    /// 2008). A drawn class that is the row's target does not count. Gives the loss of each row `[n]`; the gradient of `w`
    /// lists the rows that are used.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn sampled_softmax(
        &mut self,
        x: Operand,
        w: Operand,
        targets: Operand,
        drawn: Operand,
        log_q: Option<Operand>,
    ) -> Composed {
        let n = self.matrix_of("sampled_softmax", x)?.shape[0].clone();
        let classes = self.matrix_of("sampled_softmax", w)?.shape[0].clone();
        self.named("sampled_softmax", "targets", targets, DType::I32, &n)?;
        let own = self.emit(GatherRows, &[w, targets]);
        let negatives = self.try_emit(GatherRows, &[w, drawn])?;
        let [x, negatives] = self.matched("sampled_softmax", x, negatives)?;
        let dtype = self.dtype_of(x);
        let own = self.cast(own, dtype);
        let mut own = self.dots(x, own);
        let mut bias = None;
        if let Some(log_q) = log_q {
            self.named("sampled_softmax", "log_q", log_q, self.dtype_of(log_q), &classes)?;
            let [of_own, of_drawn] = [targets, drawn].map(|ids| {
                let q = self.emit(GatherRows, &[log_q, ids]);
                self.cast(q, dtype)
            });
            own = self.map(ScalarOp::Sub, &[own, of_own]);
            bias = Some(self.map(ScalarOp::Neg, &[of_drawn]));
        }
        let others = self.linear_log_sum_exp(x, negatives, bias, Some((targets, drawn)))?;
        Ok(self.beside(others, own))
    }

    /// `-log(exp(own) / (exp(own) + exp(others)))`.
    fn beside(&mut self, others: Operand, own: Operand) -> Operand {
        let margin = self.map(ScalarOp::Sub, &[others, own]);
        self.map(ScalarOp::Softplus, &[margin])
    }

    /// Dot products of the rows of two matrices.
    fn dots(&mut self, a: Operand, b: Operand) -> Operand {
        let product = self.map(ScalarOp::Mul, &[a, b]);
        self.reduce(ReduceOp::Sum, product, Axes::from_slice(&[1]))
    }

    fn matrix_of(&self, what: &str, x: Operand) -> Result<TensorType, String> {
        let ty = self.dense(what, x)?;
        if ty.rank() == 2 && ty.dtype.is_real() {
            return Ok(ty);
        }
        Err(format!("`{what}` takes matrices of floats, {}{} found", ty.dtype, shape_text(&ty.shape)))
    }

    /// Two matrices of one width and type, in a type that takes sums.
    fn matched(&mut self, what: &str, a: Operand, b: Operand) -> Result<[Operand; 2], String> {
        let (ta, tb) = (self.matrix_of(what, a)?, self.matrix_of(what, b)?);
        if ta.dtype != tb.dtype || ta.shape[1].eq_proof(&tb.shape[1]) != Proof::True {
            return Err(format!(
                "`{what}` takes matrices of one type and width, {}{} and {}{} found",
                ta.dtype,
                shape_text(&ta.shape),
                tb.dtype,
                shape_text(&tb.shape)
            ));
        }
        Ok([a, b].map(|o| self.cast(o, wide(ta.dtype))))
    }

    /// Checks that a value has one element a row.
    fn named(&self, what: &str, name: &str, x: Operand, dtype: DType, rows: &Dim) -> Result<(), String> {
        let ty = self.dense(what, x)?;
        if ty.dtype == dtype && ty.rank() == 1 && ty.shape[0].eq_proof(rows) == Proof::True {
            return Ok(());
        }
        Err(format!("`{what}` takes {name} {dtype}[{rows}], {}{} found", ty.dtype, shape_text(&ty.shape)))
    }
}

/// Columns whose scores are computed at once.
fn part_of(rows: &Dim, columns: &Dim) -> usize {
    let columns = columns.as_const().unwrap_or(i64::MAX);
    let few = (AT_ONCE / rows.upper().max(1)).max(columns / MOST_PARTS + 1);
    usize::try_from(few.saturating_add(63) / 64 * 64).unwrap_or(usize::MAX)
}
