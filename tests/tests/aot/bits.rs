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

/// The levels that this processor has.
fn levels() -> Vec<&'static str> {
    let host = latentc::Isa::host().unwrap().name;
    let has = |l: &&&str| **l <= host && l.starts_with("x86") == host.starts_with("x86");
    latentc_backends::cpu::ISA_NAMES.iter().filter(has).copied().collect()
}

#[test]
fn a_step_has_the_bits_of_the_session() {
    let program = step();
    let interpreter = latentc::interp().compile(&program, &Options::default()).unwrap();
    let (_, reference) = in_process(&program, interpreter);
    let mut tables = vec![];
    for level in [None].into_iter().chain(levels().into_iter().map(Some)) {
        let cache = latentc::Cache::Off;
        let options = Options { threads: 1, cache, level: level.map(str::to_owned), ..Options::default() };
        let session = latentc::cpu().unwrap().compile(&program, &options).unwrap();
        assert!(session.report().device.ends_with(level.unwrap_or(latentc::Isa::host().unwrap().name)));
        let (losses, store) = in_process(&program, session);
        for threads in [1, 2, 5] {
            let (found, kept) = ahead(&program, level.unwrap_or("native"), threads);
            assert_eq!(found, losses, "{level:?} {threads} threads");
            assert_eq!(kept.len(), 4);
            for (name, array) in kept {
                assert_eq!(Some(&array), store.get(&name), "{level:?} `{name}`, {threads} threads");
            }
        }
        // Levels differ in how many lanes add up a sum, and in whether a product is rounded before: in rounding alone.
        let table = store.get("nodes").unwrap();
        let expected = reference.get("nodes").unwrap().to_f64();
        let worst = table.to_f64().iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-4, "{level:?}: `nodes` differs by {worst}");
        tables.push(table.clone());
    }
    // They do differ: the comparison above is one of several codes.
    assert!(tables.len() < 3 || tables[1] != tables[2]);
}

#[test]
fn a_level_that_this_processor_lacks_is_refused() {
    let lacks = if cfg!(target_arch = "x86_64") { "neon" } else { "x86-64-v2" };
    for (level, said) in [(lacks, "this processor has"), ("x86-64-v9", "unknown instruction set `x86-64-v9`")]
    {
        let options = Options { level: Some(level.to_owned()), ..Options::default() };
        let e = latentc::cpu().unwrap().compile(&step(), &options).unwrap_err();
        assert!(format!("{e}").contains(said), "{e}");
    }
}

/// Code for processors without a fused multiply-add calls no function for it.
#[test]
fn the_least_level_calls_nothing_for_products() {
    let built = latentc::aot::build("step", step()).target("x86_64-linux").cpu(["x86-64-v2"]);
    let dir = tempfile::tempdir().unwrap();
    let files = built.write(dir.path(), &[latentc::aot::Emit::Obj]).unwrap();
    let undefined =
        super::printed(std::process::Command::new("nm").args(["-u", "--format=posix"]).arg(&files[0].path));
    assert!(!undefined.contains("fma"), "{undefined}");
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
    // In process, before anything was counted, while it is, and after it has been.
    let options = Options { threads: 1, cache: latentc::Cache::Off, ..Options::default() };
    let mut session = Session::compile(&tiny, &options).unwrap();
    session.set("x", &[1], &[1.0f32]).unwrap();
    let mut store = Store::new();
    for (counted, what) in [(false, "never counted"), (true, "counted"), (false, "counted no more")] {
        session.profile(counted);
        const RUNS: u32 = 1_000_000;
        let start = std::time::Instant::now();
        (0..RUNS).for_each(|_| session.run(&mut store).unwrap());
        println!("in process, {what}: {:.0} ns a run", start.elapsed().as_secs_f64() * 1e9 / f64::from(RUNS));
    }
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
