//! The Rust example: a crate outside of this workspace whose build script compiles its model.

use super::{examples, printed, run, there};
use std::path::Path;
use std::process::Command;

#[test]
fn a_crate_compiles_its_own_model() {
    let crate_dir = examples().join("rust");
    // The versions that are here already, so that nothing is fetched.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    std::fs::copy(lock, crate_dir.join("Cargo.lock")).unwrap();
    // Beside this workspace's own build, so that what the build script needs is compiled once.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("example");
    let mut cargo = Command::new(env!("CARGO"));
    run(cargo.args(["build", "--offline"]).current_dir(&crate_dir).env("CARGO_TARGET_DIR", &target));
    let program = target.join("debug/latentc-example");

    let text = printed(&mut Command::new(&program));
    let number = |line: &str| line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap();
    let losses: Vec<f64> = text.lines().filter(|l| l.starts_with("epoch")).map(number).collect();
    assert!(losses[0] > 0.05 && losses[39] < 0.001, "{losses:?}");
    let held = text.lines().find(|l| l.starts_with("held out")).map(number).unwrap();
    assert!(held < 0.001, "{held}");
    let refused: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("refused: ")).collect();
    assert_eq!(
        refused,
        [
            "input `user` has 399 elements, expected 400",
            "dimension `batch` is 5000, outside 1..=1024",
            "input `user`, element 3: 50 is outside 0..50",
        ]
    );

    let names = printed(Command::new("nm").arg(&program));
    assert!(names.contains("step_run") && !names.to_lowercase().contains("llvm"), "there is LLVM in it");
    assert!(
        !names.contains("latentc_ir") && !names.contains("latentc_backends"),
        "there is a compiler in it"
    );
    if there("ldd") {
        let libraries = printed(Command::new("ldd").arg(&program));
        assert!(!libraries.contains("LLVM") && !libraries.contains("stdc++"), "{libraries}");
    }
}
