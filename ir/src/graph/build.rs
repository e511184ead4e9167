//! Writing into a graph from passes, derivatives and bodies, where the types are known to fit.
//!
//! The functions here panic where an op refuses its operands: that is a fault of the pass, never of a user,
//! whose ops go through [`Graph::add`].

use super::{Graph, Operand};
use crate::diag::Span;
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::ops::broadcast::Broadcast;
use crate::ops::cast::Cast;
use crate::ops::elementwise::Elementwise;
use crate::ops::iota::Iota;
use crate::ops::matmul::Matmul;
use crate::ops::permute::Permute;
use crate::ops::reduce::Reduce;
use crate::ops::reshape::Reshape;
use crate::ops::size::Size;
use crate::ops::{Axes, Op};
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{Shape, Type};

impl Graph {
    /// Adds a node with several results; gives them all.
    ///
    /// # Panics
    /// Where the operands do not fit: a fault of the caller.
    pub fn emit_all(&mut self, op: impl Into<Op>, operands: &[Operand]) -> Vec<Operand> {
        let span = self.at.clone().unwrap_or_else(Span::none);
        match self.add(op, operands, span) {
            Ok(node) => (0..self.node(node).types.len()).map(|p| Operand { node, port: p as u16 }).collect(),
            Err(diag) => panic!("a pass wrote an op that does not fit: {diag}"),
        }
    }

    /// Adds a node; gives its first result.
    pub fn emit(&mut self, op: impl Into<Op>, operands: &[Operand]) -> Operand {
        self.emit_all(op, operands)[0]
    }

    /// An elementwise op on operands of one shape.
    pub fn map(&mut self, op: ScalarOp, operands: &[Operand]) -> Operand {
        self.emit(Elementwise { op }, operands)
    }

    /// The element type of a tensor.
    pub fn dtype_of(&self, o: Operand) -> DType {
        self.tensor(o).dtype
    }

    /// The sizes of a tensor.
    pub fn shape_of(&self, o: Operand) -> Shape {
        self.tensor(o).shape.clone()
    }

    /// A constant of the type and shape of another value.
    pub fn fill_like(&mut self, o: Operand, value: f64) -> Operand {
        let (dtype, shape) = (self.dtype_of(o), self.shape_of(o));
        self.fill(Literal::float(dtype, value), shape)
    }

    /// A size as a number, the same for every element of a shape.
    pub fn size_as(&mut self, size: &Dim, dtype: DType, shape: Shape) -> Operand {
        match size.as_const() {
            Some(size) => self.fill(Literal::int(dtype, size), shape),
            None => {
                let size = self.emit(Size { dim: size.clone() }, &[]);
                let size = self.cast(size, dtype);
                self.broadcast(size, shape, Axes::new())
            }
        }
    }

    /// `max(min(ids, size - 1), 0)`, for integers.
    pub fn within(&mut self, ids: Operand, size: &Dim) -> Operand {
        let (dtype, shape) = (self.dtype_of(ids), self.shape_of(ids));
        let last = self.size_as(&(size - &Dim::constant(1)), dtype, shape.clone());
        let zero = self.fill(Literal::zero(dtype), shape);
        let low = self.map(ScalarOp::Min, &[ids, last]);
        self.map(ScalarOp::Max, &[low, zero])
    }

    /// The position of each element along an axis, as a number.
    pub fn iota(&mut self, shape: Shape, axis: usize, dtype: DType) -> Operand {
        self.emit(Iota { shape, axis, dtype }, &[])
    }

    /// `x * c` for a constant `c`.
    pub fn scale(&mut self, x: Operand, by: f64) -> Operand {
        let c = self.fill_like(x, by);
        self.map(ScalarOp::Mul, &[x, c])
    }

    /// Converts the elements; the same value where they have the type already.
    pub fn cast(&mut self, x: Operand, to: DType) -> Operand {
        if self.dtype_of(x) == to { x } else { self.emit(Cast { to }, &[x]) }
    }

    /// Other sizes; the same value where it has them already.
    pub fn reshape(&mut self, x: Operand, shape: Shape) -> Operand {
        if self.shape_of(x) == shape { x } else { self.emit(Reshape { shape }, &[x]) }
    }

    /// Repeats along new axes; the same value where there is none.
    pub fn broadcast(&mut self, x: Operand, shape: Shape, axes: Axes) -> Operand {
        if self.shape_of(x) == shape { x } else { self.emit(Broadcast { shape, axes }, &[x]) }
    }

    /// Repeats along axes that were reduced: the inverse of [`Graph::reduce`] for shapes.
    pub fn unreduce(&mut self, x: Operand, shape: Shape, reduced: &[usize]) -> Operand {
        let axes = (0..shape.len()).filter(|a| !reduced.contains(a)).collect();
        self.broadcast(x, shape, axes)
    }

    /// Combines along axes; the same value where there is none.
    pub fn reduce(&mut self, op: ReduceOp, x: Operand, axes: Axes) -> Operand {
        if axes.is_empty() { x } else { self.emit(Reduce { op, axes }, &[x]) }
    }

    /// Axes in another order; the same value where the order is the same.
    pub fn permute(&mut self, x: Operand, axes: Axes) -> Operand {
        if axes.iter().copied().eq(0..axes.len()) { x } else { self.emit(Permute { axes }, &[x]) }
    }

    /// A product of matrices.
    pub fn matmul(&mut self, a: Operand, b: Operand, transpose_a: bool, transpose_b: bool) -> Operand {
        self.emit(Matmul { transpose_a, transpose_b }, &[a, b])
    }

    /// The row-sparse parts of a value: looks through the op that made it where it can.
    pub fn row_sparse_parts(&mut self, x: Operand) -> (Operand, Operand) {
        if let Op::RowSparse(_) = self.node(x.node).op {
            let o = &self.node(x.node).operands;
            return (o[0], o[1]);
        }
        let parts = self.emit_all(crate::ops::row_sparse::RowSparseParts, &[x]);
        (parts[0], parts[1])
    }

    /// The dense form of a value: itself, or the sum of the rows of a row-sparse one.
    pub fn densify(&mut self, x: Operand) -> Operand {
        let Type::RowSparse(r) = self.type_of(x) else { return x };
        let rows: Dim = r.shape[0].clone();
        let (ids, values) = self.row_sparse_parts(x);
        self.emit(crate::ops::scatter_rows::ScatterRows { rows }, &[ids, values])
    }
}
