//! Whole programs, made by hand, through a session: results, dimensions, refusals, threads, the disk cache.
#![cfg(feature = "llvm")]

mod cache;
mod checked;
mod dims;
mod dumps;
mod graph;
mod inputs;
mod plans;
mod profiled;
mod refusals;
mod results;
mod step;
