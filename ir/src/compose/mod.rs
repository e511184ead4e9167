//! Functions that are compositions of ops: they write several nodes for what is one step to a user.
//!
//! They are methods of [`Graph`] that check what they are given, so that importers and the DSL can hand on what a
//! user wrote: an error is one sentence that says what was expected and what was found. Derivatives, kernels and
//! fusion follow from the ops that they are made of.

pub mod attention;
pub mod bag;
pub mod contrast;
pub mod distinct;
pub mod edges;
pub mod einsum;
pub mod extreme;
pub mod fourier;
pub mod linalg;
pub mod marks;
pub mod nearest;
pub mod norm;
pub mod pad;
pub mod pool;
pub mod positions;
pub mod quantize;
pub mod random;
pub mod regions;
pub mod resize;
pub mod sample;

use crate::diag::Span;
use crate::dim::Proof;
use crate::dtype::DType;
use crate::graph::{Graph, Operand};
use crate::ops::{Axes, Op};
use crate::scalar::ScalarOp;
use crate::types::{Shape, TensorType, Type, shape_text};

/// A value, or one sentence that says why it cannot be.
pub type Composed = Result<Operand, String>;

impl Graph {
    /// Adds a node with one result whose operands may not fit.
    ///
    /// # Errors
    /// The op's own words where they do not.
    pub fn try_emit(&mut self, op: impl Into<Op>, operands: &[Operand]) -> Composed {
        let span = self.at.clone().unwrap_or_else(Span::none);
        self.value(op, operands, span).map_err(|d| d.message)
    }

    /// Element type and sizes of a value that must be a dense tensor.
    ///
    /// # Errors
    /// Where it is none.
    pub fn dense(&self, what: &str, x: Operand) -> Result<TensorType, String> {
        match self.type_of(x) {
            Type::Tensor(t) => Ok(t.clone()),
            other => Err(format!("`{what}` takes tensors, {other} found")),
        }
    }

    /// Repeats a tensor to a shape: last axes are lined up, an axis that is missing or has size 1 repeats.
    ///
    /// # Errors
    /// Where another size differs, or cannot be shown equal.
    pub fn repeat_to(&mut self, x: Operand, shape: &[crate::dim::Dim]) -> Composed {
        let from = self.dense("broadcast", x)?.shape;
        let fits = |(a, b): (&crate::dim::Dim, &crate::dim::Dim)| {
            a.eq_proof(b) == Proof::True || a.as_const() == Some(1)
        };
        if from.len() > shape.len() || !from.iter().rev().zip(shape.iter().rev()).all(fits) {
            return Err(format!("{} does not repeat to {}", shape_text(&from), shape_text(shape)));
        }
        let new = shape.len() - from.len();
        let kept: Vec<usize> =
            (0..from.len()).filter(|i| from[*i].eq_proof(&shape[new + i]) == Proof::True).collect();
        let base = self.reshape(x, kept.iter().map(|i| from[*i].clone()).collect());
        Ok(self.broadcast(base, shape.iter().cloned().collect(), kept.iter().map(|i| new + i).collect()))
    }

    /// The shape to which shapes repeat together.
    ///
    /// # Errors
    /// Where two sizes of one axis differ and neither is 1.
    pub fn common_shape(&self, shapes: &[Shape]) -> Result<Shape, String> {
        let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
        let mut out: Shape = (0..rank).map(|_| 1.into()).collect();
        for shape in shapes {
            for (size, found) in out[rank - shape.len()..].iter_mut().zip(shape) {
                if size.as_const() == Some(1) {
                    *size = found.clone();
                } else if found.as_const() != Some(1) && size.eq_proof(found) != Proof::True {
                    let all: Vec<String> = shapes.iter().map(|s| shape_text(s)).collect();
                    return Err(format!(
                        "shapes {} do not repeat to one: {size} and {found} differ, or cannot be shown equal",
                        all.join(", ")
                    ));
                }
            }
        }
        Ok(out)
    }

    /// An elementwise op on operands that are first repeated to their common shape.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn aligned(&mut self, op: ScalarOp, operands: &[Operand]) -> Composed {
        let shapes: Vec<Shape> =
            operands.iter().map(|o| Ok(self.dense(op.name(), *o)?.shape)).collect::<Result<_, String>>()?;
        let shape = self.common_shape(&shapes)?;
        let all: Vec<Operand> =
            operands.iter().map(|o| self.repeat_to(*o, &shape)).collect::<Result<_, String>>()?;
        self.try_emit(crate::ops::elementwise::Elementwise { op }, &all)
    }

    /// An elementwise op of a tensor and a number of its type.
    fn by(&mut self, op: ScalarOp, x: Operand, number: f64) -> Operand {
        let number = self.fill_like(x, number);
        self.map(op, &[x, number])
    }

    /// A chosen element: `condition ? a : b`, where all have one shape.
    fn select(&mut self, condition: Operand, a: Operand, b: Operand) -> Operand {
        self.map(ScalarOp::Select, &[condition, a, b])
    }

    /// The mean along axes, which are taken away.
    pub fn mean(&mut self, x: Operand, axes: &[usize]) -> Operand {
        let sum = self.reduce(crate::scalar::ReduceOp::Sum, x, Axes::from_slice(axes));
        let shape = self.shape_of(x);
        let count = axes.iter().fold(crate::dim::Dim::constant(1), |p, a| &p * &shape[*a]);
        let count = self.size_as(&count, self.dtype_of(x), self.shape_of(sum));
        self.map(ScalarOp::Div, &[sum, count])
    }
}

/// An axis below `rank`; negative ones count from the end.
///
/// # Errors
/// Where there is no such axis.
pub fn axis_of(what: &str, axis: i64, rank: usize) -> Result<usize, String> {
    let found = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(found)
        .ok()
        .filter(|a| *a < rank)
        .ok_or_else(|| format!("`{what}` along axis {axis} of a tensor of {rank} axes"))
}

/// The type in which numbers that narrow floats would lose are computed.
fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}
