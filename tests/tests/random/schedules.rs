//! Kernels written by other decisions than the usual ones: lanes, tiles, chunks, division among threads.

use crate::cases;
use latentc_backends::testing::{How, Native, fail, identical, interpreted, same};
use latentc_ir::dtype::DType;
use latentc_ir::passes;
use latentc_ir::testing::{Options, RandomGraph, graphs, random_schedules};
use latentc_kernels::Kernels;
use proptest::prelude::*;

/// Compiled by random decisions, on one thread and on three, which give the same bits.
fn check(graph: &RandomGraph, seed: u64, tolerance: f64) -> Result<(), TestCaseError> {
    let usual = How::usual();
    let options = passes::Options { library: &Kernels, ..passes::Options::new(&usual.target) };
    let optimised = passes::optimise(&graph.graph, &options).map_err(fail)?;
    let lowered = passes::finish(&graph.graph, optimised, &options).map_err(fail)?;
    let schedules = random_schedules(&lowered.origin.schedules, seed);
    let what = format!("by\n{schedules}");
    let mut native = Native::new(graph, &How { schedules, ..usual })?;
    let one = native.run(graph)?;
    same(&what, &interpreted(graph)?, &one, tolerance)?;
    native.divide(3)?;
    identical(&what, &one, &native.run(graph)?)?;
    Ok(())
}

proptest! {
    #![proptest_config(cases(20))]

    #[test]
    fn f32(graph in graphs(Options::default()), seed in any::<u64>()) {
        check(&graph, seed, 1e-4)?;
    }

    #[test]
    fn gradients(
        graph in graphs(Options { floats: vec![DType::F64], ..Options::default() }),
        seed in any::<u64>(),
    ) {
        check(&graph.with_gradients(), seed, 1e-9)?;
    }
}
