//! Random graphs as programs: every kernel that lowering writes keeps the rules of kernels and comes back
//! from its text, and the program run in the nest's interpreter gives what the graph's interpreter gives.

use latentc_ir::array::{Array, Value};
use latentc_ir::dtype::DType;
use latentc_ir::graph::verify::verify;
use latentc_ir::lower::{NoLibrary, Target};
use latentc_ir::nest;
use latentc_ir::passes::{self, PASSES};
use latentc_ir::plan::{self, Program};
use latentc_ir::testing::{Options, RandomGraph, Tolerance, compare, graphs};
use proptest::prelude::*;

fn failed(message: impl ToString) -> TestCaseError {
    TestCaseError::fail(message.to_string())
}

/// Targets with vectors of different widths, so that loops end in different places.
fn target(lanes: u32) -> Target {
    Target { lanes, ..Target::default() }
}

/// The program of a graph; the graph is judged after every pass, and every kernel by its rules and its text.
fn lower(graph: &RandomGraph, target: &Target, rewrite: bool, fuse: bool) -> Result<Program, TestCaseError> {
    let mut changed = graph.graph.clone();
    for pass in PASSES.iter().filter(|p| rewrite || !p.optional) {
        pass.run(&mut changed).map_err(failed)?;
        prop_assert_eq!(verify(&changed), Ok(()), "after `{}`\n{}", pass.name, changed);
    }
    let options = passes::Options { target, library: &NoLibrary, rewrite, fuse };
    let program = passes::lower(&graph.graph, &options).map_err(failed)?;
    for kernel in &program.kernels {
        prop_assert_eq!(nest::verify::verify(kernel), Ok(()), "{}", kernel);
        let back = nest::parse::parse(&kernel.name, &kernel.to_string()).map_err(failed)?;
        prop_assert_eq!(&back, kernel);
    }
    Ok(program)
}

/// Results of a program beside the expected ones: outputs, then what was updated.
fn same(expected: &latentc_ir::interp::Evaluation, found: &plan::interp::Ran) -> Result<(), TestCaseError> {
    let tolerance = Tolerance::new(2e-3);
    for (list, ran) in [(&expected.outputs, &found.outputs), (&expected.updates, &found.inputs)] {
        for (name, value) in list {
            let array = ran.iter().find(|(n, _)| n == name).map(|(_, a)| a.clone());
            let array: Array = array.ok_or_else(|| failed(format!("no `{name}`")))?;
            compare(value, &Value::Tensor(array), &tolerance).map_err(|m| failed(format!("`{name}`: {m}")))?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn programs_give_what_graphs_give(
        graph in graphs(Options { floats: vec![DType::F32, DType::F64], without: vec!["row_sparse_parts", "top_k", "score_top_k"], ..Options::default() }),
        gradients in any::<bool>(),
        lanes in prop::sample::select(vec![4u32, 8, 16]),
        rewrite in any::<bool>(),
        fuse in any::<bool>(),
    ) {
        let graph = if gradients { graph.with_gradients() } else { graph };
        let program = lower(&graph, &target(lanes), rewrite, fuse)?;
        let expected = graph.run().map_err(failed)?;
        let ran = plan::interp::run(&program, &|name| graph.input(name));
        let ran = ran.map_err(|e| {
            let at = match &e {
                plan::interp::PlanError::Launch { launch, .. } => program.launches.get(*launch),
                _ => None,
            };
            failed(format!("{e}\n{program}\n{}", at.map(|l| &program.kernels[l.kernel]).map_or(String::new(), |k| k.to_string())))
        })?;
        same(&expected, &ran).map_err(|e| failed(format!("{e}\n{program}")))?;
    }
}
