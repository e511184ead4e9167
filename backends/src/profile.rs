//! Where the time of a session's runs went, against what the machine can do.

use crate::report::{LaunchTime, Report};
use crate::trace::{op_names, places};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// What a machine can do at most, as measured with kernels of our own; see [`crate::cpu::peaks`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Peaks {
    /// Threads that it was measured with.
    pub threads: usize,
    /// Bytes a second: reading an array that no cache holds.
    pub read: f64,
    /// Bytes a second: writing such an array.
    pub write: f64,
    /// Bytes a second, read and written: copying such an array.
    pub copy: f64,
    /// Bytes a second: reading arrays that the second caches hold.
    pub cache: f64,
    /// Bytes that the second caches hold.
    pub cache_bytes: f64,
    /// Floating-point operations a second: multiplying and adding f32 in registers, two operations each.
    pub f32: f64,
    /// The same for f64.
    pub f64: f64,
}

/// What the launches of one kernel in one place of the plan came to.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileRow {
    /// The kernel.
    pub kernel: String,
    /// The ops that it computes.
    pub ops: String,
    /// Where they were written, as `file:line`.
    pub source: Vec<String>,
    /// How often it ran.
    pub calls: u64,
    /// Seconds, of all calls.
    pub time: f64,
    /// Part of the time of all launches.
    pub share: f64,
    /// Bytes that it had to move, of all calls.
    pub bytes: f64,
    /// Floating-point operations, of all calls.
    pub flops: f64,
    /// Part of the least time that the machine needs for these bytes and operations; nothing without peaks. Every
    /// array comes from memory once, or from the second caches where they hold all arrays of a launch; rows that are
    /// gathered again come from these caches; arithmetic is at the same time.
    pub of_limit: Option<f64>,
}

/// A table of where the time went: most first.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The program.
    pub program: String,
    /// Seconds in launches.
    pub time: f64,
    /// What they are measured against.
    pub peaks: Option<Peaks>,
    /// One for each launch of the plan that ran, by time.
    pub rows: Vec<ProfileRow>,
}

impl Profile {
    /// The table of a report; without rows where the session did not profile.
    pub fn new(report: &Report, peaks: Option<Peaks>) -> Profile {
        let time: Duration = report.profile.iter().map(|l| l.total).sum();
        let time = time.as_secs_f64();
        let mut rows: Vec<ProfileRow> =
            report.profile.iter().filter(|l| l.calls > 0).map(|l| row(l, time, peaks)).collect();
        rows.sort_by(|a, b| b.time.total_cmp(&a.time));
        Profile { program: report.program.clone(), time, peaks, rows }
    }

    /// The table as JSON.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|r| {
            json!({
                "kernel": r.kernel, "ops": r.ops, "source": r.source, "calls": r.calls, "seconds": r.time,
                "share": r.share, "bytes": r.bytes, "flops": r.flops, "gb_per_s": r.bandwidth() / 1e9,
                "gflop_per_s": r.rate() / 1e9, "of_limit": r.of_limit,
            })
        });
        json!({
            "program": self.program, "seconds": self.time,
            "peaks": self.peaks.map(|p| p.json()), "kernels": rows.collect::<Vec<Value>>(),
        })
    }
}

fn row(l: &LaunchTime, whole: f64, peaks: Option<Peaks>) -> ProfileRow {
    let time = l.total.as_secs_f64();
    let (bytes, flops) = (l.bytes as f64, l.flops as f64);
    let of_limit = peaks.map(|p| {
        let once = l.once as f64;
        let memory = p.read.max(p.copy).max(p.write);
        let first = if once <= p.cache_bytes * l.calls as f64 { p.cache.max(memory) } else { memory };
        let least = (once / first + (bytes - once).max(0.0) / p.cache.max(memory)).max(flops / p.f32);
        least / time.max(f64::MIN_POSITIVE)
    });
    ProfileRow {
        kernel: l.name.clone(),
        ops: op_names(&l.ops),
        source: places(&l.ops),
        calls: l.calls,
        time,
        share: time / whole.max(f64::MIN_POSITIVE),
        bytes,
        flops,
        of_limit: of_limit.filter(|x| x.is_finite()),
    }
}

impl ProfileRow {
    /// Bytes a second.
    pub fn bandwidth(&self) -> f64 {
        self.bytes / self.time.max(f64::MIN_POSITIVE)
    }

    /// Floating-point operations a second.
    pub fn rate(&self) -> f64 {
        self.flops / self.time.max(f64::MIN_POSITIVE)
    }
}

impl Peaks {
    /// The figures as JSON: bytes and operations a second.
    pub fn json(&self) -> Value {
        json!({
            "threads": self.threads, "read_bytes_per_s": self.read, "write_bytes_per_s": self.write,
            "copy_bytes_per_s": self.copy,
            "cache_bytes_per_s": self.cache, "cache_bytes": self.cache_bytes, "f32_flop_per_s": self.f32, "f64_flop_per_s": self.f64,
        })
    }
}

impl fmt::Display for Peaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads =
            if self.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", self.threads) };
        write!(
            f,
            "{threads}: read {:.1}, write {:.1}, copy {:.1}, second caches {:.1} GB/s; {:.1} GF/s f32, {:.1} f64",
            self.read / 1e9,
            self.write / 1e9,
            self.copy / 1e9,
            self.cache / 1e9,
            self.f32 / 1e9,
            self.f64 / 1e9
        )
    }
}

/// A list as far as there is room for it.
fn shortened(ops: &str) -> String {
    const ROOM: usize = 56;
    match ops.char_indices().nth(ROOM) {
        None => ops.to_owned(),
        Some((end, _)) => {
            let end = ops[..end].rfind(", ").unwrap_or(end);
            format!("{}, ..", &ops[..end])
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "`{}`: {:.3} s in kernels", self.program, self.time)?;
        if let Some(peaks) = &self.peaks {
            writeln!(f, "limit, {peaks}")?;
        }
        let width = self.rows.iter().map(|r| r.kernel.len()).max().unwrap_or(0).clamp(6, 40);
        writeln!(
            f,
            "{:<width$}  {:>8} {:>6} {:>11} {:>7} {:>7} {:>6}  ops, source",
            "kernel", "calls", "share", "time/call", "GB/s", "GF/s", "limit"
        )?;
        for r in &self.rows {
            let each = Duration::from_secs_f64(r.time / r.calls.max(1) as f64);
            let limit = r.of_limit.map_or_else(|| "-".to_owned(), |x| format!("{:.0}%", 100.0 * x));
            let kernel: String = r.kernel.chars().take(width).collect();
            write!(
                f,
                "{kernel:<width$}  {:>8} {:>5.1}% {:>11} {:>7.1} {:>7.1} {limit:>6}  {}",
                r.calls,
                100.0 * r.share,
                format!("{each:.1?}"),
                r.bandwidth() / 1e9,
                r.rate() / 1e9,
                shortened(&r.ops)
            )?;
            match r.source.as_slice() {
                [] => writeln!(f)?,
                [one] => writeln!(f, "  {one}")?,
                [first, rest @ ..] => writeln!(f, "  {first} and {} more", rest.len())?,
            }
        }
        Ok(())
    }
}
