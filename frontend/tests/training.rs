//! Whole models through the DSL, run on each device.

mod common;
mod control;
mod transforms;

use common::{Machine, close, devices};
use latentc::prelude::*;
use latentc::{Array, CsrArray};
use std::collections::BTreeMap;
use std::sync::Arc;

struct Config {
    users: usize,
    items: usize,
    dim: usize,
    layers: usize,
}

#[derive(Params)]
struct LightGcn {
    nodes: Table,
}

impl LightGcn {
    fn new(p: &Init, c: &Config) -> Self {
        Self { nodes: p.table("nodes", [c.users + c.items, c.dim], init::normal(0.1)) }
    }

    fn embed<'g>(&self, g: &'g Scope, adj: Csr<'g>, layers: usize) -> Tensor<'g> {
        let mut e = self.nodes.all(g);
        let mut sum = e;
        for _ in 0..layers {
            e = adj.sym_norm_spmm(e);
            sum = sum + e;
        }
        sum / (layers as f32 + 1.0)
    }
}

fn lightgcn(c: &Config) -> Result<Program> {
    program("lightgcn_step", |g| {
        let batch = g.dim("batch", 1..=8192);
        let model = LightGcn::new(g.params(), c);
        let adj = g.csr("adj", [c.users + c.items; 2]).symmetric();
        let [user, pos, neg] = ["user", "pos", "neg"].map(|name| g.ids(name, [batch]));
        let e = model.embed(g, adj, c.layers);
        let loss =
            bpr(e.rows(user), e.rows(pos), e.rows(neg)) + 1e-4 * model.nodes.l2(&[user, pos, neg]) / batch;
        g.minimise(loss, Adam::new(1e-2));
        g.output("loss", loss);
        g.output("embedding", e);
    })
}

#[test]
fn lightgcn_learns_its_triples() {
    let c = Config { users: 3, items: 4, dim: 8, layers: 2 };
    let program = lightgcn(&c).unwrap();
    assert_eq!(program.params().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["nodes"]);
    for device in devices() {
        let mut m = Machine::new(&program, 7, device);
        m.set_csr(
            "adj",
            &Arc::new(CsrArray::bipartite(3, 4, [(0, 0), (0, 1), (1, 1), (1, 2), (2, 3)]).unwrap()),
        );
        m.set("user", Array::from_slice(&[4], &[0, 1, 2, 0]));
        m.set("pos", Array::from_slice(&[4], &[3, 5, 6, 4]));
        m.set("neg", Array::from_slice(&[4], &[5, 3, 4, 6]));
        let first = m.run()["loss"].1[0];
        for _ in 0..100 {
            m.run();
        }
        let last = m.run()["loss"].1[0];
        assert!((first - 0.69).abs() < 0.05 && last < 0.2, "{first} to {last}");
        assert_eq!(m.get("adam.step"), [102.0]);
    }
}

/// Row-major values `(((7 j + a) mod 11) - 5) / 10`.
fn lin(shape: &[usize], a: usize) -> Array {
    let n = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..n).map(|j| (((7 * j + a) % 11) as f32 - 5.0) / 10.0).collect();
    Array::from_slice(shape, &values)
}

#[derive(Params)]
struct Layer {
    w1: Param,
    b1: Param,
    w2: Param,
    b2: Param,
}

#[derive(Params)]
struct Ngcf {
    nodes: Table,
    layers: Vec<Layer>,
}

impl Ngcf {
    fn new(p: &Init, nodes: usize, widths: &[usize]) -> Self {
        let layer = |(k, w): (usize, &[usize])| {
            let p = p.scope(format!("layer{k}"));
            let tensor = |name, shape: &[usize]| p.tensor(name, shape, init::xavier_uniform());
            Layer {
                w1: tensor("w1", &[w[0], w[1]]),
                b1: tensor("b1", &[w[1]]),
                w2: tensor("w2", &[w[0], w[1]]),
                b2: tensor("b2", &[w[1]]),
            }
        };
        Self {
            nodes: p.table("nodes", [nodes, widths[0]], init::xavier_uniform()),
            layers: widths.windows(2).enumerate().map(layer).collect(),
        }
    }

    fn embed<'g>(&self, g: &'g Scope, adj: Csr<'g>) -> Tensor<'g> {
        let mut x = self.nodes.all(g);
        let mut parts = vec![x];
        for layer in &self.layers {
            let side = adj.row_norm_self_spmm(x);
            let a = (side.matmul(layer.w1.get(g)) + layer.b1.get(g)).leaky_relu(0.2);
            let c = ((x * side).matmul(layer.w2.get(g)) + layer.b2.get(g)).leaky_relu(0.2);
            x = a + c;
            parts.push(x.normalize_rows(1e-6));
        }
        g.concat(&parts, 1)
    }
}

/// The worked example of one layer: 2 users, 3 items, width 2.
#[test]
fn ngcf_layer_has_the_published_arithmetic() {
    // Gradient descent at rate 1 shows the gradients.
    let program = program("ngcf", |g| {
        let model = Ngcf::new(g.params(), 5, &[2, 2]);
        let adj = g.csr("adj", [5, 5]).symmetric();
        let z = model.embed(g, adj);
        let [user, pos, neg] = ["user", "pos", "neg"].map(|name| g.ids(name, [2]));
        let [u, p, n] = [user, pos, neg].map(|ids| z.rows(ids));
        let ranking = bpr(u, p, n);
        let penalty = 0.01 * (u.half_square_sum() + p.half_square_sum() + n.half_square_sum()) / 2.0;
        g.minimise(ranking + penalty, Sgd::new(1.0));
        g.output("z", z);
        g.output("ranking", ranking);
        g.output("penalty", penalty);
    })
    .unwrap();
    for device in devices() {
        let mut m = Machine::new(&program, 0, device);
        m.set_csr("adj", &Arc::new(CsrArray::bipartite(2, 3, [(0, 0), (0, 1), (1, 1), (1, 2)]).unwrap()));
        m.set("user", Array::from_slice(&[2], &[0, 1]));
        m.set("pos", Array::from_slice(&[2], &[2, 4]));
        m.set("neg", Array::from_slice(&[2], &[4, 2]));
        m.set("nodes", lin(&[5, 2], 0));
        m.set("layer0.w1", lin(&[2, 2], 3));
        m.set("layer0.b1", lin(&[2], 1));
        m.set("layer0.w2", lin(&[2, 2], 5));
        m.set("layer0.b2", lin(&[2], 2));
        let before: BTreeMap<&str, Vec<f64>> =
            ["nodes", "layer0.w1", "layer0.w2"].into_iter().map(|n| (n, m.get(n))).collect();
        let out = m.run();

        let columns: Vec<f64> = out["z"].1.chunks(4).flat_map(|row| row[2..].to_vec()).collect();
        let expected = [
            -0.194700, 0.980863, -0.213286, 0.976990, -0.207906, 0.978149, -0.215195, 0.976571, -0.291614,
            0.956536,
        ];
        close(&columns, &expected, 2e-6);
        close(&out["ranking"].1, &[0.703296], 2e-6);
        close(&out["penalty"].1, &[0.018200], 2e-6);

        let gradient = |name: &str| -> Vec<f64> {
            before[name].iter().zip(m.get(name)).map(|(before, after)| before - after).collect()
        };
        let nodes = [
            -0.151432, 0.178708, 0.103166, -0.119110, 0.106862, 0.039091, -0.000295, 0.000105, -0.106693,
            -0.039390,
        ];
        close(&gradient("nodes"), &nodes, 1e-5);
        close(&gradient("layer0.w1"), &[-0.002033, -0.003075, 0.004474, 0.005988], 1e-5);
        close(&gradient("layer0.w2"), &[0.000892, 0.001312, 0.001584, 0.002064], 1e-5);
    }
}

/// What a program prints is a program.
#[test]
fn programs_are_read_back_from_their_text() {
    let c = Config { users: 3, items: 4, dim: 8, layers: 2 };
    let text = lightgcn(&c).unwrap().to_text();
    let again = latentc_ir::graph::parse::parse("lightgcn", &text).unwrap();
    assert_eq!(again.to_string(), text);
}
