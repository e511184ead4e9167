//! Discrete Fourier and cosine transforms along an axis of constant length.
//!
//! A length with factors is divided: transforms of its factors, with turns by the roots of unity in between, so that the
//! work grows with the sum of the factors; what cannot be divided is a product with the matrix of the transform. Roots
//! are computed in f64 from whole numbers of turns. Complex numbers are a last axis of 2.

use super::{Composed, axis_of};
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::graph::{Graph, Operand};
use crate::ops::Axes;
use crate::ops::concat::Concat;
use crate::ops::slice::Slice;
use crate::scalar::ScalarOp;
use crate::types::{Shape, product, shape_text};
use std::f64::consts::TAU;

/// The greatest length that is one product with a matrix although it has factors.
const WHOLE: i64 = 32;
/// The greatest prime factor of a length.
const GREATEST_PRIME: i64 = 4096;

/// Real and imaginary parts.
type Pair = [Operand; 2];

impl Graph {
    /// The Fourier transform of complex numbers `[.., n, .., 2]` along an axis: `sum x[j] e^(-2 pi i j k / n)`; the
    /// inverse has the other sign and is divided by `n`.
    ///
    /// # Errors
    /// Where the operand holds no complex floats, or the axis cannot be transformed.
    pub fn fft(&mut self, x: Operand, axis: i64, inverse: bool) -> Composed {
        let ty = self.dense("fft", x)?;
        let rank = ty.rank();
        if rank < 2 || ty.shape[rank - 1].as_const() != Some(2) || !ty.dtype.is_real() {
            return Err(format!(
                "`fft` takes complex floats [.., 2], {}{} found",
                ty.dtype,
                shape_text(&ty.shape)
            ));
        }
        let axis = axis_of("fft", axis, rank)?;
        if axis + 1 == rank {
            return Err("`fft` along the axis of real and imaginary parts".to_owned());
        }
        let n = length("fft", &ty.shape[axis])?;
        let mut parts = vec![];
        for i in 0..2i64 {
            let part = Slice { axis: rank - 1, start: i.into(), end: (i + 1).into(), step: 1 };
            let part = self.try_emit(part, &[x])?;
            let part = self.reshape(part, ty.shape[..rank - 1].into());
            parts.push(self.last(part, axis));
        }
        let [re, im] = self.transform([parts[0], parts[1]], n, inverse)?;
        let [re, im] =
            if inverse { [re, im].map(|o| self.by(ScalarOp::Mul, o, 1.0 / n as f64)) } else { [re, im] };
        self.complex([re, im], axis)
    }

    /// The Fourier transform of real numbers along an axis: of the result, which is conjugate to itself around the
    /// middle, the first `n / 2 + 1` positions, `[.., n / 2 + 1, .., 2]`.
    ///
    /// # Errors
    /// Where the operand holds no floats, or the axis cannot be transformed.
    pub fn rfft(&mut self, x: Operand, axis: i64) -> Composed {
        let ty = self.dense("rfft", x)?;
        if !ty.dtype.is_real() {
            return Err(format!("`rfft` takes floats, {} found", ty.dtype));
        }
        let axis = axis_of("rfft", axis, ty.rank())?;
        let n = length("rfft", &ty.shape[axis])?;
        let re = self.last(x, axis);
        let im = self.fill_like(re, 0.0);
        let both = self.transform([re, im], n, false)?;
        let last = ty.rank() - 1;
        let mut half = both;
        for part in &mut half {
            let kept = Slice { axis: last, start: 0.into(), end: (n / 2 + 1).into(), step: 1 };
            *part = self.try_emit(kept, &[*part])?;
        }
        self.complex(half, axis)
    }

    /// The `n` real numbers along an axis of whose transform `[.., n / 2 + 1, .., 2]` has the first positions: the
    /// inverse of [`Graph::rfft`].
    ///
    /// # Errors
    /// Where the operand does not hold such positions, or the axis cannot be transformed.
    pub fn irfft(&mut self, x: Operand, axis: i64, n: i64) -> Composed {
        let ty = self.dense("irfft", x)?;
        let rank = ty.rank();
        let axis = axis_of("irfft", axis, rank)?;
        if n < 1 || axis + 1 == rank || ty.shape[axis].as_const() != Some(n / 2 + 1) {
            return Err(format!(
                "`irfft` to {n} numbers takes {} positions, {} found",
                n / 2 + 1,
                shape_text(&ty.shape)
            ));
        }
        // The other positions are these in opposite order, with the other sign of the imaginary parts.
        let (axis, rest) = (axis as i64, Dim::from((n + 1) / 2));
        let part = Slice { axis: axis as usize, start: 1.into(), end: rest, step: 1 };
        let part = self.try_emit(part, &[x])?;
        let part = self.flip(part, &[axis])?;
        let shape = self.shape_of(part);
        let signs = self.iota(Shape::from_iter([2.into()]), 0, ty.dtype);
        let signs = self.by(ScalarOp::Mul, signs, -2.0);
        let signs = self.by(ScalarOp::Add, signs, 1.0);
        let signs = self.broadcast(signs, shape, Axes::from_slice(&[rank - 1]));
        let part = self.map(ScalarOp::Mul, &[part, signs]);
        let whole = self.try_emit(Concat { axis: axis as usize }, &[x, part])?;
        let y = self.fft(whole, axis, true)?;
        let real = Slice { axis: rank - 1, start: 0.into(), end: 1.into(), step: 1 };
        let real = self.try_emit(real, &[y])?;
        let shape = self.shape_of(real)[..rank - 1].into();
        Ok(self.reshape(real, shape))
    }

    /// The cosine transform (type II) along an axis, `2 sum x[j] cos(pi (2 j + 1) k / 2 n)`, or its inverse.
    ///
    /// # Errors
    /// Where the operand holds no floats, or the axis cannot be transformed.
    pub fn dct(&mut self, x: Operand, axis: i64, inverse: bool) -> Composed {
        let ty = self.dense("dct", x)?;
        if !ty.dtype.is_real() {
            return Err(format!("`dct` takes floats, {} found", ty.dtype));
        }
        let axis = axis_of("dct", axis, ty.rank())?;
        let n = length("dct", &ty.shape[axis])?;
        let last = ty.rank() as i64 - 1;
        let x = self.last(x, axis);
        let shape = self.shape_of(x);
        // A quarter turn over the whole axis: e^(-i pi k / 2 n).
        let k = self.iota(Shape::from_iter([n.into()]), 0, DType::I64);
        let turn = self.root(k, 4 * n, ty.dtype);
        let turn = turn.map(|t| self.broadcast(t, shape.clone(), Axes::from_slice(&[last as usize])));
        let y = if inverse {
            // V[k] = (x[k] - i x[n - k]) e^(i pi k / 2 n) / 2, whose inverse transform has the elements of even number,
            // then those of odd number in opposite order.
            let tail = self.slice_by(x, last, &1.into(), &n.into(), 1)?;
            let tail = self.flip(tail, &[last])?;
            let mut one = shape.clone();
            one[last as usize] = 1.into();
            let zero = self.fill(Literal::zero(ty.dtype), one);
            let back =
                if n > 1 { self.try_emit(Concat { axis: last as usize }, &[zero, tail])? } else { zero };
            let [c, s] = turn;
            let [xc, xs, bc, bs] =
                [(x, c), (x, s), (back, c), (back, s)].map(|(a, b)| self.map(ScalarOp::Mul, &[a, b]));
            let re = self.map(ScalarOp::Add, &[xc, bs]);
            let im = self.map(ScalarOp::Sub, &[xs, bc]);
            let [re, _] = self.transform([re, im], n, true)?;
            let v = self.by(ScalarOp::Mul, re, 0.5 / n as f64);
            let place = self.iota(Shape::from_iter([n.into()]), 0, DType::I64);
            let two = self.fill_like(place, 2.0);
            let half = self.map(ScalarOp::Div, &[place, two]);
            let behind = self.fill(Literal::int(DType::I64, n - 1), [n.into()]);
            let behind = self.map(ScalarOp::Sub, &[behind, half]);
            let odd = self.map(ScalarOp::Rem, &[place, two]);
            let zero = self.fill_like(odd, 0.0);
            let even = self.map(ScalarOp::Eq, &[odd, zero]);
            let from = self.select(even, half, behind);
            self.take(v, from, last)?
        } else {
            let even = self.slice_by(x, last, &0.into(), &n.into(), 2)?;
            let v = if n > 1 {
                let odd = self.slice_by(x, last, &1.into(), &n.into(), 2)?;
                let odd = self.flip(odd, &[last])?;
                self.try_emit(Concat { axis: last as usize }, &[even, odd])?
            } else {
                even
            };
            let im = self.fill_like(v, 0.0);
            let [re, im] = self.transform([v, im], n, false)?;
            let [c, s] = turn;
            let [a, b] = [(re, c), (im, s)].map(|(p, q)| self.map(ScalarOp::Mul, &[p, q]));
            let y = self.map(ScalarOp::Add, &[a, b]);
            self.by(ScalarOp::Mul, y, 2.0)
        };
        Ok(self.back(y, axis))
    }

    /// An axis as the last one.
    fn last(&mut self, x: Operand, axis: usize) -> Operand {
        let rank = self.shape_of(x).len();
        self.permute(x, (0..rank).filter(|a| *a != axis).chain([axis]).collect())
    }

    /// The last axis where `axis` was.
    fn back(&mut self, x: Operand, axis: usize) -> Operand {
        let rank = self.shape_of(x).len();
        self.permute(x, (0..axis).chain([rank - 1]).chain(axis..rank - 1).collect())
    }

    /// Two tensors whose last axis was `axis` as real and imaginary parts along a new last axis.
    fn complex(&mut self, parts: Pair, axis: usize) -> Composed {
        let mut both = vec![];
        for part in parts {
            let part = self.back(part, axis);
            let mut shape = self.shape_of(part);
            shape.push(1.into());
            both.push(self.reshape(part, shape));
        }
        let axis = self.shape_of(both[0]).len() - 1;
        self.try_emit(Concat { axis }, &both)
    }

    /// Cosine and sine of so many of `n` parts of a turn.
    fn root(&mut self, parts: Operand, n: i64, dtype: DType) -> Pair {
        let whole = self.fill_like(parts, 0.0);
        let n_of = self.fill(Literal::int(DType::I64, n), self.shape_of(whole));
        let parts = self.map(ScalarOp::Rem, &[parts, n_of]);
        let angle = self.cast(parts, DType::F64);
        let angle = self.by(ScalarOp::Mul, angle, TAU / n as f64);
        [ScalarOp::Cos, ScalarOp::Sin].map(|op| {
            let value = self.map(op, &[angle]);
            self.cast(value, dtype)
        })
    }

    /// `j k` for two axes of a matrix.
    fn products(&mut self, rows: i64, cols: i64) -> Operand {
        let shape = Shape::from_iter([rows.into(), cols.into()]);
        let [j, k] = [0, 1].map(|axis| self.iota(shape.clone(), axis, DType::I64));
        self.map(ScalarOp::Mul, &[j, k])
    }

    /// The transform along the last axis, of `n` positions.
    fn transform(&mut self, [re, im]: Pair, n: i64, inverse: bool) -> Result<Pair, String> {
        if n == 1 {
            return Ok([re, im]);
        }
        let shape = self.shape_of(re);
        let (lead, dtype) = (shape[..shape.len() - 1].to_vec(), self.dtype_of(re));
        let Some((a, b)) = factors(n) else {
            if n > GREATEST_PRIME {
                return Err(format!(
                    "a transform of {n} positions, a prime factor of the length that is above {GREATEST_PRIME}; pad to a \
                     length with smaller factors"
                ));
            }
            let turns = self.products(n, n);
            let [c, s] = self.root(turns, n, dtype);
            let flat = Shape::from_iter([product(&lead), n.into()]);
            let [re, im] = [re, im].map(|o| self.reshape(o, flat.clone()));
            let [rc, rs, ic, is] =
                [(re, c), (re, s), (im, c), (im, s)].map(|(x, m)| self.matmul(x, m, false, false));
            let both = self.turned([rc, rs, ic, is], inverse);
            return Ok(both.map(|o| self.reshape(o, shape.clone())));
        };
        // Position j1 b + j2: transforms over j1 for each j2, turns by j2 k1 of n parts, transforms over j2 for each k1;
        // the result stands at k1 + a k2.
        let rank = lead.len() + 2;
        let of = |x: i64, y: i64| lead.iter().cloned().chain([x.into(), y.into()]).collect::<Shape>();
        let swap: Axes = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
        let apart = [re, im].map(|o| {
            let o = self.reshape(o, of(a, b));
            self.permute(o, swap.clone())
        });
        let [re, im] = self.transform(apart, a, inverse)?;
        let turns = self.products(b, a);
        let turn = self.root(turns, n, dtype);
        let [c, s] = turn.map(|t| self.broadcast(t, of(b, a), Axes::from_slice(&[rank - 2, rank - 1])));
        let all = [(re, c), (re, s), (im, c), (im, s)].map(|(x, t)| self.map(ScalarOp::Mul, &[x, t]));
        let turned = self.turned(all, inverse);
        let again = turned.map(|o| self.permute(o, swap.clone()));
        let both = self.transform(again, b, inverse)?;
        Ok(both.map(|o| {
            let o = self.permute(o, swap.clone());
            self.reshape(o, shape.clone())
        }))
    }

    /// From `re cos`, `re sin`, `im cos`, `im sin` the product with `cos - i sin`, or with `cos + i sin`.
    fn turned(&mut self, [rc, rs, ic, is]: [Operand; 4], inverse: bool) -> Pair {
        if inverse {
            [self.map(ScalarOp::Sub, &[rc, is]), self.map(ScalarOp::Add, &[ic, rs])]
        } else {
            [self.map(ScalarOp::Add, &[rc, is]), self.map(ScalarOp::Sub, &[ic, rs])]
        }
    }
}

fn length(what: &str, size: &Dim) -> Result<i64, String> {
    size.as_const().filter(|n| *n > 0).ok_or_else(|| {
        format!("`{what}` along an axis of {size} positions; it must be a constant, at least 1")
    })
}

/// Two factors, the first of them the greatest that is at most [`WHOLE`]; `None` where there are none, or need be none.
fn factors(n: i64) -> Option<(i64, i64)> {
    if n <= WHOLE {
        return None;
    }
    let small = (2..=WHOLE).rev().find(|f| n % f == 0);
    let greater = || (WHOLE..).take_while(|f| f * f <= n).find(|f| n % f == 0);
    small.or_else(greater).map(|a| (a, n / a))
}
