//! The tensor handle, and how operands of different shapes meet.

mod activation;
mod attention;
mod composed;
mod draws;
mod elementwise;
mod linalg;
mod movement;
mod norm;
mod operators;
mod positions;
mod quantize;
mod reduce;
mod scan;
mod spatial;

pub use attention::Attention;
pub use linalg::Triangle;
pub use positions::{Around, Update};
pub(crate) use reduce::How;
pub use scan::Walk;

use crate::dims::{At, AxesLike, AxisLike, Dim, DimLike};
use crate::scope::Scope;
use latentc_ir::diag::{Diag, Span};
use latentc_ir::dim::{Dim as Size, Proof};
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::Operand;
use latentc_ir::ops::Op;
use latentc_ir::ops::broadcast::Broadcast;
use latentc_ir::ops::cast::Cast;
use latentc_ir::ops::elementwise::Elementwise;
use latentc_ir::ops::reshape::Reshape;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::{Shape, TensorType, Type, shape_text};
use std::fmt;
use std::panic::Location;

/// A value of a program under construction. A handle, free to copy.
///
/// Where operands have different shapes, their last axes are lined up; an axis that is missing or has size 1
/// repeats, other sizes must be equal. A number takes the element type of the tensor it meets.
///
/// A tensor that comes out of a mistake is poisoned: what uses it is poisoned too and stays silent.
#[derive(Clone, Copy)]
pub struct Tensor<'g> {
    pub(crate) scope: &'g Scope,
    /// The value; `None` where poisoned.
    pub(crate) value: Option<Operand>,
    /// The line that made it.
    pub(crate) at: At,
}

/// What may meet a tensor in an operation: a tensor, a number, or a [`Dim`].
pub trait Arg<'g>: Copy {
    /// As a tensor of the element type of `like`.
    #[doc(hidden)]
    fn tensor(self, like: Tensor<'g>, at: At) -> Tensor<'g>;
}

impl<'g> Arg<'g> for Tensor<'g> {
    fn tensor(self, _: Tensor<'g>, _: At) -> Tensor<'g> {
        self
    }
}

macro_rules! numbers {
    ($($t:ty)+) => {$(
        impl<'g> Arg<'g> for $t {
            fn tensor(self, like: Tensor<'g>, at: At) -> Tensor<'g> {
                like.number(self as f64, at)
            }
        }
    )+};
}
numbers! { f32 f64 i32 }

impl<'g> Arg<'g> for Dim<'g> {
    fn tensor(self, like: Tensor<'g>, at: At) -> Tensor<'g> {
        let (Some(size), Some(dtype)) = (self.resolve(like.scope, at), like.dtype()) else {
            return like.scope.poisoned(at);
        };
        let graph = &mut like.scope.state.borrow_mut().graph;
        let before = graph.at.replace(Span::from(at));
        let value = match size.as_const() {
            Some(c) => graph.fill(Literal::int(DType::I64, c), []),
            None => graph.emit(latentc_ir::ops::size::Size { dim: size }, &[]),
        };
        let value = graph.cast(value, dtype);
        graph.at = before;
        Tensor { scope: like.scope, value: Some(value), at }
    }
}

impl<'g> Tensor<'g> {
    /// The value in the graph; `None` where the tensor comes out of a mistake.
    pub fn operand(self) -> Option<Operand> {
        self.value
    }

    /// The scope it belongs to.
    pub fn scope(self) -> &'g Scope {
        self.scope
    }

    /// Element type and sizes; `None` where poisoned.
    pub(crate) fn ty(self) -> Option<TensorType> {
        self.scope.state.borrow().graph.type_of(self.value?).as_tensor().cloned()
    }

    /// The element type; `None` where the tensor comes out of a mistake.
    pub fn dtype(self) -> Option<DType> {
        self.ty().map(|t| t.dtype)
    }

    /// The sizes, outermost first; none where the tensor comes out of a mistake. [`Tensor::dim`] gives one
    /// of them without an index that may fail.
    pub fn shape(self) -> Vec<Dim<'g>> {
        let shape = self.ty().map(|t| t.shape).unwrap_or_default();
        shape.into_iter().map(|d| self.scope.intern(d)).collect()
    }

    /// Number of axes.
    pub fn rank(self) -> usize {
        self.ty().map_or(0, |t| t.rank())
    }

    /// The size of one axis.
    #[track_caller]
    pub fn dim(self, axis: impl AxisLike) -> Dim<'g> {
        let at = Location::caller();
        let poisoned = Dim { scope: self.scope, index: None };
        let Some(ty) = self.ty() else { return poisoned };
        let [axis] = self.axes(&[axis], "dim", at).unwrap_or_default()[..] else { return poisoned };
        self.scope.intern(ty.shape[axis].clone())
    }

    /// The axes, or `None` and a mistake where there are no such.
    pub(crate) fn axes(self, axes: &(impl AxesLike + ?Sized), what: &str, at: At) -> Option<Vec<usize>> {
        let ty = self.ty()?;
        match axes.axes(ty.rank()) {
            Ok(axes) => Some(axes),
            Err(message) => {
                let text = shape_text(&ty.shape);
                self.fault(at, format!("`{what}`: {message}, {text}"), format!("`{what}` here"));
                None
            }
        }
    }

    /// Records a mistake of which this tensor is part.
    pub(crate) fn fault(self, at: At, message: impl Into<String>, label: impl Into<String>) {
        let Some(value) = self.value else { return };
        let ty = self.scope.state.borrow().graph.type_of(value).clone();
        let diag = Diag::new(message, Span::from(at), label);
        self.scope.report(diag.label(Span::from(self.at), format!("this is {ty}")));
    }

    pub(crate) fn emit(self, op: impl Into<Op>, at: At) -> Tensor<'g> {
        self.scope.emit(op, &[self], at)
    }

    /// A scalar constant of this tensor's element type.
    fn number(self, value: f64, at: At) -> Tensor<'g> {
        let Some(dtype) = self.dtype() else { return self.scope.poisoned(at) };
        if !dtype.is_float() && (value.fract() != 0.0 || dtype == DType::Bool) {
            self.fault(at, format!("the number {value} meets a tensor of {dtype}; insert a cast"), "here");
            return self.scope.poisoned(at);
        }
        let value = self.scope.state.borrow_mut().graph.fill(Literal::float(dtype, value), []);
        Tensor { scope: self.scope, value: Some(value), at }
    }

    /// An elementwise op of one operand.
    pub(crate) fn map(self, op: ScalarOp, at: At) -> Tensor<'g> {
        self.emit(Elementwise { op }, at)
    }

    /// An elementwise op of two operands.
    pub(crate) fn apply(self, op: ScalarOp, other: impl Arg<'g>, at: At) -> Tensor<'g> {
        let other = other.tensor(self, at);
        self.scope.elementwise(op, &[self, other], at)
    }

    pub(crate) fn cast_at(self, to: DType, at: At) -> Tensor<'g> {
        if self.dtype() == Some(to) { self } else { self.emit(Cast { to }, at) }
    }

    /// Other sizes of the same number of elements; sizes that were only renamed before are seen through.
    pub(crate) fn reshape_to(self, shape: Shape, at: At) -> Tensor<'g> {
        let Some(value) = self.value else { return self };
        let source = {
            let graph = &self.scope.state.borrow().graph;
            match graph.node(value.node).op {
                Op::Reshape(_) => graph.node(value.node).operands[0],
                _ => value,
            }
        };
        let source = Tensor { value: Some(source), ..self };
        match source.ty() {
            Some(ty) if ty.shape == shape => source,
            _ => source.emit(Reshape { shape }, at),
        }
    }

    /// Repeats to a shape that [`common_shape`] allows.
    pub(crate) fn expand(self, to: &Shape, at: At) -> Tensor<'g> {
        let Some(ty) = self.ty() else { return self };
        if ty.shape == *to {
            return self;
        }
        if let Some(number) = self.as_fill() {
            let value = self.scope.state.borrow_mut().graph.fill(number, to.iter().cloned());
            return Tensor { value: Some(value), at, ..self };
        }
        let new = to.len() - ty.rank();
        let kept: Vec<usize> =
            (0..ty.rank()).filter(|i| ty.shape[*i] == to[new + *i] || !is_one(&ty.shape[*i])).collect();
        let shape = kept.iter().map(|i| ty.shape[*i].clone()).collect();
        let op = Broadcast { shape: to.clone(), axes: kept.iter().map(|i| new + i).collect() };
        let base = self.reshape_to(shape, at);
        if base.ty().is_some_and(|t| t.shape == *to) { base } else { base.emit(op, at) }
    }

    /// The number that every element is, where the value is a constant.
    fn as_fill(self) -> Option<Literal> {
        match &self.scope.state.borrow().graph.node(self.value?.node).op {
            Op::Fill(fill) => Some(fill.value),
            _ => None,
        }
    }
}

fn is_one(size: &Size) -> bool {
    size.as_const() == Some(1)
}

/// The shape to which all of these repeat, or the two positions and the axis (from the end) that disagree.
fn common_shape(shapes: &[Shape]) -> Result<Shape, (usize, usize, usize)> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out = Shape::new();
    for back in (1..=rank).rev() {
        let mut size: Option<(usize, &Size)> = None;
        for (i, shape) in shapes.iter().enumerate() {
            let Some(d) = shape.len().checked_sub(back).map(|axis| &shape[axis]) else { continue };
            match size {
                Some((_, known)) if known.eq_proof(d) == Proof::True || is_one(d) => {}
                Some((first, known)) if !is_one(known) => return Err((first, i, back)),
                _ => size = Some((i, d)),
            }
        }
        out.extend(size.map(|(_, d)| d.clone()));
    }
    Ok(out)
}

impl Scope {
    /// An elementwise op on operands that are first repeated to their common shape.
    pub(crate) fn elementwise<'g>(&'g self, op: ScalarOp, operands: &[Tensor<'g>], at: At) -> Tensor<'g> {
        match self.align(op.name(), operands, at) {
            Some(aligned) => self.emit(Elementwise { op }, &aligned, at),
            None => self.poisoned(at),
        }
    }

    /// The operands repeated to their common shape.
    pub(crate) fn align<'g>(
        &'g self,
        what: &str,
        operands: &[Tensor<'g>],
        at: At,
    ) -> Option<Vec<Tensor<'g>>> {
        if operands.iter().any(|t| self.own(*t, at).is_none()) {
            return None;
        }
        let types: Vec<TensorType> = operands.iter().map(|t| t.ty()).collect::<Option<_>>()?;
        let shapes: Vec<Shape> = types.iter().map(|t| t.shape.clone()).collect();
        match common_shape(&shapes) {
            Ok(shape) => Some(operands.iter().map(|t| t.expand(&shape, at)).collect()),
            Err((first, second, back)) => {
                let sizes =
                    [first, second].map(|i| (shapes[i].len() - back, &shapes[i][shapes[i].len() - back]));
                let [(axis_a, a), (axis_b, b)] = sizes;
                let reason = match a.eq_proof(b) {
                    Proof::Unknown => " cannot be shown equal",
                    _ => " differ",
                };
                let message = format!(
                    "`{what}` of {} and {}: size {a} of axis {axis_a} and size {b} of axis {axis_b}{reason}",
                    shape_text(&shapes[first]),
                    shape_text(&shapes[second]),
                );
                let mut diag = Diag::new(message, Span::from(at), format!("`{what}` here"));
                for i in [first, second] {
                    let text = format!("this is {}", Type::Tensor(types[i].clone()));
                    diag = diag.label(Span::from(operands[i].at), text);
                }
                diag = diag.note(
                    "shapes are lined up from their last axes; an axis that is missing or of size 1 repeats",
                );
                let diag = self.explain_dims(diag, [a, b].into_iter());
                self.report(diag);
                None
            }
        }
    }
}

impl fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Some(value) => write!(f, "{}", self.scope.state.borrow().graph.type_of(value)),
            None => f.write_str("poisoned"),
        }
    }
}
