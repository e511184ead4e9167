//! Layers that hold their parameters: recurrent ones, over the steps of a sequence.

mod gru;
mod lstm;

pub use gru::Gru;
pub use lstm::Lstm;

use crate::Tensor;

/// A gate of a layer: a part of so many columns.
fn gate<'g>(all: Tensor<'g>, at: usize, hidden: usize) -> Tensor<'g> {
    all.slice(-1, at * hidden..(at + 1) * hidden)
}
