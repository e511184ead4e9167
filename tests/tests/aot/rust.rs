//! The Rust example.
