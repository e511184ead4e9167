//! Random graphs: they are what they promise to be, and bodies may stand for composite ops anywhere.

use latentc_ir::array::{Array, Value};
use latentc_ir::dtype::DType;
use latentc_ir::graph::parse::parse;
use latentc_ir::graph::verify::verify;
use latentc_ir::graph::{Graph, Operand};
use latentc_ir::interp::Evaluation;
use latentc_ir::philox::Stream;
use latentc_ir::testing::{Coverage, Options, RandomGraph, Tolerance, compare_all, controls, graphs};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Runs a graph.
pub fn evaluate(graph: &RandomGraph) -> Result<Evaluation, TestCaseError> {
    graph.run().map_err(|e| TestCaseError::fail(e.to_string()))
}

/// Compares outputs and updates.
pub fn same(expected: &Evaluation, found: &Evaluation, tolerance: f64) -> Result<(), TestCaseError> {
    let tolerance = Tolerance::new(tolerance);
    compare_all(&expected.outputs, &found.outputs, &tolerance)
        .and_then(|()| compare_all(&expected.updates, &found.updates, &tolerance))
        .map_err(|m| TestCaseError::fail(m.to_string()))
}

/// Puts the body of each composite op in its place.
fn inline(graph: &Graph) -> Graph {
    let mut g = graph.clone();
    for node in graph.topological() {
        let (op, operands) = (g.node(node).op.clone(), g.node(node).operands.clone());
        if let Some(body) = op.def().body(&mut g, &operands) {
            for (port, new) in body.unwrap_or_else(|d| panic!("{d}")).into_iter().enumerate() {
                g.replace(Operand { node, port: port as u16 }, new);
            }
        }
    }
    g.remove_dead();
    g
}

const FLOATS: [DType; 4] = [DType::F32, DType::F64, DType::Bf16, DType::F16];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn results_are_finite_and_moderate(graph in graphs(Options { floats: FLOATS.to_vec(), ..Options::default() })) {
        let results = evaluate(&graph)?;
        prop_assert!(!results.outputs.is_empty());
        for (name, value) in results.outputs.iter().chain(&results.updates) {
            let Value::Tensor(a) = value else {
                return Err(TestCaseError::fail(format!("{name} is no tensor")));
            };
            if a.dtype().is_float() {
                // Scores are as large as they are, and lists that end early end with -inf.
                prop_assert!(a.to_f64().iter().all(|x| x.abs() <= 64.0 || *x == f64::NEG_INFINITY), "{name}");
            }
        }
    }

    /// A graph has a text that reads back as the same graph, and is well formed, with gradients too.
    #[test]
    fn text_reads_back(graph in graphs(Options::default()), with in any::<bool>()) {
        let graph = if with { graph.with_gradients() } else { graph };
        prop_assert_eq!(verify(&graph.graph), Ok(()));
        let text = graph.graph.to_string();
        let read = parse("text", &text).map_err(|d| TestCaseError::fail(d.to_string()))?;
        prop_assert_eq!(read.to_string(), text);
        let read = RandomGraph { graph: read, inputs: graph.inputs.clone() };
        same(&evaluate(&graph)?, &evaluate(&read)?, 0.0)?;
    }

    #[test]
    fn f32_approaches_f64_and_agrees_on_integers(graph in graphs(Options::default())) {
        same(&evaluate(&graph)?, &evaluate_narrow(&graph.in_f64())?, 2e-3)?;
    }

    #[test]
    fn bodies_stand_for_composite_ops(graph in graphs(Options { floats: vec![DType::F64], ..Options::default() })) {
        let inlined = RandomGraph { graph: inline(&graph.graph), inputs: graph.inputs.clone() };
        same(&evaluate(&graph)?, &evaluate(&inlined)?, 1e-9)?;
    }

    /// The slope of the loss along a random direction of all inputs.
    #[test]
    fn gradients_are_slopes(graph in graphs(Options { floats: vec![DType::F64], ..Options::default() })) {
        let with = graph.with_gradients();
        let Some((loss, gradients)) = loss_and_gradients(&with)? else { return Ok(()) };
        let (h, mut random, mut expected) = (1e-6, Stream::new(16, 0, 0), 0.0);
        let mut ends = [with.clone(), with.clone()];
        for (name, gradient) in gradients {
            let direction: Vec<f64> = gradient.iter().map(|_| random.normal()).collect();
            expected += gradient.iter().zip(&direction).map(|(g, d)| g * d).sum::<f64>();
            for (end, h) in ends.iter_mut().zip([h, -h]) {
                for (_, value) in end.inputs.iter_mut().filter(|(n, _)| *n == name) {
                    if let Value::Tensor(a) = value {
                        let moved = a.to_f64().iter().zip(&direction).map(|(x, d)| x + h * d).collect::<Vec<_>>();
                        *a = Array::from_f64(DType::F64, a.shape(), &moved);
                    }
                }
            }
        }
        let [Some((up, _)), Some((down, _))] = [loss_and_gradients(&ends[0])?, loss_and_gradients(&ends[1])?] else {
            return Err(TestCaseError::fail("the loss went away"));
        };
        let found = (up - down) / (2.0 * h);
        prop_assert!(
            // A difference of large sums is less exact.
            (found - expected).abs() <= 1e-5 * (1.0 + expected.abs()) + 1e-6 * loss.abs(),
            "slope {}, by finite differences {}", expected, found
        );
    }

    #[test]
    fn gradients_can_be_run(graph in graphs(Options { floats: vec![DType::F64], ..Options::default() })) {
        let with = graph.with_gradients();
        let results = evaluate(&with)?;
        let again = evaluate(&graph.with_gradients())?;
        prop_assert_eq!(&results, &again);
        let forward = evaluate(&graph)?;
        same(&forward, &Evaluation { outputs: results.outputs[..forward.outputs.len()].to_vec(), ..results }, 0.0)?;
    }
}

/// A loss, and gradients by the name of the input.
type LossAndGradients = (f64, Vec<(String, Vec<f64>)>);

/// The loss of a graph with gradients, and the gradients by the name of the input.
fn loss_and_gradients(graph: &RandomGraph) -> Result<Option<LossAndGradients>, TestCaseError> {
    let (mut loss, mut gradients) = (None, vec![]);
    for (name, value) in evaluate(graph)?.outputs {
        let Value::Tensor(a) = value else { continue };
        if name == "loss" {
            loss = Some(a.get(0).as_f64());
        } else if let Some(input) = name.strip_prefix("d ") {
            gradients.push((input.to_owned(), a.to_f64()));
        }
    }
    Ok(loss.map(|l| (l, gradients)))
}

/// The results of a graph in f64, rounded to f32.
fn evaluate_narrow(graph: &RandomGraph) -> Result<Evaluation, TestCaseError> {
    let mut results = evaluate(graph)?;
    for (_, value) in results.outputs.iter_mut().chain(&mut results.updates) {
        if let Value::Tensor(a) = value
            && a.dtype() == DType::F64
        {
            *a = Array::from_f64(DType::F32, a.shape(), &a.to_f64());
        }
    }
    Ok(results)
}

/// Random graphs reach every op and every type, and leave out what they are told to.
#[test]
fn every_op_occurs() {
    let mut runner = TestRunner::deterministic();
    let mut coverage = Coverage::default();
    for _ in 0..3000 {
        let options = Options { floats: FLOATS.to_vec(), ..Options::default() };
        coverage.add(&graphs(options).new_tree(&mut runner).expect("a graph").current());
    }
    for _ in 0..50 {
        coverage.add(&controls(DType::F32, 2).new_tree(&mut runner).expect("a graph").current());
    }
    let thing = |m: &String| ["op ", "operation ", "type "].iter().any(|what| m.starts_with(what));
    let never: Vec<String> = coverage.missing().into_iter().filter(thing).collect();
    assert!(never.is_empty(), "write steps in ir/src/testing/steps for: {}", never.join(", "));
    let without = Options { without: vec!["spmm", "exp"], ..Options::default() };
    for _ in 0..200 {
        let graph = graphs(without.clone()).new_tree(&mut runner).expect("a graph").current();
        for node in graph.graph.topological() {
            let name = graph.graph.node(node).op.def().name();
            assert!(!without.without.contains(&name), "{name}");
        }
    }
}
