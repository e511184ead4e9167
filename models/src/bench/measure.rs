//! How a workload is timed.

use crate::common::run::ModelError;
use std::time::{Duration, Instant};

/// The timing of a workload, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// The headline: for one thread the median CPU time, which does not count the time in which the system
    /// ran something else; for more the least wall time.
    pub time: f64,
    /// Median wall time.
    pub wall_median: f64,
    /// Least wall time.
    pub wall_min: f64,
    /// Median CPU time.
    pub cpu_median: f64,
    /// Least CPU time.
    pub cpu_min: f64,
    /// The first iteration, wall time.
    pub first: f64,
    /// Iterations measured.
    pub runs: usize,
}

/// CPU time of this process so far, all its threads.
fn cpu_time() -> Duration {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every supported system and `t` is ours to be written.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// Least number of iterations, and the most.
const RUNS: (usize, usize) = (5, 50);
/// CPU seconds after which no further iteration is begun.
const BUDGET: f64 = 0.8;

/// Runs a workload often enough for a median: at least 5 times, and until 0.8 s of CPU time are spent.
pub fn measure(
    mut run: impl FnMut() -> Result<(), ModelError>,
    threads: usize,
) -> Result<Timing, ModelError> {
    let start = Instant::now();
    run()?;
    let first = start.elapsed().as_secs_f64();
    for _ in 0..3 {
        run()?;
    }
    let (budget, most) = if threads == 1 { (BUDGET, RUNS.1) } else { (BUDGET * 2.0, RUNS.1 * 3) };
    let (mut wall, mut cpu) = (vec![], vec![]);
    while wall.len() < RUNS.0 || (cpu.iter().sum::<f64>() < budget && wall.len() < most) {
        let (w, c) = (Instant::now(), cpu_time());
        run()?;
        wall.push(w.elapsed().as_secs_f64());
        cpu.push((cpu_time() - c).as_secs_f64());
    }
    let runs = wall.len();
    wall.sort_by(f64::total_cmp);
    cpu.sort_by(f64::total_cmp);
    let time = if threads == 1 { cpu[runs / 2] } else { wall[0] };
    Ok(Timing {
        time,
        wall_median: wall[runs / 2],
        wall_min: wall[0],
        cpu_median: cpu[runs / 2],
        cpu_min: cpu[0],
        first,
        runs,
    })
}
