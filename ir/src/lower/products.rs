//! Products within a kernel over rows: of a tile of rows with a matrix, and of tiles with each other.

use super::LowerError;
use super::cx::{Cx, Staged};
use super::levels::Member;
use super::rows::{Plan, Sink, row_at};
use super::value::{as_type, sum_type};
use crate::graph::Operand;
use crate::nest::build::{load, op2};
use crate::nest::{AxisKind, Expr, Index, Space};
use crate::scalar::{ReduceOp, ScalarOp};

/// The value of one row of the tile at position `k` of the row, in the type in which it is added up.
fn of_row(
    cx: &mut Cx,
    plan: &Plan,
    o: Operand,
    first: &Index,
    i: &Index,
    k: Index,
) -> Result<Expr, LowerError> {
    let row = row_at(cx, &plan.rows, first.clone() + i.clone(), i.clone());
    let mut at = row.index.clone();
    at.push(k);
    cx.row = Some(row);
    cx.summand(o, &at)
}

/// `kept[tile, n] = a[tile, k] b[k, n]`, panel by panel of columns, accumulators in registers.
pub(super) fn product(
    cx: &mut Cx,
    plan: &Plan,
    m: &Member,
    s: Staged,
    first: Index,
    tile: i64,
) -> Result<(), LowerError> {
    let operands = cx.graph.node(m.value.node).operands.clone();
    let dtype = cx.dtype(m.value);
    let sum = sum_type(dtype);
    let depth = cx.graph.shape_of(operands[0])[plan.rows.len()].clone();
    let depth = cx.dim(&depth);
    let b = cx.buffer(operands[1], Space::In)?;
    let lanes = i64::from(cx.target.lanes);
    // Rows that are left over are taken one by one, with as many sums in registers.
    let together = if tile == plan.tile { 1 } else { plan.tile / tile };
    let widest = cx.schedule.of(cx.schedule.panel) * together * lanes;
    let n = s.width;
    for p0 in (0..n).step_by(widest as usize) {
        let panel = widest.min(n - p0);
        let name = format!("p{}_{p0}_{tile}", m.value.node.index());
        let acc = cx.k.buffer(name, sum, tile * panel, Space::Register);
        cx.k.fill(acc, ReduceOp::Sum.identity(sum));
        cx.serial("k", (Index::Const(0), depth.clone()), 1, TERMS, |cx, k| {
            cx.unrolled("i", (Index::Const(0), Index::Const(tile)), 1, A_TILE, |cx, i| {
                let a = of_row(cx, plan, operands[0], &first, &i, k.clone())?;
                let a = cx.bind(sum, a);
                let wide = AxisKind::Vector(lanes as u32);
                cx.loop_("j", (Index::Const(0), Index::Const(panel)), 1, wide, |cx, j| {
                    let b = as_type(load(b, k.clone() * n + (j.clone() + p0)), dtype, sum);
                    cx.k.accumulate(ReduceOp::Sum, acc, i * panel + j, op2(ScalarOp::Mul, a, b));
                    Ok(())
                })
            })
        })?;
        cx.unrolled("i", (Index::Const(0), Index::Const(tile)), 1, A_TILE, |cx, i| {
            let wide = AxisKind::Vector(lanes as u32);
            cx.loop_("j", (Index::Const(0), Index::Const(panel)), 1, wide, |cx, j| {
                let e = as_type(load(acc, i.clone() * panel + j.clone()), sum, dtype);
                cx.k.store(s.buf, i * n + (j + p0), e);
                Ok(())
            })
        })?;
    }
    Ok(())
}

/// Why loops of products are no vectors themselves.
const TERMS: &str = "terms are added in their order; vectors run over the columns of the product";
const A_TILE: &str = "rows of a tile are written out, each with vectors of its own";
const ROWS_OF_A_SUM: &str = "rows of the sum come one after the other; vectors run over its columns";

/// Rows of the result that are worked on together, so that their sums do not wait for each other.
const TOGETHER: i64 = 2;

/// `sum[m, n] += a[tile, m]^T b[tile, n]`.
pub(super) fn outer(cx: &mut Cx, plan: &Plan, s: &Sink, first: Index, tile: i64) -> Result<(), LowerError> {
    let operands = cx.graph.node(s.value.node).operands.clone();
    let shape = cx.graph.shape_of(s.value);
    let (Some(m), Some(n)) = (shape[0].as_const(), shape[1].as_const()) else {
        return Err(cx.fault("an outer product of run-time sizes"));
    };
    let lanes = i64::from(cx.target.lanes);
    let widest = lanes * 4;
    let sum = s.dtype;
    for p0 in (0..n).step_by(widest as usize) {
        let panel = widest.min(n - p0);
        for (from, to, step) in [(0, m / TOGETHER * TOGETHER, TOGETHER), (m / TOGETHER * TOGETHER, m, 1)] {
            if from >= to {
                continue;
            }
            let name = format!("o{}_{p0}_{from}_{tile}", s.value.node.index());
            let acc = cx.k.buffer(name, sum, step * panel, Space::Register);
            cx.serial("m", (Index::Const(from), Index::Const(to)), step, ROWS_OF_A_SUM, |cx, m0| {
                let wide = AxisKind::Vector(lanes as u32);
                let each = |cx: &mut Cx, out: bool| {
                    let m0 = m0.clone();
                    cx.unrolled("q", (Index::Const(0), Index::Const(step)), 1, A_TILE, |cx, q| {
                        cx.loop_("j", (Index::Const(0), Index::Const(panel)), 1, wide, |cx, j| {
                            let whole = (m0 + q.clone()) * n + (j.clone() + p0);
                            let at = q * panel + j;
                            if out {
                                cx.k.store(s.acc, whole, load(acc, at));
                            } else {
                                cx.k.store(acc, at, load(s.acc, whole));
                            }
                            Ok(())
                        })
                    })
                };
                each(cx, false)?;
                cx.unrolled("i", (Index::Const(0), Index::Const(tile)), 1, A_TILE, |cx, i| {
                    cx.unrolled("q", (Index::Const(0), Index::Const(step)), 1, A_TILE, |cx, q| {
                        let a = of_row(cx, plan, operands[0], &first, &i, m0.clone() + q.clone())?;
                        let a = cx.bind(sum, a);
                        cx.loop_("j", (Index::Const(0), Index::Const(panel)), 1, wide, |cx, j| {
                            let b = of_row(cx, plan, operands[1], &first, &i, j.clone() + p0)?;
                            cx.k.accumulate(ReduceOp::Sum, acc, q * panel + j, op2(ScalarOp::Mul, a, b));
                            Ok(())
                        })
                    })
                })?;
                each(cx, true)
            })?;
        }
    }
    Ok(())
}
