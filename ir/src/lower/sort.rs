//! Rows in order: a merge sort of positions, one row a thread at a time.
//!
//! Runs of sorted positions double in length from pass to pass, between two arrays; of equal elements the one of the
//! run in front comes first, so the order is stable. The passes are as many as the longest row may need, and are
//! written out; one that finds a single run copies it.

use super::{Job, LowerError, Lowered};
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::graph::Operand;
use crate::nest::build::{KernelBuilder, load, op1, op2};
use crate::nest::{AxisKind, BufId, Expr, Index, Space, Split};
use crate::scalar::ScalarOp;
use crate::types::product;

/// The first `count` of each sorted row, values and positions; all of them without a number.
pub(super) fn lower(
    job: &Job,
    out: Operand,
    descending: bool,
    count: Option<usize>,
) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let x = job.graph.node(out.node).operands[0];
    let shape = job.graph.shape_of(x);
    let Some((width, rows)) = shape.split_last() else { return Err(cx.fault("a scalar in order")) };
    let mut passes = 0;
    while 1i64 << passes < width.upper() {
        passes += 1;
    }
    let elements = product(&shape);
    let (rows, n) = (cx.dim(&product(rows)), cx.dim(width));
    let kept = count.map_or_else(|| n.clone(), |k| Index::Const(k as i64));
    let dtype = cx.dtype(x);
    let x = cx.buffer(x, Space::In)?;
    let (values, ids) =
        (cx.buffer(out, Space::Out)?, cx.buffer(Operand { node: out.node, port: 1 }, Space::Out)?);
    let temps = [0, 1].map(|i| cx.temp(i, DType::I32, &elements, Space::InOut));
    let k = &mut cx.k;
    let heads = ["left", "right"].map(|name| k.buffer(name, DType::I32, 1, Space::Register));
    k.for_("row", rows, AxisKind::Parallel(Split::Even), |k, row| {
        let start = row.clone() * n.clone();
        k.why(&row, MERGED);
        k.for_("i", n.clone(), AxisKind::Serial, |k, i| {
            k.why(&i, MERGED);
            k.store(temps[0], start.clone() + i.clone(), as_i32(i.into()));
        });
        let (mut from, mut to) = (temps[0], temps[1]);
        for pass in 0..passes {
            let merge = Merge { x, dtype, start: start.clone(), n: n.clone(), from, to, heads, descending };
            let run = 1i64 << pass;
            k.for_step("s", 0, n.clone(), 2 * run, AxisKind::Serial, |k, s| {
                k.why(&s, MERGED);
                merge.pair(k, s, run);
            });
            std::mem::swap(&mut from, &mut to);
        }
        k.for_("i", kept.clone(), AxisKind::Serial, |k, i| {
            k.why(&i, MERGED);
            let id = k.load_index(from, start.clone() + i.clone());
            let place = row.clone() * kept.clone() + i;
            k.store(ids, place.clone(), as_i32(id.clone().into()));
            k.store(values, place, load(x, start.clone() + id));
        });
    });
    let len = |_| (DType::I32, Dim::clone(&elements));
    Ok(Lowered { calls: vec![cx.finish()], temps: [0, 1].map(len).to_vec() })
}

/// Why sorting is no vectors.
const MERGED: &str = "runs are merged one element at a time: data decide which comes next";

fn as_i32(e: Expr) -> Expr {
    Expr::Cast(DType::I32, Box::new(e))
}

/// What merging two runs of a row works with.
struct Merge {
    x: BufId,
    dtype: DType,
    /// Where the row begins, and its length.
    start: Index,
    n: Index,
    /// Positions as they are, and as they become.
    from: BufId,
    to: BufId,
    /// How far either run has been taken.
    heads: [BufId; 2],
    descending: bool,
}

impl Merge {
    /// The runs of `run` positions from `s` on and behind them.
    fn pair(&self, k: &mut KernelBuilder, s: Index, run: i64) {
        let (n, last) = (&self.n, self.n.clone() - 1);
        let middle = (s.clone() + run).min(n.clone());
        let end = (s.clone() + 2 * run).min(n.clone());
        k.store(self.heads[0], 0, as_i32(s.clone().into()));
        k.store(self.heads[1], 0, as_i32(middle.clone().into()));
        k.for_step("o", s, end.clone(), 1, AxisKind::Serial, |k, o| {
            k.why(&o, MERGED);
            let [left, right] = self.heads.map(|head| k.load_index(head, 0));
            // What is read beyond a run is not used.
            let [a, b] = [&left, &right].map(|head| {
                let at = self.start.clone() + head.clone().max(0).min(last.clone());
                let id = k.load_index(self.from, at);
                (
                    id.clone(),
                    Expr::Val(
                        k.let_(self.dtype, load(self.x, self.start.clone() + id.max(0).min(last.clone()))),
                    ),
                )
            });
            let here = op2(ScalarOp::Lt, left.clone().into(), middle.clone().into());
            let done = op2(ScalarOp::Ge, right.clone().into(), end.clone().into());
            let before = self.before(b.1, a.1);
            let first = op2(ScalarOp::Or, done, op1(ScalarOp::Not, before));
            let take = Expr::Val(k.let_(DType::Bool, op2(ScalarOp::And, here, first)));
            let chosen = Expr::Op(ScalarOp::Select, vec![take.clone(), a.0.into(), b.0.into()]);
            k.store(self.to, self.start.clone() + o, as_i32(chosen));
            let step = as_i32(take.clone());
            let one = Expr::Lit(Literal::int(DType::I32, 1));
            let [l, r] = self.heads.map(|head| load(head, 0));
            k.store(self.heads[0], 0, op2(ScalarOp::Add, l, step.clone()));
            k.store(self.heads[1], 0, op2(ScalarOp::Add, r, op2(ScalarOp::Sub, one, step)));
        });
    }

    /// Whether `b` must stand before `a`, which it stands behind.
    fn before(&self, b: Expr, a: Expr) -> Expr {
        let op = if self.descending { ScalarOp::Gt } else { ScalarOp::Lt };
        let by_value = op2(op, b.clone(), a.clone());
        if !self.dtype.is_float() {
            return by_value;
        }
        let number = op2(ScalarOp::Eq, b.clone(), b);
        let none = op2(ScalarOp::Ne, a.clone(), a);
        op2(ScalarOp::Or, by_value, op2(ScalarOp::And, number, none))
    }
}
