//! `latentc train`.

use super::load::{MachineArgs, data_source, described, open_data, run_data};
use super::names::Names;
use super::output::{Output, members};
use super::progress::Progress;
use super::quality::{of_published, quality};
use super::recommend::recommend;
use super::{CliError, Status, table};
use crate::common::config::Sources;
use crate::common::data::{Declared, Interactions, SHIPPED};
use crate::common::run::{Checkpoint, Ending, Meta, Outcome, Recommender, Record, Run, RunDir};
use crate::systems::{Configured, Machine, System, find};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Users whose recommendations are shown at the end, and how many.
const EXAMPLE_USERS: usize = 3;
const EXAMPLE_TOP: usize = 5;

/// Train a system; evaluate, save and show where it stands as it goes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  latentc train lightgcn                         on the Gowalla data that ships inside
  latentc train ngcf --data my-data              my-data/train.txt and test.txt: `user item item ...` a line
  latentc train lightgcn --epochs 20 --set dim=128 --set lr=5e-4
  latentc train lightgcn --resume                go on where the newest run of the system stopped
  latentc train lightgcn --quick --out /tmp/try  20 steps an epoch and 2000 test users, to see that all works

The run's folder gets config.toml, metrics.jsonl (an object an evaluation), log.jsonl (an object an epoch),
learning_curve.svg, best.safetensors and last.safetensors. Ctrl-C saves and ends; a second one ends at once.
`latentc list SYSTEM` shows every key that --set and --config take.")]
pub struct Args {
    /// The system: see `latentc list`.
    system: String,
    /// A data set: one that ships (gowalla), a folder, or a packed .lcd file.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Rows of the user table, where it is to be larger than the largest id needs; larger ids are refused.
    #[arg(long, value_name = "N")]
    users: Option<usize>,
    /// Rows of the item table, likewise.
    #[arg(long, value_name = "N")]
    items: Option<usize>,
    /// Folder of the run [default: the first runs/SYSTEM-N that is free].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Epochs to train; short for --set epochs=N.
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Seed of everything random; short for --set seed=N.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// A TOML file of configuration keys.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A configuration key; wins over --config. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Go on with the run in --out, or with the newest of the system, with its configuration and data.
    #[arg(long)]
    resume: bool,
    /// A trial: 20 steps an epoch, 2000 test users.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    machine: MachineArgs,
    /// Print JSON, one object a line: start, epoch, evaluation, recommendation, end.
    #[arg(long)]
    pub json: bool,
}

impl Args {
    /// The keys that the command line gives, over `base`.
    fn sources(&self, base: Sources) -> Result<Sources, CliError> {
        let mut sources = base;
        if let Some(path) = &self.config {
            sources = sources.file(path)?;
        }
        for setting in &self.settings {
            sources = sources.setting(setting);
        }
        if let Some(epochs) = self.epochs {
            sources = sources.setting(format!("epochs={epochs}"));
        }
        if let Some(seed) = self.seed {
            sources = sources.setting(format!("seed={seed}"));
        }
        Ok(sources)
    }
}

/// A run that is about to begin or to go on, and what is needed besides it.
struct Ready {
    system: &'static System,
    data: Arc<Interactions>,
    /// Where the data is.
    source: String,
    model: Box<dyn Recommender>,
    dir: RunDir,
    ks: Vec<usize>,
    quick: bool,
}

/// Trains.
pub fn run(args: &Args, out: &Output) -> Result<Status, CliError> {
    let stop = stop_on_signals().map_err(CliError::Signals)?;
    let machine = args.machine.machine();
    let (mut ready, run) =
        if args.resume { resume(args, &machine, out)? } else { begin(args, &machine, out)? };
    announce(&ready, &run, &machine, out)?;
    let mut progress = Progress::new(*out, stop.clone());
    let outcome = run.train(ready.model.as_mut(), &mut progress, &stop);
    progress.finish();
    let outcome = outcome?;
    args.machine.profile.finish(&ready.model.sessions(), out)?;
    if outcome.ending == Ending::Interrupted {
        interrupted(&ready, &outcome, out);
        return Ok(Status::Interrupted);
    }
    conclude(ready, &outcome, out)?;
    Ok(Status::Done)
}

/// Raised by Ctrl-C and by a polite request to end; a second one ends the process at once.
fn stop_on_signals() -> std::io::Result<Arc<AtomicBool>> {
    use signal_hook::flag::{register, register_conditional_shutdown};
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        register_conditional_shutdown(signal, 130, stop.clone())?;
        register(signal, stop.clone())?;
    }
    // A file size limit then is an error of the write, not the end of the process.
    register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    Ok(stop)
}

fn build(
    system: &'static System,
    configured: &Configured,
    data: &Arc<Interactions>,
    machine: &Machine,
    out: &Output,
) -> Result<Box<dyn Recommender>, CliError> {
    let refused = |source| CliError::Model { system: system.name, source };
    let mut model = configured.build(data, machine.clone()).map_err(refused)?;
    let done = model.prepare().map_err(refused)?;
    if !done.is_empty() {
        out.note(&format!("compiled {done}"));
    }
    Ok(model)
}

/// Everything that can be wrong is looked at before the folder is made.
fn begin(args: &Args, machine: &Machine, out: &Output) -> Result<(Ready, Run), CliError> {
    let system = find(&args.system)?;
    let configured = (system.configure)(&args.sources(Sources::default())?)?;
    let source = data_source(args.data.as_deref().unwrap_or(SHIPPED[0]));
    let data = open_data(&source, Declared { users: args.users, items: args.items }, out)?;
    configured.schedule.fits(&data)?;
    let model = build(system, &configured, &data, machine, out)?;
    let dir = RunDir::create(system.name, args.out.as_deref())?;
    let meta = meta(system, &configured, &data, &source, args.quick);
    let ks = configured.schedule.ks.clone();
    let run = Run::new(dir.clone(), meta, data.clone(), configured.schedule)?;
    Ok((Ready { system, data, source, model, dir, ks, quick: args.quick }, run))
}

fn resume(args: &Args, machine: &Machine, out: &Output) -> Result<(Ready, Run), CliError> {
    let system = find(&args.system)?;
    let dir = RunDir::open(system.name, args.out.as_deref())?;
    let path = dir.last();
    let was = Checkpoint::load(&path)?;
    was.expect(&path, system.name, &was.meta.fingerprint)?;
    let was = was.meta;
    let origin = format!("{} (its configuration)", path.display());
    let mut kept = Sources::default().text(origin, was.config.clone());
    // What was edited since counts, so that it is refused where it may not change.
    if dir.config().exists() {
        kept = kept.file(&dir.config())?;
    }
    let configured = (system.configure)(&args.sources(kept)?)?;
    let source = args.data.as_deref().map_or_else(|| was.data.clone(), data_source);
    let data = run_data(&was, Some(&source), out)?;
    let mut model = build(system, &configured, &data, machine, out)?;
    let quick = args.quick || was.quick;
    let meta = meta(system, &configured, &data, &source, quick);
    let ks = configured.schedule.ks.clone();
    let run = Run::resume(dir.clone(), meta, data.clone(), configured.schedule, model.as_mut())?;
    Ok((Ready { system, data, source, model, dir, ks, quick }, run))
}

fn meta(system: &System, configured: &Configured, data: &Interactions, source: &str, quick: bool) -> Meta {
    Meta {
        system: system.name.to_string(),
        config: configured.toml.clone(),
        data: source.to_string(),
        sizes: [data.users, data.items],
        fingerprint: data.fingerprint(),
        progress: Default::default(),
        quick,
    }
}

fn announce(ready: &Ready, run: &Run, machine: &Machine, out: &Output) -> Result<(), CliError> {
    let Ready { system, data, source, dir, .. } = ready;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if machine.threads == 0 { cores } else { machine.threads };
    let progress = run.progress();
    out.event(
        "start",
        members(json!({
            "system": system.name, "run": dir.path(), "data": source,
            "users": data.users, "items": data.items,
            "train": data.train.pairs(), "test": data.test.pairs(),
            "device": machine.device.to_string(), "threads": threads,
            "epoch": progress.epoch, "step": progress.step,
        })),
    )?;
    out.say(&format!("{} on {}", system.name, described(data)))?;
    let from = match (progress.epoch, progress.step) {
        (_, 0) => String::new(),
        (epoch, step) => format!("; going on after {epoch} epochs, {} steps", table::grouped(step)),
    };
    let s = if threads == 1 { "" } else { "s" };
    out.say(&format!(
        "device {}, {threads} thread{s}; run folder {}{from}",
        machine.device,
        dir.path().display()
    ))?;
    Ok(())
}

/// The command that takes a run up again.
fn resume_command(ready: &Ready) -> String {
    format!("latentc train {} --resume --out {}", ready.system.name, shown(&ready.dir))
}

/// The folder as one word of a shell.
fn shown(dir: &RunDir) -> String {
    let text = dir.path().display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=@%,:".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn interrupted(ready: &Ready, outcome: &Outcome, out: &Output) {
    let at = &outcome.progress;
    out.note(&format!(
        "interrupted after {} epochs, {} steps; saved in {}",
        at.epoch,
        table::grouped(at.step),
        ready.dir.last().display()
    ));
    let resume = resume_command(ready);
    out.note(&format!("go on with: {resume}"));
    let event = json!({ "ending": "interrupted", "epoch": at.epoch, "step": at.step, "run": ready.dir.path(), "resume": resume });
    // Where stdout is gone, stderr has said it.
    let _ = out.event("end", members(event));
}

/// Shows what was reached: the metrics of the best and the last evaluation, examples, and what is where.
fn conclude(mut ready: Ready, outcome: &Outcome, out: &Output) -> Result<(), CliError> {
    let reached = &outcome.progress;
    let epoch_of = |r: &Record| r.get("epoch").and_then(Value::as_u64);
    let best_epoch = reached.best.as_ref().map(|b| u64::from(b.epoch));
    let best = outcome.evaluations.iter().find(|r| best_epoch.is_some() && epoch_of(r) == best_epoch);
    out.say(&match outcome.ending {
        Ending::Patience => format!("\nstopped after {} epochs: no better one for a while", reached.epoch),
        _ => format!("\ntrained {} epochs", reached.epoch),
    })?;
    if let (Some(best), Some(last)) = (best, outcome.evaluations.last()) {
        show_quality(&ready, best, last, out)?;
        let path = ready.dir.best();
        if path.is_file() {
            Checkpoint::load(&path)?.restore(&path, ready.model.as_mut())?;
        }
    }
    show_examples(&mut ready, out)?;
    let run = shown(&ready.dir);
    let mut text =
        format!("\nrun folder {run}: best.safetensors, last.safetensors, metrics.jsonl, learning_curve.svg");
    if ready.quick {
        text += "\nThis was a trial (--quick): its figures are no measure of the system.";
    }
    text += &format!("\n  all metrics      latentc eval {run}");
    text += &format!("\n  recommendations  latentc recommend --run {run} --user 0 --top 20");
    text += &format!("\n  train longer     {} --epochs {}", resume_command(&ready), 2 * reached.epoch.max(1));
    out.say(&text)?;
    let ending = if outcome.ending == Ending::Patience { "patience" } else { "epochs" };
    let event = json!({
        "ending": ending, "epoch": reached.epoch, "step": reached.step, "run": ready.dir.path(),
        "best": best, "last": outcome.evaluations.last(),
    });
    out.event("end", members(event))?;
    Ok(())
}

fn show_quality(ready: &Ready, best: &Record, last: &Record, out: &Output) -> Result<(), CliError> {
    let epoch = |r: &Record| r.get("epoch").and_then(Value::as_u64).unwrap_or(0);
    let mut sources = vec![
        (format!("best (epoch {})", epoch(best)), best.clone()),
        (format!("last (epoch {})", epoch(last)), last.clone()),
    ];
    let published = ready.system.published(&ready.data);
    sources.extend(published.map(|p| ("published".to_string(), of_published(p))));
    out.say(&quality(&ready.ks, &sources))?;
    if let Some(p) = published {
        out.say(&format!("published: {}", p.source))?;
    }
    Ok(())
}

/// Recommendations for the first few users that have something held out.
fn show_examples(ready: &mut Ready, out: &Output) -> Result<(), CliError> {
    let users: Vec<i32> = ready.data.test_users().into_iter().take(EXAMPLE_USERS).collect();
    let names = Names::open(&ready.source, ready.data.items)?;
    out.say("\nexample recommendations (* is a held-out item of the user)")?;
    let top = EXAMPLE_TOP.min(ready.data.items);
    recommend(ready.system, ready.model.as_mut(), &ready.data, &names, &users, top, out)
}
