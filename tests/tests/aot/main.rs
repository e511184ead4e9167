//! Ahead-of-time builds from outside: C and Rust programs that use them, what objects need, what they refuse.
//!
//! * [`c`]: the example in `aot/c`: compiled with warnings as errors, run, run under valgrind, inspected.
//! * [`rust`]: the crate in `aot/rust`, whose build script compiles its model.
//! * [`bits`]: a step of LightGCN gives the same bits as in process; other instruction sets give nearly the same.
//! * [`refusals`]: what a call is given and must not be.
//! * [`weights`]: values from the object and from safetensors files, good and bad.
//! * [`targets`]: objects for other systems; the C example for 64-bit ARM runs under an emulator.
//!
//! Tools that not every machine has (valgrind, a cross compiler, the emulator) are skipped with a word on stderr where
//! they are missing; a C compiler is needed.

mod bits;
mod c;
mod ids;
mod refusals;
mod rust;
mod targets;
mod weights;

use latentc::Program;
use latentc_models::common::config::Sources;
use latentc_models::common::data::{Declared, Interactions, open};
use latentc_models::systems::find;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The examples.
fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("aot")
}

/// The data of the examples.
fn data() -> Interactions {
    open(&examples().join("c/data"), Declared { users: None, items: None }).unwrap()
}

/// The programs of LightGCN for a data set.
fn programs(data: &Interactions, settings: &[&str]) -> Vec<(&'static str, Program)> {
    let sources = settings.iter().fold(Sources::default(), |s, setting| s.setting(*setting));
    let configured = (find("lightgcn").unwrap().configure)(&sources).unwrap();
    configured.programs(data).unwrap()
}

/// Those for the data of the examples, small ones.
fn lightgcn() -> Vec<(&'static str, Program)> {
    programs(&data(), &["dim=16", "layers=2", "batch=256"])
}

/// Whether a tool can be started.
fn there(tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok();
    if !there {
        eprintln!("skipped: there is no {tool}");
    }
    there
}

/// Runs a command that has to succeed.
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    output
}

/// What it prints.
fn printed(command: &mut Command) -> String {
    String::from_utf8(run(command).stdout).unwrap()
}
