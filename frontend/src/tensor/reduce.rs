//! Combinations of elements along axes.

use super::{Arg, Tensor};
use crate::dims::{At, AxesLike};
use latentc_ir::dim::Dim as Size;
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
}

/// How elements combine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
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
        let op = match how {
            How::Sum | How::Mean => ReduceOp::Sum,
            How::Max => ReduceOp::Max,
            How::Min => ReduceOp::Min,
            How::Prod => ReduceOp::Prod,
        };
        let sizes: Vec<Size> = axes.iter().map(|a| ty.shape[*a].clone()).collect();
        let kept: Shape = ty
            .shape
            .iter()
            .enumerate()
            .map(|(i, d)| if axes.contains(&i) { 1.into() } else { d.clone() })
            .collect();
        let mut result = if axes.is_empty() { self } else { self.emit(Reduce { op, axes }, at) };
        if how == How::Mean {
            let count = self.scope.intern(product(&sizes)).tensor(self, at);
            result = result.apply(ScalarOp::Div, count, at);
        }
        if keep { result.reshape_to(kept, at) } else { result }
    }
}
