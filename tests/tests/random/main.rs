//! Random programs, compiled in every way and compared with the interpreter.
//!
//! * [`ahead`]: the same as objects, built ahead of time.
//! * [`anything`]: small graphs over all ops, at the sizes where code breaks.
//! * [`checked`]: the same graphs, looked at as they run.
//! * [`control`]: loops and branches.
//! * [`ops`]: every op on every type it takes.
//! * [`layers`]: what recommenders are made of, rows of many widths: products, sparse sums, norms, gathers,
//!   sums over rows, forward and backward, with optimizers.
//! * [`schedules`]: the same by other decisions about kernels than the usual ones.
//! * [`state`]: values kept between runs, read before and after they change, swapped, given out.
//! * [`regressions`]: what these have found, one small test each.
//!
//! Programs are drawn from a fixed seed, so every run of the tests tries the same ones. `LATENTC_CASES=N` in
//! the environment tries N times as many; `PROPTEST_RNG_SEED` draws others. Neither changes what a program
//! computes or what is asked of it.

mod ahead;
mod anything;
mod checked;
mod control;
mod layers;
mod ops;
mod regressions;
mod schedules;
mod state;

use latentc_ir::dim::Symbol;
use latentc_ir::graph::Graph;
use latentc_ir::philox::Stream;
use latentc_ir::testing::{Given, RandomGraph, symbols};
use proptest::test_runner::{Config, RngSeed};
use std::sync::Arc;

/// How many programs a property is tried on, from a fixed seed.
fn cases(count: u32) -> Config {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let times: u64 = number("LATENTC_CASES").unwrap_or(1);
    let cases = u32::try_from(u64::from(count) * times).unwrap_or(u32::MAX);
    let rng_seed = RngSeed::Fixed(number("PROPTEST_RNG_SEED").unwrap_or(20));
    Config { cases, rng_seed, failure_persistence: None, max_shrink_iters: 400, ..Config::default() }
}

/// A graph on other inputs, of sizes within the ranges of its dims but not above 64 where these allow it; `None` where
/// ids have no row to name.
fn of_other_sizes(graph: &Graph, seed: u32) -> Option<RandomGraph> {
    let mut random = Stream::new(seed.into(), 2, 0);
    let draw = |s: Arc<Symbol>| {
        // Not none: ids must have rows to name.
        let (lo, hi) = (s.lo.max(1).min(s.hi), s.hi.min(s.lo.max(64)));
        (s.name.clone(), lo + i64::from(random.below((hi - lo + 1) as u32)))
    };
    let dims = symbols(graph).into_iter().map(draw).collect();
    Given { seed, dims, wild: false }.to(graph.clone()).ok()
}
