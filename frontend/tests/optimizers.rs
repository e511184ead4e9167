//! Steps of optimizers against their formulas, and what is kept between runs.

mod common;

use common::{Machine, close, devices};
use latentc::prelude::*;
use latentc::{Array, Device};

/// A table of four rows of which two ids are used, and a plain parameter.
fn step(optimizer: impl Into<Optimizer>) -> Program {
    program("step", |g| {
        let p = g.params();
        let table = p.table("table", [4, 1], init::constant(1.0));
        let bias = p.scope("head").tensor("bias", [1], init::zeros());
        let rows = table.rows(g, g.ids("ids", [3]));
        let loss = (rows.square() * g.input("weight", DType::F32, [3, 1])).sum_all() + bias.get(g).sum_all();
        g.minimise(loss, optimizer);
        g.output("loss", loss);
    })
    .unwrap()
}

fn machine(program: &Program, device: Device) -> Machine {
    let mut m = Machine::new(program, 0, device);
    m.set("ids", Array::from_slice(&[3], &[2, 0, 2]));
    m.set("weight", Array::from_slice(&[3, 1], &[1.0f32, 2.0, 0.5]));
    m
}

/// Gradient of the table: row 0 counts 2, row 2 counts 1 + 0.5, and the derivative of the square is `2 p`.
fn gradient(p: &[f64]) -> [f64; 4] {
    [2.0 * 2.0 * p[0], 0.0, 1.5 * 2.0 * p[2], 0.0]
}

#[test]
fn descent_is_its_formula() {
    let program = step(Sgd::new(0.1));
    for device in devices() {
        let mut m = machine(&program, device);
        let mut p = [1.0; 4];
        for _ in 0..3 {
            m.run();
            let g = gradient(&p);
            (0..4).for_each(|i| p[i] -= 0.1 * g[i]);
        }
        close(&m.get("table"), &p, 1e-6);
        close(&m.get("head.bias"), &[-0.3], 1e-6);
    }
}

/// Adam as its paper has it, in f64.
fn adam(steps: i32, lazy: bool) -> [f64; 4] {
    let (mut p, mut m, mut v) = ([1.0f64; 4], [0.0f64; 4], [0.0f64; 4]);
    for t in 1..=steps {
        let g = gradient(&p);
        for i in (0..4).filter(|i| !lazy || g[*i] != 0.0) {
            m[i] = 0.9 * m[i] + 0.1 * g[i];
            v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
            let (m, v) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.999f64.powi(t)));
            p[i] -= 0.01 * m / (v.sqrt() + 1e-8);
        }
    }
    p
}

#[test]
fn adam_is_its_formula() {
    let program = step(Adam::new(0.01));
    for device in devices() {
        let mut m = machine(&program, device);
        for _ in 0..50 {
            m.run();
        }
        close(&m.get("table"), &adam(50, false), 1e-5);
        close(&m.get("head.bias"), &[-0.5], 1e-5);
        assert_eq!(m.get("adam.step"), [50.0]);
    }
}

/// Rows that are used in one run and not in the next move on by their moments; with `lazy` they stay.
#[test]
fn rows_at_rest_move_unless_lazy() {
    for device in devices() {
        for (optimizer, moves) in [(Adam::new(0.01), true), (Adam::new(0.01).lazy(), false)] {
            let program = step(optimizer);
            let mut m = machine(&program, device);
            m.run();
            let before = (m.get("table"), m.get("adam.v.table"));
            m.set("ids", Array::from_slice(&[3], &[0, 0, 0]));
            m.run();
            let after = (m.get("table"), m.get("adam.v.table"));
            assert_eq!(before.0[2] != after.0[2], moves);
            assert_eq!(before.1[2] != after.1[2], moves);
            assert!(before.0[0] != after.0[0] && before.0[1] == after.0[1]);
        }
        // As long as the same rows are used, both are the same.
        let program = step(Adam::new(0.01).lazy());
        let mut m = machine(&program, device);
        for _ in 0..20 {
            m.run();
        }
        close(&m.get("table"), &adam(20, true), 1e-5);
        close(&adam(20, true), &adam(20, false), 0.0);
    }
}

/// A table of which few rows are used: a step moves these alone, each by all that is listed for it.
#[test]
fn few_rows_of_a_table_move() {
    let optimizers: [(&str, Optimizer); 4] = [
        ("sgd", Sgd::new(0.1).into()),
        ("adam", Adam::new(0.1).lazy().into()),
        ("adagrad", Adagrad { initial: 0.5, ..Adagrad::new(0.1) }.into()),
        ("adagrad by row", Adagrad::new(0.1).row_wise().into()),
    ];
    for (name, optimizer) in optimizers {
        let program = program("rows", |g| {
            let table = g.params().table("table", [40, 2], init::constant(1.0));
            let rows = table.rows(g, g.ids("ids", [3]));
            g.minimise((rows.square() * g.input("weight", DType::F32, [3, 2])).sum_all(), optimizer);
        })
        .unwrap();
        for device in devices() {
            let mut m = Machine::new(&program, 0, device);
            m.set("weight", Array::from_slice(&[3, 2], &[1.0f32, 2.0, 3.0, 0.5, 0.25, 4.0]));
            let (mut p, mut s, mut v) = ([[1.0f64; 2]; 40], [[0.0f64; 2]; 40], [[0.0f64; 2]; 40]);
            if name == "adagrad" {
                s = [[0.5; 2]; 40];
            }
            for (t, ids) in [(1, [7, 3, 7]), (2, [3, 39, 3]), (3, [0, 0, 0])] {
                m.set("ids", Array::from_slice(&[3], &ids));
                m.run();
                let mut weights = [[0.0f64; 2]; 40];
                for (id, w) in ids.iter().zip([[1.0, 2.0], [3.0, 0.5], [0.25, 4.0]]) {
                    (0..2).for_each(|l| weights[*id as usize][l] += w[l]);
                }
                let used: std::collections::BTreeSet<i32> = ids.into_iter().collect();
                for r in used.into_iter().map(|r| r as usize) {
                    let g = [0, 1].map(|l| 2.0 * weights[r][l] * p[r][l]);
                    let mean = (g[0] * g[0] + g[1] * g[1]) / 2.0;
                    for l in 0..2 {
                        match name {
                            "sgd" => p[r][l] -= 0.1 * g[l],
                            "adam" => {
                                s[r][l] = 0.9 * s[r][l] + 0.1 * g[l];
                                v[r][l] = 0.999 * v[r][l] + 0.001 * g[l] * g[l];
                                let (a, b) = (1.0 - 0.9f64.powi(t), 1.0 - 0.999f64.powi(t));
                                p[r][l] -= 0.1 * (s[r][l] / a) / ((v[r][l] / b).sqrt() + 1e-8);
                            }
                            _ => {
                                s[r][l] += if name == "adagrad" { g[l] * g[l] } else { mean };
                                p[r][l] -= 0.1 * g[l] / (s[r][l].sqrt() + 1e-10);
                            }
                        }
                    }
                }
            }
            close(&m.get("table"), p.as_flattened(), 1e-5);
            match name {
                "sgd" => {}
                "adam" => close(&m.get("adam.m.table"), s.as_flattened(), 1e-5),
                "adagrad" => close(&m.get("adagrad.sum.table"), s.as_flattened(), 1e-5),
                _ => close(&m.get("adagrad.sum.table"), &s.map(|s| s[0]), 1e-5),
            }
        }
    }
}

#[test]
fn a_learning_rate_may_come_with_the_run() {
    let program = step(Sgd::new(Lr::Input("lr")));
    for device in devices() {
        let mut m = machine(&program, device);
        m.set("lr", Array::scalar(0.25f32));
        m.run();
        close(&m.get("head.bias"), &[-0.25], 0.0);
        m.set("lr", Array::scalar(0.0f32));
        m.run();
        close(&m.get("head.bias"), &[-0.25], 0.0);
    }
}

#[test]
fn outputs_are_of_the_parameters_before_the_step() {
    let program = step(Sgd::new(0.1));
    for device in devices() {
        let mut m = machine(&program, device);
        close(&m.run()["loss"].1, &[3.5], 1e-6);
        let p = [0.6f64, 1.0, 0.7, 1.0];
        close(&m.run()["loss"].1, &[1.5 * p[2] * p[2] + 2.0 * p[0] * p[0] - 0.1], 1e-6);
    }
}

#[test]
fn state_is_kept() {
    let program = program("average", |g| {
        let average = g.state("average", DType::F32, [2], 1.0);
        let x = g.input("x", DType::F32, [2]);
        g.output("before", average);
        g.update(average, average * 0.5 + x * 0.5);
    })
    .unwrap();
    for device in devices() {
        let mut m = Machine::new(&program, 0, device);
        m.set("x", Array::from_slice(&[2], &[3.0f32, -1.0]));
        assert_eq!(m.run()["before"].1, [1.0, 1.0]);
        assert_eq!(m.run()["before"].1, [2.0, 0.0]);
        assert_eq!(m.get("average"), [2.5, -0.5]);
    }
}

#[test]
fn a_dropout_of_nothing_keeps_no_state() {
    let program = program("quiet", |g| {
        let x = g.input("x", DType::F32, [4]);
        g.output("y", x.dropout(0.0));
    })
    .unwrap();
    assert!(program.states().is_empty(), "{}", program.to_text());
    let graph = program.graph();
    assert_eq!(graph.outputs[0].1, graph.inputs()[0].into());
    assert!(graph.updates.is_empty());
}

fn draws(rate: f64) -> Program {
    program("draws", |g| {
        let x = g.input("x", DType::F32, [4000]);
        g.output("first", x.dropout(rate));
        g.output("second", x.dropout(0.25));
        g.output("uniform", g.uniform([4000]));
    })
    .unwrap()
}

#[test]
fn draws_differ_by_call_run_and_seed() {
    let program = draws(0.25);
    for device in devices() {
        let run = |m: &mut Machine| {
            m.set("x", Array::from_slice(&[4000], &[3.0f32; 4000]));
            m.run()
        };
        let (mut m, mut same, mut other) = (
            Machine::new(&program, 5, device),
            Machine::new(&program, 5, device),
            Machine::new(&program, 6, device),
        );
        let one = run(&mut m);
        let kept = one["first"].1.iter().filter(|x| **x != 0.0).count();
        assert!((2900..3100).contains(&kept), "{kept} of 4000 kept");
        assert!(one["first"].1.iter().all(|x| *x == 0.0 || *x == 4.0));
        assert_ne!(one["first"].1, one["second"].1);
        assert_eq!(one, run(&mut same));
        assert_ne!(one, run(&mut other));
        assert_ne!(one, run(&mut m));
        assert_eq!(m.get("rng.step"), [2.0]);

        let mean = one["uniform"].1.iter().sum::<f64>() / 4000.0;
        assert!(
            (mean - 0.5).abs() < 0.02 && one["uniform"].1.iter().all(|u| (0.0..1.0).contains(u)),
            "{mean}"
        );

        // Without the first dropout the other draws stay what they are.
        let quiet = draws(0.0);
        let mut m = Machine::new(&quiet, 5, device);
        let without = run(&mut m);
        assert_eq!(without["first"].1, vec![3.0; 4000]);
        assert_eq!((&without["second"].1, &without["uniform"].1), (&one["second"].1, &one["uniform"].1));
    }
}

/// A model declared by itself has the same parameters in every program.
#[test]
fn a_model_may_be_in_several_programs() {
    #[derive(Params)]
    struct Model<P: Params> {
        table: Table,
        heads: Vec<P>,
        extra: Option<Box<Param>>,
        #[params(skip)]
        width: usize,
    }
    let p = Init::new();
    let model = Model {
        table: p.table("table", [5, 2], init::normal(1.0)),
        heads: (0..2).map(|i| p.scope("heads").tensor(i, [2], init::xavier_uniform())).collect(),
        extra: None,
        width: 2,
    };
    assert_eq!(model.names(), ["table", "heads.0", "heads.1"]);
    assert_eq!(model.count(), 14);
    let train = program("train", |g| {
        let heads =
            model.heads.iter().map(|h| h.get(g).sum_all()).fold(g.fill(DType::F32, (), 0.0), |a, b| a + b);
        g.minimise(model.table.all(g).square().sum_all() + heads, Adam::new(0.1));
    })
    .unwrap();
    let eval = program("eval", |g| g.output("best", model.table.all(g).sum(1).top_k(model.width).1)).unwrap();
    let mut store = eval.init(3);
    assert_eq!(store.names().collect::<Vec<_>>(), ["table"]);
    train.init_missing(&mut store, 3);
    assert_eq!(store, train.init(3));
    assert_ne!(store.get("heads.0").unwrap().as_bytes(), store.get("heads.1").unwrap().as_bytes());
    assert!(store.contains("adam.m.heads.1"));
    assert!(model.extra.is_none());
}
