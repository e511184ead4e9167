//! Regions of images, brought to one size.

use super::Composed;
use crate::dim::{Dim, Proof};
use crate::dtype::DType;
use crate::graph::{Graph, Operand};
use crate::ops::Axes;
use crate::ops::index::Index;
use crate::ops::slice::Slice;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{Shape, shape_text};

/// How regions are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoiAlign {
    /// Parts of a region along its two axes: the sizes of the result.
    pub parts: [i64; 2],
    /// Places along each axis of a part that are read.
    pub samples: i64,
    /// Elements of the image for each unit of the corners.
    pub scale: f64,
    /// Whether a corner of 0 is the edge of the first element, else its middle; then regions are 1 wide at least.
    pub half_pixel: bool,
    /// The greatest in place of the mean: of what each of the four neighbours of each place counts.
    pub max: bool,
}

/// Two neighbours of places along an axis `[r, places]`: positions, and what they count.
type Neighbours = [(Operand, Operand); 2];

impl Graph {
    /// For regions `rois [r, 4]` (the corners `x1, y1, x2, y2`) of the images of `x [n, c, h, w]` that `images [r]` names,
    /// the means of parts of each: `[r, c, parts..]`. Values between elements are linear; up to one element beyond the
    /// image they are those of its edge, and farther out 0 (He and others 2017, "Mask R-CNN").
    ///
    /// # Errors
    /// Where shapes or types do not fit, or there are no parts or places.
    pub fn roi_align(&mut self, x: Operand, rois: Operand, images: Operand, how: &RoiAlign) -> Composed {
        let [ty, at, of] =
            [self.dense("roi_align", x)?, self.dense("roi_align", rois)?, self.dense("roi_align", images)?];
        let fits = ty.rank() == 4
            && matches!(ty.dtype, DType::F32 | DType::F64)
            && at.dtype == ty.dtype
            && at.rank() == 2
            && at.shape[1].as_const() == Some(4)
            && of.rank() == 1
            && matches!(of.dtype, DType::I32 | DType::I64)
            && of.shape[0].eq_proof(&at.shape[0]) == Proof::True;
        if !fits || how.samples < 1 || how.parts.iter().any(|p| *p < 1) {
            return Err(format!(
                "`roi_align` takes floats [n, c, h, w], corners [r, 4] and images [r], and reads a place of a part at \
                 least; {}, {} and {} found",
                shape_text(&ty.shape),
                shape_text(&at.shape),
                shape_text(&of.shape)
            ));
        }
        let offset = if how.half_pixel { 0.5 } else { 0.0 };
        let mut corners = vec![];
        for j in 0..4i64 {
            let part =
                self.try_emit(Slice { axis: 1, start: j.into(), end: (j + 1).into(), step: 1 }, &[rois])?;
            let part = self.reshape(part, at.shape[..1].into());
            let place = self.by(ScalarOp::Mul, part, how.scale);
            corners.push(self.by(ScalarOp::Sub, place, offset));
        }
        let rows = self.lattice([corners[1], corners[3]], how.parts[0], &ty.shape[2], how);
        let cols = self.lattice([corners[0], corners[2]], how.parts[1], &ty.shape[3], how);
        // Channels last, so that one position reads all of them.
        let image = self.permute(x, Axes::from_slice(&[0, 2, 3, 1]));
        let r = at.shape[0].clone();
        let [h, w] = how.parts.map(|p| Dim::from(p * how.samples));
        let shape = Shape::from_iter([r.clone(), h, w]);
        let images = self.cast(images, DType::I32);
        let images = self.broadcast(images, shape.clone(), Axes::from_slice(&[0]));
        let (combine, reduce) =
            if how.max { (ScalarOp::Max, ReduceOp::Max) } else { (ScalarOp::Add, ReduceOp::Sum) };
        let mut all: Option<Operand> = None;
        for (row, down) in rows {
            for (col, across) in cols {
                let [row, down] =
                    [row, down].map(|o| self.broadcast(o, shape.clone(), Axes::from_slice(&[0, 1])));
                let [col, across] =
                    [col, across].map(|o| self.broadcast(o, shape.clone(), Axes::from_slice(&[0, 2])));
                let value = self.try_emit(Index, &[image, images, row, col])?;
                let weight = self.map(ScalarOp::Mul, &[down, across]);
                let weight = self.broadcast(weight, self.shape_of(value), Axes::from_slice(&[0, 1, 2]));
                let part = self.map(ScalarOp::Mul, &[value, weight]);
                all = Some(all.map_or(part, |others| self.map(combine, &[others, part])));
            }
        }
        let Some(all) = all else { unreachable!("there are four neighbours") };
        let (c, s) = (ty.shape[1].clone(), Dim::from(how.samples));
        let [h, w] = how.parts.map(Dim::from);
        let apart = self.reshape(all, Shape::from_iter([r, h, s.clone(), w, s, c]));
        let y = self.reduce(reduce, apart, Axes::from_slice(&[2, 4]));
        let places = (how.samples * how.samples) as f64;
        let y = if how.max { y } else { self.by(ScalarOp::Div, y, places) };
        Ok(self.permute(y, Axes::from_slice(&[0, 3, 1, 2])))
    }

    fn lattice(&mut self, [start, end]: [Operand; 2], parts: i64, size: &Dim, how: &RoiAlign) -> Neighbours {
        let dtype = self.dtype_of(start);
        let mut length = self.map(ScalarOp::Sub, &[end, start]);
        if !how.half_pixel {
            length = self.by(ScalarOp::Max, length, 1.0);
        }
        let count = parts * how.samples;
        let step = self.by(ScalarOp::Div, length, count as f64);
        let shape = Shape::from_iter([self.shape_of(start)[0].clone(), count.into()]);
        let [start, step] = [start, step].map(|o| self.broadcast(o, shape.clone(), Axes::from_slice(&[0])));
        let i = self.iota(shape.clone(), 1, dtype);
        let middle = self.by(ScalarOp::Add, i, 0.5);
        let way = self.map(ScalarOp::Mul, &[middle, step]);
        let place = self.map(ScalarOp::Add, &[start, way]);
        let size = self.size_as(size, dtype, shape);
        let [low, high] = [self.fill_like(place, -1.0), size];
        let after = self.map(ScalarOp::Ge, &[place, low]);
        let before = self.map(ScalarOp::Le, &[place, high]);
        let near = self.map(ScalarOp::And, &[after, before]);
        let near = self.cast(near, dtype);
        let last = self.by(ScalarOp::Sub, size, 1.0);
        let place = self.by(ScalarOp::Max, place, 0.0);
        let place = self.map(ScalarOp::Min, &[place, last]);
        let floor = self.map(ScalarOp::Floor, &[place]);
        let part = self.map(ScalarOp::Sub, &[place, floor]);
        let one = self.fill_like(part, 1.0);
        let rest = self.map(ScalarOp::Sub, &[one, part]);
        let next = self.by(ScalarOp::Add, floor, 1.0);
        let next = self.map(ScalarOp::Min, &[next, last]);
        [(floor, rest), (next, part)]
            .map(|(at, weight)| (self.cast(at, DType::I32), self.map(ScalarOp::Mul, &[weight, near])))
    }
}
