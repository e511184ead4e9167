//! Compiled kernels against plain loops: what the emitter makes of every statement, operation and type.
#![cfg(feature = "llvm")]

mod elementwise;
mod errors;
mod gemm;
mod harness;
mod loops;
mod maths;
mod random;
mod schedules;
mod score_top_k;
mod selection;
mod tiles;
