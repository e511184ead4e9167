//! Schedules: what was decided for a kernel beyond what it computes, as data.
//!
//! A schedule never changes what a kernel computes beyond the order of sums. The functions here choose one from
//! the [`Target`] and the sizes, by rules of cost; [`Schedules`] lets whoever compiles decide otherwise, kernel by
//! kernel. As text:
//!
//! ```text
//! k0_spmm_mul: rows lanes=16 chunk=1 columns=16 prefetch=32 split=entries
//! ```

use super::{LowerError, Target};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// How a kernel was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Scalars, one after the other.
    Scalars,
    /// Element by element.
    Flat,
    /// Row by row.
    Rows,
    /// One op by itself.
    Single,
    /// A kernel made by hand.
    Library,
    /// An array copied.
    Copy,
}

impl Form {
    const ALL: [(Form, &'static str); 6] = [
        (Form::Scalars, "scalars"),
        (Form::Flat, "flat"),
        (Form::Rows, "rows"),
        (Form::Single, "single"),
        (Form::Library, "library"),
        (Form::Copy, "copy"),
    ];

    /// The word in text.
    pub fn name(self) -> &'static str {
        Form::ALL.into_iter().find(|(f, _)| *f == self).map_or("", |(_, name)| name)
    }
}

/// How the iterations of a kernel's outer loop are divided among threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Divide {
    /// Equal counts.
    Even,
    /// Equal sums of rows and entries of the pattern that the kernel walks.
    Entries,
    /// Not at all.
    Serial,
}

impl Divide {
    const ALL: [(Divide, &'static str); 3] =
        [(Divide::Even, "even"), (Divide::Entries, "entries"), (Divide::Serial, "serial")];

    /// The word in text.
    pub fn name(self) -> &'static str {
        Divide::ALL.into_iter().find(|(d, _)| *d == self).map_or("", |(_, name)| name)
    }
}

/// The decisions of one kernel; `None` for one that is not to be made there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// How it was written. Follows from what the kernel computes.
    pub form: Form,
    /// f32 lanes of a vector.
    pub lanes: Option<u64>,
    /// Rows that are worked on together.
    pub tile: Option<u64>,
    /// Rows or elements that a thread takes at a time.
    pub chunk: Option<u64>,
    /// Vectors of columns for which a product of a tile keeps its sums in registers.
    pub panel: Option<u64>,
    /// Vectors of columns that a sum over entries of a pattern takes at a time.
    pub columns: Option<u64>,
    /// Entries that loops over sparse rows look ahead with prefetches, where the table is large; 0 for none.
    pub prefetch: Option<u64>,
    /// How the outer loop is divided among threads.
    pub split: Option<Divide>,
}

/// A number of a schedule: its name in text, its range, and where it is.
struct Number {
    name: &'static str,
    range: (u64, u64),
    get: fn(&Schedule) -> Option<u64>,
    at: fn(&mut Schedule) -> &mut Option<u64>,
}

/// The numbers in the order of the text.
const NUMBERS: &[Number] = &[
    Number { name: "lanes", range: (1, 32), get: |s| s.lanes, at: |s| &mut s.lanes },
    Number { name: "tile", range: (1, 8), get: |s| s.tile, at: |s| &mut s.tile },
    Number { name: "chunk", range: (1, 1 << 20), get: |s| s.chunk, at: |s| &mut s.chunk },
    Number { name: "panel", range: (1, 16), get: |s| s.panel, at: |s| &mut s.panel },
    Number { name: "columns", range: (1, 16), get: |s| s.columns, at: |s| &mut s.columns },
    Number { name: "prefetch", range: (0, 1024), get: |s| s.prefetch, at: |s| &mut s.prefetch },
];

/// Chunks of a sum over rows, at most: each has partial results of its own.
const MOST_CHUNKS: i64 = 4096;

impl Schedule {
    /// One without decisions.
    pub const fn new(form: Form) -> Schedule {
        Schedule {
            form,
            lanes: None,
            tile: None,
            chunk: None,
            panel: None,
            columns: None,
            prefetch: None,
            split: None,
        }
    }

    /// A number of this schedule; 1 where there is none.
    pub(super) fn of(&self, number: Option<u64>) -> i64 {
        number.and_then(|n| i64::try_from(n).ok()).unwrap_or(1)
    }

    /// The target with what was decided in place of what it has.
    pub(super) fn target(&self, target: &Target) -> Target {
        Target {
            lanes: self.lanes.map_or(target.lanes, small),
            prefetch: self.prefetch.map_or(target.prefetch, small),
            ..target.clone()
        }
    }

    /// This schedule with what another decides; an error says what of it cannot be.
    fn with(self, other: &Schedule) -> Result<Schedule, String> {
        if other.form != self.form {
            return Err(format!("it is written as `{}`, not as `{}`", self.form.name(), other.form.name()));
        }
        let mut made = self;
        let nothing = |name: &str| {
            let known: Vec<&str> =
                NUMBERS.iter().filter(|n| (n.get)(&self).is_some()).map(|n| n.name).collect();
            let split = if self.split.is_some() { ", split" } else { "" };
            format!("`{name}` is not to be decided here; there are: {}{split}", known.join(", "))
        };
        for n in NUMBERS {
            let Some(value) = (n.get)(other) else { continue };
            if (n.get)(&self).is_none() {
                return Err(nothing(n.name));
            }
            let (lo, hi) = n.range;
            if !(lo..=hi).contains(&value) {
                return Err(format!("`{}` is {value}; it can be {lo} to {hi}", n.name));
            }
            *(n.at)(&mut made) = Some(value);
        }
        if let Some(split) = other.split {
            match self.split {
                None => return Err(nothing("split")),
                Some(usual) if split == Divide::Entries && usual != Divide::Entries => {
                    return Err("`split` is entries, but no pattern is walked row by row".to_owned());
                }
                Some(_) => made.split = Some(split),
            }
        }
        if let Some(lanes) = made.lanes.filter(|l| !l.is_power_of_two()) {
            return Err(format!("`lanes` is {lanes}; it must be a power of two"));
        }
        if let Some(lanes) = made.lanes.filter(|l| made.form == Form::Library && !(4..=16).contains(l)) {
            return Err(format!("`lanes` is {lanes}; kernels made by hand take 4, 8 or 16"));
        }
        if let (Some(tile), Some(chunk)) = (made.tile, made.chunk)
            && chunk % tile != 0
        {
            return Err(format!("`chunk` is {chunk}; it must be a multiple of `tile`, {tile}"));
        }
        Ok(made)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.form.name())?;
        for n in NUMBERS {
            if let Some(value) = (n.get)(self) {
                write!(f, " {}={value}", n.name)?;
            }
        }
        match self.split {
            Some(split) => write!(f, " split={}", split.name()),
            None => Ok(()),
        }
    }
}

impl FromStr for Schedule {
    type Err = String;

    /// Reads the text form; what is not named stays undecided. The error says what was expected.
    fn from_str(text: &str) -> Result<Schedule, String> {
        let mut words = text.split_whitespace();
        let form = words.next().unwrap_or("");
        let Some((form, _)) = Form::ALL.into_iter().find(|(_, name)| *name == form) else {
            let known: Vec<&str> = Form::ALL.iter().map(|(_, name)| *name).collect();
            return Err(format!("`{form}` found, expected one of {}", known.join(", ")));
        };
        let mut schedule = Schedule::new(form);
        for word in words {
            let Some((name, value)) = word.split_once('=') else {
                return Err(format!("`{word}` found, expected name=value"));
            };
            if name == "split" {
                let known = Divide::ALL.into_iter().find(|(_, name)| *name == value);
                let (split, _) =
                    known.ok_or(format!("split={value} found, expected even, entries or serial"))?;
                if schedule.split.replace(split).is_some() {
                    return Err("`split` stands twice".to_owned());
                }
                continue;
            }
            let Some(n) = NUMBERS.iter().find(|n| n.name == name) else {
                let known: Vec<&str> = NUMBERS.iter().map(|n| n.name).collect();
                return Err(format!("`{name}` found, expected one of {}, split", known.join(", ")));
            };
            let value = value.parse().map_err(|_| format!("{word} found, expected a whole number"))?;
            if (n.at)(&mut schedule).replace(value).is_some() {
                return Err(format!("`{name}` stands twice"));
            }
        }
        Ok(schedule)
    }
}

/// Decisions that replace the usual ones, by the name of the kernel; those of a kernel that finishes the sums of
/// another are the other's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedules {
    by_name: BTreeMap<String, Schedule>,
}

/// No decisions.
pub static USUAL: Schedules = Schedules { by_name: BTreeMap::new() };

impl Schedules {
    /// Decides for a kernel; what the schedule leaves open stays as usual.
    pub fn insert(&mut self, kernel: impl Into<String>, schedule: Schedule) {
        self.by_name.insert(kernel.into(), schedule);
    }

    /// The kernels that something is decided for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// The schedule of a kernel that would usually have this one.
    pub(super) fn choose(&self, kernel: &str, usual: Schedule) -> Result<Schedule, LowerError> {
        match self.by_name.get(kernel) {
            None => Ok(usual),
            Some(wanted) => usual.with(wanted).map_err(|what| LowerError {
                kernel: kernel.to_owned(),
                what: format!("its schedule: {what}"),
            }),
        }
    }
}

impl fmt::Display for Schedules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.by_name.iter().try_for_each(|(name, schedule)| writeln!(f, "{name}: {schedule}"))
    }
}

impl FromStr for Schedules {
    type Err = String;

    /// Reads lines `kernel: schedule`; empty lines and those that start with `#` say nothing. The error names
    /// the line.
    fn from_str(text: &str) -> Result<Schedules, String> {
        let mut all = Schedules::default();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: String| format!("line {}: {what}", i + 1);
            let Some((name, schedule)) = line.split_once(':') else {
                return Err(wrong(format!("`{line}` found, expected `kernel: schedule`")));
            };
            let schedule = schedule.parse().map_err(wrong)?;
            if all.by_name.insert(name.trim().to_owned(), schedule).is_some() {
                return Err(wrong(format!("`{}` has a schedule already", name.trim())));
            }
        }
        Ok(all)
    }
}

/// A number of a range that is known to be small.
fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Elements of a chunk of a kernel without rows.
const FLAT_CHUNK: u64 = 4096;

/// The usual schedule of a kernel without rows.
pub(super) fn flat(target: &Target) -> Schedule {
    let (lanes, chunk, split) = (Some(target.lanes.into()), Some(FLAT_CHUNK), Some(Divide::Even));
    Schedule { lanes, chunk, split, ..Schedule::new(Form::Flat) }
}

/// The usual schedule of an op by itself; `product` says whether it is one of matrices.
pub(super) fn single(target: &Target, product: bool) -> Schedule {
    Schedule { lanes: Some(target.lanes.into()), panel: product.then_some(4), ..Schedule::new(Form::Single) }
}

/// The usual schedule of a kernel made by hand.
pub(super) fn library(target: &Target) -> Schedule {
    let (lanes, prefetch) = (Some(target.lanes.into()), Some(target.prefetch.into()));
    Schedule { lanes, prefetch, ..Schedule::new(Form::Library) }
}

/// The schedule of copies, which is always the same.
pub(crate) fn copy() -> Schedule {
    let (lanes, chunk, split) = (Some(16), Some(16384), Some(Divide::Even));
    Schedule { lanes, chunk, split, ..Schedule::new(Form::Copy) }
}

/// What the schedule of a kernel over rows depends on.
pub(super) struct Rows {
    /// Widths of its products with matrices.
    pub products: Vec<i64>,
    /// Whether it sums outer products.
    pub outer: bool,
    /// Whether it sums over rows, outer products included.
    pub sums: bool,
    /// Whether it sums over entries of sparse rows.
    pub entries: bool,
    /// Whether it walks the rows of a pattern, one after the other.
    pub prefix: bool,
    /// Rows at most.
    pub rows: i64,
}

/// Chunks that a sum over rows is divided into, at most.
const CHUNKS: i64 = 64;
/// Rows of such a chunk, at least.
const ROWS_A_CHUNK: i64 = 32;
/// Tiles of a chunk where nothing is summed over rows.
const TILES_A_CHUNK: i64 = 8;
/// Rows of a tile, at most, and those of one that outer products are summed over, at least.
const TILE: (i64, i64) = (8, 6);

/// The usual schedule of a kernel over rows.
pub(super) fn rows(target: &Target, about: &Rows) -> Schedule {
    let lanes = i64::from(target.lanes);
    let accumulators = i64::from(target.registers) * 3 / 4;
    // As many rows as keep the accumulators of the widest product in registers.
    let mut tile = 1;
    for n in &about.products {
        let vectors = ((*n).clamp(1, lanes * 4) + lanes - 1) / lanes;
        tile = tile.max((accumulators / vectors).clamp(1, TILE.0));
    }
    if about.outer {
        tile = tile.max(TILE.1);
    }
    // A whole number of tiles, from the greatest number of rows there can be.
    let tiles = tiles(about.rows, tile);
    let chunk = match about.sums {
        true => tile * ((tiles + CHUNKS - 1) / CHUNKS).max((ROWS_A_CHUNK + tile - 1) / tile),
        false if tile > 1 => tile * TILES_A_CHUNK.min(tiles),
        false => 1,
    };
    let number = |n: i64| u64::try_from(n).ok();
    Schedule {
        lanes: Some(target.lanes.into()),
        tile: number(tile).filter(|_| about.outer || !about.products.is_empty()),
        chunk: number(chunk),
        panel: number((accumulators / tile).clamp(1, 16)).filter(|_| !about.products.is_empty()),
        columns: about.entries.then_some(16),
        prefetch: about.entries.then_some(target.prefetch.into()),
        split: Some(if about.prefix { Divide::Entries } else { Divide::Even }),
        ..Schedule::new(Form::Rows)
    }
}

fn tiles(rows: i64, tile: i64) -> i64 {
    (rows.max(1) + tile - 1) / tile
}

/// What is wrong with the chunks of a sum over rows.
pub(super) fn too_many_chunks(about: &Rows, schedule: &Schedule) -> Option<String> {
    let chunks = tiles(about.rows, schedule.of(schedule.chunk));
    (about.sums && chunks > MOST_CHUNKS).then(|| {
        format!(
            "its schedule: `chunk` makes {chunks} chunks of a sum over rows; at most {MOST_CHUNKS} can be"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_come_back_from_their_text() {
        let target = Target::default();
        let about =
            Rows { products: vec![64], outer: true, sums: true, entries: true, prefix: true, rows: 999 };
        let mut all = Schedules::default();
        for (i, s) in [flat(&target), single(&target, true), library(&target), copy(), rows(&target, &about)]
            .iter()
            .enumerate()
        {
            assert_eq!(s.to_string().parse(), Ok(*s));
            all.insert(format!("k{i}"), *s);
        }
        assert_eq!(all.to_string().parse(), Ok(all));
        let text = "rows lanes=16 tile=6 chunk=36 panel=4 columns=16 prefetch=32 split=entries";
        assert_eq!(rows(&target, &about).to_string(), text);
    }

    #[test]
    fn what_cannot_be_is_said() {
        let usual = flat(&Target::default());
        let with = |text: &str| text.parse().and_then(|s: Schedule| usual.with(&s));
        assert_eq!(
            with("flat chunk=64").map(|s| s.to_string()).as_deref(),
            Ok("flat lanes=16 chunk=64 split=even")
        );
        for (text, words) in [
            ("rows chunk=64", "it is written as `flat`, not as `rows`"),
            ("flat lanes=6", "`lanes` is 6; it must be a power of two"),
            ("flat lanes=64", "`lanes` is 64; it can be 1 to 32"),
            ("flat tile=4", "`tile` is not to be decided here; there are: lanes, chunk, split"),
            ("flat split=entries", "no pattern is walked"),
            ("flat chunk=x", "chunk=x found, expected a whole number"),
            ("flat chunk=1 chunk=2", "`chunk` stands twice"),
            ("flat depth=1", "`depth` found, expected one of lanes, tile"),
            ("tall", "`tall` found, expected one of scalars"),
        ] {
            let e = with(text).unwrap_err();
            assert!(e.contains(words), "{text}: {e}");
        }
        let e = "# mine\nk0 flat".parse::<Schedules>().unwrap_err();
        assert_eq!(e, "line 2: `k0 flat` found, expected `kernel: schedule`");
    }
}
