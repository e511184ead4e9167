//! Damaged files of every kind: an error or a value, never a panic, a read outside, or memory for what a file only claims.
//!
//! `latentc check --parsers` gives the readers as many as there is time for.

use latentc_models::check::memory::most_of;
use latentc_models::check::parsers::hunt_parsers;
use std::sync::atomic::AtomicBool;

#[test]
fn readers_stand_damaged_files() {
    let folder = tempfile::tempdir().unwrap();
    let hunted = hunt_parsers(1, (0, 400), None, folder.path(), &AtomicBool::new(false), &mut |_| {});
    let (tried, broken) = hunted.unwrap();
    if let Some(b) = broken {
        let text = String::from_utf8_lossy(&b.bytes);
        panic!("{} of number {}: {}\n{text}\n{:?}", b.target, b.case, b.what, b.bytes);
    }
    for t in tried {
        assert!(t.files == 400 && t.most > 0, "{t:?}");
    }
}

/// What the assertion on memory stands on.
#[test]
fn memory_is_counted() {
    let (vec, most) = most_of(|| {
        drop(vec![1u8; 1 << 20]);
        vec![1u8; 1000]
    });
    assert!((1 << 20..(1 << 20) + 5000).contains(&most) && vec.len() == 1000, "{most}");
}
