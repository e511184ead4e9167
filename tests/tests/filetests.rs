//! Runs every file below `filetests` (see [`latentc_tests::filetests`]).

use latentc_tests::filetests::{BLESS, files, run_file};
use std::path::Path;

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
}
