//! A bar to begin with: without one, a query's first items all enter its list, and the k-th best so far rises slowly.
//!
//! Estimates of the first items give for each tile a score that its best item has at least. The `k`-th greatest of
//! these over tiles without an item that the query has already is a score that `k` items reach: what is below it
//! is out of the question from the first item on. It costs the estimates of some items twice, and saves more than
//! half of the scores.

use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Serial, Vector};
use latentc_ir::nest::build::{KernelBuilder, f32c, load, op1, op2};
use latentc_ir::nest::{BufId, Expr, Index, Space};
use latentc_ir::scalar::{ReduceOp, ScalarOp};

use super::Plan;
use super::filtered::{Buffers, Panel};
use super::ranking::{Block, Ranking, greatest};

/// Items that are looked at, about.
const ITEMS: i64 = 2048;
/// Items in all for each of these: fewer are not worth the look.
const SHARE: i64 = 4;
/// Halvings of the interval that holds the k-th greatest.
const HALVINGS: i64 = 12;
/// What stands for a tile with an item that the query has.
const NOTHING: f64 = -3e38;
/// The least that counts.
const LEAST: f64 = -1e37;

/// How many chunks are looked at, where that pays.
pub(super) fn chunks(plan: &Plan) -> Option<i64> {
    let chunks = (ITEMS + plan.chunk - 1) / plan.chunk;
    let tiles = chunks * plan.chunk / plan.tile.rows;
    (plan.best * 2 <= tiles && plan.items.upper() >= SHARE * ITEMS).then_some(chunks)
}

/// Sets the hints of a block's queries where there are enough items.
pub(super) fn set(k: &mut KernelBuilder, b: &Buffers, ranking: &Ranking, block: &Block, plan: &Plan) {
    k.for_("j", plan.block(), Vector(plan.tile.lanes), |k, j| {
        k.store(b.judge.hint, j, f32c(f64::NEG_INFINITY));
    });
    let Some(chunks) = chunks(plan) else { return };
    let looked = chunks * plan.chunk;
    let tiles = looked / plan.tile.rows;
    let reached = k.buffer("reached", DType::F32, tiles * plan.tile.cols, Space::Stack);
    let n = k.size(plan.items);
    let enough = op2(ScalarOp::Ge, Expr::from(n), Expr::from(Index::Const(looked.max(SHARE * ITEMS))));
    k.if_(
        enough,
        |k| {
            b.each_panel(k, ranking, block, plan, |k, panel| {
                k.for_("chunk", chunks, Serial, |k, chunk| {
                    b.measure(k, ranking, plan, panel, &chunk);
                    let lo = chunk * plan.chunk;
                    k.for_step("i0", lo.clone(), lo + plan.chunk, plan.tile.rows, Serial, |k, i0| {
                        reach(k, b, plan, panel, &i0, reached);
                    });
                });
                leave_out(k, ranking, plan, panel, looked, reached);
                k.for_step("v", 0, plan.tile.cols, plan.tile.lanes.into(), Serial, |k, v| {
                    select(k, plan, tiles, reached, &v, |k, l, score| {
                        k.store(b.judge.hint, panel.column.clone() + v.clone() + l, score);
                    });
                });
            });
        },
        |_| {},
    );
}

/// What the best item of a tile has at least, for each query.
fn reach(k: &mut KernelBuilder, b: &Buffers, plan: &Plan, panel: &Panel, i0: &Index, reached: BufId) {
    let sums = b.estimate(k, plan.tile, i0, panel);
    let most = greatest(k, plan.tile, sums);
    let row = i0.clone().floor_div(plan.tile.rows) * plan.tile.cols;
    k.for_("j", plan.tile.cols, Vector(plan.tile.lanes), |k, j| {
        let query = panel.column.clone() + j.clone();
        let estimate = Expr::Cast(DType::F32, Box::new(load(most, j.clone())));
        let estimate = k.let_(DType::F32, op2(ScalarOp::Mul, estimate, load(b.judge.unit, query.clone())));
        let score = lowered(estimate.into());
        k.store(reached, row + j, op2(ScalarOp::Sub, score, load(b.judge.bound, query)));
    });
}

/// A score less what its computation may have rounded up.
fn lowered(score: Expr) -> Expr {
    let size = op2(ScalarOp::Mul, op1(ScalarOp::Abs, score.clone()), f32c(1e-6));
    op2(ScalarOp::Sub, score, size)
}

/// Forgets tiles with an item that the query has.
fn leave_out(
    k: &mut KernelBuilder,
    ranking: &Ranking,
    plan: &Plan,
    panel: &Panel,
    looked: i64,
    reached: BufId,
) {
    k.for_("j", plan.tile.cols, Serial, |k, j| {
        ranking.each_seen(k, panel.column.clone() + j.clone(), |k, item| {
            let among = op2(ScalarOp::Lt, Expr::from(item.clone()), Expr::from(Index::Const(looked)));
            let at = item.floor_div(plan.tile.rows) * plan.tile.cols + j.clone();
            k.if_(among, |k| k.store(reached, at, f32c(NOTHING)), |_| {});
        });
    });
}

/// Finds for a vector of queries a score that `k` tiles reach, close to the greatest such; minus infinity where
/// there are not so many. `found(lane, score)` gets it in a vector loop.
fn select(
    k: &mut KernelBuilder,
    plan: &Plan,
    tiles: i64,
    reached: BufId,
    v: &Index,
    found: impl FnOnce(&mut KernelBuilder, Index, Expr),
) {
    let (cols, lanes) = (plan.tile.cols, plan.tile.lanes);
    let wide = i64::from(lanes);
    let mut register = |name: &str, dtype| k.buffer(name, dtype, wide, Space::Register);
    let (low, high) = (register("low", DType::F32), register("high", DType::F32));
    let (middle, count) = (register("middle", DType::F32), register("count", DType::I32));
    let each = |k: &mut KernelBuilder, body: &dyn Fn(&mut KernelBuilder, Index, Expr)| {
        k.for_("tile", tiles, Serial, |k, tile| {
            k.for_("l", wide, Vector(lanes), |k, l| {
                let x = k.let_(DType::F32, load(reached, tile * cols + v.clone() + l.clone()));
                body(k, l, x.into());
            });
        });
    };
    let choose = |c: Expr, a: Expr, b: Expr| Expr::Op(ScalarOp::Select, vec![c, a, b]);
    let recount = |k: &mut KernelBuilder, from: BufId| {
        k.fill(count, Literal::zero(DType::I32));
        each(k, &|k, l, x| {
            let there = op2(ScalarOp::Ge, x, load(from, l.clone()));
            k.accumulate(ReduceOp::Sum, count, l, Expr::Cast(DType::I32, Box::new(there)));
        });
    };
    let enough = |l: Index| {
        let wanted = Expr::Lit(Literal::int(DType::I32, plan.best));
        op2(ScalarOp::Ge, load(count, l), wanted)
    };

    k.fill(low, Literal::float(DType::F32, f64::INFINITY));
    k.fill(high, Literal::float(DType::F32, f64::NEG_INFINITY));
    each(k, &|k, l, x| {
        let more = op2(ScalarOp::Gt, x.clone(), load(high, l.clone()));
        k.store(high, l.clone(), choose(more, x.clone(), load(high, l.clone())));
        let counts = op2(ScalarOp::Gt, x.clone(), f32c(LEAST));
        let less = op2(ScalarOp::And, counts, op2(ScalarOp::Lt, x.clone(), load(low, l.clone())));
        k.store(low, l.clone(), choose(less, x, load(low, l)));
    });
    k.for_("turn", HALVINGS, Serial, |k, _| {
        k.for_("l", wide, Vector(lanes), |k, l| {
            let sum = op2(ScalarOp::Add, load(low, l.clone()), load(high, l.clone()));
            k.store(middle, l, op2(ScalarOp::Mul, sum, f32c(0.5)));
        });
        recount(k, middle);
        k.for_("l", wide, Vector(lanes), |k, l| {
            let enough = k.let_(DType::Bool, enough(l.clone()));
            let at = |buf: BufId| load(buf, l.clone());
            k.store(low, l.clone(), choose(enough.into(), at(middle), at(low)));
            k.store(high, l.clone(), choose(enough.into(), at(high), at(middle)));
        });
    });
    recount(k, low);
    k.for_("l", wide, Vector(lanes), |k, l| {
        // A score that is the same as the k-th is not below it.
        let score = op2(ScalarOp::Sub, lowered(load(low, l.clone())), f32c(1e-37));
        found(k, l.clone(), choose(enough(l), score, f32c(f64::NEG_INFINITY)));
    });
}
