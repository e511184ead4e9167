//! The text forms: what is printed is read back, and what cannot be read is said with its place.

#[path = "text/graph.rs"]
mod graph;
#[path = "text/nest.rs"]
mod nest;
