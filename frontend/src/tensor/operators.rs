//! `+ - * / %`, unary minus, the logical operators, and shifts.

use super::{Arg, Tensor};
use crate::dims::Dim;
use latentc_ir::scalar::ScalarOp;
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Rem, Shl, Shr, Sub};
use std::panic::Location;

macro_rules! binary {
    ($($trait:ident :: $method:ident = $op:ident;)+) => {$(
        impl<'g, A: Arg<'g>> $trait<A> for Tensor<'g> {
            type Output = Tensor<'g>;
            #[track_caller]
            fn $method(self, other: A) -> Tensor<'g> {
                self.apply(ScalarOp::$op, other, Location::caller())
            }
        }
        binary! { @left $trait :: $method = $op; f32 f64 i32 Dim<'g> }
    )+};
    (@left $trait:ident :: $method:ident = $op:ident; $($left:ty)+) => {$(
        impl<'g> $trait<Tensor<'g>> for $left {
            type Output = Tensor<'g>;
            #[track_caller]
            fn $method(self, other: Tensor<'g>) -> Tensor<'g> {
                let at = Location::caller();
                self.tensor(other, at).apply(ScalarOp::$op, other, at)
            }
        }
    )+};
}

binary! {
    Add::add = Add;
    Sub::sub = Sub;
    Mul::mul = Mul;
    Div::div = Div;
    Rem::rem = Rem;
}

macro_rules! logic {
    ($($trait:ident :: $method:ident = $op:ident;)+) => {$(
        impl<'g> $trait for Tensor<'g> {
            type Output = Tensor<'g>;
            #[track_caller]
            fn $method(self, other: Tensor<'g>) -> Tensor<'g> {
                self.apply(ScalarOp::$op, other, Location::caller())
            }
        }
    )+};
}

logic! {
    BitAnd::bitand = And;
    BitOr::bitor = Or;
    BitXor::bitxor = Xor;
    Shl::shl = Shl;
    Shr::shr = Shr;
}

impl<'g> Neg for Tensor<'g> {
    type Output = Tensor<'g>;
    #[track_caller]
    fn neg(self) -> Tensor<'g> {
        self.map(ScalarOp::Neg, Location::caller())
    }
}

impl<'g> Not for Tensor<'g> {
    type Output = Tensor<'g>;
    #[track_caller]
    fn not(self) -> Tensor<'g> {
        self.map(ScalarOp::Not, Location::caller())
    }
}

impl<'g> Tensor<'g> {
    /// A size as a scalar of this tensor's element type, computed in each run.
    #[track_caller]
    pub fn size_like(self, size: Dim<'g>) -> Tensor<'g> {
        size.tensor(self, Location::caller())
    }
}
