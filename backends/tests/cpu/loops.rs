//! Loops, branches, buffers and positions.

use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Parallel, Serial, Unroll, Vector};
use latentc_ir::nest::build::{KernelBuilder, dot4, f32c, load, op1, op2};
use latentc_ir::nest::{Expr, Index, Space, Split};
use latentc_ir::scalar::{ReduceOp, ScalarOp};

use latentc_ir::array::Array;

use crate::harness::{Numbers, compile, compile_for, runnable};

const SIZES: [usize; 12] = [0, 1, 3, 7, 8, 9, 15, 63, 64, 65, 200, 1001];

/// `y[i] = a[i] * b[i] + a[i]`, with the extent known when compiling or not.
#[test]
fn vectors_and_their_remainders() {
    for width in [1, 4, 8, 16] {
        for fixed in [false, true] {
            for n in SIZES {
                let mut k = KernelBuilder::new("axpy");
                let d = if fixed { Index::Const(n as i64) } else { k.dim("n") };
                let a = k.buffer("a", DType::F32, d.clone(), Space::In);
                let b = k.buffer("b", DType::F32, d.clone(), Space::In);
                let y = k.buffer("y", DType::F32, d.clone(), Space::Out);
                k.for_("i", d, Vector(width), |k, i| {
                    let ab = op2(ScalarOp::Mul, load(a, i.clone()), load(b, i.clone()));
                    k.store(y, i.clone(), op2(ScalarOp::Add, ab, load(a, i)));
                });
                let k = compile(k.finish());
                let mut r = Numbers::new(n as u64);
                let (mut a, mut b) = (r.f32s(n), r.f32s(n));
                let mut y = vec![0f32; n + 1];
                let dims: &[i64] = if fixed { &[] } else { &[n as i64] };
                k.run(&mut [&mut a, &mut b, &mut y], dims);
                let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a * b + a).collect();
                assert_eq!(y[..n], expected[..], "{n} elements in vectors of {width}");
                assert_eq!(y[n], 0.0, "wrote beyond the end");
            }
        }
    }
}

/// Parallel ranges of any split give the same, and the step is kept.
#[test]
fn parallel_ranges() {
    let mut k = KernelBuilder::new("double");
    let n = k.dim("n");
    let x = k.buffer("x", DType::F32, n.clone(), Space::In);
    let y = k.buffer("y", DType::F32, n.clone(), Space::Out);
    k.for_step("b", 0, n.clone(), 16, Parallel(Split::Even), |k, b| {
        let end = (b.clone() + 16).min(n.clone());
        k.for_step("i", b, end, 1, Vector(8), |k, i| {
            k.store(y, i.clone(), op2(ScalarOp::Add, load(x, i.clone()), load(x, i)));
        });
    });
    let k = compile(k.finish());
    let n = 77;
    let mut x = Numbers::new(1).f32s(n);
    let expected: Vec<f32> = x.iter().map(|x| x + x).collect();
    for cut in [0, 16, 32, 64, 80] {
        let mut y = vec![0f32; n];
        k.run_range(&mut [&mut x, &mut y], &[n as i64], 0, cut.min(n as i64));
        k.run_range(&mut [&mut x, &mut y], &[n as i64], cut, n as i64);
        assert_eq!(y, expected, "cut at {cut}");
    }
}

/// Strides other than one, broadcasts, quotients and remainders of the vector variable, reversal, gathers.
#[test]
fn positions_in_lanes() {
    type Case = (&'static str, fn(Index) -> Index, fn(i64) -> i64);
    let cases: [Case; 11] = [
        ("contiguous", |i| i + 3, |i| i + 3),
        ("strided", |i| i * 3 + 1, |i| i * 3 + 1),
        ("broadcast", |_| Index::Const(5), |_| 5),
        ("reversed", |i| Index::Const(99) - i, |i| 99 - i),
        ("row", |i| i.floor_div(16), |i| i / 16),
        ("column", |i| i.modulo(16), |i| i % 16),
        ("broken row", |i| i.floor_div(3), |i| i / 3),
        ("broken column", |i| i.modulo(5), |i| i % 5),
        ("shifted column", |i| (i + 4).modulo(16), |i| (i + 4) % 16),
        ("below", |i| (i - 7).floor_div(4) + 2, |i| (i - 7).div_euclid(4) + 2),
        ("clamped", |i| i.max(10).min(40), |i| i.clamp(10, 40)),
    ];
    for (name, make, position) in cases {
        for width in [1, 8] {
            for fixed in [true, false] {
                let mut k = KernelBuilder::new("positions");
                let n = if fixed { Index::Const(83) } else { k.dim("n") };
                let x = k.buffer("x", DType::F32, 300, Space::In);
                let y = k.buffer("y", DType::F32, n.clone(), Space::Out);
                k.for_("i", n, Vector(width), |k, i| k.store(y, i.clone(), load(x, make(i))));
                let k = compile(k.finish());
                let mut x: Vec<f32> = (0..300).map(|i| i as f32).collect();
                let mut y = vec![0f32; 83];
                k.run(&mut [&mut x, &mut y], if fixed { &[] } else { &[83] });
                let expected: Vec<f32> = (0..83).map(|i| position(i) as f32).collect();
                assert_eq!(y, expected, "{name}, vectors of {width}");
            }
        }
    }
}

/// Indirect loads and scattered stores in lanes.
#[test]
fn gather_and_scatter() {
    let mut k = KernelBuilder::new("permute");
    let n = k.dim("n");
    let p = k.buffer("p", DType::I32, n.clone(), Space::In);
    let x = k.buffer("x", DType::F32, n.clone(), Space::In);
    let y = k.buffer("y", DType::F32, n.clone(), Space::Out);
    let z = k.buffer("z", DType::F32, n.clone(), Space::Out);
    k.for_("i", n, Vector(8), |k, i| {
        let at = k.load_index(p, i.clone());
        k.store(y, i.clone(), load(x, at.clone()));
        k.store(z, at, load(x, i));
    });
    let k = compile(k.finish());
    for n in SIZES {
        let mut r = Numbers::new(n as u64 + 5);
        let mut p: Vec<i32> = (0..n as i32).collect();
        for i in (1..n).rev() {
            p.swap(i, r.below(i + 1));
        }
        let mut x = r.f32s(n);
        let (mut y, mut z) = (vec![0f32; n], vec![0f32; n]);
        k.run(&mut [&mut p, &mut x, &mut y, &mut z], &[n as i64]);
        for i in 0..n {
            assert_eq!(y[i], x[p[i] as usize]);
            assert_eq!(z[p[i] as usize], x[i]);
        }
    }
}

/// Lanes that add into one element take turns in order, exactly as the serial loop does.
#[test]
fn accumulations_that_meet() {
    let build = |kind| {
        let mut k = KernelBuilder::new("histogram");
        let n = k.dim("n");
        let bin = k.buffer("bin", DType::I32, n.clone(), Space::In);
        let x = k.buffer("x", DType::F32, n.clone(), Space::In);
        let h = k.buffer("h", DType::F32, 4, Space::InOut);
        k.for_("i", n, kind, |k, i| {
            let b = k.load_index(bin, i.clone());
            k.accumulate(ReduceOp::Sum, h, b, op2(ScalarOp::Mul, load(x, i.clone()), f32c(1.1)));
            k.accumulate(ReduceOp::Max, h, 3, load(x, i));
        });
        compile(k.finish())
    };
    let (lanes, serial) = (build(Vector(8)), build(Serial));
    let n = 101;
    let mut r = Numbers::new(9);
    let mut bin: Vec<i32> = (0..n).map(|_| r.below(3) as i32).collect();
    let mut x = r.f32s(n);
    let (mut a, mut b) = (vec![0f32; 4], vec![0f32; 4]);
    lanes.run(&mut [&mut bin, &mut x, &mut a], &[n as i64]);
    serial.run(&mut [&mut bin, &mut x, &mut b], &[n as i64]);
    assert_eq!(a, b);
    assert_ne!(a[0], 0.0);
}

/// A sum with a register array of partial results, reduced by halves.
#[test]
fn reductions_by_lanes() {
    for op in ReduceOp::ALL {
        let mut k = KernelBuilder::new("reduce");
        let n = k.dim("n");
        let x = k.buffer("x", DType::F32, n.clone(), Space::In);
        let y = k.buffer("y", DType::F32, 1, Space::Out);
        let acc = k.buffer("acc", DType::F32, 16, Space::Register);
        k.fill(acc, op.identity(DType::F32));
        let whole = n.clone().floor_div(16) * 16;
        k.for_step("i", 0, whole.clone(), 16, Serial, |k, i| {
            k.for_("l", 16, Vector(8), |k, l| k.accumulate(op, acc, l.clone(), load(x, i + l)));
        });
        k.for_step("i", whole, n, 1, Serial, |k, i| k.accumulate(op, acc, 0, load(x, i)));
        k.store(y, 0, Expr::Lanes { op, buf: acc });
        let k = compile(k.finish());
        for n in SIZES {
            let mut x: Vec<f32> = Numbers::new(n as u64)
                .f32s(n)
                .iter()
                .map(|x| if op == ReduceOp::Prod { 1.0 + x / 64.0 } else { *x })
                .collect();
            let combine = |a: f32, b: f32| match op {
                ReduceOp::Sum => a + b,
                ReduceOp::Prod => a * b,
                ReduceOp::Max => a.max(b),
                ReduceOp::Min => a.min(b),
            };
            let mut parts = [op.identity(DType::F32).as_f64() as f32; 16];
            let whole = n / 16 * 16;
            for i in 0..whole {
                parts[i % 16] = combine(parts[i % 16], x[i]);
            }
            for v in &x[whole..] {
                parts[0] = combine(parts[0], *v);
            }
            let mut width = 16;
            while width > 1 {
                width /= 2;
                for i in 0..width {
                    parts[i] = combine(parts[i], parts[i + width]);
                }
            }
            let mut y = vec![0f32];
            k.run(&mut [&mut x, &mut y], &[n as i64]);
            assert_eq!(y[0], parts[0], "{} of {n}", op.name());
        }
    }
}

/// Sums of four products of bytes: in vectors that read one operand side by side and the other all the same,
/// as the machine's instruction wants them, and in others; added to what is there, and by itself.
#[test]
fn products_of_four_bytes() {
    let kernels: Vec<_> =
        [(1, 4, 0), (4, 4, 0), (8, 4, 0), (16, 4, 0), (32, 4, 0), (16, 4, 4), (16, 3, 1), (8, 0, 0)]
            .into_iter()
            .map(|(width, first, second)| {
                let mut k = KernelBuilder::new(format!("dot_{width}_{first}_{second}"));
                let n = k.dim("n");
                let a = k.buffer("a", DType::U8, n.clone() * 4 + 4, Space::In);
                let b = k.buffer("b", DType::I8, n.clone() * 4 + 4, Space::In);
                let y = k.buffer("y", DType::I32, n.clone(), Space::InOut);
                let z = k.buffer("z", DType::I32, n.clone(), Space::Out);
                k.for_("i", n, Vector(width), |k, i| {
                    let dot = || dot4(a, i.clone() * first, b, i.clone() * second + 2);
                    k.accumulate(ReduceOp::Sum, y, i.clone(), dot());
                    k.store(z, i.clone(), dot());
                });
                k.finish()
            })
            .collect();
    for isa in runnable() {
        let set = compile_for(&kernels, &isa);
        for n in [0, 1, 5, 16, 37, 64] {
            let mut r = Numbers::new(n as u64);
            let mut some = |dtype, len: usize| {
                let mut a = Array::zeros(dtype, &[len]);
                (0..len).for_each(|i| a.set(i, Literal::int(dtype, r.bits() as i64 >> 8)));
                a
            };
            let bytes = 4 * n + 4;
            let params =
                [some(DType::U8, bytes), some(DType::I8, bytes), some(DType::I32, n), some(DType::I32, n)];
            for (at, k) in kernels.iter().enumerate() {
                let (expected, found) = set.both(at, &params, &[n as i64]);
                assert_eq!(expected, found, "{} of {n} on {}", k.name, isa.name);
            }
        }
    }
}

/// NaN wins every maximum and minimum, wherever it stands.
#[test]
fn reductions_keep_nan() {
    for op in [ReduceOp::Max, ReduceOp::Min] {
        let mut k = KernelBuilder::new("extreme");
        let x = k.buffer("x", DType::F32, 16, Space::In);
        let y = k.buffer("y", DType::F32, 1, Space::Out);
        let acc = k.buffer("acc", DType::F32, 8, Space::Register);
        k.fill(acc, op.identity(DType::F32));
        k.for_("i", 2, Serial, |k, i| {
            k.for_("l", 8, Vector(8), |k, l| k.accumulate(op, acc, l.clone(), load(x, i * 8 + l)));
        });
        k.store(y, 0, Expr::Lanes { op, buf: acc });
        let k = compile(k.finish());
        for at in 0..16 {
            let mut x = Numbers::new(at as u64).f32s(16);
            let mut y = vec![0f32];
            k.run(&mut [&mut x, &mut y], &[]);
            assert!(!y[0].is_nan());
            x[at] = f32::NAN;
            k.run(&mut [&mut x, &mut y], &[]);
            assert!(y[0].is_nan(), "{} lost the NaN at {at}", op.name());
        }
    }
}

/// A stack buffer in a parallel loop, a branch, and a value that both use.
#[test]
fn stack_buffers_and_branches() {
    let mut k = KernelBuilder::new("rows");
    let (rows, cols) = (k.dim("rows"), 40);
    let x = k.buffer("x", DType::F32, rows.clone() * cols, Space::In);
    let y = k.buffer("y", DType::F32, rows.clone() * cols, Space::Out);
    let tmp = k.buffer("tmp", DType::F32, 2 * cols, Space::Stack);
    k.for_("r", rows, Parallel(Split::Even), |k, r| {
        k.fill(tmp, Literal::float(DType::F32, 0.5));
        k.for_("c", cols, Vector(8), |k, c| {
            k.accumulate(ReduceOp::Sum, tmp, c.clone(), load(x, r.clone() * cols + c));
        });
        let odd = op2(ScalarOp::Eq, Expr::from(r.clone().modulo(2)), Expr::Lit(Literal::int(DType::I64, 1)));
        k.if_(
            odd,
            |k| {
                k.for_("c", cols, Vector(8), |k, c| {
                    k.store(y, r.clone() * cols + c.clone(), op1(ScalarOp::Neg, load(tmp, c)));
                });
            },
            |k| {
                k.for_("c", cols, Serial, |k, c| {
                    let mirrored = load(tmp, Index::Const(cols - 1) - c.clone());
                    k.store(
                        y,
                        r.clone() * cols + c.clone(),
                        op2(ScalarOp::Add, mirrored, load(tmp, c + cols)),
                    );
                });
            },
        );
    });
    let k = compile(k.finish());
    let (rows, cols) = (5usize, cols as usize);
    let mut x = Numbers::new(3).f32s(rows * cols);
    let mut y = vec![0f32; rows * cols];
    k.run(&mut [&mut x, &mut y], &[rows as i64]);
    for r in 0..rows {
        for c in 0..cols {
            let at = |c: usize| x[r * cols + c] + 0.5;
            let expected = if r % 2 == 1 { -at(c) } else { at(cols - 1 - c) + 0.5 };
            assert_eq!(y[r * cols + c], expected, "row {r} column {c}");
        }
    }
}

/// Unrolled loops, with bounds that depend on an outer unrolled one.
#[test]
fn unrolled_triangle() {
    let mut k = KernelBuilder::new("triangle");
    let x = k.buffer("x", DType::I64, 8, Space::In);
    let y = k.buffer("y", DType::I64, 8, Space::InOut);
    k.for_("i", 8, Unroll, |k, i| {
        k.for_step("j", 0, i.clone() + 1, 2, Unroll, |k, j| {
            k.accumulate(ReduceOp::Sum, y, i.clone(), load(x, j));
        });
    });
    let k = compile(k.finish());
    let mut x: Vec<i64> = (1..=8).collect();
    let mut y = vec![100i64; 8];
    k.run(&mut [&mut x, &mut y], &[]);
    let expected: Vec<i64> = (0..8).map(|i| 100 + (0..=i).step_by(2).map(|j| j + 1).sum::<i64>()).collect();
    assert_eq!(y, expected);
}
