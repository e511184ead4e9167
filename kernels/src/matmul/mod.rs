//! Matrix products: which schedule takes which shape.

mod blocked;
mod dots;
mod long;
mod pack;

use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::nest::build::{KernelBuilder, load};
use latentc_ir::nest::{BufId, Expr, Index};
use latentc_ir::ops::matmul::Matmul;
use latentc_ir::types::{Type, product};

use crate::{Machine, Schedule};

pub use blocked::blocked;
pub use long::long;
pub(crate) use pack::pack_kernel;

/// The sizes of a product, all matrices of a batch alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Number of matrices.
    pub batch: Dim,
    /// Rows of the result.
    pub m: Dim,
    /// Columns of the result.
    pub n: Dim,
    /// The size that is summed over.
    pub k: Dim,
    /// Whether the left operand is stored `[k, m]`.
    pub transpose_a: bool,
    /// Whether the right operand is stored `[n, k]`.
    pub transpose_b: bool,
    /// Element type of operands and result, a float type.
    pub dtype: DType,
}

impl Shape {
    /// The sizes of a product of these operands; `None` where they are no dense float matrices.
    pub fn of(op: &Matmul, operands: &[Type]) -> Option<Shape> {
        let [Type::Tensor(a), Type::Tensor(b)] = operands else { return None };
        if a.rank() < 2 || a.rank() != b.rank() || a.dtype != b.dtype || !a.dtype.is_real() {
            return None;
        }
        let (leading, last) = a.shape.split_at(a.rank() - 2);
        let (m, k) = if op.transpose_a { (&last[1], &last[0]) } else { (&last[0], &last[1]) };
        let n = &b.shape[b.rank() - if op.transpose_b { 2 } else { 1 }];
        Some(Shape {
            batch: product(leading),
            m: m.clone(),
            n: n.clone(),
            k: k.clone(),
            transpose_a: op.transpose_a,
            transpose_b: op.transpose_b,
            dtype: a.dtype,
        })
    }

    /// The type that sums are kept in: f32 for 16-bit floats.
    fn sum_type(&self) -> DType {
        if self.dtype == DType::F64 { DType::F64 } else { DType::F32 }
    }
}

/// The product of two operands (`matmul`), of any sizes; `None` where they are no dense float matrices.
pub fn matmul(name: &str, op: &Matmul, operands: &[Type], machine: &Machine) -> Option<Schedule> {
    let s = Shape::of(op, operands)?;
    Some(match () {
        () if dots::suits(&s) => dots::dots(name, &s),
        () if long::suits(&s) => long(name, &s, machine),
        () => blocked(name, &s, machine),
    })
}

/// A matrix in a buffer.
#[derive(Clone)]
struct View {
    buf: BufId,
    start: Index,
    /// Elements from row to row, and from column to column.
    strides: (Index, Index),
}

impl View {
    fn at(&self, row: Index, col: Index) -> Index {
        self.start.clone() + row * self.strides.0.clone() + col * self.strides.1.clone()
    }

    /// The element, widened to the type of sums.
    fn load(&self, k: &KernelBuilder, sum: DType, row: Index, col: Index) -> Expr {
        let value = load(self.buf, self.at(row, col));
        if k.info(self.buf).dtype == sum { value } else { Expr::Cast(sum, Box::new(value)) }
    }
}

/// Strides of a matrix of `rows x cols`, stored transposed or not.
fn strides(transposed: bool, rows: &Index, cols: &Index) -> (Index, Index) {
    if transposed { (Index::Const(1), rows.clone()) } else { (cols.clone(), Index::Const(1)) }
}

/// Quotient rounded up.
fn ceil_div(a: Index, by: i64) -> Index {
    (a + (by - 1)).floor_div(by)
}
