//! Tests across the crates.

pub mod filetests;
pub mod onnx;
