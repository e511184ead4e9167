//! The readers of files on damaged ones: an error or a value, never a panic, a read outside, or memory for what a file
//! only claims.

mod damage;
mod seeds;
mod targets;

pub use damage::damage;
pub use targets::{TARGETS, Target};

use super::memory::most_of;
use latentc::philox::Stream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What was tried on one reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The reader.
    pub target: &'static str,
    /// Damaged files.
    pub files: u64,
    /// Those of them that it took.
    pub taken: u64,
    /// The most memory that a file took, in bytes.
    pub most: usize,
}

/// A file that a reader does not stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The reader.
    pub target: &'static str,
    /// The number of the file.
    pub case: u64,
    /// What happened.
    pub what: String,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Gives every reader damaged files, `cases` each from number `first` on, until one does not stand a file, the time is
/// up or `stop` is raised. `folder` is empty and ours; the file that is being read is in it as `running`, for where it
/// ends the process.
pub fn hunt_parsers(
    seed: u64,
    (first, cases): (u64, u64),
    time: Option<Duration>,
    folder: &Path,
    stop: &AtomicBool,
    progress: super::Progress<'_>,
) -> std::io::Result<(Vec<Tried>, Option<Broken>)> {
    let mut all: Vec<Tried> =
        TARGETS.iter().map(|t| Tried { target: t.name, files: 0, taken: 0, most: 0 }).collect();
    let mut seeds = vec![];
    for target in TARGETS {
        seeds.push((target.seeds)(folder)?);
    }
    let began = Instant::now();
    let mut done = 0;
    for case in first..first.saturating_add(cases) {
        for ((target, seeds), tried) in TARGETS.iter().zip(&seeds).zip(&mut all) {
            if stop.load(Ordering::Relaxed) || time.is_some_and(|t| began.elapsed() >= t) {
                return Ok((all, None));
            }
            let bytes = damaged(target, seeds, seed, case);
            std::fs::write(folder.join("running"), [target.name.as_bytes(), b"\n", &bytes].concat())?;
            tried.files += 1;
            match stands(target, &bytes, folder) {
                Ok((taken, most)) => {
                    tried.taken += u64::from(taken);
                    tried.most = tried.most.max(most);
                }
                Err(what) => {
                    return Ok((all, Some(Broken { target: target.name, case, what, bytes })));
                }
            }
        }
        done += 1;
        if done % 16 == 0 {
            progress(done);
        }
    }
    Ok((all, None))
}

/// The damaged file of a number.
fn damaged(target: &Target, seeds: &[Vec<u8>], seed: u64, case: u64) -> Vec<u8> {
    let name = target.name.bytes().fold(0u32, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
    let mut random = Stream::new(seed, name, case as u32);
    let file = &seeds[random.below(seeds.len() as u32) as usize];
    (target.seal)(damage(file, target.text, &mut random))
}

/// What a file of a few thousand bytes may take, on a machine that has other work to do, too.
const LONGEST: Duration = Duration::from_secs(20);

/// Whether a reader takes a file, and the memory that it took for it.
///
/// # Errors
/// Where it panics, takes too much memory or time, or gives what it should not.
pub fn stands(target: &Target, bytes: &[u8], folder: &Path) -> Result<(bool, usize), String> {
    let began = Instant::now();
    let read = || catch_unwind(AssertUnwindSafe(|| (target.read)(bytes, folder)));
    let (outcome, most) = most_of(read);
    let taken = outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        format!("a panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without words"))
    })??;
    if began.elapsed() > LONGEST {
        return Err(format!("it took {:?} for a file of {} bytes", began.elapsed(), bytes.len()));
    }
    if most > target.memory {
        return Err(format!("it took {most} bytes of memory for a file of {} bytes", bytes.len()));
    }
    Ok((taken, most))
}
