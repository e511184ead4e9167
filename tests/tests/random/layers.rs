//! What recommenders are made of: rows of many widths, products, sparse sums, norms, gathers, sums over rows,
//! forward and backward, with optimizers that update parameters in place.

mod blocks;
pub mod make;

use crate::cases;
use crate::harness::{
    How, check, fail, give, identical, interpreted, of_other_sizes, results, same, sessions,
};
use latentc_backends::Store;
use latentc_ir::dtype::DType;
use latentc_ir::testing::RandomGraph;
use make::Make;
use proptest::collection::vec;
use proptest::prelude::*;

/// A program under construction, of 1 to `steps` blocks. Shrinks to fewer blocks and smaller sizes.
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

fn forward_of(float: DType, steps: usize) -> impl Strategy<Value = RandomGraph> {
    blocks(float, steps, false).prop_map(Make::finish)
}

/// Programs that learn: a loss, its gradients, an optimizer for every parameter.
fn training(float: DType, steps: usize) -> impl Strategy<Value = RandomGraph> {
    (blocks(float, steps, false), 0..3u8).prop_map(|(mut make, optimizer)| {
        make.train(optimizer);
        make.finish()
    })
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn forward(graph in forward_of(DType::F32, 12)) {
        check(&graph, 1e-4)?;
    }

    #[test]
    fn f64(graph in training(DType::F64, 7)) {
        check(&graph, 1e-10)?;
    }

    /// Inputs hold NaN, infinities and zeros of both signs. NaN must be where the interpreter has it and nowhere
    /// else, infinities equal; the bits of NaN and the sign of zero are free.
    #[test]
    fn special_values(graph in blocks(DType::F32, 8, true).prop_map(Make::finish)) {
        check(&graph, 1e-4)?;
    }

    /// One session with inputs of other sizes, and of the first again.
    #[test]
    fn sizes_that_change(graph in training(DType::F32, 5), sizes in (any::<u32>(), any::<u32>())) {
        let program = How::usual().plan(&graph.graph)?;
        let mut session = sessions(&program, &[2])?.remove(0);
        let resized = [sizes.0, sizes.1].map(|seed| of_other_sizes(&graph.graph, seed));
        let [Some(first), Some(second)] = &resized else { return Ok(()) };
        let mut seen = vec![];
        for graph in [first, second, first] {
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
    fn backward(graph in training(DType::F32, 7)) {
        check(&graph, 1e-4)?;
    }
}
