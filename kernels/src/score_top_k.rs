//! `score_top_k`: products of queries and items that are compared with a threshold while in registers.
//!
//! ```text
//! pack queries into panels [d][columns]                          (step 1)
//! for block of queries                                           (step 2, parallel)
//!   for chunk of items, for panel of queries in the block
//!     for tile: items x queries, sums in registers
//!       if some sum beats the query's k-th best so far
//!         for those that do: unless the query has the item already, put it in the query's list
//! ```
//! Items come in ascending order for every query and a sum enters a list only if it beats what is there,
//! so equal scores stand by lower id. A score is one chain of fused multiply-adds over `d`.

use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Parallel, Serial, Unroll, Vector};
use latentc_ir::nest::build::{KernelBuilder, f32c, load, op1, op2};
use latentc_ir::nest::{BufId, Expr, Index, Kernel, Space, Split, ValId};
use latentc_ir::ops::score_top_k::ScoreTopK;
use latentc_ir::plan::CsrPart;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::{CsrType, Type};

use crate::lists::{Lists, beats, i32c, stride};
use crate::matmul::{Shape, pack_kernel};
use crate::tile::{Tile, clear, each_sum, row_tiles, tile_product};
use crate::{Arg, Machine, Schedule, Step, Temp};

/// Queries of a block: enough that reading the items costs little beside the arithmetic.
const BLOCK: i64 = 128;
/// Bytes of lists that a block keeps on its stack; longer lists are a temporary.
const STACK: i64 = 96 << 10;
/// Halvings that any row of a pattern may need.
const HALVINGS: i64 = 31;

/// The sizes and choices of one schedule.
struct Plan<'a> {
    queries: &'a Dim,
    items: &'a Dim,
    width: &'a Dim,
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
    let row = width.upper().clamp(1, 1 << 20) * 4;
    let tiles = (machine.l1 as i64 / 2 / (row * tile.rows)).clamp(1, 64);
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

    let packed = Shape {
        batch: 1.into(),
        m: 0.into(),
        n: queries.clone(),
        k: width.clone(),
        transpose_a: false,
        transpose_b: true,
        dtype: DType::F32,
    };
    let len = &(&queries.ceil_div(tile.cols) * width) * &tile.cols.into();
    let mut temps = vec![Temp { name: "panels", dtype: DType::F32, len }];
    let mut args = vec![Arg::Temp(0), Arg::Operand(1)];
    if seen.is_some() {
        args.extend([Arg::Csr(2, CsrPart::Indptr), Arg::Csr(2, CsrPart::Indices), Arg::Operand(3)]);
    }
    args.extend([Arg::Result(0), Arg::Result(1)]);
    if !plan.on_stack() {
        let len = &queries.ceil_div(plan.block()) * &(plan.block() * plan.list()).into();
        temps.push(Temp { name: "list scores", dtype: DType::F32, len: len.clone() });
        temps.push(Temp { name: "list ids", dtype: DType::I32, len });
        args.extend([Arg::Temp(1), Arg::Temp(2)]);
    }
    let pack = pack_kernel(&format!("{name}_pack"), &packed, tile);
    Some(Schedule {
        temps,
        steps: vec![
            Step { kernel: pack, args: vec![Arg::Operand(0), Arg::Temp(0)] },
            Step { kernel: kernel(name, &plan), args },
        ],
    })
}

/// The buffers of the kernel.
struct Buffers {
    panels: BufId,
    items: BufId,
    pattern: Option<Pattern>,
    scores: BufId,
    ids: BufId,
    lists: Lists,
    /// A tile's sums, when some of them may enter a list.
    sums: BufId,
    /// For each query of the block, the score to be beaten: NaN while its list has room, +inf where there
    /// is no query.
    bar: BufId,
    /// For each query of the block, its row of the pattern: first entry, entries, halvings of the search.
    seen: [BufId; 3],
}

/// What each query has seen.
#[derive(Clone, Copy)]
struct Pattern {
    indptr: BufId,
    indices: BufId,
    users: BufId,
}

fn kernel(name: &str, plan: &Plan) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let (q, n, d) = (k.size(plan.queries), k.size(plan.items), k.size(plan.width));
    let Tile { cols, lanes, .. } = plan.tile;
    let (block, list, best) = (plan.block(), plan.list(), plan.best);
    let blocks = (q.clone() + (block - 1)).floor_div(block);
    let panels = (q.clone() + (cols - 1)).floor_div(cols);

    let panels_buf = k.buffer("panels", DType::F32, panels.clone() * d.clone() * cols, Space::In);
    let items = k.buffer("items", DType::F32, n.clone() * d.clone(), Space::In);
    let pattern = plan.seen.map(|seen| {
        let (rows, nnz) = (k.size(&seen.rows), k.size(&seen.nnz));
        Pattern {
            indptr: k.buffer("indptr", DType::I32, rows + 1, Space::In),
            indices: k.buffer("indices", DType::I32, nnz, Space::In),
            users: k.buffer("users", DType::I32, q.clone(), Space::In),
        }
    });
    let scores = k.buffer("scores", DType::F32, q.clone() * best, Space::Out);
    let ids = k.buffer("ids", DType::I32, q.clone() * best, Space::Out);
    let (len, space) = if plan.on_stack() {
        (Index::Const(block * list), Space::Stack)
    } else {
        (blocks.clone() * (block * list), Space::InOut)
    };
    let lists = Lists {
        values: k.buffer("list_scores", DType::F32, len.clone(), space),
        ids: k.buffer("list_ids", DType::I32, len, space),
        k: best,
        lanes,
    };
    let b = Buffers {
        panels: panels_buf,
        items,
        pattern,
        scores,
        ids,
        lists,
        sums: k.buffer("sums", DType::F32, plan.tile.rows * cols, Space::Stack),
        bar: k.buffer("bar", DType::F32, block, Space::Stack),
        seen: ["seen_first", "seen_count", "seen_halvings"]
            .map(|name| k.buffer(name, DType::U32, block, Space::Stack)),
    };

    // Few items stand beyond the last whole tile: they come one by one.
    let whole = plan.items.as_const().is_some_and(|n| n % plan.tile.rows == 0);
    let heights = if whole { vec![plan.tile.rows] } else { vec![plan.tile.rows, 1] };
    k.for_("block", blocks, Parallel(Split::Even), |k, t| {
        let first = t.clone() * block;
        let list_base = if plan.on_stack() { Index::Const(0) } else { t.clone() * (block * list) };
        let list_of = |query: Index| list_base.clone() + query * list;
        k.for_("j", block, Serial, |k, j| {
            start_query(k, &b, j.clone(), first.clone() + j.clone(), &q);
            b.lists.clear(k, &list_of(j));
        });
        k.for_step("chunk", 0, n.clone(), plan.chunk, Serial, |k, lo| {
            let hi = (lo.clone() + plan.chunk).min(n.clone());
            let here = (panels.clone() - t.clone() * plan.panels).min(plan.panels);
            k.for_("panel", here, Serial, |k, panel| {
                row_tiles(k, lo, hi, &heights, |k, i0, height| {
                    let tile = plan.tile.with_rows(height);
                    let sums = tile.sums(k, DType::F32);
                    clear(k, tile, sums);
                    let from = (t.clone() * plan.panels + panel.clone()) * d.clone();
                    tile_product(
                        k,
                        sums,
                        tile,
                        d.clone(),
                        |_, i, p| load(b.items, (i0.clone() + i) * d.clone() + p),
                        |_, p, j| load(b.panels, (from.clone() + p) * cols + j),
                    );
                    let column = panel.clone() * cols;
                    if_some_beats(k, &b, tile, sums, &column, |k| {
                        each_sum(k, tile, |k, _, _, at| k.store(b.sums, at.clone(), load(sums, at)));
                        walk(k, &b, tile, &i0, &column, &list_of);
                    });
                });
            });
        });
        let last = (q.clone() - first.clone()).min(block);
        k.for_("j", last, Serial, |k, j| {
            let list = list_of(j.clone());
            k.for_("r", best, Vector(lanes), |k, r| {
                let to = (first.clone() + j.clone()) * best + r.clone();
                let at = b.lists.at(list.clone(), r);
                let id = k.let_(DType::I32, load(b.lists.ids, at.clone()));
                let none = op2(ScalarOp::Lt, id.into(), i32c(0));
                let least = f32c(f64::NEG_INFINITY);
                let score = Expr::Op(ScalarOp::Select, vec![none, least, load(b.lists.values, at)]);
                k.store(b.scores, to.clone(), score);
                k.store(b.ids, to, id.into());
            });
        });
    });
    builder.finish()
}

/// Looks up the query's row of the pattern and sets its bar.
fn start_query(k: &mut KernelBuilder, b: &Buffers, j: Index, query: Index, queries: &Index) {
    let [first, count, halvings] = b.seen;
    let there = op2(ScalarOp::Lt, Expr::from(query.clone()), Expr::from(queries.clone()));
    k.if_(
        there,
        |k| {
            if let Some(p) = b.pattern {
                let user = k.load_index(p.users, query);
                let u32 = |i: Index| Expr::Cast(DType::U32, Box::new(Expr::from(i)));
                let start = k.load_index(p.indptr, user.clone());
                let end = k.load_index(p.indptr, user + 1);
                let entries = k.let_(DType::U32, u32(end - start.clone()));
                k.store(first, j.clone(), u32(start));
                k.store(count, j.clone(), entries.into());
                // Halvings until one entry is left: the powers of two below the count.
                let sum = (0..HALVINGS).map(|bit| {
                    let power = Expr::Lit(Literal::int(DType::U32, 1 << bit));
                    Expr::Cast(DType::U32, Box::new(op2(ScalarOp::Gt, entries.into(), power)))
                });
                let zero = Expr::Lit(Literal::zero(DType::U32));
                k.store(halvings, j.clone(), sum.fold(zero, |a, b| op2(ScalarOp::Add, a, b)));
            }
            k.store(b.bar, j.clone(), f32c(f64::NAN));
        },
        |k| k.store(b.bar, j.clone(), f32c(f64::INFINITY)),
    );
}

/// Runs `then` if any sum of the tile beats the bar of its query.
fn if_some_beats(
    k: &mut KernelBuilder,
    b: &Buffers,
    tile: Tile,
    sums: BufId,
    column: &Index,
    then: impl FnOnce(&mut KernelBuilder),
) {
    // The greatest sum of each query: it starts as a number, and a NaN never replaces it.
    let most = k.buffer(format!("most_{}", tile.rows), DType::F32, tile.cols, Space::Register);
    let lanes = i64::from(tile.lanes);
    let some = k.buffer(format!("some_{}", tile.rows), DType::Bool, lanes, Space::Register);
    k.for_("j", tile.cols, Vector(tile.lanes), |k, j| k.store(most, j, f32c(f64::NEG_INFINITY)));
    each_sum(k, tile, |k, _, j, at| {
        let greater = op2(ScalarOp::Gt, load(sums, at.clone()), load(most, j.clone()));
        let value = Expr::Op(ScalarOp::Select, vec![greater, load(sums, at), load(most, j.clone())]);
        k.store(most, j, value);
    });
    k.fill(some, Literal::zero(DType::Bool));
    k.for_step("v", 0, tile.cols, lanes, Unroll, |k, v| {
        k.for_("l", lanes, Vector(tile.lanes), |k, l| {
            let bar = load(b.bar, column.clone() + v.clone() + l.clone());
            let above = op1(ScalarOp::Not, op2(ScalarOp::Le, load(most, v + l.clone()), bar));
            k.store(some, l.clone(), op2(ScalarOp::Or, load(some, l), above));
        });
    });
    k.if_(Expr::Lanes { op: ReduceOp::Max, buf: some }, then, |_| {});
}

/// Goes through the sums of a tile in memory, item by item, and lets in those that beat their bar.
fn walk(
    k: &mut KernelBuilder,
    b: &Buffers,
    tile: Tile,
    first_item: &Index,
    column: &Index,
    list_of: &dyn Fn(Index) -> Index,
) {
    let lanes = i64::from(tile.lanes);
    let some = k.buffer(format!("some_here_{}", tile.rows), DType::Bool, lanes, Space::Register);
    k.for_("i", tile.rows, Serial, |k, i| {
        let item = first_item.clone() + i.clone();
        let id = k.let_(DType::I32, Expr::Cast(DType::I32, Box::new(Expr::from(item))));
        k.for_step("v", 0, tile.cols, lanes, Serial, |k, v| {
            let sum = |l: Index| load(b.sums, i.clone() * tile.cols + v.clone() + l);
            let query = |l: Index| column.clone() + v.clone() + l;
            k.for_("l", lanes, Vector(tile.lanes), |k, l| {
                let enters = beats(DType::F32, sum(l.clone()), load(b.bar, query(l.clone())));
                k.store(some, l, enters);
            });
            k.if_(
                Expr::Lanes { op: ReduceOp::Max, buf: some },
                |k| {
                    k.for_("l", lanes, Serial, |k, l| {
                        let score = k.let_(DType::F32, sum(l.clone()));
                        let query = query(l);
                        let enters = beats(DType::F32, score.into(), load(b.bar, query.clone()));
                        k.if_(enters, |k| offer(k, b, query, score, id, list_of), |_| {});
                    });
                },
                |_| {},
            );
        });
    });
}

/// Puts an item into a query's list unless the query has it already, and raises the bar.
fn offer(
    k: &mut KernelBuilder,
    b: &Buffers,
    query: Index,
    score: ValId,
    id: ValId,
    list_of: &dyn Fn(Index) -> Index,
) {
    let enter = |k: &mut KernelBuilder, query: Index| {
        let list = list_of(query.clone());
        b.lists.insert(k, &list, (score, id), true);
        k.store(b.bar, query, load(b.lists.values, b.lists.last(list)));
    };
    match b.pattern {
        None => enter(k, query),
        Some(p) => {
            let has = has_seen(k, b, p, query.clone(), id);
            k.if_(load(has, 0), |_| {}, |k| enter(k, query));
        }
    }
}

/// Whether a query's row of the pattern holds an item, found by halving the row.
fn has_seen(k: &mut KernelBuilder, b: &Buffers, p: Pattern, query: Index, id: ValId) -> BufId {
    let [first, count, halvings] = b.seen;
    let word = |k: &mut KernelBuilder, name: &str, d: DType| k.buffer(name, d, 1, Space::Register);
    let (at, left) = (word(k, "at", DType::U32), word(k, "left", DType::U32));
    let has = word(k, "has", DType::Bool);
    k.store(has, 0, Expr::Lit(Literal::zero(DType::Bool)));
    let entries = k.let_(DType::U32, load(count, query.clone()));
    let zero = || Expr::Lit(Literal::zero(DType::U32));
    k.if_(
        op2(ScalarOp::Gt, entries.into(), zero()),
        |k| {
            k.store(at, 0, load(first, query.clone()));
            k.store(left, 0, entries.into());
            let turns = k.load_index(halvings, query.clone());
            k.for_("turn", turns, Serial, |k, _| {
                let (from, rest) = (k.load_index(at, 0), k.load_index(left, 0));
                let half = rest.clone().floor_div(2);
                let u32 = |i: Index| Expr::Cast(DType::U32, Box::new(Expr::from(i)));
                let below = op2(ScalarOp::Lt, load(p.indices, from.clone() + half.clone() - 1), id.into());
                let step = Expr::Op(ScalarOp::Select, vec![below, u32(half.clone()), zero()]);
                k.store(at, 0, op2(ScalarOp::Add, load(at, 0), step));
                k.store(left, 0, u32(rest - half));
            });
            let found = k.load_index(at, 0);
            k.store(has, 0, op2(ScalarOp::Eq, load(p.indices, found), id.into()));
        },
        |_| {},
    );
    has
}
