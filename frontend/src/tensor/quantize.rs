//! Conversions that saturate, quantised numbers, products of integers.

use super::Tensor;
use latentc_ir::compose::quantize::Scales;
use latentc_ir::dtype::DType;
use std::panic::Location;

impl<'g> Tensor<'g> {
    /// The same numbers in another element type; what is beyond it becomes its nearest finite number.
    #[track_caller]
    pub fn cast_saturating(self, to: DType) -> Tensor<'g> {
        self.scope.composed(&[self], Location::caller(), |g, o| g.cast_saturating(o[0], to))
    }

    /// `round(x / scale) + zero` within the bounds of `to`, an integer type of at most 16 bits; to an 8-bit float the
    /// quotient is rounded. The zero point, of type `to`, has the shape of the scale; none is 0. Gradients do not
    /// pass the rounding.
    #[track_caller]
    pub fn quantize(
        self,
        scale: Tensor<'g>,
        zero: Option<Tensor<'g>>,
        scales: Scales,
        to: DType,
    ) -> Tensor<'g> {
        let operands: Vec<Tensor<'g>> = [self, scale].into_iter().chain(zero).collect();
        self.scope.composed(&operands, Location::caller(), |g, o| {
            g.quantize(o[0], o[1], o.get(2).copied(), scales, to)
        })
    }

    /// `(x - zero) * scale`, of the type of the scale. The zero point, of the type of `x`, has the shape of the scale;
    /// none is 0.
    #[track_caller]
    pub fn dequantize(self, scale: Tensor<'g>, zero: Option<Tensor<'g>>, scales: Scales) -> Tensor<'g> {
        let operands: Vec<Tensor<'g>> = [self, scale].into_iter().chain(zero).collect();
        self.scope.composed(&operands, Location::caller(), |g, o| {
            g.dequantize(o[0], o[1], o.get(2).copied(), scales)
        })
    }

    /// The product of matrices of integers of any width, as [`Tensor::matmul`]: products and sums are taken in i32
    /// and wrap there.
    #[track_caller]
    pub fn matmul_integer(self, other: Tensor<'g>) -> Tensor<'g> {
        let at = Location::caller();
        self.cast_at(DType::I32, at).matmul(other.cast_at(DType::I32, at))
    }
}
