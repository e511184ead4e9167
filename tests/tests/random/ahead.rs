//! Programs as objects: the same bits as in process, on any number of threads, for several sizes.

use crate::{cases, of_other_sizes};
use latentc_backends::testing::{How, Native, Results, fail, identical};
use latentc_ir::testing::{Options, RandomGraph, graphs};
use latentc_tests::aot::Loaded;
use proptest::prelude::*;

fn check(graph: &RandomGraph) -> Result<(), TestCaseError> {
    let loaded = Loaded::new(&graph.graph, "native").map_err(fail)?;
    let mut native = Native::new(graph, &How::usual())?;
    for given in [Some(graph.clone()), of_other_sizes(&graph.graph, 7)].iter().flatten() {
        let expected = native.run(given)?;
        for threads in [1, 3] {
            let mut state = loaded.state(&given.inputs).map_err(fail)?;
            state.run(threads).map_err(fail)?;
            let (outputs, kept) = state.results();
            identical(&format!("{threads} threads"), &expected, &Results { outputs, kept })?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(20))]

    #[test]
    fn objects_give_the_same_bits(graph in graphs(Options::default())) {
        check(&graph)?;
    }

    #[test]
    fn gradients_too(graph in graphs(Options::default())) {
        check(&graph.with_gradients())?;
    }
}
