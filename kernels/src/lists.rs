//! Sorted lists of the best so far: greatest first, equal values in the order of arrival.
//!
//! A list is `lanes` elements of which the last is a sentinel that nothing beats, then room for `k` elements
//! rounded up to whole vectors; what stands beyond the first `k` are further elements in order. Putting one
//! in shifts whole vectors by one lane, from the end to the start: no search, no branch a vector.

use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Serial, Unroll, Vector};
use latentc_ir::nest::build::{KernelBuilder, load, op1, op2};
use latentc_ir::nest::{BufId, Expr, Index, ValId};
use latentc_ir::scalar::{ReduceOp, ScalarOp};

/// Vectors of a list up to which shifting is written out.
const WRITE_OUT: i64 = 4;
/// Vectors of a list up to which all are shifted: fewer than a branch taken wrongly costs.
const ALL: i64 = 16;

/// Lists in a pair of buffers.
#[derive(Clone, Copy)]
pub(crate) struct Lists {
    /// Values.
    pub values: BufId,
    /// Their ids, i32; -1 where the list has no element.
    pub ids: BufId,
    pub k: i64,
    pub lanes: u32,
}

/// Elements that a list of `k` takes in each of its buffers.
pub(crate) fn stride(k: i64, lanes: u32) -> i64 {
    let lanes = i64::from(lanes);
    (k + lanes - 1) / lanes * lanes + lanes
}

/// An i32 constant.
pub(crate) fn i32c(value: i64) -> Expr {
    Expr::Lit(Literal::int(DType::I32, value))
}

/// Whether a value takes the place of one that the list has: greater, or any number where that is NaN.
pub(crate) fn beats(dtype: DType, value: Expr, old: Expr) -> Expr {
    if !dtype.is_float() {
        return op2(ScalarOp::Gt, value, old);
    }
    let above = op1(ScalarOp::Not, op2(ScalarOp::Le, value.clone(), old));
    op2(ScalarOp::And, above, op2(ScalarOp::Eq, value.clone(), value))
}

impl Lists {
    /// Position of an element of the list that begins at `start`.
    pub fn at(&self, start: Index, element: impl Into<Index>) -> Index {
        start + i64::from(self.lanes) + element.into()
    }

    /// Position of the last of the `k` elements: the one to be beaten.
    pub fn last(&self, start: Index) -> Index {
        self.at(start, self.k - 1)
    }

    fn vectors(&self) -> i64 {
        stride(self.k, self.lanes) / i64::from(self.lanes) - 1
    }

    /// Makes an empty list: NaN (the least value of an integer type) with id -1.
    pub fn clear(&self, k: &mut KernelBuilder, start: &Index) {
        let dtype = k.info(self.values).dtype;
        let (greatest, empty) = if dtype.is_float() {
            (Literal::float(dtype, f64::INFINITY), Literal::float(dtype, f64::NAN))
        } else {
            (ReduceOp::Min.identity(dtype), ReduceOp::Max.identity(dtype))
        };
        let lanes = i64::from(self.lanes);
        let whole = stride(self.k, self.lanes);
        for (lo, hi, value, id) in [(0, lanes, greatest, 0), (lanes, whole, empty, -1)] {
            k.for_step("l", lo, hi, 1, Vector(self.lanes), |k, l| {
                k.store(self.values, start.clone() + l.clone(), Expr::Lit(value));
                k.store(self.ids, start.clone() + l, i32c(id));
            });
        }
    }

    /// Puts a value with its id into the list that begins at `start`, below those that it does not beat. A
    /// list with room takes any value, NaN too; `beats_last` says that the value is known to beat the last of
    /// the `k`, which takes fewer instructions.
    pub fn insert(
        &self,
        k: &mut KernelBuilder,
        start: &Index,
        (value, id): (ValId, ValId),
        beats_last: bool,
    ) {
        let (dtype, lanes) = (k.info(self.values).dtype, i64::from(self.lanes));
        let register = latentc_ir::nest::Space::Register;
        let new_value = k.buffer("new_value", dtype, lanes, register);
        let new_id = k.buffer("new_id", DType::I32, lanes, register);
        let vectors = self.vectors();
        let passes_by = |old: Expr, old_id: Expr| {
            if beats_last {
                // A number, so that it beats NaN and with that all empty places of floats; those of integers
                // have the least value, and stand beyond the last of a full list.
                return match dtype.is_float() {
                    true => op1(ScalarOp::Not, op2(ScalarOp::Le, value.into(), old)),
                    false => op2(ScalarOp::Gt, value.into(), old),
                };
            }
            let empty = op2(ScalarOp::Lt, old_id, i32c(0));
            op2(ScalarOp::Or, beats(dtype, value.into(), old), empty)
        };
        let shift = |k: &mut KernelBuilder, first: Index| {
            k.for_("l", lanes, Vector(self.lanes), |k, l| {
                let here = first.clone() + l.clone();
                let mut old = |at: Index| {
                    let old_value = k.let_(dtype, load(self.values, at.clone()));
                    let old_id = k.let_(DType::I32, load(self.ids, at));
                    let beaten = k.let_(DType::Bool, passes_by(old_value.into(), old_id.into()));
                    (old_value, old_id, beaten)
                };
                let (before, before_id, passes) = old(here.clone() - 1);
                let (_, _, stays) = old(here.clone());
                let (at_value, at_id) = (load(self.values, here.clone()), load(self.ids, here));
                let select = |shifted: ValId, new: ValId, old: Expr| {
                    let rest = Expr::Op(ScalarOp::Select, vec![stays.into(), new.into(), old]);
                    Expr::Op(ScalarOp::Select, vec![passes.into(), shifted.into(), rest])
                };
                k.store(new_value, l.clone(), select(before, value, at_value));
                k.store(new_id, l, select(before_id, id, at_id));
            });
            k.for_("l", lanes, Vector(self.lanes), |k, l| {
                k.store(self.values, first.clone() + l.clone(), load(new_value, l.clone()));
                k.store(self.ids, first.clone() + l.clone(), load(new_id, l));
            });
        };
        let first = |v: Index| self.at(start.clone(), (Index::Const(vectors - 1) - v) * lanes);
        if vectors <= WRITE_OUT {
            k.for_("v", vectors, Unroll, |k, v| shift(k, first(v)));
            return;
        }
        if vectors <= ALL {
            k.for_("v", vectors, Serial, |k, v| shift(k, first(v)));
            return;
        }
        k.for_("v", vectors, Serial, |k, v| {
            // Vectors whose last element stays do not change.
            let last = first(v.clone()) + (lanes - 1);
            let changes = passes_by(load(self.values, last.clone()), load(self.ids, last));
            k.if_(changes, |k| shift(k, first(v)), |_| {});
        });
    }
}
