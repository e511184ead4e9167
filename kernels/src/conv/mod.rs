//! `conv`: sums over channels and offsets of a window, without a matrix of windows.
//!
//! ```text
//! copy the input with its zeros into planes                      (step 1, where it does not stand so)
//! for image, group, block of positions, block of filters         (step 2, parallel)
//!   for chunk of channels                                        (a sum each, added up in order)
//!     for tile of filters, for tile of positions: sums in registers
//!       for channel, for offset of the window
//!         filters broadcast, positions as vectors
//! leave out what lies between the rows of the output             (step 3, where the order is that of a plane)
//! ```
//! Where the window is as large as an image and has few positions, as in the gradient of filters, `correlate` sums along
//! the rows of the window instead.
//!
//! The inner loop is that of a matrix product whose right operand is the input itself: an offset of the window is
//! an offset in memory.

mod correlate;
mod geometry;
mod planes;
mod product;

use geometry::{Geometry, Order};
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::nest::Kernel;
use latentc_ir::ops::conv::Conv;
use latentc_ir::types::Type;

use crate::tile::Tile;
use crate::{Arg, Machine, Schedule, Step, Temp};

/// Offsets of a window beyond which a matrix of windows is as well.
const MOST_TAPS: i64 = 128;
/// Products that one sum in registers runs over, about.
const PIECE: i64 = 384;
/// Tiles of positions that share a piece of the filters while it is in the first cache.
const POSITION_TILES: i64 = 4;
/// Tiles of filters in a block, where blocks of positions are too few for threads to share.
const FILTER_TILES: i64 = 16;
/// Units of work that are enough.
const UNITS: i64 = 16;

/// The sizes and choices of one schedule.
struct Plan<'a> {
    images: &'a Dim,
    groups: i64,
    /// Filters and channels of a group.
    filters: i64,
    channels: i64,
    geometry: Geometry,
    order: Order,
    tile: Tile,
    /// Channels of a chunk.
    chunk: i64,
}

impl Plan<'_> {
    /// Blocks of positions, and filters of a block.
    fn blocks(&self) -> (i64, i64) {
        let tiles = (self.positions() / self.tile.cols).max(1);
        let positions = (tiles + POSITION_TILES - 1) / POSITION_TILES;
        let enough = positions * self.groups * self.images.lower().max(1) >= UNITS;
        (positions, if enough { self.filters } else { FILTER_TILES * self.tile.rows })
    }

    /// Positions that the kernel computes for an image and filter.
    fn positions(&self) -> i64 {
        match self.order {
            Order::Plane => self.geometry.span(),
            Order::Output => self.geometry.positions(),
        }
    }
}

/// A convolution of f32 of known sizes; `None` for others.
pub fn conv(name: &str, op: &Conv, operands: &[Type], machine: &Machine) -> Option<Schedule> {
    let [Type::Tensor(x), Type::Tensor(w)] = operands else { return None };
    if x.dtype != DType::F32 {
        return None;
    }
    let known = |dims: &[Dim]| dims.iter().map(Dim::as_const).collect::<Option<Vec<i64>>>();
    let (sizes, w) = (known(&x.shape[2..])?, known(&w.shape)?);
    let out = known(&op.window.positions("conv", &x.shape[2..]).ok()?)?;
    let geometry = Geometry::new(&op.window, &sizes, &out)?;
    let (filters, channels) = (w[0] / op.groups, w[1]);
    if filters == 0 || channels == 0 {
        return None;
    }
    let (order, tile) = shape(&geometry, filters, machine);
    let plan = Plan {
        images: &x.shape[0],
        groups: op.groups,
        filters,
        channels,
        chunk: balanced(channels, (PIECE / geometry.taps()).max(1)),
        geometry,
        order,
        tile,
    };
    match () {
        () if correlate::suits(&plan.geometry) => {
            Some(schedule(name, &plan, Order::Output, correlate::kernel))
        }
        () if plan.geometry.taps() <= MOST_TAPS => Some(schedule(name, &plan, plan.order, product::kernel)),
        () => None,
    }
}

/// Parts of about equal size, of `most` at most, that cover a number.
fn balanced(all: i64, most: i64) -> i64 {
    let parts = (all + most - 1) / most;
    (all + parts - 1) / parts
}

/// The order of positions and the tile: as many vectors a row of the output as fill a tile, or a plane as it is.
fn shape(g: &Geometry, filters: i64, machine: &Machine) -> (Order, Tile) {
    let (lanes, last) = (i64::from(machine.lanes), g.axes.last().map_or(1, |a| a.out));
    let before = g.axes.iter().rev().nth(1).map_or(1, |a| a.out);
    let tile = |vectors: i64| {
        let tile = machine.tile(vectors as u32, DType::F32);
        tile.with_rows(tile.rows.min(filters))
    };
    // With few filters, more vectors keep as many sums at work.
    let usual = [8, 4, 3, 2, 1].into_iter().find(|v| tile(*v).rows < filters || *v <= 4).unwrap_or(1);
    let fits = |vectors: &i64| {
        let cols = vectors * lanes;
        last % lanes == 0 && (last % cols == 0 || (cols % last == 0 && before % (cols / last) == 0))
    };
    if g.is_dense() {
        return (Order::Plane, tile(usual));
    }
    match [8, 4, 3, 2, 1].into_iter().filter(|v| *v <= usual).find(fits) {
        Some(vectors) => (Order::Output, tile(vectors)),
        None => (Order::Plane, tile(usual)),
    }
}

fn schedule(name: &str, plan: &Plan, order: Order, kernel: fn(&str, &Plan) -> Kernel) -> Schedule {
    let g = &plan.geometry;
    let (mut temps, mut steps) = (vec![], vec![]);
    let channels = plan.images * &(plan.groups * plan.channels).into();
    let planes = match g.in_place() {
        true => Arg::Operand(0),
        false => {
            let len = &channels * &g.channel().into();
            temps.push(Temp { name: "planes", dtype: DType::F32, len });
            let kernel = planes::spread(&format!("{name}_planes"), plan);
            steps.push(Step { kernel, args: vec![Arg::Operand(0), Arg::Temp(0)] });
            Arg::Temp(0)
        }
    };
    let aside = order == Order::Plane && !g.is_dense();
    let to = if aside { Arg::Temp(temps.len()) } else { Arg::Result(0) };
    let kernel = kernel(name, plan);
    steps.push(Step { kernel, args: vec![planes, Arg::Operand(1), to] });
    if aside {
        let filters = plan.images * &(plan.groups * plan.filters).into();
        temps.push(Temp { name: "positions", dtype: DType::F32, len: &filters * &plan.positions().into() });
        let kernel = planes::gather(&format!("{name}_positions"), plan);
        steps.push(Step { kernel, args: vec![to, Arg::Result(0)] });
    }
    Schedule { temps, steps }
}
