//! What both ways to score share: the lists of a block of queries, and how a score gets into one.

use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Serial, Unroll, Vector};
use latentc_ir::nest::build::{KernelBuilder, f32c, load, op1, op2};
use latentc_ir::nest::{BufId, Expr, Index, Space, ValId};
use latentc_ir::scalar::{ReduceOp, ScalarOp};

use super::Plan;
use crate::lists::{Lists, beats, i32c};
use crate::tile::{Tile, each_sum};

/// Halvings that any row of a pattern may need.
const HALVINGS: i64 = 31;

/// The buffers of a ranking kernel, and its sizes.
pub(super) struct Ranking {
    queries: Index,
    block: i64,
    panels: i64,
    /// Elements of a list.
    list: i64,
    best: i64,
    on_stack: bool,
    pattern: Option<Pattern>,
    scores: BufId,
    ids: BufId,
    lists: Lists,
    /// For each query of the block, the score to be beaten: NaN while its list has room, +inf where there
    /// is no query.
    pub bar: BufId,
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

/// The block of queries at work.
pub(super) struct Block {
    at: Index,
    /// Its first query.
    pub first: Index,
    /// Where its lists begin.
    lists: Index,
}

impl Ranking {
    /// Declares the parameters in the order of [`Plan::arguments`], and what a block keeps.
    pub fn declare(k: &mut KernelBuilder, plan: &Plan) -> Ranking {
        let q = k.size(plan.queries);
        let (block, list, best) = (plan.block(), plan.list(), plan.best);
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
            ((q.clone() + (block - 1)).floor_div(block) * (block * list), Space::InOut)
        };
        let lists = Lists {
            values: k.buffer("list_scores", DType::F32, len.clone(), space),
            ids: k.buffer("list_ids", DType::I32, len, space),
            k: best,
            lanes: plan.tile.lanes,
        };
        Ranking {
            queries: q,
            block,
            panels: plan.panels,
            list,
            best,
            on_stack: plan.on_stack(),
            pattern,
            scores,
            ids,
            lists,
            bar: k.buffer("bar", DType::F32, block, Space::Stack),
            seen: ["seen_first", "seen_count", "seen_halvings"]
                .map(|name| k.buffer(name, DType::U32, block, Space::Stack)),
        }
    }

    /// Number of blocks.
    pub fn blocks(&self) -> Index {
        (self.queries.clone() + (self.block - 1)).floor_div(self.block)
    }

    /// Starts the queries of a block with empty lists.
    pub fn start(&self, k: &mut KernelBuilder, at: Index) -> Block {
        let first = at.clone() * self.block;
        let lists = if self.on_stack { Index::Const(0) } else { at.clone() * (self.block * self.list) };
        let block = Block { at, first, lists };
        k.for_("j", self.block, Serial, |k, j| {
            self.start_query(k, j.clone(), block.first.clone() + j.clone());
            self.lists.clear(k, &self.list_of(&block, j));
        });
        block
    }

    /// Number of panels of a block that have a query, and the number of all panels before the block.
    pub fn panels_of(&self, block: &Block, cols: i64) -> (Index, Index) {
        let before = block.at.clone() * self.panels;
        let all = (self.queries.clone() + (cols - 1)).floor_div(cols);
        ((all - before.clone()).min(self.panels), before)
    }

    fn list_of(&self, block: &Block, query: Index) -> Index {
        block.lists.clone() + query * self.list
    }

    /// Looks up the query's row of the pattern and sets its bar.
    fn start_query(&self, k: &mut KernelBuilder, j: Index, query: Index) {
        let [first, count, halvings] = self.seen;
        let there = op2(ScalarOp::Lt, Expr::from(query.clone()), Expr::from(self.queries.clone()));
        k.if_(
            there,
            |k| {
                if let Some(p) = self.pattern {
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
                k.store(self.bar, j.clone(), f32c(f64::NAN));
            },
            |k| {
                k.store(count, j.clone(), Expr::Lit(Literal::zero(DType::U32)));
                k.store(self.bar, j.clone(), f32c(f64::INFINITY));
            },
        );
    }

    /// Goes through the items that a query has.
    pub fn each_seen(
        &self,
        k: &mut KernelBuilder,
        query: Index,
        body: impl FnOnce(&mut KernelBuilder, Index),
    ) {
        let Some(p) = self.pattern else { return };
        let count = k.load_index(self.seen[1], query.clone());
        k.for_("entry", count, Serial, |k, entry| {
            let first = k.load_index(self.seen[0], query);
            let item = k.load_index(p.indices, first + entry);
            body(k, item);
        });
    }

    /// Puts an item into a query's list, if its score beats the bar and the query does not have it already,
    /// and raises the bar; `raised` is then called.
    pub fn offer(
        &self,
        k: &mut KernelBuilder,
        block: &Block,
        query: Index,
        (score, id): (ValId, ValId),
        raised: impl FnOnce(&mut KernelBuilder, Index),
    ) {
        let enters = beats(DType::F32, score.into(), load(self.bar, query.clone()));
        k.if_(enters, |k| self.insert(k, block, query, (score, id), raised), |_| {});
    }

    fn insert(
        &self,
        k: &mut KernelBuilder,
        block: &Block,
        query: Index,
        (score, id): (ValId, ValId),
        raised: impl FnOnce(&mut KernelBuilder, Index),
    ) {
        let enter = |k: &mut KernelBuilder, query: Index| {
            let list = self.list_of(block, query.clone());
            self.lists.insert(k, &list, (score, id), true);
            k.store(self.bar, query.clone(), load(self.lists.values, self.lists.last(list)));
            raised(k, query);
        };
        match self.pattern {
            None => enter(k, query),
            Some(p) => {
                let has = self.has_seen(k, p, query.clone(), id);
                k.if_(load(has, 0), |_| {}, |k| enter(k, query));
            }
        }
    }

    /// Whether a query's row of the pattern holds an item, found by halving the row.
    fn has_seen(&self, k: &mut KernelBuilder, p: Pattern, query: Index, id: ValId) -> BufId {
        let [first, count, halvings] = self.seen;
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
                    let below =
                        op2(ScalarOp::Lt, load(p.indices, from.clone() + half.clone() - 1), id.into());
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

    /// Writes the block's lists to the results.
    pub fn write(&self, k: &mut KernelBuilder, block: &Block) {
        let last = (self.queries.clone() - block.first.clone()).min(self.block);
        k.for_("j", last, Serial, |k, j| {
            let list = self.list_of(block, j.clone());
            k.for_("r", self.best, Vector(self.lists.lanes), |k, r| {
                let to = (block.first.clone() + j.clone()) * self.best + r.clone();
                let at = self.lists.at(list.clone(), r);
                let id = k.let_(DType::I32, load(self.lists.ids, at.clone()));
                let none = op2(ScalarOp::Lt, id.into(), i32c(0));
                let least = f32c(f64::NEG_INFINITY);
                let score = Expr::Op(ScalarOp::Select, vec![none, least, load(self.lists.values, at)]);
                k.store(self.scores, to.clone(), score);
                k.store(self.ids, to, id.into());
            });
        });
    }
}

/// The greatest sum of each column of a tile, in registers: it starts as the least number, and a NaN never
/// replaces it.
pub(super) fn greatest(k: &mut KernelBuilder, tile: Tile, sums: BufId) -> BufId {
    let dtype = k.info(sums).dtype;
    let most = k.buffer(format!("most_{}", tile.rows), dtype, tile.cols, Space::Register);
    k.fill(most, ReduceOp::Max.identity(dtype));
    each_sum(k, tile, |k, _, j, at| {
        let greater = op2(ScalarOp::Gt, load(sums, at.clone()), load(most, j.clone()));
        let value = Expr::Op(ScalarOp::Select, vec![greater, load(sums, at), load(most, j.clone())]);
        k.store(most, j, value);
    });
    most
}

/// Runs `then` if for some of `0..count` columns, in vectors, `above(column)` is true.
pub(super) fn if_some(
    k: &mut KernelBuilder,
    name: String,
    count: i64,
    lanes: u32,
    above: impl Fn(Index) -> Expr,
    then: impl FnOnce(&mut KernelBuilder),
) {
    let wide = i64::from(lanes);
    let some = k.buffer(name, DType::Bool, wide, Space::Register);
    k.fill(some, Literal::zero(DType::Bool));
    k.for_step("v", 0, count, wide, Unroll, |k, v| {
        k.for_("l", wide, Vector(lanes), |k, l| {
            let here = above(v.clone() + l.clone());
            k.store(some, l.clone(), op2(ScalarOp::Or, load(some, l), here));
        });
    });
    k.if_(Expr::Lanes { op: ReduceOp::Max, buf: some }, then, |_| {});
}

/// Whether a sum is above a bar; NaN, a bar that any sum beats, makes it true.
pub(super) fn above(sum: Expr, bar: Expr) -> Expr {
    op1(ScalarOp::Not, op2(ScalarOp::Le, sum, bar))
}
