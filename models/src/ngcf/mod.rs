//! NGCF (Wang and others, 2019): embeddings passed along the edges of the interaction graph through small
//! dense layers.

mod model;
mod train;

pub use model::{Bias, Form, Matrix, Ngcf, Propagation, Shape};
pub use train::{Config, SYSTEM, programs};

#[cfg(test)]
mod tests;
