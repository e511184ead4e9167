//! Quantisation: numbers as integers or 8-bit floats times a scale, and conversions that saturate.

use super::{Composed, axis_of};
use crate::dim::{Dim, Proof};
use crate::dtype::{DType, Literal};
use crate::graph::{Graph, Operand};
use crate::ops::Axes;
use crate::ops::slice::Slice;
use crate::scalar::ScalarOp;
use crate::types::{Shape, TensorType, shape_text};

/// For which elements of a tensor one scale stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scales {
    /// For all: the scale is a scalar.
    Tensor,
    /// For those at one position of an axis: scales `[c]`.
    Axis(i64),
    /// For so many neighbours along an axis: scales of the tensor's shape, but along the axis one a block; the last
    /// block may be shorter.
    Blocks(i64, usize),
}

impl Graph {
    /// The same numbers in another type; what is beyond it becomes its nearest finite number. NaN becomes 0 in an
    /// integer type and stays NaN in a float type; to bool is `!= 0`.
    ///
    /// # Errors
    /// Where the operand is no dense tensor.
    pub fn cast_saturating(&mut self, x: Operand, to: DType) -> Composed {
        let ty = self.dense("cast_saturating", x)?;
        // Bounds are taken in a type that is computed in and holds them.
        let x = match ty.dtype {
            from if from.is_storage() && to.is_storage() => self.cast(x, DType::F32),
            from if from.is_int() && to.is_float() && to.greatest() < 1e6 => self.cast(x, DType::F64),
            _ => x,
        };
        let from = self.dtype_of(x);
        let bounds = if to.is_float() && from.is_float() && to.greatest() < from.greatest() {
            let b = to.greatest();
            Some((Literal::float(from, -b), Literal::float(from, b)))
        } else if let (Some(inner), Some(outer)) = (to.int_range(), from.int_range())
            && to.is_int()
            && from.is_int()
            && (inner.0 > outer.0 || inner.1 < outer.1)
        {
            let (lo, hi) = (inner.0.max(outer.0), inner.1.min(outer.1));
            // The greatest u64 is the i64 with its bits.
            Some((Literal::int(from, lo as i64), Literal::int(from, hi as i64)))
        } else {
            None
        };
        let mut x = x;
        if let Some((lo, hi)) = bounds {
            let [lo, hi] = [lo, hi].map(|b| self.fill(b, ty.shape.iter().cloned()));
            x = self.map(ScalarOp::Max, &[x, lo]);
            x = self.map(ScalarOp::Min, &[x, hi]);
        }
        Ok(self.cast(x, to))
    }

    /// `x / scale + zero`, rounded to the nearest integer (ties to even) before the zero point is added, and within
    /// the bounds of `to`: an integer type of at most 16 bits, or an 8-bit float, to which the quotient is rounded.
    /// The zero point is of type `to` and of the shape of the scale; none is 0.
    ///
    /// # Errors
    /// Where the types are others, or the shape of the scale does not fit.
    pub fn quantize(
        &mut self,
        x: Operand,
        scale: Operand,
        zero: Option<Operand>,
        scales: Scales,
        to: DType,
    ) -> Composed {
        let (ty, factor) = (self.dense("quantize", x)?, self.dense("quantize", scale)?);
        if !ty.dtype.is_real() || factor.dtype != ty.dtype {
            return Err(format!(
                "`quantize` of {} by a scale of {}; both are of one float type",
                ty.dtype, factor.dtype
            ));
        }
        if !(to.f8().is_some() || (to.is_int() && to.bits() <= 16)) {
            return Err(format!("`quantize` to {to}; it is an integer of at most 16 bits or an 8-bit float"));
        }
        let by = self.scales("quantize", scale, &ty, scales)?;
        let mut y = self.map(ScalarOp::Div, &[x, by]);
        if to.is_int() {
            y = self.map(ScalarOp::Round, &[y]);
        }
        if let Some(zero) = zero {
            let zero = self.zero_point("quantize", zero, &factor, to)?;
            let zero = self.scales("quantize", zero, &ty, scales)?;
            // Sums of integers to 2^16 are exact in f32; narrower floats would round them.
            let wide = if ty.dtype == DType::F64 { DType::F64 } else { DType::F32 };
            let zero = self.cast(zero, wide);
            let sum = self.cast(y, wide);
            y = self.map(ScalarOp::Add, &[sum, zero]);
        }
        self.cast_saturating(y, to)
    }

    /// `(x - zero) * scale`, of the type of the scale. The zero point is of the type of `x` and of the shape of the
    /// scale; none is 0.
    ///
    /// # Errors
    /// Where `x` holds no integers or 8-bit floats, the scale no floats, or the shape of the scale does not fit.
    pub fn dequantize(
        &mut self,
        x: Operand,
        scale: Operand,
        zero: Option<Operand>,
        scales: Scales,
    ) -> Composed {
        let (ty, factor) = (self.dense("dequantize", x)?, self.dense("dequantize", scale)?);
        let narrow = ty.dtype.f8().is_some() || (ty.dtype.is_int() && ty.dtype.bits() <= 32);
        if !narrow || !factor.dtype.is_real() {
            return Err(format!(
                "`dequantize` of {} by a scale of {}; integers of at most 32 bits or 8-bit floats and a scale of \
                 floats are taken",
                ty.dtype, factor.dtype
            ));
        }
        let by = self.scales("dequantize", scale, &ty, scales)?;
        let mut y = x;
        if let Some(zero) = zero {
            let zero = self.zero_point("dequantize", zero, &factor, ty.dtype)?;
            let zero = self.scales("dequantize", zero, &ty, scales)?;
            let wide = if ty.dtype.is_int() { DType::I32 } else { DType::F32 };
            let (a, b) = (self.cast(y, wide), self.cast(zero, wide));
            y = self.map(ScalarOp::Sub, &[a, b]);
        }
        let y = self.cast(y, factor.dtype);
        Ok(self.map(ScalarOp::Mul, &[y, by]))
    }

    fn zero_point(&self, what: &str, zero: Operand, scale: &TensorType, dtype: DType) -> Composed {
        let ty = self.dense(what, zero)?;
        if ty.dtype == dtype && ty.shape == scale.shape {
            return Ok(zero);
        }
        Err(format!(
            "the zero point of `{what}` is {}{}; it has the type of the quantised numbers, {dtype}, and the shape of \
             the scale, {}",
            ty.dtype,
            shape_text(&ty.shape),
            shape_text(&scale.shape)
        ))
    }

    /// Scales, or zero points, repeated to the shape of what they are for.
    fn scales(&mut self, what: &str, scale: Operand, x: &TensorType, scales: Scales) -> Composed {
        let found = self.dense(what, scale)?.shape;
        let wrong = |expected: String| {
            format!(
                "`{what}`: the scale of {} is {expected}, {} found",
                shape_text(&x.shape),
                shape_text(&found)
            )
        };
        match scales {
            Scales::Tensor if found.is_empty() => Ok(self.broadcast(scale, x.shape.clone(), Axes::new())),
            Scales::Tensor => Err(wrong("a scalar".to_owned())),
            Scales::Axis(axis) => {
                let axis = axis_of(what, axis, x.rank())?;
                let fits = found.len() == 1 && found[0].eq_proof(&x.shape[axis]) == Proof::True;
                if !fits {
                    return Err(wrong(format!("[{}]", x.shape[axis])));
                }
                Ok(self.broadcast(scale, x.shape.clone(), Axes::from_slice(&[axis])))
            }
            Scales::Blocks(axis, block) => {
                let axis = axis_of(what, axis, x.rank())?;
                let others = |shape: &[Dim]| -> Vec<Dim> {
                    shape.iter().enumerate().filter(|(a, _)| *a != axis).map(|(_, d)| d.clone()).collect()
                };
                let fits = found.len() == x.rank() && others(&found) == others(&x.shape);
                let whole = &found.get(axis).cloned().unwrap_or_else(|| 0.into()) * &block.into();
                if !fits || block == 0 || x.shape[axis].le(&whole) != Proof::True {
                    return Err(wrong(format!("one a block of {block} along axis {axis}")));
                }
                let mut split: Shape = found.clone();
                split.insert(axis + 1, block.into());
                let kept = (0..split.len()).filter(|a| *a != axis + 1).collect();
                let many = self.broadcast(scale, split, kept);
                let mut joined = found;
                joined[axis] = whole.clone();
                let many = self.reshape(many, joined);
                if whole.eq_proof(&x.shape[axis]) == Proof::True {
                    return Ok(many);
                }
                self.try_emit(Slice { axis, start: 0.into(), end: x.shape[axis].clone(), step: 1 }, &[many])
            }
        }
    }
}
