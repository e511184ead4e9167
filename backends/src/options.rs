//! How a program is made ready to run.

use std::path::PathBuf;

/// What the caller may choose. No choice changes results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Threads that run kernels, the caller's among them; 0 for one on each processor that the system lets
    /// this process use.
    pub threads: usize,
    /// Where compiled kernels are kept between processes.
    pub cache: Cache,
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
