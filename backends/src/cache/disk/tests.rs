use super::*;
use std::collections::BTreeSet;

fn disk(limit: u64) -> (tempfile::TempDir, Disk) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk { dir: dir.path().to_owned(), limit };
    (dir, disk)
}

fn entry(size: usize) -> Entry {
    let object = (0..size).map(|i| i as u8).collect();
    Entry { symbol: "k".to_owned(), schedule: "flat lanes=16".to_owned(), object }
}

fn files(disk: &Disk) -> BTreeSet<String> {
    let name = |f: io::Result<fs::DirEntry>| f.unwrap().file_name().into_string().unwrap();
    fs::read_dir(disk.dir()).unwrap().map(name).collect()
}

#[test]
fn what_is_stored_comes_back() {
    let (_dir, disk) = disk(LIMIT);
    assert_eq!(disk.load("a"), Ok(None));
    disk.store("a", &entry(1000)).unwrap();
    disk.store("b", &entry(0)).unwrap();
    assert_eq!(disk.load("a"), Ok(Some(entry(1000))));
    assert_eq!(disk.load("b"), Ok(Some(entry(0))));
    assert_eq!(disk.load("c"), Ok(None));
    assert!(files(&disk).iter().all(|f| f.ends_with(".kernel")), "no temporary file is left");
}

#[test]
fn every_damaged_byte_and_every_cut_is_found() {
    let (_dir, disk) = disk(LIMIT);
    let whole = entry(50).encode("identity");
    let file = disk.file(entry::hash(b"identity"));
    let damaged = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        assert!(matches!(disk.load("identity"), Err(CacheNote::Damaged { .. })));
        assert!(!file.exists(), "it is removed");
    };
    for at in 0..whole.len() {
        damaged(&whole[..at]);
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        damaged(&bytes);
    }
    let mut longer = whole.clone();
    longer.push(0);
    damaged(&longer);
    disk.store("identity", &entry(50)).unwrap();
    assert_eq!(disk.load("identity"), Ok(Some(entry(50))));
}

#[test]
fn a_collision_of_hashes_is_a_miss() {
    let (_dir, disk) = disk(LIMIT);
    fs::write(disk.file(entry::hash(b"mine")), entry(5).encode("another's")).unwrap();
    assert_eq!(disk.load("mine"), Ok(None));
}

#[test]
fn the_least_recently_used_go_first() {
    let size = entry(1000).encode("0").len() as u64;
    let (_dir, disk) = disk(4 * size);
    let now = SystemTime::now();
    for i in 0..5u64 {
        let identity = i.to_string();
        disk.store(&identity, &entry(1000)).unwrap();
        let file = File::open(disk.file(entry::hash(identity.as_bytes()))).unwrap();
        file.set_modified(now - Duration::from_secs(1000 - i)).unwrap();
    }
    // Using the oldest makes it the youngest.
    assert!(disk.load("0").unwrap().is_some());
    disk.trim().unwrap();
    let left: Vec<bool> = (0..5).map(|i| disk.load(&i.to_string()).unwrap().is_some()).collect();
    assert_eq!(left, [true, false, false, true, true]);
    disk.trim().unwrap();
    assert_eq!(files(&disk).len(), 3, "below the limit nothing goes");
}

#[test]
fn what_the_dead_left_goes_and_what_the_living_write_stays() {
    let (dir, disk) = disk(LIMIT);
    for (name, age) in [("1-0.tmp", 7200), ("2-0.tmp", 10)] {
        let file = File::create(dir.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    disk.trim().unwrap();
    assert_eq!(files(&disk), BTreeSet::from(["2-0.tmp".to_owned()]));
}

#[test]
#[cfg(unix)]
fn a_folder_is_made_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("a").join("b");
    let disk = Disk::open(&Cache::Dir(inner.clone())).unwrap().unwrap();
    assert_eq!(disk.dir(), inner);
    assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Disk::open(&Cache::Dir(inner)), Err(CacheNote::Unsafe { .. })));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Disk::open(&Cache::Dir(file)), Err(CacheNote::Unusable { .. })));
}
