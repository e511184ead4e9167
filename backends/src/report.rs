//! What a session did and holds, for people and tools.

use crate::cache::CacheNote;
use latentc_ir::plan::OpAt;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What was compiled, what it took, what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The program.
    pub program: String,
    /// What runs it: `cpu x86-64-v4`, `interpreter`.
    pub device: String,
    /// Threads that run kernels.
    pub threads: usize,
    /// The kernels, each once, in the order of the plan; none for the interpreter.
    pub kernels: Vec<KernelReport>,
    /// Number of kernel launches in a run.
    pub launches: usize,
    /// What getting ready took.
    pub times: Times,
    /// Bytes held.
    pub memory: Memory,
    /// The folder of the disk cache, where it was used.
    pub cache: Option<PathBuf>,
    /// What was wrong with the disk cache; none of it changes what the program computes.
    pub notes: Vec<CacheNote>,
    /// Time by launch, in the order of the plan; empty unless profiling is on.
    pub profile: Vec<LaunchTime>,
}

/// One compiled kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelReport {
    /// Its name in the plan; the first one, where the plan has it under several.
    pub name: String,
    /// Launches of it in a run.
    pub launches: usize,
    /// Whether it came from the disk cache.
    pub cached: bool,
    /// Bytes of its object.
    pub bytes: usize,
}

/// Wall times of getting ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Looking up the disk cache.
    pub lookup: Duration,
    /// Compiling what was not there.
    pub compile: Duration,
    /// Writing it to the disk cache.
    pub keep: Duration,
    /// Loading and linking.
    pub load: Duration,
    /// Everything.
    pub total: Duration,
}

/// Bytes by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Temporaries, planned to share one arena.
    pub arena: usize,
    /// Outputs.
    pub outputs: usize,
    /// Copies of dense data inputs.
    pub data: usize,
    /// Sparse patterns with their twins; shared with the caller.
    pub patterns: usize,
    /// Parameters, which the store owns; at the sizes of the last run, 0 before one where they are symbolic.
    pub params: usize,
    /// State, likewise.
    pub state: usize,
    /// Objects of compiled kernels.
    pub code: usize,
}

/// Time spent in one launch of the plan, over all runs since profiling was turned on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchTime {
    /// The kernel's name in the plan.
    pub name: String,
    /// What it does of the graph; empty where the plan was written by hand.
    pub ops: Vec<OpAt>,
    /// How often it ran.
    pub calls: u64,
    /// Wall time of all of them.
    pub total: Duration,
    /// Floating-point operations of all of them. Where several launches do one piece of work together, the one
    /// with the most instructions has them all.
    pub flops: u64,
    /// Bytes that all of them had to move: each array that a launch reads or writes once, and each row of a table as
    /// often as it is gathered.
    pub bytes: u64,
    /// The same with every row of a table counted once a launch: what memory must give and take at least.
    pub once: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cached = self.kernels.iter().filter(|k| k.cached).count();
        writeln!(f, "program `{}` on {}, {} threads", self.program, self.device, self.threads)?;
        writeln!(
            f,
            "  kernels   {} ({cached} from the cache), {} launches a run",
            self.kernels.len(),
            self.launches
        )?;
        let t = &self.times;
        writeln!(
            f,
            "  ready in  {:.1?}: lookup {:.1?}, compile {:.1?}, keep {:.1?}, load {:.1?}",
            t.total, t.lookup, t.compile, t.keep, t.load
        )?;
        let m = &self.memory;
        for (what, bytes) in [
            ("arena", m.arena),
            ("outputs", m.outputs),
            ("data", m.data),
            ("patterns", m.patterns),
            ("params", m.params),
            ("state", m.state),
            ("code", m.code),
        ] {
            writeln!(f, "  {what:<9} {}", bytes_text(bytes))?;
        }
        if let Some(dir) = &self.cache {
            writeln!(f, "  cache     {}", dir.display())?;
        }
        for note in &self.notes {
            writeln!(f, "  note      {note}")?;
        }
        let whole: Duration = self.profile.iter().map(|l| l.total).sum();
        for l in &self.profile {
            let share = 100.0 * l.total.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE);
            let each = l.total.checked_div(u32::try_from(l.calls).unwrap_or(u32::MAX)).unwrap_or_default();
            writeln!(f, "  {share:5.1}%  {each:>10.1?} x {:<8} {}", l.calls, l.name)?;
        }
        Ok(())
    }
}

fn bytes_text(bytes: usize) -> String {
    let b = bytes as f64;
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{:.1} kB", b / 1e3),
        10_000_000..=9_999_999_999 => format!("{:.1} MB", b / 1e6),
        _ => format!("{:.1} GB", b / 1e9),
    }
}
