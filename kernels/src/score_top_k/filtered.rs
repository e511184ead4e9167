//! Estimates in bytes that rule out nearly all items, and scores in f32 of what is left.
//!
//! ```text
//! round queries to bytes, in panels [d / 4][columns][4]          (step 1)
//! round items to bytes, a scale a chunk                          (step 2)
//! for block of queries                                           (step 3, parallel)
//!   for chunk of items, for panel of queries in the block
//!     the estimate below which no item of the chunk can beat the query's bar
//!     for tile: items x queries, sums of bytes in registers
//!       if some sum is above that: for those that are, the score; the list
//! ```
//! A score is 16 chains of fused multiply-adds, element `p` in chain `p mod 16`, added up by halves, and what is
//! beyond the last whole 16 one by one. Estimates decide which scores are computed and nothing else: the result is
//! that of scoring all.

use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Parallel, Serial, Unroll, Vector};
use latentc_ir::nest::build::{KernelBuilder, dot4, f32c, load, op1, op2};
use latentc_ir::nest::{BufId, Expr, Index, Kernel, Space, Split, ValId};
use latentc_ir::scalar::{ReduceOp, ScalarOp};

use super::Plan;
use super::bytes::{SLACK, WIDEST, items_kernel, queries_kernel, row_bytes};
use super::ranking::{Block, Ranking, greatest, if_some};
use crate::tile::{Tile, each_sum, row_tiles};
use crate::{Arg, Machine, Schedule, Step, Temp};

/// Tiles of items in a chunk: few enough that one scale fits them all, so many that bounds are seldom computed.
pub(super) const TILES: i64 = 32;
/// Queries at least: for fewer, rounding the items costs as much as scoring them.
const QUERIES: i64 = 64;
/// Chains of a score.
const CHAINS: u32 = 16;
/// Words of four bytes that the inner loop takes a turn.
const UNROLL: i64 = 4;

/// Whether the machine gains by it.
pub(super) fn pays(machine: &Machine, queries: &Dim, width: &Dim) -> bool {
    machine.dot4 && queries.upper() > QUERIES && width.upper() <= WIDEST
}

pub(super) fn schedule(name: &str, plan: &Plan) -> Schedule {
    let words = plan.width.ceil_div(4);
    let columns = &plan.queries.ceil_div(plan.tile.cols) * &plan.tile.cols.into();
    let bytes_of = |rows: &Dim| &(rows * &words) * &4.into();
    let mut temps = vec![
        Temp { name: "query bytes", dtype: DType::U8, len: bytes_of(&columns) },
        Temp { name: "query bounds", dtype: DType::F32, len: &columns * &3.into() },
        Temp { name: "item bytes", dtype: DType::I8, len: bytes_of(plan.items) },
        Temp { name: "item starts", dtype: DType::I32, len: plan.items.clone() },
        Temp { name: "item bounds", dtype: DType::F32, len: &plan.items.ceil_div(plan.chunk) * &3.into() },
    ];
    let mut args = vec![Arg::Operand(0), Arg::Operand(1)];
    args.extend((0..5).map(Arg::Temp));
    args.extend(plan.arguments(&mut temps));
    let queries = queries_kernel(&format!("{name}_queries"), plan);
    let items = items_kernel(&format!("{name}_items"), plan);
    Schedule {
        temps,
        steps: vec![
            Step { kernel: queries, args: vec![Arg::Operand(0), Arg::Temp(0), Arg::Temp(1)] },
            Step { kernel: items, args: vec![Arg::Operand(1), Arg::Temp(2), Arg::Temp(3), Arg::Temp(4)] },
            Step { kernel: kernel(name, plan), args },
        ],
    }
}

/// The buffers of the kernel beside those of the ranking.
struct Buffers {
    queries: BufId,
    items: BufId,
    query_bytes: BufId,
    query_bounds: BufId,
    item_bytes: BufId,
    item_starts: BufId,
    item_bounds: BufId,
    /// A tile's sums, when some of them are above their bar, and the greatest of each column.
    sums: BufId,
    most: BufId,
    judge: Judge,
}

fn kernel(name: &str, plan: &Plan) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let (q, n, d) = (k.size(plan.queries), k.size(plan.items), k.size(plan.width));
    let Tile { rows, cols, lanes } = plan.tile;
    let wide = row_bytes(&d);
    let columns = (q.clone() + (cols - 1)).floor_div(cols) * cols;
    let chunks = (n.clone() + (plan.chunk - 1)).floor_div(plan.chunk);
    let queries = k.buffer("queries", DType::F32, q * d.clone(), Space::In);
    let items = k.buffer("items", DType::F32, n.clone() * d.clone(), Space::In);
    let query_bytes = k.buffer("query_bytes", DType::U8, columns.clone() * wide.clone(), Space::In);
    let query_bounds = k.buffer("query_bounds", DType::F32, columns.clone() * 3, Space::In);
    let item_bytes = k.buffer("item_bytes", DType::I8, n.clone() * wide.clone(), Space::In);
    let item_starts = k.buffer("item_starts", DType::I32, n.clone(), Space::In);
    let item_bounds = k.buffer("item_bounds", DType::F32, chunks.clone() * 3, Space::In);
    let ranking = Ranking::declare(k, plan);
    let b = Buffers {
        queries,
        items,
        query_bytes,
        query_bounds,
        item_bytes,
        item_starts,
        item_bounds,
        sums: k.buffer("sums", DType::I32, rows * cols, Space::Stack),
        most: k.buffer("most", DType::I32, cols, Space::Stack),
        judge: Judge::declare(k, plan.block()),
    };

    k.for_("block", ranking.blocks(), Parallel(Split::Even), |k, t| {
        let block = ranking.start(k, t);
        k.for_("chunk", chunks.clone(), Serial, |k, chunk| {
            let lo = chunk.clone() * plan.chunk;
            let hi = (lo.clone() + plan.chunk).min(n.clone());
            let (here, before) = ranking.panels_of(&block, cols);
            k.for_("panel", here, Serial, |k, panel| {
                let column = panel.clone() * cols;
                let (panel, all) = (before.clone() + panel, columns.clone());
                let of_chunk = [0, 1, 2].map(|plane| {
                    k.let_(DType::F32, load(b.item_bounds, chunks.clone() * plane + chunk.clone()))
                });
                k.for_("j", cols, Vector(lanes), |k, j| {
                    let of_query = [0, 1, 2].map(|plane| {
                        let at = all.clone() * plane + panel.clone() * cols + j.clone();
                        k.let_(DType::F32, load(b.query_bounds, at))
                    });
                    b.judge.measure(k, &ranking, column.clone() + j, of_query, of_chunk, &d);
                });
                row_tiles(k, lo, hi, &plan.heights(), |k, i0, height| {
                    let tile = plan.tile.with_rows(height);
                    let sums = estimate(k, &b, tile, &i0, &panel, &wide);
                    let most = greatest(k, tile, sums);
                    let floor = b.judge.floor;
                    let over =
                        |j: Index| op2(ScalarOp::Gt, load(most, j.clone()), load(floor, column.clone() + j));
                    if_some(k, format!("some_{height}"), cols, lanes, over, |k| {
                        each_sum(k, tile, |k, _, _, at| k.store(b.sums, at.clone(), load(sums, at)));
                        k.for_("j", cols, Vector(lanes), |k, j| k.store(b.most, j.clone(), load(most, j)));
                        walk(k, &b, &ranking, &block, tile, &i0, &column, &d);
                    });
                });
            });
        });
        ranking.write(k, &block);
    });
    builder.finish()
}

/// A tile's sums of products of bytes.
fn estimate(k: &mut KernelBuilder, b: &Buffers, tile: Tile, i0: &Index, panel: &Index, wide: &Index) -> BufId {
    let sums = tile.sums(k, DType::I32);
    k.for_("i", tile.rows, Unroll, |k, i| {
        let start = k.let_(DType::I32, load(b.item_starts, i0.clone() + i.clone()));
        k.for_("j", tile.cols, Vector(tile.lanes), |k, j| {
            k.store(sums, i.clone() * tile.cols + j, start.into());
        });
    });
    let words = wide.clone().floor_div(4);
    let step = |k: &mut KernelBuilder, w: Index| {
        k.for_("i", tile.rows, Unroll, |k, i| {
            k.for_("j", tile.cols, Vector(tile.lanes), |k, j| {
                let query = ((panel.clone() * words.clone() + w.clone()) * tile.cols + j.clone()) * 4;
                let item = (i0.clone() + i.clone()) * wide.clone() + w.clone() * 4;
                let product = dot4(b.query_bytes, query, b.item_bytes, item);
                k.accumulate(ReduceOp::Sum, sums, i.clone() * tile.cols + j, product);
            });
        });
    };
    let whole = words.clone().floor_div(UNROLL) * UNROLL;
    k.for_step("w", 0, whole.clone(), UNROLL, Serial, |k, w| {
        k.for_("u", UNROLL, Unroll, |k, u| step(k, w + u));
    });
    if whole != words {
        k.for_step("w", whole, words.clone(), 1, Serial, step);
    }
    sums
}

/// Goes through the sums of a tile in memory, query by query, and scores the items that are above its floor.
#[allow(clippy::too_many_arguments)]
fn walk(
    k: &mut KernelBuilder,
    b: &Buffers,
    ranking: &Ranking,
    block: &Block,
    tile: Tile,
    first_item: &Index,
    column: &Index,
    d: &Index,
) {
    let lanes = i64::from(tile.lanes);
    let above = |sum: Expr, query: Index| op2(ScalarOp::Gt, sum, load(b.judge.floor, query));
    k.for_step("v", 0, tile.cols, lanes, Serial, |k, v| {
        let some = |l: Index| above(load(b.most, v.clone() + l.clone()), column.clone() + v.clone() + l);
        if_some(k, format!("some_here_{}", tile.rows), lanes, tile.lanes, some, |k| {
            k.for_("l", lanes, Serial, |k, l| {
                let j = v.clone() + l;
                let query = column.clone() + j.clone();
                let of_query = above(load(b.most, j.clone()), query.clone());
                let each = |k: &mut KernelBuilder| {
                    k.for_("i", tile.rows, Serial, |k, i| {
                        let this = above(load(b.sums, i.clone() * tile.cols + j), query.clone());
                        let item = first_item.clone() + i;
                        let offer = |k: &mut KernelBuilder| {
                            let id = k.let_(DType::I32, Expr::Cast(DType::I32, Box::new(Expr::from(item.clone()))));
                            let row = (block.first.clone() + query.clone()) * d.clone();
                            let score = score(k, (b.queries, row), (b.items, item * d.clone()), d);
                            ranking.offer(k, block, query, (score, id), |k, query| {
                                b.judge.raise(k, ranking, query);
                            });
                        };
                        k.if_(this, offer, |_| {});
                    });
                };
                k.if_(of_query, each, |_| {});
            });
        });
    });
}

/// The product of two rows.
fn score(k: &mut KernelBuilder, (a, i): (BufId, Index), (b, j): (BufId, Index), d: &Index) -> ValId {
    let chains = i64::from(CHAINS);
    let sums = k.buffer("chains", DType::F32, chains, Space::Register);
    let total = k.buffer("score", DType::F32, 1, Space::Register);
    k.fill(sums, Literal::zero(DType::F32));
    let product = |p: Index| op2(ScalarOp::Mul, load(a, i.clone() + p.clone()), load(b, j.clone() + p));
    let whole = d.clone().floor_div(chains) * chains;
    k.for_step("p", 0, whole.clone(), chains, Serial, |k, p| {
        k.for_("l", chains, Vector(CHAINS), |k, l| {
            k.accumulate(ReduceOp::Sum, sums, l.clone(), product(p + l));
        });
    });
    k.store(total, 0, Expr::Lanes { op: ReduceOp::Sum, buf: sums });
    if whole != *d {
        k.for_step("p", whole, d.clone(), 1, Serial, |k, p| {
            k.accumulate(ReduceOp::Sum, total, 0, product(p));
        });
    }
    k.let_(DType::F32, load(total, 0))
}

/// What tells from an estimate that a score cannot beat its query's bar: for each query of the block, and the
/// chunk and panel at work.
struct Judge {
    /// What score and estimate differ by at most; +inf where nothing is known.
    bound: BufId,
    /// Units of the estimate in one of the score.
    inverse: BufId,
    /// The greatest estimate that is too low.
    floor: BufId,
}

impl Judge {
    fn declare(k: &mut KernelBuilder, block: i64) -> Judge {
        let mut array = |name: &str, d| k.buffer(name, d, block, Space::Stack);
        Judge {
            bound: array("bound", DType::F32),
            inverse: array("inverse", DType::F32),
            floor: array("floor", DType::I32),
        }
    }

    /// Computes the bounds of a query, given scale, norm and error of its row and of the chunk's.
    fn measure(
        &self,
        k: &mut KernelBuilder,
        ranking: &Ranking,
        query: Index,
        [scale, norm, error]: [ValId; 3],
        [item_scale, item_norm, item_error]: [ValId; 3],
        d: &Index,
    ) {
        let two = |op, a: ValId, b: ValId| op2(op, a.into(), b.into());
        let unit = k.let_(DType::F32, two(ScalarOp::Mul, scale, item_scale));
        let product = k.let_(DType::F32, two(ScalarOp::Mul, norm, item_norm));
        let (a, b) = (two(ScalarOp::Mul, error, item_norm), two(ScalarOp::Mul, norm, item_error));
        let rounded = op2(ScalarOp::Mul, op2(ScalarOp::Add, a, b), f32c(SLACK));
        // The score is a sum of its own rounding: a chain, and the tree over the chains.
        let length = Expr::Cast(DType::F32, Box::new(Expr::from(d.clone().floor_div(i64::from(CHAINS)) + 20)));
        let summed = op2(ScalarOp::Mul, op2(ScalarOp::Mul, product.into(), length), f32c(1.2e-7));
        // Products that leave the normal numbers lose more; where all are zero there is nothing to lose.
        let some = op2(ScalarOp::Gt, product.into(), f32c(0.0));
        let least = Expr::Op(ScalarOp::Select, vec![some, f32c(1e-37), f32c(0.0)]);
        let bound = op2(ScalarOp::Add, op2(ScalarOp::Add, rounded, summed), least);
        let bound = k.let_(DType::F32, bound);
        let known = op2(
            ScalarOp::And,
            op2(ScalarOp::Lt, unit.into(), f32c(1e30)),
            op2(ScalarOp::Lt, bound.into(), f32c(1e38)),
        );
        let known = k.let_(DType::Bool, known);
        let pick = |x: Expr, y: f64| Expr::Op(ScalarOp::Select, vec![known.into(), x, f32c(y)]);
        k.store(self.bound, query.clone(), pick(bound.into(), f64::INFINITY));
        k.store(self.inverse, query.clone(), pick(op1(ScalarOp::Recip, unit.into()), 1.0));
        self.raise(k, ranking, query);
    }

    /// Computes the floor of a query from its bar.
    fn raise(&self, k: &mut KernelBuilder, ranking: &Ranking, query: Index) {
        let bar = k.let_(DType::F32, load(ranking.bar, query.clone()));
        let room = op2(ScalarOp::Sub, bar.into(), load(self.bound, query.clone()));
        let exact = k.let_(DType::F32, op2(ScalarOp::Mul, room, load(self.inverse, query.clone())));
        // The three operations above round; lower is safe.
        let positive = op2(ScalarOp::Gt, exact.into(), f32c(0.0));
        let factor = Expr::Op(ScalarOp::Select, vec![positive, f32c(0.999_999), f32c(1.000_001)]);
        let whole = op1(ScalarOp::Floor, op2(ScalarOp::Mul, exact.into(), factor));
        let whole = Expr::Cast(DType::I32, Box::new(whole));
        let limit = |op: ReduceOp| Expr::Lit(op.identity(DType::I32));
        let open = op2(ScalarOp::Ne, bar.into(), bar.into());
        let shut = op2(ScalarOp::Eq, bar.into(), f32c(f64::INFINITY));
        let floor = Expr::Op(ScalarOp::Select, vec![shut, limit(ReduceOp::Min), whole]);
        let floor = Expr::Op(ScalarOp::Select, vec![open, limit(ReduceOp::Max), floor]);
        k.store(self.floor, query, floor);
    }
}
