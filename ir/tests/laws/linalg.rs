//! Factorizations beside the equations that define them: products give the matrix back, vectors are orthonormal, a batch
//! is a loop; also where ranks are short, values equal, and sizes 0 or 1.

use crate::compose::Made;
use latentc_ir::array::Array;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::Operand;
use latentc_ir::ops::cholesky::Cholesky;
use latentc_ir::ops::eigh::Eigh;
use latentc_ir::ops::pinv::Pinv;
use latentc_ir::scalar::{ReduceOp, ScalarOp};

fn f64s(shape: &[usize], all: &[f64]) -> Array {
    Array::from_f64(DType::F64, shape, all)
}

/// A pseudoinverse that takes tiny singular values for 0.
fn pinv() -> Pinv {
    Pinv { least: Literal::float(DType::F64, 1e-10) }
}

/// The identity for each of the leading positions.
fn ones(m: &mut Made, x: Operand) -> (Vec<usize>, Vec<f64>) {
    let shape = m.value(x).shape().to_vec();
    let n = shape.last().copied().unwrap_or(0);
    let count: usize = shape.iter().product();
    (shape, (0..count).map(|i| f64::from(u8::from(i / n % n == i % n))).collect())
}

/// Columns are of length 1 and at right angles.
#[track_caller]
fn orthonormal(m: &mut Made, x: Operand) {
    let product = m.g.matmul(x, x, true, false);
    let (shape, one) = ones(m, product);
    m.is(product, &shape, &one);
}

#[track_caller]
fn equal(m: &mut Made, found: Operand, expected: Operand) {
    let expected = m.value(expected);
    m.is(found, expected.shape(), &expected.to_f64());
}

/// `a diag(s)`
fn scaled(m: &mut Made, a: Operand, s: Operand) -> Operand {
    let (shape, rank) = (m.g.shape_of(a), m.g.shape_of(a).len());
    let s = m.g.broadcast(s, shape, (0..rank - 2).chain([rank - 1]).collect());
    m.g.map(ScalarOp::Mul, &[a, s])
}

#[track_caller]
fn check_parts(m: &mut Made, x: Operand) {
    let [q, r] = m.g.qr(x).unwrap();
    orthonormal(m, q);
    let product = m.g.matmul(q, r, false, false);
    equal(m, product, x);
    let rs = m.value(r);
    let (rows, cols) = (rs.shape()[rs.shape().len() - 2], rs.shape()[rs.shape().len() - 1]);
    for (i, e) in rs.to_f64().into_iter().enumerate() {
        let (row, col) = (i / cols % rows, i % cols);
        assert!((row <= col || e == 0.0) && (row != col || e >= 0.0), "{rs:?}");
    }
    let [u, s, v] = m.g.svd(x).unwrap();
    orthonormal(m, u);
    orthonormal(m, v);
    let us = scaled(m, u, s);
    let product = m.g.matmul(us, v, false, true);
    equal(m, product, x);
    let ss = m.value(s);
    for row in ss.to_f64().chunks(ss.shape().last().copied().unwrap_or(1).max(1)) {
        assert!(row.is_sorted_by(|a, b| a >= b) && row.iter().all(|s| *s >= 0.0), "{row:?}");
    }
    // Moore and Penrose: x p x = x, p x p = p, x p and p x symmetric.
    let p = m.g.emit(pinv(), &[x]);
    let (xp, px) = (m.g.matmul(x, p, false, false), m.g.matmul(p, x, false, false));
    let (xpx, pxp) = (m.g.matmul(xp, x, false, false), m.g.matmul(px, p, false, false));
    equal(m, xpx, x);
    equal(m, pxp, p);
    for o in [xp, px] {
        let rank = m.g.shape_of(o).len();
        let turned = m.g.permute(o, (0..rank - 2).chain([rank - 1, rank - 2]).collect());
        equal(m, turned, o);
    }
}

#[test]
fn matrices_are_their_parts() {
    for shape in [&[2, 5, 3][..], &[3, 3], &[2, 3, 5], &[1, 4], &[4, 1], &[1, 1], &[2, 1, 17, 9]] {
        let mut m = Made::new();
        let x = m.numbers(shape);
        check_parts(&mut m, x);
    }
}

#[test]
fn ranks_may_be_short_and_sizes_0() {
    let rank_one: Vec<f64> = (0..12).map(|i| f64::from((i / 3 + 1) * (i % 3 - 1))).collect();
    for (shape, all) in [
        (&[4, 3][..], rank_one),
        (&[3, 2], vec![0.0; 6]),
        (&[2, 3], vec![1.0, 1.0, 0.0, 1.0, 1.0, 0.0]),
        (&[4, 4], (0..16).map(f64::from).collect()),
        // Columns of which rotations leave rounding that is parallel to the others.
        (&[20, 7], (0..140).map(|i| f64::from(i / 7 * 3 % 5 + 1 - i % 7 % 2)).collect()),
        (&[0, 0], vec![]),
        (&[3, 0], vec![]),
        (&[0, 3], vec![]),
        (&[0, 2, 2], vec![]),
    ] {
        let mut m = Made::new();
        let x = m.input(f64s(shape, &all));
        check_parts(&mut m, x);
    }
    let mut m = Made::new();
    let none = m.input(f64s(&[2, 0, 0], &[]));
    let [values, vectors] = m.g.emit_all(Eigh, &[none])[..] else { panic!("two results") };
    m.is(values, &[2, 0], &[]);
    m.is(vectors, &[2, 0, 0], &[]);
    let d = m.g.determinant(none).unwrap();
    m.is(d, &[2], &[1.0, 1.0]);
    let inverse = m.g.inverse(none).unwrap();
    m.is(inverse, &[2, 0, 0], &[]);
}

#[test]
fn symmetric_matrices_have_eigenvalues() {
    let mut m = Made::new();
    // The upper triangle is not read.
    let two = m.input(f64s(&[2, 2], &[2.0, 9.0, 1.0, 2.0]));
    let [values, vectors] = m.g.emit_all(Eigh, &[two])[..] else { panic!("two results") };
    m.is(values, &[2], &[1.0, 3.0]);
    let half = 0.5f64.sqrt();
    m.is(vectors, &[2, 2], &[half, half, -half, half]);
    let x = m.numbers(&[2, 5, 5]);
    let symmetric = m.g.matmul(x, x, false, true);
    let less = m.g.ridge(symmetric, -3.0).unwrap();
    for x in [symmetric, less] {
        let [values, vectors] = m.g.emit_all(Eigh, &[x])[..] else { panic!("two results") };
        orthonormal(&mut m, vectors);
        let left = m.g.matmul(x, vectors, false, false);
        let right = scaled(&mut m, vectors, values);
        equal(&mut m, left, right);
        let sum = m.g.reduce(ReduceOp::Prod, values, [1].into_iter().collect());
        let d = m.g.determinant(x).unwrap();
        equal(&mut m, sum, d);
    }
    let one = m.input(f64s(&[3, 3], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]));
    let [values, vectors] = m.g.emit_all(Eigh, &[one])[..] else { panic!("two results") };
    m.is(values, &[3], &[1.0; 3]);
    orthonormal(&mut m, vectors);
}

/// Values have derivatives where they are equal, and so has what does not ask for vectors.
#[test]
fn equal_values_have_slopes() {
    let mut m = Made::new();
    let one = m.input(f64s(&[3, 2], &[0.0, 1.0, -1.0, 0.0, 0.0, 0.0]));
    let p = m.g.emit(pinv(), &[one]);
    m.slopes(p);
    let mut m = Made::new();
    let one = m.input(f64s(&[2, 2], &[0.0, 1.0, -1.0, 0.0]));
    let [_, s, _] = m.g.svd(one).unwrap();
    let sum = m.g.reduce(ReduceOp::Sum, s, [0].into_iter().collect());
    m.slopes(sum);
    let mut m = Made::new();
    let two = m.input(f64s(&[2, 2], &[2.0, 0.0, 0.0, 2.0]));
    let values = m.g.emit_all(Eigh, &[two])[0];
    let sum = m.g.reduce(ReduceOp::Sum, values, [0].into_iter().collect());
    m.slopes(sum);
}

#[test]
fn wide_matrices_have_slopes() {
    let mut m = Made::new();
    let x = m.numbers(&[2, 2, 4]);
    let [q, r] = m.g.qr(x).unwrap();
    let product = m.g.matmul(r, r, false, true);
    let both = m.g.map(ScalarOp::Mul, &[q, product]);
    m.slopes(both);
    let [u, s, v] = m.g.svd(x).unwrap();
    let turned = m.g.matmul(v, u, false, true);
    m.slopes(turned);
    m.slopes(s);
}

#[test]
fn a_batch_is_a_loop() {
    let mut m = Made::new();
    let x = m.numbers(&[3, 4, 4]);
    let all = m.value(x).to_f64();
    let results = |m: &mut Made, x: Operand| {
        let mut found = vec![m.g.solve(x, x).unwrap(), m.g.determinant(x).unwrap(), m.g.emit(pinv(), &[x])];
        found.extend(m.g.qr(x).unwrap());
        found.extend(m.g.svd(x).unwrap());
        found.extend(m.g.emit_all(Eigh, &[x]));
        found.into_iter().map(|o| m.value(o).to_f64()).collect::<Vec<_>>()
    };
    let batch = results(&mut m, x);
    for (i, one) in all.chunks(16).enumerate() {
        let x = m.input(f64s(&[4, 4], one));
        for (all, found) in batch.iter().zip(results(&mut m, x)) {
            assert_eq!(all[i * found.len()..(i + 1) * found.len()], found);
        }
    }
}

#[test]
fn what_is_not_finite_is_not_hidden() {
    let mut m = Made::new();
    let x = m.input(f64s(&[2, 2], &[1.0, 0.0, 0.0, f64::INFINITY]));
    let mut found = m.g.svd(x).unwrap().to_vec();
    found.extend(m.g.emit_all(Eigh, &[x]));
    found.push(m.g.emit(pinv(), &[x]));
    for o in found {
        assert!(m.value(o).to_f64().iter().all(|x| x.is_nan()));
    }
}

#[test]
fn systems_are_solved() {
    let mut m = Made::new();
    let a = m.numbers(&[2, 4, 4]);
    let b = m.numbers(&[2, 4, 3]);
    let bs = m.value(b).to_f64();
    let x = m.g.solve(a, b).unwrap();
    let product = m.g.matmul(a, x, false, false);
    m.is(product, &[2, 4, 3], &bs);
    m.slopes(x);
    let one: Vec<f64> = (0..32).map(|i| f64::from(u8::from(i % 16 % 5 == 0))).collect();
    let inverse = m.g.inverse(a).unwrap();
    let product = m.g.matmul(inverse, a, false, false);
    m.is(product, &[2, 4, 4], &one);
    let square = m.g.matmul(a, a, false, true);
    let square = m.g.ridge(square, 0.5).unwrap();
    let l = m.g.emit(Cholesky, &[square]);
    let again = m.g.matmul(l, l, false, true);
    let expected = m.value(square).to_f64();
    m.is(again, &[2, 4, 4], &expected);
    let x = m.g.cholesky_solve(l, b).unwrap();
    let product = m.g.matmul(square, x, false, false);
    m.is(product, &[2, 4, 3], &bs);
    let three = m.input(f64s(&[3, 3], &[0.0, 2.0, 1.0, 4.0, 1.0, 0.0, 2.0, 0.0, 3.0]));
    let d = m.g.determinant(three).unwrap();
    m.is(d, &[], &[-26.0]);
    m.slopes(d);
    let [sign, log] = m.g.log_determinant(three).unwrap();
    m.is(sign, &[], &[-1.0]);
    m.is(log, &[], &[26f64.ln()]);
    let flat = m.input(f64s(&[2, 2], &[1.0, 2.0, 2.0, 4.0]));
    let d = m.g.determinant(flat).unwrap();
    m.is(d, &[], &[0.0]);
    let none = m.input(Array::zeros(DType::F64, &[2, 2]));
    let d = m.g.determinant(none).unwrap();
    m.is(d, &[], &[0.0]);
    let log = m.g.logdet(three).unwrap();
    assert!(m.value(log).get(0).as_f64().is_nan());
    let log = m.g.logdet(square).unwrap();
    let expected: Vec<f64> = {
        let d = m.g.determinant(square).unwrap();
        m.value(d).to_f64().iter().map(|d| d.ln()).collect()
    };
    m.is(log, &[2], &expected);
    m.slopes(log);
    let wide = m.numbers(&[2, 3]);
    assert!(
        m.g.solve(wide, b).is_err() && m.g.determinant(wide).is_err() && m.g.cholesky_solve(l, wide).is_err()
    );
}
