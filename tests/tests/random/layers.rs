//! What recommenders are made of: rows of many widths, products, sparse sums, norms, gathers, sums over rows,
//! forward and backward, with optimizers that update parameters in place.

mod blocks;
pub mod make;

use crate::cases;
use crate::harness::check;
use latentc_ir::testing::RandomGraph;
use make::Make;
use proptest::collection::vec;
use proptest::prelude::*;

/// Programs of 1 to `steps` blocks. Shrinks to fewer blocks and smaller sizes.
fn layers(steps: usize) -> impl Strategy<Value = RandomGraph> {
    (0..make::SIZES.len(), any::<u32>(), vec((any::<u16>(), any::<u32>()), 1..=steps)).prop_map(
        |(size, seed, steps)| {
            let mut make = Make::new(size, seed);
            for (block, seed) in steps {
                make.step(block, seed);
            }
            make.finish()
        },
    )
}

/// Programs that learn: a loss, its gradients, an optimizer for every parameter.
fn training(steps: usize) -> impl Strategy<Value = RandomGraph> {
    (0..make::SIZES.len(), any::<u32>(), vec((any::<u16>(), any::<u32>()), 1..=steps), 0..3u8).prop_map(
        |(size, seed, steps, optimizer)| {
            let mut make = Make::new(size, seed);
            for (block, seed) in steps {
                make.step(block, seed);
            }
            make.train(optimizer);
            make.finish()
        },
    )
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn forward(graph in layers(12)) {
        check(&graph, 1e-4)?;
    }

    #[test]
    fn backward(graph in training(7)) {
        check(&graph, 1e-4)?;
    }
}
