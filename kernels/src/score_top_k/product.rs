//! Scores in f32: a tile's sums are the scores, each one chain of fused multiply-adds over the width.
//!
//! ```text
//! pack queries into panels [d][columns]                          (step 1)
//! for block of queries                                           (step 2, parallel)
//!   for chunk of items, for panel of queries in the block
//!     for tile: items x queries, sums in registers
//!       if some sum beats the query's k-th best so far
//!         for those that do: unless the query has the item already, put it in the query's list
//! ```

use latentc_ir::dtype::DType;
use latentc_ir::nest::AxisKind::{Parallel, Serial};
use latentc_ir::nest::build::{KernelBuilder, load};
use latentc_ir::nest::{BufId, Expr, Index, Kernel, Space, Split};

use super::Plan;
use super::ranking::{Block, Ranking, above, greatest, if_some};
use crate::lists::beats;
use crate::matmul::{Shape, pack_kernel};
use crate::tile::{Tile, clear, each_sum, row_tiles, tile_product};
use crate::{Arg, Schedule, Step, Temp};

pub(super) fn schedule(name: &str, plan: &Plan) -> Schedule {
    let packed = Shape {
        batch: 1.into(),
        m: 0.into(),
        n: plan.queries.clone(),
        k: plan.width.clone(),
        transpose_a: false,
        transpose_b: true,
        dtype: DType::F32,
    };
    let len = &(&plan.queries.ceil_div(plan.tile.cols) * plan.width) * &plan.tile.cols.into();
    let mut temps = vec![Temp { name: "panels", dtype: DType::F32, len }];
    let mut args = vec![Arg::Temp(0), Arg::Operand(1)];
    args.extend(plan.arguments(&mut temps));
    let pack = pack_kernel(&format!("{name}_pack"), &packed, plan.tile);
    Schedule {
        temps,
        steps: vec![
            Step { kernel: pack, args: vec![Arg::Operand(0), Arg::Temp(0)] },
            Step { kernel: kernel(name, plan), args },
        ],
    }
}

fn kernel(name: &str, plan: &Plan) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let (q, n, d) = (k.size(plan.queries), k.size(plan.items), k.size(plan.width));
    let Tile { rows, cols, .. } = plan.tile;
    let panels =
        k.buffer("panels", DType::F32, (q + (cols - 1)).floor_div(cols) * d.clone() * cols, Space::In);
    let items = k.buffer("items", DType::F32, n.clone() * d.clone(), Space::In);
    let ranking = Ranking::declare(k, plan);
    // A tile's sums, when some of them may enter a list.
    let kept = k.buffer("sums", DType::F32, rows * cols, Space::Stack);

    k.for_("block", ranking.blocks(), Parallel(Split::Even), |k, t| {
        let block = ranking.start(k, t);
        k.for_step("chunk", 0, n.clone(), plan.chunk, Serial, |k, lo| {
            let hi = (lo.clone() + plan.chunk).min(n.clone());
            let (here, before) = ranking.panels_of(&block, cols);
            k.for_("panel", here, Serial, |k, panel| {
                row_tiles(k, lo, hi, &plan.heights(), |k, i0, height| {
                    let tile = plan.tile.with_rows(height);
                    let sums = tile.sums(k, DType::F32);
                    clear(k, tile, sums);
                    let from = (before.clone() + panel.clone()) * d.clone();
                    tile_product(
                        k,
                        sums,
                        tile,
                        d.clone(),
                        |_, i, p| load(items, (i0.clone() + i) * d.clone() + p),
                        |_, p, j| load(panels, (from.clone() + p) * cols + j),
                    );
                    let column = panel.clone() * cols;
                    let most = greatest(k, tile, sums);
                    let over = |j: Index| above(load(most, j.clone()), load(ranking.bar, column.clone() + j));
                    if_some(k, format!("some_{height}"), cols, tile.lanes, over, |k| {
                        each_sum(k, tile, |k, _, _, at| k.store(kept, at.clone(), load(sums, at)));
                        walk(k, &ranking, &block, tile, kept, &i0, &column);
                    });
                });
            });
        });
        ranking.write(k, &block);
    });
    builder.finish()
}

/// Goes through the sums of a tile in memory, item by item, and lets in those that beat their bar.
fn walk(
    k: &mut KernelBuilder,
    ranking: &Ranking,
    block: &Block,
    tile: Tile,
    sums: BufId,
    first_item: &Index,
    column: &Index,
) {
    let lanes = i64::from(tile.lanes);
    k.for_("i", tile.rows, Serial, |k, i| {
        let item = first_item.clone() + i.clone();
        let id = k.let_(DType::I32, Expr::Cast(DType::I32, Box::new(Expr::from(item))));
        k.for_step("v", 0, tile.cols, lanes, Serial, |k, v| {
            let sum = |l: Index| load(sums, i.clone() * tile.cols + v.clone() + l);
            let query = |l: Index| column.clone() + v.clone() + l;
            let enters = |l: Index| beats(DType::F32, sum(l.clone()), load(ranking.bar, query(l)));
            if_some(k, format!("some_here_{}", tile.rows), lanes, tile.lanes, enters, |k| {
                k.for_("l", lanes, Serial, |k, l| {
                    let score = k.let_(DType::F32, sum(l.clone()));
                    ranking.offer(k, block, query(l), (score, id), |_, _| {});
                });
            });
        });
    });
}
