//! Training runs: the loop, its evaluations, its folder and its checkpoints, for any [`Recommender`].

mod atomic;
mod checkpoint;
mod curve;
mod directory;
mod evaluate;
mod recommender;
mod tensor;
mod train;

pub use atomic::{SaveError, save};
pub use checkpoint::{Best, Checkpoint, CheckpointError, Meta, Progress, config_hash};
pub use curve::learning_curve;
pub use directory::{Record, RunDir, RunDirError, append, rewind};
pub use evaluate::{EVALUATION_BATCH, evaluate};
pub use recommender::{Batch, ModelError, Recommender};
pub use tensor::{NamedTensor, SavedTensor, TensorKind, Values};
pub use train::{Ending, Evaluation, Observer, Outcome, Run, RunError, Schedule, Silent, deciding_metric};
