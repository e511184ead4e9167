//! Sums, scans and products.

use super::super::builder::Builder;
use super::movement::window;
use super::shape_of;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::ops::Axes;
use crate::ops::conv::Conv;
use crate::ops::conv_transpose::ConvTranspose;
use crate::ops::cumulative::Cumulative;
use crate::ops::linear_log_sum_exp::LinearLogSumExp;
use crate::ops::log_sum_exp::LogSumExp;
use crate::ops::matmul::Matmul;
use crate::ops::reduce::Reduce;
use crate::ops::softmax::Softmax;
use crate::ops::windows::Window;
use crate::scalar::ReduceOp;
use crate::types::Shape;

pub(super) fn reduce(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(1);
    let rank = shape_of(b, &x).len();
    let mut axes: Axes = (0..rank).filter(|_| b.one_in(2)).collect();
    if axes.is_empty() {
        axes.push(rank - 1);
    }
    let op = match b.graph.dtype_of(x.o) {
        DType::Bool => b.one_of(&[ReduceOp::Max, ReduceOp::Min]),
        _ => b.one_of(&[ReduceOp::Sum, ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min, ReduceOp::Prod]),
    };
    b.add(Reduce { op, axes }, &[&x])?;
    Some(())
}

pub(super) fn cumulative(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(1);
    let rank = shape_of(b, &x).len();
    let dtype = b.graph.dtype_of(x.o);
    let op = match dtype {
        DType::Bool => b.one_of(&[ReduceOp::Max, ReduceOp::Min]),
        // Which element an extreme comes from must not hang on a rounding error.
        _ if dtype.is_float() && !x.exact => b.one_of(&[ReduceOp::Sum, ReduceOp::Prod]),
        _ => b.one_of(&ReduceOp::ALL),
    };
    // An extreme of nothing is an infinity.
    let ends = dtype.is_float() && matches!(op, ReduceOp::Max | ReduceOp::Min);
    let exclusive = !ends && b.one_in(2);
    let (axis, reverse) = (b.below(rank), b.one_in(2));
    b.add(Cumulative { op, axis, exclusive, reverse }, &[&x])?;
    Some(())
}

/// A product of integers, which wraps.
fn integer_matmul(b: &mut Builder<'_>) -> Option<()> {
    let dtype = b.one_of(&[DType::I32, DType::I32, DType::I64, DType::U8]);
    let (transpose_a, transpose_b) = (b.one_in(2), b.one_in(2));
    let [m, k, n] = [b.dim(), b.dim(), b.dim()];
    let sides = |turned: bool, rows: &Dim, cols: &Dim| {
        let (a, z) = if turned { (cols, rows) } else { (rows, cols) };
        Shape::from_iter([a.clone(), z.clone()])
    };
    let x = b.value(dtype, sides(transpose_a, &m, &k));
    let y = b.value(dtype, sides(transpose_b, &k, &n));
    b.add(Matmul { transpose_a, transpose_b }, &[&x, &y])?;
    Some(())
}

pub(super) fn matmul(b: &mut Builder<'_>) -> Option<()> {
    if b.one_in(4) {
        return integer_matmul(b);
    }
    let x = b.floats(2);
    let (transpose_a, transpose_b) = (b.one_in(2), b.one_in(2));
    let mut shape = shape_of(b, &x);
    let rank = shape.len();
    let inner = shape[if transpose_a { rank - 2 } else { rank - 1 }].clone();
    let outer = b.dim();
    shape[rank - 2] = if transpose_b { outer.clone() } else { inner.clone() };
    shape[rank - 1] = if transpose_b { inner } else { outer };
    let y = b.value(b.float, shape);
    b.add(Matmul { transpose_a, transpose_b }, &[&x, &y])?;
    Some(())
}

/// A window, groups, and channels of both sides in a group.
fn filters(b: &mut Builder<'_>, axes: usize) -> (Window, i64, Dim, Dim) {
    let groups = b.one_of(&[1i64, 1, 2]);
    let [c, m] = [(); 2].map(|()| Dim::from(1 + b.below(3)));
    (window(b, axes), groups, c, m)
}

pub(super) fn conv(b: &mut Builder<'_>) -> Option<()> {
    let axes = 1 + b.below(2);
    let (window, groups, c, m) = filters(b, axes);
    let mut shape = Shape::from_iter([b.dim(), &c * &groups.into()]);
    shape.extend((0..axes).map(|_| b.dim()));
    let positions = window.positions("conv", &shape[2..]).ok()?;
    (b.count(&positions) * b.count(&shape[..2]) * 9 <= 8192).then_some(())?;
    let x = b.value(b.float, shape);
    let kernel = window.kernel.iter().map(|k| Dim::from(*k));
    let w = [&m * &groups.into(), c].into_iter().chain(kernel).collect();
    let w = b.value(b.float, w);
    b.add(Conv { window, groups }, &[&x, &w])?;
    Some(())
}

pub(super) fn conv_transpose(b: &mut Builder<'_>) -> Option<()> {
    let axes = 1 + b.below(2);
    let (window, groups, c, m) = filters(b, axes);
    let shape: Shape = (0..axes).map(|_| b.dim()).collect();
    let positions = window.positions("conv_transpose", &shape).ok()?;
    (b.count(&positions) * 9 * 6 * 17 <= 32768).then_some(())?;
    let x = [b.dim(), &c * &groups.into()].into_iter().chain(positions).collect();
    let x = b.value(b.float, x);
    let kernel = window.kernel.iter().map(|k| Dim::from(*k));
    let w = [&c * &groups.into(), m].into_iter().chain(kernel).collect();
    let w = b.value(b.float, w);
    b.add(ConvTranspose { window, groups, shape }, &[&x, &w])?;
    Some(())
}

pub(super) fn softmax(b: &mut Builder<'_>) -> Option<()> {
    let x = b.floats(1);
    b.add(Softmax, &[&x])?;
    Some(())
}

pub(super) fn log_sum_exp(b: &mut Builder<'_>) -> Option<()> {
    let x = b.floats(1);
    b.add(LogSumExp, &[&x])?;
    Some(())
}

pub(super) fn linear_log_sum_exp(b: &mut Builder<'_>) -> Option<()> {
    let [rows, columns, width] = [(); 3].map(|()| b.dim());
    let (biased, excluding) = (b.one_in(2), b.one_in(2));
    let mut operands =
        [&rows, &columns].map(|n| b.value(b.float, Shape::from_iter([n.clone(), width.clone()]))).to_vec();
    if biased {
        operands.push(b.value(b.float, Shape::from_iter([columns.clone()])));
    }
    if excluding {
        operands.extend([rows, columns].map(|n| b.value(DType::I32, Shape::from_iter([n]))));
    }
    let part = 1 + b.below(5);
    b.add(LinearLogSumExp { part, biased, excluding }, &operands.iter().collect::<Vec<_>>())?;
    Some(())
}
