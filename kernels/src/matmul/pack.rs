//! Packing the right operand of a product into panels.

use latentc_ir::dtype::Literal;
use latentc_ir::nest::AxisKind::{Parallel, Serial, Vector};
use latentc_ir::nest::build::{KernelBuilder, load, op2};
use latentc_ir::nest::{Expr, Index, Kernel, Space, Split};
use latentc_ir::scalar::ScalarOp;

use super::{Shape, View, ceil_div, strides};
use crate::tile::Tile;

/// Inner positions that are read at once: whole vectors of a transposed operand, and of others few enough
/// rows that a stride which is a power of two does not put more of them in one set of the cache than it has
/// ways.
const DEPTH: (i64, i64) = (16, 8);
/// Columns that are read side by side.
const WIDTH: i64 = 64;

/// Copies the right operand into panels `[k][tile.cols]`, with zeros beyond the last column; `m` plays no
/// part.
pub(crate) fn pack_kernel(name: &str, s: &Shape, tile: Tile) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let (batches, n, inner) = (k.size(&s.batch), k.size(&s.n), k.size(&s.k));
    let cols = tile.cols;
    let panels = ceil_div(n.clone(), cols);
    let b = k.buffer("b", s.dtype, batches.clone() * inner.clone() * n.clone(), Space::In);
    let packed_len = batches.clone() * panels.clone() * inner.clone() * cols;
    let packed = k.buffer("panels", s.dtype, packed_len, Space::Out);
    let depth = if s.transpose_b { DEPTH.0 } else { DEPTH.1 };
    let together = (WIDTH / cols).max(1);
    let groups = ceil_div(panels.clone(), together).max(1);
    k.for_("group", batches * groups.clone(), Parallel(Split::Even), |k, t| {
        let batch = t.clone().floor_div(groups.clone());
        let from = View {
            buf: b,
            start: batch.clone() * (inner.clone() * n.clone()),
            strides: strides(s.transpose_b, &inner, &n),
        };
        let lo = t.modulo(groups) * together;
        let hi = (lo.clone() + together).min(panels.clone());
        k.for_step("p0", 0, inner.clone(), depth, Serial, |k, p0| {
            let end = (p0.clone() + depth).min(inner.clone());
            k.for_step("panel", lo, hi, 1, Serial, |k, panel| {
                let first = panel.clone() * cols;
                let at = (batch * panels.clone() + panel) * inner.clone();
                let to = |p: Index, j: Index| (at.clone() + p) * cols + j;
                let move_one = |k: &mut KernelBuilder, p: Index, j: Index| {
                    let value = load(from.buf, from.at(p.clone(), first.clone() + j.clone()));
                    k.store(packed, to(p, j), value);
                };
                let copy = |k: &mut KernelBuilder, count: Index| {
                    let (p0, end) = (p0.clone(), end.clone());
                    if s.transpose_b {
                        // A vector of the operand's row goes into as many rows of the panel.
                        k.for_("j", count.clone(), Serial, |k, j| {
                            let wide = Vector(tile.lanes);
                            k.for_step("p", p0.clone(), end.clone(), 1, wide, |k, p| move_one(k, p, j));
                        });
                    } else {
                        k.for_step("p", p0.clone(), end.clone(), 1, Serial, |k, p| {
                            k.for_("j", count.clone(), Vector(tile.lanes), |k, j| move_one(k, p, j));
                        });
                    }
                    if count != Index::Const(cols) {
                        k.for_step("p", p0, end, 1, Serial, |k, p| {
                            k.for_step("j", count, cols, 1, Vector(tile.lanes), |k, j| {
                                k.store(packed, to(p, j), Expr::Lit(Literal::zero(s.dtype)));
                            });
                        });
                    }
                };
                let full = op2(ScalarOp::Le, Expr::from(first.clone() + cols), Expr::from(n.clone()));
                match n.as_const() {
                    Some(n) if n % cols == 0 => copy(k, cols.into()),
                    Some(n) => k.if_(full, |k| copy(k, cols.into()), |k| copy(k, (n % cols).into())),
                    None => k.if_(full, |k| copy(k, cols.into()), |k| copy(k, n.clone() - first.clone())),
                }
            });
        });
    });
    builder.finish()
}
