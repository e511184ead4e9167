//! Dumps of plans that no graph is known of. (Those of graphs are tried by the command line.)

use crate::step::program;
use latentc_backends::{Cache, CompileError, Options, Session};
use std::path::PathBuf;

#[test]
fn a_plan_is_dumped_down_to_machine_code() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        |dump: PathBuf| Options { threads: 1, cache: Cache::Off, dump: Some(dump), ..Options::default() };
    let p = program();
    Session::cpu(&p, &options(dir.path().join("dumps"))).unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join("dumps/step").join(name)).unwrap();
    assert_eq!(read("00-plan.txt"), p.to_string());
    for kernel in &p.kernels {
        assert_eq!(read(&format!("kernels/{}.nest", kernel.name)), kernel.to_string());
        assert!(read(&format!("kernels/{}.ll", kernel.name)).contains("define"));
        assert!(read(&format!("kernels/{}.s", kernel.name)).contains(&kernel.name));
    }
    // A file where the folder should be.
    let e = Session::cpu(&p, &options(dir.path().join("dumps/step/00-plan.txt"))).unwrap_err();
    assert!(matches!(e, CompileError::Dump { .. }), "{e}");
    assert!(e.to_string().contains("00-plan.txt") && e.to_string().contains("another folder"), "{e}");
}
