//! LightGCN against a second implementation in f64, with gradients by central differences.

use super::*;
use crate::common::device::compile;
use crate::systems::{Device, Machine};
use latentc::{Array, CsrArray, prelude::*};
use std::sync::Arc;

const USERS: usize = 4;
const ITEMS: usize = 5;
const NODES: usize = USERS + ITEMS;
const DIM: usize = 3;
const LAYERS: usize = 3;
const REG: f64 = 0.05;
/// User 3 and item 4 have no edge.
const PAIRS: [(i32, i32); 7] = [(0, 0), (0, 1), (0, 3), (1, 1), (1, 2), (2, 0), (2, 3)];
/// Triples of rows; user 0 comes twice.
const TRIPLES: [[i32; 3]; 3] = [[0, USERS as i32, USERS as i32 + 4], [2, 7, 5], [0, 5, 6]];

/// The final rows.
fn embed(e0: &[f64]) -> Vec<f64> {
    let edges: Vec<(usize, usize)> = PAIRS
        .iter()
        .map(|&(u, i)| (u as usize, USERS + i as usize))
        .flat_map(|(u, i)| [(u, i), (i, u)])
        .collect();
    let degree = |n: usize| edges.iter().filter(|e| e.0 == n).count() as f64;
    let (mut e, mut sum) = (e0.to_vec(), e0.to_vec());
    for _ in 0..LAYERS {
        let mut next = vec![0.0; e.len()];
        for &(to, from) in &edges {
            let scale = 1.0 / (degree(to) * degree(from)).sqrt();
            (0..DIM).for_each(|d| next[to * DIM + d] += scale * e[from * DIM + d]);
        }
        sum.iter_mut().zip(&next).for_each(|(s, x)| *s += x);
        e = next;
    }
    sum.iter().map(|s| s / (LAYERS as f64 + 1.0)).collect()
}

fn loss(e0: &[f64]) -> f64 {
    let z = embed(e0);
    let row = |of: &[f64], n: i32| of[n as usize * DIM..][..DIM].to_vec();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let each = TRIPLES.iter().map(|&[u, p, n]| {
        let [zu, zp, zn] = [u, p, n].map(|r| row(&z, r));
        let penalty: f64 = [u, p, n].iter().map(|&r| dot(&row(e0, r), &row(e0, r))).sum();
        (1.0 + (dot(&zu, &zn) - dot(&zu, &zp)).exp()).ln() + REG * 0.5 * penalty
    });
    each.sum::<f64>() / TRIPLES.len() as f64
}

#[test]
fn a_step_is_that_of_the_second_implementation() {
    [Device::Interp, Device::Cpu].into_iter().for_each(one_step);
}

fn one_step(device: Device) {
    let step = program("step", |g| {
        let batch = g.dim("batch", 1..=8);
        let model = LightGcn::new(g.params(), NODES, DIM, 0.5);
        let adj = g.csr("adj", [NODES, NODES]).symmetric();
        let [user, pos, neg] = ["user", "pos", "neg"].map(|name| g.ids(name, [batch]));
        let e = model.embed(g, adj, LAYERS);
        let loss =
            bpr(e.rows(user), e.rows(pos), e.rows(neg)) + REG * model.penalty(batch, &[user, pos, neg]);
        g.output("e", e);
        g.output("loss", loss);
        g.minimise(loss, Sgd::new(1.0));
    })
    .unwrap();
    let mut session = compile(&step, Machine { device, threads: 1, ..Machine::default() }).unwrap();
    session.set_csr("adj", Arc::new(CsrArray::bipartite(USERS, ITEMS, PAIRS).unwrap())).unwrap();
    for (at, name) in ["user", "pos", "neg"].iter().enumerate() {
        session.set(name, &[TRIPLES.len()], &TRIPLES.map(|t| t[at])).unwrap();
    }
    let mut store = step.init(5);
    let e0: Vec<f64> = store.get("nodes").map(Array::to_f64).unwrap();
    session.run(&mut store).unwrap();
    let after: Vec<f64> = store.get("nodes").map(Array::to_f64).unwrap();

    let found = session.output::<f32>("e").unwrap().1;
    for (at, (f, e)) in found.iter().zip(embed(&e0)).enumerate() {
        assert!((f64::from(*f) - e).abs() < 1e-6, "final row element {at}: {f}, expected {e}");
    }
    let found = session.output::<f32>("loss").unwrap().1[0];
    assert!((f64::from(found) - loss(&e0)).abs() < 1e-6, "loss {found}, expected {}", loss(&e0));
    for at in 0..e0.len() {
        let moved = |by: f64| {
            let mut e = e0.clone();
            e[at] += by;
            loss(&e)
        };
        let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        let found = e0[at] - after[at];
        assert!((found - expected).abs() < 1e-6, "gradient of element {at}: {found}, expected {expected}");
    }
}
