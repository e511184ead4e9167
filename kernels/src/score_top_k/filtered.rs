//! Estimates in bytes that rule out nearly all items, and scores in f32 of what is left.
//!
//! ```text
//! round queries to bytes, in panels [d / 4][columns][4]          (step 1)
//! round items to bytes, a scale a chunk                          (step 2)
//! for block of queries                                           (step 3, parallel)
//!   a bar to begin with                                          (`hints`)
//!   for chunk of items, for panel of queries in the block
//!     the estimate below which no item of the chunk can beat the query's bar
//!     for tile: items x queries, sums of bytes in registers
//!       if some sum is above that: those that are wait, while their items come from memory
//!     for what waits: if its sum is still above: the score; the list
//! ```
//! A score is 16 chains of fused multiply-adds, element `p` in chain `p mod 16`, added up by halves, and what is
//! beyond the last whole 16 one by one. Estimates decide which scores are computed and nothing else: the result is
//! that of scoring all.

use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Parallel, Serial, Unroll, Vector};
use latentc_ir::nest::build::{KernelBuilder, dot4, load, op2};
use latentc_ir::nest::{BufId, Expr, Index, Kernel, Space, Split, ValId};
use latentc_ir::scalar::{ReduceOp, ScalarOp};

use super::Plan;
use super::bytes::{WIDEST, items_kernel, queries_kernel, row_bytes};
use super::hints;
use super::judge::Judge;
use super::ranking::{Block, Ranking, greatest, if_some};
use crate::lists::i32c;
use crate::tile::{Tile, each_sum, row_tiles};
use crate::{Arg, Machine, Schedule, Step, Temp};

/// Tiles of items in a chunk: few enough that one scale fits them all, so many that bounds are seldom computed.
pub(super) const TILES: i64 = 32;
/// Queries at least: for fewer, rounding the items costs as much as scoring them.
const QUERIES: i64 = 64;
/// Chains of a score.
pub(super) const CHAINS: u32 = 16;
/// Items that wait, at most, before they are ranked.
const ROOM: i64 = 1024;
/// Floats of a line of the cache.
const LINE: i64 = 16;
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

/// The buffers of the kernel beside those of the ranking, and its sizes.
pub(super) struct Buffers {
    queries: BufId,
    items: BufId,
    query_bytes: BufId,
    query_bounds: BufId,
    item_bytes: BufId,
    item_starts: BufId,
    item_bounds: BufId,
    /// A tile's sums, when some of them are above their floor, and the greatest of each column.
    sums: BufId,
    most: BufId,
    waiting: Waiting,
    pub judge: Judge,
    /// Elements of a row; bytes of one.
    d: Index,
    wide: Index,
    /// Chunks of items, columns of all panels.
    chunks: Index,
    columns: Index,
}

/// A panel of queries.
pub(super) struct Panel {
    /// Its position among all.
    at: Index,
    /// Its first column in the block.
    pub column: Index,
}

fn kernel(name: &str, plan: &Plan) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let (n, b) = (k.size(plan.items), Buffers::declare(k, plan));
    let ranking = Ranking::declare(k, plan);
    k.for_("block", ranking.blocks(), Parallel(Split::Even), |k, t| {
        let block = ranking.start(k, t);
        hints::set(k, &b, &ranking, &block, plan);
        k.for_("chunk", b.chunks.clone(), Serial, |k, chunk| {
            let lo = chunk.clone() * plan.chunk;
            let hi = (lo.clone() + plan.chunk).min(n.clone());
            b.each_panel(k, &ranking, &block, plan, |k, panel| {
                b.measure(k, &ranking, plan, panel, &chunk);
                b.waiting.start(k);
                row_tiles(k, lo, hi, &plan.heights(), |k, i0, height| {
                    b.sift(k, plan.tile.with_rows(height), &i0, panel, |k| {
                        let full = op2(ScalarOp::Gt, b.waiting.count(), i32c(ROOM));
                        k.if_(full, |k| b.rank(k, &ranking, &block, panel), |_| {});
                    });
                });
                b.rank(k, &ranking, &block, panel);
            });
        });
        ranking.write(k, &block);
    });
    builder.finish()
}

impl Buffers {
    fn declare(k: &mut KernelBuilder, plan: &Plan) -> Buffers {
        let (q, n, d) = (k.size(plan.queries), k.size(plan.items), k.size(plan.width));
        let Tile { rows, cols, .. } = plan.tile;
        let wide = row_bytes(&d);
        let columns = (q.clone() + (cols - 1)).floor_div(cols) * cols;
        let chunks = (n.clone() + (plan.chunk - 1)).floor_div(plan.chunk);
        Buffers {
            queries: k.buffer("queries", DType::F32, q * d.clone(), Space::In),
            items: k.buffer("items", DType::F32, n.clone() * d.clone(), Space::In),
            query_bytes: k.buffer("query_bytes", DType::U8, columns.clone() * wide.clone(), Space::In),
            query_bounds: k.buffer("query_bounds", DType::F32, columns.clone() * 3, Space::In),
            item_bytes: k.buffer("item_bytes", DType::I8, n.clone() * wide.clone(), Space::In),
            item_starts: k.buffer("item_starts", DType::I32, n, Space::In),
            item_bounds: k.buffer("item_bounds", DType::F32, chunks.clone() * 3, Space::In),
            sums: k.buffer("sums", DType::I32, rows * cols, Space::Stack),
            most: k.buffer("most", DType::I32, cols, Space::Stack),
            waiting: Waiting::declare(k, plan),
            judge: Judge::declare(k, plan.block()),
            d,
            wide,
            chunks,
            columns,
        }
    }

    /// Goes over the panels of a block.
    pub fn each_panel(
        &self,
        k: &mut KernelBuilder,
        ranking: &Ranking,
        block: &Block,
        plan: &Plan,
        body: impl FnOnce(&mut KernelBuilder, &Panel),
    ) {
        let (here, before) = ranking.panels_of(block, plan.tile.cols);
        k.for_("panel", here, Serial, |k, panel| {
            let column = panel.clone() * plan.tile.cols;
            body(k, &Panel { at: before + panel, column });
        });
    }

    /// Computes what estimates of a chunk's items for a panel's queries are worth.
    pub fn measure(
        &self,
        k: &mut KernelBuilder,
        ranking: &Ranking,
        plan: &Plan,
        panel: &Panel,
        chunk: &Index,
    ) {
        let planes = [0, 1, 2];
        let of_chunk = planes
            .map(|p| k.let_(DType::F32, load(self.item_bounds, self.chunks.clone() * p + chunk.clone())));
        k.for_("j", plan.tile.cols, Vector(plan.tile.lanes), |k, j| {
            let column = panel.at.clone() * plan.tile.cols + j.clone();
            let of_query = planes.map(|p| {
                k.let_(DType::F32, load(self.query_bounds, self.columns.clone() * p + column.clone()))
            });
            self.judge.measure(k, ranking, panel.column.clone() + j, of_query, of_chunk, &self.d);
        });
    }

    /// A tile's sums of products of bytes.
    pub fn estimate(&self, k: &mut KernelBuilder, tile: Tile, i0: &Index, panel: &Panel) -> BufId {
        let sums = tile.sums(k, DType::I32);
        k.for_("i", tile.rows, Unroll, |k, i| {
            let start = k.let_(DType::I32, load(self.item_starts, i0.clone() + i.clone()));
            k.for_("j", tile.cols, Vector(tile.lanes), |k, j| {
                k.store(sums, i.clone() * tile.cols + j, start.into());
            });
        });
        let words = self.wide.clone().floor_div(4);
        let step = |k: &mut KernelBuilder, w: Index| {
            k.for_("i", tile.rows, Unroll, |k, i| {
                k.for_("j", tile.cols, Vector(tile.lanes), |k, j| {
                    let query = ((panel.at.clone() * words.clone() + w.clone()) * tile.cols + j.clone()) * 4;
                    let item = (i0.clone() + i.clone()) * self.wide.clone() + w.clone() * 4;
                    let product = dot4(self.query_bytes, query, self.item_bytes, item);
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

    /// Lets those items of a tile wait whose sums are above their query's floor, and calls `then` if there are any.
    fn sift(
        &self,
        k: &mut KernelBuilder,
        tile: Tile,
        i0: &Index,
        panel: &Panel,
        then: impl FnOnce(&mut KernelBuilder),
    ) {
        let sums = self.estimate(k, tile, i0, panel);
        let most = greatest(k, tile, sums);
        let floor = |j: Index| load(self.judge.floor, panel.column.clone() + j);
        let over = |j: Index| op2(ScalarOp::Gt, load(most, j.clone()), floor(j));
        if_some(k, format!("some_{}", tile.rows), tile.cols, tile.lanes, over, |k| {
            each_sum(k, tile, |k, _, _, at| k.store(self.sums, at.clone(), load(sums, at)));
            k.for_("j", tile.cols, Vector(tile.lanes), |k, j| k.store(self.most, j.clone(), load(most, j)));
            self.walk(k, tile, i0, panel);
            then(k);
        });
    }

    /// Goes through the sums of a tile in memory, query by query.
    fn walk(&self, k: &mut KernelBuilder, tile: Tile, i0: &Index, panel: &Panel) {
        let lanes = i64::from(tile.lanes);
        let above =
            |sum: Expr, j: Index| op2(ScalarOp::Gt, sum, load(self.judge.floor, panel.column.clone() + j));
        k.for_step("v", 0, tile.cols, lanes, Serial, |k, v| {
            let some = |l: Index| above(load(self.most, v.clone() + l.clone()), v.clone() + l);
            if_some(k, format!("some_here_{}", tile.rows), lanes, tile.lanes, some, |k| {
                k.for_("l", lanes, Serial, |k, l| {
                    let j = v.clone() + l;
                    let each = |k: &mut KernelBuilder| {
                        k.for_("i", tile.rows, Serial, |k, i| {
                            let sum = k.let_(DType::I32, load(self.sums, i.clone() * tile.cols + j.clone()));
                            let item = i0.clone() + i;
                            let wait = |k: &mut KernelBuilder| {
                                self.waiting.add(k, (self.items, &self.d), j.clone(), item, sum);
                            };
                            k.if_(above(sum.into(), j.clone()), wait, |_| {});
                        });
                    };
                    k.if_(above(load(self.most, j.clone()), j.clone()), each, |_| {});
                });
            });
        });
    }

    /// Scores what waits and lets it into the lists; nothing waits any more.
    fn rank(&self, k: &mut KernelBuilder, ranking: &Ranking, block: &Block, panel: &Panel) {
        self.waiting.each(k, |k, column, item, sum| {
            let query = panel.column.clone() + column;
            let still = op2(ScalarOp::Gt, sum, load(self.judge.floor, query.clone()));
            let offer = |k: &mut KernelBuilder| {
                let id = k.let_(DType::I32, Expr::Cast(DType::I32, Box::new(Expr::from(item.clone()))));
                let row = (block.first.clone() + query.clone()) * self.d.clone();
                let score = score(k, (self.queries, row), (self.items, item * self.d.clone()), &self.d);
                ranking.offer(k, block, query, (score, id), |k, query| self.judge.raise(k, ranking, query));
            };
            k.if_(still, offer, |_| {});
        });
        self.waiting.start(k);
    }
}

/// Items that wait to be scored, for queries of the panel at work, in the order of the items. Their rows are far
/// away in memory: one after the other they would take longer than all the estimates.
struct Waiting {
    columns: BufId,
    items: BufId,
    sums: BufId,
    count: BufId,
}

impl Waiting {
    fn declare(k: &mut KernelBuilder, plan: &Plan) -> Waiting {
        // A tile is added to what is not yet more than `ROOM`.
        let room = ROOM + 1 + plan.tile.rows * plan.tile.cols;
        let mut array = |name: &str| k.buffer(name, DType::I32, room, Space::Stack);
        let [columns, items, sums] = ["waiting_columns", "waiting_items", "waiting_sums"].map(&mut array);
        Waiting { columns, items, sums, count: k.buffer("waiting", DType::I32, 1, Space::Register) }
    }

    fn start(&self, k: &mut KernelBuilder) {
        k.store(self.count, 0, i32c(0));
    }

    fn count(&self) -> Expr {
        load(self.count, 0)
    }

    fn add(&self, k: &mut KernelBuilder, (rows, d): (BufId, &Index), column: Index, item: Index, sum: ValId) {
        k.for_step("p", 0, d.clone(), LINE, Serial, |k, p| k.prefetch(rows, item.clone() * d.clone() + p));
        let at = k.load_index(self.count, 0);
        let number = |i: Index| Expr::Cast(DType::I32, Box::new(Expr::from(i)));
        k.store(self.columns, at.clone(), number(column));
        k.store(self.items, at.clone(), number(item));
        k.store(self.sums, at.clone(), sum.into());
        k.store(self.count, 0, number(at + 1));
    }

    fn each(&self, k: &mut KernelBuilder, body: impl FnOnce(&mut KernelBuilder, Index, Index, Expr)) {
        let count = k.load_index(self.count, 0);
        k.for_("waiting", count, Serial, |k, at| {
            let column = k.load_index(self.columns, at.clone());
            let item = k.load_index(self.items, at.clone());
            body(k, column, item, load(self.sums, at));
        });
    }
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
