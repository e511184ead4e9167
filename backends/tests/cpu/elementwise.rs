//! Every scalar operation on every element type, and every conversion, against the nest's interpreter: bit
//! for bit where the machine has an instruction, within stated units in the last place where a polynomial
//! stands in for one.

use latentc_ir::array::Array;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::Vector;
use latentc_ir::nest::build::{KernelBuilder, load};
use latentc_ir::nest::{Expr, Kernel, Space};
use latentc_ir::scalar::{ScalarOp, Signature};

use crate::harness::{Numbers, compile_for, difference, runnable};

/// Elements of a test: whole vectors of every width and a remainder.
const N: usize = 1003;

/// Numbers where things go wrong.
fn special(d: DType) -> Vec<Literal> {
    if d == DType::Bool {
        return vec![Literal::int(d, 0), Literal::int(d, 1)];
    }
    let least = match d {
        DType::F64 => 5e-324,
        DType::F32 => 1e-45,
        DType::Bf16 => 9.2e-41,
        DType::F16 => 6e-8,
        d => d.f8().map_or(0.0, |f| f.decode(1)),
    };
    let max = d.greatest();
    if d.is_float() {
        let positive = [
            0.0,
            least,
            least * 3.0,
            1e-5,
            0.1,
            0.25,
            0.5,
            0.75,
            1.0,
            1.5,
            2.0,
            2.5,
            3.0,
            7.0,
            10.25,
            88.0,
            127.5,
            255.0,
            300.0,
            40_000.0,
            max / 4.0,
            max,
            f64::INFINITY,
            f64::NAN,
        ];
        return positive.iter().flat_map(|x| [*x, -x]).map(|x| Literal::float(d, x)).collect();
    }
    // The least and the greatest number, and those where a sign bit would be.
    let (least, greatest) = d.int_range().unwrap();
    let bounds = [least as i64, greatest as i64, (greatest / 2 + 1) as i64, (greatest / 2) as i64];
    let mut all: Vec<Literal> = bounds.iter().map(|x| Literal::int(d, *x)).collect();
    for x in [0, 1, 2, 3, 7, 100, 250, 65_537, 1 << 40] {
        all.extend([Literal::int(d, x), Literal::int(d, -x)]);
    }
    all
}

/// Any number of a type, floats of any size.
fn random(d: DType, r: &mut Numbers) -> Literal {
    let bits = r.bits();
    match d {
        DType::F64 => Literal::float(d, f64::from_bits(bits)),
        DType::F32 => Literal::float(d, f64::from(f32::from_bits(bits as u32))),
        DType::Bf16 => Literal::float(d, f64::from(f32::from_bits((bits as u32) & 0xffff_0000))),
        d if d.is_float() => {
            Literal::float(d, r.between(-300.0, 300.0) * [1.0, 100.0, 1e-4, 1e-7][(bits % 4) as usize])
        }
        d => Literal::int(d, bits as i64),
    }
}

/// Operands of an operation: every combination of special numbers as far as there is room, random numbers of
/// any size, and numbers about one.
fn operands(op: ScalarOp, d: DType, count: usize, seed: u64) -> Vec<Array> {
    let special = special(d);
    let mut r = Numbers::new(seed);
    let mut arrays = vec![Array::zeros(d, &[N]); count];
    for i in 0..N {
        let mut rest = i;
        for (position, a) in arrays.iter_mut().enumerate() {
            let pairs = special.len().pow(count as u32).min(N * 3 / 4);
            let value = if i < pairs {
                let at = rest % special.len();
                rest /= special.len();
                special[at]
            } else if i % 2 == 0 || !d.is_float() {
                random(d, &mut r)
            } else {
                let range = if op == ScalarOp::Pow && position == 0 { (0.0, 20.0) } else { (-20.0, 20.0) };
                Literal::float(d, r.between(range.0, range.1))
            };
            a.set(i, value);
        }
    }
    arrays
}

/// Units in the last place that the machine may be off the interpreter.
fn tolerance(op: ScalarOp, d: DType) -> u64 {
    let polynomial = matches!(
        op,
        ScalarOp::Exp
            | ScalarOp::Expm1
            | ScalarOp::Log
            | ScalarOp::Log1p
            | ScalarOp::Sin
            | ScalarOp::Cos
            | ScalarOp::Tanh
            | ScalarOp::Erf
            | ScalarOp::Sigmoid
            | ScalarOp::Softplus
            | ScalarOp::Pow
            | ScalarOp::Tan
            | ScalarOp::Asin
            | ScalarOp::Acos
            | ScalarOp::Atan
            | ScalarOp::Atan2
            | ScalarOp::Sinh
            | ScalarOp::Cosh
            | ScalarOp::Asinh
            | ScalarOp::Acosh
            | ScalarOp::Atanh
            | ScalarOp::Lgamma
            | ScalarOp::Digamma
    );
    let own = matches!(op, ScalarOp::Asinh | ScalarOp::Acosh | ScalarOp::Atanh);
    match d {
        // The C library's own, but for `erf`, which the interpreter computes by itself.
        DType::F64 if op == ScalarOp::Erf => 8,
        // Of another library.
        DType::F64 if own => 3,
        // Near their zeros and poles errors are of the terms that cancel.
        DType::F64 if op == ScalarOp::Lgamma => 1 << 12,
        DType::F64 if op == ScalarOp::Digamma => 1 << 12,
        DType::F64 => 0,
        DType::F32 if op == ScalarOp::Erf => 7,
        DType::F32 if polynomial => 3,
        // A result near the middle of two 16-bit floats may go either way.
        _ if polynomial => 1,
        _ => 0,
    }
}

/// `y[i] = op(a[i], b[i], ..)`.
fn kernel(op: ScalarOp, types: &[DType], result: DType) -> Kernel {
    let mut k = KernelBuilder::new(format!("{}_{}", op.name(), types[types.len() - 1]));
    let n = k.dim("n");
    let names = ["a", "b", "c", "d"];
    let args: Vec<_> =
        types.iter().zip(names).map(|(d, name)| k.buffer(name, *d, n.clone(), Space::In)).collect();
    let y = k.buffer("y", result, n.clone(), Space::Out);
    k.for_("i", n, Vector(8), |k, i| {
        let args = args.iter().map(|a| load(*a, i.clone())).collect();
        k.store(y, i, Expr::Op(op, args));
    });
    k.finish()
}

fn shown(params: &[Array], at: usize) -> String {
    params.iter().map(|a| a.get(at).to_string()).collect::<Vec<_>>().join(", ")
}

/// Every operation on the types that it takes.
fn operations_on(d: DType) {
    let mut kernels = vec![];
    let mut cases = vec![];
    for (i, op) in ScalarOp::ALL.iter().enumerate() {
        let mut types = vec![d; op.arity()];
        if op.signature() == Signature::Select {
            types[0] = DType::Bool;
        }
        let Some(result) = op.result(&types) else { continue };
        let mut params = operands(*op, d, op.arity(), i as u64 + 1);
        if types[0] != d {
            params[0] = operands(*op, types[0], 1, 9).remove(0);
        }
        params.push(Array::zeros(result, &[N]));
        kernels.push(kernel(*op, &types, result));
        cases.push((*op, params));
    }
    assert!(!kernels.is_empty());
    for isa in runnable() {
        let set = compile_for(&kernels, &isa);
        for (at, (op, params)) in cases.iter().enumerate() {
            let (expected, found) = set.both(at, params, &[N as i64]);
            let (y, z) = (&expected[op.arity()], &found[op.arity()]);
            if let Some((i, expected, found)) = difference(y, z, tolerance(*op, d)) {
                let given = shown(&params[..op.arity()], i);
                panic!("{}: {} of {d} ({given}): expected {expected}, found {found}", isa.name, op.name());
            }
        }
    }
}

macro_rules! operations {
    ($($name:ident: $d:ident;)+) => {$(
        #[test]
        fn $name() {
            operations_on(DType::$d);
        }
    )+};
}

operations! {
    operations_on_f64: F64;
    operations_on_f32: F32;
    operations_on_bf16: Bf16;
    operations_on_f16: F16;
    operations_on_i64: I64;
    operations_on_i32: I32;
    operations_on_i16: I16;
    operations_on_i8: I8;
    operations_on_u64: U64;
    operations_on_u32: U32;
    operations_on_u16: U16;
    operations_on_u8: U8;
    operations_on_f8e4m3fn: F8E4M3Fn;
    operations_on_f8e5m2: F8E5M2;
    operations_on_f8e4m3fnuz: F8E4M3Fnuz;
    operations_on_f8e5m2fnuz: F8E5M2Fnuz;
    operations_on_bool: Bool;
}

/// Every conversion, bit for bit.
#[test]
fn conversions() {
    let pairs: Vec<(DType, DType)> =
        DType::ALL.into_iter().flat_map(|from| DType::ALL.map(|to| (from, to))).collect();
    let kernels: Vec<Kernel> = pairs
        .iter()
        .map(|(from, to)| {
            let mut k = KernelBuilder::new(format!("{from}_to_{to}"));
            let n = k.dim("n");
            let x = k.buffer("x", *from, n.clone(), Space::In);
            let y = k.buffer("y", *to, n.clone(), Space::Out);
            k.for_("i", n, Vector(8), |k, i| {
                k.store(y, i.clone(), Expr::Cast(*to, Box::new(load(x, i))));
            });
            k.finish()
        })
        .collect();
    for isa in runnable() {
        let set = compile_for(&kernels, &isa);
        for (at, (from, to)) in pairs.iter().enumerate() {
            let x = operands(ScalarOp::Neg, *from, 1, at as u64).remove(0);
            let params = [x, Array::zeros(*to, &[N])];
            let (expected, found) = set.both(at, &params, &[N as i64]);
            if let Some((i, expected, found)) = difference(&expected[1], &found[1], 0) {
                let given = params[0].get(i);
                panic!("{}: {given} from {from} to {to}: expected {expected}, found {found}", isa.name);
            }
        }
    }
}

/// Ties and near-ties of the narrow floats, from every wider type.
#[test]
fn narrowing_rounds_once() {
    let mut values = vec![];
    for exponent in [-26, -25, -24, -18, -17, -16, -15, -14, -11, -10, -9, -7, 0, 5, 7, 8, 15, 16, 120, 127] {
        let scale = f64::from(exponent).exp2();
        for step in 0..64 {
            // Halves, quarters and eighths of the last place of both formats, with a hair beside them.
            for unit in [2f64.powi(-12), 2f64.powi(-9), 2f64.powi(-5)] {
                let x = (1.0 + f64::from(step) * unit) * scale;
                let hair = scale * 2f64.powi(-45);
                values.extend([x, -x, x + hair, x - hair, -x - hair]);
            }
        }
    }
    for from in [DType::F64, DType::F32] {
        let x = Array::from_f64(from, &[values.len()], &values);
        let kernels: Vec<Kernel> = DType::ALL
            .into_iter()
            .filter(|to| to.is_float() && to.size() <= 4)
            .map(|to| {
                let mut k = KernelBuilder::new(format!("to_{to}"));
                let n = k.dim("n");
                let x = k.buffer("x", from, n.clone(), Space::In);
                let y = k.buffer("y", to, n.clone(), Space::Out);
                k.for_("i", n, Vector(8), |k, i| {
                    k.store(y, i.clone(), Expr::Cast(to, Box::new(load(x, i))));
                });
                k.finish()
            })
            .collect();
        for isa in runnable() {
            let set = compile_for(&kernels, &isa);
            for (at, kernel) in kernels.iter().enumerate() {
                let to = kernel.buffers[1].dtype;
                let params = [x.clone(), Array::zeros(to, &[values.len()])];
                let (expected, found) = set.both(at, &params, &[values.len() as i64]);
                if let Some((i, expected, found)) = difference(&expected[1], &found[1], 0) {
                    panic!("{}: {from} {:?} to {to}: {expected}, found {found}", isa.name, x.get(i).as_f64());
                }
            }
        }
    }
}
