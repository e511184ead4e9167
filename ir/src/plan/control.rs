//! Launches that run several times, or only sometimes: ranges of the list of launches, and the walk over it.

use super::{Place, Program};
use crate::dim::Dim;
use crate::plan::OpAt;

/// A range of launches with the condition under which they run.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// The first launch of the range.
    pub first: usize,
    /// The launch after its last.
    pub end: usize,
    /// When they run.
    pub kind: ControlKind,
    /// The op that it is of.
    pub at: OpAt,
}

/// When the launches of a range run.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlKind {
    /// All of them, so many times.
    Loop {
        /// How often.
        trips: Dim,
    },
    /// Those before `body`; then, where they have left `true`, the others; and again.
    While {
        /// How often at most.
        limit: Dim,
        /// The first launch of the others.
        body: usize,
        /// Position in `buffers` of the truth value.
        going: usize,
    },
    /// Those before `otherwise`, or the others.
    Branch {
        /// Position in `buffers` of the truth value that chooses the first ones.
        on: usize,
        /// The first launch of the others.
        otherwise: usize,
    },
}

/// Who runs the launches of a program.
pub trait Runner {
    /// What can end the run.
    type Error;
    /// Runs a launch.
    fn launch(&mut self, launch: usize) -> Result<(), Self::Error>;
    /// A turn of a loop begins: what lies at its position lies elsewhere from now on. Turns count from 0.
    fn turn(&mut self, control: usize, turn: usize) -> Result<(), Self::Error>;
    /// The number of turns of a loop, at most.
    fn turns(&mut self, control: usize) -> usize;
    /// A truth value in memory.
    fn holds(&mut self, buffer: usize) -> Result<bool, Self::Error>;
}

/// Runs so many launches in order, loops and branches as their conditions say. A range comes after the one that it
/// lies in.
pub fn walk<R: Runner>(controls: &[Control], launches: usize, runner: &mut R) -> Result<(), R::Error> {
    range(controls, 0, 0..launches, runner)
}

fn range<R: Runner>(
    controls: &[Control],
    mut next: usize,
    launches: std::ops::Range<usize>,
    runner: &mut R,
) -> Result<(), R::Error> {
    let mut at = launches.start;
    while at < launches.end {
        while controls.get(next).is_some_and(|c| c.first < at) {
            next += 1;
        }
        let Some(c) = controls.get(next).filter(|c| c.first == at && c.end <= launches.end && at < c.end)
        else {
            runner.launch(at)?;
            at += 1;
            continue;
        };
        match c.kind {
            ControlKind::Loop { .. } => {
                for turn in 0..runner.turns(next) {
                    runner.turn(next, turn)?;
                    range(controls, next + 1, c.first..c.end, runner)?;
                }
            }
            ControlKind::While { body, going, .. } => {
                for turn in 0..runner.turns(next) {
                    runner.turn(next, turn)?;
                    range(controls, next + 1, c.first..body, runner)?;
                    if !runner.holds(going)? {
                        break;
                    }
                    range(controls, next + 1, body..c.end, runner)?;
                }
            }
            ControlKind::Branch { on, otherwise } => {
                let taken = if runner.holds(on)? { c.first..otherwise } else { otherwise..c.end };
                range(controls, next + 1, taken, runner)?;
            }
        }
        at = c.end;
    }
    Ok(())
}

impl Control {
    /// How often its launches run, at most.
    pub fn most(&self) -> i64 {
        match &self.kind {
            ControlKind::Loop { trips } => trips.upper(),
            ControlKind::While { limit, .. } => limit.upper(),
            ControlKind::Branch { .. } => 1,
        }
    }

    /// The buffer that it reads itself.
    pub fn reads(&self) -> Option<usize> {
        match &self.kind {
            ControlKind::Loop { .. } => None,
            ControlKind::While { going, .. } => Some(*going),
            ControlKind::Branch { on, .. } => Some(*on),
        }
    }
}

impl Program {
    /// The buffer that a buffer is a part of, at one position of a loop's range; itself where it is none.
    pub fn whole(&self, buffer: usize) -> usize {
        let mut at = buffer;
        // Parts of parts are as deep as loops at most.
        for _ in 0..=self.controls.len() {
            match self.buffers.get(at).map(|b| &b.place) {
                Some(Place::Step { of, .. }) => at = *of,
                _ => break,
            }
        }
        at
    }

    /// The first and the last launch that needs each buffer, itself or a part of it. What a loop needs it needs as long
    /// as it runs.
    pub fn lives(&self) -> Vec<Option<(usize, usize)>> {
        let mut lives: Vec<Option<(usize, usize)>> = vec![None; self.buffers.len()];
        let mut note = |buffer: usize, from: usize, to: usize| {
            let whole = self.whole(buffer);
            for at in if whole == buffer { vec![buffer] } else { vec![buffer, whole] } {
                if let Some(life) = lives.get_mut(at) {
                    *life = Some(life.map_or((from, to), |(a, b)| (a.min(from), b.max(to))));
                }
            }
        };
        for (n, launch) in self.launches.iter().enumerate() {
            let around = self.controls.iter().find(|c| (c.first..c.end).contains(&n));
            let (from, to) = around.map_or((n, n), |c| (c.first, c.end - 1));
            launch.buffers.iter().for_each(|b| note(*b, from, to));
        }
        for c in &self.controls {
            let around = self.controls.iter().find(|o| (o.first..o.end).contains(&c.first)).unwrap_or(c);
            c.reads().into_iter().for_each(|b| note(b, around.first, around.end - 1));
        }
        lives
    }

    /// How often a launch runs, at most.
    pub fn times(&self, launch: usize) -> u64 {
        let around = self.controls.iter().filter(|c| (c.first..c.end).contains(&launch));
        around.fold(1u64, |n, c| n.saturating_mul(u64::try_from(c.most()).unwrap_or(0)))
    }
}
