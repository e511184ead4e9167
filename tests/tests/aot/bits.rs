//! A step of LightGCN, several times, for several sizes of batch and numbers of threads.

use super::{data, lightgcn};
use latentc::{Options, Program, Session, Store};
use latentc_ir::array::{Array, CsrArray, Value};
use latentc_tests::aot::Loaded;
use std::sync::Arc;

fn step() -> Program {
    lightgcn().into_iter().find(|(word, _)| *word == "step").unwrap().1
}

fn graph() -> Arc<CsrArray> {
    let data = data();
    Arc::new(CsrArray::bipartite(data.users, data.items, data.train.each()).unwrap())
}

/// Rows for a batch: a user, and two of the 360 rows.
fn batch(size: usize, run: usize) -> [Vec<i32>; 3] {
    let column = |a: usize, b: usize, rows: usize, from: usize| {
        (0..size).map(|i| (from + (i * a + run * b) % rows) as i32).collect()
    };
    [column(7, 3, 160, 0), column(11, 5, 200, 160), column(13, 17, 200, 160)]
}

const BATCHES: [usize; 4] = [256, 1, 37, 256];
const LR: f32 = 0.01;

/// What is kept after each step, by name, and the loss of each.
fn in_process(program: &Program, mut session: Session) -> (Vec<f32>, Store) {
    let mut store = program.init(3);
    session.set_csr("adj", graph()).unwrap();
    session.set("lr", &[], &[LR]).unwrap();
    let mut losses = vec![];
    for (run, size) in BATCHES.into_iter().enumerate() {
        for (name, ids) in ["user", "pos", "neg"].into_iter().zip(batch(size, run)) {
            session.set(name, &[size], &ids).unwrap();
        }
        session.run(&mut store).unwrap();
        losses.push(session.output::<f32>("loss").unwrap().1[0]);
    }
    (losses, store)
}

/// The same by an object.
fn ahead(program: &Program, level: &str, threads: usize) -> (Vec<f32>, Vec<(String, Array)>) {
    let loaded = Loaded::new(program.graph(), level).unwrap();
    let store = program.init(3);
    let mut values: Vec<(String, Value)> = loaded
        .inputs()
        .into_iter()
        .map(|name| {
            let value = match name.as_str() {
                "adj" => Value::Csr(graph()),
                "lr" => Value::Tensor(Array::scalar(LR)),
                _ => Value::Tensor(
                    store.get(&name).cloned().unwrap_or_else(|| Array::from_slice(&[1], &[0i32])),
                ),
            };
            (name, value)
        })
        .collect();
    let mut losses = vec![];
    for (run, size) in BATCHES.into_iter().enumerate() {
        for (name, ids) in ["user", "pos", "neg"].into_iter().zip(batch(size, run)) {
            let at = values.iter().position(|(n, _)| n == name).unwrap();
            values[at].1 = Value::Tensor(Array::from_slice(&[size], &ids));
        }
        let mut state = loaded.state(&values).unwrap();
        state.run(threads).unwrap();
        losses.push(state.outputs[0].1.as_slice::<f32>()[0]);
        values.clone_from(&state.values);
    }
    let kept = values.into_iter().filter(|(n, _)| store.contains(n)).map(|(n, v)| match v {
        Value::Tensor(a) => (n, a),
        _ => panic!("`{n}` is kept and no tensor"),
    });
    (losses, kept.collect())
}

#[test]
fn a_step_has_the_bits_of_the_session() {
    let program = step();
    let options = Options { threads: 1, cache: latentc::Cache::Off, ..Options::default() };
    let session = latentc::cpu().unwrap().compile(&program, &options).unwrap();
    let (losses, store) = in_process(&program, session);
    for threads in [1, 2, 5] {
        let (found, kept) = ahead(&program, "native", threads);
        assert_eq!(found, losses, "{threads} threads");
        assert_eq!(kept.len(), 4);
        for (name, array) in kept {
            assert_eq!(Some(&array), store.get(&name), "`{name}`, {threads} threads");
        }
    }
}

/// Levels differ in how many lanes add up a sum, so in rounding alone.
#[test]
fn other_levels_give_nearly_the_same() {
    let program = step();
    let interpreter = latentc::interp().compile(&program, &Options::default()).unwrap();
    let (losses, store) = in_process(&program, interpreter);
    let host = latentc::Isa::host().unwrap().name;
    for level in latentc_backends::cpu::ISA_NAMES.iter().take_while(|l| **l != "neon") {
        if !host.starts_with("x86-64") || *level > host {
            eprintln!("skipped: this processor has not {level}");
            continue;
        }
        let (found, kept) = ahead(&program, level, 2);
        for (a, b) in found.iter().zip(&losses) {
            assert!((a - b).abs() < 1e-5, "{level}: {found:?} {losses:?}");
        }
        for (name, array) in kept.iter().filter(|(n, _)| n == "nodes") {
            let expected = store.get(name).unwrap().to_f64();
            let worst = array.to_f64().iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-4, "{level}: `{name}` differs by {worst}");
        }
    }
}

/// `cargo nextest run --run-ignored only overhead --no-capture` prints it.
#[test]
#[ignore = "a measurement, not a check"]
fn calling_overhead() {
    let text = "graph g {
        dim n: 1..=64
        data x: f32[n]
        %0 = neg(x) : f32[n]
        output y = %0
    }";
    let tiny = latentc_ir::graph::parse::parse("tiny", text).unwrap();
    let loaded = Loaded::new(&tiny, "native").unwrap();
    let x = Value::Tensor(Array::from_slice(&[1], &[1.0f32]));
    let mut state = loaded.state(&[("x".to_owned(), x)]).unwrap();
    println!("a program of one kernel: {:.0} ns a call", state.time(1_000_000));
    let program = step();
    let loaded = Loaded::new(program.graph(), "native").unwrap();
    let store = program.init(3);
    let names = loaded.inputs();
    let values = names.into_iter().map(|name| {
        let value = match name.as_str() {
            "adj" => Value::Csr(graph()),
            "lr" => Value::Tensor(Array::scalar(LR)),
            _ => Value::Tensor(store.get(&name).cloned().unwrap_or_else(|| Array::from_slice(&[1], &[0i32]))),
        };
        (name, value)
    });
    let mut state = loaded.state(&values.collect::<Vec<_>>()).unwrap();
    println!("a step of LightGCN on 360 rows, a batch of 1: {:.0} ns a call", state.time(1000));
}
