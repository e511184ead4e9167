//! Targets: the interpreter and native CPU code.

#[cfg(feature = "llvm")]
pub mod cpu;
