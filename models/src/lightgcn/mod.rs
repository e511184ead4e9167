//! LightGCN (He and others, 2020): embeddings propagated along the edges of a graph, and nothing else.

mod model;
mod train;

pub use model::LightGcn;
pub use train::{Config, SYSTEM, programs};

#[cfg(test)]
mod tests;
