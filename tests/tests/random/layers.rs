//! What recommenders are made of: rows of many widths, products, sparse sums, norms, gathers, sums over rows,
//! forward and backward, with optimizers that update parameters in place.

use crate::{cases, of_other_sizes};
use latentc_backends::testing::{Ask, How, Native, check, identical, interpreted, same};
use latentc_ir::dtype::DType;
use latentc_ir::testing::{layers, training, wild_layers};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn forward(graph in layers(DType::F32, 12)) {
        check(&graph, &Ask::all(1e-4))?;
    }

    #[test]
    fn f64(graph in training(DType::F64, 7)) {
        check(&graph, &Ask::all(1e-10))?;
    }

    /// Inputs hold NaN, infinities and zeros of both signs. NaN must be where the interpreter has it and nowhere
    /// else, infinities equal; the bits of NaN and the sign of zero are free.
    #[test]
    fn special_values(graph in wild_layers(DType::F32, 8)) {
        check(&graph, &Ask::all(1e-4))?;
    }

    /// One session with inputs of other sizes, and of the first again.
    #[test]
    fn sizes_that_change(graph in training(DType::F32, 5), sizes in (any::<u32>(), any::<u32>())) {
        let mut native = Native::new(&graph, &How::usual())?;
        native.divide(2)?;
        let resized = [sizes.0, sizes.1].map(|seed| of_other_sizes(&graph.graph, seed));
        let [Some(first), Some(second)] = &resized else { return Ok(()) };
        let mut seen = vec![];
        for graph in [first, second, first] {
            let found = native.run(graph)?;
            same("compiled", &interpreted(graph)?, &found, 1e-4)?;
            seen.push(found);
        }
        identical("the same sizes again", &seen[0], &seen[2])?;
    }

    #[test]
    fn backward(graph in training(DType::F32, 7)) {
        check(&graph, &Ask::all(1e-4))?;
    }
}
