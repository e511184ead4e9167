//! The folder as a table: look up, keep, trim.

use super::{CacheNote, Entry, entry, folder};
use crate::options::Cache;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// The folder is kept below this many bytes.
const LIMIT: u64 = 512 << 20;
/// A use is noted in the file's time at most this often.
const NOTED: Duration = Duration::from_secs(60);
/// A temporary file older than this was left by a process that died.
const ABANDONED: Duration = Duration::from_secs(3600);
const EXTENSION: &str = "kernel";

/// The cache's folder, found to be safe.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: PathBuf,
    limit: u64,
}

impl Disk {
    /// Finds or makes the folder; `None` where none is wanted.
    pub fn open(cache: &Cache) -> Result<Option<Disk>, CacheNote> {
        let dir = match cache {
            Cache::Off => return Ok(None),
            Cache::Default => folder::default(|name| std::env::var_os(name)).ok_or(CacheNote::NoPlace)?,
            Cache::Dir(dir) => dir.clone(),
        };
        folder::prepare(&dir)?;
        Ok(Some(Disk { dir, limit: LIMIT }))
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn file(&self, hash: u128) -> PathBuf {
        self.dir.join(format!("{hash:032x}.{EXTENSION}"))
    }

    /// The entry of this identity, where there is a whole one. A damaged file is removed.
    pub fn load(&self, identity: &str) -> Result<Option<Entry>, CacheNote> {
        let file = self.file(entry::hash(identity.as_bytes()));
        let bytes = match read(&file) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(note(&file, "read", e)),
        };
        match Entry::decode(&bytes) {
            Ok((found, entry)) => Ok((found == identity).then_some(entry)),
            Err(why) => {
                // Another process may have removed it, or be about to replace it: both are well.
                let _ = fs::remove_file(&file);
                Err(CacheNote::Damaged { file, why })
            }
        }
    }

    /// Keeps an entry.
    pub fn store(&self, identity: &str, entry: &Entry) -> Result<(), CacheNote> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let file = self.file(entry::hash(identity.as_bytes()));
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!("{}-{next}.tmp", std::process::id()));
        let write = || {
            let mut f = File::options().write(true).create_new(true).open(&temporary)?;
            f.write_all(&entry.encode(identity))?;
            drop(f);
            fs::rename(&temporary, &file)
        };
        write().map_err(|e| {
            let _ = fs::remove_file(&temporary);
            match e.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    CacheNote::Full { dir: self.dir.clone() }
                }
                _ => note(&file, "write", e),
            }
        })
    }

    /// Removes what was used least recently while the folder is over its limit, down to three quarters of
    /// it so that this is rare, and what dead processes left.
    pub fn trim(&self) -> Result<(), CacheNote> {
        let list = || -> io::Result<Vec<(SystemTime, u64, PathBuf)>> {
            let mut kept = vec![];
            for found in fs::read_dir(&self.dir)? {
                let path = found?.path();
                let extension = path.extension().and_then(|e| e.to_str());
                // A file that another process has just removed is no concern of ours.
                let Ok(about) = fs::metadata(&path) else { continue };
                let used = about.modified()?;
                match extension {
                    Some(EXTENSION) => kept.push((used, about.len(), path)),
                    Some("tmp") if used.elapsed().is_ok_and(|age| age > ABANDONED) => {
                        let _ = fs::remove_file(&path);
                    }
                    _ => {}
                }
            }
            Ok(kept)
        };
        let mut kept = list().map_err(|e| note(&self.dir, "list", e))?;
        let mut total: u64 = kept.iter().map(|(_, bytes, _)| bytes).sum();
        if total <= self.limit {
            return Ok(());
        }
        kept.sort();
        for (_, bytes, file) in kept {
            if total <= self.limit / 4 * 3 {
                break;
            }
            match fs::remove_file(&file) {
                Ok(()) => total -= bytes,
                Err(e) if e.kind() == io::ErrorKind::NotFound => total -= bytes,
                Err(e) => return Err(note(&file, "remove", e)),
            }
        }
        Ok(())
    }
}

fn note(file: &Path, doing: &'static str, e: io::Error) -> CacheNote {
    CacheNote::File { file: file.to_owned(), doing, why: e.to_string() }
}

/// Reads a file and notes its use in its time of modification, which nothing else needs.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut f = File::open(file)?;
    let about = f.metadata()?;
    let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0));
    f.read_to_end(&mut bytes)?;
    let now = SystemTime::now();
    if about.modified().is_ok_and(|then| now.duration_since(then).is_ok_and(|age| age > NOTED)) {
        // On a file system that refuses, kernels are removed by their age instead.
        let _ = f.set_modified(now);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
