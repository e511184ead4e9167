//! Decisions about kernels, drawn at random from all that can be.

use crate::lower::schedule::{Divide, Form};
use crate::lower::{Schedule, Schedules};
use crate::philox::Stream;

/// Other decisions than the usual ones for all of these kernels.
pub fn random_schedules(usual: &[(String, Schedule)], seed: u64) -> Schedules {
    let mut random = Stream::new(seed, 0, 0);
    let mut draw = |n: u32| u64::from(random.below(n));
    let mut all = Schedules::default();
    for (name, usual) in usual {
        all.insert(name, other(usual, &mut draw));
    }
    all
}

fn other(usual: &Schedule, draw: &mut impl FnMut(u32) -> u64) -> Schedule {
    let mut s = *usual;
    s.lanes = usual.lanes.map(|_| if usual.form == Form::Library { 4 << draw(3) } else { 1 << draw(6) });
    s.tile = usual.tile.map(|_| 1 + draw(8));
    s.chunk = usual.chunk.map(|usual| {
        // The usual one makes at most 64 chunks of all rows; 64 times as many are allowed.
        let tile = s.tile.unwrap_or(1);
        tile * (1 + draw(20)).max(usual.div_ceil(64).div_ceil(tile))
    });
    s.panel = usual.panel.map(|_| 1 + draw(4));
    s.columns = usual.columns.map(|_| 1 + draw(16));
    s.prefetch = usual.prefetch.map(|_| draw(40));
    s.split = usual.split.map(|usual| match draw(3) {
        0 => Divide::Serial,
        1 => Divide::Even,
        _ => usual,
    });
    s
}
