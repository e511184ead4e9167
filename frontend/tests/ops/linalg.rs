//! Factorizations and systems of equations.

use super::{close, f32s, run};
use latentc::Triangle;
use latentc::prelude::*;

const HALF: f64 = std::f64::consts::FRAC_1_SQRT_2;

#[test]
fn systems_and_determinants() {
    let program = program("systems", |g| {
        let a = g.input("a", DType::F32, [2, 2, 2]);
        let b = g.input("b", DType::F32, [2, 2, 1]);
        g.output("solve", a.solve(b));
        g.output("inverse", a.inverse());
        g.output("det", a.det());
        let (sign, log) = a.slogdet();
        g.output("sign", sign);
        g.output("log", log);
        g.output("logdet", (-a).matmul(a.t()).logdet());
        g.output("upper", a.triangular_solve(b, Triangle { upper: true, unit: true, ..Triangle::default() }));
        g.output(
            "transposed",
            a.triangular_solve(b, Triangle { transpose: true, unit: true, ..Triangle::default() }),
        );
        let l = a.matmul(a.t()).cholesky();
        g.output("l", l);
        g.output("by_l", l.cholesky_solve(a.matmul(a.t()).matmul(b)));
    })
    .unwrap();
    let a = f32s(&[2, 2, 2], &[4.0, 1.0, 2.0, 3.0, 0.0, 2.0, -1.0, 1.0]);
    let y = run(&program, &[("a", a), ("b", f32s(&[2, 2, 1], &[1.0, 2.0, 1.0, 2.0]))]);
    let is = |name: &str, shape: &[usize], expected: &[f64]| close(y[name].clone(), shape, expected);
    is("solve", &[2, 2, 1], &[0.1, 0.6, -1.5, 0.5]);
    is("inverse", &[2, 2, 2], &[0.3, -0.1, -0.2, 0.4, 0.5, -1.0, 0.5, 0.0]);
    is("det", &[2], &[10.0, 2.0]);
    is("sign", &[2], &[1.0, 1.0]);
    is("log", &[2], &[10f64.ln(), 2f64.ln()]);
    // Of two rows, the sign of the whole goes twice.
    is("logdet", &[2], &[100f64.ln(), 4f64.ln()]);
    is("upper", &[2, 2, 1], &[-1.0, 2.0, -3.0, 2.0]);
    is("transposed", &[2, 2, 1], &[-3.0, 2.0, 3.0, 2.0]);
    let r = 17f64.sqrt();
    is("l", &[2, 2, 2], &[r, 0.0, 11.0 / r, 10.0 / r, 2.0, 0.0, 1.0, 1.0]);
    is("by_l", &[2, 2, 1], &[1.0, 2.0, 1.0, 2.0]);
}

#[test]
fn factorizations() {
    let program = program("factors", |g| {
        let x = g.input("x", DType::F32, [2, 2]);
        let (q, r) = x.qr();
        g.output("q", q);
        g.output("r", r);
        let tall = g.input("tall", DType::F32, [3, 2]);
        let (u, s, v) = tall.svd();
        g.output("u", u);
        g.output("s", s);
        g.output("v", v);
        let (u, s, v) = tall.t().svd();
        g.output("wide_u", u);
        g.output("wide_s", s);
        g.output("wide_v", v);
        let symmetric = g.input("symmetric", DType::F32, [2, 2]);
        let (values, vectors) = symmetric.eigh();
        g.output("values", values);
        g.output("vectors", vectors);
        g.output("pinv", g.input("flat", DType::F32, [2, 2]).pinv(1e-5));
    })
    .unwrap();
    let y = run(
        &program,
        &[
            ("x", f32s(&[2, 2], &[3.0, 5.0, 4.0, 0.0])),
            ("tall", f32s(&[3, 2], &[0.0, 2.0, 0.0, 0.0, 1.0, 0.0])),
            ("symmetric", f32s(&[2, 2], &[2.0, 0.0, 1.0, 2.0])),
            ("flat", f32s(&[2, 2], &[1.0, 2.0, 2.0, 4.0])),
        ],
    );
    let is = |name: &str, shape: &[usize], expected: &[f64]| close(y[name].clone(), shape, expected);
    is("q", &[2, 2], &[0.6, 0.8, 0.8, -0.6]);
    is("r", &[2, 2], &[5.0, 3.0, 0.0, 4.0]);
    let (long, short) = ([1.0, 0.0, 0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]);
    is("u", &[3, 2], &long);
    is("s", &[2], &[2.0, 1.0]);
    is("v", &[2, 2], &short);
    is("wide_u", &[2, 2], &short);
    is("wide_s", &[2], &[2.0, 1.0]);
    is("wide_v", &[3, 2], &long);
    is("values", &[2], &[1.0, 3.0]);
    is("vectors", &[2, 2], &[HALF, HALF, -HALF, HALF]);
    is("pinv", &[2, 2], &[0.04, 0.08, 0.08, 0.16]);
}

/// Where values are equal or 0, vectors may be any: they are orthonormal, and the parts make the whole.
#[test]
fn factorizations_of_short_rank() {
    let program = program("short", |g| {
        let x = g.input("x", DType::F32, [3, 20, 7]);
        let (q, r) = x.qr();
        g.output("qq", q.t().matmul(q));
        g.output("qr", q.matmul(r));
        let (u, s, v) = x.svd();
        g.output("uu", u.t().matmul(u));
        g.output("vv", v.t().matmul(v));
        g.output("usv", (u * s.unsqueeze(1)).matmul(v.t()));
        let (w, v) = x.t().matmul(x).eigh();
        g.output("ww", v.t().matmul(v));
        g.output("vwv", (v * w.unsqueeze(1)).matmul(v.t()) - x.t().matmul(x));
        g.output("none", (x / 0.0f32).svd().1);
    })
    .unwrap();
    // Zeros; columns that repeat; one column.
    let element = |i: usize| match (i / 140, i / 7 % 20, i % 7) {
        (0, ..) => 0.0,
        (1, row, col) => ((row * 3 + 1) % 5) as f32 + if col % 2 == 0 { 1.0 } else { 0.0 },
        (_, row, col) => {
            if col == 4 {
                row as f32
            } else {
                0.0
            }
        }
    };
    let x: Vec<f32> = (0..420).map(element).collect();
    let y = run(&program, &[("x", f32s(&[3, 20, 7], &x))]);
    let one: Vec<f64> = (0..147).map(|i| f64::from(u8::from(i % 49 % 8 == 0))).collect();
    for name in ["qq", "uu", "vv", "ww"] {
        close(y[name].clone(), &[3, 7, 7], &one);
    }
    let x: Vec<f64> = x.into_iter().map(f64::from).collect();
    for name in ["qr", "usv"] {
        super::common::close(&y[name].1, &x, 2e-5);
    }
    super::common::close(&y["vwv"].1, &[0.0; 147], 2e-3);
    assert!(y["none"].1.iter().all(|x| x.is_nan()));
}

#[test]
fn what_is_no_such_matrix_is_refused() {
    let errors = program("wrong", |g| {
        let n = g.dim("n", 0..=9);
        let x = g.input("x", DType::F32, [2, 3]);
        g.output("det", x.det());
        g.output("eigh", x.eigh().0);
        g.output("which", g.input("y", DType::F32, (3, n)).qr().0);
        g.output("ints", g.input("z", DType::I32, [2, 2]).inverse());
    })
    .unwrap_err();
    let text = errors.to_string();
    for part in [
        "`lu` takes square matrices",
        "`eigh` takes square matrices",
        "it cannot be shown which axis is the longer one",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.contains("of f32 or f64, i32[2, 2] found"), "{text}");
}
