//! Sizes and axes as the DSL takes them: numbers, named dims, and arithmetic on both.

use crate::scope::Scope;
use latentc_ir::dim::Dim as Size;
use latentc_ir::types::Shape;
use std::fmt;
use std::ops::{Add, Bound, Div, Mul, RangeBounds, Sub};
use std::panic::Location;

/// A place in the user's source.
pub(crate) type At = &'static Location<'static>;

/// A size of a program: a constant, a name declared by [`Scope::dim`], or an expression over both.
///
/// A handle, free to copy. `+ - *` and `/` (rounded down) work with other dims and with whole numbers.
/// A dim that comes out of a mistake is poisoned: what uses it stays silent.
#[derive(Clone, Copy)]
pub struct Dim<'g> {
    pub(crate) scope: &'g Scope,
    /// Position in the scope's list; `None` where poisoned.
    pub(crate) index: Option<usize>,
}

impl<'g> Dim<'g> {
    /// The size as the compiler keeps it; `None` where the dim comes out of a mistake.
    pub fn size(self) -> Option<Size> {
        self.scope.size_at(self.index?)
    }

    /// The value, where it is a constant.
    pub fn as_const(self) -> Option<usize> {
        self.size()?.as_const().and_then(|v| usize::try_from(v).ok())
    }

    /// The quotient rounded down.
    #[track_caller]
    fn quotient(self, by: impl DimLike) -> Dim<'g> {
        let at = Location::caller();
        let (Some(a), Some(b)) = (self.size(), by.resolve(self.scope, at)) else {
            return Dim { scope: self.scope, index: None };
        };
        if b.lower() < 1 {
            self.scope.error(
                at,
                format!("{a} is divided by {b}, which can be {}", b.lower()),
                "divided here",
            );
            return Dim { scope: self.scope, index: None };
        }
        self.scope.intern(a.floor_div(&b))
    }

    #[track_caller]
    fn with(self, other: impl DimLike, f: impl FnOnce(&Size, &Size) -> Size) -> Dim<'g> {
        let at = Location::caller();
        match (self.size(), other.resolve(self.scope, at)) {
            (Some(a), Some(b)) => self.scope.intern(f(&a, &b)),
            _ => Dim { scope: self.scope, index: None },
        }
    }
}

impl fmt::Debug for Dim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Dim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.size() {
            Some(size) => write!(f, "{size}"),
            None => f.write_str("?"),
        }
    }
}

impl PartialEq for Dim<'_> {
    /// Whether the sizes are the same expression.
    fn eq(&self, other: &Self) -> bool {
        self.size().is_some() && self.size() == other.size()
    }
}

macro_rules! arithmetic {
    ($($trait:ident :: $method:ident, $f:expr;)+) => {$(
        impl<'g, D: DimLike> $trait<D> for Dim<'g> {
            type Output = Dim<'g>;
            #[track_caller]
            fn $method(self, other: D) -> Dim<'g> {
                self.with(other, $f)
            }
        }
        arithmetic! { @left $trait :: $method, $f; usize i32 i64 }
    )+};
    (@left $trait:ident :: $method:ident, $f:expr; $($number:ty)+) => {$(
        impl<'g> $trait<Dim<'g>> for $number {
            type Output = Dim<'g>;
            #[track_caller]
            fn $method(self, other: Dim<'g>) -> Dim<'g> {
                other.with(self, |b, a| $f(a, b))
            }
        }
    )+};
}

arithmetic! {
    Add::add, |a: &Size, b: &Size| a + b;
    Sub::sub, |a: &Size, b: &Size| a - b;
    Mul::mul, |a: &Size, b: &Size| a * b;
}

impl<'g, D: DimLike> Div<D> for Dim<'g> {
    type Output = Dim<'g>;
    #[track_caller]
    fn div(self, by: D) -> Dim<'g> {
        self.quotient(by)
    }
}

/// What may stand for a size: a whole number, a [`Dim`], or the compiler's own size.
pub trait DimLike {
    /// The size; `None` where it comes out of a mistake that has been reported, or is reported now.
    #[doc(hidden)]
    fn resolve(&self, scope: &Scope, at: At) -> Option<Size>;
}

macro_rules! numbers {
    ($($t:ty)+) => {$(
        impl DimLike for $t {
            fn resolve(&self, scope: &Scope, at: At) -> Option<Size> {
                match i64::try_from(*self) {
                    Ok(value) => Some(Size::constant(value)),
                    Err(_) => {
                        scope.error(at, format!("a size of {self} does not fit in 63 bits"), "this size");
                        None
                    }
                }
            }
        }
    )+};
}
numbers! { i32 i64 u32 usize }

impl DimLike for Dim<'_> {
    fn resolve(&self, scope: &Scope, at: At) -> Option<Size> {
        let size = self.size()?;
        if !std::ptr::eq(self.scope, scope) && !size.symbols().is_empty() {
            scope.error(at, format!("the dim {size} belongs to another program"), "used here");
            return None;
        }
        Some(size)
    }
}

impl DimLike for Size {
    fn resolve(&self, _: &Scope, _: At) -> Option<Size> {
        Some(self.clone())
    }
}

impl<D: DimLike + ?Sized> DimLike for &D {
    fn resolve(&self, scope: &Scope, at: At) -> Option<Size> {
        (**self).resolve(scope, at)
    }
}

/// What may stand for the sizes of a tensor: an array, slice or `Vec` of one kind of size, a tuple of any
/// kinds, `()` for a scalar.
pub trait ShapeLike {
    /// The sizes, as [`DimLike::resolve`].
    #[doc(hidden)]
    fn resolve(&self, scope: &Scope, at: At) -> Option<Shape>;
}

fn checked(scope: &Scope, at: At, sizes: impl IntoIterator<Item = Option<Size>>) -> Option<Shape> {
    let shape: Shape = sizes.into_iter().collect::<Option<_>>()?;
    for (axis, size) in shape.iter().enumerate() {
        if size.lower() < 0 {
            let message = if size.as_const().is_some() {
                format!("axis {axis} has size {size}; sizes are not negative")
            } else {
                format!("axis {axis} has size {size}, which can be as low as {}", size.lower())
            };
            scope.error(at, message, "these sizes");
            return None;
        }
    }
    Some(shape)
}

impl<D: DimLike> ShapeLike for [D] {
    fn resolve(&self, scope: &Scope, at: At) -> Option<Shape> {
        checked(scope, at, self.iter().map(|d| d.resolve(scope, at)))
    }
}

impl<D: DimLike, const N: usize> ShapeLike for [D; N] {
    fn resolve(&self, scope: &Scope, at: At) -> Option<Shape> {
        self.as_slice().resolve(scope, at)
    }
}

impl<D: DimLike> ShapeLike for Vec<D> {
    fn resolve(&self, scope: &Scope, at: At) -> Option<Shape> {
        self.as_slice().resolve(scope, at)
    }
}

impl ShapeLike for Shape {
    fn resolve(&self, scope: &Scope, at: At) -> Option<Shape> {
        self.as_slice().resolve(scope, at)
    }
}

impl<S: ShapeLike + ?Sized> ShapeLike for &S {
    fn resolve(&self, scope: &Scope, at: At) -> Option<Shape> {
        (**self).resolve(scope, at)
    }
}

impl ShapeLike for () {
    fn resolve(&self, _: &Scope, _: At) -> Option<Shape> {
        Some(Shape::new())
    }
}

macro_rules! tuples {
    ($(($($name:ident . $index:tt),+))+) => {$(
        impl<$($name: DimLike),+> ShapeLike for ($($name,)+) {
            fn resolve(&self, scope: &Scope, at: At) -> Option<Shape> {
                checked(scope, at, [$(self.$index.resolve(scope, at)),+])
            }
        }
    )+};
}
tuples! {
    (A.0)
    (A.0, B.1)
    (A.0, B.1, C.2)
    (A.0, B.1, C.2, D.3)
    (A.0, B.1, C.2, D.3, E.4)
    (A.0, B.1, C.2, D.3, E.4, F.5)
}

/// What may stand for an axis: a number from 0, or from -1 backwards for the last axes.
pub trait AxisLike: Copy + fmt::Display {
    /// The axis among `rank`.
    #[doc(hidden)]
    fn axis(self, rank: usize) -> Option<usize>;
}

macro_rules! axes {
    ($($t:ty)+) => {$(
        impl AxisLike for $t {
            fn axis(self, rank: usize) -> Option<usize> {
                let given = i64::try_from(self).ok()?;
                let rank = i64::try_from(rank).ok()?;
                let axis = if given < 0 { given + rank } else { given };
                (0..rank).contains(&axis).then_some(axis as usize)
            }
        }
        impl AxesLike for $t {
            fn axes(&self, rank: usize) -> Result<Vec<usize>, String> {
                one_axis(*self, rank).map(|a| vec![a])
            }
        }
    )+};
}
axes! { i32 i64 usize isize }

fn one_axis(axis: impl AxisLike, rank: usize) -> Result<usize, String> {
    axis.axis(rank).ok_or_else(|| format!("axis {axis} of a tensor of {rank} axes"))
}

/// What may stand for some axes: one, or an array, slice or `Vec` of them.
pub trait AxesLike {
    /// The axes among `rank` in the order given, or what is wrong.
    #[doc(hidden)]
    fn axes(&self, rank: usize) -> Result<Vec<usize>, String>;
}

impl<A: AxisLike> AxesLike for [A] {
    fn axes(&self, rank: usize) -> Result<Vec<usize>, String> {
        let axes: Vec<usize> = self.iter().map(|a| one_axis(*a, rank)).collect::<Result<_, _>>()?;
        match axes.iter().enumerate().find(|(i, a)| axes[..*i].contains(a)) {
            Some((_, twice)) => Err(format!("axis {twice} is named twice")),
            None => Ok(axes),
        }
    }
}

impl<A: AxisLike, const N: usize> AxesLike for [A; N] {
    fn axes(&self, rank: usize) -> Result<Vec<usize>, String> {
        self.as_slice().axes(rank)
    }
}

impl<A: AxisLike> AxesLike for Vec<A> {
    fn axes(&self, rank: usize) -> Result<Vec<usize>, String> {
        self.as_slice().axes(rank)
    }
}

impl<A: AxesLike + ?Sized> AxesLike for &A {
    fn axes(&self, rank: usize) -> Result<Vec<usize>, String> {
        (**self).axes(rank)
    }
}

/// The two ends of a range over sizes, the second exclusive; a missing end is `whole`.
pub(crate) fn range<D: DimLike>(
    scope: &Scope,
    at: At,
    range: &impl RangeBounds<D>,
    whole: &Size,
) -> Option<(Size, Size)> {
    let one = Size::constant(1);
    let start = match range.start_bound() {
        Bound::Included(d) => d.resolve(scope, at)?,
        Bound::Excluded(d) => &d.resolve(scope, at)? + &one,
        Bound::Unbounded => Size::constant(0),
    };
    let end = match range.end_bound() {
        Bound::Included(d) => &d.resolve(scope, at)? + &one,
        Bound::Excluded(d) => d.resolve(scope, at)?,
        Bound::Unbounded => whole.clone(),
    };
    Some((start, end))
}
