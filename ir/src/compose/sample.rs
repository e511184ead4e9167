//! `grid_sample`: values of an image at places that a tensor gives.

use super::Composed;
use crate::dim::Proof;
use crate::dtype::DType;
use crate::graph::{Graph, Operand};
use crate::ops::index::Index;
use crate::ops::slice::Slice;
use crate::scalar::ScalarOp;
use crate::types::{Shape, shape_text};

/// How a place between elements gets its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// The nearest element, halves to even.
    Nearest,
    /// The neighbours, by distance along each axis.
    Linear,
    /// Four neighbours along each axis, by the cubic kernel with coefficient -0.75.
    Cubic,
}

/// What stands beyond the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// 0.
    Zeros,
    /// The nearest element.
    Border,
    /// The elements mirrored at the ends: at the middle of the outermost ones (`align_corners`), else at their edges.
    Reflection,
}

impl Graph {
    /// Values of `x [n, c, s..]` at `grid [n, o.., k]`, for `k` axes `s`: `[n, c, o..]`. Places are given from the last
    /// axis to the first, -1 to 1 from one end to the other: from the middle of the first element to that of the last
    /// (`align_corners`), else from edge to edge.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn grid_sample(
        &mut self,
        x: Operand,
        grid: Operand,
        mode: Sampling,
        beyond: Beyond,
        align_corners: bool,
    ) -> Composed {
        let (ty, at) = (self.dense("grid_sample", x)?, self.dense("grid_sample", grid)?);
        let k = ty.rank().saturating_sub(2);
        let fits = k > 0
            && at.rank() > 1
            && ty.dtype.is_real()
            && at.dtype.is_real()
            && at.shape[at.rank() - 1].as_const() == Some(k as i64)
            && at.shape[0].eq_proof(&ty.shape[0]) == Proof::True;
        if !fits {
            return Err(format!(
                "`grid_sample` takes floats [n, c, s..] and places [n, o.., k] for k axes s, {} and {} found",
                shape_text(&ty.shape),
                shape_text(&at.shape)
            ));
        }
        let shape: Shape = at.shape[..at.rank() - 1].iter().cloned().collect();
        let mut axes = vec![];
        for axis in 0..k {
            let j = (k - 1 - axis) as i64;
            let part = Slice { axis: at.rank() - 1, start: j.into(), end: (j + 1).into(), step: 1 };
            let part = self.try_emit(part, &[grid])?;
            let place = self.reshape(part, shape.clone());
            axes.push(self.taps(place, &ty.shape[2 + axis], mode, beyond, align_corners));
        }
        // Channels last, so that one position reads all of them.
        let order = std::iter::once(0).chain(2..ty.rank()).chain([1]).collect();
        let image = self.permute(x, order);
        let n = self.iota(shape.clone(), 0, DType::I32);
        let mut sum: Option<Operand> = None;
        let taps = axes.first().map_or(0, Vec::len);
        for choice in 0..taps.pow(k as u32) {
            let (mut rest, mut operands, mut weight) = (choice, vec![image, n], None);
            for axis in &axes {
                let tap = &axis[rest % taps];
                rest /= taps;
                operands.push(tap.at);
                weight = Some(match weight {
                    None => tap.weight,
                    Some(others) => self.map(ScalarOp::Mul, &[others, tap.weight]),
                });
            }
            let Some(weight) = weight else { continue };
            let value = self.try_emit(Index, &operands)?;
            let whole = self.shape_of(value);
            let weight = self.cast(weight, ty.dtype);
            let weight = self.broadcast(weight, whole, (0..shape.len()).collect());
            let part = self.map(ScalarOp::Mul, &[value, weight]);
            sum = Some(match sum {
                None => part,
                Some(so_far) => self.map(ScalarOp::Add, &[so_far, part]),
            });
        }
        let Some(y) = sum else { return Err("`grid_sample` without axes".to_owned()) };
        let rank = shape.len() + 1;
        let order = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        Ok(self.permute(y, order))
    }

    /// The neighbours of places along one axis, with their weights.
    fn taps(
        &mut self,
        place: Operand,
        size: &crate::dim::Dim,
        mode: Sampling,
        beyond: Beyond,
        align_corners: bool,
    ) -> Vec<Tap> {
        // Places of narrow floats are computed in f32.
        let place = self.widened(place);
        let (dtype, shape) = (self.dtype_of(place), self.shape_of(place));
        let n = self.size_as(size, dtype, shape.clone());
        let last = self.by(ScalarOp::Sub, n, 1.0);
        let from_one = self.by(ScalarOp::Add, place, 1.0);
        let place = if align_corners {
            let way = self.map(ScalarOp::Mul, &[from_one, last]);
            self.by(ScalarOp::Mul, way, 0.5)
        } else {
            let way = self.map(ScalarOp::Mul, &[from_one, n]);
            let way = self.by(ScalarOp::Sub, way, 1.0);
            self.by(ScalarOp::Mul, way, 0.5)
        };
        let place = if mode == Sampling::Nearest { self.map(ScalarOp::Round, &[place]) } else { place };
        let place = match beyond {
            Beyond::Zeros => place,
            // The neighbours of a cubic kernel are clamped themselves.
            Beyond::Border if mode == Sampling::Cubic => place,
            Beyond::Border => {
                let zero = self.fill_like(place, 0.0);
                let low = self.map(ScalarOp::Max, &[place, zero]);
                self.map(ScalarOp::Min, &[low, last])
            }
            Beyond::Reflection if mode == Sampling::Cubic => place,
            Beyond::Reflection => self.mirrored(place, n, align_corners),
        };
        let floor = self.map(ScalarOp::Floor, &[place]);
        let part = self.map(ScalarOp::Sub, &[place, floor]);
        let offsets: &[i64] = match mode {
            Sampling::Nearest => &[0],
            Sampling::Linear => &[0, 1],
            Sampling::Cubic => &[-1, 0, 1, 2],
        };
        let mut taps = vec![];
        for offset in offsets {
            let mut weight = match mode {
                Sampling::Nearest => self.fill_like(part, 1.0),
                _ => {
                    let way = self.by(ScalarOp::Sub, part, *offset as f64);
                    let distance = self.map(ScalarOp::Abs, &[way]);
                    if mode == Sampling::Cubic {
                        self.cubic(distance, -0.75)
                    } else {
                        let one = self.fill_like(distance, 1.0);
                        self.map(ScalarOp::Sub, &[one, distance])
                    }
                }
            };
            let mut at = self.by(ScalarOp::Add, floor, *offset as f64);
            if beyond == Beyond::Reflection {
                at = self.mirrored(at, n, align_corners);
            }
            let at = self.cast(at, DType::I32);
            if beyond == Beyond::Zeros {
                let inside = self.within(at, size);
                let inside = self.map(ScalarOp::Eq, &[at, inside]);
                let zero = self.fill_like(weight, 0.0);
                weight = self.select(inside, weight, zero);
            }
            taps.push(Tap { at, weight });
        }
        taps
    }

    /// Places mirrored until they lie on an axis of `n` elements.
    fn mirrored(&mut self, place: Operand, n: Operand, align_corners: bool) -> Operand {
        // A triangle wave: distance from the first end modulo twice the length, or what is left of that.
        let (low, length) = if align_corners { (0.0, self.by(ScalarOp::Sub, n, 1.0)) } else { (-0.5, n) };
        let from_low = self.by(ScalarOp::Sub, place, low);
        let twice = self.by(ScalarOp::Mul, length, 2.0);
        let one = self.fill_like(twice, 1.0);
        // An axis of one element has no length to be mirrored by: any place is its only one.
        let period = self.map(ScalarOp::Max, &[twice, one]);
        let around = self.map(ScalarOp::Rem, &[from_low, period]);
        let back = self.map(ScalarOp::Sub, &[twice, around]);
        let nearer = self.map(ScalarOp::Min, &[around, back]);
        let place = self.by(ScalarOp::Add, nearer, low);
        let zero = self.fill_like(place, 0.0);
        let last = self.by(ScalarOp::Sub, n, 1.0);
        let place = if align_corners { self.map(ScalarOp::Max, &[place, zero]) } else { place };
        if align_corners { self.map(ScalarOp::Min, &[place, last]) } else { place }
    }
}

/// A neighbour: where it is along an axis, and what it counts.
struct Tap {
    at: Operand,
    weight: Operand,
}
