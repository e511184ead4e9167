//! Making and checking sparse patterns on the host.
//!
//! A pattern is a set of positions: an entry is there or not, so rows are strictly ascending and repeated
//! edges are one entry. Everything here is linear in the entries (counting sorts, no comparison sort).

use crate::array::{CsrArray, CsrTwin};

/// Why arrays are no sparse pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// A size beyond what i32 positions can name.
    #[error("{found} {what}: a pattern holds at most {}, since its positions are i32", i32::MAX)]
    TooLarge {
        /// What is counted: rows, columns or entries.
        what: &'static str,
        /// How many.
        found: usize,
    },
    /// The wrong number of row pointers.
    #[error("{found} row pointers for {rows} rows; rows + 1 are needed")]
    Pointers {
        /// Number of rows.
        rows: usize,
        /// Number of pointers.
        found: usize,
    },
    /// Row pointers that do not begin at 0 or do not end at the number of entries.
    #[error("row pointer {at} is {found}, expected {expected}: they run from 0 to the number of entries")]
    Ends {
        /// Which pointer.
        at: usize,
        /// Its value.
        found: i32,
        /// What it must be.
        expected: usize,
    },
    /// A row that ends before it begins.
    #[error("row {row} runs from entry {from} to entry {to}; row pointers must not decrease")]
    Decreasing {
        /// The row.
        row: usize,
        /// Its pointer.
        from: i32,
        /// The next pointer.
        to: i32,
    },
    /// A column that is not there.
    #[error("entry {position}, in row {row}, has column {found}; columns are 0..{cols}")]
    Column {
        /// Position of the entry.
        position: usize,
        /// Its row.
        row: usize,
        /// Its column.
        found: i32,
        /// Number of columns.
        cols: usize,
    },
    /// A mask of another length than the entries.
    #[error("a mask of {found} for {entries} entries")]
    Mask {
        /// Number of entries.
        entries: usize,
        /// Length of the mask.
        found: usize,
    },
    /// A row whose columns do not ascend.
    #[error(
        "entry {position}, in row {row}, has column {found} after column {previous}; columns of a row must \
         ascend, each once"
    )]
    Order {
        /// Position of the entry.
        position: usize,
        /// Its row.
        row: usize,
        /// The column before it.
        previous: i32,
        /// Its column.
        found: i32,
    },
    /// An edge that does not fit the sizes.
    #[error("edge {position} is ({row}, {column}); rows are 0..{rows} and columns 0..{cols}")]
    Edge {
        /// Position in the list of edges.
        position: usize,
        /// Its row.
        row: i32,
        /// Its column.
        column: i32,
        /// Number of rows.
        rows: usize,
        /// Number of columns.
        cols: usize,
    },
    /// A pattern said to be symmetric that is not.
    #[error("the pattern is declared symmetric, but ({row}, {column}) is in it and ({column}, {row}) is not")]
    NotSymmetric {
        /// Row of an entry without a mirror image.
        row: usize,
        /// Its column.
        column: usize,
    },
    /// A pattern said to be symmetric whose sizes differ.
    #[error("the pattern is declared symmetric, but it has {rows} rows and {cols} columns")]
    NotSquare {
        /// Number of rows.
        rows: usize,
        /// Number of columns.
        cols: usize,
    },
    /// A twin that is not the transpose.
    #[error("the twin is not the transpose: its {array} differ first at {at}, {found} instead of {expected}")]
    Twin {
        /// Which of its arrays.
        array: &'static str,
        /// Where.
        at: usize,
        /// What is there.
        found: String,
        /// What belongs there.
        expected: String,
    },
}

impl CsrArray {
    /// A pattern from its arrays, checked; the twin is made where it is not `symmetric`.
    pub fn new(
        rows: usize,
        cols: usize,
        indptr: Vec<i32>,
        indices: Vec<i32>,
        symmetric: bool,
    ) -> Result<CsrArray, CsrError> {
        let a = CsrArray { rows, cols, indptr, indices, twin: None };
        a.validate()?;
        if symmetric {
            a.check_symmetric()?;
            return Ok(a);
        }
        Ok(a.with_twin())
    }

    /// A pattern from (row, column) pairs in any order; pairs that repeat are one entry. With its twin.
    pub fn from_edges(
        rows: usize,
        cols: usize,
        edges: impl IntoIterator<Item = (i32, i32)>,
    ) -> Result<CsrArray, CsrError> {
        let edges: Vec<(i32, i32)> = edges.into_iter().collect();
        Ok(sorted(rows, cols, &edges)?.with_twin())
    }

    /// As [`CsrArray::from_edges`], with the entry that each of the pairs has become, in their order: pairs that repeat
    /// have the same one. What is known of each pair (a weight, a relation) is brought to the entries by it: added up by
    /// `scatter_rows`, or read by the pairs with `rows`.
    pub fn from_listed_edges(
        rows: usize,
        cols: usize,
        edges: impl IntoIterator<Item = (i32, i32)>,
    ) -> Result<(CsrArray, Vec<i32>), CsrError> {
        let edges: Vec<(i32, i32)> = edges.into_iter().collect();
        let csr = sorted(rows, cols, &edges)?.with_twin();
        let entry = |(row, column): &(i32, i32)| {
            // Every pair has an entry, so it is found.
            let at = csr.row(*row as usize).partition_point(|c| c < column);
            csr.indptr[*row as usize] + at as i32
        };
        let entries = edges.iter().map(entry).collect();
        Ok((csr, entries))
    }

    /// The pattern of the entries that a mask holds, one bool an entry, and which entries of this one they are,
    /// ascending. Linear in rows, columns and entries; the twin is filtered with it. The arrays must be valid.
    pub fn subset(&self, keep: &[bool]) -> Result<(CsrArray, Vec<i32>), CsrError> {
        if keep.len() != self.nnz() {
            return Err(CsrError::Mask { entries: self.nnz(), found: keep.len() });
        }
        // How many are kept before each entry, and before the end.
        let mut before = Vec::with_capacity(keep.len() + 1);
        let mut count = 0i32;
        for k in keep {
            before.push(count);
            count += i32::from(*k);
        }
        before.push(count);
        let kept: Vec<i32> = (0..self.nnz() as i32).filter(|e| keep[*e as usize]).collect();
        let indptr = self.indptr.iter().map(|p| before[*p as usize]).collect();
        let indices = kept.iter().map(|e| self.indices[*e as usize]).collect();
        let twin = self.twin.as_ref().map(|twin| Box::new(twin.subset(keep, &before)));
        let csr = CsrArray { rows: self.rows, cols: self.cols, indptr, indices, twin };
        // What is left of a symmetric pattern need not be one.
        Ok((csr.with_twin(), kept))
    }

    /// The symmetric pattern of a bipartite graph: node `u` is user `u`, node `users + i` is item `i`, and
    /// each (user, item) pair is an edge both ways. Pairs that repeat are one.
    pub fn bipartite(
        users: usize,
        items: usize,
        pairs: impl IntoIterator<Item = (i32, i32)>,
    ) -> Result<CsrArray, CsrError> {
        let nodes = users.saturating_add(items);
        fits("rows", nodes)?;
        let mut edges = vec![];
        for (position, (user, item)) in pairs.into_iter().enumerate() {
            if !below(user, users) || !below(item, items) {
                return Err(CsrError::Edge { position, row: user, column: item, rows: users, cols: items });
            }
            let item = item + users as i32;
            edges.extend([(user, item), (item, user)]);
        }
        sorted(nodes, nodes, &edges)
    }

    /// Number of entries.
    pub fn nnz(&self) -> usize {
        self.indices.len()
    }

    /// The columns of a row, ascending.
    pub fn row(&self, row: usize) -> &[i32] {
        &self.indices[self.indptr[row] as usize..self.indptr[row + 1] as usize]
    }

    /// Whether the arrays are a pattern, and the twin, where there is one, its transpose.
    pub fn validate(&self) -> Result<(), CsrError> {
        fits("rows", self.rows)?;
        fits("columns", self.cols)?;
        fits("entries", self.nnz())?;
        if self.indptr.len() != self.rows + 1 {
            return Err(CsrError::Pointers { rows: self.rows, found: self.indptr.len() });
        }
        for (at, expected) in [(0, 0), (self.rows, self.nnz())] {
            if self.indptr[at] as usize != expected {
                return Err(CsrError::Ends { at, found: self.indptr[at], expected });
            }
        }
        if let Some(row) = self.indptr.windows(2).position(|w| w[0] > w[1]) {
            return Err(CsrError::Decreasing { row, from: self.indptr[row], to: self.indptr[row + 1] });
        }
        for row in 0..self.rows {
            let start = self.indptr[row] as usize;
            let mut previous = -1;
            for (i, &found) in self.row(row).iter().enumerate() {
                if !below(found, self.cols) {
                    return Err(CsrError::Column { position: start + i, row, found, cols: self.cols });
                }
                if found <= previous {
                    return Err(CsrError::Order { position: start + i, row, previous, found });
                }
                previous = found;
            }
        }
        match &self.twin {
            Some(twin) => self.check_twin(twin),
            None => Ok(()),
        }
    }

    fn check_twin(&self, twin: &CsrTwin) -> Result<(), CsrError> {
        let right = self.transposed();
        for (array, found, expected) in [
            ("row pointers", &twin.indptr, &right.indptr),
            ("columns", &twin.indices, &right.indices),
            ("edges", &twin.edges, &right.edges),
        ] {
            if found != expected {
                let at = (0..).find(|i| found.get(*i) != expected.get(*i)).unwrap_or(0);
                let text = |v: &[i32]| v.get(at).map_or("nothing".to_owned(), i32::to_string);
                return Err(CsrError::Twin { array, at, found: text(found), expected: text(expected) });
            }
        }
        Ok(())
    }

    /// Whether the pattern equals its transpose, with a witness where not. The arrays must be valid.
    pub fn check_symmetric(&self) -> Result<(), CsrError> {
        if self.rows != self.cols {
            return Err(CsrError::NotSquare { rows: self.rows, cols: self.cols });
        }
        let t = self.transposed();
        if t.indptr == self.indptr && t.indices == self.indices {
            return Ok(());
        }
        // The first row that differs holds an entry that its mirror row lacks, on one side or the other.
        for row in 0..self.rows {
            let mirror = &t.indices[t.indptr[row] as usize..t.indptr[row + 1] as usize];
            if let Some(c) = self.row(row).iter().find(|c| mirror.binary_search(c).is_err()) {
                return Err(CsrError::NotSymmetric { row, column: *c as usize });
            }
            if let Some(r) = mirror.iter().find(|r| self.row(row).binary_search(r).is_err()) {
                return Err(CsrError::NotSymmetric { row: *r as usize, column: row });
            }
        }
        Ok(())
    }

    /// The transpose, in time linear in rows, columns and entries. The arrays must be valid.
    pub fn transposed(&self) -> CsrTwin {
        let mut indptr = vec![0i32; self.cols + 1];
        for &c in &self.indices {
            indptr[c as usize + 1] += 1;
        }
        accumulate(&mut indptr);
        let mut next = indptr.clone();
        let mut indices = vec![0i32; self.nnz()];
        let mut edges = vec![0i32; self.nnz()];
        for row in 0..self.rows {
            for e in self.indptr[row]..self.indptr[row + 1] {
                let to = &mut next[self.indices[e as usize] as usize];
                indices[*to as usize] = row as i32;
                edges[*to as usize] = e;
                *to += 1;
            }
        }
        CsrTwin { indptr, indices, edges }
    }

    /// The pattern with its twin. The arrays must be valid.
    pub fn with_twin(mut self) -> CsrArray {
        if self.twin.is_none() {
            self.twin = Some(Box::new(self.transposed()));
        }
        self
    }
}

impl CsrTwin {
    /// The entries that a mask of the original's entries holds, of which so many are kept before each.
    fn subset(&self, keep: &[bool], before: &[i32]) -> CsrTwin {
        let mut twin = CsrTwin { indptr: vec![0], indices: vec![], edges: vec![] };
        for row in self.indptr.windows(2) {
            for e in row[0] as usize..row[1] as usize {
                let edge = self.edges[e] as usize;
                if keep[edge] {
                    twin.indices.push(self.indices[e]);
                    twin.edges.push(before[edge]);
                }
            }
            twin.indptr.push(twin.indices.len() as i32);
        }
        twin
    }
}

fn fits(what: &'static str, found: usize) -> Result<(), CsrError> {
    // One below the greatest i32, so that `rows + 1` pointers can be counted too.
    if found < i32::MAX as usize { Ok(()) } else { Err(CsrError::TooLarge { what, found }) }
}

fn below(id: i32, count: usize) -> bool {
    usize::try_from(id).is_ok_and(|id| id < count)
}

/// Counts to first positions.
fn accumulate(counts: &mut [i32]) {
    for i in 1..counts.len() {
        counts[i] += counts[i - 1];
    }
}

/// Rows in order, columns ascending, each pair once: two stable counting sorts.
fn sorted(rows: usize, cols: usize, edges: &[(i32, i32)]) -> Result<CsrArray, CsrError> {
    fits("rows", rows)?;
    fits("columns", cols)?;
    fits("entries", edges.len())?;
    let outside = |(r, c): &(i32, i32)| !below(*r, rows) || !below(*c, cols);
    if let Some(position) = edges.iter().position(outside) {
        let (row, column) = edges[position];
        return Err(CsrError::Edge { position, row, column, rows, cols });
    }
    let by_column = by_key(cols, edges, |e| e.1).1;
    let (mut indptr, by_row) = by_key(rows, &by_column, |e| e.0);
    let mut indices: Vec<i32> = Vec::with_capacity(by_row.len());
    let mut first = 0;
    for row in 0..rows {
        let end = indptr[row + 1];
        let kept = indices.len();
        indptr[row] = kept as i32;
        for (_, c) in &by_row[first as usize..end as usize] {
            if indices.len() == kept || indices.last() != Some(c) {
                indices.push(*c);
            }
        }
        first = end;
    }
    indptr[rows] = indices.len() as i32;
    Ok(CsrArray { rows, cols, indptr, indices, twin: None })
}

/// A stable counting sort; gives where each key begins, and the edges in order.
fn by_key(
    keys: usize,
    edges: &[(i32, i32)],
    key: impl Fn(&(i32, i32)) -> i32,
) -> (Vec<i32>, Vec<(i32, i32)>) {
    let mut starts = vec![0i32; keys + 1];
    for e in edges {
        starts[key(e) as usize + 1] += 1;
    }
    accumulate(&mut starts);
    let mut next = starts.clone();
    let mut out = vec![(0, 0); edges.len()];
    for e in edges {
        let to = &mut next[key(e) as usize];
        out[*to as usize] = *e;
        *to += 1;
    }
    (starts, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_in_any_order_with_repetitions() {
        let a = CsrArray::from_edges(3, 4, [(2, 1), (0, 3), (2, 0), (0, 3), (0, 1), (2, 1)]).unwrap();
        assert_eq!(
            (a.indptr.as_slice(), a.indices.as_slice()),
            ([0, 2, 2, 4].as_slice(), [1, 3, 0, 1].as_slice())
        );
        a.validate().unwrap();
        let twin = a.twin.unwrap();
        assert_eq!(twin.indptr, [0, 1, 3, 3, 4]);
        assert_eq!(twin.indices, [2, 0, 2, 0]);
        assert_eq!(twin.edges, [2, 0, 3, 1]);
    }

    #[test]
    fn pairs_know_their_entries_and_masks_leave_some() {
        let edges = [(2, 1), (0, 3), (2, 0), (0, 3), (0, 1), (2, 1)];
        let (a, entries) = CsrArray::from_listed_edges(3, 4, edges).unwrap();
        assert_eq!(entries, [3, 1, 2, 1, 0, 3]);
        let (b, kept) = a.subset(&[true, false, false, true]).unwrap();
        b.validate().unwrap();
        assert_eq!((b.indptr.as_slice(), b.indices.as_slice()), ([0, 1, 1, 2].as_slice(), [1, 1].as_slice()));
        assert_eq!(kept, [0, 3]);
        assert_eq!(a.subset(&[true]).unwrap_err(), CsrError::Mask { entries: 4, found: 1 });
        // One direction of an edge of a symmetric pattern may go.
        let s = CsrArray::bipartite(1, 2, [(0, 0), (0, 1)]).unwrap();
        let (t, _) = s.subset(&[true, false, true, true]).unwrap();
        t.validate().unwrap();
        assert!(t.check_symmetric().is_err() && t.twin.is_some());
    }

    #[test]
    fn the_transpose_of_the_transpose_is_the_pattern() {
        let mut state = 7u64;
        let mut next = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 33) % n) as i32
        };
        for (rows, cols, n) in [(1, 1, 3), (5, 9, 20), (40, 3, 200), (7, 7, 0)] {
            let edges: Vec<(i32, i32)> = (0..n).map(|_| (next(rows), next(cols))).collect();
            let a = CsrArray::from_edges(rows as usize, cols as usize, edges.clone()).unwrap();
            a.validate().unwrap();
            let set: std::collections::BTreeSet<(i32, i32)> = edges.into_iter().collect();
            assert_eq!(a.nnz(), set.len());
            let t = a.transposed();
            let back =
                CsrArray { rows: a.cols, cols: a.rows, indptr: t.indptr, indices: t.indices, twin: None }
                    .transposed();
            assert_eq!((back.indptr, back.indices), (a.indptr.clone(), a.indices.clone()));
            for (e, original) in t.edges.iter().enumerate() {
                assert_eq!(t.edges[back.edges[*original as usize] as usize], *original, "entry {e}");
            }
        }
    }

    #[test]
    fn bipartite_is_symmetric() {
        let a = CsrArray::bipartite(2, 3, [(1, 2), (0, 0), (1, 0), (1, 2)]).unwrap();
        assert_eq!((a.rows, a.cols, a.nnz()), (5, 5, 6));
        assert_eq!(a.row(1), [2, 4]);
        assert_eq!(a.row(2), [0, 1]);
        a.check_symmetric().unwrap();
        let e = CsrArray::bipartite(2, 3, [(0, 0), (0, 3)]).unwrap_err();
        assert_eq!(e, CsrError::Edge { position: 1, row: 0, column: 3, rows: 2, cols: 3 });
    }

    #[test]
    fn faults_are_named() {
        let new = |indptr: &[i32], indices: &[i32]| CsrArray::new(2, 3, indptr.into(), indices.into(), false);
        assert_eq!(new(&[0, 1], &[0]).unwrap_err(), CsrError::Pointers { rows: 2, found: 2 });
        assert_eq!(new(&[1, 1, 1], &[0]).unwrap_err(), CsrError::Ends { at: 0, found: 1, expected: 0 });
        assert_eq!(new(&[0, 1, 2], &[0]).unwrap_err(), CsrError::Ends { at: 2, found: 2, expected: 1 });
        assert_eq!(new(&[0, 2, 1], &[0]).unwrap_err(), CsrError::Decreasing { row: 1, from: 2, to: 1 });
        assert_eq!(
            new(&[0, 1, 2], &[0, 3]).unwrap_err(),
            CsrError::Column { position: 1, row: 1, found: 3, cols: 3 }
        );
        assert_eq!(
            new(&[0, 1, 2], &[-1, 0]).unwrap_err(),
            CsrError::Column { position: 0, row: 0, found: -1, cols: 3 }
        );
        assert_eq!(
            new(&[0, 0, 2], &[1, 1]).unwrap_err(),
            CsrError::Order { position: 1, row: 1, previous: 1, found: 1 }
        );
        let mut a = new(&[0, 1, 2], &[0, 2]).unwrap();
        if let Some(twin) = &mut a.twin {
            twin.edges.swap(0, 1);
        }
        assert!(matches!(a.validate(), Err(CsrError::Twin { array: "edges", at: 0, .. })));
        let lone = CsrArray::new(3, 3, vec![0, 1, 1, 1], vec![2], true);
        assert_eq!(lone.unwrap_err(), CsrError::NotSymmetric { row: 0, column: 2 });
        let oblong = CsrArray::new(1, 3, vec![0, 1], vec![2], true);
        assert_eq!(oblong.unwrap_err(), CsrError::NotSquare { rows: 1, cols: 3 });
    }

    #[test]
    fn nothing_is_a_pattern() {
        let a = CsrArray::from_edges(0, 0, []).unwrap();
        a.validate().unwrap();
        assert_eq!((a.indptr.as_slice(), a.nnz()), ([0].as_slice(), 0));
    }
}
