//! Compiled kernels kept between processes: one file a kernel, in a folder that nobody else can write.
//!
//! A file is named by a hash of everything that its content depends on, its *identity*, and holds the
//! identity itself: it is compared on the way back, so a collision of hashes costs a compilation and never
//! gives another kernel's code. A checksum finds what was damaged. Files appear by renaming, so a reader
//! sees a whole file or none, and two processes may write the same one. The folder is kept below a size by
//! removing what has not been used for longest.
//!
//! The cache never fails a program: what is wrong with it becomes a [`CacheNote`].
//!
//! The hash is XXH3-128: neither the names of files nor the checksum guard against malice, which the
//! folder's permissions do, so speed and few accidental collisions are what counts.

#[cfg(feature = "llvm")]
mod disk;
#[cfg(feature = "llvm")]
mod entry;
#[cfg(feature = "llvm")]
mod folder;

#[cfg(feature = "llvm")]
pub(crate) use {disk::Disk, entry::Entry};

use std::fmt;
use std::path::PathBuf;

/// What was wrong with the disk cache. The program is compiled and runs all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheNote {
    /// Neither `XDG_CACHE_HOME` nor `HOME` is an absolute path.
    NoPlace,
    /// Others could put code into the folder.
    Unsafe {
        /// The folder.
        dir: PathBuf,
        /// Whom it lets in.
        why: String,
    },
    /// The folder cannot be used.
    Unusable {
        /// The folder.
        dir: PathBuf,
        /// The system's reason.
        why: String,
    },
    /// A file was damaged; it has been removed and its kernel compiled again.
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The disk is full, or what this user may have of it.
    Full {
        /// The folder.
        dir: PathBuf,
    },
    /// A file could not be read, written or removed.
    File {
        /// The file.
        file: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        why: String,
    },
}

impl fmt::Display for CacheNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CacheNote::NoPlace => f.write_str(
                "no folder for compiled kernels: neither XDG_CACHE_HOME nor HOME is an absolute path; \
                 compiled without a cache",
            ),
            CacheNote::Unsafe { dir, why } => write!(
                f,
                "{} {why}, so others could put code into it; compiled without a cache (choose another \
                 folder, or make it yours alone)",
                dir.display()
            ),
            CacheNote::Unusable { dir, why } => {
                write!(f, "the folder {} cannot be used: {why}; compiled without a cache", dir.display())
            }
            CacheNote::Damaged { file, why } => {
                write!(f, "{} was damaged ({why}), removed and compiled again", file.display())
            }
            CacheNote::Full { dir } => write!(
                f,
                "the disk of {} is full: what was compiled is not kept, and is compiled again the next time (free \
                 some space there, or choose another folder)",
                dir.display()
            ),
            CacheNote::File { file, doing, why } => write!(f, "could not {doing} {}: {why}", file.display()),
        }
    }
}
