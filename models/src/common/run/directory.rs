//! The folder of a run: `config.toml` as used, `log.jsonl` (one object an epoch, and one a save between
//! epochs, the only one with `batch`), `metrics.jsonl` (one object an evaluation), `learning_curve.svg`, and the checkpoints `best.safetensors` and `last.safetensors`.

use super::atomic::{SaveError, save};
use serde_json::{Map, Value};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A record of a log: metrics and counters by name.
pub type Record = Map<String, Value>;

/// The folder of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

/// Why the folder of a run cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// Not created.
    #[error("{}: cannot be created ({source}); use another --out", path.display())]
    Create {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A run is there already.
    #[error("{}: holds a run already; continue it with --resume, or give another --out", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// No run to continue.
    #[error("{}: no run to resume there ({what}); start one without --resume", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
    /// A log that cannot be read or extended.
    #[error("{}: the log cannot be read or written ({source}); free space or fix permissions, then go on with --resume", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that was not saved.
    #[error(transparent)]
    Save(#[from] SaveError),
}

impl RunDir {
    /// A new folder for a run: `out`, or the first `runs/<system>-<n>` that does not exist.
    pub fn create(system: &str, out: Option<&Path>) -> Result<RunDir, RunDirError> {
        RunDir::create_in(Path::new("runs"), system, out)
    }

    fn create_in(runs: &Path, system: &str, out: Option<&Path>) -> Result<RunDir, RunDirError> {
        let failed = |path: &Path, source| RunDirError::Create { path: path.to_path_buf(), source };
        if let Some(path) = out {
            fs::create_dir_all(path).map_err(|e| failed(path, e))?;
            let dir = RunDir { path: path.to_path_buf() };
            // A configuration alone is what a run leaves that could not begin.
            if [dir.last(), dir.best(), dir.log(), dir.metrics()].iter().any(|file| file.exists()) {
                return Err(RunDirError::Occupied { path: dir.path });
            }
            return Ok(dir);
        }
        fs::create_dir_all(runs).map_err(|e| failed(runs, e))?;
        let mut n = 1;
        loop {
            let path = runs.join(format!("{system}-{n}"));
            // Creation is the test, so that two runs started together get two folders.
            match fs::create_dir(&path) {
                Ok(()) => return Ok(RunDir { path }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => n += 1,
                Err(e) => return Err(failed(&path, e)),
            }
        }
    }

    /// The folder of a run to continue: `out`, or the newest `runs/<system>-<n>`.
    pub fn open(system: &str, out: Option<&Path>) -> Result<RunDir, RunDirError> {
        RunDir::open_in(Path::new("runs"), system, out)
    }

    fn open_in(runs: &Path, system: &str, out: Option<&Path>) -> Result<RunDir, RunDirError> {
        let none = |path: &Path, what: String| RunDirError::NoRun { path: path.to_path_buf(), what };
        let dir = match out {
            Some(path) => RunDir { path: path.to_path_buf() },
            None => {
                let number = |entry: fs::DirEntry| -> Option<u64> {
                    entry.file_name().to_str()?.strip_prefix(system)?.strip_prefix('-')?.parse().ok()
                };
                let newest = fs::read_dir(runs)
                    .ok()
                    .and_then(|entries| entries.flatten().filter_map(number).max())
                    .ok_or_else(|| none(runs, format!("no folder {system}-<n>")))?;
                RunDir { path: runs.join(format!("{system}-{newest}")) }
            }
        };
        if !dir.last().exists() {
            return Err(none(&dir.path, "no last.safetensors".into()));
        }
        Ok(dir)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration as used.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The checkpoint of the best evaluation.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// The newest checkpoint.
    pub fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    /// The log of epochs.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    /// The log of evaluations.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The picture of the run.
    pub fn curve(&self) -> PathBuf {
        self.path.join("learning_curve.svg")
    }

    /// Writes the configuration, with a line that says what it is of.
    pub fn write_config(&self, system: &str, data: &str, config: &str) -> Result<(), RunDirError> {
        let data = data.replace(['\n', '\r'], " ");
        let version = env!("CARGO_PKG_VERSION");
        let text = format!("# latentc {version}, system {system}, data {data}\n{config}");
        Ok(save(&self.config(), text.as_bytes())?)
    }
}

/// Adds a record to a log, as one line.
pub fn append(path: &Path, record: &Record) -> Result<(), RunDirError> {
    let mut line = Value::Object(record.clone()).to_string();
    line.push('\n');
    let write = || OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes());
    write().map_err(|source| RunDirError::Log { path: path.to_path_buf(), source })
}

/// The records of a log whose `epoch` is at most `epoch`. The others, and a last line that a killed run left
/// unfinished, are removed from the file: a resumed run makes them again.
pub fn rewind(path: &Path, epoch: u32) -> Result<Vec<Record>, RunDirError> {
    let text = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(RunDirError::Log { path: path.to_path_buf(), source }),
    };
    let kept: Vec<Record> = text
        .split(|&b| b == b'\n')
        .filter_map(|line| serde_json::from_slice::<Record>(line).ok())
        .filter(|r| r.get("epoch").and_then(Value::as_u64).is_some_and(|e| e <= u64::from(epoch)))
        .collect();
    let lines: String = kept.iter().map(|r| Value::Object(r.clone()).to_string() + "\n").collect();
    if lines.as_bytes() != text {
        save(path, lines.as_bytes())?;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u32) -> Record {
        Record::from_iter([("epoch".to_string(), epoch.into()), ("loss".to_string(), 0.1.into())])
    }

    #[test]
    fn folders_are_numbered_and_never_reused() {
        let tmp = tempfile::tempdir().unwrap();
        let runs = tmp.path().join("runs");
        let first = RunDir::create_in(&runs, "mf", None).unwrap();
        let second = RunDir::create_in(&runs, "mf", None).unwrap();
        assert!(first.path().ends_with("mf-1") && second.path().ends_with("mf-2"));
        assert!(RunDir::create_in(&runs, "ngcf", None).unwrap().path().ends_with("ngcf-1"));
        let e = RunDir::open_in(&runs, "mf", None).unwrap_err().to_string();
        assert!(e.contains("no last.safetensors"), "{e}");
        fs::write(second.last(), b"x").unwrap();
        assert_eq!(RunDir::open_in(&runs, "mf", None).unwrap(), second);
        assert!(RunDir::open_in(&runs, "light", None).is_err());
        let e = RunDir::create_in(&runs, "mf", Some(second.path())).unwrap_err().to_string();
        assert!(e.contains("--resume"), "{e}");
    }

    #[test]
    fn a_log_is_rewound_to_a_checkpoint() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("log.jsonl");
        assert!(rewind(&path, 5).unwrap().is_empty());
        for epoch in 1..=4 {
            append(&path, &record(epoch)).unwrap();
        }
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"epoch\":2,\"lo").unwrap();
        assert_eq!(rewind(&path, 3).unwrap(), [record(1), record(2), record(3)]);
        append(&path, &record(4)).unwrap();
        assert_eq!(rewind(&path, 9).unwrap().len(), 4);
    }

    #[test]
    fn the_configuration_is_named() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = RunDir::create("mf", Some(tmp.path())).unwrap();
        dir.write_config("mf", "a\nb", "dim = 2\n").unwrap();
        let text = fs::read_to_string(dir.config()).unwrap();
        assert!(text.starts_with("# latentc ") && text.ends_with("system mf, data a b\ndim = 2\n"), "{text}");
    }
}
