//! Targets: the interpreter and native CPU code, behind one [`Session`].
//!
//! How the parts fit together is told in this crate's `ARCHITECTURE.md`.

mod arrays;
mod cache;
#[cfg(feature = "llvm")]
mod compile;
#[cfg(feature = "llvm")]
pub mod cpu;
mod error;
#[cfg_attr(not(feature = "llvm"), allow(dead_code))] // where things are concerns native code alone
mod inputs;
mod interp;
#[cfg_attr(not(feature = "llvm"), allow(dead_code))] // where things are concerns native code alone
mod memory;
#[cfg_attr(not(feature = "llvm"), allow(dead_code))] // where things are concerns native code alone
mod options;
mod report;
mod session;
mod store;

pub use cache::CacheNote;
#[cfg(feature = "llvm")]
pub use compile::plan;
pub use error::{Axis, CompileError, RunError};
pub use options::{Cache, Options};
pub use report::{KernelReport, LaunchTime, Memory, Report, Times};
pub use session::Session;
pub use store::Store;
