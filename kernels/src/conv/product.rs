//! The sums themselves.

use latentc_ir::dtype::DType;
use latentc_ir::nest::AxisKind::{Parallel, Serial, Unroll, Vector};
use latentc_ir::nest::build::{KernelBuilder, load, op2};
use latentc_ir::nest::{BufId, Expr, Index, Kernel, Space, Split};
use latentc_ir::scalar::{ReduceOp, ScalarOp};

use super::geometry::Order;
use super::{POSITION_TILES, Plan};
use crate::tile::{Tile, clear, each_sum, heights, row_tiles};

/// Offsets of the window that are written out.
const WRITE_OUT: i64 = 32;

struct Buffers {
    planes: BufId,
    filters: BufId,
    y: BufId,
}

/// Where a unit of work stands.
struct Unit {
    image: Index,
    group: Index,
    /// First channel and end of the chunk, of the group.
    channels: (Index, Index),
    /// Whether the chunk is the first.
    first: Index,
}

pub(super) fn kernel(name: &str, plan: &Plan) -> Kernel {
    let g = &plan.geometry;
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let images = k.size(plan.images);
    let all = images.clone() * plan.groups;
    let positions = plan.positions();
    let b = Buffers {
        planes: k.buffer("planes", DType::F32, all.clone() * plan.channels * g.channel(), Space::In),
        filters: k.buffer(
            "filters",
            DType::F32,
            plan.groups * plan.filters * plan.channels * g.taps(),
            Space::In,
        ),
        y: k.buffer("y", DType::F32, all.clone() * plan.filters * positions, Space::InOut),
    };
    let cols = plan.tile.cols;
    let (tiles, rest) = (positions / cols, positions % cols);
    let (position_blocks, block) = plan.blocks();
    let filter_blocks = (plan.filters + block - 1) / block;
    let chunks = (plan.channels + plan.chunk - 1) / plan.chunk;
    let units = all * (position_blocks * filter_blocks);
    k.for_("unit", units, Parallel(Split::Even), |k, unit| {
        let (filter_block, unit) = (unit.clone().modulo(filter_blocks), unit.floor_div(filter_blocks));
        let (position_block, unit) = (unit.clone().modulo(position_blocks), unit.floor_div(position_blocks));
        let (group, image) = (unit.clone().modulo(plan.groups), unit.floor_div(plan.groups));
        k.for_("chunk", chunks, Serial, |k, chunk| {
            let from = chunk.clone() * plan.chunk;
            let end = match plan.channels % plan.chunk {
                0 => from.clone() + plan.chunk,
                _ => (from.clone() + plan.chunk).min(plan.channels),
            };
            let at = Unit { image, group, channels: (from, end), first: chunk };
            let lo = filter_block * block;
            let hi = (lo.clone() + block).min(plan.filters);
            row_tiles(
                k,
                lo,
                hi,
                &heights(plan.tile.rows, Some(plan.filters % plan.tile.rows)),
                |k, i0, height| {
                    let lo = position_block.clone() * POSITION_TILES;
                    let hi = (lo.clone() + POSITION_TILES).min(tiles);
                    k.for_step("tile", lo, hi, 1, Serial, |k, t| {
                        tile(k, plan, &b, &at, plan.tile.with_rows(height), &i0, t * cols);
                    });
                    if rest > 0 {
                        let last = op2(
                            ScalarOp::Eq,
                            Expr::from(position_block.clone()),
                            Expr::from(Index::Const(position_blocks - 1)),
                        );
                        let narrow = Tile { cols: rest, ..plan.tile.with_rows(height) };
                        k.if_(
                            last,
                            |k| tile(k, plan, &b, &at, narrow, &i0, Index::Const(tiles * cols)),
                            |_| {},
                        );
                    }
                },
            );
        });
    });
    builder.finish()
}

/// The sums of a tile of filters from `i0` and positions from `p0` over a chunk of channels.
fn tile(k: &mut KernelBuilder, plan: &Plan, b: &Buffers, at: &Unit, tile: Tile, i0: &Index, p0: Index) {
    let g = &plan.geometry;
    let (taps, positions) = (g.taps(), plan.positions());
    let filter = at.group.clone() * plan.filters + i0.clone();
    let y = (at.image.clone() * (plan.groups * plan.filters) + filter.clone()) * positions + p0.clone();
    let y_at = |i: Index, j: Index| y.clone() + i * positions + j;
    let sums = tile.sums(k, DType::F32);
    let first = op2(ScalarOp::Eq, Expr::from(at.first.clone()), Expr::from(Index::Const(0)));
    if plan.chunk < plan.channels {
        k.if_(
            first,
            |k| clear(k, tile, sums),
            |k| each_sum(k, tile, |k, i, j, s| k.store(sums, s, load(b.y, y_at(i, j)))),
        );
    } else {
        clear(k, tile, sums);
    }
    let from = start(plan, p0);
    let column = |j: Index| match plan.order {
        Order::Plane => j,
        Order::Output => {
            let (last, pitch) = g.axes.last().map_or((1, 1), |a| (a.out, a.plane));
            if tile.cols <= last { j } else { j.clone().floor_div(last) * pitch + j.modulo(last) }
        }
    };
    let right =
        k.buffer(format!("right_{}x{}", tile.rows, tile.cols), DType::F32, tile.cols, Space::Register);
    let channel = (at.image.clone() * plan.groups + at.group.clone()) * plan.channels;
    let (lo, hi) = at.channels.clone();
    k.for_step("c", lo, hi, 1, Serial, |k, c| {
        let plane = (channel.clone() + c.clone()) * g.channel() + from.clone();
        let weights = (filter.clone() * plan.channels + c) * taps;
        let step = |k: &mut KernelBuilder, tap: Index, shift: Index| {
            k.for_("j", tile.cols, Vector(tile.lanes), |k, j| {
                let value = load(b.planes, plane.clone() + shift.clone() + column(j.clone()));
                k.store(right, j, value);
            });
            k.for_("i", tile.rows, Unroll, |k, i| {
                let left =
                    load(b.filters, weights.clone() + i.clone() * (plan.channels * taps) + tap.clone());
                let left = k.let_(DType::F32, left);
                k.for_("j", tile.cols, Vector(tile.lanes), |k, j| {
                    let product = op2(ScalarOp::Mul, left.into(), load(right, j.clone()));
                    k.accumulate(ReduceOp::Sum, sums, i.clone() * tile.cols + j, product);
                });
            });
        };
        if taps <= WRITE_OUT {
            for tap in 0..taps {
                step(k, tap.into(), g.tap(tap).into());
            }
        } else {
            k.for_("tap", taps, Serial, |k, tap| {
                let shift = shift(plan, tap.clone());
                step(k, tap, shift);
            });
        }
    });
    each_sum(k, tile, |k, i, j, s| k.store(b.y, y_at(i, j), load(sums, s)));
}

/// Where a position stands in a plane.
fn start(plan: &Plan, position: Index) -> Index {
    if plan.order == Order::Plane {
        return position;
    }
    let (mut rest, mut at, mut weight) = (position, Index::Const(0), 1);
    for a in plan.geometry.axes.iter().rev() {
        at = at + rest.clone().modulo(a.out) * weight;
        (rest, weight) = (rest.floor_div(a.out), weight * a.plane);
    }
    at
}

/// [`Geometry::tap`](super::Geometry::tap) of an offset that a loop gives.
fn shift(plan: &Plan, offset: Index) -> Index {
    let g = &plan.geometry;
    let (mut rest, mut phase, mut at) = (offset, (Index::Const(0), 1), (Index::Const(0), 1));
    for a in g.axes.iter().rev() {
        let k = rest.clone().modulo(a.kernel) * a.dilation;
        rest = rest.floor_div(a.kernel);
        phase = (phase.0 + k.clone().modulo(a.stride) * phase.1, phase.1 * a.stride);
        at = (at.0 + k.floor_div(a.stride) * at.1, at.1 * a.plane);
    }
    phase.0 * g.plane() + at.0
}
