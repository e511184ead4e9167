//! `latentc bench`: timings as records that can be set beside other frameworks'.

use super::profile::ProfileArgs;
use super::{CliError, Output, Status, table};
use crate::bench::{Prepared, Timing, Workload, measure, workloads};
use crate::common::run::{ModelError, RunDirError, save};
use latentc::{Options, Peaks, Session};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time workloads; the records can be set beside those of other frameworks.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  latentc bench                                     the workloads there are
  latentc bench --workload all --threads 1
  latentc bench --peaks                             what this machine can do at most: the limits of profiles
  latentc bench --workload NAME --profile t.json    where its time goes, against these limits
  latentc bench --workload NAME --json ours.json    records as a JSON list in a file; those already there
                                                    stay, except of the same workload and threads")]
pub struct Args {
    /// The workload to time, or `all`. May be given several times.
    #[arg(long, value_name = "NAME")]
    workload: Vec<String>,
    /// Threads; 0 for one a core.
    #[arg(long, default_value_t = 1, value_name = "N")]
    threads: usize,
    /// Keep the records in this file, a JSON list.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure what this machine can do with one thread and with all, by kernels of our own: memory read, written and
    /// copied, f32 and f64 multiplied and added, and the latency of an empty parallel launch. The limits are kept for
    /// profiles.
    #[arg(long)]
    peaks: bool,
    #[command(flatten)]
    profile: ProfileArgs,
}

/// A record of one workload, by name of the member: at least `peer`, `workload`, `threads` and `time_s`.
pub type Record = Map<String, Value>;

/// Prepares and times a workload.
fn record(
    workload: &Workload,
    threads: usize,
    profile: bool,
) -> Result<(Record, Timing, Session), ModelError> {
    let start = Instant::now();
    let options = Options { threads, profile, ..Options::default() };
    let Prepared { mut session, mut run } = (workload.prepare)(&options)?;
    let build = start.elapsed().as_secs_f64();
    let t = measure(|| run(&mut session), threads)?;
    let record = json!({
        "peer": "latentc",
        "workload": workload.name,
        "threads": threads,
        "time_s": t.time,
        "wall_median_s": t.wall_median,
        "wall_min_s": t.wall_min,
        "cpu_median_s": t.cpu_median,
        "cpu_min_s": t.cpu_min,
        "runs": t.runs,
        "build_s": build,
        "first_call_s": t.first,
        "flops": workload.flops,
        "bytes": workload.bytes,
        "arena_bytes": session.report().memory.arena,
    });
    Ok((super::output::members(record), t, session))
}

/// Rates of a workload at a time, for people.
fn rates(workload: &Workload, time: f64) -> String {
    let compute = format!("{:>7.1} GF/s", workload.flops / time * 1e-9);
    match workload.bytes > 0.0 {
        true => format!("{compute} {:>7.1} GB/s", workload.bytes / time * 1e-9),
        false => compute,
    }
}

/// Times the workloads asked for.
pub fn run(args: &Args, out: &Output) -> Result<Status, CliError> {
    if args.peaks {
        peaks(args.json.as_deref(), out)?;
    }
    if args.workload.is_empty() && !args.peaks {
        let rows: Vec<Vec<String>> =
            workloads().map(|w| vec![w.name.to_string(), w.about.to_string()]).collect();
        out.say(&table::columns(&rows, 2))?;
        return Ok(Status::Done);
    }
    let mut sessions = vec![];
    for workload in chosen(&args.workload)? {
        let (mut record, timing, session) = record(workload, args.threads, args.profile.is_on())
            .map_err(|source| CliError::Bench { workload: workload.name, source })?;
        let line =
            format!("{:<28} {:>10.3} ms {}", workload.name, timing.time * 1e3, rates(workload, timing.time));
        out.say(&line)?;
        if let Some(path) = &args.json {
            if args.profile.is_on() {
                let peaks = latentc::peaks::known(args.threads, &Options::default())?.peaks;
                let table = latentc::Profile::new(&session.report(), Some(peaks));
                record.insert("profile".to_owned(), table.json());
            }
            keep(path, record)?;
        }
        sessions.push(session);
    }
    if args.profile.is_on() {
        args.profile.finish(&sessions.iter().collect::<Vec<_>>(), out)?;
    }
    Ok(Status::Done)
}

/// Measures and shows the limits of this machine, with one thread and with one a processor.
fn peaks(json: Option<&Path>, out: &Output) -> Result<(), CliError> {
    let mut columns = vec![];
    for threads in [1, 0] {
        let found = latentc::peaks::renew(threads, &Options::default())?;
        found.notes.iter().for_each(|note| out.note(&format!("note: {note}")));
        let latency = latentc::peaks::launch_latency(threads)?;
        if let Some(path) = json {
            let mut record = super::output::members(json!({ "peer": "latentc", "workload": "peaks" }));
            record.extend(super::output::members(found.peaks.json()));
            record.insert("empty_launch_s".to_owned(), latency.as_secs_f64().into());
            keep(path, record)?;
        }
        let one = found.peaks.threads == 1;
        columns.push((found.peaks, latency));
        if threads == 0 && one {
            // One processor: the same again.
            columns.pop();
        }
    }
    let row = |name: &str, value: fn(&(Peaks, Duration)) -> String| {
        std::iter::once(name.to_owned()).chain(columns.iter().map(value)).collect::<Vec<String>>()
    };
    let rows = [
        row("threads", |(p, _)| p.threads.to_string()),
        row("memory read, GB/s", |(p, _)| format!("{:.1}", p.read / 1e9)),
        row("memory write, GB/s", |(p, _)| format!("{:.1}", p.write / 1e9)),
        row("memory copy, read and written, GB/s", |(p, _)| format!("{:.1}", p.copy / 1e9)),
        row("second caches read, GB/s", |(p, _)| format!("{:.1}", p.cache / 1e9)),
        row("multiply and add f32, GF/s", |(p, _)| format!("{:.1}", p.f32 / 1e9)),
        row("multiply and add f64, GF/s", |(p, _)| format!("{:.1}", p.f64 / 1e9)),
        row("empty parallel launch, us", |(_, latency)| format!("{:.2}", latency.as_secs_f64() * 1e6)),
    ];
    out.say(&table::columns(&rows, 1))?;
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Workload>, CliError> {
    if names.iter().any(|n| n == "all") {
        return Ok(workloads().collect());
    }
    let find = |name: &String| {
        workloads().find(|w| w.name == name.as_str()).ok_or_else(|| CliError::NoWorkload {
            name: name.clone(),
            valid: workloads().map(|w| w.name).collect::<Vec<_>>().join(", "),
        })
    };
    names.iter().map(find).collect()
}

/// Puts a record into a file of records, in place of one of the same peer, workload and threads.
fn keep(path: &Path, record: Record) -> Result<(), CliError> {
    let mut records: Vec<Record> = match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| CliError::Records {
            path: path.to_path_buf(),
            what: format!("not a list of records ({e})"),
        })?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => {
            return Err(CliError::Records {
                path: path.to_path_buf(),
                what: format!("cannot be read ({e})"),
            });
        }
    };
    let same = |r: &Record| ["peer", "workload", "threads"].iter().all(|k| r.get(*k) == record.get(*k));
    records.retain(|r| !same(r));
    records.push(record);
    let text = Value::from(records.into_iter().map(Value::Object).collect::<Vec<_>>()).to_string();
    Ok(save(path, text.as_bytes()).map_err(RunDirError::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_replaces_the_one_of_the_same_work() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json");
        let record = |name: &str, time: f64| {
            let value = json!({ "peer": "latentc", "workload": name, "threads": 1, "time_s": time });
            super::super::output::members(value)
        };
        for (name, time) in [("a", 1.0), ("b", 2.0), ("a", 3.0)] {
            keep(&path, record(name, time)).unwrap();
        }
        let kept: Vec<Record> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(kept, [record("b", 2.0), record("a", 3.0)]);
        std::fs::write(&path, "{}").unwrap();
        assert!(keep(&path, record("a", 1.0)).unwrap_err().to_string().contains("r.json: not a list"));
    }
}
