//! Resizing along an axis: each position of the result reads a few neighbours of its place in the operand.

use super::{Composed, axis_of};
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::graph::{Graph, Operand};
use crate::ops::Axes;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::Shape;

/// How a position between elements gets its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interpolation {
    /// One element.
    Nearest(Nearest),
    /// The two neighbours, by distance.
    Linear,
    /// The four neighbours, by the cubic kernel with this coefficient (-0.75 and -0.5 are usual).
    Cubic(f64),
}

/// Which element is the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    /// Rounded, halves down.
    RoundPreferFloor,
    /// Rounded, halves up.
    RoundPreferCeil,
    /// The one before.
    Floor,
    /// The one behind.
    Ceil,
}

/// The place in the operand of position `o` of the result, for `in` and `out` positions and `scale = out / in`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coordinates {
    /// `(o + 0.5) / scale - 0.5`
    HalfPixel,
    /// The same, centred where `scale` is not exactly `out / in`.
    HalfPixelSymmetric,
    /// The same, and 0 where `out` is 1.
    PytorchHalfPixel,
    /// `o (in - 1) / (out - 1)`, and 0 where `out` is 1.
    AlignCorners,
    /// `o / scale`
    Asymmetric,
    /// `(o + 0.5) / scale`
    TfHalfPixelForNn,
    /// Between two places, given as parts of the axis; beyond it a constant.
    TfCropAndResize {
        /// Where the first position is.
        start: f64,
        /// Where the last position is.
        end: f64,
        /// What stands beyond the axis.
        extrapolation: f64,
    },
}

/// How an axis is resized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resize {
    /// How positions get their values.
    pub mode: Interpolation,
    /// Where they are.
    pub coordinates: Coordinates,
    /// Positions in the result for one in the operand; without it, `out / in`.
    pub scale: Option<f64>,
    /// Whether neighbours beyond the axis have no weight; else the nearest element stands there.
    pub exclude_outside: bool,
    /// Whether, where the axis gets shorter, the kernel gets wider. Needs a scale, or constant sizes.
    pub antialias: bool,
}

impl Graph {
    /// A float tensor with `out` positions along an axis, by interpolation (with `Nearest`, of any type).
    ///
    /// # Errors
    /// Where there is no such axis, or the elements cannot be interpolated.
    pub fn resize_axis(&mut self, x: Operand, axis: i64, out: &Dim, how: &Resize) -> Composed {
        let ty = self.dense("resize", x)?;
        let axis = axis_of("resize", axis, ty.rank())?;
        if !ty.dtype.is_real() && !matches!(how.mode, Interpolation::Nearest(_)) {
            return Err(format!("`resize` of {} between elements; cast to a float first", ty.dtype));
        }
        let size = ty.shape[axis].clone();
        let known = size.as_const().zip(out.as_const()).map(|(i, o)| o as f64 / i as f64);
        let shape = Shape::from_iter([out.clone()]);
        let place = self.place(&size, out, how);
        let y = match how.mode {
            Interpolation::Nearest(rounding) => {
                let at = match rounding {
                    Nearest::Floor => self.map(ScalarOp::Floor, &[place]),
                    Nearest::Ceil => self.map(ScalarOp::Ceil, &[place]),
                    Nearest::RoundPreferFloor => {
                        let low = self.by(ScalarOp::Sub, place, 0.5);
                        self.map(ScalarOp::Ceil, &[low])
                    }
                    Nearest::RoundPreferCeil => {
                        let high = self.by(ScalarOp::Add, place, 0.5);
                        self.map(ScalarOp::Floor, &[high])
                    }
                };
                let at = self.cast(at, DType::I32);
                self.take(x, at, axis as i64)?
            }
            Interpolation::Linear | Interpolation::Cubic(_) => {
                let reach = if how.mode == Interpolation::Linear { 1.0 } else { 2.0 };
                let stretch = match (how.antialias, how.scale.or(known)) {
                    (false, _) => 1.0,
                    (true, Some(scale)) => scale.min(1.0),
                    (true, None) => {
                        return Err(format!(
                            "`resize` with antialias from {size} to {out} needs a known scale"
                        ));
                    }
                };
                self.interpolated(x, axis, place, reach, stretch, how)?
            }
        };
        let Coordinates::TfCropAndResize { extrapolation, .. } = how.coordinates else { return Ok(y) };
        let last = self.size_as(&(&size - &1.into()), DType::F64, shape);
        let zero = self.fill_like(place, 0.0);
        let (low, high) = (self.map(ScalarOp::Lt, &[place, zero]), self.map(ScalarOp::Gt, &[place, last]));
        let beyond = self.map(ScalarOp::Or, &[low, high]);
        let whole = self.shape_of(y);
        let beyond = self.broadcast(beyond, whole.clone(), Axes::from_slice(&[axis]));
        let value = self.fill(Literal::float(ty.dtype, extrapolation), whole);
        Ok(self.select(beyond, value, y))
    }

    /// The places of the result's positions along the operand, in f64: these must not be rounded.
    fn place(&mut self, size: &Dim, out: &Dim, how: &Resize) -> Operand {
        let shape = Shape::from_iter([out.clone()]);
        let o = self.iota(shape.clone(), 0, DType::F64);
        let [n, m] = [size, out].map(|d| self.size_as(d, DType::F64, shape.clone()));
        let scale = match how.scale {
            Some(scale) => self.fill_like(o, scale),
            None => self.map(ScalarOp::Div, &[m, n]),
        };
        let half = |graph: &mut Graph| {
            let middle = graph.by(ScalarOp::Add, o, 0.5);
            graph.map(ScalarOp::Div, &[middle, scale])
        };
        let is_one = |graph: &mut Graph| {
            let one = graph.fill_like(m, 1.0);
            graph.map(ScalarOp::Le, &[m, one])
        };
        match how.coordinates {
            Coordinates::Asymmetric => self.map(ScalarOp::Div, &[o, scale]),
            Coordinates::TfHalfPixelForNn => half(self),
            Coordinates::HalfPixel => {
                let place = half(self);
                self.by(ScalarOp::Sub, place, 0.5)
            }
            Coordinates::PytorchHalfPixel => {
                let place = half(self);
                let place = self.by(ScalarOp::Sub, place, 0.5);
                let (one, zero) = (is_one(self), self.fill_like(o, 0.0));
                self.select(one, zero, place)
            }
            Coordinates::HalfPixelSymmetric => {
                // The length that the scale gives, and what of it is used.
                let whole = self.map(ScalarOp::Mul, &[n, scale]);
                let used = self.map(ScalarOp::Div, &[m, whole]);
                let one = self.fill_like(o, 1.0);
                let unused = self.map(ScalarOp::Sub, &[one, used]);
                let centre = self.by(ScalarOp::Mul, n, 0.5);
                let offset = self.map(ScalarOp::Mul, &[centre, unused]);
                let place = half(self);
                let place = self.by(ScalarOp::Sub, place, 0.5);
                self.map(ScalarOp::Add, &[place, offset])
            }
            Coordinates::AlignCorners => {
                let [n, m1] = [n, m].map(|v| self.by(ScalarOp::Sub, v, 1.0));
                let way = self.map(ScalarOp::Mul, &[o, n]);
                let place = self.map(ScalarOp::Div, &[way, m1]);
                let (one, zero) = (is_one(self), self.fill_like(o, 0.0));
                self.select(one, zero, place)
            }
            Coordinates::TfCropAndResize { start, end, .. } => {
                let [n, m1] = [n, m].map(|v| self.by(ScalarOp::Sub, v, 1.0));
                let first = self.by(ScalarOp::Mul, n, start);
                let way = self.by(ScalarOp::Mul, n, end - start);
                let apart = self.map(ScalarOp::Div, &[way, m1]);
                let way = self.map(ScalarOp::Mul, &[o, apart]);
                let place = self.map(ScalarOp::Add, &[first, way]);
                let (one, middle) = (is_one(self), self.by(ScalarOp::Mul, n, 0.5 * (start + end)));
                self.select(one, middle, place)
            }
        }
    }

    /// Sums of neighbours within `reach / stretch` of each place, weighted by the kernel.
    fn interpolated(
        &mut self,
        x: Operand,
        axis: usize,
        place: Operand,
        reach: f64,
        stretch: f64,
        how: &Resize,
    ) -> Composed {
        let (dtype, size) = (self.dtype_of(x), self.shape_of(x)[axis].clone());
        let out = self.shape_of(place)[0].clone();
        let first = (-reach / stretch).floor() as i64 + 1;
        let taps = Dim::from(2 - 2 * first);
        let shape = Shape::from_iter([out.clone(), taps.clone()]);
        let floor = self.map(ScalarOp::Floor, &[place]);
        let [floor, place] = [floor, place].map(|v| self.broadcast(v, shape.clone(), Axes::from_slice(&[0])));
        let tap = self.iota(shape.clone(), 1, DType::F64);
        let tap = self.by(ScalarOp::Add, tap, first as f64);
        let at = self.map(ScalarOp::Add, &[floor, tap]);
        let distance = self.map(ScalarOp::Sub, &[at, place]);
        let distance = self.map(ScalarOp::Abs, &[distance]);
        let distance = self.by(ScalarOp::Mul, distance, stretch);
        let mut weight = match how.mode {
            Interpolation::Cubic(a) => self.cubic(distance, a),
            _ => {
                let one = self.fill_like(distance, 1.0);
                let weight = self.map(ScalarOp::Sub, &[one, distance]);
                self.map(ScalarOp::Relu, &[weight])
            }
        };
        let at = self.cast(at, DType::I32);
        if how.exclude_outside {
            let inside = self.within(at, &size);
            let inside = self.map(ScalarOp::Eq, &[at, inside]);
            let zero = self.fill_like(weight, 0.0);
            weight = self.select(inside, weight, zero);
        }
        if how.exclude_outside || stretch != 1.0 {
            let sum = self.reduce(ReduceOp::Sum, weight, Axes::from_slice(&[1]));
            let sum = self.unreduce(sum, shape, &[1]);
            weight = self.map(ScalarOp::Div, &[weight, sum]);
        }
        let near = self.take(x, at, axis as i64)?;
        let weight = self.cast(weight, dtype);
        let weight = self.broadcast(weight, self.shape_of(near), Axes::from_slice(&[axis, axis + 1]));
        let parts = self.map(ScalarOp::Mul, &[near, weight]);
        Ok(self.reduce(ReduceOp::Sum, parts, Axes::from_slice(&[axis + 1])))
    }

    /// The cubic convolution kernel of Keys at a distance of 0 or more.
    pub(super) fn cubic(&mut self, distance: Operand, a: f64) -> Operand {
        let horner = |graph: &mut Graph, coefficients: [f64; 4]| {
            let mut sum = graph.fill_like(distance, coefficients[0]);
            for c in &coefficients[1..] {
                let product = graph.map(ScalarOp::Mul, &[sum, distance]);
                sum = graph.by(ScalarOp::Add, product, *c);
            }
            sum
        };
        let near = horner(self, [a + 2.0, -(a + 3.0), 0.0, 1.0]);
        let far = horner(self, [a, -5.0 * a, 8.0 * a, -4.0 * a]);
        let [one, two] = [1.0, 2.0].map(|v| self.fill_like(distance, v));
        let zero = self.fill_like(distance, 0.0);
        let within_two = self.map(ScalarOp::Lt, &[distance, two]);
        let far = self.select(within_two, far, zero);
        let within_one = self.map(ScalarOp::Le, &[distance, one]);
        self.select(within_one, near, far)
    }
}
