//! Published systems, end to end.

pub mod common;
