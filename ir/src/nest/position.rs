//! What can be said of a position before a kernel runs: how it varies over the lanes of a vector loop, when
//! it is known, and between which numbers it lies.
//!
//! The first part follows what code generation does with positions, so that what the verifier calls the same
//! in every lane is so there too.

use super::{AxisKind, VarId};
use crate::dtype::DType;

/// How a position varies over the lanes of the vector loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lanes {
    /// The same in every lane.
    Same,
    /// This far from lane to lane.
    Stride(i64),
    /// Any.
    Any,
}

/// When a position is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    /// When unrolled loops are written out.
    Unrolled,
    /// When vector loops of constant bounds are written out too.
    Expanded,
    /// When the kernel runs.
    Running,
}

/// What is known of a position.
#[derive(Clone, Debug)]
pub(super) struct Position {
    /// Variation over lanes.
    pub lanes: Lanes,
    /// When it is known.
    pub known: Known,
    /// The least and the greatest value over all iterations.
    pub range: (i128, i128),
    /// Whether some iterations reach both ends of the range.
    pub reached: bool,
    /// A number that divides the part of lane 0 that is not `offset`; 0 where that part is 0.
    divisor: i64,
    /// The constant part.
    offset: i64,
    /// The loop variables in it.
    vars: Vec<VarId>,
}

pub(super) const ANY: (i128, i128) = (i64::MIN as i128, i64::MAX as i128);

impl Position {
    /// Nothing is known.
    pub const UNKNOWN: Position = Position {
        lanes: Lanes::Same,
        known: Known::Running,
        range: ANY,
        reached: false,
        divisor: 1,
        offset: 0,
        vars: vec![],
    };

    pub fn constant(c: i64) -> Position {
        let range = (i128::from(c), i128::from(c));
        Position { known: Known::Unrolled, range, reached: true, divisor: 0, offset: c, ..Position::UNKNOWN }
    }

    /// A dimension: at least 0, and reaching no end that could be named.
    pub fn dimension() -> Position {
        Position { range: (0, ANY.1), ..Position::UNKNOWN }
    }

    /// A loaded integer.
    pub fn value(dtype: DType, varies: bool) -> Position {
        let range = match dtype {
            DType::I64 | DType::U64 => ANY,
            d => d.int_range().unwrap_or(ANY),
        };
        let lanes = if varies { Lanes::Any } else { Lanes::Same };
        Position { lanes, range, ..Position::UNKNOWN }
    }

    /// The variable of a loop.
    pub fn variable(var: VarId, lo: &Position, hi: &Position, step: i64, kind: AxisKind) -> Position {
        let fixed = lo.as_const().zip(hi.as_const());
        let bounds_known = lo.known.max(hi.known) == Known::Unrolled;
        let last = match fixed {
            Some((lo, hi)) if lo < hi => {
                i128::from(lo) + i128::from(hi - 1 - lo) / i128::from(step) * i128::from(step)
            }
            _ => hi.range.1 - 1,
        };
        let (lanes, known, every) = match kind {
            AxisKind::Vector(n) => {
                let known = if bounds_known { Known::Expanded } else { Known::Running };
                (if n > 1 { Lanes::Stride(1) } else { Lanes::Same }, known, i64::from(n.max(1)))
            }
            AxisKind::Unroll => (Lanes::Same, Known::Unrolled, step),
            AxisKind::Serial | AxisKind::Parallel(_) => (Lanes::Same, Known::Running, step),
        };
        Position {
            lanes,
            known,
            range: (lo.range.0, last.max(lo.range.0)),
            reached: fixed.is_some_and(|(lo, hi)| lo < hi),
            divisor: gcd(lo.divides(), every).max(1),
            offset: 0,
            vars: vec![var],
        }
    }

    /// The constant that it is however loops are written out.
    pub fn as_const(&self) -> Option<i64> {
        (self.divisor == 0 && self.lanes == Lanes::Same).then_some(self.offset)
    }

    /// A number that divides it in lane 0; 0 for the constant 0.
    fn divides(&self) -> i64 {
        gcd(self.divisor, self.offset)
    }

    /// What holds for anything computed of two positions: when it is known, and whether its ends are reached
    /// if the operation grows with both.
    fn of(&self, other: &Position, range: (i128, i128)) -> Position {
        let shared = self.vars.iter().any(|v| other.vars.contains(v));
        let lanes =
            if self.lanes == Lanes::Same && other.lanes == Lanes::Same { Lanes::Same } else { Lanes::Any };
        Position {
            lanes,
            known: self.known.max(other.known),
            range,
            reached: self.reached && other.reached && !shared,
            divisor: 1,
            offset: 0,
            vars: self.vars.iter().chain(&other.vars).copied().collect(),
        }
    }

    pub fn add(&self, other: &Position) -> Position {
        let lanes = match (self.stride(), other.stride()) {
            (Some(a), Some(b)) => Lanes::of(a.wrapping_add(b)),
            _ => Lanes::Any,
        };
        let range = (self.range.0.saturating_add(other.range.0), self.range.1.saturating_add(other.range.1));
        Position {
            lanes,
            divisor: gcd(self.divisor, other.divisor),
            offset: self.offset.wrapping_add(other.offset),
            ..self.of(other, range)
        }
    }

    pub fn sub(&self, other: &Position) -> Position {
        self.add(&other.mul(&Position::constant(-1)))
    }

    pub fn mul(&self, other: &Position) -> Position {
        let c = [
            self.range.0.saturating_mul(other.range.0),
            self.range.0.saturating_mul(other.range.1),
            self.range.1.saturating_mul(other.range.0),
            self.range.1.saturating_mul(other.range.1),
        ];
        let range = (c.into_iter().min().unwrap_or(ANY.0), c.into_iter().max().unwrap_or(ANY.1));
        let product = self.of(other, range);
        let (x, c) = match (self.as_const(), other.as_const()) {
            (_, Some(c)) => (self, c),
            (Some(c), _) => (other, c),
            _ => {
                let divisor = self.divides().checked_mul(other.divides()).unwrap_or(1);
                return Position { divisor, ..product };
            }
        };
        Position {
            lanes: x.stride().map_or(Lanes::Any, |s| Lanes::of(s.wrapping_mul(c))),
            divisor: x.divisor.checked_mul(c.saturating_abs()).unwrap_or(1),
            offset: x.offset.wrapping_mul(c),
            ..product
        }
    }

    /// Quotient rounded down, or the remainder, in a loop of so many lanes.
    pub fn divide(&self, by: &Position, quotient: bool, lanes: u32) -> Position {
        let Some(d) = by.as_const().filter(|d| *d > 0) else {
            let range = if quotient { self.range } else { (0, by.range.1 - 1) };
            // A quotient by a positive number is nearer to zero.
            let range = if quotient { (range.0.min(0), range.1.max(0)) } else { range };
            return Position { reached: false, ..self.of(by, range) };
        };
        let (wide, known) = (i128::from(d), self.divides());
        let (lo, hi) = (self.range.0.div_euclid(wide), self.range.1.div_euclid(wide));
        let range = match (quotient, lo == hi) {
            (true, _) => (lo, hi),
            (false, true) => (self.range.0.rem_euclid(wide), self.range.1.rem_euclid(wide)),
            (false, false) => (0, wide - 1),
        };
        let reached = self.reached && (quotient || lo == hi);
        if let Some(c) = self.as_const() {
            let r = if quotient { c.div_euclid(d) } else { c.rem_euclid(d) };
            return Position::constant(r);
        }
        let result = Position { reached, ..self.of(by, range) };
        // Lane 0 is a multiple of `room`, and so is the divisor: lanes within it share a quotient.
        let room = gcd(known, d);
        let within = match self.lanes {
            Lanes::Same => true,
            Lanes::Stride(s) => {
                let span = s.saturating_mul(i64::from(lanes) - 1);
                span > 0 && span < room
            }
            Lanes::Any => false,
        };
        if quotient {
            let lanes = if within { Lanes::Same } else { Lanes::Any };
            let divisor = if known % d == 0 { known / d } else { 1 };
            Position { lanes, divisor: divisor.max(1), ..result }
        } else {
            let lanes = if within { self.lanes } else { Lanes::Any };
            Position { lanes, divisor: room.max(1), ..result }
        }
    }

    /// The greater or the lesser of two.
    pub fn bound(&self, other: &Position, greater: bool) -> Position {
        let pick = |a: i128, b: i128| if greater { a.max(b) } else { a.min(b) };
        if let (Some(a), Some(b)) = (self.as_const(), other.as_const()) {
            return Position::constant(if greater { a.max(b) } else { a.min(b) });
        }
        let range = (pick(self.range.0, other.range.0), pick(self.range.1, other.range.1));
        Position { divisor: gcd(self.divides(), other.divides()).max(1), ..self.of(other, range) }
    }

    fn stride(&self) -> Option<i64> {
        match self.lanes {
            Lanes::Same => Some(0),
            Lanes::Stride(s) => Some(s),
            Lanes::Any => None,
        }
    }
}

impl Lanes {
    fn of(stride: i64) -> Lanes {
        if stride == 0 { Lanes::Same } else { Lanes::Stride(stride) }
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(a).unwrap_or(1)
}
