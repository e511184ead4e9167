//! The general product: blocks of rows in parallel, the right operand in panels, the inner size in pieces.
//!
//! ```text
//! for block of rows, group of panels   (parallel)
//!   for piece of the inner size        (a sum each, added up in order)
//!     for panel of columns             (stays in the first or second cache over the rows of the block)
//!       for tile of rows               (sums in registers)
//! ```
//! The left operand is read in place. The right one is packed by a first step into panels `[k][columns]`,
//! zeros beyond the last column, unless it is one panel as it stands.

use latentc_ir::dtype::Literal;
use latentc_ir::nest::AxisKind::{Parallel, Serial, Unroll, Vector};
use latentc_ir::nest::build::{KernelBuilder, load, op2};
use latentc_ir::nest::{BufId, Expr, Index, Kernel, Space, Split};
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::product;

use super::{Shape, View};
use crate::tile::{Tile, clear, each_sum, heights, row_tiles, tile_product};
use crate::{Arg, Machine, Schedule, Step, Temp, size};

/// The inner size that one sum in registers runs over; beyond it there are pieces of equal length. 16-bit
/// results have one piece, since what is added up in the result would be rounded to it.
const PIECE: i64 = 384;
/// Tiles of rows in a block.
const ROW_TILES: i64 = 16;
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
        Sizes { batch: size(k, &s.batch), m: size(k, &s.m), n: size(k, &s.n), k: size(k, &s.k) }
    }
}

fn ceil_div(a: Index, by: i64) -> Index {
    (a + (by - 1)).floor_div(by)
}

/// The tile for a shape: as many vectors as the columns need, at most those of the widest.
fn tile_of(s: &Shape, machine: &Machine) -> Tile {
    let widest = machine.widest_tile(s.sum_type());
    match s.n.as_const() {
        Some(n) if n < widest.cols => {
            let vectors = (n + i64::from(widest.lanes) - 1) / i64::from(widest.lanes);
            machine.tile(vectors.max(1) as u32, s.sum_type())
        }
        _ => widest,
    }
}

/// A product of any sizes.
pub fn blocked(name: &str, s: &Shape, machine: &Machine) -> Schedule {
    let tile = tile_of(s, machine);
    let direct = !s.transpose_b && s.n.as_const() == Some(tile.cols);
    if direct {
        let kernel = product_kernel(name, s, tile, false);
        let step = Step { kernel, args: vec![Arg::Operand(0), Arg::Operand(1), Arg::Result(0)] };
        return Schedule { temps: vec![], steps: vec![step] };
    }
    let panels = s.n.ceil_div(tile.cols);
    let temp = Temp {
        name: "panels",
        dtype: s.dtype,
        len: product(&[s.batch.clone(), panels, s.k.clone(), tile.cols.into()]),
    };
    let pack = Step {
        kernel: pack_kernel(&format!("{name}_pack"), s, tile),
        args: vec![Arg::Operand(1), Arg::Temp(0)],
    };
    let multiply = Step {
        kernel: product_kernel(name, s, tile, true),
        args: vec![Arg::Operand(0), Arg::Temp(0), Arg::Result(0)],
    };
    Schedule { temps: vec![temp], steps: vec![pack, multiply] }
}

/// Copies the right operand into panels `[k][tile.cols]`, with zeros beyond the last column; `m` plays no
/// part.
pub(crate) fn pack_kernel(name: &str, s: &Shape, tile: Tile) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let z = Sizes { m: 0.into(), batch: size(k, &s.batch), n: size(k, &s.n), k: size(k, &s.k) };
    let cols = tile.cols;
    let panels = ceil_div(z.n.clone(), cols);
    let b = k.buffer("b", s.dtype, z.batch.clone() * z.k.clone() * z.n.clone(), Space::In);
    let packed_len = z.batch.clone() * panels.clone() * z.k.clone() * cols;
    let packed = k.buffer("panels", s.dtype, packed_len, Space::Out);
    k.for_("panel", z.batch.clone() * panels.clone(), Parallel(Split::Even), |k, t| {
        let batch = t.clone().floor_div(panels.clone().max(1));
        let first = t.clone().modulo(panels.clone().max(1)) * cols;
        let from = View {
            buf: b,
            start: batch * (z.k.clone() * z.n.clone()),
            strides: strides(s.transpose_b, &z.k, &z.n),
        };
        let to = |p: Index, j: Index| (t.clone() * z.k.clone() + p) * cols + j;
        let copy = |k: &mut KernelBuilder, count: Index| {
            k.for_("p", z.k.clone(), Serial, |k, p| {
                k.for_("j", count.clone(), Vector(tile.lanes), |k, j| {
                    let value = load(from.buf, from.at(p.clone(), first.clone() + j.clone()));
                    k.store(packed, to(p.clone(), j), value);
                });
                k.for_step("j", count, cols, 1, Vector(tile.lanes), |k, j| {
                    k.store(packed, to(p, j), Expr::Lit(Literal::zero(s.dtype)));
                });
            });
        };
        let full = op2(ScalarOp::Le, Expr::from(first.clone() + cols), Expr::from(z.n.clone()));
        match z.n.as_const() {
            Some(n) if n % cols == 0 => copy(k, cols.into()),
            Some(n) => k.if_(full, |k| copy(k, cols.into()), |k| copy(k, (n % cols).into())),
            None => k.if_(full, |k| copy(k, cols.into()), |k| copy(k, z.n.clone() - first.clone())),
        }
    });
    builder.finish()
}

/// Strides of a matrix of `rows x cols`, stored transposed or not.
fn strides(transposed: bool, rows: &Index, cols: &Index) -> (Index, Index) {
    if transposed { (Index::Const(1), rows.clone()) } else { (cols.clone(), Index::Const(1)) }
}

/// The columns of a tile that the result has.
enum Columns {
    /// So many, known.
    Known(i64),
    /// Those below `n`: the sums go through this buffer in memory.
    Below(BufId),
}

/// The product itself; `packed` tells how the right operand lies.
fn product_kernel(name: &str, s: &Shape, tile: Tile, packed: bool) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let z = Sizes::of(k, s);
    let (sum, cols) = (s.sum_type(), tile.cols);
    let panels = ceil_div(z.n.clone(), cols);
    let (pieces, piece) = if s.dtype == sum { pieces_of(&z.k) } else { (1.into(), z.k.clone()) };
    let one_piece = pieces.as_const() == Some(1);

    let b_cols = if packed { panels.clone() * cols } else { z.n.clone() };
    let a = k.buffer("a", s.dtype, z.batch.clone() * z.m.clone() * z.k.clone(), Space::In);
    let b = k.buffer("b", s.dtype, z.batch.clone() * z.k.clone() * b_cols, Space::In);
    let space = if one_piece { Space::Out } else { Space::InOut };
    let c = k.buffer("c", s.dtype, z.batch.clone() * z.m.clone() * z.n.clone(), space);
    let scratch = z.n.as_const().is_none().then(|| k.buffer("edge", sum, tile.rows * cols, Space::Stack));

    let block = tile.rows * ROW_TILES;
    let blocks = ceil_div(z.m.clone(), block);
    let groups = ceil_div(panels.clone(), PANELS).max(1);
    let per_matrix = blocks * groups.clone();
    let total = z.batch.clone() * per_matrix.clone();
    let heights = heights(tile.rows, s.m.as_const().map(|m| m % tile.rows));
    k.for_("t", total, Parallel(Split::Even), |k, t| {
        let batch = t.clone().floor_div(per_matrix.clone().max(1));
        let within = t.modulo(per_matrix.max(1));
        let group = within.clone().modulo(groups.clone());
        let lo = within.floor_div(groups) * block;
        let hi = (lo.clone() + block).min(z.m.clone());
        let left = View {
            buf: a,
            start: batch.clone() * (z.m.clone() * z.k.clone()),
            strides: strides(s.transpose_a, &z.m, &z.k),
        };
        let out = View {
            buf: c,
            start: batch.clone() * (z.m.clone() * z.n.clone()),
            strides: (z.n.clone(), Index::Const(1)),
        };
        k.for_("piece", pieces.clone(), Serial, |k, q| {
            let p0 = q.clone() * piece.clone();
            let inner = if one_piece { z.k.clone() } else { piece.clone().min(z.k.clone() - p0.clone()) };
            let panel = |k: &mut KernelBuilder, panel: Index, tile: Tile, columns: &Columns| {
                let right = View {
                    buf: b,
                    start: (batch.clone() * panels.clone() + panel.clone()) * (z.k.clone() * cols),
                    strides: (cols.into(), Index::Const(1)),
                };
                row_tiles(k, lo.clone(), hi.clone(), &heights, |k, i0, rows| {
                    let tile = tile.with_rows(rows);
                    let sums = tile.sums(k, sum);
                    clear(k, sums);
                    tile_product(
                        k,
                        sums,
                        tile,
                        inner.clone(),
                        |k, i, p| left.load(k, sum, i0.clone() + i, p0.clone() + p),
                        |k, p, j| right.load(k, sum, p0.clone() + p, j),
                    );
                    let first = panel.clone() * cols;
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
                let lanes = i64::from(tile.lanes);
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
fn pieces_of(inner: &Index) -> (Index, Index) {
    let pieces = ceil_div(inner.clone(), PIECE).max(1);
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
