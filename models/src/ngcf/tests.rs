//! NGCF against the worked example of its specification, and its matrices against dense ones.

use super::*;
use crate::common::device::{Session, Store, compile};
use crate::systems::{Device, Machine};
use latentc::{Array, CsrArray, prelude::*};
use std::sync::Arc;

const USERS: usize = 2;
const ITEMS: usize = 3;
const NODES: usize = USERS + ITEMS;
const DEVICES: [Device; 2] = [Device::Interp, Device::Cpu];
const PAIRS: [(i32, i32); 4] = [(0, 0), (0, 1), (1, 1), (1, 2)];

/// Element `j` in row-major order is `(((7 j + a) mod 11) - 5) / 10`.
fn lin(count: usize, a: usize) -> Vec<f32> {
    (0..count).map(|j| (((7 * j + a) % 11) as f32 - 5.0) / 10.0).collect()
}

fn shape(layers: &[usize], form: Form) -> Shape {
    Shape { dim: 2, layers: layers.to_vec(), form, bias: Bias::Xavier }
}

fn close(name: &str, found: &[f32], printed: &[f32], tolerance: f32) {
    assert_eq!(found.len(), printed.len(), "{name}");
    for (at, (f, p)) in found.iter().zip(printed).enumerate() {
        assert!((f - p).abs() <= tolerance, "{name}, element {at}: {f}, printed {p}");
    }
}

/// The worked example's step: loss and all that leads to it, and the gradients as what plain gradient
/// descent with step size 1 subtracts.
fn example(form: Form, matrix: Matrix, device: Device) -> (Session, Store, Store) {
    let step = program("example", |g| {
        let model = Ngcf::new(g.params(), [USERS, ITEMS], &shape(&[2], form));
        let s = Propagation::new(g.csr("adj", [NODES, NODES]).symmetric(), matrix);
        let batch = g.dim("batch", 1..=2);
        let [user, pos, neg] = ["user", "pos", "neg"].map(|name| g.ids(name, [batch]));
        let e = model.nodes.all(g);
        g.output("side", s.apply(e));
        g.output("x1", model.layers[0].messages(g, s, e, form));
        let z = model.embed(g, Some(s), 0.0);
        g.output("z", z);
        let [u, p, n] = [user, pos, neg].map(|ids| z.rows(ids));
        let ranking = bpr(u, p, n);
        let penalty = 0.01 * (u.half_square_sum() + p.half_square_sum() + n.half_square_sum()) / batch;
        g.output("bpr", ranking);
        g.output("penalty", penalty);
        g.output("loss", ranking + penalty);
        g.minimise(ranking + penalty, Sgd::new(1.0));
    })
    .unwrap();
    let mut session = compile(&step, Machine { device, threads: 1, ..Machine::default() }).unwrap();
    session.set_csr("adj", Arc::new(CsrArray::bipartite(USERS, ITEMS, PAIRS).unwrap())).unwrap();
    for (name, ids) in [("user", [0, 1]), ("pos", [2, 4]), ("neg", [4, 2])] {
        session.set(name, &[2], &ids).unwrap();
    }
    let mut store = Store::new();
    for (name, array) in step.first_values(1) {
        let a = match name {
            "nodes" => 0,
            "layer1.w1" => 3,
            "layer1.b1" => 1,
            "layer1.w2" => 5,
            "layer1.b2" => 2,
            other => panic!("parameter {other}"),
        };
        store.insert(name, Array::from_slice(array.shape(), &lin(array.len(), a)));
    }
    let before = store.clone();
    session.run(&mut store).unwrap();
    (session, before, store)
}

#[test]
fn the_code_form_gives_the_printed_digits() {
    DEVICES.into_iter().for_each(code_form);
}

fn code_form(device: Device) {
    let (session, before, after) = example(Form::Code, Matrix::Norm, device);
    let out = |name: &str| session.output::<f32>(name).unwrap().1.to_vec();
    let e0: Vec<f32> = before.get("nodes").unwrap().as_slice().to_vec();
    close("E0", &e0, &[-0.5, 0.2, -0.2, 0.5, 0.1, -0.3, 0.4, 0.0, -0.4, 0.3], 0.0);
    #[rustfmt::skip]
    close("side", &out("side"), &[
        0.0, -0.033333, -0.066667, 0.266667, -0.2, -0.05, -0.1, 0.233333, -0.3, 0.4,
    ], 2e-6);
    #[rustfmt::skip]
    close("X1", &out("x1"), &[
        -0.141067, 0.710667, -0.124, 0.568, -0.1321, 0.6215, -0.131333, 0.596, -0.1128, 0.37,
    ], 2e-6);
    let z = out("z");
    let exported: Vec<f32> = z.chunks(4).flat_map(|row| row[2..].to_vec()).collect();
    #[rustfmt::skip]
    close("Y1", &exported, &[
        -0.194700, 0.980863, -0.213286, 0.976990, -0.207906, 0.978149, -0.215195, 0.976571, -0.291614, 0.956536,
    ], 2e-6);
    let first: Vec<f32> = z.chunks(4).flat_map(|row| row[..2].to_vec()).collect();
    assert_eq!(first, e0);
    close("bpr", &out("bpr"), &[0.703296], 2e-6);
    close("penalty", &out("penalty"), &[0.018200], 2e-6);
    close("loss", &out("loss"), &[0.721496], 2e-6);
    let gradient = |name: &str| -> Vec<f32> {
        let of = |store: &Store| store.get(name).unwrap().as_slice::<f32>().to_vec();
        of(&before).iter().zip(of(&after)).map(|(b, a)| b - a).collect()
    };
    #[rustfmt::skip]
    close("dE0", &gradient("nodes"), &[
        -0.151432, 0.178708, 0.103166, -0.119110, 0.106862, 0.039091, -0.000295, 0.000105, -0.106693, -0.039390,
    ], 1e-5);
    close("dW1", &gradient("layer1.w1"), &[-0.002033, -0.003075, 0.004474, 0.005988], 1e-5);
    close("dW2", &gradient("layer1.w2"), &[0.000892, 0.001312, 0.001584, 0.002064], 1e-5);
}

#[test]
fn the_paper_form_gives_the_printed_digits() {
    for device in DEVICES {
        let (session, _, _) = example(Form::Paper, Matrix::Sym, device);
        #[rustfmt::skip]
        close("X1", session.output::<f32>("x1").unwrap().1, &[
            0.031917, -0.010524, 0.159602, -0.074459, 0.022125, -0.012164, 0.025000, -0.004800, 0.205459, -0.100002,
        ], 2e-6);
    }
}

/// A matrix as its definition says it, dense, with a node without edges (item 3).
fn dense(matrix: Matrix) -> Vec<Vec<f64>> {
    let nodes = NODES + 1;
    let mut a = vec![vec![0.0; nodes]; nodes];
    for (u, i) in PAIRS {
        let (u, i) = (u as usize, USERS + i as usize);
        (a[u][i], a[i][u]) = (1.0, 1.0);
    }
    let degree: Vec<f64> = a.iter().map(|row| row.iter().sum()).collect();
    let entry = |r: usize, c: usize| {
        let (own, d) = (f64::from(u8::from(r == c)), degree[r].max(1.0));
        match matrix {
            Matrix::Norm => (a[r][c] + own) / (degree[r] + 1.0),
            Matrix::Gcmc => a[r][c] / d,
            Matrix::MeanSelf => a[r][c] / d + own,
            Matrix::Sym => a[r][c] / (d * degree[c].max(1.0)).sqrt(),
            Matrix::Plain => a[r][c],
        }
    };
    (0..nodes).map(|r| (0..nodes).map(|c| entry(r, c)).collect()).collect()
}

/// S x by a program, `runs` times, each summed up.
fn propagated(matrix: Matrix, rate: f64, runs: usize, device: Device, x: &[f32]) -> Vec<f64> {
    let nodes = NODES + 1;
    let p = program("propagation", |g| {
        let s = Propagation::new(g.csr("adj", [nodes, nodes]), matrix);
        let s = if rate > 0.0 { s.with_node_dropout(g, rate) } else { s };
        g.output("y", s.apply(g.input("x", DType::F32, [nodes, 2])));
    })
    .unwrap();
    let mut session = compile(&p, Machine { device, threads: 1, ..Machine::default() }).unwrap();
    let adj = CsrArray::bipartite(USERS, ITEMS + 1, PAIRS).unwrap().with_twin();
    session.set_csr("adj", Arc::new(adj)).unwrap();
    session.set("x", &[nodes, 2], x).unwrap();
    let mut store = p.init(3);
    let mut sums = vec![0.0; x.len()];
    for _ in 0..runs {
        session.run(&mut store).unwrap();
        let (_, y) = session.output::<f32>("y").unwrap();
        sums.iter_mut().zip(y).for_each(|(sum, y)| *sum += f64::from(*y));
    }
    sums
}

#[test]
fn every_matrix_is_what_its_name_says_and_dropout_keeps_its_mean() {
    let nodes = NODES + 1;
    let x = lin(nodes * 2, 4);
    for matrix in [Matrix::Norm, Matrix::Gcmc, Matrix::MeanSelf, Matrix::Sym, Matrix::Plain] {
        let s = dense(matrix);
        let product = |r: usize, d: usize| (0..nodes).map(|c| s[r][c] * f64::from(x[2 * c + d])).sum::<f64>();
        let expected: Vec<f64> = (0..2 * nodes).map(|at| product(at / 2, at % 2)).collect();
        let [found, native] = DEVICES.map(|device| propagated(matrix, 0.0, 1, device, &x));
        let runs = 2000;
        let dropped = propagated(matrix, 0.2, runs, Device::Cpu, &x);
        let exact = propagated(matrix, 0.2, 20, Device::Interp, &x);
        let same = propagated(matrix, 0.2, 20, Device::Cpu, &x);
        for (at, e) in expected.iter().enumerate() {
            for found in [found[at], native[at]] {
                assert!((found - e).abs() < 1e-6, "{matrix:?}, element {at}: {found}, expected {e}");
            }
            let [exact, same] = [exact[at], same[at]];
            assert!(
                (exact - same).abs() < 1e-4,
                "{matrix:?}, dropped element {at}: {same}, expected {exact}"
            );
            let mean = dropped[at] / runs as f64;
            // At most 4 terms of deviation 0.5 * |x| <= 0.25: 0.5 for one run, 0.012 for the mean.
            assert!((mean - e).abs() < 0.05, "{matrix:?}, mean of element {at}: {mean}, expected {e}");
        }
    }
}

/// Rate 0 draws nothing and keeps nothing; another rate changes the rows, each run anew.
#[test]
fn dropout_is_drawn_anew_in_each_run() {
    let run = |rate: f64, device: Device| {
        let p = program("z", |g| {
            let model = Ngcf::new(g.params(), [USERS, ITEMS], &shape(&[3, 2], Form::Code));
            let s = Propagation::new(g.csr("adj", [NODES, NODES]).symmetric(), Matrix::Norm);
            g.output("z", model.embed(g, Some(s), rate));
        })
        .unwrap();
        let mut session = compile(&p, Machine { device, threads: 1, ..Machine::default() }).unwrap();
        session.set_csr("adj", Arc::new(CsrArray::bipartite(USERS, ITEMS, PAIRS).unwrap())).unwrap();
        let mut store = p.init(3);
        let rows = [0, 1].map(|_| {
            session.run(&mut store).unwrap();
            session.output::<f32>("z").unwrap().1.to_vec()
        });
        (p.states().len(), rows)
    };
    for device in DEVICES {
        let (kept, [first, second]) = run(0.0, device);
        assert_eq!((kept, &first), (0, &second));
        let (kept, [dropped, again]) = run(0.5, device);
        assert_eq!(kept, 2);
        assert!(dropped != first && dropped != again);
    }
}
