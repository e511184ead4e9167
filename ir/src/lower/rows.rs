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
use super::schedule::{self, Divide, Rows};
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

/// Why loops over rows are no vectors themselves.
const ROWS_IN_TURN: &str = "a row has one of this; vectors run along rows";
const LEFT_ROWS: &str = "rows that fill no tile; a row has one of this, and vectors run along rows";
const IN_ORDER: &str = "partial sums of chunks are added in their order, on any number of threads";
const NO_WHOLE_VECTORS: &str = "the width of the sum is no whole number of vectors";

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

/// What a region does, before anything is decided about how.
pub(super) fn plan(job: &Job, rows: &Shape) -> Result<Plan, LowerError> {
    let members = members(job, rows.len())?;
    let after = |m: &Member| m.level + usize::from(matches!(m.role, Role::RowReduce | Role::Product));
    let levels = members.iter().map(after).max().unwrap_or(0) + 1;
    Ok(Plan { rows: rows.clone(), members, levels, tile: 1, sinks: vec![] })
}

impl Plan {
    /// What its schedule depends on.
    pub fn about(&self, job: &Job) -> Rows {
        let any = |roles: &[Role]| self.members.iter().any(|m| roles.contains(&m.role));
        let width = |m: &Member| m.width.as_ref().and_then(Dim::as_const).unwrap_or(64);
        Rows {
            products: self.members.iter().filter(|m| m.role == Role::Product).map(width).collect(),
            outer: any(&[Role::OuterProduct]),
            sums: any(&[Role::SumRows, Role::OuterProduct]),
            entries: any(&[Role::Edges]),
            prefix: job.region.nodes.iter().any(|n| matches!(job.graph.node(*n).op, Op::Spmm(_))),
            rows: product(&self.rows).upper(),
        }
    }
}

pub(super) fn lower(job: &Job, mut plan: Plan) -> Result<Lowered, LowerError> {
    let schedule = job.schedule;
    let mut cx = job.cx("");
    let about = plan.about(job);
    if let Some(what) = schedule::too_many_chunks(&about, &schedule) {
        return Err(cx.fault(what));
    }
    let tile = schedule.of(schedule.tile);
    let chunk = schedule.of(schedule.chunk);
    plan.tile = tile;
    let count = product(&plan.rows);
    let chunks = count.ceil_div(chunk);

    let mut lowered = Lowered::default();
    let end = cx.dim(&count);
    let split = split(&mut cx, job, chunk);
    stage::declare(&mut cx, &mut plan)?;
    if !about.sums && chunk == 1 {
        cx.loop_("r", (Index::Const(0), end), 1, split, |cx, r| {
            cx.k.why(&r, ROWS_IN_TURN);
            stage::tile(cx, &plan, r, 1)
        })?;
        lowered.calls.push(cx.finish());
        return Ok(lowered);
    }

    sinks(&mut cx, &mut plan, &mut lowered, &chunks)?;
    let turns = cx.dim(&chunks);
    cx.loop_("c", (Index::Const(0), turns), 1, split, |cx, c| {
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
        cx.serial("r", (lo, main.clone()), tile, ROWS_IN_TURN, |cx, r| stage::tile(cx, &plan, r, tile))?;
        if tile > 1 && !exact {
            cx.serial("r", (main, hi), 1, LEFT_ROWS, |cx, r| stage::tile(cx, &plan, r, 1))?;
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

/// By the rows' entries where that was decided.
fn split(cx: &mut Cx, job: &Job, chunk: i64) -> AxisKind {
    if cx.schedule.split != Some(Divide::Entries) {
        return cx.divide(Split::Even);
    }
    for n in &job.region.nodes {
        let node = job.graph.node(*n);
        let prefix = match &node.op {
            Op::Spmm(s) => {
                let part = if s.transpose { CsrPart::TwinIndptr } else { CsrPart::Indptr };
                cx.csr_part(node.operands[0], part)
            }
            _ => continue,
        };
        return cx.divide(Split::ByPrefix { prefix, rows_per_iteration: chunk as u32 });
    }
    cx.divide(Split::Even)
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
    let kind = cx.divide(Split::Even);
    cx.loop_("b", (Index::Const(0), Index::Const(s.len / wide)), 1, kind, |cx, b| {
        cx.k.fill(acc, s.op.identity(s.dtype));
        let vector = AxisKind::Vector(wide as u32);
        let base = b * wide;
        cx.serial("c", (Index::Const(0), turns), 1, IN_ORDER, |cx, c| {
            let from = c * s.len + base.clone();
            cx.loop_("l", (Index::Const(0), Index::Const(wide)), 1, vector, |cx, l| {
                if wide == 1 {
                    cx.k.why(&l, NO_WHOLE_VECTORS);
                }
                cx.k.accumulate(s.op, acc, l.clone(), load(temp, from + l));
                Ok(())
            })
        })?;
        cx.loop_("l", (Index::Const(0), Index::Const(wide)), 1, vector, |cx, l| {
            if wide == 1 {
                cx.k.why(&l, NO_WHOLE_VECTORS);
            }
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
