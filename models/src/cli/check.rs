//! `latentc check`: the compiler on random programs, against the interpreter.

use super::output::{Output, members};
use super::table::{columns, grouped};
use super::{CliError, Status};
use crate::check::parsers::{Broken, Tried, hunt_parsers};
use crate::check::{Found, KINDS, Limits, Summary, hunt, replay, text_of};
use crate::common::run::save;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Try the compiler on random programs: native code, the interpreter of plans and the interpreter of graphs must agree.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Programs are made of every op on every type, at sizes of none, one, primes and the widths of vectors and their neighbours,
with broadcasts, sparse patterns, gradients, optimizers, and values that are kept from run to run. Of each is asked: its
text reads back; native code and an interpreted plan, optimised and not, give what the interpreter gives; two and three
threads give the same bits as one. NaN is to be where the interpreter has it and nowhere else, infinities are equal; the
bits of NaN and the sign of zero are free, but for the number of threads, which changes no bit.

What does not agree is shrunk and written to a file, which --replay runs again; the exit code is 1.

Examples:
  latentc check --cases 5000 --seed 7           five thousand programs
  latentc check --seconds 60 --threads 4        as many as a minute allows, four at a time
  latentc check --replay check-7-123.ir         a program that did not agree, again
  latentc check --parsers --seconds 60          every reader of files on damaged ones")]
pub struct Args {
    /// How many programs.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    cases: u64,
    /// What they follow from: the same seed, the same programs.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// The number of the first program.
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// End after so many seconds, whatever was reached.
    #[arg(long, value_name = "T")]
    seconds: Option<f64>,
    /// How many programs are tried at the same time; 0 for one a processor.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// The folder for the file of a program that does not agree.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Run the program of such a file again, and nothing else.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Give damaged files to every reader of files instead: an error or a value, never a panic, a read outside of a
    /// model's folder, or memory for what a file only claims.
    #[arg(long, conflicts_with = "replay")]
    parsers: bool,
    /// Print JSON objects.
    #[arg(long)]
    pub json: bool,
}

/// Cases from which on every op, type and circumstance must have occurred.
const ENOUGH: u64 = 3000;

const BAR: &str = "{prefix} [{bar:24}] {pos}/{len}  {wide_msg}";

/// Checks.
pub fn run(args: &Args, out: &Output) -> Result<Status, CliError> {
    if let Some(path) = &args.replay {
        let unreadable = |e: std::io::Error| CliError::ProgramFile {
            path: path.clone(),
            what: format!("cannot be read ({e})"),
        };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        replay(&path.display().to_string(), &text)?;
        out.event("replay", members(json!({ "file": path, "agrees": true })))?;
        out.say(&format!("{}: agrees", path.display()))?;
        return Ok(Status::Done);
    }
    let threads = match args.threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
        n => n,
    };
    let time = args.seconds.filter(|s| s.is_finite() && *s >= 0.0).map(Duration::from_secs_f64);
    let limits = Limits { seed: args.seed, first: args.first, cases: args.cases, time, threads };
    let stop = Arc::new(AtomicBool::new(false));
    let bar = ProgressBar::with_draw_target(Some(args.cases), ProgressDrawTarget::stderr());
    let signal = signal_hook::flag::register(signal_hook::consts::SIGINT, stop.clone());
    signal.map_err(CliError::Signals)?;
    if let Ok(style) = ProgressStyle::with_template(BAR) {
        bar.set_style(style.progress_chars("=> "));
    }
    if args.parsers {
        return parsers(args, out, limits, &stop, &bar);
    }
    bar.set_prefix("programs");
    let began = Instant::now();
    // A panic is an outcome like any other, told once at the end.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let summary = hunt(limits, &stop, &mut |done| {
        bar.set_position(done);
        bar.set_message(format!("{:.1} a second", done as f64 / began.elapsed().as_secs_f64().max(1e-9)));
    });
    let file = summary.found.as_ref().map(|found| (text_of(found, args.seed), found));
    std::panic::set_hook(usual);
    bar.finish_and_clear();
    report(args, out, &summary, began.elapsed())?;
    if let Some(((text, drawn), found)) = file {
        return Err(told(args, out, found, &text, drawn)?);
    }
    let missing = summary.coverage.missing();
    if summary.done >= ENOUGH && !missing.is_empty() {
        return Err(CliError::Uncovered { missing: missing.join(", ") });
    }
    Ok(if stop.load(Ordering::Relaxed) { Status::Interrupted } else { Status::Done })
}

/// Gives damaged files to the readers.
fn parsers(
    args: &Args,
    out: &Output,
    limits: Limits,
    stop: &AtomicBool,
    bar: &ProgressBar,
) -> Result<Status, CliError> {
    let unwritable = |source| CliError::Write { path: std::env::temp_dir(), source };
    let folder = tempfile::tempdir().map_err(unwritable)?;
    bar.set_prefix("damaged files of each kind");
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let cases = (limits.first, limits.cases);
    let tried =
        hunt_parsers(limits.seed, cases, limits.time, folder.path(), stop, &mut |n| bar.set_position(n));
    std::panic::set_hook(usual);
    bar.finish_and_clear();
    let (tried, broken) = tried.map_err(unwritable)?;
    for t in &tried {
        let event = json!({ "reader": t.target, "files": t.files, "taken": t.taken, "most_bytes": t.most });
        out.event("reader", members(event))?;
    }
    let head = ["READER", "FILES", "TAKEN", "MOST BYTES"].map(str::to_owned).to_vec();
    let row = |t: &Tried| vec![t.target.to_owned(), grouped(t.files), grouped(t.taken), grouped(t.most)];
    out.say(&columns(&std::iter::once(head).chain(tried.iter().map(row)).collect::<Vec<_>>(), 1))?;
    let Some(Broken { target, case, what, bytes }) = broken else {
        return Ok(if stop.load(Ordering::Relaxed) { Status::Interrupted } else { Status::Done });
    };
    let path = args.out.join(format!("check-parsers-{}-{case}.bin", args.seed));
    save(&path, &bytes)?;
    let again = format!("latentc check --parsers --seed {} --first {case} --cases 1", args.seed);
    Err(CliError::Disagree { case, kind: target, failure: what, path, again })
}

fn report(args: &Args, out: &Output, summary: &Summary, took: Duration) -> Result<(), CliError> {
    let seconds = took.as_secs_f64();
    let rate = summary.done as f64 / seconds.max(1e-9);
    let nodes: Vec<_> =
        summary.coverage.nodes.iter().map(|((op, dtype), n)| json!([op, dtype.name(), n])).collect();
    let circumstances: serde_json::Map<_, _> =
        summary.coverage.circumstances().map(|(what, n)| (what.to_owned(), n.into())).collect();
    out.event(
        "check",
        members(json!({
            "seed": args.seed, "first": args.first, "cases": summary.done, "seconds": seconds, "rate": rate,
            "agree": summary.found.is_none(), "nodes": nodes, "circumstances": circumstances,
            "missing": summary.coverage.missing(),
        })),
    )?;
    out.say(&summary.coverage.to_string())?;
    let missing = summary.coverage.missing();
    if !missing.is_empty() {
        out.say(&format!("did not occur: {}", missing.join(", ")))?;
    }
    let kinds = KINDS.iter().map(|k| k.name).collect::<Vec<_>>().join(", ");
    out.say(&format!(
        "{} programs ({kinds}) of seed {} from {} on, {rate:.1} a second",
        grouped(summary.done),
        args.seed,
        args.first
    ))?;
    Ok(())
}

/// Writes the file of a program that does not agree, and says so.
fn told(args: &Args, out: &Output, found: &Found, text: &str, drawn: bool) -> Result<CliError, CliError> {
    let path = args.out.join(format!("check-{}-{}.ir", args.seed, found.case));
    save(&path, text.as_bytes())?;
    out.event(
        "disagreement",
        members(json!({
            "case": found.case, "kind": found.kind, "failure": found.failure, "file": path, "replays": drawn,
        })),
    )?;
    let again = match drawn {
        true => format!("latentc check --replay {}", path.display()),
        false => format!("latentc check --seed {} --first {} --cases 1", args.seed, found.case),
    };
    let (case, kind, failure) = (found.case, found.kind, found.failure.clone());
    Ok(CliError::Disagree { case, kind, failure, path, again })
}
