//! The backend suite of the onnx package: models with inputs and the outputs that others computed for them.
//!
//! [`suite::fetch`] brings the cases, [`case::run`] runs one, [`run_all`] runs them all; the list `skip.toml`
//! says which are known to fail, and why.

pub mod case;
pub mod suite;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How a case ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Every output is as expected.
    Passed,
    /// The model uses something that there is nothing for, and the import said so.
    Unsupported(String),
    /// Anything else.
    Failed(String),
    /// A panic, which no model may cause.
    Panicked(String),
    /// It did not end in time.
    Hung,
}

/// A case that takes longer counts as one that hangs.
pub const LONGEST: Duration = Duration::from_secs(120);

/// The cases that are known to fail, with the reason of each.
///
/// # Errors
/// Where the file is not a table of reasons.
pub fn skip_list(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Runs cases on so many threads of this process, and gives how each ended and how long it took.
///
/// A case that hangs keeps its thread; the others go on without it.
pub fn run_all(cases: &[PathBuf], threads: usize, device: case::On) -> BTreeMap<String, (Outcome, Duration)> {
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<String, (Outcome, Duration)>> = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = cases.get(at) else { return };
            let start = Instant::now();
            let outcome = guarded(path, device);
            let mut done = done.lock().unwrap_or_else(|e| e.into_inner());
            done.insert(case::name(path), (outcome, start.elapsed()));
        }
    };
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|s| {
        for _ in 0..threads.max(1) {
            s.spawn(work);
        }
    });
    std::panic::set_hook(quiet);
    done.into_inner().unwrap_or_else(|e| e.into_inner())
}

/// Runs a case in a thread of its own, so that a panic and a hang are outcomes.
fn guarded(path: &Path, device: case::On) -> Outcome {
    let (send, receive) = std::sync::mpsc::channel();
    let path = path.to_owned();
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(move || {
        let outcome = match catch_unwind(AssertUnwindSafe(|| case::run(&path, device))) {
            Ok(outcome) => outcome,
            Err(payload) => {
                let text = payload.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic");
                Outcome::Panicked(text.to_owned())
            }
        };
        // Nobody listens any more where it took too long.
        let _ = send.send(outcome);
    });
    match thread {
        Ok(_) => receive.recv_timeout(LONGEST).unwrap_or(Outcome::Hung),
        Err(e) => Outcome::Failed(format!("no thread: {e}")),
    }
}
