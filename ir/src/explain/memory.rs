//! Memory over a run.

use super::{Lived, Timeline, number};
use crate::graph::NodeId;
use crate::passes::Lowered;
use crate::plan::Place;
use crate::types::{product, shape_text};
use rustc_hash::FxHashMap;

pub(super) fn timeline(lowered: &Lowered) -> Timeline {
    let program = &lowered.program;
    let order = lowered.graph.topological();
    let at: FxHashMap<NodeId, usize> = order.iter().enumerate().map(|(i, n)| (*n, i)).collect();
    let lives = program.lives();
    let mut buffers = vec![];
    for (i, b) in program.buffers.iter().enumerate() {
        let Some((from, to)) = lives[i] else { continue };
        let kind = match &b.place {
            // A part of another buffer takes no room of its own.
            Place::Step { .. } => continue,
            Place::Input(p) => program.inputs.get(*p).map_or("data", |p| p.kind.name()),
            Place::Csr { .. } => "pattern",
            Place::Output(_) => "output",
            Place::Arena { .. } => "temporary",
        };
        buffers.push(Lived {
            name: b.name.clone(),
            kind: kind.to_owned(),
            ty: format!("{}{}", b.dtype, shape_text(&b.shape)),
            bytes: number(&product(&b.shape)).saturating_mul(b.dtype.size() as u64),
            offset: match b.place {
                Place::Arena { offset } => Some(offset as u64),
                _ => None,
            },
            from,
            to,
            node: lowered.origin.values.get(i).copied().flatten().map(|o| at[&o.node]),
        });
    }
    let alive: Vec<u64> = (0..program.launches.len())
        .map(|l| {
            buffers
                .iter()
                .filter(|b| b.offset.is_some() && (b.from..=b.to).contains(&l))
                .map(|b| b.bytes)
                .sum()
        })
        .collect();
    let mut kinds: Vec<(String, u64)> = vec![];
    for b in buffers.iter().filter(|b| b.offset.is_none()) {
        match kinds.iter_mut().find(|(kind, _)| *kind == b.kind) {
            Some((_, bytes)) => *bytes += b.bytes,
            None => kinds.push((b.kind.clone(), b.bytes)),
        }
    }
    Timeline {
        arena: program.arena_bytes as u64,
        most_alive: alive.iter().copied().max().unwrap_or(0),
        alive,
        buffers,
        kinds,
    }
}
