//! Rewritten graphs compute what they computed.

use crate::random::{evaluate, same};
use latentc_ir::array::Value;
use latentc_ir::dtype::DType;
use latentc_ir::lower::Target;
use latentc_ir::passes::{self, Options as Passes};
use latentc_ir::rewrite::{self, Tag};
use latentc_ir::testing::{Options, RandomGraph, Tolerance, compare, graphs};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;

fn wide() -> Options {
    Options { floats: vec![DType::F64], steps: 20, ..Options::default() }
}

/// Random graphs, every second one with gradients.
fn programs() -> impl Strategy<Value = RandomGraph> {
    (graphs(wide()), any::<bool>())
        .prop_map(|(graph, with)| if with { graph.with_gradients() } else { graph })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn exact_rules_keep_bits(graph in programs()) {
        let mut rewritten = graph.clone();
        let exact: Vec<_> = rewrite::all().filter(|r| r.tag == Tag::Exact).collect();
        rewrite::run(&mut rewritten.graph, &exact);
        same(&evaluate(&graph)?, &evaluate(&rewritten)?, 0.0)?;
    }

    #[test]
    fn rules_keep_results(graph in programs()) {
        let mut rewritten = graph.clone();
        rewrite::run(&mut rewritten.graph, &rewrite::all().collect::<Vec<_>>());
        same(&evaluate(&graph)?, &evaluate(&rewritten)?, 1e-7)?;
    }

    /// Where every op has a derivative. A rule may do away with a dependence whose gradient is zero.
    #[test]
    fn rules_keep_gradients(
        graph in graphs(Options { without: vec!["segments", "segment_sum", "top_k", "score_top_k"], ..wide() })
    ) {
        let mut rewritten = graph.clone();
        rewrite::run(&mut rewritten.graph, &rewrite::all().collect::<Vec<_>>());
        let found = evaluate(&rewritten.with_gradients())?.outputs;
        for (name, expected) in evaluate(&graph.with_gradients())?.outputs {
            match (found.iter().find(|(n, _)| *n == name), &expected) {
                (Some((_, found)), expected) => compare(expected, found, &Tolerance::new(1e-7))
                    .map_err(|m| TestCaseError::fail(format!("{name}: {m}")))?,
                (None, Value::Tensor(a)) => prop_assert!(a.to_f64().iter().all(|d| *d == 0.0), "{}", name),
                (None, other) => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
        }
    }

    #[test]
    fn passes_keep_results(graph in programs(), rewrite in any::<bool>()) {
        let options = Passes { rewrite, ..Passes::new(&TARGET) };
        let optimised = passes::optimise(&graph.graph, &options).map_err(|d| TestCaseError::fail(d.to_string()))?;
        let found = RandomGraph { graph: optimised, inputs: graph.inputs.clone() };
        same(&evaluate(&graph)?, &evaluate(&found)?, 1e-7)?;
    }
}

const TARGET: Target = Target { lanes: 8, registers: 16, prefetch: 0, dot4: false, l1: 1 << 15, l2: 1 << 20 };

/// Every rule is among those that the other laws have tried.
#[test]
fn random_graphs_meet_every_rule() {
    let mut runner = TestRunner::deterministic();
    let rules: Vec<_> = rewrite::all().collect();
    let mut unmet: BTreeSet<&str> = rules.iter().map(|r| r.name).collect();
    for _ in 0..20_000 {
        let mut graph = programs().new_tree(&mut runner).expect("a graph").current();
        for (name, _) in rewrite::run(&mut graph.graph, &rules) {
            unmet.remove(name);
        }
        if unmet.is_empty() {
            return;
        }
    }
    panic!("random graphs never meet {unmet:?}; let `latentc_ir::testing` make graphs that do");
}
