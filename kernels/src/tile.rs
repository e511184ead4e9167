//! Register tiles: the inner loop of every matrix product.
//!
//! A tile is `rows x cols` sums in registers, updated by one rank-one product a step: `cols` elements of the
//! right operand are loaded as vectors, each of `rows` elements of the left is broadcast and multiplied with
//! all of them. Each sum is one chain of fused multiply-adds in the order of the inner index, whatever the
//! tile's shape: a scalar loop gives the same bits.

use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Serial, Unroll, Vector};
use latentc_ir::nest::build::{KernelBuilder, load, op2};
use latentc_ir::nest::{BufId, Expr, Index, Space};
use latentc_ir::scalar::{ReduceOp, ScalarOp};

/// The shape of a register tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Rows, each with an element of the left operand broadcast to all lanes.
    pub rows: i64,
    /// Columns, in vectors of `lanes` and what remains in halves of that.
    pub cols: i64,
    /// Lanes of a vector.
    pub lanes: u32,
}

/// Turns of the inner loop written out: enough to hide the loop's own instructions.
const UNROLL: i64 = 4;

impl Tile {
    /// The same columns with other rows.
    pub fn with_rows(self, rows: i64) -> Tile {
        Tile { rows, ..self }
    }

    /// Declares the tile's sums, row by row: a register array of `rows * cols`. Tiles of different shapes
    /// need arrays of their own to stay in registers.
    pub fn sums(self, k: &mut KernelBuilder, dtype: DType) -> BufId {
        k.buffer(format!("sums_{}x{}", self.rows, self.cols), dtype, self.rows * self.cols, Space::Register)
    }
}

/// Adds to a tile's sums the product over `0..inner`: `sums[i, j] += a(i, p) * b(p, j)` for every `p` in
/// order, one rounding each.
///
/// `a` is called with a constant row `i` outside of any vector loop; `b` within a vector loop over the
/// columns. Both give expressions of the sums' type. The array of `sums` is `tile.rows * tile.cols` long and
/// has been filled or loaded before.
pub fn tile_product(
    k: &mut KernelBuilder,
    sums: BufId,
    tile: Tile,
    inner: Index,
    a: impl Fn(&mut KernelBuilder, Index, Index) -> Expr,
    b: impl Fn(&mut KernelBuilder, Index, Index) -> Expr,
) {
    tile_product_with(k, sums, tile, inner, a, b, |_, _| {});
}

/// [`tile_product`] with something done at every step as well: prefetches, usually.
pub fn tile_product_with(
    k: &mut KernelBuilder,
    sums: BufId,
    tile: Tile,
    inner: Index,
    a: impl Fn(&mut KernelBuilder, Index, Index) -> Expr,
    b: impl Fn(&mut KernelBuilder, Index, Index) -> Expr,
    also: impl Fn(&mut KernelBuilder, Index),
) {
    let dtype = k.info(sums).dtype;
    let right = k.buffer(format!("right_{}x{}", tile.rows, tile.cols), dtype, tile.cols, Space::Register);
    let step = |k: &mut KernelBuilder, p: Index| {
        also(k, p.clone());
        k.for_("j", tile.cols, Vector(tile.lanes), |k, j| {
            let value = b(k, p.clone(), j.clone());
            k.store(right, j, value);
        });
        k.for_("i", tile.rows, Unroll, |k, i| {
            let left = a(k, i.clone(), p);
            let left = k.let_(dtype, left);
            k.for_("j", tile.cols, Vector(tile.lanes), |k, j| {
                let product = op2(ScalarOp::Mul, Expr::Val(left), load(right, j.clone()));
                k.accumulate(ReduceOp::Sum, sums, i * tile.cols + j, product);
            });
        });
    };
    let whole = inner.clone().floor_div(UNROLL) * UNROLL;
    k.for_step("p", 0, whole.clone(), UNROLL, Serial, |k, p| {
        k.for_("u", UNROLL, Unroll, |k, u| step(k, p + u));
    });
    if whole != inner {
        k.for_step("p", whole, inner, 1, Serial, step);
    }
}

/// Sets a tile's sums to zero.
pub fn clear(k: &mut KernelBuilder, tile: Tile, sums: BufId) {
    let zero = Literal::zero(k.info(sums).dtype);
    each_sum(k, tile, |k, _, _, at| k.store(sums, at, Expr::Lit(zero)));
}

/// Calls `body` for every element of a tile, in vectors along the columns: `body(k, row, column, position
/// in the sums)`.
pub fn each_sum(k: &mut KernelBuilder, tile: Tile, body: impl Fn(&mut KernelBuilder, Index, Index, Index)) {
    k.for_("i", tile.rows, Unroll, |k, i| {
        k.for_("j", tile.cols, Vector(tile.lanes), |k, j| {
            body(k, i.clone(), j.clone(), i * tile.cols + j);
        });
    });
}

/// Heights of tiles that cover any number of rows: `rows`, and what remains in one tile where its number is
/// known, else in halves down to 1.
pub fn heights(rows: i64, rest: Option<i64>) -> Vec<i64> {
    match rest {
        Some(0) => vec![rows],
        Some(rest) => vec![rows, rest],
        None => {
            let halves = std::iter::successors(Some((rows as u64).next_power_of_two() as i64 / 2), |h| {
                (*h > 1).then_some(*h / 2)
            });
            std::iter::once(rows).chain(halves.filter(|h| (1..rows).contains(h))).collect()
        }
    }
}

/// Covers the rows `lo..hi` with tiles of these heights, each as often as it fits into what the ones before
/// it left; the last divides what is left. `body(k, first row, rows)` writes the code of one height.
pub fn row_tiles(
    k: &mut KernelBuilder,
    lo: Index,
    hi: Index,
    heights: &[i64],
    body: impl Fn(&mut KernelBuilder, Index, i64),
) {
    let mut from = lo;
    for (at, height) in heights.iter().copied().enumerate() {
        let end = if at + 1 == heights.len() {
            hi.clone()
        } else {
            from.clone() + (hi.clone() - from.clone()).floor_div(height) * height
        };
        k.for_step("i0", from, end.clone(), height, Serial, |k, i| body(k, i, height));
        from = end;
    }
}
