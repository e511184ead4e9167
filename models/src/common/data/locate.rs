//! Finding a data set: by the name of one that ships inside the program, or by a path.

use super::{DataError, Declared, Interactions, decode, load_lastfm, load_ngcf, read};
use std::path::{Path, PathBuf};

/// The data sets that ship inside the program. Sources and terms: `models/data/README.md`.
pub const SHIPPED: &[&str] = &["gowalla"];

static GOWALLA: &[u8] = include_bytes!("../../../data/gowalla.lcd");

/// Whether a data set of this name ships inside the program.
pub fn is_shipped(name: &str) -> bool {
    SHIPPED.contains(&name)
}

/// A data set that ships inside the program.
pub fn shipped(name: &str) -> Result<Interactions, DataError> {
    match name {
        "gowalla" => decode("gowalla (shipped)", GOWALLA),
        _ => Err(DataError::NotShipped { name: name.to_string(), shipped: SHIPPED.join(", ") }),
    }
}

/// How a data set lies on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataFormat {
    /// NGCF's text files, train and test.
    Ngcf(PathBuf, PathBuf),
    /// LastFM's text files, train and test.
    LastFm(PathBuf, PathBuf),
    /// One packed file.
    Packed(PathBuf),
}

impl DataFormat {
    /// What lies at a path: a packed file, or a folder with `train.txt` and `test.txt` (NGCF), `data1.txt`
    /// and `test1.txt` (LastFM), each also with `.gz`, or exactly one `.lcd` file.
    pub fn of(path: &Path) -> Result<DataFormat, DataError> {
        let kind = std::fs::metadata(path).map_err(|e| DataError::read(path, e))?;
        if !kind.is_dir() {
            return Ok(DataFormat::Packed(path.to_path_buf()));
        }
        let pair = |train: &str, test: &str| Some((existing(path, train)?, existing(path, test)?));
        if let Some((train, test)) = pair("train.txt", "test.txt") {
            return Ok(DataFormat::Ngcf(train, test));
        }
        if let Some((train, test)) = pair("data1.txt", "test1.txt") {
            return Ok(DataFormat::LastFm(train, test));
        }
        let entries = std::fs::read_dir(path).map_err(|e| DataError::read(path, e))?;
        let mut packed: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|e| e.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "lcd"))
            .collect();
        match (packed.pop(), packed.is_empty()) {
            (Some(file), true) => Ok(DataFormat::Packed(file)),
            (_, alone) => {
                let mut looked = "train.txt + test.txt, data1.txt + test1.txt (each also .gz)".to_string();
                looked +=
                    if alone { ", one .lcd file" } else { ", one .lcd file (there are several: name one)" };
                Err(DataError::NoDataSet { path: path.to_path_buf(), looked })
            }
        }
    }
}

fn existing(dir: &Path, name: &str) -> Option<PathBuf> {
    [dir.join(name), dir.join(format!("{name}.gz"))].into_iter().find(|p| p.is_file())
}

/// The data set at a path, named after it. Declared table sizes apply to the text formats; a packed set has
/// its own.
pub fn open(path: &Path, declared: Declared) -> Result<Interactions, DataError> {
    let full = path.canonicalize().map_err(|e| DataError::read(path, e))?;
    let name = full.file_name().map_or("data".into(), |n| n.to_string_lossy().into_owned());
    match DataFormat::of(path)? {
        DataFormat::Ngcf(train, test) => load_ngcf(&name, &train, &test, declared),
        DataFormat::LastFm(train, test) => load_lastfm(&name, &train, &test, declared),
        DataFormat::Packed(file) => decode(&file.display().to_string(), &read::read(&file)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart_by_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let e = open(dir.path(), Declared::default()).unwrap_err().to_string();
        assert!(e.contains("looked for train.txt + test.txt"), "{e}");
        put("data1.txt", "1\t1\t5\n");
        put("test1.txt", "1\t2\t5\n");
        assert!(matches!(DataFormat::of(dir.path()), Ok(DataFormat::LastFm(..))));
        put("train.txt.gz", "0 1\n");
        put("test.txt", "0 2\n");
        let set = open(dir.path(), Declared::default()).unwrap();
        assert_eq!((set.users, set.items), (1, 3));
        let packed = dir.path().join("x.lcd");
        std::fs::write(&packed, super::super::encode(&set).unwrap()).unwrap();
        assert_eq!(open(&packed, Declared::default()).unwrap().train, set.train);
    }

    #[test]
    fn names_and_paths_that_are_not_there() {
        assert!(shipped("yelp").unwrap_err().to_string().contains("shipped: gowalla"));
        let e = open(Path::new("/nonexistent/data"), Declared::default()).unwrap_err().to_string();
        assert!(e.contains("/nonexistent/data: cannot be read"), "{e}");
    }
}
