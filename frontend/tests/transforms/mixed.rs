//! Products in 16 bits, and results to the bit.

use super::some;
use crate::common::{Machine, close, devices};
use latentc::prelude::*;
use latentc::{Array, GOOD_STEPS, LOSS_SCALE, LossScale, Mixed, Numerics, Window};

const FIRST: f64 = 1024.0;

/// A small network with a convolution, attention, a table and matrices.
fn network(mixed: Option<Mixed>, optimizer: impl Into<latentc::Optimizer>) -> Program {
    program("mixed", |g| {
        if let Some(mixed) = mixed {
            g.mixed_precision(mixed);
        }
        let x = g.input("x", DType::F32, [4, 2, 6]);
        let ids = g.ids("ids", [4]);
        let p = g.params();
        let k = p.tensor("k", [3, 2, 3], init::normal(0.4)).get(g);
        let w = p.tensor("w", [4, 4], init::normal(0.5)).get(g);
        let rows = p.table("rows", [5, 4], init::normal(0.5)).rows(g, ids);
        let h = x.conv(k, &Window::new([3]), 1).tanh();
        let h = h.attention(h, h, Default::default()).mean(1);
        let loss = (h.matmul(w) - rows).square().mean_all();
        g.minimise(loss, optimizer);
        g.output("loss", loss);
    })
    .unwrap()
}

fn given(m: &mut Machine, x: Array) {
    m.set("x", x);
    m.set("ids", Array::from_slice(&[4], &[1, 0, 4, 1]));
}

#[test]
fn narrow_products_learn_as_wide_ones() {
    let adam = || Adam::new(1e-2);
    for device in devices() {
        let mut ends = vec![];
        for mixed in [None, Some(Mixed::bf16()), Some(Mixed::f16())] {
            let mut m = Machine::new(&network(mixed, adam()), 5, device);
            given(&mut m, some(&[4, 2, 6], 1));
            let losses: Vec<f64> = (0..8).map(|_| m.run()["loss"].1[0]).collect();
            ends.push((losses, m.get("w"), m.get("rows")));
        }
        for (mixed, tolerance) in [(1, 1e-2), (2, 2e-3)] {
            assert_ne!(ends[0].0, ends[mixed].0, "nothing is rounded");
            close(&ends[0].0, &ends[mixed].0, tolerance);
        }
        assert!(ends[1].0[7] < ends[1].0[0] && ends[2].0[7] < ends[2].0[0]);
    }
}

#[test]
fn a_step_that_overflows_changes_no_parameter_and_halves_the_scale() {
    let scale = LossScale::Dynamic { first: FIRST, every: 2 };
    let program = network(Some(Mixed::f16().with_scale(scale)), Adam::new(1e-2));
    let kept: Vec<String> = program.first_values(0).map(|(name, _)| name.to_owned()).collect();
    for device in devices() {
        let mut m = Machine::new(&program, 5, device);
        let scale = |m: &Machine| (m.get(LOSS_SCALE)[0], m.get(GOOD_STEPS)[0]);
        given(&mut m, some(&[4, 2, 6], 1));
        m.run();
        assert_eq!((scale(&m), m.get("adam.step")[0]), ((FIRST, 1.0), 1.0));
        let before: Vec<Vec<f64>> = kept.iter().map(|name| m.get(name)).collect();
        let mut beyond = some(&[4, 2, 6], 1);
        beyond.set(3, latentc_ir::dtype::Literal::float(DType::F32, 1e6));
        given(&mut m, beyond);
        m.run();
        assert_eq!(scale(&m), (FIRST / 2.0, 0.0));
        for (name, before) in kept.iter().zip(before) {
            if name != LOSS_SCALE && name != GOOD_STEPS {
                assert_eq!(m.get(name), before, "{name} changed");
            }
        }
        given(&mut m, some(&[4, 2, 6], 1));
        m.run();
        assert_eq!((scale(&m), m.get("adam.step")[0]), ((FIRST / 2.0, 1.0), 2.0));
        m.run();
        assert_eq!((scale(&m), m.get("adam.step")[0]), ((FIRST, 0.0), 3.0));
    }
}

/// A constant scale is a power of two, so that without rounding the steps have the same bits.
#[test]
fn a_scale_that_rounds_nothing_changes_nothing() {
    let mixed = |scale| Some(Mixed { dtype: DType::Bf16, scale });
    for device in devices() {
        let mut ends = vec![];
        for scale in [None, Some(LossScale::Constant(64.0))] {
            let mut m = Machine::new(&network(mixed(scale), Sgd::new(0.1)), 5, device);
            given(&mut m, some(&[4, 2, 6], 1));
            m.run();
            ends.push([m.get("w"), m.get("k"), m.get("rows")]);
        }
        for (a, b) in ends[0].iter().zip(&ends[1]) {
            close(a, b, 1e-6);
        }
    }
}

#[test]
fn mistakes_are_told() {
    let errors = program("wrong", |g| {
        g.mixed_precision(Mixed { dtype: DType::F32, scale: None });
        g.mixed_precision(Mixed::f16().with_scale(LossScale::Constant(0.0)));
        g.output("x", g.input("x", DType::F32, [3]));
    })
    .unwrap_err();
    let messages: Vec<&str> = errors.diags().iter().map(|d| d.message.as_str()).collect();
    let expected = [
        "products in f32; mixed precision is of bf16 or f16",
        "a loss scale of 0; it is finite and positive",
    ];
    assert_eq!(messages, expected);
}

/// A strict program: what a division by a constant gives, where the fast one multiplies.
#[test]
fn strict_programs_divide_where_it_is_written() {
    let build = |numerics| {
        program("strict", |g| {
            g.numerics(numerics);
            let x = g.input("x", DType::F32, [64]);
            g.output("third", x / 3.0);
            g.output("scaled", x * 0.1 * 0.7);
        })
        .unwrap()
    };
    let x: Vec<f32> = (1..65).map(|i| i as f32 * 0.37).collect();
    for device in devices() {
        let mut m = Machine::new(&build(Numerics::Strict), 0, device);
        m.set("x", Array::from_slice(&[64], &x));
        let of = m.run();
        let bits = |f: &dyn Fn(f32) -> f32| x.iter().map(|x| f64::from(f(*x))).collect::<Vec<f64>>();
        assert_eq!(of["third"].1, bits(&|x| x / 3.0));
        assert_eq!(of["scaled"].1, bits(&|x| x * 0.1 * 0.7));
    }
}
