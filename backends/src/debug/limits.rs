//! What a launch takes at the least, and which resource decides that.

use crate::profile::Peaks;
use latentc_ir::explain::Launch;
use serde::Serialize;
use std::fmt;

/// What a machine can do at most.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Bytes a second between memory and all threads together.
    pub bytes_per_second: f64,
    /// Arithmetic operations a second of all threads together.
    pub operations_per_second: f64,
    /// Seconds that a launch takes if it does nothing.
    pub launch_seconds: f64,
    /// Bytes of the second cache: what fits does not come from memory again.
    pub cache: u64,
    /// Threads.
    pub threads: usize,
    /// Where the figures come from.
    pub origin: String,
}

/// The resource that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// Memory, every buffer once.
    Memory,
    /// Memory, by rows that are read at positions which data decide.
    Scattered,
    /// Arithmetic.
    Arithmetic,
    /// It is over before anything counts.
    Launch,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::Memory => "memory",
            Limit::Scattered => "scattered rows",
            Limit::Arithmetic => "arithmetic",
            Limit::Launch => "launch",
        })
    }
}

/// What a launch takes at the least.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Seconds.
    pub seconds: f64,
    /// The resource that decides.
    pub limit: Limit,
    /// Bytes that come from memory: of a table that no cache holds, every row as often as it is read.
    pub traffic: u64,
    /// Arithmetic operations a byte of it.
    pub intensity: f64,
}

impl Limits {
    /// Limits that were stated, by GB/s and by 10^9 operations a second.
    pub fn stated(gigabytes: f64, gigaoperations: f64, threads: usize, cache: u64) -> Limits {
        Limits {
            bytes_per_second: gigabytes * 1e9,
            operations_per_second: gigaoperations * 1e9,
            launch_seconds: 1e-6,
            cache,
            threads,
            origin: "stated".to_owned(),
        }
    }

    /// Limits of this machine: the bandwidth of copying arrays that no cache holds, measured; arithmetic as lanes,
    /// two units and a fused multiply-add give it at the clock that the system says.
    pub fn of_machine(isa: &crate::cpu::Isa, threads: usize) -> Limits {
        let threads = threads.max(1);
        let clock = clock();
        let fused = if isa.fma { 2.0 } else { 1.0 };
        let each = f64::from(isa.lanes) * 2.0 * fused * clock.unwrap_or(2.5e9);
        let said =
            clock.map_or("2.5 GHz, as the system does not say".to_owned(), |c| format!("{:.1} GHz", c / 1e9));
        Limits {
            bytes_per_second: copy_bandwidth(threads),
            operations_per_second: each * threads as f64,
            launch_seconds: 1e-6,
            cache: isa.l2 as u64,
            threads,
            origin: format!("bandwidth measured by copying; arithmetic of two f32 vector units at {said}"),
        }
    }

    /// Limits that were measured with kernels of our own.
    pub fn measured(peaks: &Peaks, cache: u64) -> Limits {
        Limits {
            bytes_per_second: peaks.copy,
            operations_per_second: peaks.f32,
            launch_seconds: 1e-6,
            cache,
            threads: peaks.threads,
            origin: "measured: copying memory, multiplying and adding f32 in registers".to_owned(),
        }
    }

    /// What a launch takes at the least on this machine, all the times that it runs.
    pub fn estimate(&self, launch: &Launch) -> Estimate {
        let extra: u64 = launch
            .buffers
            .iter()
            .filter(|b| b.reads && b.bytes > self.cache)
            .map(|b| b.scattered.saturating_sub(b.bytes))
            .sum();
        let traffic = launch.bytes.saturating_add(extra);
        let memory = traffic as f64 / self.bytes_per_second;
        let arithmetic = launch.operations as f64 / self.operations_per_second;
        let seconds = memory.max(arithmetic).max(self.launch_seconds);
        let limit = match () {
            () if seconds <= self.launch_seconds => Limit::Launch,
            () if arithmetic > memory => Limit::Arithmetic,
            () if extra > launch.bytes => Limit::Scattered,
            () => Limit::Memory,
        };
        let seconds = seconds * launch.times as f64;
        Estimate { seconds, limit, traffic, intensity: launch.operations as f64 / traffic.max(1) as f64 }
    }
}

/// The clock of the first processor, in Hz, where the system says it.
fn clock() -> Option<f64> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|l| l.starts_with("cpu MHz"))?;
    line.split_once(':')?.1.trim().parse::<f64>().ok().filter(|mhz| *mhz > 100.0).map(|mhz| mhz * 1e6)
}

/// Bytes a second, read and written, of copying 32 MiB a thread: the best of four.
fn copy_bandwidth(threads: usize) -> f64 {
    const BYTES: usize = 32 << 20;
    let threads = threads.min(64);
    let mut arrays: Vec<(Vec<u8>, Vec<u8>)> =
        (0..threads).map(|_| (vec![1; BYTES], vec![0; BYTES])).collect();
    let mut best = f64::MAX;
    for _ in 0..4 {
        let start = std::time::Instant::now();
        std::thread::scope(|s| {
            for (from, to) in &mut arrays {
                s.spawn(|| to.copy_from_slice(std::hint::black_box(from)));
            }
        });
        best = best.min(start.elapsed().as_secs_f64());
    }
    (2 * BYTES * threads) as f64 / best
}

#[cfg(test)]
mod tests {
    use super::*;
    use latentc_ir::explain::Access;

    #[test]
    fn the_scarcest_resource_decides() {
        let limits = Limits::stated(10.0, 100.0, 1, 1 << 20);
        let launch = |bytes: u64, operations: u64, scattered: u64| {
            let name = "x".to_owned();
            let buffers = vec![Access { buffer: 0, name, bytes, reads: true, writes: false, scattered }];
            limits.estimate(&Launch { kernel: 0, region: None, times: 1, bytes, operations, buffers })
        };
        let e = launch(10_000_000_000, 1000, 0);
        assert_eq!((e.seconds, e.limit), (1.0, Limit::Memory));
        let e = launch(1000, 50_000_000_000, 0);
        assert_eq!((e.seconds, e.limit, e.intensity), (0.5, Limit::Arithmetic, 5e7));
        let e = launch(2_000_000, 1000, 10_000_000);
        assert_eq!((e.traffic, e.limit), (10_000_000, Limit::Scattered));
        // What a cache holds is read once.
        assert_eq!(launch(1000, 1000, 10_000_000).limit, Limit::Launch);
    }
}
