//! Runs cases of the ONNX backend suite and says how each ended:
//! `cargo run -p latentc-tests --example onnx -- [--interp] [PART OF A NAME]..`

use latentc_tests::onnx::case::On;
use latentc_tests::onnx::{Outcome, case, run_all, suite};
use std::path::Path;

fn main() -> Result<(), String> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let device = if arguments.iter().any(|a| a == "--interp") { On::Interp } else { On::Cpu };
    let parts: Vec<&String> = arguments.iter().filter(|a| !a.starts_with("--")).collect();
    let mut cases = suite::fetch(&target)?;
    cases.retain(|c| parts.is_empty() || parts.iter().any(|p| case::name(c).contains(p.as_str())));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let start = std::time::Instant::now();
    let outcomes = run_all(&cases, threads, device);
    let mut counts = [0usize; 5];
    for (name, (outcome, took)) in &outcomes {
        let (at, text) = match outcome {
            Outcome::Passed => (0, "passed".to_owned()),
            Outcome::Unsupported(what) => (1, format!("unsupported: {what}")),
            Outcome::Failed(what) => (2, format!("FAILED: {what}")),
            Outcome::Panicked(what) => (3, format!("PANICKED: {what}")),
            Outcome::Hung => (4, "HUNG".to_owned()),
        };
        counts[at] += 1;
        println!("{name} {:.3} {}", took.as_secs_f64(), text.replace('\n', " | "));
    }
    let [passed, unsupported, failed, panicked, hung] = counts;
    println!(
        "{passed} passed, {unsupported} unsupported, {failed} failed, {panicked} panicked, {hung} hung of {} in {:.1} s",
        outcomes.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}
