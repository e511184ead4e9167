//! The C example.

use super::{data, examples, lightgcn, printed, programs, run, there};
use latentc::Program;
use latentc::aot::{self, Emit};
use latentc_models::common::data::{shipped, to_ngcf};
use std::path::Path;
use std::process::Command;

/// The library of the example, in a folder.
pub fn build(dir: &Path, target: Option<&str>, levels: &[&str], programs: Vec<(&str, Program)>) {
    let mut library = aot::library("lightgcn").cpu(levels.iter().copied());
    for (word, program) in programs {
        library = library.add(&format!("lightgcn_{word}"), program);
    }
    if let Some(target) = target {
        library = library.target(target);
    }
    library.write(dir, &[Emit::Obj, Emit::StaticLib, Emit::Header]).unwrap();
}

/// Compiles the example against a library.
pub fn compile(compiler: &str, dir: &Path, more: &[&str]) {
    let flags = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion"];
    let mut cc = Command::new(compiler);
    cc.args(flags).arg(examples().join("c/serve.c")).arg("-I").arg(dir).arg("-L").arg(dir);
    cc.args(["-llightgcn", "-lm", "-lpthread"]).args(more).arg("-o").arg(dir.join("serve"));
    run(&mut cc);
}

/// What the example prints.
pub struct Printed {
    /// The mean loss of each epoch, of its first step and of its last.
    pub losses: Vec<[f64; 3]>,
    /// The share of held-out items that were found.
    pub recall: f64,
    /// The share that guessing finds.
    pub guessing: f64,
}

pub fn results(text: &str) -> Printed {
    let number = |line: &str, word: &str| {
        let mut words = line.split(' ').skip_while(|w| *w != word).skip(1);
        words.next().and_then(|n| n.parse::<f64>().ok()).unwrap_or_else(|| panic!("no {word} in {line}"))
    };
    let epochs = text.lines().filter(|l| l.starts_with("epoch"));
    let losses = epochs.map(|l| ["loss", "first", "last"].map(|word| number(l, word))).collect();
    let found = text.lines().find(|l| l.starts_with("recall@20"));
    let found = found.unwrap_or_else(|| panic!("no recall in {text}"));
    Printed { losses, recall: number(found, "recall@20"), guessing: number(found, "guessing") }
}

#[test]
fn a_c_program_trains_and_serves() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    build(dir, None, &[], lightgcn());
    compile("cc", dir, &[]);
    let folder = examples().join("c/data");
    let serve = |threads: &str| printed(Command::new(dir.join("serve")).arg(&folder).args([threads, "30"]));
    let text = serve("1");
    assert_eq!(text, serve("3"), "threads change results");
    let Printed { losses, recall, guessing } = results(&text);
    assert_eq!(losses.len(), 30);
    assert!(losses[0][0] < 0.7 && losses[29][0] < 0.15, "{losses:?}");
    // 20 of some 190 items.
    assert!(recall > 0.6 && (0.1..0.12).contains(&guessing), "{recall} {guessing}");
    assert_eq!(text.lines().filter(|l| l.starts_with("user")).count(), 3);

    needs_the_c_library_alone(dir);
    header_is_c_and_cpp(dir);
    if there("valgrind") {
        // Valgrind shows a processor without AVX-512, so this also sees the other level chosen.
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=all", "-q"]);
        let output = run(valgrind.arg(dir.join("serve")).arg(&folder).args(["2", "30"]));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("level 4"), "{said}");
        let other = results(&String::from_utf8(output.stdout).unwrap());
        let (found, expected) = (other.losses[29][0], losses[29][0]);
        assert!(
            (found - expected).abs() < 0.02 && (other.recall - recall).abs() < 0.05,
            "{found} {expected}"
        );
    }
}

/// One epoch on the data that ships: the loss falls, and the lists of all users are better than guessing.
#[test]
fn a_c_program_learns_gowalla() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let data = shipped("gowalla").unwrap();
    build(dir, None, &[], programs(&data, &[]));
    compile("cc", dir, &[]);
    for (file, lists) in [("train.txt", &data.train), ("test.txt", &data.test)] {
        std::fs::write(dir.join(file), to_ngcf(lists)).unwrap();
    }
    let text = printed(Command::new(dir.join("serve")).arg(dir).args(["2", "1"]));
    let Printed { losses, recall, guessing } = results(&text);
    let [mean, first, last] = losses[0];
    assert!(first > mean && mean > last && last < 0.75 * first, "{text}");
    assert!(recall > 50.0 * guessing, "{text}");
}

/// Undefined symbols of the objects are functions of the C library and its mathematics; the program is linked with
/// nothing else.
fn needs_the_c_library_alone(dir: &Path) {
    for program in ["step", "embed", "rank"] {
        let object = dir.join(format!("lightgcn_{program}.o"));
        let undefined = printed(Command::new("nm").args(["-u", "--format=posix"]).arg(&object));
        for line in undefined.lines() {
            let symbol = line.split(' ').next().unwrap_or_default();
            assert!(["memcpy", "memset", "pow"].contains(&symbol), "{program} needs {symbol}");
        }
        let defined =
            printed(Command::new("nm").args(["--defined-only", "-g", "--format=posix"]).arg(object));
        for line in defined.lines() {
            assert!(line.starts_with(&format!("lightgcn_{program}_")), "{line}");
        }
    }
    if there("ldd") {
        let libraries = printed(Command::new("ldd").arg(dir.join("serve")));
        for line in libraries.lines() {
            let known = ["linux-vdso", "libm.so", "libc.so", "libpthread.so", "ld-linux"];
            assert!(known.iter().any(|k| line.contains(k)), "linked with {line}");
        }
    }
}

fn header_is_c_and_cpp(dir: &Path) {
    let source = dir.join("twice.c");
    std::fs::write(
        &source,
        "#include \"lightgcn.h\"\n#include \"lightgcn.h\"\nint main(void) { return 0; }\n",
    )
    .unwrap();
    let strict = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-I"];
    run(Command::new("cc").arg("-std=c11").args(strict).arg(dir).arg(&source));
    if there("g++") {
        run(Command::new("g++").args(["-std=c++11", "-x", "c++"]).args(strict).arg(dir).arg(&source));
    }
}

#[test]
fn the_shared_library_exports_its_functions() {
    let dir = tempfile::tempdir().unwrap();
    let (_, program) = lightgcn().remove(2);
    let files = aot::build("ranker", program).write(dir.path(), &[Emit::SharedLib]).unwrap();
    let names =
        printed(Command::new("nm").args(["-D", "--defined-only", "--format=posix"]).arg(&files[0].path));
    let mut names: Vec<&str> = names.lines().filter_map(|l| l.split(' ').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["ranker_error_text", "ranker_init", "ranker_run", "ranker_workspace_bytes"]);
}

/// What the sizes of the shipped data come to is told by `latentc build lightgcn --report`; code does not depend on
/// how many rows there are.
#[test]
fn objects_are_small() {
    for (program, most) in [("step", 400_000), ("embed", 200_000), ("rank", 200_000)] {
        for level in ["x86-64-v3", "x86-64-v4"] {
            let (_, p) = lightgcn().into_iter().find(|(word, _)| *word == program).unwrap();
            let built = aot::build("one", p).target("x86_64-linux").cpu([level]).compile(false).unwrap();
            let report = &built.report.units[0];
            assert!(report.object < most, "{program} {level}: {}", report.object);
            assert!(report.kernels.iter().all(|k| k.bytes > 0), "{}", built.report);
            assert!(report.code(level) < report.object);
        }
    }
    assert!(data().train.pairs() > 1000);
}
