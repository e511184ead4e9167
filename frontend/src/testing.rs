//! Property tests of models (feature `testing`): random data at the sizes where code breaks, and one call that compares a
//! program on this processor with its meaning.
//!
//! ```toml
//! [dev-dependencies]
//! latentc = { version = "0.1", features = ["testing"] }
//! ```
//!
//! [`agrees`] draws values for everything that a program takes, and sizes within the ranges of its dims: none, one,
//! primes, the widths of vectors and their neighbours. On each draw it asks that native code gives what the interpreter
//! gives, optimised and not, and the same bits on any number of threads; and it shrinks what does not.
//!
//! ```
//! use latentc::prelude::*;
//! use latentc::testing::{self, Property, agrees};
//!
//! /// How much each of `n` users likes one item, and the most that any of them does.
//! fn likes() -> Result<Program> {
//!     program("likes", |g| {
//!         let n = g.dim("n", 1..=4096);
//!         let items = g.params().table("items", [50, 8], init::normal(0.1));
//!         let users = g.input("users", DType::F32, (n, 8));
//!         let score = (users * items.rows(g, g.ids("item", [n]))).sum(-1).sigmoid();
//!         g.output("score", score);
//!         g.output("most", score.max_all());
//!     })
//! }
//!
//! // In a test of yours:
//! agrees(&likes()?, &Property { cases: 8, ..Property::default() })?;
//!
//! // A property of your own, on random arrays, by proptest:
//! use latentc::testing::proptest::prelude::*;
//!
//! let program = likes()?;
//! proptest!(|(users in testing::array(DType::F32, &[3, 8]), item in testing::ids(3, 50))| {
//!     let mut session = interp().compile(&program, &Options::default())?;
//!     let mut store = program.init(1);
//!     session.set_array("users", &users)?;
//!     session.set_array("item", &item)?;
//!     session.run(&mut store)?;
//!     let most = session.output::<f32>("most")?.1[0];
//!     prop_assert!(session.output::<f32>("score")?.1.iter().all(|s| *s <= most));
//! });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Two right implementations round differently, so a program agrees where its results do not hang on a rounding error: a
//! comparison of computed floats, a rank, a conversion to integers may come out either way, and [`agrees`] says so. Make
//! such a result an input of the part that is tested.

use crate::program::Program;
use ::proptest::strategy::Strategy;
use ::proptest::test_runner::{Config, TestCaseError, TestError, TestRng, TestRunner};
pub use latentc_backends::testing::{Ask, Failure, How, Native, Results, check, interpreted, simulated};
use latentc_ir::array::Value;
/// Reads kernels from their text form.
pub use latentc_ir::nest::parse::parse_all as parse_kernels;
pub use latentc_ir::testing::{
    Coverage, Given, GivenError, Mismatch, Nan, Options as GraphOptions, RandomGraph, Tolerance, array,
    compare, compare_all, graphs, ids, inputs_for, kept, layers, pattern, random_schedules, shape, size,
    symbols, symmetric_pattern, training, wild, wild_layers,
};
/// The library that the strategies are of, in the version that they are made for.
pub use proptest;
use std::collections::BTreeMap;

/// What [`agrees`] asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// How many draws of sizes and values.
    pub cases: u32,
    /// What they follow from.
    pub seed: u64,
    /// How far a result may be from the interpreter's, relative to the greatest element of its array or 1. Integers and
    /// truth values are exact; NaN must be where the interpreter has it and nowhere else, infinities equal.
    pub tolerance: f64,
    /// Runs one after the other, each on the parameters and the state that the one before has left.
    pub runs: usize,
    /// Numbers of threads besides one, which must give the same bits.
    pub threads: Vec<usize>,
    /// Whether code that is neither rewritten nor fused is compared, too.
    pub unoptimised: bool,
}

impl Default for Property {
    /// 16 draws, two runs each, within 1e-4, on 1, 2 and 3 threads, optimised and not.
    fn default() -> Property {
        Property { cases: 16, seed: 0, tolerance: 1e-4, runs: 2, threads: vec![2, 3], unoptimised: true }
    }
}

/// A program that does not agree with its meaning on some inputs.
#[derive(Debug, thiserror::Error)]
#[error("`{program}` on {sizes}: {failure}{inputs}")]
pub struct Disagreement {
    /// The program.
    pub program: String,
    /// The sizes, shrunk, as `n=3 m=1`.
    pub sizes: String,
    /// What differs, or was refused.
    pub failure: String,
    /// The graph and its inputs, as text.
    pub inputs: String,
}

/// Asks that a program on this processor gives what the interpreter gives, on random inputs: within the tolerance,
/// optimised and not, with the same bits on any number of threads. Parameters and state begin as [`Program::init`] has
/// them.
///
/// # Errors
/// The smallest inputs found on which it does not hold, and what differs there.
pub fn agrees(program: &Program, property: &Property) -> Result<(), Box<Disagreement>> {
    let wrong = |sizes: &str, failure: String, inputs: String| {
        let (program, sizes) = (program.name().to_owned(), sizes.to_owned());
        Box::new(Disagreement { program, sizes, failure, inputs })
    };
    let mut native = vec![How::usual()];
    native.extend(property.unoptimised.then(How::plain));
    let (tolerance, runs, threads) = (property.tolerance, property.runs.max(1), property.threads.clone());
    let ask = Ask { tolerance, runs, simulated: vec![], native, threads };
    let first: BTreeMap<String, Value> =
        program.first_values(property.seed).map(|(n, a)| (n.to_owned(), Value::Tensor(a))).collect();
    let inputs = inputs_for(program.graph()).prop_map(move |mut given| {
        for (name, value) in &mut given.inputs {
            if let Some(first) = first.get(name) {
                value.clone_from(first);
            }
        }
        given
    });
    let config = Config { cases: property.cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng(property.seed, 0));
    let asked = runner.run(&inputs, |given| check(&given, &ask).map_err(|f| TestCaseError::fail(f.0)));
    match asked {
        Ok(()) => Ok(()),
        Err(TestError::Abort(why)) => {
            Err(wrong("any sizes", format!("no inputs can be drawn: {why}"), String::new()))
        }
        Err(TestError::Fail(why, given)) => {
            let sizes = given.sizes().iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ");
            let sizes = if sizes.is_empty() { "its only sizes".to_owned() } else { sizes };
            Err(wrong(&sizes, why.to_string(), format!("\n{given:?}")))
        }
    }
}

/// The random numbers of a case.
pub fn rng(seed: u64, case: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&case.to_le_bytes());
    TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &bytes)
}
