//! What a training run needs of a model, and no more.

use super::tensor::{NamedTensor, SavedTensor};
use crate::common::sampling::ItemIds;

/// What a model says went wrong.
pub type ModelError = Box<dyn std::error::Error + Send + Sync>;

/// The triples of one training step.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Steps done before this one, over all epochs: what dropout and other draws are keyed with.
    pub step: u64,
    /// Epochs completed before this step: what a step size that falls goes by.
    pub epoch: u32,
    /// Users.
    pub user: &'a [i32],
    /// Items that the users have.
    pub positive: &'a [i32],
    /// Items that the users do not have.
    pub negative: &'a [i32],
}

/// A model that learns from triples and ranks items.
pub trait Recommender {
    /// How [`Batch`] gives item ids to this model.
    fn item_ids(&self) -> ItemIds {
        ItemIds::Item
    }

    /// Makes training ready, which may take a while the first time: what cannot be compiled shows here, before
    /// a run begins. Says what was done, in a few words; nothing where there was nothing to do.
    fn prepare(&mut self) -> Result<String, ModelError> {
        Ok(String::new())
    }

    /// One step of training; the loss of the batch before the update.
    fn train_step(&mut self, batch: Batch<'_>) -> Result<f32, ModelError>;

    /// Replaces `out` by the `k` best items of each user, best first, ties by lower id: item ids from 0,
    /// without the user's train items, and -1 from where a user has no more items.
    fn top_k(&mut self, users: &[i32], k: usize, out: &mut Vec<i32>) -> Result<(), ModelError>;

    /// The sessions that it has made so far, for profiles.
    fn sessions(&self) -> Vec<&latentc::Session> {
        vec![]
    }

    /// The whole state: parameters, optimizer state, counters. The same tensors, names and sizes every time.
    fn tensors(&self) -> Result<Vec<SavedTensor<'_>>, ModelError>;

    /// Replaces the whole state by tensors with the names, types and sizes of [`Recommender::tensors`]
    /// (checked by the caller), in the same order.
    fn set_tensors(&mut self, tensors: Vec<NamedTensor>) -> Result<(), ModelError>;
}
