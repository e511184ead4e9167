//! Strategies of sparse patterns: empty rows, full rows, hubs, single entries.

use crate::array::CsrArray;
use crate::philox::Stream;
use proptest::prelude::*;

/// A pattern of these sizes, with its twin: about a third of the rows empty, one a hub, the others short.
pub fn pattern(rows: usize, cols: usize) -> impl Strategy<Value = CsrArray> {
    any::<u32>().prop_map(move |seed| random_pattern(&mut Stream::new(seed.into(), 0, 0), rows, cols, false))
}

/// A symmetric pattern, without a twin: some nodes without neighbours, one a hub, loops now and then.
pub fn symmetric_pattern(nodes: usize) -> impl Strategy<Value = CsrArray> {
    any::<u32>().prop_map(move |seed| random_pattern(&mut Stream::new(seed.into(), 0, 0), nodes, nodes, true))
}

/// As [`pattern`] and [`symmetric_pattern`], from a stream of random words.
///
/// # Panics
/// Where `symmetric` is asked of differing sizes, or sizes are beyond i32.
pub fn random_pattern(random: &mut Stream, rows: usize, cols: usize, symmetric: bool) -> CsrArray {
    let (below_rows, below_cols) = (rows.min(1 << 30) as u32, cols.min(1 << 30) as u32);
    let mut edges: Vec<(i32, i32)> = vec![];
    if rows > 0 && cols > 0 {
        let hub = random.below(below_rows) as i32;
        for row in 0..below_rows as i32 {
            let degree = match random.below(3) {
                _ if row == hub => below_cols / 2 + 1,
                0 => 0,
                _ => random.below(4.min(below_cols)) + 1,
            };
            edges.extend((0..degree).map(|_| (row, random.below(below_cols) as i32)));
        }
    }
    if symmetric {
        edges.extend(edges.clone().into_iter().map(|(r, c)| (c, r)));
    }
    let mut made = match CsrArray::from_edges(rows, cols, edges) {
        Ok(made) => made,
        Err(e) => panic!("{e}"),
    };
    if symmetric {
        made.twin = None;
        assert_eq!(made.check_symmetric(), Ok(()));
    }
    made
}
