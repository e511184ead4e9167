//! Combinations of elements along axes.

use super::{Arg, Tensor};
use crate::dims::{At, AxesLike, AxisLike};
use latentc_ir::dim::Dim as Size;
use latentc_ir::dtype::DType;
use latentc_ir::ops::Axes;
use latentc_ir::ops::reduce::Reduce;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::{Shape, product};
use std::panic::Location;

macro_rules! reductions {
    ($($op:ident, $word:literal: $name:ident, $keep:ident, $all:ident;)+) => {
        impl<'g> Tensor<'g> {$(
            #[doc = concat!("The ", $word, " along some axes, which the result no longer has.")]
            #[track_caller]
            pub fn $name(self, axes: impl AxesLike) -> Tensor<'g> {
                self.reduce(How::$op, stringify!($name), &axes, false, Location::caller())
            }

            #[doc = concat!("The ", $word, " along some axes, which the result keeps with size 1.")]
            #[track_caller]
            pub fn $keep(self, axes: impl AxesLike) -> Tensor<'g> {
                self.reduce(How::$op, stringify!($keep), &axes, true, Location::caller())
            }

            #[doc = concat!("The ", $word, " of all elements, a scalar.")]
            #[track_caller]
            pub fn $all(self) -> Tensor<'g> {
                let axes: Vec<usize> = (0..self.rank()).collect();
                self.reduce(How::$op, stringify!($all), &axes, false, Location::caller())
            }
        )+}
    };
}

reductions! {
    Sum, "sum (0 of nothing)": sum, sum_keep, sum_all;
    Mean, "mean (NaN of nothing)": mean, mean_keep, mean_all;
    Max, "greatest element (-inf of nothing; NaN wins)": max, max_keep, max_all;
    Min, "least element (inf of nothing; NaN wins)": min, min_keep, min_all;
    Prod, "product (1 of nothing)": prod, prod_keep, prod_all;
    Any, "truth of any element (false of nothing), of a bool tensor,": any, any_keep, any_all;
    All, "truth of every element (true of nothing), of a bool tensor,": all, all_keep, all_all;
    SumSquare, "sum of squares": sum_square, sum_square_keep, sum_square_all;
    L1, "sum of sizes": l1, l1_keep, l1_all;
    L2, "square root of the sum of squares": l2, l2_keep, l2_all;
    LogSum, "logarithm of the sum": log_sum, log_sum_keep, log_sum_all;
}

/// How elements combine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    Any,
    All,
    SumSquare,
    L1,
    L2,
    LogSum,
}

impl<'g> Tensor<'g> {
    pub(crate) fn reduce(
        self,
        how: How,
        what: &str,
        axes: &(impl AxesLike + ?Sized),
        keep: bool,
        at: At,
    ) -> Tensor<'g> {
        let (Some(axes), Some(ty)) = (self.axes(axes, what, at), self.ty()) else {
            return self.scope.poisoned(at);
        };
        let axes: Axes = {
            let mut axes: Axes = axes.into_iter().collect();
            axes.sort_unstable();
            axes
        };
        if how == How::Mean && !ty.dtype.is_real() {
            self.fault(at, format!("`{what}` of {}; insert a cast to a float type", ty.dtype), "here");
            return self.scope.poisoned(at);
        }
        if matches!(how, How::Any | How::All) && ty.dtype != DType::Bool {
            self.fault(at, format!("`{what}` of {}; compare it first", ty.dtype), "here");
            return self.scope.poisoned(at);
        }
        let op = match how {
            How::Max | How::Any => ReduceOp::Max,
            How::Min | How::All => ReduceOp::Min,
            How::Prod => ReduceOp::Prod,
            _ => ReduceOp::Sum,
        };
        let given = match how {
            How::SumSquare | How::L2 => self.map(ScalarOp::Square, at),
            How::L1 => self.map(ScalarOp::Abs, at),
            _ => self,
        };
        let sizes: Vec<Size> = axes.iter().map(|a| ty.shape[*a].clone()).collect();
        let kept: Shape = ty
            .shape
            .iter()
            .enumerate()
            .map(|(i, d)| if axes.contains(&i) { 1.into() } else { d.clone() })
            .collect();
        let mut result = if axes.is_empty() { given } else { given.emit(Reduce { op, axes }, at) };
        if how == How::Mean {
            let count = self.scope.intern(product(&sizes)).tensor(self, at);
            result = result.apply(ScalarOp::Div, count, at);
        }
        result = match how {
            How::L2 => result.map(ScalarOp::Sqrt, at),
            How::LogSum => result.map(ScalarOp::Log, at),
            _ => result,
        };
        if keep { result.reshape_to(kept, at) } else { result }
    }

    /// The mean squared distance from the mean along some axes, which the result no longer has; the sum of squares is
    /// divided by the number of elements less `correction` (0 for all there are, 1 for a sample of more).
    #[track_caller]
    pub fn var(self, axes: impl AxesLike, correction: i32) -> Tensor<'g> {
        let at = Location::caller();
        let (Some(axes), Some(ty)) = (self.axes(&axes, "var", at), self.ty()) else {
            return self.scope.poisoned(at);
        };
        let mean = self.reduce(How::Mean, "var", &axes, true, at);
        let rest = self.apply(ScalarOp::Sub, mean, at);
        let sum = rest.reduce(How::SumSquare, "var", &axes, false, at);
        let sizes: Vec<Size> = axes.iter().map(|a| ty.shape[*a].clone()).collect();
        let count = self.scope.intern(product(&sizes)).tensor(self, at);
        sum.apply(ScalarOp::Div, count.apply(ScalarOp::Sub, correction, at), at)
    }

    /// The position of the greatest element along an axis, which the result no longer has, as i32; of equal ones the
    /// first. NaN counts as the greatest.
    #[track_caller]
    pub fn arg_max(self, axis: impl AxisLike) -> Tensor<'g> {
        self.arg(ReduceOp::Max, "arg_max", axis, false, Location::caller())
    }

    /// The position of the least element along an axis, as [`Tensor::arg_max`]. NaN counts as the least.
    #[track_caller]
    pub fn arg_min(self, axis: impl AxisLike) -> Tensor<'g> {
        self.arg(ReduceOp::Min, "arg_min", axis, false, Location::caller())
    }

    /// As [`Tensor::arg_max`], of equal elements the last.
    #[track_caller]
    pub fn arg_max_last(self, axis: impl AxisLike) -> Tensor<'g> {
        self.arg(ReduceOp::Max, "arg_max_last", axis, true, Location::caller())
    }

    /// As [`Tensor::arg_min`], of equal elements the last.
    #[track_caller]
    pub fn arg_min_last(self, axis: impl AxisLike) -> Tensor<'g> {
        self.arg(ReduceOp::Min, "arg_min_last", axis, true, Location::caller())
    }

    fn arg(self, op: ReduceOp, what: &str, axis: impl AxisLike, last: bool, at: At) -> Tensor<'g> {
        let Some(axes) = self.axes(&[axis], what, at) else { return self.scope.poisoned(at) };
        let axis = axes[0] as i64;
        self.scope.composed(&[self], at, |g, o| g.arg_extreme(op, o[0], axis, last, DType::I32))
    }
}
