//! The proof of the compiler on random programs, and of the readers of files on damaged ones: what `latentc check` does.

pub mod memory;
pub mod parsers;
mod programs;
mod replay;

pub use programs::{Found, KINDS, Kind, Limits, Progress, Summary, hunt};
pub use replay::{ReplayError, replay, text_of};
