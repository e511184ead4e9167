//! Loops and branches: against the same steps written out, and values worked out by hand.

use crate::common::{Machine, close, devices};
use latentc::nn::{Gru, Lstm};
use latentc::prelude::*;
use latentc::{Array, Steps};

const STEPS: usize = 6;
const BATCH: usize = 3;
const INPUT: usize = 4;
const HIDDEN: usize = 5;

/// What a layer gives for each step, and what a training step makes of its parameters.
fn trained(program: &Program) -> Vec<Vec<(String, Vec<f64>)>> {
    let count = STEPS * BATCH * INPUT;
    let x: Vec<f32> = (0..count).map(|i| ((i * 37 % 19) as f32 - 9.0) / 9.0).collect();
    let mut all = vec![];
    for device in devices() {
        let mut m = Machine::new(program, 3, device);
        m.set("x", Array::from_slice(&[STEPS, BATCH, INPUT], &x));
        let outputs = m.run();
        let mut values: Vec<(String, Vec<f64>)> =
            outputs.into_iter().map(|(name, (_, values))| (name, values)).collect();
        values.extend(program.params().map(|p| (p.name.clone(), m.get(&p.name))));
        // Parameters stand in the order of their first use.
        values.sort_by(|a, b| a.0.cmp(&b.0));
        all.push(values);
    }
    all
}

/// How the steps of a layer are written.
#[derive(Clone, Copy)]
enum Written {
    Scan(Steps),
    Out,
}

fn lstm(how: Written) -> Result<Program> {
    program("lstm", |g| {
        let x = g.input("x", DType::F32, [STEPS, BATCH, INPUT]);
        let layer = Lstm::new(g.params(), "layer", INPUT, HIDDEN);
        let all = match how {
            Written::Scan(steps) => {
                let (all, (h, c)) = layer.run(x, None, steps);
                g.output("h", h);
                g.output("c", c);
                all
            }
            Written::Out => {
                let zeros = g.fill(DType::F32, [BATCH, HIDDEN], 0.0);
                let (mut h, mut c, mut all) = (zeros, zeros, vec![]);
                for step in 0..STEPS {
                    let x = x.slice(0, step..step + 1).squeeze(0);
                    let gates =
                        x.matmul(layer.input.get(g)) + h.matmul(layer.hidden.get(g)) + layer.bias.get(g);
                    let gate = |at: usize| gates.slice(1, at * HIDDEN..(at + 1) * HIDDEN);
                    c = gate(1).sigmoid() * c + gate(0).sigmoid() * gate(2).tanh();
                    h = gate(3).sigmoid() * c.tanh();
                    all.push(h);
                }
                g.output("h", h);
                g.output("c", c);
                g.stack(&all, 0)
            }
        };
        g.output("all", all);
        g.minimise(all.square().mean_all() + all.slice(0, 2..4).sum_all() * 0.1, Sgd::new(0.5));
    })
}

fn gru(how: Written) -> Result<Program> {
    program("gru", |g| {
        let x = g.input("x", DType::F32, [STEPS, BATCH, INPUT]);
        let layer = Gru::new(g.params(), "layer", INPUT, HIDDEN);
        let all = match how {
            Written::Scan(steps) => layer.run(x, None, steps).0,
            Written::Out => {
                let (mut h, mut all) = (g.fill(DType::F32, [BATCH, HIDDEN], 0.0), vec![]);
                for step in 0..STEPS {
                    let x = x.slice(0, step..step + 1).squeeze(0);
                    let given = x.matmul(layer.input.get(g)) + layer.bias.get(g);
                    let own = h.matmul(layer.hidden.get(g));
                    let part = |at: usize| at * HIDDEN..(at + 1) * HIDDEN;
                    let z = (given.slice(1, part(0)) + own.slice(1, part(0))).sigmoid();
                    let r = (given.slice(1, part(1)) + own.slice(1, part(1))).sigmoid();
                    let n =
                        (given.slice(1, part(2)) + r * (own.slice(1, part(2)) + layer.inner.get(g))).tanh();
                    h = (1.0 - z) * n + z * h;
                    all.push(h);
                }
                g.stack(&all, 0)
            }
        };
        g.output("all", all);
        g.minimise(all.square().mean_all() + all.slice(0, 2..4).sum_all() * 0.1, Sgd::new(0.5));
    })
}

fn same(layer: fn(Written) -> Result<Program>) {
    let expected = trained(&layer(Written::Out).unwrap());
    for checkpoint in [0, 4] {
        let program = layer(Written::Scan(Steps { checkpoint, ..Steps::default() })).unwrap();
        for (found, expected) in trained(&program).iter().zip(&expected) {
            for ((name, found), (other, expected)) in found.iter().zip(expected) {
                assert_eq!(name, other);
                close(found, expected, 2e-5);
            }
        }
    }
}

#[test]
fn lstm_by_scan_is_its_steps() {
    same(lstm);
}

#[test]
fn gru_by_scan_is_its_steps() {
    same(gru);
}

/// The number of nodes does not grow with the number of steps.
#[test]
fn a_loop_is_one_node() {
    let nodes = |steps: usize| {
        let p = program("long", |g| {
            let x = g.input("x", DType::F32, [steps, 2, 3]);
            let layer = Lstm::new(g.params(), "layer", 3, 4);
            let (all, _) = layer.run(x, None, Steps::default());
            g.minimise(all.square().mean_all(), Adam::new(0.1));
        });
        p.unwrap().graph().len()
    };
    assert_eq!(nodes(2), nodes(500));
}

#[test]
fn steps_of_a_dim_and_backwards() {
    let program = program("sums", |g| {
        let n = g.dim("n", 0..=10);
        let x = g.input("x", DType::F32, [n, g.size(2)]);
        let zero = g.fill(DType::F32, [2], 0.0);
        let scale = g.input("scale", DType::F32, ());
        let back = Steps { reverse: true, ..Steps::default() };
        // From the end: sums of what is behind, scaled by a number from outside.
        let (last, all) = g.scan_with(n, back, zero, x, |sum, x| {
            let next = sum + x * scale;
            (next, (next, sum))
        });
        g.output("last", last);
        g.output("after", all.0);
        g.output("before", all.1);
    });
    let program = program.unwrap();
    for device in devices() {
        let mut m = Machine::new(&program, 0, device);
        m.set("scale", Array::scalar(2.0f32));
        m.set("x", Array::from_slice(&[3, 2], &[1.0f32, 10.0, 2.0, 20.0, 3.0, 30.0]));
        let out = m.run();
        assert_eq!(out["last"].1, [12.0, 120.0]);
        assert_eq!(out["after"].1, [12.0, 120.0, 10.0, 100.0, 6.0, 60.0]);
        assert_eq!(out["before"].1, [10.0, 100.0, 6.0, 60.0, 0.0, 0.0]);
        m.set("x", Array::from_slice::<f32>(&[0, 2], &[]));
        assert_eq!(m.run()["last"].1, [0.0, 0.0]);
    }
}

/// Only the branch that is taken runs: the other would have no end of NaN in its gradient.
#[test]
fn branches_and_their_gradients() {
    let program = program("either", |g| {
        let x = g.input("x", DType::F32, [2]);
        let w = g.params().tensor("w", [2], init::constant(1.0)).get(g);
        let y = g.cond(x.sum_all().gt(0.0), || (w * x).sqrt().sum_all(), || (w * x * -3.0).sum_all());
        g.output("y", y);
        g.minimise(y, Sgd::new(1.0));
    });
    let program = program.unwrap();
    for device in devices() {
        let mut m = Machine::new(&program, 0, device);
        m.set("x", Array::from_slice(&[2], &[4.0f32, 9.0]));
        assert_eq!(m.run()["y"].1, [5.0]);
        // d sqrt(w x) = x / (2 sqrt(w x)).
        close(&m.get("w"), &[0.0, -0.5], 1e-6);
        m.store.insert("w", Array::from_slice(&[2], &[1.0f32, 1.0]));
        m.set("x", Array::from_slice(&[2], &[-1.0f32, -2.0]));
        assert_eq!(m.run()["y"].1, [9.0]);
        close(&m.get("w"), &[-2.0, -5.0], 1e-6);
    }
}

#[test]
fn loops_that_end_when_they_are_done() {
    let program = program("collatz", |g| {
        let n = g.input("n", DType::I32, ());
        let zero = g.fill(DType::I32, (), 0.0);
        let two = g.fill(DType::I32, (), 2.0);
        let (last, steps) = g.while_loop(
            1000,
            (n, zero),
            |(n, _)| n.gt(1),
            |(n, steps)| {
                let even = (n % two).eq(0);
                let next = g.cond(even, || n / two, || n * 3 + 1);
                (next, steps + 1)
            },
        );
        g.output("last", last);
        g.output("steps", steps);
    });
    let program = program.unwrap();
    for device in devices() {
        let mut m = Machine::new(&program, 0, device);
        for (n, steps) in [(1, 0.0), (6, 8.0), (27, 111.0)] {
            m.set("n", Array::scalar(n));
            let out = m.run();
            assert_eq!((out["last"].1[0], out["steps"].1[0]), (1.0, steps));
        }
    }
}

/// The derivative of Newton's steps is that of what they find.
#[test]
fn gradients_of_loops_are_those_of_the_steps_done() {
    let program = program("root", |g| {
        let a = g.params().tensor("a", [1], init::constant(4.0)).get(g).sum_all();
        let root = g.while_loop(30, a, |x| (x * x - a).abs().gt(1e-5), |x| (x + a / x) * 0.5);
        g.output("root", root);
        g.minimise(root, Sgd::new(1.0));
    });
    let program = program.unwrap();
    for device in devices() {
        let mut m = Machine::new(&program, 0, device);
        close(&m.run()["root"].1, &[2.0], 1e-5);
        // 1 / (2 sqrt 4)
        close(&m.get("a"), &[3.75], 1e-4);
    }
}
