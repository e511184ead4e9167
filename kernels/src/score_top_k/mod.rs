//! `score_top_k`: the best items of each query, by scores that are never stored.
//!
//! Queries come in blocks, one after another on a thread; a block goes through all items, a tile of items x
//! queries at a time, with the tile's sums in registers. A tile none of whose sums can beat the k-th best so
//! far of its query is forgotten. There are two ways to sum:
//!
//! - `product`: the scores themselves, in f32.
//! - `filtered`: an estimate in bytes with a bound of its error, where the machine multiplies bytes four times as fast;
//!   items that the estimate does not rule out are scored in f32.
//!
//! Either way items come in ascending order for every query and a score enters a list only if it beats what is
//! there, so equal scores stand by lower id.

mod bytes;
mod filtered;
mod hints;
mod judge;
mod product;
mod ranking;

use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::ops::score_top_k::ScoreTopK;
use latentc_ir::plan::CsrPart;
use latentc_ir::types::{CsrType, Type};

use crate::lists::stride;
use crate::tile::Tile;
use crate::{Arg, Machine, Schedule, Temp};

/// Queries of a block: enough that reading the items costs little beside the arithmetic.
const BLOCK: i64 = 128;
/// Bytes of lists that a block keeps on its stack; longer lists are a temporary.
const STACK: i64 = 96 << 10;

/// The sizes and choices of one schedule.
struct Plan<'a> {
    queries: &'a Dim,
    items: &'a Dim,
    width: &'a Dim,
    /// What queries have seen and do not want to see again.
    seen: Option<&'a CsrType>,
    best: i64,
    tile: Tile,
    /// Panels of queries in a block.
    panels: i64,
    /// Items of a chunk, a multiple of the tile's rows.
    chunk: i64,
}

impl Plan<'_> {
    fn block(&self) -> i64 {
        self.panels * self.tile.cols
    }

    fn list(&self) -> i64 {
        stride(self.best, self.tile.lanes)
    }

    fn on_stack(&self) -> bool {
        self.block().saturating_mul(self.list()).saturating_mul(8) <= STACK
    }

    /// Heights of the tiles that cover the items: few stand beyond the last whole tile, they come one by one.
    fn heights(&self) -> Vec<i64> {
        let whole = self.items.as_const().is_some_and(|n| n % self.tile.rows == 0);
        if whole { vec![self.tile.rows] } else { vec![self.tile.rows, 1] }
    }

    /// The arguments that every ranking kernel ends with, and the lists among the temporaries if they are one.
    fn arguments(&self, temps: &mut Vec<Temp>) -> Vec<Arg> {
        let mut args = vec![];
        if self.seen.is_some() {
            args.extend([Arg::Csr(2, CsrPart::Indptr), Arg::Csr(2, CsrPart::Indices), Arg::Operand(3)]);
        }
        args.extend([Arg::Result(0), Arg::Result(1)]);
        if !self.on_stack() {
            let len = &self.queries.ceil_div(self.block()) * &(self.block() * self.list()).into();
            for (name, dtype) in [("list scores", DType::F32), ("list ids", DType::I32)] {
                args.push(Arg::Temp(temps.len()));
                temps.push(Temp { name, dtype, len: len.clone() });
            }
        }
        args
    }
}

/// The best items of each query; `None` where the operands are not those of the op.
pub fn score_top_k(name: &str, op: &ScoreTopK, operands: &[Type], machine: &Machine) -> Option<Schedule> {
    let (queries, items, seen) = match operands {
        [Type::Tensor(queries), Type::Tensor(items)] => (queries, items, None),
        [Type::Tensor(queries), Type::Tensor(items), Type::Csr(seen), Type::Tensor(users)]
            if users.rank() == 1 =>
        {
            (queries, items, Some(seen))
        }
        _ => return None,
    };
    let [queries, width] = queries.shape.as_slice() else { return None };
    let [items, _] = items.shape.as_slice() else { return None };
    let tile = machine.widest_tile(DType::F32);
    let most = queries.as_const().map_or(i64::MAX, |q| (q + tile.cols - 1) / tile.cols);
    let filter = filtered::pays(machine, queries, width);
    // A chunk's rows stay in the first cache while the block's panels go over them.
    let row = width.upper().clamp(1, 1 << 20) * if filter { 1 } else { 4 };
    let most_tiles = if filter { filtered::TILES } else { 64 };
    let tiles = (machine.l1 as i64 / 2 / (row * tile.rows)).clamp(1, most_tiles);
    let plan = Plan {
        queries,
        items,
        width,
        seen,
        best: i64::try_from(op.k).ok()?,
        tile,
        panels: (BLOCK / tile.cols).min(most).max(1),
        chunk: tiles * tile.rows,
    };
    Some(if filter { filtered::schedule(name, &plan) } else { product::schedule(name, &plan) })
}
