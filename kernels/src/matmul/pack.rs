//! Packing the right operand of a product into panels.

use latentc_ir::dtype::Literal;
use latentc_ir::nest::AxisKind::{Parallel, Serial, Vector};
use latentc_ir::nest::build::{KernelBuilder, load, op2};
use latentc_ir::nest::{Expr, Index, Kernel, Space, Split};
use latentc_ir::scalar::ScalarOp;

use super::{Shape, View, ceil_div, strides};
use crate::size;
use crate::tile::Tile;

/// Inner positions that a transposed operand is read in at once: whole vectors of its rows.
const DEPTH: i64 = 16;

/// Copies the right operand into panels `[k][tile.cols]`, with zeros beyond the last column; `m` plays no
/// part.
pub(crate) fn pack_kernel(name: &str, s: &Shape, tile: Tile) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let (batches, n, inner) = (size(k, &s.batch), size(k, &s.n), size(k, &s.k));
    let cols = tile.cols;
    let panels = ceil_div(n.clone(), cols);
    let b = k.buffer("b", s.dtype, batches.clone() * inner.clone() * n.clone(), Space::In);
    let packed_len = batches.clone() * panels.clone() * inner.clone() * cols;
    let packed = k.buffer("panels", s.dtype, packed_len, Space::Out);
    k.for_("panel", batches * panels.clone(), Parallel(Split::Even), |k, t| {
        let batch = t.clone().floor_div(panels.clone().max(1));
        let first = t.clone().modulo(panels.clone().max(1)) * cols;
        let from = View {
            buf: b,
            start: batch * (inner.clone() * n.clone()),
            strides: strides(s.transpose_b, &inner, &n),
        };
        let to = |p: Index, j: Index| (t.clone() * inner.clone() + p) * cols + j;
        let move_one = |k: &mut KernelBuilder, p: Index, j: Index| {
            let value = load(from.buf, from.at(p.clone(), first.clone() + j.clone()));
            k.store(packed, to(p, j), value);
        };
        let copy = |k: &mut KernelBuilder, count: Index| {
            if s.transpose_b {
                // Rows of the operand are columns here: a vector of one goes into as many rows of the panel.
                k.for_step("p0", 0, inner.clone(), DEPTH, Serial, |k, p0| {
                    let end = (p0.clone() + DEPTH).min(inner.clone());
                    k.for_("j", count.clone(), Serial, |k, j| {
                        k.for_step("p", p0, end, 1, Vector(tile.lanes), |k, p| move_one(k, p, j));
                    });
                });
            } else {
                k.for_("p", inner.clone(), Serial, |k, p| {
                    k.for_("j", count.clone(), Vector(tile.lanes), |k, j| move_one(k, p, j));
                });
            }
            if count != Index::Const(cols) {
                k.for_("p", inner.clone(), Serial, |k, p| {
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
    builder.finish()
}
