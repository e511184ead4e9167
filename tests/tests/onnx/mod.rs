//! Models in the ONNX format: the backend suite of its package, and files that lie.

mod bad;

use latentc_tests::onnx::case::{On, name};
use latentc_tests::onnx::{Outcome, run_all, skip_list, suite};
use std::path::Path;

/// Every case passes or stands in the list with a reason, and every case in the list fails: the list only shrinks.
/// None panics or hangs.
#[test]
fn backend_suite() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = match suite::fetch(Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Ok(cases) => cases,
        Err(why) => {
            println!("skipped, data absent: {why}");
            return;
        }
    };
    let skipped = skip_list(&root.join("onnx/skip.toml")).unwrap();
    let names: Vec<String> = cases.iter().map(|c| name(c)).collect();
    let mut wrong: Vec<String> = skipped
        .iter()
        .filter(|(case, reason)| !names.contains(case) || reason.trim().is_empty())
        .map(|(case, _)| format!("{case}: in the list, but no case, or without a reason"))
        .collect();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let outcomes = run_all(&cases, threads, On::Cpu);
    let mut passed = 0;
    for (case, (outcome, _)) in &outcomes {
        let listed = skipped.contains_key(case);
        match outcome {
            Outcome::Passed if listed => wrong.push(format!("{case} passes; take it out of the list")),
            Outcome::Passed => passed += 1,
            Outcome::Unsupported(_) | Outcome::Failed(_) if listed => {}
            other => wrong.push(format!("{case}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} cases are not as expected\n{}", wrong.len(), wrong.join("\n"));
    println!("{passed} of {} cases pass, {} are in the list", outcomes.len(), skipped.len());
    assert_eq!(outcomes.len(), suite::CASES);
    assert!(passed >= 1500, "{passed} pass");
}
