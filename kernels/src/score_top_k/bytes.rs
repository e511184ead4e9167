//! Rows rounded to bytes, with what the rounding can do to a product of two of them.
//!
//! With `s` the greatest size of what is rounded together over 127, a row `x` becomes `s b`, `b` of whole numbers up
//! to 127, and an error `e = x - s b`. Of a product of two rows then
//! `|q x - s t (a b)| <= |e_q| |x| + (|q| + |e_q|) |e_x|`
//! by Cauchy's inequality. A query has a scale of its own; items share one a chunk, and with it the greatest
//! norm and error, so that one comparison of whole numbers judges a query and an item.
//!
//! The sums below round, too; `SLACK` is more than they can lose at `WIDEST` elements. A row with an infinity or
//! a NaN has an error of NaN.

use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Parallel, Serial, Vector};
use latentc_ir::nest::build::{KernelBuilder, f32c, load, op1, op2};
use latentc_ir::nest::{BufId, Expr, Index, Kernel, Space, Split, ValId};
use latentc_ir::scalar::{ReduceOp, ScalarOp};

use super::Plan;
use crate::lists::i32c;

/// Elements of a row at most.
pub(super) const WIDEST: i64 = 8192;
/// What bounds are multiplied by for the rounding of their own sums.
pub(super) const SLACK: f64 = 1.001;
/// The least scale: the product of two is still a normal number.
const LEAST_SCALE: f64 = 1e-18;
/// What a query's bytes are shifted by, since one of two factors has no sign.
const SHIFT: i64 = 128;

/// Bytes of a row: whole groups of four.
pub(super) fn row_bytes(d: &Index) -> Index {
    (d.clone() + 3).floor_div(4) * 4
}

/// Rounds queries: `bytes[panel][word][column][4]`, shifted to have no sign, and `bounds[3][column of all
/// panels]`: scale, norm, error. Columns beyond the last query are zeros.
pub(super) fn queries_kernel(name: &str, plan: &Plan) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let (q, d) = (k.size(plan.queries), k.size(plan.width));
    let (cols, lanes) = (plan.tile.cols, plan.tile.lanes);
    let panels = (q.clone() + (cols - 1)).floor_div(cols);
    let wide = row_bytes(&d);
    let queries = k.buffer("queries", DType::F32, q.clone() * d.clone(), Space::In);
    let bytes = k.buffer("bytes", DType::U8, panels.clone() * cols * wide.clone(), Space::Out);
    let bounds = k.buffer("bounds", DType::F32, panels.clone() * (3 * cols), Space::Out);
    let all = panels.clone() * cols;
    k.for_("panel", panels, Parallel(Split::Even), |k, panel| {
        k.for_("j", cols, Serial, |k, j| {
            let query = panel.clone() * cols + j.clone();
            let byte = |p: Index| {
                let word = panel.clone() * wide.clone().floor_div(4) + p.clone().floor_div(4);
                (word * cols + j.clone()) * 4 + p.modulo(4)
            };
            let zero = |k: &mut KernelBuilder, from: Index| {
                let shift = Expr::Lit(Literal::int(DType::U8, SHIFT));
                k.for_step("p", from, wide.clone(), 1, Serial, |k, p| k.store(bytes, byte(p), shift));
            };
            let there = op2(ScalarOp::Lt, Expr::from(query.clone()), Expr::from(q.clone()));
            k.if_(
                there,
                |k| {
                    let row = query.clone() * d.clone();
                    let scale = Scale::of(k, queries, &row, &d, lanes);
                    let sums = ["norm", "error"].map(|name| k.buffer(name, DType::F32, 1, Space::Register));
                    sums.iter().for_each(|s| k.fill(*s, Literal::zero(DType::F32)));
                    k.for_("p", d.clone(), Serial, |k, p| {
                        let whole = scale.round(k, load(queries, row.clone() + p.clone()), sums, 0.into());
                        let shifted = op2(ScalarOp::Add, whole.into(), f32c(SHIFT as f64));
                        k.store(bytes, byte(p), Expr::Cast(DType::U8, Box::new(shifted)));
                    });
                    zero(k, d.clone());
                    let [norm, error] = sums.map(|s| load(s, 0));
                    let error = k.let_(DType::F32, scale.error(error, &d));
                    // The norm bounds that of the rounded row, too.
                    let norm = op2(ScalarOp::Add, scale.norm(norm), error.into());
                    k.store(bounds, query.clone(), scale.unit.into());
                    k.store(bounds, all.clone() + query.clone(), norm);
                    k.store(bounds, all.clone() * 2 + query.clone(), error.into());
                },
                |k| {
                    zero(k, 0.into());
                    for plane in 0..3 {
                        k.store(bounds, all.clone() * plane + query.clone(), f32c(0.0));
                    }
                },
            );
        });
    });
    builder.finish()
}

/// Rounds items: `bytes[item][..]`, `starts[item]`: what a sum of products with shifted queries starts from, and
/// `bounds[3][chunk]`: scale, greatest norm, greatest error.
pub(super) fn items_kernel(name: &str, plan: &Plan) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let (n, d) = (k.size(plan.items), k.size(plan.width));
    let lanes = plan.tile.lanes;
    let chunks = (n.clone() + (plan.chunk - 1)).floor_div(plan.chunk);
    let wide = row_bytes(&d);
    let items = k.buffer("items", DType::F32, n.clone() * d.clone(), Space::In);
    let bytes = k.buffer("bytes", DType::I8, n.clone() * wide.clone(), Space::Out);
    let starts = k.buffer("starts", DType::I32, n.clone(), Space::Out);
    let bounds = k.buffer("bounds", DType::F32, chunks.clone() * 3, Space::Out);
    k.for_("chunk", chunks.clone(), Parallel(Split::Even), |k, chunk| {
        let lo = chunk.clone() * plan.chunk;
        let count = match plan.items.as_const() {
            Some(n) if n <= plan.chunk || n % plan.chunk == 0 => Index::Const(n.min(plan.chunk)),
            _ => (n.clone() - lo.clone()).min(plan.chunk),
        };
        let scale = Scale::of(k, items, &(lo.clone() * d.clone()), &(count.clone() * d.clone()), lanes);
        let most = ["most_norm", "most_error"].map(|name| k.buffer(name, DType::F32, 1, Space::Register));
        most.iter().for_each(|m| k.fill(*m, Literal::zero(DType::F32)));
        k.for_("i", count, Serial, |k, i| {
            let item = lo.clone() + i;
            let mut sums = |width: u32| {
                let mut make = |name: &str, d| {
                    let b = k.buffer(format!("{name}_{width}"), d, i64::from(width), Space::Register);
                    k.fill(b, Literal::zero(d));
                    b
                };
                ([make("norm", DType::F32), make("error", DType::F32)], make("total", DType::I32))
            };
            let (wide_sums, rest_sums) = (sums(lanes), sums(1));
            in_vectors(k, &d, lanes, |k, p, lane, in_vector| {
                let (sums, total) = if in_vector { wide_sums } else { rest_sums };
                let x = load(items, item.clone() * d.clone() + p.clone());
                let whole = scale.round(k, x, sums, lane.clone());
                k.store(
                    bytes,
                    item.clone() * wide.clone() + p,
                    Expr::Cast(DType::I8, Box::new(whole.into())),
                );
                let whole = Expr::Cast(DType::I32, Box::new(whole.into()));
                k.accumulate(ReduceOp::Sum, total, lane, whole);
            });
            k.for_step("p", d.clone(), wide.clone(), 1, Serial, |k, p| {
                k.store(bytes, item.clone() * wide.clone() + p, Expr::Lit(Literal::zero(DType::I8)));
            });
            let total = |a: BufId, b: BufId| {
                op2(ScalarOp::Add, Expr::Lanes { op: ReduceOp::Sum, buf: a }, load(b, 0))
            };
            k.store(starts, item.clone(), op2(ScalarOp::Mul, total(wide_sums.1, rest_sums.1), i32c(-SHIFT)));
            for (most, (a, b)) in most.into_iter().zip(wide_sums.0.into_iter().zip(rest_sums.0)) {
                k.accumulate(ReduceOp::Max, most, 0, total(a, b));
            }
        });
        let [norm, error] = most.map(|m| load(m, 0));
        k.store(bounds, chunk.clone(), scale.unit.into());
        k.store(bounds, chunks.clone() + chunk.clone(), scale.norm(norm));
        k.store(bounds, chunks.clone() * 2 + chunk, scale.error(error, &d));
    });
    builder.finish()
}

/// Calls `body(k, position, lane, in a vector)` for `0..count` in whole vectors, and one by one for the rest.
fn in_vectors(
    k: &mut KernelBuilder,
    count: &Index,
    lanes: u32,
    body: impl Fn(&mut KernelBuilder, Index, Index, bool),
) {
    let wide = i64::from(lanes);
    let whole = count.clone().floor_div(wide) * wide;
    k.for_step("p", 0, whole.clone(), wide, Serial, |k, p| {
        k.for_("l", wide, Vector(lanes), |k, l| body(k, p + l.clone(), l, true));
    });
    if whole != *count {
        k.for_step("p", whole, count.clone(), 1, Serial, |k, p| body(k, p, 0.into(), false));
    }
}

/// How a row, or several together, are rounded.
struct Scale {
    /// What one stands for.
    unit: ValId,
    /// One over it.
    inverse: ValId,
    /// The greatest size of an element.
    most: ValId,
    /// 0; NaN where an element is not finite.
    flaw: ValId,
}

impl Scale {
    /// That of the elements of a buffer from `from` on.
    fn of(k: &mut KernelBuilder, buf: BufId, from: &Index, count: &Index, lanes: u32) -> Scale {
        let mut pair = |width: i64| {
            ["most", "flaw"].map(|name| {
                let b = k.buffer(format!("{name}_{width}"), DType::F32, width, Space::Register);
                k.fill(b, Literal::zero(DType::F32));
                b
            })
        };
        let (wide, rest) = (pair(i64::from(lanes)), pair(1));
        in_vectors(k, count, lanes, |k, p, lane, in_vector| {
            let [most, flaw] = if in_vector { wide } else { rest };
            let x = k.let_(DType::F32, load(buf, from.clone() + p));
            let size = k.let_(DType::F32, op1(ScalarOp::Abs, x.into()));
            let greater = op2(ScalarOp::Gt, size.into(), load(most, lane.clone()));
            let value = Expr::Op(ScalarOp::Select, vec![greater, size.into(), load(most, lane.clone())]);
            k.store(most, lane.clone(), value);
            k.accumulate(ReduceOp::Sum, flaw, lane, op2(ScalarOp::Mul, x.into(), f32c(0.0)));
        });
        let lanes_of = |op, buf| Expr::Lanes { op, buf };
        let most = op2(ScalarOp::Max, lanes_of(ReduceOp::Max, wide[0]), load(rest[0], 0));
        let most = k.let_(DType::F32, most);
        let flaw = k.let_(DType::F32, op2(ScalarOp::Add, lanes_of(ReduceOp::Sum, wide[1]), load(rest[1], 0)));
        let unit = op2(ScalarOp::Mul, most.into(), f32c(1.0 / 127.0));
        let unit = k.let_(DType::F32, op2(ScalarOp::Max, unit, f32c(LEAST_SCALE)));
        let inverse = k.let_(DType::F32, op1(ScalarOp::Recip, unit.into()));
        Scale { unit, inverse, most, flaw }
    }

    /// An element as a whole number of units; adds the squares of the element and of its error, in units, to
    /// `[norm, error]` at a position.
    fn round(&self, k: &mut KernelBuilder, x: Expr, [norm, error]: [BufId; 2], at: Index) -> ValId {
        let y = k.let_(DType::F32, op2(ScalarOp::Mul, x, self.inverse.into()));
        let whole = k.let_(DType::F32, op1(ScalarOp::Round, y.into()));
        let off = k.let_(DType::F32, op2(ScalarOp::Sub, y.into(), whole.into()));
        for (sum, x) in [(norm, y), (error, off)] {
            k.accumulate(ReduceOp::Sum, sum, at.clone(), op2(ScalarOp::Mul, x.into(), x.into()));
        }
        whole
    }

    /// The norm whose square in units is a sum.
    fn norm(&self, squares: Expr) -> Expr {
        let unit = op2(ScalarOp::Mul, self.unit.into(), f32c(SLACK));
        op2(ScalarOp::Mul, unit, op1(ScalarOp::Sqrt, squares))
    }

    /// The norm of an error, with what the multiplication by the inverse rounded; NaN for a flaw.
    fn error(&self, squares: Expr, d: &Index) -> Expr {
        let count = Expr::Cast(DType::F32, Box::new(Expr::from(d.clone())));
        let rounded = op2(ScalarOp::Mul, self.most.into(), f32c(3e-7));
        let rounded = op2(ScalarOp::Mul, rounded, op1(ScalarOp::Sqrt, count));
        op2(ScalarOp::Add, op2(ScalarOp::Add, self.norm(squares), rounded), self.flaw.into())
    }
}
