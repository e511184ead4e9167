//! The text forms: what is printed is read back, and what cannot be read is said with its place.

#[path = "text/nest.rs"]
mod nest;
