//! Files that tests are read from: every file below `filetests` (see [`latentc_tests::filetests`]), and models.

mod onnx;
mod parsers;

use latentc_ir::rewrite;
use latentc_models::check::memory::Counting;
use latentc_tests::filetests::{BLESS, files, run_file};
use std::path::{Path, PathBuf};

/// Counts, for the tests of readers.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn filetests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("filetests");
    let bless = std::env::var_os(BLESS).is_some_and(|v| v == "1");
    let all = files(&root).unwrap();
    assert!(!all.is_empty(), "no filetests in {}", root.display());
    let wrong: Vec<String> = all.iter().filter_map(|f| run_file(&root, f, bless).err()).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} files are not as expected; {BLESS}=1 accepts what was found\n\n{}",
        wrong.len(),
        all.len(),
        wrong.join("\n")
    );
    let missing = rules_without_a_file(&root);
    assert!(missing.is_empty(), "no file below filetests/rewrite applies {missing:?}");
}

/// The rules of rewriting that no `rules` section of the files applies.
fn rules_without_a_file(root: &Path) -> Vec<&'static str> {
    let read = |f: PathBuf| std::fs::read_to_string(f).unwrap();
    let shown: String = files(&root.join("rewrite")).unwrap().into_iter().map(read).collect();
    let applied = |name: &str| {
        let count = |line: &str| line.strip_prefix(name)?.strip_prefix(": ")?.parse::<usize>().ok();
        shown.lines().any(|line| count(line).is_some_and(|n| n > 0))
    };
    rewrite::all().map(|r| r.name).filter(|name| !applied(name)).collect()
}
