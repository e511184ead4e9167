//! Types of graph values: dense tensors, CSR structures, and gradients that touch few rows.

use crate::dim::Dim;
use crate::dtype::DType;
use smallvec::SmallVec;
use std::fmt;

/// The sizes of a tensor, outermost first.
pub type Shape = SmallVec<[Dim; 4]>;

/// The type of a graph value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// A dense tensor, row-major.
    Tensor(TensorType),
    /// The pattern of a sparse matrix. Not differentiable; values are an ordinary 1-D tensor beside it.
    Csr(CsrType),
    /// A gradient that is zero outside the rows it lists; ids may repeat, their rows add up.
    RowSparse(RowSparseType),
}

/// Element type and sizes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Sizes, outermost first; empty for a scalar.
    pub shape: Shape,
}

/// A sparse pattern in compressed rows: `indptr` i32 `[rows + 1]`, `indices` i32 `[nnz]`, ascending in a
/// row. The transposed twin, with the permutation of its edges, belongs to it (the pattern itself where
/// `symmetric`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CsrType {
    /// Number of rows.
    pub rows: Dim,
    /// Number of columns.
    pub cols: Dim,
    /// Number of stored entries.
    pub nnz: Dim,
    /// Whether the pattern equals its transpose.
    pub symmetric: bool,
}

/// A tensor of `shape` given by `count` rows of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowSparseType {
    /// Element type.
    pub dtype: DType,
    /// Sizes of the whole tensor; the first is the number of rows.
    pub shape: Shape,
    /// How many rows are listed, repetitions counted.
    pub count: Dim,
}

impl TensorType {
    /// A tensor type.
    pub fn new(dtype: DType, shape: impl IntoIterator<Item = Dim>) -> TensorType {
        TensorType { dtype, shape: shape.into_iter().collect() }
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn elements(&self) -> Dim {
        product(&self.shape)
    }
}

/// The product of sizes; 1 for none.
pub fn product(shape: &[Dim]) -> Dim {
    shape.iter().fold(Dim::constant(1), |p, d| &p * d)
}

impl Type {
    /// A tensor type.
    pub fn tensor(dtype: DType, shape: impl IntoIterator<Item = Dim>) -> Type {
        Type::Tensor(TensorType::new(dtype, shape))
    }

    /// A scalar.
    pub fn scalar(dtype: DType) -> Type {
        Type::tensor(dtype, [])
    }

    /// The tensor type, where it is one.
    pub fn as_tensor(&self) -> Option<&TensorType> {
        match self {
            Type::Tensor(t) => Some(t),
            _ => None,
        }
    }

    /// The CSR type, where it is one.
    pub fn as_csr(&self) -> Option<&CsrType> {
        match self {
            Type::Csr(t) => Some(t),
            _ => None,
        }
    }

    /// The row-sparse type, where it is one.
    pub fn as_row_sparse(&self) -> Option<&RowSparseType> {
        match self {
            Type::RowSparse(t) => Some(t),
            _ => None,
        }
    }
}

/// Sizes as text: `[2, n, 64]`.
pub fn shape_text(shape: &[Dim]) -> String {
    let sizes: Vec<String> = shape.iter().map(|d| d.to_string()).collect();
    format!("[{}]", sizes.join(", "))
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Tensor(t) => write!(f, "{}{}", t.dtype, shape_text(&t.shape)),
            Type::Csr(c) => write!(
                f,
                "csr[{}, {}; {}{}]",
                c.rows,
                c.cols,
                c.nnz,
                if c.symmetric { "; symmetric" } else { "" }
            ),
            Type::RowSparse(r) => write!(f, "rows<{}>{}{}", r.count, r.dtype, shape_text(&r.shape)),
        }
    }
}
