//! The intermediate representations of latentc: graphs of tensors, nests of loops, plans of launches, and
//! the passes between them. No LLVM, no CUDA, no input or output here.

pub mod array;
pub mod batch;
pub mod compose;
pub mod csr;
pub mod diag;
pub mod dim;
pub mod dtype;
pub mod explain;
pub mod fuse;
pub mod grad;
pub mod graph;
pub mod interp;
pub mod lower;
pub mod nest;
pub mod ops;
pub mod passes;
pub mod philox;
pub mod plan;
pub mod rewrite;
pub mod scalar;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
pub mod types;
