//! What reductions have combined up to each element of an axis.

use super::Tensor;
use crate::dims::{At, AxisLike};
use latentc_ir::ops::cumulative::Cumulative;
use latentc_ir::scalar::ReduceOp;
use std::panic::Location;

/// Which elements an element of a scan combines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Whether the element itself is left out; the first is then what is combined of nothing.
    pub exclusive: bool,
    /// Whether the axis is walked from its end.
    pub reverse: bool,
}

macro_rules! scans {
    ($($op:ident, $word:literal: $name:ident, $with:ident;)+) => {
        impl<'g> Tensor<'g> {$(
            #[doc = concat!("The ", $word, " of the elements up to each one along an axis.")]
            #[track_caller]
            pub fn $name(self, axis: impl AxisLike) -> Tensor<'g> {
                self.scan(ReduceOp::$op, stringify!($name), axis, Walk::default(), Location::caller())
            }

            #[doc = concat!("The ", $word, " of the elements before each one along an axis, walked as said.")]
            #[track_caller]
            pub fn $with(self, axis: impl AxisLike, walk: Walk) -> Tensor<'g> {
                self.scan(ReduceOp::$op, stringify!($with), axis, walk, Location::caller())
            }
        )+}
    };
}

scans! {
    Sum, "sum": cum_sum, cum_sum_with;
    Prod, "product": cum_prod, cum_prod_with;
    Max, "greatest": cum_max, cum_max_with;
    Min, "least": cum_min, cum_min_with;
}

impl<'g> Tensor<'g> {
    fn scan(self, op: ReduceOp, what: &str, axis: impl AxisLike, walk: Walk, at: At) -> Tensor<'g> {
        let Some(axes) = self.axes(&[axis], what, at) else { return self.scope.poisoned(at) };
        let Walk { exclusive, reverse } = walk;
        self.emit(Cumulative { op, axis: axes[0], exclusive, reverse }, at)
    }
}
