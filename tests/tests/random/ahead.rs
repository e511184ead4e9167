//! Programs as objects: the same bits as in process, on any number of threads, for several sizes.

use crate::{cases, of_other_sizes};
use latentc_backends::cpu::Isa;
use latentc_backends::testing::{Results, fail, give, identical, results};
use latentc_backends::{Cache, Options as Running, Session, Store, plan};
use latentc_ir::testing::{Options, RandomGraph, graphs};
use latentc_tests::aot::Loaded;
use proptest::prelude::*;

/// `level` as objects name it; of sessions those that this processor has.
pub fn check(graph: &RandomGraph, level: &str) -> Result<(), TestCaseError> {
    let host = Isa::host().map_err(fail)?;
    let (isa, asked) = match level {
        "native" => (host, None),
        level if level > host.name => return Ok(()),
        level => (Isa::by_name(level).map_err(fail)?, Some(level.to_owned())),
    };
    let program = plan(&graph.graph, &isa).map_err(fail)?;
    let options = Running { threads: 1, cache: Cache::Off, level: asked, ..Running::default() };
    let mut session = Session::cpu(&program, &options).map_err(fail)?;
    let loaded = Loaded::new(&graph.graph, level).map_err(fail)?;
    let mut all = vec![RandomGraph { graph: graph.graph.clone(), inputs: graph.inputs.clone() }];
    all.extend(of_other_sizes(&graph.graph, 7));
    for given in &all {
        let mut store = Store::new();
        give(&mut session, &mut store, given)?;
        session.run(&mut store).map_err(fail)?;
        let expected = results(&session, &store, &program)?;
        for threads in [1, 3] {
            let mut state = loaded.state(&given.inputs).map_err(fail)?;
            state.run(threads).map_err(fail)?;
            let (outputs, kept) = state.results();
            identical(&format!("{level}, {threads} threads"), &expected, &Results { outputs, kept })?;
        }
    }
    Ok(())
}

/// Levels of x86-64; on other processors there is one, which is the native one.
fn levels() -> impl Strategy<Value = &'static str> {
    let named = if cfg!(target_arch = "x86_64") { "x86-64-v3" } else { "native" };
    prop_oneof![Just("native"), Just(named), Just(if named == "native" { named } else { "x86-64-v4" })]
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn objects_give_the_same_bits(graph in graphs(Options::default()), level in levels()) {
        check(&graph, level)?;
    }

    #[test]
    fn gradients_too(graph in graphs(Options::default()), level in levels()) {
        check(&graph.with_gradients(), level)?;
    }
}
