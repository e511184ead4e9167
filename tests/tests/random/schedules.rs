//! Kernels written by other decisions than the usual ones: lanes, tiles, chunks, division among threads.

use crate::cases;
use crate::harness::{fail, give, interpreted, results, same, sessions};
use latentc_backends::Store;
use latentc_backends::cpu::Isa;
use latentc_ir::dtype::DType;
use latentc_ir::lower::Target;
use latentc_ir::passes;
use latentc_ir::testing::{Options, RandomGraph, graphs, random_schedules};
use latentc_kernels::Kernels;
use proptest::prelude::*;

/// Compiled by random decisions, on one thread and on three, which give the same bits.
fn check(graph: &RandomGraph, seed: u64, tolerance: f64) -> Result<(), TestCaseError> {
    let target = Target::from(&Isa::host().map_err(fail)?);
    let usual = passes::Options { library: &Kernels, ..passes::Options::new(&target) };
    let lowered = |options: &passes::Options| {
        let optimised = passes::optimise(&graph.graph, options).map_err(fail)?;
        passes::finish(&graph.graph, optimised, options).map_err(fail)
    };
    let schedules = random_schedules(&lowered(&usual)?.origin.schedules, seed);
    let program = lowered(&passes::Options { schedules: &schedules, ..usual })?.program;
    let mut all = vec![];
    for mut session in sessions(&program, &[1, 3])? {
        let mut store = Store::new();
        give(&mut session, &mut store, graph)?;
        session.run(&mut store).map_err(fail)?;
        all.push(results(&session, &store, &program)?);
    }
    let expected = interpreted(graph)?;
    same(&format!("by\n{schedules}"), &expected, &all[0], tolerance)?;
    prop_assert_eq!(&all[0], &all[1], "threads make a difference by\n{}", schedules);
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
