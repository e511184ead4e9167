//! What can be wrong with a data set, said with the file, the line, and what to do about it.

use super::MAX_NODES;
use std::fmt;
use std::path::{Path, PathBuf};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as the user named it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Which of the two tables an id belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The users.
    User,
    /// The items.
    Item,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Table::User => "user",
            Table::Item => "item",
        })
    }
}

/// Why a data set was refused.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file that is absent, a folder, or unreadable.
    #[error("{}: cannot be read ({source}); check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that could not be written.
    #[error("{}: cannot be written ({source}); check free space and permissions", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder without a data set in a known format.
    #[error(
        "{}: no data set found there; looked for {looked}; give a folder that holds one of these pairs, or a packed .lcd file", path.display()
    )]
    NoDataSet {
        /// The folder.
        path: PathBuf,
        /// The names that were looked for.
        looked: String,
    },
    /// A data set that does not ship with this program.
    #[error("no data set `{name}` ships with latentc; shipped: {shipped}; give your own with --data DIR")]
    NotShipped {
        /// The name asked for.
        name: String,
        /// The names there are.
        shipped: String,
    },
    /// A file larger than the loader accepts.
    #[error("{file}: more than {limit} bytes{unpacked}; the loader's limit protects memory, split the file")]
    TooLarge {
        /// The file.
        file: String,
        /// The limit in bytes.
        limit: u64,
        /// "" or " when decompressed".
        unpacked: &'static str,
    },
    /// A gzip stream that breaks off or is damaged.
    #[error("{file}: the gzip stream is damaged or cut off ({source}); fetch the file again")]
    Gzip {
        /// The file.
        file: String,
        /// What the decoder said.
        source: std::io::Error,
    },
    /// A file of zero bytes or of empty lines only.
    #[error("{file}: the file is empty; expected {expected}")]
    Empty {
        /// The file.
        file: String,
        /// What a line should hold.
        expected: &'static str,
    },
    /// A word that is not what the format has there.
    #[error("{place}: found `{found}`, expected {expected}; correct or remove the line")]
    Word {
        /// The line.
        place: Place,
        /// The word as it stands, shortened.
        found: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// A line with too few words.
    #[error("{place}: the line has {found} of {expected}; correct or remove the line")]
    Columns {
        /// The line.
        place: Place,
        /// How many words there are.
        found: usize,
        /// The columns of the format.
        expected: &'static str,
    },
    /// An id outside a table whose size was declared.
    #[error(
        "{place}: {table} {id}, but the {table} table has {rows} rows (ids 0 to {}); correct the line or declare a larger table",
        rows.saturating_sub(1)
    )]
    OutOfRange {
        /// The line.
        place: Place,
        /// The table.
        table: Table,
        /// The id, from 0.
        id: u64,
        /// The rows of the table.
        rows: usize,
    },
    /// An id beyond what any table may have.
    #[error(
        "{place}: {table} {found} is beyond the largest id {}; renumber the ids densely from 0",
        MAX_NODES - 1
    )]
    Huge {
        /// The line.
        place: Place,
        /// The table.
        table: Table,
        /// The number as it stands.
        found: String,
    },
    /// More nodes or pairs than 32-bit indices address.
    #[error("{file}: {found} {what}, at most {limit} are supported")]
    TooMany {
        /// The file or data set.
        file: String,
        /// How many there are.
        found: u64,
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// No user is left to train on.
    #[error("{file}: no user has a train item, so nothing can be learned; add interactions")]
    NoTrainUsers {
        /// The file or data set.
        file: String,
    },
    /// No user is left to evaluate.
    #[error("{file}: no user has a test item, so nothing can be evaluated; add held-out interactions")]
    NoTestUsers {
        /// The file or data set.
        file: String,
    },
    /// A packed data set that is cut off, altered or of another kind.
    #[error("{file}: {what}; pack the data set again with `latentc pack`, or fetch the file again")]
    Packed {
        /// The file.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// A name that cannot be stored in a packed data set.
    #[error("the name `{name}` has {} bytes, a packed data set takes 1 to 255; give a shorter --name", name.len())]
    Name {
        /// The name.
        name: String,
    },
}

impl DataError {
    pub(super) fn read(path: &Path, source: std::io::Error) -> DataError {
        DataError::Read { path: path.to_path_buf(), source }
    }
}
