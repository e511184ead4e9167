//! `latentc bench`: timings as records that can be set beside other frameworks'.

use super::{CliError, Output, Status, table};
use crate::common::run::{ModelError, RunDirError, save};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Time workloads; the records can be set beside those of other frameworks.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  latentc bench                                     the workloads there are
  latentc bench --workload all --threads 1
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
}

/// What a workload is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads; 0 for one a core.
    pub threads: usize,
}

/// A record of one workload, by name of the member: at least `peer`, `workload`, `threads` and `time_s`.
pub type Record = Map<String, Value>;

/// A workload.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// What it computes, in one line.
    pub about: &'static str,
    /// Measures it.
    pub run: fn(&Options) -> Result<Record, ModelError>,
}

/// All workloads.
pub const WORKLOADS: &[Workload] = &[];

/// Times the workloads asked for.
pub fn run(args: &Args, out: &Output) -> Result<Status, CliError> {
    if args.workload.is_empty() {
        let rows: Vec<Vec<String>> =
            WORKLOADS.iter().map(|w| vec![w.name.to_string(), w.about.to_string()]).collect();
        out.say(&table::columns(&rows, 2))?;
        return Ok(Status::Done);
    }
    let options = Options { threads: args.threads };
    for workload in chosen(&args.workload)? {
        let record =
            (workload.run)(&options).map_err(|source| CliError::Bench { workload: workload.name, source })?;
        let time = record.get("time_s").and_then(Value::as_f64).unwrap_or(f64::NAN);
        out.say(&format!("{:<32} {:>12.3} ms", workload.name, time * 1e3))?;
        if let Some(path) = &args.json {
            keep(path, record)?;
        }
    }
    Ok(Status::Done)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Workload>, CliError> {
    if names.iter().any(|n| n == "all") {
        return Ok(WORKLOADS.iter().collect());
    }
    let find = |name: &String| {
        WORKLOADS.iter().find(|w| w.name == name.as_str()).ok_or_else(|| CliError::NoWorkload {
            name: name.clone(),
            valid: WORKLOADS.iter().map(|w| w.name).collect::<Vec<_>>().join(", "),
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
    use serde_json::json;

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
