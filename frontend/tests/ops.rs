//! What each piece of the DSL computes, on each device, against values worked out by hand.

mod common;
#[path = "ops/draws.rs"]
mod draws;
#[path = "ops/linalg.rs"]
mod linalg;
#[path = "ops/relations.rs"]
mod relations;

use common::{Machine, Outputs, devices};
use latentc::prelude::*;
use latentc::{
    Around, Array, Attention, Coordinates, CsrArray, Interpolation, Resize, Scales, Update, Walk, Window,
};
use latentc_ir::grad::gradients;
use latentc_ir::graph::Operand;
use latentc_ir::interp;
use latentc_ir::ops::{Axes, Op};
use latentc_ir::scalar::ReduceOp;
use std::sync::Arc;

/// A value for an input.
#[derive(Clone)]
enum Value {
    Tensor(Array),
    Csr(Arc<CsrArray>),
}

fn f32s(shape: &[usize], values: &[f32]) -> Value {
    Value::Tensor(Array::from_slice(shape, values))
}

fn i32s(shape: &[usize], values: &[i32]) -> Value {
    Value::Tensor(Array::from_slice(shape, values))
}

/// One run on each device, which must agree; with what is kept afterwards.
fn run_and_keep(program: &Program, inputs: &[(&str, Value)]) -> (Outputs, Machine) {
    let mut first: Option<(Outputs, Machine)> = None;
    for device in devices() {
        let mut m = Machine::new(program, 1, device);
        for (name, value) in inputs {
            match value {
                Value::Tensor(a) => m.set(name, a.clone()),
                Value::Csr(c) => m.set_csr(name, c),
            }
        }
        let outputs = m.run();
        let Some((reference, kept)) = &first else {
            first = Some((outputs, m));
            continue;
        };
        for (name, (shape, values)) in reference {
            close(outputs[name].clone(), shape, values);
        }
        for (name, array) in kept.store.iter() {
            close((array.shape().to_vec(), m.get(name)), array.shape(), &array.to_f64());
        }
    }
    first.unwrap()
}

fn run(program: &Program, inputs: &[(&str, Value)]) -> Outputs {
    run_and_keep(program, inputs).0
}

/// Builds on `x [2, 3] = [[1, 2, 3], [4, 5, 6]]` and gives the result.
fn of_x(build: impl for<'g> Fn(&'g Scope, Tensor<'g>) -> Tensor<'g>) -> (Vec<usize>, Vec<f64>) {
    let program = program("x", |g| g.output("y", build(g, g.input("x", DType::F32, [2, 3])))).unwrap();
    run(&program, &[("x", f32s(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))]).remove("y").unwrap()
}

#[track_caller]
fn close(found: (Vec<usize>, Vec<f64>), shape: &[usize], expected: &[f64]) {
    assert_eq!(found.0, shape);
    let near = |(f, e): (&f64, &f64)| {
        (f - e).abs() <= 1e-6 * e.abs().max(1.0) || f == e || (f.is_nan() && e.is_nan())
    };
    assert!(found.1.len() == expected.len() && found.1.iter().zip(expected).all(near), "{:?}", found.1);
}

#[test]
fn operators_repeat_missing_and_single_axes() {
    close(of_x(|_, x| 1.0 - x), &[2, 3], &[0.0, -1.0, -2.0, -3.0, -4.0, -5.0]);
    close(of_x(|_, x| x / 2.0f32 * 3), &[2, 3], &[1.5, 3.0, 4.5, 6.0, 7.5, 9.0]);
    close(of_x(|_, x| x - x.mean_keep(1)), &[2, 3], &[-1.0, 0.0, 1.0, -1.0, 0.0, 1.0]);
    close(of_x(|_, x| x + x.sum(0)), &[2, 3], &[6.0, 9.0, 12.0, 9.0, 12.0, 15.0]);
    // A column and a row make a table; neither operand has the shape of the result.
    close(of_x(|_, x| x.slice(1, 0..1) * x.max(0)), &[2, 3], &[4.0, 5.0, 6.0, 16.0, 20.0, 24.0]);
    close(of_x(|_, x| x.slice(1, 1..2).broadcast_to([4, 2, 3]).sum([0, 2])), &[2], &[24.0, 60.0]);
    close(of_x(|_, x| -(x.sum_all() % 4.0)), &[], &[-1.0]);
}

#[test]
fn comparisons_select() {
    close(of_x(|_, x| x.gt(3.5).select(x, 0.0)), &[2, 3], &[0.0, 0.0, 0.0, 4.0, 5.0, 6.0]);
    close(of_x(|_, x| (x.ge(2) & !x.eq(5)).cast(DType::F32)), &[2, 3], &[0.0, 1.0, 1.0, 1.0, 0.0, 1.0]);
    // The exponents, by their bits.
    let exponents = of_x(|_, x| (x.bitcast(DType::I32) / (1 << 23) - 127).cast(DType::F32));
    close(exponents, &[2, 3], &[0.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    close(of_x(|_, x| (x - 3.0).leaky_relu(0.2)), &[2, 3], &[-0.4, -0.2, 0.0, 1.0, 2.0, 3.0]);
    close(of_x(|_, x| x.clamp(2.0, 4.0)), &[2, 3], &[2.0, 2.0, 3.0, 4.0, 4.0, 4.0]);
    close(of_x(|_, x| x.maximum(x.minimum(2.5) * 2)), &[2, 3], &[2.0, 4.0, 5.0, 5.0, 5.0, 6.0]);
    close(of_x(|_, x| x.pow(2) - x.square()), &[2, 3], &[0.0; 6]);
}

#[test]
fn reductions_take_any_axes() {
    close(of_x(|_, x| x.sum([-1, 0])), &[], &[21.0]);
    close(of_x(|_, x| x.max_keep(-1)), &[2, 1], &[3.0, 6.0]);
    close(of_x(|_, x| x.min(0)), &[3], &[1.0, 2.0, 3.0]);
    close(of_x(|_, x| x.prod_all()), &[], &[720.0]);
    close(of_x(|_, x| x.mean([0usize; 0])), &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
}

/// A function of a tensor, and of a number.
type Function = (&'static str, for<'g> fn(Tensor<'g>) -> Tensor<'g>, fn(f64) -> f64);

const FUNCTIONS: &[Function] = &[
    ("leaky_relu", |x| x.leaky_relu(0.1), |x| if x > 0.0 { x } else { 0.1 * x }),
    ("relu6", |x| x.relu6(), |x| x.clamp(0.0, 6.0)),
    ("thresholded_relu", |x| x.thresholded_relu(1.5), |x| if x > 1.5 { x } else { 0.0 }),
    ("elu", |x| x.elu(0.7), |x| if x > 0.0 { x } else { 0.7 * x.exp_m1() }),
    (
        "selu",
        |x| x.selu(),
        |x| 1.050_700_987_355_480_5 * if x > 0.0 { x } else { 1.673_263_242_354_377_2 * x.exp_m1() },
    ),
    ("celu", |x| x.celu(2.0), |x| x.max(0.0) + (2.0 * (x / 2.0).exp_m1()).min(0.0)),
    (
        "gelu_tanh",
        |x| x.gelu_tanh(),
        |x| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh()),
    ),
    ("silu", |x| x.silu(), |x| x / (1.0 + (-x).exp())),
    ("swish", |x| x.swish(1.5), |x| x / (1.0 + (-1.5 * x).exp())),
    ("mish", |x| x.mish(), |x| x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh()),
    ("hard_sigmoid", |x| x.hard_sigmoid(0.2, 0.5), |x| (0.2 * x + 0.5).clamp(0.0, 1.0)),
    ("hard_swish", |x| x.hard_swish(), |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
    ("hard_tanh", |x| x.hard_tanh(), |x| x.clamp(-1.0, 1.0)),
    ("softsign", |x| x.softsign(), |x| x / (1.0 + x.abs())),
    ("log_sigmoid", |x| x.log_sigmoid(), |x| -((-x).max(0.0) + (-x.abs()).exp().ln_1p())),
    (
        "shrink",
        |x| x.shrink(1.0, 0.5),
        |x| {
            if x > 1.0 {
                x - 0.5
            } else if x < -1.0 {
                x + 0.5
            } else {
                0.0
            }
        },
    ),
    ("tanh_shrink", |x| x.tanh_shrink(), |x| x - x.tanh()),
    ("tan", |x| (x * 0.01).tan(), |x| (x * 0.01).tan()),
    ("asin", |x| (x * 0.01).asin(), |x| (x * 0.01).asin()),
    ("acos", |x| (x * 0.01).acos(), |x| (x * 0.01).acos()),
    ("atan2", |x| x.atan2(x - 1), |x| x.atan2(x - 1.0)),
    ("asinh", |x| x.asinh(), |x| x.asinh()),
    ("trunc", |x| x.trunc(), |x| x.trunc()),
    ("fmod", |x| x.fmod(0.75), |x| x % 0.75),
    ("is_finite", |x| x.is_finite().select(x, 7), |x| x),
    ("is_nan", |x| (x / 0.0 * 0.0).is_nan().select(x, 7), |x| x),
    ("is_inf", |x| (x / 0.0).is_inf().select(x, 7), |x| if x == 0.0 { 7.0 } else { x }),
];

/// Far from zero too, where an exponential of the wrong sign would overflow; so that gradients are finite there.
#[test]
fn functions_of_each_element() {
    let x = [-80.0f32, -3.5, -1.25, -0.5, 0.0, 0.375, 1.75, 5.0, 90.0];
    let program = program("functions", |g| {
        let x = g.input("x", DType::F32, [9]);
        FUNCTIONS.iter().for_each(|(name, f, _)| g.output(name, f(x)));
        g.output("gelu", x.gelu());
    })
    .unwrap();
    let outputs = run(&program, &[("x", f32s(&[9], &x))]);
    for (name, _, f) in FUNCTIONS {
        let expected: Vec<f64> = x.iter().map(|x| f(f64::from(*x))).collect();
        let (_, found) = &outputs[*name];
        for ((x, e), f) in x.iter().zip(&expected).zip(found) {
            assert!((e - f).abs() <= 2e-6 * (1.0 + e.abs()), "{name}({x}) is {f}, not {e}");
        }
    }
    // erf(1.75 / sqrt 2) = 0.919882 (tables of the normal distribution: 0.959941).
    assert!((outputs["gelu"].1[6] - 1.75 * 0.959_941).abs() < 1e-5);

    let mut graph = program.graph().clone();
    let input = Operand::from(graph.input("x").unwrap());
    let smooth = graph.outputs.iter().filter(|(n, _)| !n.starts_with("is_")).map(|(_, o)| *o);
    for y in smooth.collect::<Vec<_>>() {
        let loss = graph.reduce(ReduceOp::Sum, y, Axes::from_slice(&[0]));
        let Some(d) = gradients(&mut graph, loss, &[input]).unwrap()[0] else { continue };
        graph.outputs = vec![("d".to_owned(), d)];
        let given = |_: &str| Some(latentc_ir::array::Value::Tensor(Array::from_slice(&[9], &x)));
        let results = interp::run(&graph, &given).unwrap().outputs;
        let latentc_ir::array::Value::Tensor(d) = &results[0].1 else { panic!("a tensor") };
        assert!(d.to_f64().iter().all(|d| d.is_finite()), "{:?}: {d:?}", graph.node(y.node).op);
    }
}

#[test]
fn reductions_made_of_others() {
    close(of_x(|_, x| x.var(1, 0)), &[2], &[2.0 / 3.0, 2.0 / 3.0]);
    close(of_x(|_, x| x.var([0, 1], 1)), &[], &[3.5]);
    close(of_x(|_, x| (x - 3).l1(0)), &[3], &[3.0, 3.0, 3.0]);
    close(of_x(|_, x| x.l2_keep(1)), &[2, 1], &[14f64.sqrt(), 77f64.sqrt()]);
    close(of_x(|_, x| x.sum_square_all()), &[], &[91.0]);
    close(of_x(|_, x| x.log_sum(1)), &[2], &[6f64.ln(), 15f64.ln()]);
    close(of_x(|_, x| x.gt(4.5).any(1).cast(DType::F32)), &[2], &[0.0, 1.0]);
    close(of_x(|_, x| x.gt(3.5).all(1).cast(DType::F32)), &[2], &[0.0, 1.0]);
    close(of_x(|_, x| (x % 3).arg_max(1)), &[2], &[1.0, 1.0]);
    close(of_x(|_, x| x.minimum(2).arg_max(-1)), &[2], &[1.0, 0.0]);
    close(of_x(|_, x| x.minimum(2).arg_max_last(-1)), &[2], &[2.0, 2.0]);
    close(of_x(|_, x| (x - 2).square().arg_min(0)), &[3], &[0.0, 0.0, 0.0]);
    close(of_x(|_, x| x.eq(2).select(x / 0.0 * 0.0, x).arg_max(1)), &[2], &[1.0, 2.0]);
}

#[test]
fn scans_walk_an_axis() {
    close(of_x(|_, x| x.cum_sum(1)), &[2, 3], &[1.0, 3.0, 6.0, 4.0, 9.0, 15.0]);
    close(of_x(|_, x| x.cum_prod(0)), &[2, 3], &[1.0, 2.0, 3.0, 4.0, 10.0, 18.0]);
    let reverse = Walk { reverse: true, ..Walk::default() };
    close(of_x(|_, x| x.cum_sum_with(-1, reverse)), &[2, 3], &[6.0, 5.0, 3.0, 15.0, 11.0, 6.0]);
    let both = Walk { reverse: true, exclusive: true };
    close(of_x(|_, x| x.cum_sum_with(1, both)), &[2, 3], &[5.0, 3.0, 0.0, 11.0, 6.0, 0.0]);
    close(of_x(|_, x| (x % 3).cum_max(1)), &[2, 3], &[1.0, 2.0, 2.0, 1.0, 2.0, 2.0]);
    let inf = f64::INFINITY;
    let exclusive = Walk { exclusive: true, ..Walk::default() };
    close(of_x(|_, x| x.cum_min_with(0, exclusive)), &[2, 3], &[inf, inf, inf, 1.0, 2.0, 3.0]);
}

/// `0.5 * round(x / 0.5)` and the like: halves go to the even side, what is beyond ends at the bounds.
#[test]
fn quantised_numbers_saturate_and_round_to_even() {
    close(
        of_x(|_, x| {
            let scale = x.sum_all() * 0.0 + 0.4;
            (x * 0.5).quantize(scale, None, Scales::Tensor, DType::I8).cast(DType::F32)
        }),
        &[2, 3],
        &[1.0, 2.0, 4.0, 5.0, 6.0, 8.0],
    );
    close(
        of_x(|_, x| {
            let zero = (x.sum_all() * 0.0 + 250.0).cast(DType::U8);
            let scale = x.sum_all() * 0.0 + 1.0;
            let y = (x * 2 - 3).quantize(scale, Some(zero), Scales::Tensor, DType::U8);
            y.dequantize(scale, Some(zero), Scales::Tensor)
        }),
        &[2, 3],
        &[-1.0, 1.0, 3.0, 5.0, 5.0, 5.0],
    );
    // One scale a column; then one for two columns and one for the third.
    close(
        of_x(|_, x| {
            let y = x.quantize(x.max(0), None, Scales::Axis(1), DType::I16);
            y.dequantize(x.max(0), None, Scales::Axis(1))
        }),
        &[2, 3],
        &[0.0, 0.0, 0.0, 4.0, 5.0, 6.0],
    );
    close(
        of_x(|_, x| {
            let scale = x.slice(1, 1..);
            x.quantize(scale, None, Scales::Blocks(1, 2), DType::I8).dequantize(
                scale,
                None,
                Scales::Blocks(1, 2),
            )
        }),
        &[2, 3],
        &[0.0, 2.0, 3.0, 5.0, 5.0, 6.0],
    );
}

#[test]
fn narrow_types_come_back_as_their_nearest_numbers() {
    let round = |to: DType| of_x(move |_, x| (x * x * 13.7).cast_saturating(to).cast(DType::F32));
    close(round(DType::I8), &[2, 3], &[13.0, 54.0, 123.0, 127.0, 127.0, 127.0]);
    close(round(DType::F8E4M3Fn), &[2, 3], &[14.0, 56.0, 120.0, 224.0, 352.0, 448.0]);
    close(round(DType::F8E5M2), &[2, 3], &[14.0, 56.0, 128.0, 224.0, 320.0, 512.0]);
    close(round(DType::F8E4M3Fnuz), &[2, 3], &[14.0, 56.0, 120.0, 224.0, 240.0, 240.0]);
    let wrapped = |to: DType| of_x(move |_, x| (x * x * 20).cast(DType::I32).cast(to).cast(DType::F32));
    close(wrapped(DType::U8), &[2, 3], &[20.0, 80.0, 180.0, 64.0, 244.0, 208.0]);
    close(wrapped(DType::I8), &[2, 3], &[20.0, 80.0, -76.0, 64.0, -12.0, -48.0]);
}

#[test]
fn products_of_bytes_are_taken_in_i32() {
    close(
        of_x(|_, x| {
            let (a, b) = ((x * 20).cast(DType::I8), (x.t() * 40).cast(DType::U8));
            a.matmul_integer(b)
        }),
        &[2, 2],
        // 20, 40, 60 and 80, 100, 120 by 40, 80, 120 and 160, 200, 240.
        &[11200.0, 25600.0, 25600.0, 61600.0],
    );
    close(
        of_x(|_, x| {
            ((x.cast(DType::U16) << x.cast(DType::U16)) >> (x.cast(DType::U16) % 2)).cast(DType::I32)
        }),
        &[2, 3],
        &[1.0, 8.0, 12.0, 64.0, 80.0, 384.0],
    );
}

#[test]
fn movement_puts_elements_where_it_says() {
    close(of_x(|_, x| x.t()), &[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    close(of_x(|_, x| x.reshape([3, 2]).permute([1, 0])), &[2, 3], &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    close(of_x(|_, x| x.slice(-1, 1..)), &[2, 2], &[2.0, 3.0, 5.0, 6.0]);
    close(of_x(|_, x| x.slice(0, ..=0).squeeze(0)), &[3], &[1.0, 2.0, 3.0]);
    close(of_x(|_, x| x.pad(1, 1, 0, 9.0)), &[2, 4], &[9.0, 1.0, 2.0, 3.0, 9.0, 4.0, 5.0, 6.0]);
    close(of_x(|g, x| g.concat(&[x, x], 0).sum(0)), &[3], &[10.0, 14.0, 18.0]);
    close(of_x(|_, x| x.concat(&[x.slice(1, 0..1)], 1).sum(1)), &[2], &[7.0, 19.0]);
    close(of_x(|g, x| g.stack(&[x.sum(1), x.max(1)], -1)), &[2, 2], &[6.0, 3.0, 15.0, 6.0]);
    close(of_x(|_, x| x.unsqueeze(1).dim(1) * x.sum_all().unsqueeze(0)), &[1], &[21.0]);
}

#[test]
fn products_fold_transposes_and_leading_axes() {
    close(of_x(|_, x| x.matmul(x.t())), &[2, 2], &[14.0, 32.0, 32.0, 77.0]);
    close(of_x(|_, x| x.t().matmul(x)), &[3, 3], &[17.0, 22.0, 27.0, 22.0, 29.0, 36.0, 27.0, 36.0, 45.0]);
    close(of_x(|_, x| x.unsqueeze(0).matmul(x.t())), &[1, 2, 2], &[14.0, 32.0, 32.0, 77.0]);
    close(of_x(|_, x| x.dot_rows(x)), &[2], &[14.0, 77.0]);
    close(of_x(|_, x| x.scale_rows(x.sum(1))), &[2, 3], &[6.0, 12.0, 18.0, 60.0, 75.0, 90.0]);
    let built = program("transposes", |g| {
        let x = g.input("x", DType::F32, [2, 3]);
        g.output("y", x.t().matmul(x).t().matmul(x.t()));
    })
    .unwrap();
    let graph = built.graph();
    let permutes =
        graph.topological().iter().filter(|n| matches!(graph.node(**n).op, Op::Permute(_))).count();
    assert_eq!(permutes, 0, "transposes of operands of products are flags");
}

#[test]
fn softmaxes_add_up() {
    let e: Vec<f64> = (0..3).map(|i| f64::from(i).exp()).collect();
    let sum: f64 = e.iter().sum();
    let row: Vec<f64> = e.iter().map(|e| e / sum).collect();
    close(of_x(|_, x| x.softmax()), &[2, 3], &[row.clone(), row.clone()].concat());
    close(of_x(|_, x| x.log_sum_exp()), &[2], &[1.0 + sum.ln(), 4.0 + sum.ln()]);
    let logs: Vec<f64> = row.iter().map(|p| p.ln()).collect();
    close(of_x(|_, x| x.log_softmax()), &[2, 3], &[logs.clone(), logs].concat());
}

#[test]
fn losses_are_their_formulas() {
    let softplus = |x: f64| x.exp().ln_1p();
    close(of_x(|_, x| bpr(x, x, x * 0.5)), &[], &[(softplus(-7.0) + softplus(-38.5)) / 2.0]);
    close(of_x(|_, x| mse(x, x - 3.0) + mae(x, x + 0.5)), &[], &[9.5]);
    let entropy: f64 = (1..=6).map(|i| softplus(f64::from(i)) - 0.25 * f64::from(i)).sum::<f64>() / 6.0;
    close(of_x(|_, x| binary_cross_entropy(x, x * 0.0 + 0.25)), &[], &[entropy]);
    let last = -((1f64.exp() / (1.0 + 1f64.exp() + 2f64.exp())).ln());
    close(
        of_x(|g, x| cross_entropy(x, g.fill(DType::F32, [1, 3], 1.0).pad(0, 1, 0, 0.0) * one_hot(x))),
        &[],
        &[last / 2.0],
    );
}

/// 1 where x is 5, else 0.
fn one_hot(x: Tensor<'_>) -> Tensor<'_> {
    x.eq(5).cast(DType::F32)
}

/// A size that is only known in a run, as a divisor and as a factor.
#[test]
fn dims_are_numbers_in_a_run() {
    let program = program("dims", |g| {
        let n = g.dim("n", 0..=100);
        let x = g.input("x", DType::F32, (n, 2));
        g.output("mean", x.mean(0));
        g.output("all", x.mean_all());
        g.output("scaled", x.sum_all() / (2 * n + 1) * ((n + 3) / 2));
    })
    .unwrap();
    let out = run(&program, &[("x", f32s(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 9.0]))]);
    close(out["mean"].clone(), &[2], &[3.0, 5.0]);
    close(out["all"].clone(), &[], &[4.0]);
    close(out["scaled"].clone(), &[], &[24.0 / 7.0 * 3.0]);
    let empty = run(&program, &[("x", f32s(&[0, 2], &[]))]);
    assert!(empty["all"].1[0].is_nan());
}

#[test]
fn rows_are_normalised_with_a_finite_gradient() {
    let program = program("norm", |g| {
        let x = g.params().tensor("x", [3, 2], init::zeros()).get(g);
        let y = x.normalize_rows(1e-6);
        g.output("y", y);
        g.minimise((y * g.input("w", DType::F32, [3, 2])).sum_all(), Sgd::new(1.0));
    })
    .unwrap();
    let x = f32s(&[3, 2], &[3.0, 4.0, 0.0, 0.0, 1e-8, 0.0]);
    let w = f32s(&[3, 2], &[1.0, 0.0, 1.0, 2.0, 1.0, 1.0]);
    let (out, kept) = run_and_keep(&program, &[("x", x), ("w", w)]);
    close(out["y"].clone(), &[3, 2], &[0.6, 0.8, 0.0, 0.0, 0.01, 0.0]);
    // (w - y (w . y)) / |x|, and w / eps where the row is shorter than eps.
    let expected = [3.0 - 0.64 / 5.0, 4.0 + 0.48 / 5.0, -1e6, -2e6, -1e6, -1e6];
    close((vec![3, 2], kept.get("x")), &[3, 2], &expected);
}

#[test]
fn patterns_propagate_and_normalise() {
    // Rows {0, 2}, {}, {1}: column degrees 1, 1, 1, 0.
    let csr = CsrArray::from_edges(3, 4, [(0, 0), (0, 2), (2, 1)]).unwrap();
    let program = program("patterns", |g| {
        let a = g.csr("a", [3, 4]);
        let x = g.input("x", DType::F32, [4, 1]);
        let y = g.input("y", DType::F32, [3, 1]);
        g.output("product", a.spmm(x));
        g.output("transposed", a.transpose().spmm(y));
        g.output("weighted", a.spmm_weighted(g.input("w", DType::F32, [a.entries()]), x));
        g.output("degree", a.degree());
        g.output("column_degree", a.transpose().degree());
        g.output("sym", a.sym_norm_spmm(x));
        g.output("row", a.row_norm_spmm(x));
        g.output("column", a.transpose().row_norm_spmm(y));
        g.output("dots", a.dot_entries(y, x));
        let s = g.csr("s", [3, 3]).symmetric();
        g.output("square", s.row_norm_self_spmm(y));
        g.output("rows", (a.rows() * 10 + a.cols()) * y.sum_all());
    })
    .unwrap();
    let square = CsrArray::from_edges(3, 3, [(0, 1), (1, 0)]).unwrap();
    let inputs = [
        ("a", Value::Csr(Arc::new(csr))),
        ("s", Value::Csr(Arc::new(square))),
        ("x", f32s(&[4, 1], &[1.0, 2.0, 4.0, 8.0])),
        ("y", f32s(&[3, 1], &[1.0, 2.0, 5.0])),
        ("w", f32s(&[3], &[10.0, 20.0, 30.0])),
    ];
    let out = run(&program, &inputs);
    let root = 0.5f64.sqrt();
    let expected: [(&str, &[usize], &[f64]); 11] = [
        ("product", &[3, 1], &[5.0, 0.0, 2.0]),
        ("transposed", &[4, 1], &[1.0, 5.0, 1.0, 0.0]),
        ("weighted", &[3, 1], &[90.0, 0.0, 60.0]),
        ("degree", &[3], &[2.0, 0.0, 1.0]),
        ("column_degree", &[4], &[1.0, 1.0, 1.0, 0.0]),
        ("sym", &[3, 1], &[5.0 * root, 0.0, 2.0]),
        ("row", &[3, 1], &[2.5, 0.0, 2.0]),
        ("column", &[4, 1], &[1.0, 5.0, 1.0, 0.0]),
        ("dots", &[3], &[1.0, 4.0, 10.0]),
        ("square", &[3, 1], &[1.5, 1.5, 5.0]),
        ("rows", &[], &[8.0 * 34.0]),
    ];
    for (name, shape, values) in expected {
        close(out[name].clone(), shape, values);
    }
}

#[test]
fn ranking_leaves_out_what_was_seen() {
    let program = program("rank", |g| {
        let batch = g.dim("batch", 1..=4);
        let users = g.ids("users", [batch]);
        let items = g.input("items", DType::F32, [3, 1]);
        let queries = g.input("all", DType::F32, [2, 1]).rows(users);
        let (scores, ids) = queries.score_top_k(items, g.csr("seen", [2, 3]), users, 3);
        g.output("scores", scores);
        g.output("ids", ids);
        let (best, at) = queries.matmul(items.t()).top_k(1);
        g.output("best", best + at.cast(DType::F32));
    })
    .unwrap();
    let inputs = [
        ("users", i32s(&[1], &[1])),
        ("items", f32s(&[3, 1], &[1.0, 3.0, 2.0])),
        ("all", f32s(&[2, 1], &[0.0, 2.0])),
        ("seen", Value::Csr(Arc::new(CsrArray::from_edges(2, 3, [(1, 1)]).unwrap()))),
    ];
    let out = run(&program, &inputs);
    close(out["ids"].clone(), &[1, 3], &[2.0, 0.0, -1.0]);
    close(out["scores"].clone(), &[1, 3], &[4.0, 2.0, f64::NEG_INFINITY]);
    close(out["best"].clone(), &[1, 1], &[7.0]);
}

#[test]
fn elements_are_taken_written_and_put_in_order() {
    close(of_x(|g, x| x.take(g.fill(DType::I32, [2], 2.0), 1)), &[2, 2], &[3.0, 3.0, 6.0, 6.0]);
    close(of_x(|_, x| x.flip(1).roll(1, 1)), &[2, 3], &[1.0, 3.0, 2.0, 4.0, 6.0, 5.0]);
    close(
        of_x(|_, x| x.extend(1, 1, 1, Around::Reflect)),
        &[2, 5],
        &[2., 1., 2., 3., 2., 5., 4., 5., 6., 5.],
    );
    close(of_x(|_, x| x.tile([1, 2]).slice(0, 0..1)), &[1, 6], &[1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    close(of_x(|_, x| x.upper_triangle(1)), &[2, 3], &[0.0, 2.0, 3.0, 0.0, 0.0, 6.0]);
    close(of_x(|_, x| x.sort(1, true).0), &[2, 3], &[3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
    close(of_x(|_, x| (-x).argsort(0, false).cast(DType::F32)), &[2, 3], &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    let written = of_x(|g, x| {
        let ids = g.fill(DType::I32, [2, 3], 0.0);
        x.put_along(ids, x * 10.0, 0, Update::Add)
    });
    close(written, &[2, 3], &[51.0, 72.0, 93.0, 4.0, 5.0, 6.0]);
    close(of_x(|g, _| g.positions(DType::I32, [2], 0).one_hot(2, DType::F32)), &[2, 2], &[1., 0., 0., 1.]);
}

#[test]
fn images_are_convolved_and_resized() {
    let image = |x: Tensor<'_>| -> [usize; 4] { [1, 1, x.shape()[0].as_const().unwrap(), 3] };
    let summed = of_x(|g, x| {
        let filter = g.fill(DType::F32, [1, 1, 2, 2], 1.0);
        x.reshape(image(x)).conv(filter, &Window::new([2, 2]).with_pads([0, 1]), 1)
    });
    close(summed, &[1, 1, 1, 4], &[5.0, 12.0, 16.0, 9.0]);
    let back = of_x(|g, x| {
        let filter = g.fill(DType::F32, [1, 1, 1, 2], 1.0);
        let window = Window::new([1, 2]).with_stride([1, 2]);
        x.reshape(image(x)).conv_transpose(filter, &window, 1, &[])
    });
    close(back, &[1, 1, 2, 6], &[1., 1., 2., 2., 3., 3., 4., 4., 5., 5., 6., 6.]);
    let window = Window::new([1, 2]);
    close(of_x(|_, x| x.reshape(image(x)).max_pool(&window)), &[1, 1, 2, 2], &[2.0, 3.0, 5.0, 6.0]);
    close(of_x(|_, x| x.reshape(image(x)).average_pool(&window, true)), &[1, 1, 2, 2], &[1.5, 2.5, 4.5, 5.5]);
    let how = Resize {
        mode: Interpolation::Linear,
        coordinates: Coordinates::AlignCorners,
        scale: None,
        exclude_outside: false,
        antialias: false,
    };
    close(of_x(|_, x| x.resize(1, 5, &how).slice(0, 0..1)), &[1, 5], &[1.0, 1.5, 2.0, 2.5, 3.0]);
}

#[test]
fn rows_attend_and_equations_are_followed() {
    close(of_x(|g, x| g.einsum("ij,kj->ik", &[x, x])), &[2, 2], &[14.0, 32.0, 32.0, 77.0]);
    let attended = of_x(|_, x| {
        let x = x.unsqueeze(0);
        let how = Attention { causal: Some(0), scale: Some(0.0), ..Attention::default() };
        x.attention(x, x, how)
    });
    close(attended, &[1, 2, 3], &[1.0, 2.0, 3.0, 2.5, 3.5, 4.5]);
    let r = 1.5f64.sqrt();
    close(of_x(|_, x| x.layer_norm(1, 0.0)), &[2, 3], &[-r, 0.0, r, -r, 0.0, r]);
}

#[test]
fn compositions_that_do_not_fit_are_recorded() {
    let errors = program("x", |g| {
        let x = g.input("x", DType::F32, [2, 3]);
        g.output("a", x.take(x, 0));
        g.output("b", g.einsum("ij,jk->ik", &[x, x]));
        g.output("c", x.attention(x, x, Attention::default()));
    })
    .unwrap_err();
    assert_eq!(errors.diags().len(), 3, "{errors}");
}
