//! Where the cache is, and whether what lies there can be trusted to be ours.

use super::CacheNote;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::path::{Path, PathBuf};

/// The usual place, by the variables of the environment.
pub(super) fn default(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| variable(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("latentc"))
}

/// Makes the folder where it is missing, for its owner alone, and refuses one that others can write.
pub(super) fn prepare(dir: &Path) -> Result<(), CacheNote> {
    let unusable = |e: std::io::Error| CacheNote::Unusable { dir: dir.to_owned(), why: e.to_string() };
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(unusable)?;
    let about = fs::metadata(dir).map_err(unusable)?;
    match intruder(&about) {
        Some(why) => Err(CacheNote::Unsafe { dir: dir.to_owned(), why }),
        None => Ok(()),
    }
}

/// Who else may write into a folder.
#[cfg(unix)]
fn intruder(about: &fs::Metadata) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    // SAFETY: it only asks who we are.
    let us = unsafe { libc::geteuid() };
    refuse(us, about.uid(), about.mode())
}

#[cfg(not(unix))]
fn intruder(_: &fs::Metadata) -> Option<String> {
    Some("lies on a system whose permissions are not understood here".to_owned())
}

#[cfg(unix)]
fn refuse(us: u32, owner: u32, mode: u32) -> Option<String> {
    if owner != us {
        return Some(format!("belongs to user {owner}, and this process runs as user {us}"));
    }
    match (mode & 0o020 != 0, mode & 0o002 != 0) {
        (_, true) => Some(format!("may be written by everyone (mode {:o})", mode & 0o7777)),
        (true, _) => Some(format!("may be written by its group (mode {:o})", mode & 0o7777)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_place() {
        let with = |vars: &'static [(&str, &str)]| {
            default(move |n| vars.iter().find(|(k, _)| *k == n).map(|(_, v)| OsString::from(v)))
        };
        assert_eq!(with(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]), Some("/c/latentc".into()));
        assert_eq!(with(&[("HOME", "/h")]), Some("/h/.cache/latentc".into()));
        // A relative path is to be ignored, as the XDG specification says.
        assert_eq!(with(&[("XDG_CACHE_HOME", "c"), ("HOME", "/h")]), Some("/h/.cache/latentc".into()));
        assert_eq!(with(&[]), None);
    }

    #[test]
    #[cfg(unix)]
    fn only_our_own_folder_will_do() {
        assert_eq!(refuse(7, 7, 0o40700), None);
        assert_eq!(refuse(7, 7, 0o40755), None);
        assert!(refuse(7, 0, 0o40700).unwrap().contains("user 0"));
        assert!(refuse(7, 7, 0o40770).unwrap().contains("group"));
        assert!(refuse(7, 7, 0o41777).unwrap().contains("everyone"));
    }
}
