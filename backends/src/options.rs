//! How a program is made ready to run.

use latentc_ir::lower::Schedules;
use latentc_ir::passes::Numerics;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What the caller may choose. None of it changes what a program gives, but for [`Options::ids`] where a run
/// would be refused otherwise; other levels and schedules add up in other orders, and a checked or strict run is not
/// fused, so floats may round differently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Threads that run kernels, the caller's among them; 0 for one on each processor that the system lets
    /// this process use.
    pub threads: usize,
    /// Where compiled kernels are kept between processes.
    pub cache: Cache,
    /// Whether the session counts the time of its launches from the beginning, and records those of its first runs
    /// ([`Session::profile`](crate::Session::profile), [`Session::record`](crate::Session::record)).
    pub profile: bool,
    /// Whether every op is looked at as it runs: row numbers within their tables, NaN and infinities where they
    /// first appear, integers that do not fit their type, divisions of integers by zero. A run that fails is taken
    /// back: what the store holds is as it was before. Every op is a kernel of its own, so such a run is several
    /// times slower, and needs memory for every intermediate value and for a copy of what the run updates.
    pub checked: bool,
    /// What happens with row numbers outside of their table, by the name of the data input; [`Ids::Error`] for those
    /// that are not named.
    pub ids: BTreeMap<String, Ids>,
    /// The instruction set to compile for, by name: `x86-64-v2`, `x86-64-v3`, `x86-64-v4`, `neon`; none for all that this
    /// processor has. Lanes decide the order of sums, so a session of a level gives the bits of an object that was built
    /// for it ahead of time, on every processor.
    pub level: Option<String>,
    /// Decisions about kernels that replace the usual ones, by the kernel's name. They decide how fast a program is,
    /// and the order of its sums.
    pub schedules: Schedules,
    /// What may be done to numbers to make a program faster. [`Numerics::Strict`] gives the bits of the program as it is
    /// written, with every op a kernel of its own.
    pub numerics: Numerics,
    /// Bytes that temporaries may take at most. Where they would take more, values that wait for a late reader are computed
    /// again for it, those that save most bytes for an operation first; a program that cannot be made as small is refused
    /// with the least that it needs. The interpreter, which plans nothing, takes no notice.
    pub memory: Option<usize>,
    /// A folder below which numbered files of every stage are written as a program is compiled: see
    /// [`debug`](crate::debug). Costs compiling every kernel once more.
    pub dump: Option<PathBuf>,
}

/// What happens with an element of an integer input that is used as a row number and is outside of `0..rows`.
///
/// The numbers of an input are looked at once after they were given, not in every run. Row numbers that a program
/// computes are brought to the nearest row, in compiled code and in the interpreter; a checked run refuses them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ids {
    /// The run is refused.
    #[default]
    Error,
    /// The nearest row is meant.
    Clamp,
    /// Counting goes on from the other end, as by `id.rem_euclid(rows)`: -1 is the last row.
    Wrap,
}

impl Ids {
    /// The row that a number stands for among so many; `None` where it stands for none, as where there is no row.
    pub fn row(self, id: i128, rows: i64) -> Option<i64> {
        let count = i128::from(rows);
        let row = match self {
            _ if rows <= 0 => return None,
            Ids::Error if !(0..count).contains(&id) => return None,
            Ids::Error => id,
            Ids::Clamp => id.clamp(0, count - 1),
            Ids::Wrap => id.rem_euclid(count),
        };
        i64::try_from(row).ok()
    }
}

impl std::str::FromStr for Ids {
    type Err = String;

    fn from_str(s: &str) -> Result<Ids, String> {
        let all = [Ids::Error, Ids::Clamp, Ids::Wrap];
        let found = all.into_iter().find(|ids| ids.to_string() == s);
        found.ok_or_else(|| format!("`{s}` says nothing of row numbers; give error, clamp or wrap"))
    }
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ids::Error => "error",
            Ids::Clamp => "clamp",
            Ids::Wrap => "wrap",
        })
    }
}

/// Where compiled kernels are kept between processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cache {
    /// Nowhere.
    Off,
    /// `$XDG_CACHE_HOME/latentc`, or `~/.cache/latentc` where that variable is not set.
    #[default]
    Default,
    /// In this folder, which is made where it is missing.
    Dir(PathBuf),
}

impl Options {
    /// How many threads to use.
    pub(crate) fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        }
    }
}
