//! Tests across the crates.

pub mod filetests;
