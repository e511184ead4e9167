//! The intermediate representations of latentc: graphs of tensors, nests of loops, plans of launches, and
//! the passes between them. No LLVM, no CUDA, no input or output here.

pub mod dtype;
pub mod nest;
pub mod scalar;
