//! Published systems, end to end, and the `latentc` program that trains them.

pub mod bench;
pub mod check;
pub mod cli;
pub mod common;
pub mod lightgcn;
pub mod ngcf;
pub mod systems;
