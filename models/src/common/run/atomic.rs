//! Replacing a file so that, whatever happens, there is either the old content or the new, whole.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that could not be saved; what was there before is untouched.
#[derive(Debug, thiserror::Error)]
#[error("{}: not saved ({source}); {}the previous content is untouched", path.display(), help(source))]
pub struct SaveError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

fn help(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free some space or use another --out, then go on with --resume; "
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "the folder cannot be written: use another --out; "
        }
        _ => "",
    }
}

/// Replaces a file: written beside it, flushed to the disk, then renamed over it.
pub fn save(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    save_with(path, |file| file.write_all(bytes))
}

/// As [`save`], with the content written piece by piece.
pub(super) fn save_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), SaveError> {
    replace(path, write).map_err(|source| SaveError { path: path.to_path_buf(), source })
}

fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".latentc-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // What the process's umask leaves of it, as for any file that is created.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    // Dropped on any error below, and removed with that.
    let mut beside = builder.tempfile_in(dir)?;
    write(beside.as_file_mut())?;
    beside.as_file().sync_all()?;
    beside.persist(path).map_err(|e| e.error)?;
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_write_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("last.safetensors");
        save(&path, b"old").unwrap();
        let e = save_with(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap_err()
        .to_string();
        assert!(e.contains("last.safetensors: not saved") && e.contains("the disk is full"), "{e}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        save(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    /// A real full device: every write to it fails with "no space left".
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_device_reads_as_a_full_disk() {
        let Ok(mut full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
            println!("skipped, no /dev/full");
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let e = save_with(&path, |_| full.write_all(b"x")).unwrap_err();
        assert!(e.to_string().contains("the disk is full"), "{e}");
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_is_absent_is_named() {
        let e = save(Path::new("/nonexistent/dir/x"), b"").unwrap_err().to_string();
        assert!(e.contains("/nonexistent/dir/x: not saved"), "{e}");
    }
}
