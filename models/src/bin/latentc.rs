//! The `latentc` command.
fn main() {}
