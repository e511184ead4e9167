//! Kernels that work row by row.
//!
//! ```text
//! for chunk (parallel)
//!     sums over rows = 0
//!     for tile of rows in the chunk          (one row where there is no product)
//!         for each run of levels
//!             for row of the tile: sparse sums, then level by level: kept values, reductions, outputs
//!             products of the tile with matrices
//!         outer products of the tile
//!     partial sums of the chunk -> temporary
//! ```
//! Sums over rows are finished by a kernel that adds the partial sums of the chunks in their order. The rows of a
//! chunk follow from the greatest sizes and the target alone, so results do not depend on the number of threads.

use super::cx::{Cx, Row};
use super::levels::{Member, Role, members};
use super::value::{as_type, sum_type};
use super::{Arg, Job, LowerError, Lowered, stage};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::Operand;
use crate::nest::build::load;
use crate::nest::{AxisKind, BufId, Index, Space, Split};
use crate::ops::Op;
use crate::plan::CsrPart;
use crate::scalar::ReduceOp;
use crate::types::{Shape, product};

/// Chunks that a sum over rows is divided into, at most.
const CHUNKS: i64 = 64;
/// Rows of such a chunk, at least.
const ROWS_A_CHUNK: i64 = 32;
/// Tiles of a chunk where nothing is summed over rows.
const TILES_A_CHUNK: i64 = 8;

/// A result of the whole kernel: a sum over rows.
pub(super) struct Sink {
    pub value: Operand,
    pub op: ReduceOp,
    /// The accumulator of the chunk.
    pub acc: BufId,
    /// Its number of elements.
    pub len: i64,
    /// The temporary of partial results, `[chunks, len]`.
    pub temp: usize,
    /// The type in which it is taken.
    pub dtype: DType,
    pub level: usize,
}

/// Everything that writing a tile needs.
pub(super) struct Plan {
    pub rows: Shape,
    pub members: Vec<Member>,
    pub levels: usize,
    /// Rows of a tile.
    pub tile: i64,
    pub sinks: Vec<Sink>,
}

pub(super) fn lower(job: &Job, rows: &Shape) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let members = members(job, rows.len())?;
    let after = |m: &Member| m.level + usize::from(matches!(m.role, Role::RowReduce | Role::Product));
    let levels = members.iter().map(after).max().unwrap_or(0) + 1;
    let tile = tile_rows(job, &members);
    let count = product(rows);
    let any_sum = members.iter().any(|m| matches!(m.role, Role::SumRows | Role::OuterProduct));

    // Rows of a chunk: a whole number of tiles, from the greatest number of rows there can be.
    let tiles = (count.upper().max(1) + tile - 1) / tile;
    let chunk = match any_sum {
        true => tile * ((tiles + CHUNKS - 1) / CHUNKS).max((ROWS_A_CHUNK + tile - 1) / tile),
        false if tile > 1 => tile * TILES_A_CHUNK.min(tiles),
        false => 1,
    };
    let chunks = count.ceil_div(chunk);

    let mut lowered = Lowered::default();
    let mut plan = Plan { rows: rows.clone(), members, levels, tile, sinks: vec![] };
    let end = cx.dim(&count);
    let split = split(&mut cx, job, chunk);
    stage::declare(&mut cx, &mut plan)?;
    if !any_sum && tile == 1 {
        cx.loop_("r", (Index::Const(0), end), 1, AxisKind::Parallel(split), |cx, r| {
            stage::tile(cx, &plan, r, 1)
        })?;
        lowered.calls.push(cx.finish());
        return Ok(lowered);
    }

    sinks(&mut cx, &mut plan, &mut lowered, &chunks)?;
    let turns = cx.dim(&chunks);
    cx.loop_("c", (Index::Const(0), turns), 1, AxisKind::Parallel(split), |cx, c| {
        for s in &plan.sinks {
            cx.k.fill(s.acc, s.op.identity(s.dtype));
        }
        let lo = c.clone() * chunk;
        let hi = (lo.clone() + chunk).min(end.clone());
        let exact = count.as_const().is_some_and(|n| n % tile == 0);
        let main = if tile == 1 || exact {
            hi.clone()
        } else {
            lo.clone() + (hi.clone() - lo.clone()).floor_div(tile) * tile
        };
        cx.loop_("r", (lo, main.clone()), tile, AxisKind::Serial, |cx, r| stage::tile(cx, &plan, r, tile))?;
        if tile > 1 && !exact {
            cx.loop_("r", (main, hi), 1, AxisKind::Serial, |cx, r| stage::tile(cx, &plan, r, 1))?;
        }
        for s in &plan.sinks {
            let temp = cx.temp(s.temp, s.dtype, &(&chunks * &s.len.into()), Space::Out);
            let wide = AxisKind::Vector(cx.target.lanes);
            let base = c.clone() * s.len;
            cx.loop_("j", (Index::Const(0), Index::Const(s.len)), 1, wide, |cx, j| {
                cx.k.store(temp, base + j.clone(), load(s.acc, j));
                Ok(())
            })?;
        }
        Ok(())
    })?;
    lowered.calls.push(cx.finish());
    for (i, s) in plan.sinks.iter().enumerate() {
        lowered.calls.push(combine(job, s, &chunks, i)?);
    }
    Ok(lowered)
}

/// Rows worked on together: as many as keep the accumulators of the widest product in registers.
fn tile_rows(job: &Job, members: &[Member]) -> i64 {
    let lanes = i64::from(job.target.lanes);
    let mut tile = 1;
    for m in members {
        match m.role {
            Role::Product => {
                let n = m.width.as_ref().and_then(Dim::as_const).unwrap_or(64).clamp(1, lanes * 4);
                let vectors = (n + lanes - 1) / lanes;
                let accumulators = i64::from(job.target.registers) * 3 / 4;
                tile = tile.max((accumulators / vectors).clamp(1, 8));
            }
            Role::OuterProduct => tile = tile.max(6),
            _ => {}
        }
    }
    tile
}

/// By entries where the kernel walks a sparse pattern, else evenly.
fn split(cx: &mut Cx, job: &Job, chunk: i64) -> Split {
    for n in &job.region.nodes {
        let node = job.graph.node(*n);
        let prefix = match &node.op {
            Op::Spmm(s) => {
                let part = if s.transpose { CsrPart::TwinIndptr } else { CsrPart::Indptr };
                cx.csr_part(node.operands[0], part)
            }
            _ => continue,
        };
        return Split::ByPrefix { prefix, rows_per_iteration: chunk as u32 };
    }
    Split::Even
}

/// Declares the accumulators and temporaries of the sums over rows.
fn sinks(cx: &mut Cx, plan: &mut Plan, lowered: &mut Lowered, chunks: &Dim) -> Result<(), LowerError> {
    for m in &plan.members {
        let op = match (&m.role, &cx.graph.node(m.value.node).op) {
            (Role::SumRows, Op::Reduce(r)) => r.op,
            (Role::OuterProduct, _) => ReduceOp::Sum,
            _ => continue,
        };
        let dtype = sum_type(cx.dtype(m.value));
        let len = product(&cx.graph.shape_of(m.value));
        let Some(len) = len.as_const() else {
            return Err(cx.fault("a sum over rows of run-time width"));
        };
        let temp = lowered.temps.len();
        lowered.temps.push((dtype, chunks * &len.into()));
        let acc = cx.k.buffer(format!("sum{temp}"), dtype, len, Space::Stack);
        plan.sinks.push(Sink { value: m.value, op, acc, len, temp, dtype, level: m.level });
    }
    Ok(())
}

/// The kernel that adds up the partial sums of the chunks, in their order.
fn combine(job: &Job, s: &Sink, chunks: &Dim, i: usize) -> Result<super::Call, LowerError> {
    let mut cx = job.cx(&format!("_sum{i}"));
    let lanes = i64::from(job.target.lanes);
    let wide = if s.len % lanes == 0 { lanes } else { 1 };
    let temp = cx.temp(s.temp, s.dtype, &(chunks * &s.len.into()), Space::In);
    let out = cx.buffer(s.value, Space::Out)?;
    let acc = cx.k.buffer("acc", s.dtype, wide, Space::Register);
    let turns = cx.dim(chunks);
    let kind = AxisKind::Parallel(Split::Even);
    cx.loop_("b", (Index::Const(0), Index::Const(s.len / wide)), 1, kind, |cx, b| {
        cx.k.fill(acc, s.op.identity(s.dtype));
        let vector = AxisKind::Vector(wide as u32);
        let base = b * wide;
        cx.loop_("c", (Index::Const(0), turns), 1, AxisKind::Serial, |cx, c| {
            let from = c * s.len + base.clone();
            cx.loop_("l", (Index::Const(0), Index::Const(wide)), 1, vector, |cx, l| {
                cx.k.accumulate(s.op, acc, l.clone(), load(temp, from + l));
                Ok(())
            })
        })?;
        cx.loop_("l", (Index::Const(0), Index::Const(wide)), 1, vector, |cx, l| {
            let e = as_type(load(acc, l.clone()), s.dtype, cx.dtype(s.value));
            cx.k.store(out, base + l, e);
            Ok(())
        })
    })?;
    let call = cx.finish();
    debug_assert!(call.args.contains(&Arg::Temp(s.temp)));
    Ok(call)
}

/// The row at a position, with its index along each axis of the rows.
pub(super) fn row_at(cx: &mut Cx, rows: &Shape, flat: Index, in_tile: Index) -> Row {
    let index = cx.delinear(rows, flat.clone());
    Row { index, flat, in_tile, shape: rows.to_vec() }
}
