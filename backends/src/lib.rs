//! Targets: the interpreter and native CPU code, behind one [`Session`].
//!
//! How the parts fit together is told in this crate's `ARCHITECTURE.md`.

#[cfg(feature = "llvm")]
pub mod aot;
mod arrays;
mod cache;
#[cfg(feature = "llvm")]
mod compile;
#[cfg(feature = "llvm")]
pub mod cpu;
#[cfg(feature = "llvm")]
pub mod debug;
mod error;
mod fault;
#[cfg_attr(not(feature = "llvm"), allow(dead_code))] // where things are concerns native code alone
mod inputs;
mod interp;
mod look;
#[cfg_attr(not(feature = "llvm"), allow(dead_code))] // where things are concerns native code alone
mod memory;
#[cfg_attr(not(feature = "llvm"), allow(dead_code))] // where things are concerns native code alone
mod options;
mod profile;
mod report;
mod session;
mod store;
#[cfg(all(feature = "llvm", feature = "testing"))]
pub mod testing;
mod trace;

pub use cache::CacheNote;
#[cfg(feature = "llvm")]
pub use compile::{plan, plan_checked};
pub use error::{Axis, CompileError, Declared, RunError};
pub use fault::{Fault, Wrong};
pub use options::{Cache, Ids, Options};
pub use profile::{Peaks, Profile, ProfileRow};
pub use report::{KernelReport, LaunchTime, Memory, Report, Times};
pub use session::Session;
pub use store::Store;
pub use trace::{Event, Trace, TracedLaunch};
