//! The training loop: epochs of batches, evaluations, early stopping, checkpoints, and exact continuation.
//!
//! Batches are addressed by (seed, epoch, batch) and a checkpoint holds the model's whole state, so a run that
//! is interrupted anywhere, also within an epoch, continues with the losses that it would have had.

use super::checkpoint::{Best, Checkpoint, CheckpointError, Meta, Progress, save_checkpoint};
use super::curve::learning_curve;
use super::directory::{Record, RunDir, RunDirError, append, rewind};
use super::evaluate::evaluate;
use super::recommender::{Batch, ModelError, Recommender};
use super::tensor::SavedTensor;
use crate::common::config::Invalid;
use crate::common::data::Interactions;
use crate::common::metrics::{Evaluator, MetricError, Report};
use crate::common::sampling::{BprSampler, ItemIds, SampleError, Sampling, Triples};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A killed run loses at most this much work: state is saved this often, and after each evaluation.
const SAVE_EVERY: Duration = Duration::from_secs(120);

/// Steps of an epoch of a trial run.
const QUICK_STEPS: u32 = 20;

/// Test users of a trial run.
const QUICK_USERS: usize = 2000;

/// The keys of a configuration that say how long a run goes on and how it is judged, not what is learned:
/// they may change when it is resumed.
const FREE_KEYS: [&str; 4] = ["epochs", "eval_every", "patience", "ks"];

/// How a system is trained. It stands in the configuration of each system, its fields among the system's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Epochs at most.
    pub epochs: u32,
    /// Epochs between evaluations; the last epoch is always evaluated.
    pub eval_every: u32,
    /// Evaluations without a better one before the run stops; 0 for never.
    pub patience: u32,
    /// List lengths of the metrics.
    pub ks: Vec<usize>,
    /// Triples in a batch.
    pub batch: usize,
    /// How triples are drawn.
    pub sampling: Sampling,
    /// The seed of everything random.
    pub seed: u64,
}

impl Schedule {
    /// What the values allow whatever the data is.
    pub fn check(&self) -> Result<(), Invalid> {
        Invalid::unless(self.epochs > 0, "epochs", || "0 found, expected at least 1".into())?;
        Invalid::unless(self.eval_every > 0, "eval_every", || "0 found, expected at least 1".into())?;
        Invalid::unless((1..=1 << 24).contains(&self.batch), "batch", || {
            format!("{} found, expected 1 to 16777216 triples", self.batch)
        })?;
        Invalid::unless(!self.ks.is_empty() && !self.ks.contains(&0), "ks", || {
            format!("{:?} found, expected list lengths of at least 1, such as [20, 40]", self.ks)
        })
    }

    /// Whether a data set can be trained on and judged this way, before any work is done.
    pub fn fits(&self, data: &Arc<Interactions>) -> Result<(), RunError> {
        Evaluator::new(&self.ks, data.items)?;
        BprSampler::new(data.clone(), self.sampling, self.batch, self.seed, ItemIds::Item)?;
        Ok(())
    }
}

/// The metric that decides which evaluation is best: Recall at 20, or at the shortest length.
pub fn deciding_metric(ks: &[usize]) -> String {
    let k = if ks.contains(&20) { 20 } else { ks.iter().copied().min().unwrap_or(20) };
    format!("recall@{k}")
}

/// An evaluation of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Epochs completed.
    pub epoch: u32,
    /// Steps done.
    pub step: u64,
    /// Mean loss of the epoch.
    pub loss: f64,
    /// Seconds since the run began, interruptions not counted.
    pub seconds: f64,
    /// The metrics.
    pub report: Report,
}

impl Evaluation {
    /// The object of `metrics.jsonl`.
    pub fn record(&self) -> Record {
        let mut record = epoch_record(self.epoch, self.step, self.loss, self.seconds);
        record.insert("users".into(), self.report.users.into());
        record.extend(self.report.entries().map(|(name, value)| (name, value.into())));
        record
    }
}

fn epoch_record(epoch: u32, step: u64, loss: f64, seconds: f64) -> Record {
    Record::from_iter([
        ("epoch".to_string(), epoch.into()),
        ("step".to_string(), step.into()),
        ("loss".to_string(), loss.into()),
        ("seconds".to_string(), ((seconds * 1e3).round() / 1e3).into()),
    ])
}

/// Hears what a run does: progress bars, printed lines, tests.
pub trait Observer {
    /// An epoch (from 1) begins, or goes on after `done` of its `steps`.
    fn epoch_begins(&mut self, _epoch: u32, _epochs: u32, _done: u32, _steps: u32) {}
    /// A step was made.
    fn stepped(&mut self, _loss: f32, _triples: usize) {}
    /// An epoch (from 1) was trained; its mean loss, and the seconds since the run began.
    fn epoch_ended(&mut self, _epoch: u32, _loss: f64, _seconds: f64) {}
    /// Test users ranked so far, of how many.
    fn ranking(&mut self, _done: usize, _users: usize) {}
    /// An evaluation was made; `best` includes it.
    fn evaluated(&mut self, _evaluation: &Evaluation, _best: &Best) {}
}

/// An observer that says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs were trained.
    Epochs,
    /// No evaluation was better than the best for as long as the schedule waits.
    Patience,
    /// It was asked to stop, and saved its state.
    Interrupted,
}

/// What a run gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// How far it is.
    pub progress: Progress,
    /// The records of all evaluations, also those before it was resumed.
    pub evaluations: Vec<Record>,
}

/// Why a run stopped with an error. What was saved before stays.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The loss is not a number.
    #[error(
        "epoch {epoch}, step {step}: the loss is {loss}; lower lr or raise reg ({}), the last checkpoint is from before", last.display()
    )]
    NotFinite {
        /// The epoch, from 1.
        epoch: u32,
        /// The step, from 1 over all epochs.
        step: u64,
        /// The loss.
        loss: f32,
        /// The newest checkpoint.
        last: PathBuf,
    },
    /// The state is not finite, so it was not saved.
    #[error(
        "epoch {epoch}: tensor `{tensor}` holds a value that is not finite; lower lr or raise reg ({}), the last checkpoint is from before", last.display()
    )]
    StateNotFinite {
        /// The epoch, from 1.
        epoch: u32,
        /// The tensor.
        tensor: String,
        /// The newest checkpoint.
        last: PathBuf,
    },
    /// The model failed in a step.
    #[error("epoch {epoch}, step {step}: {source}")]
    Step {
        /// The epoch, from 1.
        epoch: u32,
        /// The step, from 1 over all epochs.
        step: u64,
        /// What the model said.
        source: ModelError,
    },
    /// The model failed while ranking.
    #[error("ranking the test users failed: {0}")]
    Ranking(#[source] ModelError),
    /// A run that is resumed with settings that would change what it learns.
    #[error(
        "{}: made with `{key} = {was}`, now `{key} = {now}`; resume with the same settings (only {} may change), or start a new run",
        path.display(), FREE_KEYS.join(", ")
    )]
    Changed {
        /// The checkpoint.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value in the checkpoint.
        was: String,
        /// Its value now.
        now: String,
    },
    /// Triples cannot be drawn.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Lists cannot be judged.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// A checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The folder of the run cannot be used.
    #[error(transparent)]
    Dir(#[from] RunDirError),
    /// The state of the model cannot be read.
    #[error("the model's state cannot be read: {0}")]
    State(#[source] ModelError),
}

/// A run that is ready to go: new, or taken up again.
#[derive(Debug)]
pub struct Run {
    dir: RunDir,
    meta: Meta,
    data: Arc<Interactions>,
    schedule: Schedule,
    evaluations: Vec<Record>,
    base_seconds: f64,
    began: Instant,
    saved: Instant,
}

impl Run {
    /// A new run; `meta` says what it is of.
    pub fn new(
        dir: RunDir,
        meta: Meta,
        data: Arc<Interactions>,
        schedule: Schedule,
    ) -> Result<Run, RunError> {
        schedule.fits(&data)?;
        dir.write_config(&meta.system, &meta.data, &meta.config)?;
        let meta = Meta { progress: Progress::default(), ..meta };
        Ok(Run::begin(dir, meta, data, schedule, Vec::new(), 0.0))
    }

    /// A run taken up where its newest checkpoint is; the model gets that state.
    pub fn resume(
        dir: RunDir,
        meta: Meta,
        data: Arc<Interactions>,
        schedule: Schedule,
        model: &mut dyn Recommender,
    ) -> Result<Run, RunError> {
        schedule.fits(&data)?;
        let path = dir.last();
        let checkpoint = Checkpoint::load(&path)?;
        checkpoint.expect(&path, &meta.system, &meta.fingerprint)?;
        unchanged(&path, &checkpoint.meta, &meta)?;
        let mut progress = checkpoint.meta.progress.clone();
        checkpoint.restore(&path, model)?;
        if progress.best.as_ref().is_some_and(|b| b.metric != deciding_metric(&schedule.ks)) {
            (progress.best, progress.since_best) = (None, 0);
        }
        let log = rewind(&dir.log(), progress.epoch)?;
        let seconds = log.last().and_then(|r| r.get("seconds")).and_then(Value::as_f64).unwrap_or(0.0);
        let evaluations = rewind(&dir.metrics(), progress.epoch)?;
        dir.write_config(&meta.system, &meta.data, &meta.config)?;
        Ok(Run::begin(dir, Meta { progress, ..meta }, data, schedule, evaluations, seconds))
    }

    fn begin(
        dir: RunDir,
        meta: Meta,
        data: Arc<Interactions>,
        schedule: Schedule,
        evaluations: Vec<Record>,
        base_seconds: f64,
    ) -> Run {
        let now = Instant::now();
        Run { dir, meta, data, schedule, evaluations, base_seconds, began: now, saved: now }
    }

    /// The folder of the run.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// How far the run is.
    pub fn progress(&self) -> &Progress {
        &self.meta.progress
    }

    /// Trains until the schedule ends, patience does, or `stop` is set.
    pub fn train(
        mut self,
        model: &mut dyn Recommender,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Outcome, RunError> {
        let Schedule { epochs, batch, sampling, seed, .. } = self.schedule;
        let mut sampler = BprSampler::new(self.data.clone(), sampling, batch, seed, model.item_ids())?;
        let steps = match self.meta.quick {
            true => sampler.batches().min(QUICK_STEPS),
            false => sampler.batches(),
        };
        let mut triples = Triples::default();
        if self.meta.progress.step == 0 {
            // From here on a run can be resumed wherever it is cut off; and a disk that is full shows now.
            self.save(model)?;
        }
        while self.meta.progress.epoch < epochs {
            if self.out_of_patience() {
                return Ok(self.end(Ending::Patience));
            }
            let epoch = self.meta.progress.epoch;
            observer.epoch_begins(epoch + 1, epochs, self.meta.progress.batch, steps);
            while self.meta.progress.batch < steps {
                if stop.load(Ordering::Relaxed) {
                    self.save(model)?;
                    return Ok(self.end(Ending::Interrupted));
                }
                if self.saved.elapsed() >= SAVE_EVERY {
                    self.save(model)?;
                }
                sampler.fill(epoch, self.meta.progress.batch, &mut triples);
                let loss = self.step(model, &triples)?;
                observer.stepped(loss, triples.len());
            }
            self.finish_epoch(model, observer)?;
        }
        Ok(self.end(Ending::Epochs))
    }

    fn step(&mut self, model: &mut dyn Recommender, triples: &Triples) -> Result<f32, RunError> {
        let progress = &mut self.meta.progress;
        let batch = Batch {
            step: progress.step,
            epoch: progress.epoch,
            user: &triples.user,
            positive: &triples.positive,
            negative: &triples.negative,
        };
        let (epoch, step) = (progress.epoch + 1, progress.step + 1);
        let loss = model.train_step(batch).map_err(|source| RunError::Step { epoch, step, source })?;
        if !loss.is_finite() {
            return Err(RunError::NotFinite { epoch, step, loss, last: self.dir.last() });
        }
        progress.loss_sum += f64::from(loss);
        progress.batch += 1;
        progress.step += 1;
        Ok(loss)
    }

    /// Ends an epoch: its line in the log and, where the schedule says so, an evaluation with its checkpoint.
    fn finish_epoch(
        &mut self,
        model: &mut dyn Recommender,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        let progress = &mut self.meta.progress;
        let loss = progress.loss_sum / f64::from(progress.batch.max(1));
        progress.epoch += 1;
        (progress.batch, progress.loss_sum) = (0, 0.0);
        let (epoch, step, seconds) = (progress.epoch, progress.step, self.seconds());
        append(&self.dir.log(), &epoch_record(epoch, step, loss, seconds))?;
        observer.epoch_ended(epoch, loss, seconds);
        let Schedule { epochs, eval_every, .. } = self.schedule;
        if epoch % eval_every.max(1) != 0 && epoch != epochs {
            return Ok(());
        }
        let limit = self.meta.quick.then_some(QUICK_USERS);
        let report =
            evaluate(model, &self.data, &self.schedule.ks, limit, |done, n| observer.ranking(done, n))?;
        let evaluation = Evaluation { epoch, step, loss, seconds: self.seconds(), report };
        let improved = self.judge(&evaluation);
        append(&self.dir.metrics(), &evaluation.record())?;
        self.evaluations.push(evaluation.record());
        let tensors = self.state(model)?;
        if improved {
            save_checkpoint(&self.dir.best(), &self.meta, &tensors)?;
        }
        save_checkpoint(&self.dir.last(), &self.meta, &tensors)?;
        self.saved = Instant::now();
        let metric = deciding_metric(&self.schedule.ks);
        learning_curve(&self.dir.curve(), &self.meta.system, &metric, &self.evaluations)
            .map_err(RunDirError::from)?;
        if let Some(best) = &self.meta.progress.best {
            observer.evaluated(&evaluation, best);
        }
        Ok(())
    }

    /// Takes an evaluation into account; whether it is the best so far.
    fn judge(&mut self, evaluation: &Evaluation) -> bool {
        let metric = deciding_metric(&self.schedule.ks);
        let value = evaluation.report.get(&metric).unwrap_or(0.0);
        let progress = &mut self.meta.progress;
        let improved = progress.best.as_ref().is_none_or(|b| value > b.value);
        if improved {
            progress.best = Some(Best { epoch: evaluation.epoch, metric, value });
            progress.since_best = 0;
        } else {
            progress.since_best += 1;
        }
        improved
    }

    fn out_of_patience(&self) -> bool {
        self.schedule.patience > 0
            && self.meta.progress.batch == 0
            && self.meta.progress.since_best >= self.schedule.patience
    }

    fn seconds(&self) -> f64 {
        self.base_seconds + self.began.elapsed().as_secs_f64()
    }

    /// The state of the model, found to be finite.
    fn state<'m>(&self, model: &'m dyn Recommender) -> Result<Vec<SavedTensor<'m>>, RunError> {
        let tensors = model.tensors().map_err(RunError::State)?;
        if let Some(bad) = tensors.iter().find(|t| !t.is_finite()) {
            let (tensor, last) = (bad.name().to_string(), self.dir.last());
            let Progress { epoch, batch, .. } = self.meta.progress;
            return Err(RunError::StateNotFinite { epoch: epoch + u32::from(batch > 0), tensor, last });
        }
        Ok(tensors)
    }

    fn save(&mut self, model: &dyn Recommender) -> Result<(), RunError> {
        save_checkpoint(&self.dir.last(), &self.meta, &self.state(model)?)?;
        self.saved = Instant::now();
        let Progress { epoch, batch, step, .. } = self.meta.progress;
        let seconds = ((self.seconds() * 1e3).round() / 1e3).into();
        let record =
            [("epoch", epoch.into()), ("batch", batch.into()), ("step", step.into()), ("seconds", seconds)];
        Ok(append(&self.dir.log(), &record.into_iter().map(|(k, v)| (k.to_string(), v)).collect())?)
    }

    fn end(self, ending: Ending) -> Outcome {
        Outcome { ending, progress: self.meta.progress, evaluations: self.evaluations }
    }
}

/// Checks that nothing that changes what is learned differs from a checkpoint.
fn unchanged(path: &std::path::Path, was: &Meta, now: &Meta) -> Result<(), RunError> {
    let changed = |key: &str, was: String, now: String| {
        Err(RunError::Changed { path: path.to_path_buf(), key: key.to_string(), was, now })
    };
    if was.quick != now.quick {
        return changed("quick", was.quick.to_string(), now.quick.to_string());
    }
    let table = |config: &str| toml::from_str::<toml::Table>(config).unwrap_or_default();
    let (old, new) = (table(&was.config), table(&now.config));
    let shown = |t: &toml::Table, key: &str| t.get(key).map_or("(absent)".into(), toml::Value::to_string);
    for key in old.keys().chain(new.keys()) {
        if !FREE_KEYS.contains(&key.as_str()) && old.get(key) != new.get(key) {
            return changed(key, shown(&old, key), shown(&new, key));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
