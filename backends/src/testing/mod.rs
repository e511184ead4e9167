//! A graph with its inputs by every way there is to run it, and whether all give the same (feature `testing`).
//!
//! The graph's interpreter says what is right. Beside it stand the interpreters of plans and nests ([`simulated`]), which
//! check every position, and native code ([`Native`]), each as the passes make programs and without what only makes them
//! faster ([`How`]). [`check`] asks all of it of one graph.

mod compare;
mod native;
mod ways;

pub use compare::{identical, prints, same};
pub use native::{Native, give, results};
pub use ways::{How, after, interpreted, simulated};

use latentc_ir::array::Value;
use latentc_ir::dtype::DType;
use latentc_ir::graph::Graph;
use latentc_ir::testing::RandomGraph;
use latentc_ir::types::Type;

/// What was found wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// A failure of these words.
pub fn fail(what: impl ToString) -> Failure {
    Failure(what.to_string())
}

/// What a run gives: outputs, and everything that is kept, after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// The outputs in the order of the graph.
    pub outputs: Vec<(String, Value)>,
    /// Parameters and state, in the order of the inputs.
    pub kept: Vec<(String, Value)>,
}

/// What is asked of a graph.
#[derive(Clone, Debug)]
pub struct Ask {
    /// How far a result may be from the interpreter's, relative to the greatest element of its array or 1. Integers and
    /// truth values are exact; NaN is where the interpreter has it, infinities are equal.
    pub tolerance: f64,
    /// Runs one after the other, each on what the one before has kept.
    pub runs: usize,
    /// The ways in which its program is interpreted.
    pub simulated: Vec<How>,
    /// The ways in which it is compiled.
    pub native: Vec<How>,
    /// Numbers of threads besides one, every launch divided among them: the same bits.
    pub threads: Vec<usize>,
}

impl Ask {
    /// Everything there is, of one run.
    pub fn all(tolerance: f64) -> Ask {
        Ask {
            tolerance,
            runs: 1,
            simulated: vec![How::usual(), How::plain(), How::narrow(false), How::narrow(true)],
            native: vec![How::usual()],
            threads: vec![2, 3],
        }
    }

    /// What is asked of a graph of which nothing is known: everything, within what its least exact float type allows,
    /// three runs where it keeps something.
    pub fn of(graph: &Graph) -> Ask {
        let types = graph.topological().into_iter().flat_map(|n| &graph.node(n).types);
        let loosest = types.filter_map(Type::as_tensor).map(|t| tolerance(t.dtype)).fold(0.0, f64::max);
        Ask { runs: if graph.updates.is_empty() { 1 } else { 3 }, ..Ask::all(loosest) }
    }
}

/// How far small programs in a float type may be off, as was measured on random ones: tens of roundings of values that
/// are a few times larger than what comes of them.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-9,
        DType::F32 => 1e-4,
        DType::F16 => 5e-3,
        DType::Bf16 => 4e-2,
        _ => 0.0,
    }
}

/// Asks something of a graph. Its text, too, is to come back as the same graph.
///
/// # Errors
/// The way that gives something else, and where; or what a way refused.
pub fn check(graph: &RandomGraph, ask: &Ask) -> Result<(), Failure> {
    prints(graph)?;
    let expected = in_a_row(graph, ask.runs, interpreted)?;
    let name =
        |run: usize, what: &str| if ask.runs == 1 { what.to_owned() } else { format!("run {run}, {what}") };
    for how in &ask.simulated {
        let found = in_a_row(graph, ask.runs, |next| simulated(next, how))?;
        for (run, (expected, found)) in expected.iter().zip(&found).enumerate() {
            same(&name(run, &format!("interpreted plan, {how}")), expected, found, ask.tolerance)?;
        }
    }
    for how in &ask.native {
        let mut native = Native::new(graph, how)?;
        let all = native.runs(graph, ask.runs)?;
        for (run, (expected, found)) in expected.iter().zip(&all).enumerate() {
            same(&name(run, &format!("compiled, {how}")), expected, found, ask.tolerance)?;
        }
        for threads in &ask.threads {
            native.divide(*threads)?;
            let divided = native.runs(graph, ask.runs)?;
            for (run, (expected, found)) in all.iter().zip(&divided).enumerate() {
                identical(&name(run, &format!("{threads} threads, {how}")), expected, found)?;
            }
        }
    }
    Ok(())
}

/// So many runs, each on what the one before has kept.
fn in_a_row(
    graph: &RandomGraph,
    runs: usize,
    run: impl Fn(&RandomGraph) -> Result<Results, Failure>,
) -> Result<Vec<Results>, Failure> {
    let mut all: Vec<Results> = vec![];
    for _ in 0..runs {
        let next = match all.last() {
            None => run(graph)?,
            Some(before) => run(&after(graph, before))?,
        };
        all.push(next);
    }
    Ok(all)
}
