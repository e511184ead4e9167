//! Programs and arrays from files of other makers. Nothing in a file is trusted: sizes are held against what is
//! there before anything is allocated, and what does not fit is an error that names its place.

#[cfg(feature = "npz")]
pub mod npz;
#[cfg(feature = "onnx")]
pub mod onnx;
