//! Names of items, where the data set's folder has them.
//!
//! `item_names.txt` has one name a line, line 1 for item 0. `item_list.txt`, as NGCF and its successors ship
//! it, has a heading and then lines whose first two words are the original id and the row.

use super::CliError;
use std::path::{Path, PathBuf};

/// The names of items by row; empty where there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<Option<String>>);

impl Names {
    /// The names of the data at a path.
    pub fn open(source: &str, items: usize) -> Result<Names, CliError> {
        let dir = Path::new(source);
        let dir = if dir.is_dir() { dir } else { dir.parent().unwrap_or(dir) };
        for (file, parse) in [("item_names.txt", by_line as Parser), ("item_list.txt", by_row)] {
            let path = dir.join(file);
            if path.is_file() {
                let text = std::fs::read(&path).map_err(|e| CliError::Names {
                    path: path.clone(),
                    what: format!("cannot be read ({e})"),
                })?;
                return parse(&String::from_utf8_lossy(&text), items)
                    .map(Names)
                    .map_err(|(line, what)| CliError::Names { path: line_of(&path, line), what });
            }
        }
        Ok(Names::default())
    }

    /// The name of an item.
    pub fn of(&self, item: usize) -> Option<&str> {
        self.0.get(item)?.as_deref()
    }
}

type Parsed = Result<Vec<Option<String>>, (usize, String)>;
type Parser = fn(&str, usize) -> Parsed;

fn line_of(path: &Path, line: usize) -> PathBuf {
    PathBuf::from(format!("{}:{line}", path.display()))
}

fn by_line(text: &str, items: usize) -> Parsed {
    let names: Vec<Option<String>> = text.lines().map(|l| Some(l.trim().to_string())).collect();
    if names.len() == items {
        return Ok(names);
    }
    let what = format!("{} names for {items} items; give one line an item, in the order of ids", names.len());
    Err((names.len().min(items) + 1, what))
}

fn by_row(text: &str, items: usize) -> Parsed {
    let mut names = vec![None; items];
    for (at, line) in text.lines().enumerate().skip(1) {
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let row = words.next().and_then(|w| w.parse::<usize>().ok()).filter(|r| *r < items);
        let Some(row) = row else {
            let what =
                format!("expected `original-id row` with a row below {items}; correct or remove the line");
            return Err((at + 1, what));
        };
        names[row] = Some(name.to_string());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_give_names() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().display().to_string();
        assert_eq!(Names::open(&source, 2).unwrap(), Names::default());
        std::fs::write(dir.path().join("item_list.txt"), "org_id remap_id\nB07 1\n\nA01 0 m.0x\n").unwrap();
        let names = Names::open(&source, 3).unwrap();
        assert_eq!((names.of(0), names.of(1), names.of(2)), (Some("A01"), Some("B07"), None));
        let e = Names::open(&source, 1).unwrap_err().to_string();
        assert!(e.contains("item_list.txt:2: expected `original-id row` with a row below 1"), "{e}");
        std::fs::write(dir.path().join("item_names.txt"), "The first\nThe second\n").unwrap();
        assert_eq!(Names::open(&source, 2).unwrap().of(1), Some("The second"));
        let e = Names::open(&source, 3).unwrap_err().to_string();
        assert!(e.contains("item_names.txt:3: 2 names for 3 items"), "{e}");
    }
}
