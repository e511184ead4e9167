//! Tests across the crates.

pub mod aot;
pub mod filetests;
pub mod onnx;
