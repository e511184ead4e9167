//! Large windows with few positions, as in gradients of filters: sums in vectors along the rows of the window.
//!
//! ```text
//! for block of images, tile of filters                           (parallel)
//!   for channel
//!     for image of the block, for position but for the last axis
//!       partial sums of filters x positions along the last axis, from memory
//!         for row of the window, for vector along it: filters times input
//!       partial sums, to memory
//!   partial sums added up by halves
//! ```
//! A sum is `CHAINS` chains, column `c` of the window in chain `c mod CHAINS`, over channels and rows in order.

use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Parallel, Serial, Unroll, Vector};
use latentc_ir::nest::build::{KernelBuilder, load, op2};
use latentc_ir::nest::{BufId, Expr, Index, Kernel, Space, Split};
use latentc_ir::scalar::{ReduceOp, ScalarOp};

use super::Plan;
use super::geometry::Geometry;
use crate::tile::{heights, row_tiles};

/// Chains of a sum.
const CHAINS: i64 = 16;
/// Sums that are kept in registers.
const SUMS: i64 = 24;
/// Positions along the last axis that are summed together, at most.
const TOGETHER: i64 = 4;
/// Positions at most.
const POSITIONS: i64 = 128;
/// Floats of partial sums that a unit keeps.
const PARTIAL: i64 = 16 << 10;

/// Whether the window is large, has few positions, and its rows lie side by side.
pub(super) fn suits(g: &Geometry) -> bool {
    let rows = g.axes.last().is_some_and(|a| a.kernel >= CHAINS && a.dilation == 1 && a.stride == 1);
    rows && g.positions() <= POSITIONS && g.taps() >= 2 * g.positions()
}

pub(super) fn kernel(name: &str, plan: &Plan) -> Kernel {
    let g = &plan.geometry;
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let images = k.size(plan.images);
    let (taps, positions) = (g.taps(), g.positions());
    let planes = images.clone() * (plan.groups * plan.channels);
    let b = Buffers {
        planes: k.buffer("planes", DType::F32, planes * g.channel(), Space::In),
        filters: k.buffer(
            "filters",
            DType::F32,
            plan.groups * plan.filters * plan.channels * taps,
            Space::In,
        ),
        y: k.buffer("y", DType::F32, images.clone() * (plan.groups * plan.filters * positions), Space::Out),
    };
    let Some((last, outer)) = g.axes.split_last() else { return builder.finish() };
    let rows: i64 = outer.iter().map(|a| a.out).product();
    // Positions of the last axis in equal parts, and as many filters as registers are left for.
    let parts = (last.out + TOGETHER - 1) / TOGETHER;
    let wide = (last.out + parts - 1) / parts;
    let tile = (SUMS / wide).min(plan.filters).max(1);
    let each = rows * last.out * tile * CHAINS;
    let block = (PARTIAL / each).max(1);
    let tiles = (plan.filters + tile - 1) / tile;
    let blocks = (images.clone() + (block - 1)).floor_div(block);
    let unit =
        Unit { b, plan, tile, partial: k.buffer("partial", DType::F32, block * each, Space::Stack), each };
    k.for_("unit", blocks * (plan.groups * tiles), Parallel(Split::Even), |k, at| {
        let (t, at) = (at.clone().modulo(tiles), at.floor_div(tiles));
        let (group, at) = (at.clone().modulo(plan.groups), at.floor_div(plan.groups));
        let first = at * block;
        let end = (first.clone() + block).min(images.clone());
        let lo = t * tile;
        let hi = (lo.clone() + tile).min(plan.filters);
        k.fill(unit.partial, Literal::zero(DType::F32));
        k.for_("channel", plan.channels, Serial, |k, channel| {
            k.for_step("image", first.clone(), end.clone(), 1, Serial, |k, image| {
                k.for_("row", rows, Serial, |k, row| {
                    k.for_("part", parts, Serial, |k, part| {
                        let from = part * wide;
                        row_tiles(
                            k,
                            lo.clone(),
                            hi.clone(),
                            &heights(tile, Some(plan.filters % tile)),
                            |k, i0, height| {
                                let at = Place {
                                    group: group.clone(),
                                    channel: channel.clone(),
                                    image: image.clone(),
                                    partial: (image.clone() - first.clone()) * each,
                                    filter: (i0, lo.clone()),
                                    row: row.clone(),
                                    from: from.clone(),
                                };
                                // Positions of the last part may be fewer: one by one.
                                match last.out % wide {
                                    0 => unit.sums(k, &at, height, wide),
                                    rest => {
                                        let whole = op2(
                                            ScalarOp::Le,
                                            Expr::from(from.clone() + wide),
                                            Expr::from(Index::Const(last.out)),
                                        );
                                        k.if_(
                                            whole,
                                            |k| unit.sums(k, &at, height, wide),
                                            |k| unit.sums(k, &at, height, rest),
                                        );
                                    }
                                }
                            },
                        );
                    });
                });
            });
        });
        k.for_step("image", first.clone(), end, 1, Serial, |k, image| {
            k.for_step("filter", lo.clone(), hi, 1, Serial, |k, filter| {
                k.for_("position", positions, Serial, |k, position| {
                    let sum = k.buffer("total", DType::F32, CHAINS, Space::Register);
                    let from = (image.clone() - first.clone()) * each
                        + ((filter.clone() - lo.clone()) * positions + position.clone()) * CHAINS;
                    k.for_("l", CHAINS, Vector(CHAINS as u32), |k, l| {
                        k.store(sum, l.clone(), load(unit.partial, from.clone() + l));
                    });
                    let to = (image.clone() * (plan.groups * plan.filters)
                        + group.clone() * plan.filters
                        + filter.clone())
                        * positions
                        + position;
                    k.store(unit.b.y, to, Expr::Lanes { op: ReduceOp::Sum, buf: sum });
                });
            });
        });
    });
    builder.finish()
}

struct Buffers {
    planes: BufId,
    filters: BufId,
    y: BufId,
}

struct Unit<'a> {
    b: Buffers,
    plan: &'a Plan<'a>,
    /// Filters of a tile.
    tile: i64,
    /// Chains of every image of the block, filter of the tile, position.
    partial: BufId,
    /// Floats of an image's.
    each: i64,
}

/// Where the writer stands.
struct Place {
    group: Index,
    channel: Index,
    image: Index,
    /// Where the image's partial sums begin.
    partial: Index,
    /// First filter of the tile at work, and of the unit's.
    filter: (Index, Index),
    /// Position but for the last axis, and along it.
    row: Index,
    from: Index,
}

impl Unit<'_> {
    /// Adds a channel to the sums of `height` filters and `wide` positions along the last axis.
    fn sums(&self, k: &mut KernelBuilder, at: &Place, height: i64, wide: i64) {
        let (plan, g) = (self.plan, &self.plan.geometry);
        let Some((last, outer)) = g.axes.split_last() else { return };
        debug_assert!(height <= self.tile && self.each > 0);
        let (taps, positions) = (g.taps(), g.positions());
        let sums =
            k.buffer(format!("sums_{height}x{wide}"), DType::F32, height * wide * CHAINS, Space::Register);
        let kept = |i: &Index, j: &Index, l: Index| {
            let filter = at.filter.0.clone() - at.filter.1.clone() + i.clone();
            let position = at.row.clone() * last.out + at.from.clone() + j.clone();
            at.partial.clone() + (filter * positions + position) * CHAINS + l
        };
        let chains = Vector(CHAINS as u32);
        let each = |k: &mut KernelBuilder, body: &dyn Fn(&mut KernelBuilder, &Index, &Index, Index)| {
            k.for_("i", height, Unroll, |k, i| {
                k.for_("j", wide, Unroll, |k, j| k.for_("l", CHAINS, chains, |k, l| body(k, &i, &j, l)));
            });
        };
        let sum = |i: &Index, j: &Index, l: Index| (i.clone() * wide + j.clone()) * CHAINS + l;
        each(k, &|k, i, j, l| k.store(sums, sum(i, j, l.clone()), load(self.partial, kept(i, j, l))));

        let channel =
            (at.image.clone() * plan.groups + at.group.clone()) * plan.channels + at.channel.clone();
        let filter = at.group.clone() * plan.filters + at.filter.0.clone();
        let weights = (filter * plan.channels + at.channel.clone()) * taps;
        // Rows of the window: those of all axes but the last.
        let rows = taps / last.kernel;
        k.for_("window", rows, Serial, |k, row| {
            let (mut tap, mut position) = (row.clone(), at.row.clone());
            let (mut phase, mut place) = ((Index::Const(0), 1), (Index::Const(0), last.plane));
            for a in outer.iter().rev() {
                let k = tap.clone().modulo(a.kernel) * a.dilation;
                let o = position.clone().modulo(a.out);
                (tap, position) = (tap.floor_div(a.kernel), position.floor_div(a.out));
                phase = (phase.0 + k.clone().modulo(a.stride) * phase.1, phase.1 * a.stride);
                place = (place.0 + (k.floor_div(a.stride) + o) * place.1, place.1 * a.plane);
            }
            let input = channel.clone() * g.channel() + phase.0 * g.plane() + place.0 + at.from.clone();
            let left = weights.clone() + row * last.kernel;
            let step = |k: &mut KernelBuilder, c: Index, lanes: i64| {
                each_of(k, height, wide, lanes, &|k, i, j, l| {
                    let filter = i.clone() * (plan.channels * taps);
                    let a = load(self.b.filters, left.clone() + filter + c.clone() + l.clone());
                    let x = load(self.b.planes, input.clone() + j.clone() + c.clone() + l.clone());
                    k.accumulate(ReduceOp::Sum, sums, sum(i, j, l), op2(ScalarOp::Mul, a, x));
                });
            };
            let whole = last.kernel / CHAINS * CHAINS;
            k.for_step("c", 0, whole, CHAINS, Serial, |k, c| step(k, c, CHAINS));
            if whole < last.kernel {
                step(k, whole.into(), last.kernel - whole);
            }
        });
        each(k, &|k, i, j, l| k.store(self.partial, kept(i, j, l.clone()), load(sums, sum(i, j, l))));
    }
}

/// Filters, positions and lanes, written out.
fn each_of(
    k: &mut KernelBuilder,
    height: i64,
    wide: i64,
    lanes: i64,
    body: &dyn Fn(&mut KernelBuilder, &Index, &Index, Index),
) {
    k.for_("i", height, Unroll, |k, i| {
        k.for_("j", wide, Unroll, |k, j| {
            k.for_("l", lanes, Vector(CHAINS as u32), |k, l| body(k, &i, &j, l));
        });
    });
}
