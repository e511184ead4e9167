//! Normalisations. Sums of narrow floats are taken in f32.

use super::{Composed, axis_of};
use crate::dim::{Dim, Proof};
use crate::dtype::Literal;
use crate::graph::{Graph, Operand};
use crate::ops::Axes;
use crate::ops::windows::{Window, Windows};
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{Shape, TensorType, product, shape_text};

/// A normalised tensor with the statistics that it was made with, which have size 1 along the axes they were taken
/// over; in f32 where the tensor is a narrower float.
#[derive(Clone, Copy, Debug)]
pub struct Normalised {
    /// The result.
    pub y: Operand,
    /// The means.
    pub mean: Operand,
    /// `1 / sqrt(variance + epsilon)`.
    pub inverse_deviation: Operand,
}

impl Graph {
    fn floats(&self, what: &str, x: Operand) -> Result<TensorType, String> {
        let ty = self.dense(what, x)?;
        if ty.dtype.is_real() { Ok(ty) } else { Err(format!("`{what}` takes floats, {} found", ty.dtype)) }
    }

    /// `(x - mean) / sqrt(variance + epsilon)`, over some axes.
    ///
    /// # Errors
    /// Where `x` holds no floats.
    pub fn normalise(&mut self, x: Operand, axes: &[usize], epsilon: f64) -> Result<Normalised, String> {
        let ty = self.floats("normalise", x)?;
        let w = self.widened(x);
        let mean = self.mean(w, axes);
        let spread = self.unreduce(mean, ty.shape.clone(), axes);
        let centred = self.map(ScalarOp::Sub, &[w, spread]);
        let square = self.map(ScalarOp::Square, &[centred]);
        let variance = self.mean(square, axes);
        let variance = self.by(ScalarOp::Add, variance, epsilon);
        let inverse = self.map(ScalarOp::Rsqrt, &[variance]);
        let by = self.unreduce(inverse, ty.shape.clone(), axes);
        let y = self.map(ScalarOp::Mul, &[centred, by]);
        let kept: Shape =
            (0..ty.rank()).map(|a| if axes.contains(&a) { 1.into() } else { ty.shape[a].clone() }).collect();
        Ok(Normalised {
            y: self.cast(y, ty.dtype),
            mean: self.reshape(mean, kept.clone()),
            inverse_deviation: self.reshape(inverse, kept),
        })
    }

    /// `y * scale + bias`, with either repeated to the shape of `y` from the last axes on.
    fn affine(&mut self, y: Operand, scale: Option<Operand>, bias: Option<Operand>) -> Composed {
        let shape = self.shape_of(y);
        let mut y = y;
        for (op, by) in [(ScalarOp::Mul, scale), (ScalarOp::Add, bias)] {
            if let Some(by) = by {
                let by = self.repeat_to(by, &shape)?;
                y = self.try_emit(crate::ops::elementwise::Elementwise { op }, &[y, by])?;
            }
        }
        Ok(y)
    }

    /// Numbers for the channels, axis 1 of a tensor of `rank` axes, lined up with it.
    fn along_channels(&mut self, x: Operand, rank: usize) -> Composed {
        let ty = self.dense("channels", x)?;
        if ty.rank() != 1 {
            return Err(format!("numbers for channels have one axis, {} found", shape_text(&ty.shape)));
        }
        let shape = ty.shape.into_iter().chain((2..rank).map(|_| Dim::from(1)));
        Ok(self.reshape(x, shape.collect()))
    }

    /// Layer normalisation over the axes from `axis` on, times `scale`, plus `bias`.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn layer_norm(
        &mut self,
        x: Operand,
        scale: Option<Operand>,
        bias: Option<Operand>,
        axis: i64,
        epsilon: f64,
    ) -> Result<Normalised, String> {
        let rank = self.floats("layer_norm", x)?.rank();
        let axes: Vec<usize> = (axis_of("layer_norm", axis, rank)?..rank).collect();
        let mut n = self.normalise(x, &axes, epsilon)?;
        n.y = self.affine(n.y, scale, bias)?;
        Ok(n)
    }

    /// `x / sqrt(mean(x^2) + epsilon)` over the axes from `axis` on, times `scale`.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn rms_norm(&mut self, x: Operand, scale: Option<Operand>, axis: i64, epsilon: f64) -> Composed {
        let ty = self.floats("rms_norm", x)?;
        let axes: Vec<usize> = (axis_of("rms_norm", axis, ty.rank())?..ty.rank()).collect();
        let w = self.widened(x);
        let square = self.map(ScalarOp::Square, &[w]);
        let mean = self.mean(square, &axes);
        let mean = self.by(ScalarOp::Add, mean, epsilon);
        let by = self.map(ScalarOp::Rsqrt, &[mean]);
        let by = self.unreduce(by, ty.shape, &axes);
        let y = self.map(ScalarOp::Mul, &[w, by]);
        let y = self.cast(y, ty.dtype);
        self.affine(y, scale, None)
    }

    /// Group normalisation of `x [n, c, s..]`: over groups of channels and all `s`; times `scale [c]`, plus `bias [c]`.
    /// As many groups as channels make it instance normalisation.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn group_norm(
        &mut self,
        x: Operand,
        groups: i64,
        scale: Option<Operand>,
        bias: Option<Operand>,
        epsilon: f64,
    ) -> Composed {
        let ty = self.floats("group_norm", x)?;
        let channels = ty.shape.get(1).and_then(Dim::as_const).filter(|c| groups > 0 && c % groups == 0);
        let Some(channels) = channels else {
            return Err(format!(
                "`group_norm` in {groups} groups takes [n, c, s..] with channels that they divide, {} found",
                shape_text(&ty.shape)
            ));
        };
        let within = &Dim::from(channels / groups) * &product(&ty.shape[2..]);
        let split = Shape::from_iter([ty.shape[0].clone(), groups.into(), within]);
        let parts = self.reshape(x, split);
        let y = self.normalise(parts, &[2], epsilon)?.y;
        let y = self.reshape(y, ty.shape.clone());
        let [scale, bias] = [scale, bias].map(|v| v.map(|v| self.along_channels(v, ty.rank())).transpose());
        self.affine(y, scale?, bias?)
    }

    /// Instance normalisation of `x [n, c, s..]`: over all `s`; times `scale [c]`, plus `bias [c]`.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn instance_norm(
        &mut self,
        x: Operand,
        scale: Option<Operand>,
        bias: Option<Operand>,
        epsilon: f64,
    ) -> Composed {
        let ty = self.floats("instance_norm", x)?;
        if ty.rank() < 3 {
            return Err(format!("`instance_norm` takes [n, c, s..], {} found", shape_text(&ty.shape)));
        }
        let axes: Vec<usize> = (2..ty.rank()).collect();
        let y = self.normalise(x, &axes, epsilon)?.y;
        let [scale, bias] = [scale, bias].map(|v| v.map(|v| self.along_channels(v, ty.rank())).transpose());
        self.affine(y, scale?, bias?)
    }

    /// Batch normalisation of `x [n, c, s..]` by given statistics: `(x - mean) / sqrt(variance + epsilon) * scale + bias`,
    /// each `[c]`.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn batch_norm(
        &mut self,
        x: Operand,
        scale: Operand,
        bias: Operand,
        [mean, variance]: [Operand; 2],
        epsilon: f64,
    ) -> Composed {
        let ty = self.floats("batch_norm", x)?;
        let mut all = vec![];
        for v in [scale, bias, mean, variance] {
            let v = self.cast(v, self.dtype_of(mean));
            all.push(self.along_channels(v, ty.rank())?);
        }
        let variance = self.by(ScalarOp::Add, all[3], epsilon);
        let by = self.map(ScalarOp::Rsqrt, &[variance]);
        let by = self.try_emit(crate::ops::elementwise::Elementwise { op: ScalarOp::Mul }, &[by, all[0]])?;
        let w = self.cast(x, self.dtype_of(mean));
        let mean = self.repeat_to(all[2], &ty.shape)?;
        let centred = self.map(ScalarOp::Sub, &[w, mean]);
        let y = self.affine(centred, Some(by), Some(all[1]))?;
        Ok(self.cast(y, ty.dtype))
    }

    /// Mean and variance of each channel of `x [n, c, s..]`, `[c]` each: what batch normalisation of a batch in training
    /// uses, and what it mixes into its running statistics.
    ///
    /// # Errors
    /// Where `x` has fewer than two axes or holds no floats.
    pub fn channel_statistics(&mut self, x: Operand) -> Result<[Operand; 2], String> {
        let ty = self.floats("batch_norm", x)?;
        if ty.rank() < 2 {
            return Err(format!("`batch_norm` takes [n, c, s..], {} found", shape_text(&ty.shape)));
        }
        let axes: Vec<usize> = (0..ty.rank()).filter(|a| *a != 1).collect();
        let w = self.widened(x);
        let mean = self.mean(w, &axes);
        let spread = self.unreduce(mean, ty.shape, &axes);
        let centred = self.map(ScalarOp::Sub, &[w, spread]);
        let square = self.map(ScalarOp::Square, &[centred]);
        Ok([mean, self.mean(square, &axes)])
    }

    /// `x / (bias + alpha / size * sum of x^2 over size neighbouring channels)^beta` for `x [n, c, s..]`: local response
    /// normalisation. Of an even number of neighbours the one more stands behind.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn local_response_norm(
        &mut self,
        x: Operand,
        size: i64,
        alpha: f64,
        beta: f64,
        bias: f64,
    ) -> Composed {
        let ty = self.floats("local_response_norm", x)?;
        if ty.rank() < 2 || size < 1 {
            return Err(format!(
                "`local_response_norm` over {size} channels takes [n, c, s..], {} found",
                shape_text(&ty.shape)
            ));
        }
        let last = ty.rank() - 1;
        let order: Axes = (0..ty.rank()).filter(|a| *a != 1).chain([1]).collect();
        let back: Axes = [0, last].into_iter().chain(1..last).collect();
        let square = self.map(ScalarOp::Square, &[x]);
        let square = self.permute(square, order);
        let mut window = Window::new([size]);
        (window.before[0], window.after[0]) = ((size - 1) / 2, size / 2);
        let seen = self.try_emit(Windows { window, value: Literal::zero(ty.dtype) }, &[square])?;
        let sum = self.reduce(ReduceOp::Sum, seen, Axes::from_slice(&[last + 1]));
        let sum = self.permute(sum, back);
        let base = self.by(ScalarOp::Mul, sum, alpha / size as f64);
        let base = self.by(ScalarOp::Add, base, bias);
        let by = self.by(ScalarOp::Pow, base, beta);
        Ok(self.map(ScalarOp::Div, &[x, by]))
    }

    /// `x / (sum |x|^p)^(1/p)` along an axis. A norm of 0 gives NaN; with an `epsilon` the norm is at least that.
    ///
    /// # Errors
    /// Where there is no such axis, or `x` holds no floats.
    pub fn lp_normalise(&mut self, x: Operand, axis: i64, p: f64, epsilon: f64) -> Composed {
        let ty = self.floats("lp_normalise", x)?;
        let axis = axis_of("lp_normalise", axis, ty.rank())?;
        let mut norm = self.lp_norm(x, Axes::from_slice(&[axis]), p)?;
        if epsilon > 0.0 {
            norm = self.by(ScalarOp::Max, norm, epsilon);
        }
        let norm = self.unreduce(norm, ty.shape, &[axis]);
        Ok(self.map(ScalarOp::Div, &[x, norm]))
    }

    /// Whether two shapes are shown equal.
    pub(super) fn equal_shapes(a: &[Dim], b: &[Dim]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.eq_proof(y) == Proof::True)
    }
}
