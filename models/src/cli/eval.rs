//! `latentc eval`.

use super::load::{MachineArgs, Which, checkpoint_path, described, open_trained};
use super::output::{Output, members};
use super::quality::{of_published, of_report, quality};
use super::{CliError, Status};
use crate::common::run::evaluate;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

/// Rank all items for every test user with a trained model, and show all metrics.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  latentc eval runs/lightgcn-1                       the best checkpoint of a run
  latentc eval runs/lightgcn-1 --k 10,20,50 --json
  latentc eval runs/lightgcn-1/last.safetensors

`ndcg` is normalised by the best list possible; `ndcg_self`, as NGCF's code has it, by the list's own hits
moved to the front. Train items are never ranked.")]
pub struct Args {
    /// Folder of a run, or a checkpoint.
    run: PathBuf,
    /// List lengths [default: those of the run].
    #[arg(long = "k", value_name = "K", value_delimiter = ',')]
    ks: Vec<usize>,
    /// Which checkpoint of the run [default: best, or last where there is no best].
    #[arg(long, value_enum)]
    checkpoint: Option<Which>,
    /// Where the data is now, if it was moved.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    #[command(flatten)]
    machine: MachineArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Evaluates.
pub fn run(args: &Args, out: &Output) -> Result<Status, CliError> {
    let path = checkpoint_path(&args.run, args.checkpoint)?;
    let mut t = open_trained(&path, args.data.as_deref(), args.machine.machine(), out)?;
    let ks = if args.ks.is_empty() { t.configured.schedule.ks.clone() } else { args.ks.clone() };
    let began = Instant::now();
    let report = evaluate(t.model.as_mut(), &t.data, &ks, None, |_, _| {})?;
    let seconds = (began.elapsed().as_secs_f64() * 1e3).round() / 1e3;
    let mut event = members(json!({
        "system": t.system.name, "checkpoint": path, "epoch": t.meta.progress.epoch,
        "users": report.users, "seconds": seconds,
    }));
    event.extend(report.entries().map(|(name, value)| (name, value.into())));
    out.event("quality", event)?;
    out.say(&format!("{} on {}", t.system.name, described(&t.data)))?;
    let epoch = t.meta.progress.epoch;
    out.say(&format!("{}: epoch {epoch}, {} test users, {seconds} s", path.display(), report.users))?;
    let mut sources = vec![("value".to_string(), of_report(&report))];
    if let Some(p) = t.system.published(&t.data) {
        sources.push((format!("published ({})", p.source), of_published(p)));
    }
    out.say(&quality(&report.ks, &sources))?;
    args.machine.profile.finish(&t.model.sessions(), out)?;
    Ok(Status::Done)
}
