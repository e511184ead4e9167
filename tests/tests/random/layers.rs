//! What recommenders are made of: rows of many widths, products, sparse sums, norms, gathers, sums over rows,
//! forward and backward, with optimizers that update parameters in place.

mod blocks;
pub mod make;

use crate::cases;
use crate::harness::{
    How, check, fail, give, identical, interpreted, of_other_sizes, results, same, session,
};
use latentc_backends::Store;
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

/// Programs whose inputs hold NaN, infinities and zeros of both signs. NaN must be where the interpreter has
/// it and nowhere else, infinities equal; its bits and the sign of zero are free.
fn wild(steps: usize) -> impl Strategy<Value = RandomGraph> {
    (0..make::SIZES.len(), any::<u32>(), vec((any::<u16>(), any::<u32>()), 1..=steps)).prop_map(
        |(size, seed, steps)| {
            let mut make = Make::new(size, seed);
            make.wild = true;
            for (block, seed) in steps {
                make.step(block, seed);
            }
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
    fn special_values(graph in wild(8)) {
        check(&graph, 1e-4)?;
    }

    /// One session with inputs of other sizes, and of the first again.
    #[test]
    fn sizes_that_change(graph in training(5), sizes in (any::<u32>(), any::<u32>())) {
        let program = How::usual().plan(&graph.graph)?;
        let mut session = session(&program, 2)?;
        let resized = [sizes.0, sizes.1].map(|seed| of_other_sizes(&graph.graph, seed));
        let mut seen = vec![];
        for graph in [&resized[0], &resized[1], &resized[0]] {
            let mut store = Store::new();
            give(&mut session, &mut store, graph)?;
            session.run(&mut store).map_err(fail)?;
            let found = results(&session, &store, &program)?;
            same("compiled", &interpreted(graph)?, &found, 1e-4)?;
            seen.push(found);
        }
        identical("the same sizes again", &seen[0], &seen[2])?;
    }

    #[test]
    fn backward(graph in training(7)) {
        check(&graph, 1e-4)?;
    }
}
