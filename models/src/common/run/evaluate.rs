//! Ranking all items for the test users, and judging the lists.

use super::recommender::Recommender;
use super::train::RunError;
use crate::common::data::Interactions;
use crate::common::metrics::{Evaluator, Report};

/// Users ranked in one call of the model.
pub const EVALUATION_BATCH: usize = 2048;

/// The metrics of a model at the lengths `ks`, over the users with a test item (the first `limit` of them
/// where one is given). `progress` hears how many users of how many are done.
pub fn evaluate(
    model: &mut dyn Recommender,
    data: &Interactions,
    ks: &[usize],
    limit: Option<usize>,
    mut progress: impl FnMut(usize, usize),
) -> Result<Report, RunError> {
    let mut evaluator = Evaluator::new(ks, data.items)?;
    let mut users = data.test_users();
    users.truncate(limit.unwrap_or(usize::MAX));
    let (mut lists, mut done) = (Vec::new(), 0);
    for batch in users.chunks(EVALUATION_BATCH) {
        model.top_k(batch, evaluator.width(), &mut lists).map_err(RunError::Ranking)?;
        evaluator.add(batch, &lists, &data.test)?;
        done += batch.len();
        progress(done, users.len());
    }
    Ok(evaluator.finish())
}
