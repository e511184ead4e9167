//! The two text formats: NGCF's (a line a user: `user item item ...`, ids from 0) and LastFM's (a line a
//! pair: `user item plays`, ids from 1).

use super::{
    DataError, Declared, Interactions, Lists, MAX_NODES, Pair, Place, RawSplit, Table, Warning, WarningKind,
    build, read::read,
};
use std::fmt::Write as _;
use std::path::Path;

/// A data set in NGCF's format. A gzip file is recognised by its content.
pub fn load_ngcf(
    name: &str,
    train: &Path,
    test: &Path,
    declared: Declared,
) -> Result<Interactions, DataError> {
    let split = |path: &Path| parse_ngcf(&path.display().to_string(), &read(path)?);
    build(name, split(train)?, split(test)?, declared)
}

/// A data set in LastFM's format: ids from 1 in the file, from 0 in the result; the number of plays must be
/// a number and is not used. A gzip file is recognised by its content.
pub fn load_lastfm(
    name: &str,
    train: &Path,
    test: &Path,
    declared: Declared,
) -> Result<Interactions, DataError> {
    let split = |path: &Path| parse_lastfm(&path.display().to_string(), &read(path)?);
    build(name, split(train)?, split(test)?, declared)
}

/// The text of lists in NGCF's format: a line for every user, with an item or without, users and items ascending.
/// Reading it back gives the same lists; items above the greatest one are not told of.
pub fn to_ngcf(lists: &Lists) -> String {
    let mut text = String::with_capacity(8 * lists.pairs());
    for user in 0..lists.users() {
        let _ = write!(text, "{user}");
        lists.of(user).iter().for_each(|item| _ = write!(text, " {item}"));
        text.push('\n');
    }
    text
}

/// The lines of a file with their numbers and words; empty ones are counted.
struct Lines<'a> {
    file: &'a str,
    bytes: &'a [u8],
    number: u32,
    empty: Option<(usize, u32)>,
}

impl<'a> Lines<'a> {
    fn new(file: &'a str, bytes: &'a [u8]) -> Lines<'a> {
        // A byte order mark, as some editors write one.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        Lines { file, bytes, number: 0, empty: None }
    }

    /// The next line that holds a word.
    fn next_line(&mut self) -> Option<&'a [u8]> {
        while !self.bytes.is_empty() {
            let end = self.bytes.iter().position(|&b| b == b'\n').unwrap_or(self.bytes.len());
            let line = &self.bytes[..end];
            self.bytes = self.bytes.get(end + 1..).unwrap_or(&[]);
            self.number = self.number.saturating_add(1);
            if line.iter().any(|b| !b.is_ascii_whitespace()) {
                return Some(line);
            }
            let (count, first) = self.empty.unwrap_or((0, self.number));
            self.empty = Some((count + 1, first));
        }
        None
    }

    fn place(&self) -> Place {
        Place { file: self.file.to_string(), line: self.number }
    }

    /// An id as written, at least `base` and at most the largest id, returned from 0.
    fn id(&self, word: &[u8], table: Table, base: u64) -> Result<u32, DataError> {
        let expected = match (table, base) {
            (Table::User, 0) => "a user id (a whole number from 0)",
            (Table::Item, 0) => "an item id (a whole number from 0)",
            (Table::User, _) => "a user id (a whole number from 1)",
            (Table::Item, _) => "an item id (a whole number from 1)",
        };
        if word.is_empty() || !word.iter().all(u8::is_ascii_digit) {
            return Err(DataError::Word { place: self.place(), found: shown(word), expected });
        }
        let huge = || DataError::Huge { place: self.place(), table, found: shown(word) };
        let mut id = 0u64;
        for digit in word {
            id = id * 10 + u64::from(digit - b'0');
            if id >= MAX_NODES as u64 + base {
                return Err(huge());
            }
        }
        match id.checked_sub(base) {
            Some(id) => u32::try_from(id).map_err(|_| huge()),
            None => Err(DataError::Word { place: self.place(), found: shown(word), expected }),
        }
    }

    fn warnings(&self) -> Vec<Warning> {
        let place = |line| Place { file: self.file.to_string(), line }.to_string();
        self.empty
            .map(|(count, line)| Warning { kind: WarningKind::EmptyLine, count, first: place(line) })
            .into_iter()
            .collect()
    }
}

/// A word for a message: escaped, and cut at 40 characters.
fn shown(word: &[u8]) -> String {
    let text = word.escape_ascii().to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty())
}

fn parse_ngcf(file: &str, bytes: &[u8]) -> Result<RawSplit, DataError> {
    let mut lines = Lines::new(file, bytes);
    let mut split = RawSplit { file: file.to_string(), ..RawSplit::default() };
    let mut seen: Vec<bool> = Vec::new();
    let (mut repeated, mut first_repeated) = (0, String::new());
    while let Some(line) = lines.next_line() {
        let mut words = words(line);
        let Some(word) = words.next() else { continue };
        let user = lines.id(word, Table::User, 0)?;
        if seen.len() <= user as usize {
            seen.resize(user as usize + 1, false);
        }
        if std::mem::replace(&mut seen[user as usize], true) {
            if repeated == 0 {
                first_repeated = format!("{}, user {user}", lines.place());
            }
            repeated += 1;
        }
        split.last_user = split.last_user.max(Some(user));
        for word in words {
            let item = lines.id(word, Table::Item, 0)?;
            split.pairs.push(Pair { user, item, line: lines.number });
        }
    }
    if split.last_user.is_none() {
        return Err(DataError::Empty { file: split.file, expected: "lines of `user item item ...`" });
    }
    split.warnings = lines.warnings();
    if repeated > 0 {
        let kind = WarningKind::RepeatedUser;
        split.warnings.push(Warning { kind, count: repeated, first: first_repeated });
    }
    Ok(split)
}

fn parse_lastfm(file: &str, bytes: &[u8]) -> Result<RawSplit, DataError> {
    const COLUMNS: &str = "3 columns `user item plays`";
    let mut lines = Lines::new(file, bytes);
    let mut split = RawSplit { file: file.to_string(), ..RawSplit::default() };
    while let Some(line) = lines.next_line() {
        let mut row = words(line);
        let (Some(user), Some(item), Some(plays), None) = (row.next(), row.next(), row.next(), row.next())
        else {
            let found = words(line).count();
            return Err(DataError::Columns { place: lines.place(), found, expected: COLUMNS });
        };
        let user = lines.id(user, Table::User, 1)?;
        let item = lines.id(item, Table::Item, 1)?;
        let number = std::str::from_utf8(plays).ok().and_then(|p| p.parse::<f64>().ok());
        if !number.is_some_and(f64::is_finite) {
            let expected = "a number of plays";
            return Err(DataError::Word { place: lines.place(), found: shown(plays), expected });
        }
        split.last_user = split.last_user.max(Some(user));
        split.pairs.push(Pair { user, item, line: lines.number });
    }
    if split.pairs.is_empty() {
        return Err(DataError::Empty { file: split.file, expected: "lines of `user item plays`" });
    }
    split.warnings = lines.warnings();
    Ok(split)
}

#[cfg(test)]
mod tests {
    use super::super::test_data;
    use super::*;

    fn ngcf(train: &str, test: &str) -> Result<Interactions, DataError> {
        build(
            "t",
            parse_ngcf("train.txt", train.as_bytes())?,
            parse_ngcf("test.txt", test.as_bytes())?,
            Declared::default(),
        )
    }

    #[test]
    fn ngcf_lines_become_lists() {
        let d = ngcf("0 3 1\r\n\n2 0\n1\n", "0 2\n3 1 \n").unwrap();
        assert_eq!((d.users, d.items), (4, 4));
        assert_eq!(d.train.of(0), [1, 3]);
        let kinds: Vec<_> = d.warnings.iter().map(|w| (w.kind, w.count, w.first.as_str())).collect();
        assert_eq!(
            kinds,
            [(WarningKind::EmptyLine, 1, "train.txt:2"), (WarningKind::NoTrainItem, 2, "user 1")]
        );
    }

    #[test]
    fn lists_come_back_from_their_text() {
        let d = ngcf("0 3 1\n2 0\n", "0 2\n3 1\n").unwrap();
        let texts = [&d.train, &d.test].map(to_ngcf);
        assert_eq!(texts, ["0 1 3\n1\n2 0\n3\n", "0 2\n1\n2\n3 1\n"]);
        let back = ngcf(&texts[0], &texts[1]).unwrap();
        assert_eq!((back.users, back.items, back.train, back.test), (d.users, d.items, d.train, d.test));
    }

    #[test]
    fn bad_lines_are_named() {
        let message = |train: &str| ngcf(train, "0 1\n").unwrap_err().to_string();
        assert!(message("0 1\n1 two\n").starts_with("train.txt:2: found `two`, expected an item id"));
        assert!(message("x 1\n").starts_with("train.txt:1: found `x`, expected a user id"));
        assert!(message("0 -1\n").starts_with("train.txt:1: found `-1`"));
        assert!(message("0 1.5\n").starts_with("train.txt:1: found `1.5`"));
        assert!(message("0 99999999999999999999\n").starts_with("train.txt:1: item 99999999999999999999"));
        assert!(message("0 \u{e9}\n").starts_with("train.txt:1: found `\\xc3\\xa9`"));
        assert!(message("").starts_with("train.txt: the file is empty"));
        assert!(message("\n \n").starts_with("train.txt: the file is empty"));
        assert!(message("0\n1\n").starts_with("train.txt: no user has a train item"));
        let long = format!("0 {}\n", "z".repeat(1000));
        assert!(message(&long).len() < 200);
    }

    #[test]
    fn an_id_outside_a_declared_table_is_named() {
        let raw = |text: &str, file| parse_ngcf(file, text.as_bytes()).unwrap();
        let declared = Declared { users: Some(3), items: Some(40981) };
        let e = build("t", raw("0 1\n2 40981\n", "train.txt"), raw("0 2\n", "test.txt"), declared);
        let e = e.unwrap_err().to_string();
        assert!(e.starts_with("train.txt:2: item 40981, but the item table has 40981 rows"), "{e}");
    }

    #[test]
    fn repeated_users_are_joined() {
        let d = ngcf("0 1\n1 0\n0 2\n0 1\n", "0 3\n").unwrap();
        assert_eq!(d.train.of(0), [1, 2]);
        assert_eq!(d.warnings[0].kind, WarningKind::RepeatedUser);
        assert_eq!(d.warnings[0].first, "train.txt:3, user 0");
        assert_eq!(
            (d.warnings[1].kind, d.warnings[1].first.as_str()),
            (WarningKind::DuplicatePair, "train.txt:4")
        );
    }

    #[test]
    fn lastfm_counts_from_one() {
        let parse = |text: &str| parse_lastfm("data1.txt", text.as_bytes());
        let s = parse("1\t2\t13883\n2 1 1e3\n").unwrap();
        assert_eq!((s.pairs[0].user, s.pairs[0].item, s.pairs[1].user), (0, 1, 1));
        let message = |text: &str| parse(text).unwrap_err().to_string();
        assert!(
            message("0\t2\t1\n")
                .starts_with("data1.txt:1: found `0`, expected a user id (a whole number from 1)")
        );
        assert!(message("1\t2\tmany\n").starts_with("data1.txt:1: found `many`"));
        assert!(message("1\t2\tNaN\n").starts_with("data1.txt:1: found `NaN`"));
        assert!(message("1\t2\t3\n1\t2\n").starts_with("data1.txt:2: the line has 2 of 3 columns"));
        assert!(message("").contains("the file is empty"));
    }

    #[test]
    fn the_real_lastfm_has_its_published_counts() {
        let (Some(train), Some(test)) =
            (test_data("lastfm-social/data1.txt.gz"), test_data("lastfm-social/test1.txt.gz"))
        else {
            return;
        };
        let d = load_lastfm("lastfm", &train, &test, Declared::default()).unwrap();
        assert_eq!((d.users, d.items), (1892, 4489));
        assert_eq!((d.train.pairs(), d.test.pairs()), (42_135, 10_533));
        assert_eq!(d.test_users().len(), 1858);
    }
}
