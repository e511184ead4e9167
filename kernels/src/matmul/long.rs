//! Products whose inner size is much longer than the result is large: gradients of weights.
//!
//! The inner size is cut into chunks whose length is fixed, so that neither the number of threads nor their
//! pace decides the order of a sum. Each chunk has a result of its own, and a second step adds them up from
//! the first to the last.

use latentc_ir::dtype::Literal;
use latentc_ir::nest::AxisKind::{Parallel, Serial, Vector};
use latentc_ir::nest::build::{KernelBuilder, load};
use latentc_ir::nest::{Index, Kernel, Space, Split};
use latentc_ir::scalar::ReduceOp;
use latentc_ir::types::product;

use super::blocked::{Plan, product_kernel, tile_of};
use super::{Shape, ceil_div};
use crate::{Arg, Machine, Schedule, Step, Temp};

/// Inner positions of a chunk: some tens of microseconds of work for a result of 64 x 64.
const CHUNK: i64 = 1024;
/// Inner positions that one sum in registers runs over: pieces of both operands share the first cache.
const PIECE: i64 = 64;
/// Chunks from which on their own results are worth the second step.
const CHUNKS: i64 = 4;
/// Elements of the result up to which a chunk has enough work for each.
const RESULT: i64 = 1 << 16;
/// Columns up to which rows of the right operand are read in place.
const COLUMNS: i64 = 256;
/// Vectors of the result that one turn of the second step adds up.
const VECTORS: i64 = 4;

/// Whether the inner size is long beside the result, as far as is known. The machine plays no part, so that
/// sums have one order everywhere.
pub(super) fn suits(s: &Shape) -> bool {
    let result = match (s.batch.as_const(), s.m.as_const(), s.n.as_const()) {
        (Some(batch), Some(m), Some(n)) => batch.saturating_mul(m).saturating_mul(n),
        _ => return false,
    };
    let narrow = s.n.as_const().is_some_and(|n| n <= COLUMNS);
    let whole = s.dtype == s.sum_type() && !s.transpose_b;
    whole && narrow && (1..=RESULT).contains(&result) && s.k.upper() >= CHUNK * CHUNKS
}

/// A product of a long inner size; the right operand is not transposed, the result's sizes are constants and
/// the element type is that of the sums.
pub fn long(name: &str, s: &Shape, machine: &Machine) -> Schedule {
    let tile = tile_of(s, machine);
    let plan = Plan { tile, left_packed: false, packed: false, chunk: Some(CHUNK), piece: PIECE };
    let len = product(&[s.batch.clone(), s.k.ceil_div(CHUNK).max_of(&1.into()), s.m.clone(), s.n.clone()]);
    let parts = product_kernel(&format!("{name}_parts"), s, &plan);
    Schedule {
        temps: vec![Temp { name: "parts", dtype: s.dtype, len }],
        steps: vec![
            Step { kernel: parts, args: vec![Arg::Operand(0), Arg::Operand(1), Arg::Temp(0)] },
            Step { kernel: sum_kernel(name, s, tile.lanes), args: vec![Arg::Temp(0), Arg::Result(0)] },
        ],
    }
}

/// Adds up the chunks' results, `[batch, chunks, elements]` over the middle axis.
fn sum_kernel(name: &str, s: &Shape, lanes: u32) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let (batch, inner) = (k.size(&s.batch), k.size(&s.k));
    let elements = k.size(&s.m) * k.size(&s.n);
    let chunks = ceil_div(inner, CHUNK).max(1);
    let len = batch.clone() * chunks.clone() * elements.clone();
    let parts = k.buffer("parts", s.dtype, len, Space::In);
    let out = k.buffer("c", s.dtype, batch.clone() * elements.clone(), Space::Out);
    let width = i64::from(lanes) * VECTORS;
    let turns = ceil_div(elements.clone(), width).max(1);
    let sums = k.buffer("sums", s.dtype, width, Space::Register);
    let single = k.buffer("sum", s.dtype, 1, Space::Register);
    k.for_("t", batch * turns.clone(), Parallel(Split::Even), |k, t| {
        let matrix = t.clone().floor_div(turns.clone());
        let first = t.modulo(turns) * width;
        let part = |c: Index, e: Index| (matrix.clone() * chunks.clone() + c) * elements.clone() + e;
        let whole = (elements.clone() - first.clone()).floor_div(width).min(1) * width;
        k.for_step("e", first.clone(), first.clone() + whole.clone(), width, Serial, |k, e| {
            k.fill(sums, Literal::zero(s.dtype));
            k.for_("c", chunks.clone(), Serial, |k, c| {
                k.for_("l", width, Vector(lanes), |k, l| {
                    let value = load(parts, part(c.clone(), e.clone() + l.clone()));
                    k.accumulate(ReduceOp::Sum, sums, l, value);
                });
            });
            k.for_("l", width, Vector(lanes), |k, l| {
                let to = matrix.clone() * elements.clone() + e.clone() + l.clone();
                k.store(out, to, load(sums, l));
            });
        });
        let end = (first.clone() + width).min(elements.clone());
        k.for_step("e", first + whole, end, 1, Serial, |k, e| {
            k.fill(single, Literal::zero(s.dtype));
            k.for_("c", chunks.clone(), Serial, |k, c| {
                k.accumulate(ReduceOp::Sum, single, 0, load(parts, part(c, e.clone())));
            });
            k.store(out, matrix.clone() * elements.clone() + e, load(single, 0));
        });
    });
    builder.finish()
}
