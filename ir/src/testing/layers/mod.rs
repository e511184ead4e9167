//! Programs of what recommenders are made of: rows of many widths, products, sparse sums, norms, gathers, sums over
//! rows, forward and backward, with optimizers that update parameters in place.

mod blocks;
pub(super) mod make;

use super::RandomGraph;
use crate::dtype::DType;
use make::Make;
use proptest::collection::vec;
use proptest::prelude::*;

/// A program under construction, of 1 to `steps` blocks.
fn blocks(float: DType, steps: usize, wild: bool) -> impl Strategy<Value = Make> {
    let steps = vec((any::<u16>(), any::<u32>()), 1..=steps);
    (0..make::SIZES.len(), any::<u32>(), steps).prop_map(move |(size, seed, steps)| {
        let mut make = Make::new(float, size, seed);
        make.wild = wild;
        for (block, seed) in steps {
            make.step(block, seed);
        }
        make
    })
}

/// Programs of up to `steps` blocks over rows: up to 600 of them, up to 1030 wide. Shrinks to fewer blocks and smaller
/// sizes.
pub fn layers(float: DType, steps: usize) -> impl Strategy<Value = RandomGraph> {
    blocks(float, steps, false).prop_map(Make::finish)
}

/// As [`layers`], on inputs that hold NaN, infinities, zeros of both signs and subnormal numbers. NaN is to be where the
/// interpreter has it and nowhere else, infinities equal; the bits of NaN and the sign of zero are free.
pub fn wild_layers(float: DType, steps: usize) -> impl Strategy<Value = RandomGraph> {
    blocks(float, steps, true).prop_map(Make::finish)
}

/// Programs that learn: [`layers`] with a loss, its gradients, and an optimizer for every parameter, which writes new
/// values over the old ones.
pub fn training(float: DType, steps: usize) -> impl Strategy<Value = RandomGraph> {
    (blocks(float, steps, false), 0..3u8).prop_map(|(mut make, optimizer)| {
        make.train(optimizer);
        make.finish()
    })
}
