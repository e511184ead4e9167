//! What a training run shows while it goes on: a bar on a terminal, plain lines elsewhere, JSON lines on
//! request, and a line after each evaluation.

use super::output::Output;
use super::table::{duration, grouped};
use crate::common::run::{Best, Evaluation, Observer, deciding_metric};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two texts of the bar.
const REFRESH: Duration = Duration::from_millis(100);

const TRAINING: &str = "{prefix} [{bar:12}] {pos}/{len}  {wide_msg}";
const RANKING: &str = "{prefix} [{bar:12}] {pos}/{len} test users ranked";

/// Shows a run.
pub struct Progress {
    out: Output,
    bar: ProgressBar,
    /// Raised where the output can no longer be written: the run saves and ends.
    stop: Arc<AtomicBool>,
    epoch: u32,
    epochs: u32,
    steps: u32,
    /// Steps and triples since the run was taken up, and the time spent on them.
    done: u64,
    triples: u64,
    busy: Duration,
    since: Instant,
    refreshed: Instant,
    /// A loss that follows the last few dozen steps.
    loss: f64,
    ranking: bool,
}

impl Progress {
    /// A display of a run; without a terminal the bar is hidden.
    pub fn new(out: Output, stop: Arc<AtomicBool>) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let now = Instant::now();
        let progress = Progress {
            out,
            bar,
            stop,
            epoch: 0,
            epochs: 0,
            steps: 0,
            done: 0,
            triples: 0,
            busy: Duration::ZERO,
            since: now,
            refreshed: now,
            loss: f64::NAN,
            ranking: false,
        };
        progress.style(TRAINING);
        progress
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn style(&self, template: &str) {
        // The template is ours; where it were wrong the default style would stand.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
    }

    /// Seconds that the steps left take at the rate so far.
    fn left(&self, steps: u64) -> f64 {
        self.busy.as_secs_f64() / self.done.max(1) as f64 * steps as f64
    }

    fn message(&mut self) {
        let samples = (self.triples as f64 / self.busy.as_secs_f64().max(1e-9)) as u64;
        let in_epoch = u64::from(self.steps).saturating_sub(self.bar.position());
        let later = u64::from(self.epochs - self.epoch) * u64::from(self.steps);
        let left = duration(self.left(in_epoch + later));
        self.bar.set_message(format!("loss {:.4}  {left} left  {} samples/s", self.loss, grouped(samples)));
    }

    fn print(&self, write: impl FnOnce(&Output) -> std::io::Result<()>) {
        if self.bar.suspend(|| write(&self.out)).is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

impl Observer for Progress {
    fn epoch_begins(&mut self, epoch: u32, epochs: u32, done: u32, steps: u32) {
        (self.epoch, self.epochs, self.steps, self.ranking) = (epoch, epochs, steps, false);
        self.bar.set_length(u64::from(steps));
        self.bar.set_position(u64::from(done));
        self.bar.set_prefix(format!("epoch {epoch}/{epochs}"));
        self.style(TRAINING);
        self.since = Instant::now();
    }

    fn stepped(&mut self, loss: f32, triples: usize) {
        let now = Instant::now();
        self.busy += now - self.since;
        self.since = now;
        self.done += 1;
        self.triples += triples as u64;
        let loss = f64::from(loss);
        self.loss = if self.loss.is_nan() { loss } else { self.loss + (loss - self.loss) / 32.0 };
        if self.bar.is_hidden() {
            return;
        }
        self.bar.inc(1);
        if now - self.refreshed >= REFRESH {
            self.refreshed = now;
            self.message();
        }
    }

    fn epoch_ended(&mut self, epoch: u32, loss: f64, seconds: f64) {
        if self.out.json() {
            let epochs = self.epochs;
            let seconds = (seconds * 1e3).round() / 1e3;
            let members = json!({ "epoch": epoch, "epochs": epochs, "loss": loss, "seconds": seconds });
            self.print(|out| out.event("epoch", super::output::members(members)));
        } else if self.bar.is_hidden() {
            let later = u64::from(self.epochs - epoch) * u64::from(self.steps);
            let left = duration(self.left(later));
            self.out.note(&format!(
                "epoch {epoch}/{}  loss {loss:.4}  after {}  about {left} of training left",
                self.epochs,
                duration(seconds)
            ));
        }
    }

    fn ranking(&mut self, done: usize, users: usize) {
        if !std::mem::replace(&mut self.ranking, true) {
            self.bar.set_length(users as u64);
            self.style(RANKING);
        }
        self.bar.set_position(done as u64);
    }

    fn evaluated(&mut self, evaluation: &Evaluation, best: &Best) {
        let improved = best.epoch == evaluation.epoch;
        if self.out.json() {
            let mut record = evaluation.record();
            record.insert("best_epoch".into(), best.epoch.into());
            record.insert("best".into(), best.value.into());
            self.print(|out| out.event("evaluation", record));
            return;
        }
        let metric = deciding_metric(&evaluation.report.ks);
        let k = metric.rsplit_once('@').map_or("20", |(_, k)| k);
        let ndcg = format!("ndcg@{k}");
        let value = |name: &str| evaluation.report.get(name).unwrap_or(f64::NAN);
        let stands = match improved {
            true => "the best so far".to_string(),
            false => format!("best {:.4} in epoch {}", best.value, best.epoch),
        };
        let line = format!(
            "epoch {:>4}/{}  loss {:.4}  {metric} {:.4}  {ndcg} {:.4}  {stands}  ({})",
            evaluation.epoch,
            self.epochs,
            evaluation.loss,
            value(&metric),
            value(&ndcg),
            duration(evaluation.seconds)
        );
        self.print(|out| out.say(&line));
    }
}
