//! Whole programs, made by hand, through a session: results, dimensions, refusals, threads, the disk cache.
#![cfg(feature = "llvm")]

mod dims;
mod results;
mod step;
