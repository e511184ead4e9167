//! Checked plans of random graphs: they give what the interpreter gives, or object to what it objects to.

use crate::cases;
use latentc_backends::cpu::Isa;
use latentc_backends::testing::{fail, give, interpreted, results, same};
use latentc_backends::{Cache, Options, RunError, Session, Store, Wrong, plan_checked};
use latentc_ir::plan::{self, CheckKind};
use latentc_ir::testing::{self, RandomGraph, graphs};
use proptest::prelude::*;

fn options() -> Options {
    Options { threads: 2, cache: Cache::Off, checked: true, ..Options::default() }
}

/// What a session says of a graph; its store is as before where it objects.
fn run(mut session: Session, graph: &RandomGraph) -> Result<(Session, Store, Option<Wrong>), TestCaseError> {
    let mut store = Store::new();
    give(&mut session, &mut store, graph)?;
    let before = store.clone();
    match session.run(&mut store) {
        Ok(()) => Ok((session, store, None)),
        Err(RunError::Fault(fault)) if store == before => Ok((session, store, Some(fault.wrong))),
        Err(e) => Err(fail(format!("{e}, store changed: {}", store != before)).into()),
    }
}

pub fn check(graph: &RandomGraph, tolerance: f64) -> Result<(), TestCaseError> {
    let program = plan_checked(&graph.graph, &Isa::host().map_err(fail)?).map_err(fail)?;
    // Every check is of a launch, in order, and reads what is there by then.
    for pair in program.checks.windows(2) {
        prop_assert!(pair[0].launch <= pair[1].launch);
    }
    for c in &program.checks {
        let written = |b: usize| program.launches[..=c.launch].iter().any(|l| l.buffers.contains(&b));
        if let CheckKind::Finite { writes, .. } = &c.kind {
            prop_assert!(written(*writes), "{c:?}\n{program}");
        }
    }
    let unguarded = testing::unguarded(&program);
    prop_assert!(unguarded.is_empty(), "{unguarded:?}\n{program}");
    let compiled = Session::cpu(&program, &options()).map_err(fail)?;
    let (session, store, objection) = run(compiled, graph)?;
    let interpreter = Session::interp_with(&graph.graph, &options()).map_err(fail)?;
    let (.., expected) = run(interpreter, graph)?;
    match objection {
        None => {
            let simulated = plan::interp::run(&program, &|name| graph.input(name));
            simulated.map_err(|e| fail(format!("{e}\n{program}")))?;
            same("checked", &interpreted(graph)?, &results(&session, &store, &program)?, tolerance)?;
            prop_assert_eq!(expected, None);
        }
        Some(wrong) => prop_assert_eq!(expected, Some(wrong)),
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn f32(graph in graphs(testing::Options::default())) {
        check(&graph, 1e-4)?;
    }

    #[test]
    fn gradients(graph in graphs(testing::Options::default())) {
        check(&graph.with_gradients(), 1e-4)?;
    }
}
