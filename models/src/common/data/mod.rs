//! Interaction data sets: who touched what, split into train and test.
//!
//! Whatever the format on disk, a data set becomes [`Interactions`]: sorted, duplicate-free item lists by
//! user in compressed rows of 32-bit indices, the form the compiled programs take. Nothing in a file is
//! trusted: sizes are bounded, ids are checked, and what is odd but usable is counted in a [`Warning`].

mod error;
mod locate;
mod packed;
mod read;
mod text;

pub use error::{DataError, Place, Table};
pub use locate::{DataFormat, SHIPPED, is_shipped, open, shipped};
pub(crate) use packed::reseal;
pub use packed::{decode, encode};
pub use text::{load_lastfm, load_ngcf, to_ngcf};

use std::fmt;

/// The most users or items a data set may have: the tables of indices stay below a gigabyte.
pub const MAX_NODES: usize = 1 << 26;

/// The most pairs of a split: what 32-bit row offsets address.
pub const MAX_PAIRS: usize = i32::MAX as usize;

/// Table sizes that the user declared; without them the largest id decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Rows of the user table.
    pub users: Option<usize>,
    /// Rows of the item table.
    pub items: Option<usize>,
}

/// Sorted item lists of users, in compressed rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    indptr: Vec<i32>,
    items: Vec<i32>,
}

impl Lists {
    /// Lists from rows that ascend strictly; `None` where one does not, or where there are too many pairs.
    pub fn from_rows<R: AsRef<[i32]>>(rows: &[R]) -> Option<Lists> {
        let mut lists = Lists { indptr: Vec::with_capacity(rows.len() + 1), items: Vec::new() };
        lists.indptr.push(0);
        for row in rows {
            let row = row.as_ref();
            if row.first().is_some_and(|&i| i < 0) || row.windows(2).any(|w| w[0] >= w[1]) {
                return None;
            }
            lists.items.extend_from_slice(row);
            lists.indptr.push(i32::try_from(lists.items.len()).ok()?);
        }
        Some(lists)
    }

    /// Number of users.
    pub fn users(&self) -> usize {
        self.indptr.len().saturating_sub(1)
    }

    /// Number of pairs.
    pub fn pairs(&self) -> usize {
        self.items.len()
    }

    /// The items of a user, ascending.
    #[inline]
    pub fn of(&self, user: usize) -> &[i32] {
        &self.items[self.indptr[user] as usize..self.indptr[user + 1] as usize]
    }

    /// Whether a user has an item.
    #[inline]
    pub fn contains(&self, user: usize, item: i32) -> bool {
        self.of(user).binary_search(&item).is_ok()
    }

    /// The user of a pair, given by its position in [`Lists::items`].
    #[inline]
    pub fn user_of(&self, pair: usize) -> usize {
        self.indptr.partition_point(|&start| start as usize <= pair) - 1
    }

    /// All pairs (user, item), row after row.
    pub fn each(&self) -> impl Iterator<Item = (i32, i32)> + '_ {
        (0..self.users()).flat_map(|u| self.of(u).iter().map(move |&item| (u as i32, item)))
    }

    /// Row offsets, `users() + 1` of them.
    pub fn indptr(&self) -> &[i32] {
        &self.indptr
    }

    /// All items, row after row.
    pub fn items(&self) -> &[i32] {
        &self.items
    }
}

/// Something odd in a data set that does not prevent its use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is.
    pub kind: WarningKind,
    /// How often it occurs.
    pub count: usize,
    /// Where first: `train.txt:17`, or `user 3`.
    pub first: String,
}

/// The kinds of oddities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// A line without a word.
    EmptyLine,
    /// An item twice in a user's list.
    DuplicatePair,
    /// A user on two lines of a format that has one line a user.
    RepeatedUser,
    /// A test item that is also a train item of the user.
    TestInTrain,
    /// A user without a train item.
    NoTrainItem,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, consequence) = match self.kind {
            WarningKind::EmptyLine => ("empty lines", "skipped"),
            WarningKind::DuplicatePair => ("duplicate interactions", "kept once"),
            WarningKind::RepeatedUser => ("users listed on more than one line", "their lists were joined"),
            WarningKind::TestInTrain => (
                "test items that are also train items",
                "train items are never ranked, so these cannot be hit",
            ),
            WarningKind::NoTrainItem => {
                ("users without a train item", "never sampled, ranked by their initial row")
            }
        };
        write!(f, "{} {what} (first: {}): {consequence}", self.count, self.first)
    }
}

/// A data set of interactions.
#[derive(Clone, Debug, PartialEq)]
pub struct Interactions {
    /// What it is called: `gowalla`, or the folder it came from.
    pub name: String,
    /// Rows of the user table.
    pub users: usize,
    /// Rows of the item table.
    pub items: usize,
    /// What is learned from.
    pub train: Lists,
    /// What is held out.
    pub test: Lists,
    /// What is odd about it.
    pub warnings: Vec<Warning>,
}

/// A pair as read, with its line (0 where the source has no lines).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    user: u32,
    item: u32,
    line: u32,
}

/// One split as a parser gives it, in the order of the file.
#[derive(Debug, Default)]
struct RawSplit {
    file: String,
    pairs: Vec<Pair>,
    /// The largest user id seen, also on lines without an item.
    last_user: Option<u32>,
    warnings: Vec<Warning>,
}

impl RawSplit {
    fn place(&self, line: u32) -> String {
        match line {
            0 => self.file.clone(),
            line => Place { file: self.file.clone(), line }.to_string(),
        }
    }

    /// Sorted, duplicate-free lists; duplicates are counted.
    fn into_lists(mut self, users: usize, warnings: &mut Vec<Warning>) -> Result<Sorted, DataError> {
        warnings.append(&mut self.warnings);
        if self.pairs.len() > MAX_PAIRS {
            let (found, limit) = (self.pairs.len() as u64, MAX_PAIRS as u64);
            return Err(DataError::TooMany { file: self.file, found, what: "interactions", limit });
        }
        let mut pairs = std::mem::take(&mut self.pairs);
        pairs.sort_unstable();
        let (mut duplicates, mut first) = (0, u32::MAX);
        pairs.dedup_by(|later, kept| {
            let same = (later.user, later.item) == (kept.user, kept.item);
            if same {
                duplicates += 1;
                first = first.min(later.line);
            }
            same
        });
        if duplicates > 0 {
            let first = self.place(first);
            warnings.push(Warning { kind: WarningKind::DuplicatePair, count: duplicates, first });
        }
        let mut indptr = vec![0i32; users + 1];
        for p in &pairs {
            indptr[p.user as usize + 1] += 1;
        }
        for u in 0..users {
            indptr[u + 1] += indptr[u];
        }
        let items = pairs.iter().map(|p| p.item as i32).collect();
        Ok(Sorted { lists: Lists { indptr, items }, pairs, split: self })
    }
}

/// A split in its final form, with the lines it came from.
struct Sorted {
    lists: Lists,
    pairs: Vec<Pair>,
    split: RawSplit,
}

impl Interactions {
    /// A data set from lists that the caller already has, with the checks of one that is read.
    pub fn from_lists(
        name: &str,
        users: usize,
        items: usize,
        train: &[Vec<i32>],
        test: &[Vec<i32>],
    ) -> Result<Interactions, DataError> {
        let raw = |rows: &[Vec<i32>], split: &str| {
            let file = format!("{name} ({split})");
            let mut raw = RawSplit { file: file.clone(), ..RawSplit::default() };
            for (user, row) in rows.iter().enumerate() {
                for &item in row {
                    let item = u32::try_from(item).map_err(|_| DataError::Huge {
                        place: Place { file: file.clone(), line: user as u32 + 1 },
                        table: Table::Item,
                        found: item.to_string(),
                    })?;
                    raw.pairs.push(Pair { user: user as u32, item, line: 0 });
                }
            }
            Ok::<RawSplit, DataError>(raw)
        };
        let declared = Declared { users: Some(users), items: Some(items) };
        build(name, raw(train, "train")?, raw(test, "test")?, declared)
    }

    /// Number of train and test pairs together.
    pub fn pairs(&self) -> usize {
        self.train.pairs() + self.test.pairs()
    }

    /// Users with at least one test item, ascending: those that metrics average over.
    pub fn test_users(&self) -> Vec<i32> {
        (0..self.users).filter(|&u| !self.test.of(u).is_empty()).map(|u| u as i32).collect()
    }

    /// Identifies the content: sizes, number of pairs, and a checksum of both splits. A checkpoint keeps it,
    /// so that it is not continued on other data.
    pub fn fingerprint(&self) -> String {
        let mut crc = flate2::Crc::new();
        for list in [&self.train, &self.test] {
            for word in list.indptr.iter().chain(&list.items) {
                crc.update(&word.to_le_bytes());
            }
        }
        format!(
            "{}x{}-{}+{}-{:08x}",
            self.users,
            self.items,
            self.train.pairs(),
            self.test.pairs(),
            crc.sum()
        )
    }
}

/// Checks ids against the tables, sorts, removes duplicates, and counts what is odd.
fn build(name: &str, train: RawSplit, test: RawSplit, declared: Declared) -> Result<Interactions, DataError> {
    let largest = |of: fn(&Pair) -> u32| {
        [&train, &test].into_iter().flat_map(|s| s.pairs.iter().map(of)).max().map_or(0, |id| id as usize + 1)
    };
    let named = [&train, &test].into_iter().filter_map(|s| s.last_user).max().map_or(0, |id| id as usize + 1);
    let users = declared.users.unwrap_or_else(|| largest(|p| p.user).max(named));
    let items = declared.items.unwrap_or_else(|| largest(|p| p.item));
    for (what, found) in [("users", users), ("items", items)] {
        if found > MAX_NODES {
            let (found, limit) = (found as u64, MAX_NODES as u64);
            return Err(DataError::TooMany { file: name.to_string(), found, what, limit });
        }
    }
    for split in [&train, &test] {
        for p in &split.pairs {
            let place = || Place { file: split.file.clone(), line: p.line };
            if p.user as usize >= users {
                let id = u64::from(p.user);
                return Err(DataError::OutOfRange { place: place(), table: Table::User, id, rows: users });
            }
            if p.item as usize >= items {
                let id = u64::from(p.item);
                return Err(DataError::OutOfRange { place: place(), table: Table::Item, id, rows: items });
            }
        }
    }
    if train.pairs.is_empty() {
        return Err(DataError::NoTrainUsers { file: train.file });
    }
    if test.pairs.is_empty() {
        return Err(DataError::NoTestUsers { file: test.file });
    }
    let mut warnings = Vec::new();
    let train = train.into_lists(users, &mut warnings)?;
    let test = test.into_lists(users, &mut warnings)?;

    let both = |p: &&Pair| train.lists.contains(p.user as usize, p.item as i32);
    let count = test.pairs.iter().filter(both).count();
    if let Some(p) = test.pairs.iter().filter(both).min_by_key(|p| p.line) {
        let first = format!("{}, user {}, item {}", test.split.place(p.line), p.user, p.item);
        warnings.push(Warning { kind: WarningKind::TestInTrain, count, first });
    }
    let idle = |u: &usize| train.lists.of(*u).is_empty();
    if let Some(first) = (0..users).find(idle) {
        let count = (0..users).filter(idle).count();
        let first = format!("user {first}");
        warnings.push(Warning { kind: WarningKind::NoTrainItem, count, first });
    }
    Ok(Interactions { name: name.to_string(), users, items, train: train.lists, test: test.lists, warnings })
}

/// Folder of the real data sets that some tests read: `LATENTC_DATA`, or `../shared/data` beside the
/// repository; `None` (and a line that says so) where the file is absent.
#[cfg(test)]
pub(crate) fn test_data(file: &str) -> Option<std::path::PathBuf> {
    let root = match std::env::var_os("LATENTC_DATA") {
        Some(dir) => std::path::PathBuf::from(dir),
        None => std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
    };
    let path = root.join(file);
    if path.exists() {
        return Some(path);
    }
    println!("skipped, data absent: {file}");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(train: &[Vec<i32>], test: &[Vec<i32>]) -> Result<Interactions, DataError> {
        Interactions::from_lists("t", 3, 5, train, test)
    }

    #[test]
    fn lists_are_sorted_and_odd_things_counted() {
        let d = lists(&[vec![4, 1, 4, 4], vec![], vec![0]], &[vec![1, 2], vec![3], vec![]]).unwrap();
        assert_eq!(d.train.of(0), [1, 4]);
        assert_eq!((d.train.pairs(), d.test.pairs(), d.pairs()), (3, 3, 6));
        assert_eq!(d.test_users(), [0, 1]);
        let kinds: Vec<_> = d.warnings.iter().map(|w| (w.kind, w.count)).collect();
        assert_eq!(
            kinds,
            [(WarningKind::DuplicatePair, 2), (WarningKind::TestInTrain, 1), (WarningKind::NoTrainItem, 1)]
        );
        assert!(d.warnings[1].first.contains("user 0, item 1"), "{}", d.warnings[1].first);
        assert_eq!((0..3).map(|p| d.train.user_of(p)).collect::<Vec<_>>(), [0, 0, 2]);
    }

    #[test]
    fn ids_beyond_the_tables_are_refused() {
        let e = lists(&[vec![5], vec![], vec![]], &[vec![1]]).unwrap_err().to_string();
        assert!(e.contains("item 5, but the item table has 5 rows"), "{e}");
        let e = lists(&[vec![1], vec![1], vec![1], vec![1]], &[vec![1]]).unwrap_err().to_string();
        assert!(e.contains("user 3, but the user table has 3 rows"), "{e}");
        assert!(lists(&[vec![-1]], &[vec![1]]).is_err());
    }

    #[test]
    fn nothing_left_is_an_error() {
        assert!(matches!(lists(&[vec![]], &[vec![1]]), Err(DataError::NoTrainUsers { .. })));
        assert!(matches!(lists(&[vec![1]], &[vec![]]), Err(DataError::NoTestUsers { .. })));
    }

    #[test]
    fn the_fingerprint_tells_data_sets_apart() {
        let a = lists(&[vec![1]], &[vec![2]]).unwrap();
        let b = lists(&[vec![1]], &[vec![3]]).unwrap();
        assert_eq!(a.fingerprint(), a.clone().fingerprint());
        assert_ne!(a.fingerprint(), b.fingerprint());
    }

    #[test]
    fn lists_refuse_rows_out_of_order() {
        assert!(Lists::from_rows(&[vec![1, 1]]).is_none());
        assert!(Lists::from_rows(&[vec![2, 1]]).is_none());
        assert!(Lists::from_rows(&[vec![-1, 1]]).is_none());
        assert_eq!(Lists::from_rows(&[vec![1, 2], vec![]]).unwrap().users(), 2);
    }
}
