//! What the reference semantics share: operands as arrays, walks over positions, ids that have been checked.

use super::EvalError;
use crate::array::{Array, CsrArray, Value};
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::types::Type;

/// The operand at a position as a dense array.
pub(super) fn tensor<'a>(operands: &[&'a Value], at: usize) -> Result<&'a Array, EvalError> {
    match operands.get(at) {
        Some(Value::Tensor(a)) => Ok(a),
        _ => Err(format!("operand {at} must be a dense tensor")),
    }
}

/// The operand at a position as a pattern.
pub(super) fn csr<'a>(operands: &[&'a Value], at: usize) -> Result<&'a CsrArray, EvalError> {
    match operands.get(at) {
        Some(Value::Csr(c)) => Ok(c),
        _ => Err(format!("operand {at} must be a CSR pattern")),
    }
}

/// The entries in order: row, number of the entry, column.
pub(super) fn entries(csr: &CsrArray) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
    (0..csr.rows).flat_map(move |r| {
        let first = csr.indptr[r] as usize;
        csr.row(r).iter().enumerate().map(move |(i, col)| (r, first + i, *col as usize))
    })
}

/// A size as a number, given the values of the symbols.
pub(super) fn size(dim: &Dim, dims: &dyn Fn(&str) -> Option<i64>) -> Result<usize, EvalError> {
    dim.eval(dims)
        .and_then(|v| usize::try_from(v).ok())
        .ok_or_else(|| format!("the size {dim} has no value in this run"))
}

/// Sizes as numbers, given the values of the symbols.
pub(super) fn sizes(shape: &[Dim], dims: &dyn Fn(&str) -> Option<i64>) -> Result<Vec<usize>, EvalError> {
    shape.iter().map(|d| size(d, dims)).collect()
}

/// The sizes of a result as numbers, given the values of the symbols.
pub(super) fn result_sizes(
    types: &[Type],
    at: usize,
    dims: &dyn Fn(&str) -> Option<i64>,
) -> Result<Vec<usize>, EvalError> {
    match types.get(at) {
        Some(Type::Tensor(t)) => sizes(&t.shape, dims),
        _ => Err(format!("result {at} must be a dense tensor")),
    }
}

/// Results of these types with these elements, each rounded once.
pub(super) fn of_types<const N: usize>(
    types: &[Type],
    dims: &dyn Fn(&str) -> Option<i64>,
    all: [Vec<f64>; N],
) -> Result<Vec<Value>, EvalError> {
    let of = |(at, all): (usize, Vec<f64>)| {
        let dtype = types[at].as_tensor().map_or(DType::F64, |t| t.dtype);
        Ok(Value::Tensor(Array::from_f64(dtype, &result_sizes(types, at, dims)?, &all)))
    };
    all.into_iter().enumerate().map(of).collect()
}

/// Rows and columns of matrices.
pub(super) fn last_two(x: &Array) -> (usize, usize) {
    match x.shape() {
        [.., m, n] => (*m, *n),
        _ => (1, 1),
    }
}

/// Row numbers that a program computes, each brought to the nearest of `0..rows`: what kernels do where they read
/// or write by them. Those that a run is given have been checked when it begins. Without rows there is no
/// nearest one, which is an error unless there are no ids either.
pub(super) fn rows_near(op: &str, operand: usize, ids: &Array, rows: usize) -> Result<Vec<usize>, EvalError> {
    if rows == 0 && !ids.is_empty() {
        return Err(format!(
            "`{op}`: operand {operand} holds {} ids, and there is no row to name",
            ids.len()
        ));
    }
    let near = |id: &i32| usize::try_from(*id).unwrap_or(0).min(rows.saturating_sub(1));
    Ok(ids.as_slice::<i32>().iter().map(near).collect())
}

/// How far apart neighbours along each axis are, in elements of a row-major array.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut out = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        out[i - 1] = out[i] * shape[i];
    }
    out
}

/// Calls `f` with every position of a shape in row-major order, and its number.
pub(super) fn positions(shape: &[usize], mut f: impl FnMut(usize, &[usize])) {
    let count: usize = shape.iter().product();
    let mut at = vec![0; shape.len()];
    for i in 0..count {
        f(i, &at);
        for axis in (0..shape.len()).rev() {
            at[axis] += 1;
            if at[axis] < shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
}

/// The number of a position in an array of these strides.
pub(super) fn flat<'a>(
    at: impl IntoIterator<Item = &'a usize>,
    strides: impl IntoIterator<Item = &'a usize>,
) -> usize {
    at.into_iter().zip(strides).map(|(a, s)| a * s).sum()
}

/// The array of a shape whose element at each position is element `from(position)` of `x`, or `otherwise`
/// where that is `None`.
pub(super) fn moved(
    x: &Array,
    shape: &[usize],
    otherwise: Literal,
    mut from: impl FnMut(&[usize]) -> Option<usize>,
) -> Array {
    let size = x.dtype().size();
    let mut out = filled(otherwise, shape);
    let bytes = out.as_bytes_mut();
    positions(shape, |i, at| {
        if let Some(source) = from(at) {
            bytes[i * size..(i + 1) * size]
                .copy_from_slice(&x.as_bytes()[source * size..(source + 1) * size]);
        }
    });
    out
}

/// An array with every element the same.
pub(super) fn filled(value: Literal, shape: &[usize]) -> Array {
    let mut a = Array::zeros(value.dtype(), shape);
    if value != Literal::zero(value.dtype()) {
        for i in 0..a.len() {
            a.set(i, value);
        }
    }
    a
}

/// Elements of one row: all sizes but the first.
pub(super) fn row_width(a: &Array) -> usize {
    a.shape().iter().skip(1).product()
}

/// Sizes with another first one.
pub(super) fn with_rows(rows: usize, a: &Array) -> Vec<usize> {
    std::iter::once(rows).chain(a.shape().iter().skip(1).copied()).collect()
}

/// Rows of a table: axis 0 in place of which stand the axes of the ids.
pub(super) fn rows(table: &Array, ids: &[usize], axes: &[usize]) -> Array {
    let shape: Vec<usize> = axes.iter().chain(&table.shape()[1..]).copied().collect();
    let bytes = row_width(table) * table.dtype().size();
    let mut out = Array::zeros(table.dtype(), &shape);
    for (i, r) in ids.iter().enumerate() {
        out.as_bytes_mut()[i * bytes..(i + 1) * bytes]
            .copy_from_slice(&table.as_bytes()[r * bytes..(r + 1) * bytes]);
    }
    out
}

/// Sums of elements, exact to one rounding for formats below f64; integers wrap.
pub(super) enum Sums {
    /// Of a float type.
    Float(DType, Vec<f64>),
    /// Of an integer type.
    Int(DType, Vec<i64>),
}

impl Sums {
    /// So many sums of nothing.
    pub(super) fn zeros(dtype: DType, count: usize) -> Sums {
        if dtype.is_float() { Sums::Float(dtype, vec![0.0; count]) } else { Sums::Int(dtype, vec![0; count]) }
    }

    /// Adds to one of them.
    pub(super) fn add(&mut self, at: usize, value: Literal) {
        match self {
            Sums::Float(_, sums) => sums[at] += value.as_f64(),
            Sums::Int(_, sums) => sums[at] = sums[at].wrapping_add(value.as_i64()),
        }
    }

    /// The sums as an array.
    pub(super) fn array(self, shape: &[usize]) -> Array {
        match self {
            Sums::Float(dtype, sums) => Array::from_f64(dtype, shape, &sums),
            Sums::Int(dtype, sums) => {
                let mut a = Array::zeros(dtype, shape);
                for (i, s) in sums.into_iter().enumerate() {
                    a.set(i, Literal::int(dtype, s));
                }
                a
            }
        }
    }
}
