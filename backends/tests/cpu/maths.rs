//! The functions of binary32 that are polynomials: their errors against binary64 over samples of the whole
//! range, their values where the limits are, and the same bits in every lane.
//!
//! The errors found here are those that the documentation of the module `math` states.

use latentc_ir::array::Array;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{self, Serial, Vector};
use latentc_ir::nest::build::{KernelBuilder, load};
use latentc_ir::nest::{Expr, Kernel, Space};
use latentc_ir::scalar::{ScalarOp, eval};

use crate::harness::{Numbers, compile_for, runnable};

/// Functions of one operand, with the greatest error in units in the last place: with a fused multiply-add,
/// and without.
const UNARY: [(ScalarOp, f64, f64); 21] = [
    (ScalarOp::Exp, 1.1, 1.1),
    (ScalarOp::Expm1, 1.6, 1.6),
    (ScalarOp::Log, 0.9, 0.9),
    (ScalarOp::Log1p, 0.9, 0.9),
    (ScalarOp::Sin, 0.51, 0.51),
    (ScalarOp::Cos, 0.51, 0.51),
    (ScalarOp::Tanh, 2.5, 2.5),
    (ScalarOp::Erf, 6.0, 7.0),
    (ScalarOp::Sigmoid, 2.5, 2.5),
    (ScalarOp::Softplus, 1.7, 1.7),
    (ScalarOp::Tan, 0.51, 0.51),
    (ScalarOp::Asin, 0.51, 0.51),
    (ScalarOp::Acos, 0.51, 0.51),
    (ScalarOp::Atan, 0.51, 0.51),
    (ScalarOp::Sinh, 0.51, 0.51),
    (ScalarOp::Cosh, 0.51, 0.51),
    (ScalarOp::Asinh, 0.51, 0.51),
    (ScalarOp::Acosh, 0.51, 0.51),
    (ScalarOp::Atanh, 0.51, 0.51),
    (ScalarOp::Lgamma, 0.51, 0.51),
    (ScalarOp::Digamma, 0.51, 0.51),
];
const POW: (f64, f64) = (0.51, 0.51);

fn kernel(op: ScalarOp, kind: AxisKind) -> Kernel {
    let mut k =
        KernelBuilder::new(format!("{}_{}", op.name(), if kind == Serial { "serial" } else { "lanes" }));
    let n = k.dim("n");
    let args: Vec<_> = ["a", "b"][..op.arity()]
        .iter()
        .map(|name| k.buffer(*name, DType::F32, n.clone(), Space::In))
        .collect();
    let y = k.buffer("y", DType::F32, n.clone(), Space::Out);
    k.for_("i", n, kind, |k, i| {
        let args = args.iter().map(|a| load(*a, i.clone())).collect();
        k.store(y, i, Expr::Op(op, args));
    });
    k.finish()
}

/// Samples of every magnitude and sign, and dense ones where functions do something.
fn samples() -> Vec<f32> {
    let mut x: Vec<f32> = (0..u32::MAX).step_by(4093).map(f32::from_bits).collect();
    let mut r = Numbers::new(1);
    for (lo, hi) in [(-110.0, 110.0), (-20.0, 20.0), (-2.0, 2.0), (-0.1, 0.1), (0.5, 2.0), (-1e5, 1e5)] {
        x.extend((0..100_000).map(|_| r.between(lo, hi) as f32));
    }
    x
}

/// The value in binary64: of the reference operations, which round nothing there.
fn exact(op: ScalarOp, args: &[f32]) -> f64 {
    let args: Vec<Literal> = args.iter().map(|x| Literal::float(DType::F64, f64::from(*x))).collect();
    eval(op, &args).unwrap().as_f64()
}

/// The distance in units in the last place of the binary32 that the exact value lies at.
fn error(exact: f64, found: f32) -> f64 {
    if exact.is_nan() || found.is_nan() {
        return if exact.is_nan() && found.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let nearest = exact as f32;
    if nearest.is_infinite() || found.is_infinite() {
        return if nearest == found { 0.0 } else { f64::INFINITY };
    }
    let binade = exact.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
    (f64::from(found) - exact).abs() / (binade - 23.0).exp2()
}

#[test]
fn errors_of_functions_of_one_operand() {
    let x = samples();
    let n = x.len();
    let given = Array::from_slice(&[n], &x);
    let kernels: Vec<Kernel> = UNARY.iter().map(|(op, ..)| kernel(*op, Vector(8))).collect();
    let sets: Vec<_> = runnable().into_iter().map(|isa| (compile_for(&kernels, &isa), isa)).collect();
    let mut wrong = vec![];
    for (at, (op, fused, plain)) in UNARY.iter().enumerate() {
        let expected: Vec<f64> = x.iter().map(|x| exact(*op, &[*x])).collect();
        for (set, isa) in &sets {
            let y = set.run(at, &[given.clone(), Array::zeros(DType::F32, &[n])], &[n as i64]).remove(1);
            let limit = if isa.fma { *fused } else { *plain };
            let errors = y.as_slice::<f32>().iter().zip(&expected).map(|(y, e)| error(*e, *y));
            let (worst, i) = errors.zip(0..n).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            println!("{} {}: {worst:.3} at {:e}", isa.name, op.name(), x[i]);
            if worst > limit {
                let found = y.as_slice::<f32>()[i];
                wrong.push(format!(
                    "{} {}({:e}) is {found:e}, exactly {:e}: {worst:.3} units off, {limit} are stated",
                    isa.name,
                    op.name(),
                    x[i],
                    expected[i]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn errors_of_powers() {
    let mut r = Numbers::new(7);
    let (mut x, mut y) = (vec![], vec![]);
    for i in 0..600_000u32 {
        // Bases of every size, near one, and small whole numbers; exponents that leave the result finite, or
        // whole ones.
        let base = match i % 4 {
            0 => f32::from_bits(r.bits() as u32),
            1 => r.between(0.5, 2.0) as f32,
            2 => r.between(-20.0, 20.0).round() as f32,
            _ => 1.0 + r.between(-1e-4, 1e-4) as f32,
        };
        let reach = 130.0 / f64::from(base.abs().log2().abs()).max(1e-6);
        let exponent = match i % 3 {
            0 => r.between(-reach, reach) as f32,
            1 => r.between(-30.0, 30.0).round() as f32,
            _ => r.between(-3.0, 3.0) as f32,
        };
        x.push(base);
        y.push(exponent);
    }
    let n = x.len();
    let params = [Array::from_slice(&[n], &x), Array::from_slice(&[n], &y), Array::zeros(DType::F32, &[n])];
    let expected: Vec<f64> = (0..n).map(|i| exact(ScalarOp::Pow, &[x[i], y[i]])).collect();
    for isa in runnable() {
        let set = compile_for(&[kernel(ScalarOp::Pow, Vector(8))], &isa);
        let z = set.run(0, &params, &[n as i64]).remove(2);
        let errors = z.as_slice::<f32>().iter().zip(&expected).map(|(z, e)| error(*e, *z));
        let (worst, i) = errors.zip(0..n).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        println!("{} pow: {worst:.3} at {:e} {:e}", isa.name, x[i], y[i]);
        let limit = if isa.fma { POW.0 } else { POW.1 };
        let found = z.as_slice::<f32>()[i];
        assert!(
            worst <= limit,
            "{} pow({:e}, {:e}) is {found:e}, exactly {:e}: {worst:.3} units off, {limit} are stated",
            isa.name,
            x[i],
            y[i],
            expected[i]
        );
    }
}

/// Limits, zeros and their signs, bit for bit.
#[test]
fn limits() {
    use ScalarOp::*;
    use std::f32::consts::{FRAC_PI_2, FRAC_PI_4, PI};
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let table: &[(ScalarOp, &[(f32, f32)])] = &[
        (Exp, &[(0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, 0.0), (89.0, inf), (-104.0, 0.0), (-200.0, 0.0)]),
        (
            Expm1,
            &[(0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -1.0), (89.0, inf), (-50.0, -1.0), (1e-30, 1e-30)],
        ),
        (Log, &[(0.0, -inf), (-0.0, -inf), (1.0, 0.0), (inf, inf), (-1.0, nan), (-inf, nan), (-1e-45, nan)]),
        (
            Log1p,
            &[(0.0, 0.0), (-0.0, -0.0), (-1.0, -inf), (inf, inf), (-1.5, nan), (-inf, nan), (1e-30, 1e-30)],
        ),
        (Sin, &[(0.0, 0.0), (-0.0, -0.0), (inf, nan), (-inf, nan), (1e-30, 1e-30)]),
        (Cos, &[(0.0, 1.0), (-0.0, 1.0), (inf, nan), (-inf, nan)]),
        (
            Tanh,
            &[(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (20.0, 1.0), (-20.0, -1.0), (1e-30, 1e-30)],
        ),
        (Tan, &[(0.0, 0.0), (-0.0, -0.0), (inf, nan), (-inf, nan), (1e-30, 1e-30)]),
        (Asin, &[(0.0, 0.0), (-0.0, -0.0), (1.0, FRAC_PI_2), (-1.0, -FRAC_PI_2), (1.1, nan), (-inf, nan)]),
        (Acos, &[(0.0, FRAC_PI_2), (1.0, 0.0), (-1.0, PI), (-1.1, nan), (inf, nan)]),
        (Atan, &[(0.0, 0.0), (-0.0, -0.0), (inf, FRAC_PI_2), (-inf, -FRAC_PI_2), (1.0, FRAC_PI_4)]),
        (Sinh, &[(0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -inf), (90.0, inf), (-90.0, -inf)]),
        (Cosh, &[(0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, inf), (-90.0, inf)]),
        (Asinh, &[(0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -inf), (1e-30, 1e-30)]),
        (Acosh, &[(1.0, 0.0), (inf, inf), (0.5, nan), (-inf, nan), (-1.0, nan)]),
        (Atanh, &[(0.0, 0.0), (-0.0, -0.0), (1.0, inf), (-1.0, -inf), (1.5, nan), (-inf, nan)]),
        (
            Lgamma,
            &[
                (0.0, inf),
                (-0.0, inf),
                (1.0, 0.0),
                (2.0, 0.0),
                (-3.0, inf),
                (inf, inf),
                (-inf, inf),
                (1e37, inf),
            ],
        ),
        (Digamma, &[(0.0, -inf), (-0.0, inf), (-3.0, nan), (inf, inf), (-inf, nan), (-1e30, nan)]),
        (Erf, &[(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (5.0, 1.0), (-5.0, -1.0)]),
        (Sigmoid, &[(0.0, 0.5), (inf, 1.0), (-inf, 0.0), (40.0, 1.0), (-104.5, 0.0)]),
        (Softplus, &[(inf, inf), (-inf, 0.0), (1e30, 1e30), (-110.0, 0.0), (0.0, std::f32::consts::LN_2)]),
    ];
    let mut powers: Vec<(f32, f32, f32)> = vec![
        (2.0, 10.0, 1024.0),
        (-2.0, 3.0, -8.0),
        (-2.0, 2.0, 4.0),
        (-2.0, 0.5, nan),
        (-2.0, -1.0, -0.5),
        (nan, 0.0, 1.0),
        (1.0, nan, 1.0),
        (1.0, inf, 1.0),
        (-1.0, inf, 1.0),
        (-1.0, -inf, 1.0),
        (0.5, inf, 0.0),
        (0.5, -inf, inf),
        (2.0, inf, inf),
        (2.0, -inf, 0.0),
        (nan, 2.0, nan),
        (2.0, nan, nan),
        (2.0, 128.0, inf),
        (2.0, -150.0, 0.0),
        (-2.0, 129.0, -inf),
        (1e-45, 0.5, 3.743_392e-23),
    ];
    for zero in [0.0f32, -0.0] {
        powers.extend([
            (zero, 2.0, 0.0),
            (zero, 0.5, 0.0),
            (zero, 3.0, zero),
            (zero, -2.0, inf),
            (zero, -3.0, inf.copysign(zero)),
            (zero, inf, 0.0),
            (zero, -inf, inf),
            (inf.copysign(zero), 2.0, inf),
            (inf.copysign(zero), 3.0, inf.copysign(zero)),
            (inf.copysign(zero), -3.0, zero),
            (inf.copysign(zero), 0.5, inf),
            (7.0, zero, 1.0),
        ]);
    }
    let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    for isa in runnable() {
        let kernels: Vec<Kernel> = table.iter().map(|(op, _)| kernel(*op, Vector(8))).collect();
        let set = compile_for(&kernels, &isa);
        for (at, (op, rows)) in table.iter().enumerate() {
            // NaN passes through everything.
            let rows: Vec<(f32, f32)> = rows.iter().copied().chain([(nan, nan), (-nan, nan)]).collect();
            let x: Vec<f32> = rows.iter().map(|r| r.0).collect();
            let params = [Array::from_slice(&[x.len()], &x), Array::zeros(DType::F32, &[x.len()])];
            let y = set.run(at, &params, &[x.len() as i64]).remove(1);
            for ((x, expected), found) in rows.iter().zip(y.as_slice::<f32>()) {
                assert!(
                    same(*expected, *found),
                    "{} {}({x:?}) is {found:?}, not {expected:?}",
                    isa.name,
                    op.name()
                );
            }
        }
        let set = compile_for(&[kernel(Pow, Vector(8))], &isa);
        let n = powers.len();
        let part = |f: fn(&(f32, f32, f32)) -> f32| {
            Array::from_slice(&[n], &powers.iter().map(f).collect::<Vec<f32>>())
        };
        let params = [part(|p| p.0), part(|p| p.1), Array::zeros(DType::F32, &[n])];
        let z = set.run(0, &params, &[n as i64]).remove(2);
        for ((x, y, expected), found) in powers.iter().zip(z.as_slice::<f32>()) {
            assert!(same(*expected, *found), "{} pow({x:?}, {y:?}) is {found:?}, not {expected:?}", isa.name);
        }
    }
}

/// A lane whose argument goes to the C library leaves the others to themselves.
#[test]
fn a_far_lane_does_not_change_its_neighbours() {
    let near: Vec<f32> = (0..8).map(|i| -4.742_693 + i as f32).collect();
    let mut mixed = near.clone();
    mixed[5] = 1e30;
    for isa in runnable() {
        for op in [ScalarOp::Sin, ScalarOp::Cos, ScalarOp::Tan] {
            let set = compile_for(&[kernel(op, Vector(8))], &isa);
            let run = |x: &[f32]| {
                let params = [Array::from_slice(&[8], x), Array::zeros(DType::F32, &[8])];
                set.run(0, &params, &[8]).remove(1).as_slice::<f32>().to_vec()
            };
            let (alone, together) = (run(&near), run(&mixed));
            for i in (0..8).filter(|i| *i != 5) {
                assert_eq!(alone[i].to_bits(), together[i].to_bits(), "{} {} lane {i}", isa.name, op.name());
            }
            assert_eq!(together[5], exact(op, &[1e30]) as f32);
        }
    }
}

/// One by one and in lanes of any number, whole vectors and remainders: the same bits.
#[test]
fn lanes_give_the_bits_of_one() {
    let mut r = Numbers::new(3);
    let n = 1003;
    let x: Vec<f32> = (0..n)
        .map(|i| if i % 2 == 0 { f32::from_bits(r.bits() as u32) } else { r.between(-10.0, 10.0) as f32 })
        .collect();
    let y: Vec<f32> = (0..n).map(|_| r.between(-3.0, 3.0) as f32).collect();
    for isa in runnable() {
        for op in UNARY.iter().map(|u| u.0).chain([ScalarOp::Pow, ScalarOp::Atan2, ScalarOp::Fmod]) {
            let mut params = vec![Array::from_slice(&[n], &x), Array::from_slice(&[n], &y)];
            params.truncate(op.arity());
            params.push(Array::zeros(DType::F32, &[n]));
            let run = |kind| {
                let set = compile_for(&[kernel(op, kind)], &isa);
                set.run(0, &params, &[n as i64]).remove(op.arity())
            };
            let one = run(Serial);
            for lanes in [4, 16] {
                let found = run(Vector(lanes));
                let pairs = one.as_slice::<f32>().iter().zip(found.as_slice::<f32>());
                for ((a, b), x) in pairs.zip(&x) {
                    let same = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
                    assert!(same, "{} {}({x:e}) is {a:e} alone, {b:e} in {lanes} lanes", isa.name, op.name());
                }
            }
        }
    }
}
