//! Copies into planes and out of them.

use latentc_ir::dtype::DType;
use latentc_ir::nest::AxisKind::{Parallel, Serial, Vector};
use latentc_ir::nest::build::{KernelBuilder, f32c, load, op2};
use latentc_ir::nest::{BufId, Expr, Index, Kernel, Space, Split};
use latentc_ir::scalar::ScalarOp;

use super::Plan;
use super::geometry::Axis;

/// The input in planes, with zeros around it.
pub(super) fn spread(name: &str, plan: &Plan) -> Kernel {
    let g = &plan.geometry;
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let channels = k.size(plan.images) * (plan.groups * plan.channels);
    let size: i64 = g.axes.iter().map(|a| a.size).product();
    let x = k.buffer("x", DType::F32, channels.clone() * size, Space::In);
    let planes = k.buffer("planes", DType::F32, channels.clone() * g.channel(), Space::Out);
    let Some((last, outer)) = g.axes.split_last() else { return builder.finish() };
    k.for_("channel", channels, Parallel(Split::Even), |k, channel| {
        k.for_("phase", g.phases(), Serial, |k, phase| {
            let rows: i64 = outer.iter().map(|a| a.plane).product();
            k.for_("row", rows, Serial, |k, row| {
                // Where the row comes from, axis by axis; the last axis has the least weight of the phase.
                let (mut part, mut at) = (phase.clone().floor_div(last.stride), row.clone());
                let mut from = vec![];
                for a in outer.iter().rev() {
                    from.push(source(a, at.clone().modulo(a.plane), part.clone().modulo(a.stride)));
                    (part, at) = (part.floor_div(a.stride), at.floor_div(a.plane));
                }
                from.reverse();
                let phase_last = phase.clone().modulo(last.stride);
                let to = (channel.clone() * g.phases() + phase.clone()) * g.plane() + row * last.plane;
                let inside = outer.iter().zip(&from).map(|(a, at)| {
                    let nearest = at.clone().max(0).min(a.size - 1);
                    op2(ScalarOp::Eq, Expr::from(nearest), Expr::from(at.clone()))
                });
                let inside = inside.reduce(|a, b| op2(ScalarOp::And, a, b));
                let start =
                    outer.iter().zip(&from).fold(channel.clone(), |sum, (a, at)| sum * a.size + at.clone());
                let copy = |k: &mut KernelBuilder| {
                    row_of(k, plan, last, &phase_last, start.clone() * last.size, x, planes, &to)
                };
                match inside {
                    None => copy(k),
                    Some(inside) => k.if_(inside, copy, |k| {
                        k.for_("c", last.plane, Vector(plan.tile.lanes), |k, c| {
                            k.store(planes, to.clone() + c, f32c(0.0))
                        });
                    }),
                }
            });
        });
    });
    builder.finish()
}

/// The element of the input that stands at a place of a phase; it may be outside.
fn source(a: &Axis, at: Index, phase: Index) -> Index {
    at * a.stride + phase - a.before
}

/// A row along the last axis.
#[allow(clippy::too_many_arguments)]
fn row_of(
    k: &mut KernelBuilder,
    plan: &Plan,
    a: &Axis,
    phase: &Index,
    from: Index,
    x: BufId,
    planes: BufId,
    to: &Index,
) {
    // Places whose element is inside: lo..hi.
    let up = |n: Index| (n + (a.stride - 1)).floor_div(a.stride);
    let lo = up((Index::Const(a.before) - phase.clone()).max(0)).min(a.plane);
    let hi = up((Index::Const(a.before + a.size) - phase.clone()).max(0)).min(a.plane).max(lo.clone());
    let zero = |k: &mut KernelBuilder, lo: Index, hi: Index| {
        k.for_step("c", lo, hi, 1, Serial, |k, c| k.store(planes, to.clone() + c, f32c(0.0)));
    };
    zero(k, 0.into(), lo.clone());
    k.for_step("c", lo, hi.clone(), 1, Vector(plan.tile.lanes), |k, c| {
        let at = source(a, c.clone(), phase.clone());
        k.store(planes, to.clone() + c, load(x, from.clone() + at));
    });
    zero(k, hi, a.plane.into());
}

/// The positions of the output out of those along a plane.
pub(super) fn gather(name: &str, plan: &Plan) -> Kernel {
    let g = &plan.geometry;
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let filters = k.size(plan.images) * (plan.groups * plan.filters);
    let positions = k.buffer("positions", DType::F32, filters.clone() * plan.positions(), Space::In);
    let y = k.buffer("y", DType::F32, filters.clone() * g.positions(), Space::Out);
    let Some((last, outer)) = g.axes.split_last() else { return builder.finish() };
    let rows: i64 = outer.iter().map(|a| a.out).product();
    k.for_("filter", filters, Parallel(Split::Even), |k, filter| {
        k.for_("row", rows, Serial, |k, row| {
            let (mut at, mut from, mut weight) = (row.clone(), Index::Const(0), last.plane);
            for a in outer.iter().rev() {
                from = from + at.clone().modulo(a.out) * weight;
                (at, weight) = (at.floor_div(a.out), weight * a.plane);
            }
            let from = filter.clone() * plan.positions() + from;
            let to = (filter.clone() * rows + row) * last.out;
            k.for_("c", last.out, Vector(plan.tile.lanes), |k, c| {
                k.store(y, to.clone() + c.clone(), load(positions, from.clone() + c));
            });
        });
    });
    builder.finish()
}
