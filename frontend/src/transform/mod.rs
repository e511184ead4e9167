//! Functions of functions: derivatives within a program, gradients by hand, what derivatives compute again.

mod checkpoint;
mod grad;
mod marks;
mod vmap;

use crate::dims::At;
use crate::scope::Scope;
use crate::tensor::Tensor;
use latentc_ir::graph::Operand;

/// What a function of tensors takes or gives: one, an array or a list of them, or two or three such.
pub trait Tensors<'g>: Clone {
    /// The tensors, in order.
    #[doc(hidden)]
    fn list(&self) -> Vec<Tensor<'g>>;

    /// The same with other tensors, in the same order and at least as many.
    #[doc(hidden)]
    fn replaced(&self, by: &mut dyn Iterator<Item = Tensor<'g>>) -> Self;
}

impl<'g> Tensors<'g> for Tensor<'g> {
    fn list(&self) -> Vec<Tensor<'g>> {
        vec![*self]
    }

    fn replaced(&self, by: &mut dyn Iterator<Item = Tensor<'g>>) -> Self {
        by.next().unwrap_or(*self)
    }
}

impl<'g, T: Tensors<'g>, const N: usize> Tensors<'g> for [T; N] {
    fn list(&self) -> Vec<Tensor<'g>> {
        self.iter().flat_map(T::list).collect()
    }

    fn replaced(&self, by: &mut dyn Iterator<Item = Tensor<'g>>) -> Self {
        std::array::from_fn(|i| self[i].replaced(by))
    }
}

impl<'g, T: Tensors<'g>> Tensors<'g> for Vec<T> {
    fn list(&self) -> Vec<Tensor<'g>> {
        self.iter().flat_map(T::list).collect()
    }

    fn replaced(&self, by: &mut dyn Iterator<Item = Tensor<'g>>) -> Self {
        self.iter().map(|t| t.replaced(by)).collect()
    }
}

macro_rules! tuples {
    ($($($t:ident $i:tt),+;)+) => {$(
        impl<'g, $($t: Tensors<'g>),+> Tensors<'g> for ($($t,)+) {
            fn list(&self) -> Vec<Tensor<'g>> {
                [$(self.$i.list()),+].concat()
            }

            fn replaced(&self, by: &mut dyn Iterator<Item = Tensor<'g>>) -> Self {
                ($(self.$i.replaced(by),)+)
            }
        }
    )+};
}
tuples! { A 0, B 1; A 0, B 1, C 2; }

impl Scope {
    /// The values of tensors; `None` where one of them comes out of a mistake, or is one.
    fn values(&self, tensors: &[Tensor<'_>], at: At) -> Option<Vec<Operand>> {
        tensors.iter().map(|t| self.own(*t, at)).collect()
    }

    /// Tensors with other values, or poisoned ones.
    fn with_values<'g, T: Tensors<'g>>(&'g self, like: &T, values: Option<Vec<Operand>>, at: At) -> T {
        match values {
            Some(values) => {
                like.replaced(&mut values.into_iter().map(|o| Tensor { scope: self, value: Some(o), at }))
            }
            None => like.replaced(&mut std::iter::repeat_with(|| self.poisoned(at))),
        }
    }
}
