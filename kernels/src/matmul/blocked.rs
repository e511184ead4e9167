//! The general product: blocks of rows in parallel, the right operand in panels, the inner size in pieces.
//!
//! ```text
//! for block of rows, group of panels   (parallel)
//!   for piece of the inner size        (a sum each, added up in order)
//!     for panel of columns             (stays in the first or second cache over the rows of the block)
//!       for tile of rows               (sums in registers)
//! ```
//! The right operand is packed by a first step into panels `[k][columns]`, zeros beyond the last column, unless
//! it does well as it stands: one panel, small, or used by few rows. The left one is read in place, unless it
//! is transposed with rows as long as a page.

use latentc_ir::dim::Dim;
use latentc_ir::nest::AxisKind::{Parallel, Serial, Unroll, Vector};
use latentc_ir::nest::build::{KernelBuilder, load, op2};
use latentc_ir::nest::{BufId, Expr, Index, Kernel, Space, Split};
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::product;

use super::{Shape, View, ceil_div, pack_kernel, strides};
use crate::tile::{Tile, clear, each_sum, heights, row_tiles, tile_product_with};
use crate::{Arg, Machine, Schedule, Step, Temp};

/// The inner size that one sum in registers runs over; beyond it there are pieces of equal length. 16-bit
/// results have one piece, since what is added up in the result would be rounded to it.
const PIECE: i64 = 384;
/// Tiles of rows in a block.
const ROW_TILES: i64 = 16;
/// Bytes of a page.
const PAGE: i64 = 4096;
/// Panels of columns in a group.
const PANELS: i64 = 8;

/// The sizes as indices of a kernel.
struct Sizes {
    batch: Index,
    m: Index,
    n: Index,
    k: Index,
}

impl Sizes {
    fn of(k: &mut KernelBuilder, s: &Shape) -> Sizes {
        Sizes { batch: k.size(&s.batch), m: k.size(&s.m), n: k.size(&s.n), k: k.size(&s.k) }
    }
}

/// The tile for a shape: as many vectors as the columns need, at most those of the widest.
pub(super) fn tile_of(s: &Shape, machine: &Machine) -> Tile {
    let widest = machine.widest_tile(s.sum_type());
    match s.n.as_const() {
        Some(n) if n < widest.cols => {
            let vectors = (n + i64::from(widest.lanes) - 1) / i64::from(widest.lanes);
            machine.tile(vectors.max(1) as u32, s.sum_type())
        }
        _ => widest,
    }
}

/// What a product kernel is made for.
pub(super) struct Plan {
    pub tile: Tile,
    /// Whether the left operand, transposed, lies in panels of as many columns as the tile has rows.
    pub left_packed: bool,
    /// Whether the right operand lies in panels, or as the op has it (not transposed, columns known).
    pub packed: bool,
    /// The inner size is cut into chunks of so many, each with a result of its own in a row of results.
    pub chunk: Option<i64>,
    /// The most that one sum in registers runs over.
    pub piece: i64,
}

/// A product of any sizes.
pub fn blocked(name: &str, s: &Shape, machine: &Machine) -> Schedule {
    let tile = tile_of(s, machine);
    let small = |n: i64| match s.k.as_const() {
        Some(k) => n <= 2 * tile.cols && k.saturating_mul(n).saturating_mul(4) <= machine.l1 as i64,
        None => false,
    };
    // With few rows each element of the right operand is used once or twice: not worth a copy.
    let few = s.m.as_const().is_some_and(|m| m <= 2 * tile.rows);
    let direct = !s.transpose_b && s.n.as_const().is_some_and(|n| few || n <= tile.cols || small(n));
    // Rows of a page and more: every step would touch another page, and all of them one set of a cache. With
    // few panels that costs less than a copy.
    let long = s.m.as_const().is_none_or(|m| m >= PAGE / s.dtype.size() as i64);
    let left_packed = s.transpose_a && long && s.n.as_const().is_none_or(|n| n >= 4 * tile.cols);
    let plan = Plan { tile, left_packed, packed: !direct, chunk: None, piece: PIECE };

    let (mut temps, mut steps) = (vec![], vec![]);
    let mut pack = |operand: usize, name: String, columns: &Dim, transposed: bool, cols: i64| {
        let len = product(&[s.batch.clone(), columns.ceil_div(cols), s.k.clone(), cols.into()]);
        let args = vec![Arg::Operand(operand), Arg::Temp(temps.len())];
        temps.push(Temp { name: "panels", dtype: s.dtype, len });
        let shape = Shape { n: columns.clone(), transpose_b: transposed, ..s.clone() };
        steps.push(Step { kernel: pack_kernel(&name, &shape, Tile { cols, ..tile }), args });
        Arg::Temp(temps.len() - 1)
    };
    let left = match left_packed {
        true => pack(0, format!("{name}_pack_left"), &s.m, false, tile.rows),
        false => Arg::Operand(0),
    };
    let right = match direct {
        true => Arg::Operand(1),
        false => pack(1, format!("{name}_pack"), &s.n, s.transpose_b, tile.cols),
    };
    let kernel = product_kernel(name, s, &plan);
    steps.push(Step { kernel, args: vec![left, right, Arg::Result(0)] });
    Schedule { temps, steps }
}

/// The columns of a tile that the result has.
enum Columns {
    /// So many, known.
    Known(i64),
    /// Those below `n`: the sums go through this buffer in memory.
    Below(BufId),
}

/// The product itself.
pub(super) fn product_kernel(name: &str, s: &Shape, plan: &Plan) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let z = Sizes::of(k, s);
    let (sum, tile, cols) = (s.sum_type(), plan.tile, plan.tile.cols);
    let panels = ceil_div(z.n.clone(), cols);
    let chunk = plan.chunk.map_or(z.k.clone(), Index::Const);
    let chunks = plan.chunk.map_or(1.into(), |chunk| ceil_div(z.k.clone(), chunk).max(1));
    let most = if s.dtype == sum { Some(plan.piece) } else { None };
    let (pieces, piece) = most.map_or((1.into(), chunk.clone()), |most| pieces_of(&chunk, most));
    let one_piece = pieces.as_const() == Some(1);

    let b_cols = if plan.packed { panels.clone() * cols } else { z.n.clone() };
    let a_rows = if plan.left_packed { ceil_div(z.m.clone(), tile.rows) * tile.rows } else { z.m.clone() };
    let a = k.buffer("a", s.dtype, z.batch.clone() * a_rows.clone() * z.k.clone(), Space::In);
    let b = k.buffer("b", s.dtype, z.batch.clone() * z.k.clone() * b_cols, Space::In);
    let space = if one_piece { Space::Out } else { Space::InOut };
    let units = z.batch.clone() * chunks.clone();
    let c = k.buffer("c", s.dtype, units.clone() * z.m.clone() * z.n.clone(), space);
    let scratch = z.n.as_const().is_none().then(|| k.buffer("edge", sum, tile.rows * cols, Space::Stack));

    let block = tile.rows * ROW_TILES;
    let blocks = ceil_div(z.m.clone(), block);
    let groups = ceil_div(panels.clone(), PANELS).max(1);
    let per_matrix = blocks * groups.clone();
    let total = units * per_matrix.clone();
    let heights = heights(tile.rows, s.m.as_const().map(|m| m % tile.rows));
    k.for_("t", total, Parallel(Split::Even), |k, t| {
        let unit = t.clone().floor_div(per_matrix.clone().max(1));
        let batch = unit.clone().floor_div(chunks.clone());
        let start = unit.clone().modulo(chunks) * chunk.clone();
        let end = (start.clone() + chunk).min(z.k.clone());
        let within = t.modulo(per_matrix.max(1));
        let group = within.clone().modulo(groups.clone());
        let lo = within.floor_div(groups) * block;
        let hi = (lo.clone() + block).min(z.m.clone());
        let left_start = batch.clone() * (a_rows * z.k.clone());
        // The left operand from row `i0` on.
        let left_from = |i0: &Index| {
            if plan.left_packed {
                let (panel, row) = (i0.clone().floor_div(tile.rows), i0.clone().modulo(tile.rows));
                let start = left_start.clone() + panel * (z.k.clone() * tile.rows) + row;
                return View { buf: a, start, strides: (Index::Const(1), tile.rows.into()) };
            }
            let (rows, columns) = strides(s.transpose_a, &z.m, &z.k);
            let start = left_start.clone() + i0.clone() * rows.clone();
            View { buf: a, start, strides: (rows, columns) }
        };
        let out = View {
            buf: c,
            start: unit * (z.m.clone() * z.n.clone()),
            strides: (z.n.clone(), Index::Const(1)),
        };
        let pieces = match plan.chunk {
            Some(_) => (end.clone() - start.clone() + (piece.clone() - 1)).floor_div(piece.clone()).max(1),
            None => pieces.clone(),
        };
        k.for_("piece", pieces, Serial, |k, q| {
            let p0 = start.clone() + q.clone() * piece.clone();
            let inner = match plan.chunk {
                None if one_piece => z.k.clone(),
                _ => piece.clone().min(end.clone() - p0.clone()),
            };
            let panel = |k: &mut KernelBuilder, panel: Index, tile: Tile, columns: &Columns| {
                let first = panel.clone() * cols;
                let (from, stride) = if plan.packed {
                    ((batch.clone() * panels.clone() + panel) * (z.k.clone() * cols), cols.into())
                } else {
                    (batch.clone() * (z.k.clone() * z.n.clone()) + first.clone(), z.n.clone())
                };
                let right = View { buf: b, start: from, strides: (stride, Index::Const(1)) };
                row_tiles(k, lo.clone(), hi.clone(), &heights, |k, i0, rows| {
                    let tile = tile.with_rows(rows);
                    let left = left_from(&i0);
                    let sums = tile.sums(k, sum);
                    clear(k, tile, sums);
                    tile_product_with(
                        k,
                        sums,
                        tile,
                        inner.clone(),
                        |k, i, p| left.load(k, sum, i, p0.clone() + p),
                        |k, p, j| right.load(k, sum, p0.clone() + p, j),
                        |k, p| {
                            if plan.chunk.is_none() {
                                return;
                            }
                            // The next piece of both operands, a part of each row by every tile.
                            let next = p0.clone() + piece.clone() + p;
                            if s.transpose_a {
                                k.prefetch(a, left.at(0.into(), next.clone()));
                            }
                            k.prefetch(b, right.at(next, i0.clone().modulo(tile.cols)));
                        },
                    );
                    let write = |k: &mut KernelBuilder, add: bool| {
                        store_tile(k, tile, sums, &out, (i0.clone(), first.clone()), &z.n, columns, add)
                    };
                    if one_piece {
                        write(k, false);
                    } else {
                        let zero = Expr::from(Index::Const(0));
                        let start = op2(ScalarOp::Eq, Expr::from(q.clone()), zero);
                        k.if_(start, |k| write(k, false), |k| write(k, true));
                    }
                });
            };
            let whole = z.n.clone().floor_div(cols);
            let (from, end) = (group.clone() * PANELS, group.clone() * PANELS + PANELS);
            k.for_step("panel", from.clone(), end.clone().min(whole.clone()), 1, Serial, |k, at| {
                panel(k, at, tile, &Columns::Known(cols));
            });
            if whole != panels {
                // Panels have whole vectors, with zeros at the end.
                let lanes = if plan.packed { i64::from(tile.lanes) } else { 1 };
                let (last, columns) = match (z.n.as_const(), scratch) {
                    (Some(n), _) => {
                        let rest = n % cols;
                        let width = (rest + lanes - 1) / lanes * lanes;
                        (Tile { cols: width, ..tile }, Columns::Known(rest))
                    }
                    (None, Some(scratch)) => (tile, Columns::Below(scratch)),
                    (None, None) => return,
                };
                let from = from.max(whole);
                k.for_step("panel", from, end.min(panels.clone()), 1, Serial, |k, at| {
                    panel(k, at, last, &columns);
                });
            }
        });
    });
    builder.finish()
}

/// How many pieces the inner size has, and their length (the last may be shorter): equal, and a whole number
/// of the loop's unrolled turns.
fn pieces_of(inner: &Index, most: i64) -> (Index, Index) {
    let pieces = ceil_div(inner.clone(), most).max(1);
    let piece = (inner.clone() + (pieces.clone() - 1)).floor_div(pieces.clone());
    (pieces, ceil_div(piece, 4) * 4)
}

/// Writes a tile's sums to the result at `(row, column)`, or adds them to it.
#[expect(clippy::too_many_arguments, reason = "one call, and each argument is plain")]
fn store_tile(
    k: &mut KernelBuilder,
    tile: Tile,
    sums: BufId,
    out: &View,
    (row, col): (Index, Index),
    n: &Index,
    columns: &Columns,
    add: bool,
) {
    let (sum, dtype) = (k.info(sums).dtype, k.info(out.buf).dtype);
    let write = |k: &mut KernelBuilder, i: Index, j: Index, value: Expr| {
        let at = out.at(row.clone() + i, col.clone() + j);
        let value = if sum == dtype { value } else { Expr::Cast(dtype, Box::new(value)) };
        if add {
            k.accumulate(ReduceOp::Sum, out.buf, at, value);
        } else {
            k.store(out.buf, at, value);
        }
    };
    match columns {
        Columns::Known(known) => {
            k.for_("i", tile.rows, Unroll, |k, i| {
                k.for_("j", *known, Vector(tile.lanes), |k, j| {
                    let value = load(sums, i.clone() * tile.cols + j.clone());
                    write(k, i.clone(), j, value);
                });
            });
        }
        Columns::Below(scratch) => {
            each_sum(k, tile, |k, _, _, at| k.store(*scratch, at.clone(), load(sums, at)));
            k.for_("i", tile.rows, Serial, |k, i| {
                k.for_("j", n.clone() - col.clone(), Vector(tile.lanes), |k, j| {
                    let value = load(*scratch, i.clone() * tile.cols + j.clone());
                    write(k, i.clone(), j, value);
                });
            });
        }
    }
}
