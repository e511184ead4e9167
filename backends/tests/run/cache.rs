//! The disk cache, as a session uses it.

use crate::step::{Numbers, program, reference};
use latentc_backends::{Cache, CacheNote, Options, Report, Session};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Compiles, or not, and checks that what comes out computes the right thing.
fn report(dir: &Path) -> Report {
    let options = Options { threads: 2, cache: Cache::Dir(dir.to_owned()), ..Options::default() };
    let mut s = Session::cpu(&program(), &options).unwrap();
    let mut numbers = Numbers::new(10);
    let graph = numbers.graph(50, 60, 300);
    let mut store = numbers.store(110);
    let mut expected = store.clone();
    let ids = numbers.ids(70, 110);
    s.set_csr("adj", graph.clone()).unwrap();
    s.set("keep", &[], &[0.5f32]).unwrap();
    s.set("ids", &[70], &ids).unwrap();
    s.run(&mut store).unwrap();
    let (rows, sum) = reference(&graph, &ids, 0.5, &mut expected);
    assert_eq!(s.output::<f32>("rows").unwrap().1, rows);
    assert_eq!(s.output::<f32>("sum").unwrap().1, [sum]);
    assert!(store == expected);
    s.report()
}

fn cached(report: &Report) -> Vec<bool> {
    report.kernels.iter().map(|k| k.cached).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_second_session_compiles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cold = report(dir.path());
    assert_eq!((cached(&cold), cold.notes.len()), (vec![false; 4], 0));
    assert_eq!(cold.cache.as_deref(), Some(dir.path()));
    assert_eq!(files(dir.path()).len(), 4);
    let warm = report(dir.path());
    assert_eq!((cached(&warm), warm.notes.len()), (vec![true; 4], 0));
    assert_eq!(cold.memory, warm.memory);
}

#[test]
fn a_damaged_file_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    report(dir.path());
    let names = files(dir.path());
    let mut bytes = fs::read(&names[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&names[1], &bytes).unwrap();
    fs::write(&names[2], &fs::read(&names[2]).unwrap()[..100]).unwrap();
    let again = report(dir.path());
    assert_eq!(cached(&again).iter().filter(|c| **c).count(), 2);
    assert_eq!(again.notes.len(), 2);
    for note in &again.notes {
        assert!(matches!(note, CacheNote::Damaged { .. }), "{note}");
    }
    assert_eq!(cached(&report(dir.path())), [true; 4]);
}

#[test]
#[cfg(unix)]
fn a_folder_that_others_can_write_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let r = report(dir.path());
    assert_eq!((cached(&r), &r.cache), (vec![false; 4], &None));
    assert!(matches!(&r.notes[..], [CacheNote::Unsafe { .. }]));
    assert!(r.to_string().contains("may be written by everyone (mode 777)"), "{r}");
    assert!(files(dir.path()).is_empty());
}

#[test]
#[cfg(unix)]
fn a_folder_of_another_user_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    // Only root may give a folder away.
    if std::os::unix::fs::chown(dir.path(), Some(12345), None).is_err() {
        println!("skipped, this user may not give folders away");
        return;
    }
    let r = report(dir.path());
    assert_eq!((cached(&r), &r.cache), (vec![false; 4], &None));
    assert!(matches!(&r.notes[..], [CacheNote::Unsafe { .. }]));
    let text = r.to_string();
    assert!(text.contains("belongs to user 12345") && text.contains("compiled without a cache"), "{text}");
    assert!(files(dir.path()).is_empty());
}

/// A file system of 4 KiB, where this user may mount one.
#[cfg(target_os = "linux")]
struct Small(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl Small {
    fn new() -> Option<Small> {
        let dir = tempfile::tempdir().unwrap();
        let words = ["-t", "tmpfs", "-o", "size=4k,mode=0700", "tmpfs"];
        let mounted = std::process::Command::new("mount").args(words).arg(dir.path()).output();
        mounted.is_ok_and(|o| o.status.success()).then(|| Small(dir))
    }
}

#[cfg(target_os = "linux")]
impl Drop for Small {
    fn drop(&mut self) {
        let done = std::process::Command::new("umount").arg(self.0.path()).status();
        assert!(done.is_ok_and(|s| s.success()) || std::thread::panicking());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_noted_once_and_nothing_fails() {
    let Some(small) = Small::new() else {
        println!("skipped, this user may not mount a small file system");
        return;
    };
    let folder = small.0.path().join("kernels");
    for _ in 0..2 {
        let r = report(&folder);
        assert_eq!(r.kernels.len(), 4);
        assert!(matches!(&r.notes[..], [CacheNote::Full { .. }]), "{r}");
        assert!(r.to_string().contains("is full: what was compiled is not kept"), "{r}");
        let left = files(&folder);
        assert!(left.iter().all(|f| f.extension().is_some_and(|e| e == "kernel")), "{left:?}");
    }
}

#[test]
fn a_folder_that_is_none_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let r = report(&file);
    assert!(matches!(&r.notes[..], [CacheNote::Unusable { .. }]));
}

#[test]
fn equal_kernels_are_compiled_once() {
    let mut p = program();
    let mut copy = p.kernels[0].clone();
    copy.name = "another_name".to_owned();
    // Another kernel under a name that is taken.
    let mut other = p.kernels[3].clone();
    other.name = "spmm".to_owned();
    p.kernels.extend([copy, other]);
    p.launches[0].kernel = 4;
    let s = Session::cpu(&p, &Options { threads: 1, cache: Cache::Off, ..Options::default() }).unwrap();
    let r = s.report();
    let seen: Vec<(&str, usize)> = r.kernels.iter().map(|k| (k.name.as_str(), k.launches)).collect();
    assert_eq!(seen, [("spmm", 1), ("mix", 1), ("gather", 1), ("finish", 1)]);
}

#[test]
#[ignore = "a measurement, not a check"]
fn time_of_a_warm_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut p = program();
    // Thirty kernels that differ in the number of their dimensions.
    for i in 0..26 {
        let mut k = p.kernels[i % 4].clone();
        k.name = format!("k{i}");
        k.dims.extend((0..=i).map(|d| format!("unused{d}")));
        p.kernels.push(k);
    }
    for state in ["cold", "warm", "warm"] {
        let start = Instant::now();
        let options = Options { threads: 2, cache: Cache::Dir(dir.path().to_owned()), ..Options::default() };
        let s = Session::cpu(&p, &options).unwrap();
        println!("{state}: {:?}\n{}", start.elapsed(), s.report());
    }
}
