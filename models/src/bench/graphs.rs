//! Graph workloads, on a bipartite power-law graph with Gowalla's counts.

use super::{EDGES, ITEMS, Prepared, USERS, Workload};
use crate::common::run::ModelError;
use latentc::philox::Stream;
use latentc::prelude::*;
use latentc::{CsrArray, Options, Session, Store};
use std::sync::Arc;

const NODES: usize = USERS + ITEMS;
const BATCH: usize = 2048;
/// Batches that the training workloads go through in turn.
const BATCHES: usize = 8;

const EDGE_ENDS: f64 = (2 * EDGES) as f64;
const SPMM_BYTES: f64 = EDGE_ENDS * (8.0 + 256.0) + NODES as f64 * 256.0;

/// The workloads.
pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "spmm_gowalla64",
        about: "the normalised adjacency of a Gowalla-like graph times [70839, 64]",
        flops: 2.0 * EDGE_ENDS * 64.0,
        bytes: SPMM_BYTES,
        prepare: spmm,
    },
    Workload {
        name: "spmm_gowalla64_fwdbwd",
        about: "the same, and its derivative",
        flops: 4.0 * EDGE_ENDS * 64.0,
        bytes: 2.0 * SPMM_BYTES,
        prepare: spmm_forward_backward,
    },
    Workload {
        name: "lightgcn3_train",
        about: "a step of LightGCN: 3 layers, batch 2048, penalty, dense Adam",
        flops: 2.0 * EDGE_ENDS * 64.0 * 6.0,
        bytes: 6.0 * SPMM_BYTES + NODES as f64 * 256.0 * 7.0,
        prepare: lightgcn,
    },
    Workload {
        name: "ngcf3_train",
        about: "a step of NGCF: 3 layers of 64, batch 2048, dense Adam, no dropout",
        flops: 2.0 * EDGE_ENDS * 64.0 * 6.0 + 3.0 * 3.0 * 2.0 * 2.0 * NODES as f64 * 64.0 * 64.0,
        bytes: 0.0,
        prepare: ngcf,
    },
    Workload {
        name: "gat_segsoftmax",
        about: "graph attention of one head: scores of entries, their softmax by rows, weighted sums, 64 wide",
        flops: 2.0 * EDGE_ENDS * 64.0,
        bytes: 0.0,
        prepare: attention,
    },
    Workload {
        name: "gat_segsoftmax_fwdbwd",
        about: "graph attention of one head, and its derivatives",
        flops: 6.0 * EDGE_ENDS * 64.0,
        bytes: 0.0,
        prepare: attention_forward_backward,
    },
];

/// Interactions of users and items that are drawn in proportion to `1 / (rank + 20)^0.75`, ranks at random;
/// every user and item has at least one.
pub fn gowalla_like(seed: u64) -> Vec<(i32, i32)> {
    let mut draw = Stream::new(seed, 0, 0);
    let popularity = |n: usize| -> Vec<f64> {
        let mut sum = 0.0;
        (0..n)
            .map(|rank| {
                sum += (rank as f64 + 20.0).powf(-0.75);
                sum
            })
            .collect()
    };
    let (users, items) = (popularity(USERS), popularity(ITEMS));
    let pick = |sums: &[f64], u: f64| {
        let at = u * sums.last().copied().unwrap_or(1.0);
        sums.partition_point(|s| *s <= at).min(sums.len() - 1)
    };
    let mut edges = std::collections::BTreeSet::new();
    for u in 0..USERS {
        edges.insert((u as i32, pick(&items, draw.next_f64()) as i32));
    }
    for i in 0..ITEMS {
        edges.insert((pick(&users, draw.next_f64()) as i32, i as i32));
    }
    while edges.len() < EDGES {
        edges.insert((pick(&users, draw.next_f64()) as i32, pick(&items, draw.next_f64()) as i32));
    }
    let mut order = |n: usize| {
        let mut ids: Vec<i32> = (0..n as i32).collect();
        draw.shuffle(&mut ids);
        ids
    };
    let (users, items) = (order(USERS), order(ITEMS));
    edges.into_iter().map(|(u, i)| (users[u as usize], items[i as usize])).collect()
}

/// A session on the graph, with its first values.
struct Ready {
    session: Session,
    store: Store,
    pairs: Vec<(i32, i32)>,
    draw: Stream,
}

fn ready(program: &Program, options: &Options) -> Result<Ready, ModelError> {
    let pairs = gowalla_like(0);
    let adj = CsrArray::bipartite(USERS, ITEMS, pairs.iter().copied())?;
    let mut session = latentc::cpu()?.compile(program, options)?;
    session.set_csr("adj", Arc::new(adj))?;
    let mut store = Store::new();
    for (name, array) in program.first_values(0) {
        store.insert(name, array);
    }
    Ok(Ready { session, store, pairs, draw: Stream::new(0, 2, 0) })
}

impl Ready {
    fn set_normal(&mut self, name: &str) -> Result<(), ModelError> {
        let values: Vec<f32> = (0..NODES * 64).map(|_| self.draw.normal() as f32).collect();
        Ok(self.session.set(name, &[NODES, 64], &values)?)
    }

    fn forward(self) -> Prepared {
        let Ready { session, mut store, .. } = self;
        Prepared { session, run: Box::new(move |session| Ok(session.run(&mut store)?)) }
    }

    /// Training steps on batches drawn from the interactions, items uniform as negatives.
    fn train(self) -> Prepared {
        let Ready { session, mut store, pairs, mut draw } = self;
        let batches: Vec<[Vec<i32>; 3]> = (0..BATCHES)
            .map(|_| {
                let mut batch = [vec![], vec![], vec![]];
                for _ in 0..BATCH {
                    let (user, item) = pairs[draw.below(pairs.len() as u32) as usize];
                    batch[0].push(user);
                    batch[1].push(USERS as i32 + item);
                    batch[2].push((USERS as u32 + draw.below(ITEMS as u32)) as i32);
                }
                batch
            })
            .collect();
        let mut step = 0;
        let run = move |session: &mut Session| -> Result<(), ModelError> {
            let batch = &batches[step % BATCHES];
            step += 1;
            for (name, ids) in ["user", "positive", "negative"].into_iter().zip(batch) {
                session.set(name, &[BATCH], ids)?;
            }
            session.run(&mut store)?;
            let (_, loss) = session.output::<f32>("loss")?;
            if loss[0].is_finite() { Ok(()) } else { Err("the loss is not a number".into()) }
        };
        Prepared { session, run: Box::new(run) }
    }
}

fn adjacency(g: &Scope) -> Csr<'_> {
    g.csr("adj", [NODES, NODES]).symmetric().nnz(2 * EDGES)
}

pub(super) fn spmm(options: &Options) -> Result<Prepared, ModelError> {
    let program = program("spmm", |g| {
        let x = g.input("x", DType::F32, [NODES, 64]);
        g.output("y", adjacency(g).sym_norm_spmm(x));
    })?;
    let mut ready = ready(&program, options)?;
    ready.set_normal("x")?;
    Ok(ready.forward())
}

pub(super) fn spmm_forward_backward(options: &Options) -> Result<Prepared, ModelError> {
    let program = program("spmm_forward_backward", |g| {
        let x = g.input("x", DType::F32, [NODES, 64]);
        let gradient = g.input("gradient", DType::F32, [NODES, 64]);
        let adj = adjacency(g);
        // The normalised adjacency is its own transpose, so its derivative is another product with it.
        g.output("y", adj.sym_norm_spmm(x));
        g.output("gradient_of_x", adj.sym_norm_spmm(gradient));
    })?;
    let mut ready = ready(&program, options)?;
    ready.set_normal("x")?;
    ready.set_normal("gradient")?;
    Ok(ready.forward())
}

/// Scores of entries by two vectors, their softmax by rows, weighted sums.
fn attended<'g>(g: &'g Scope, [x, a, b]: [Tensor<'g>; 3]) -> Tensor<'g> {
    let adj = adjacency(g);
    let scores = adj.additive_scores(x.matmul(a), x.matmul(b), 0.2);
    adj.attend(scores, x.reshape([NODES, 1, 64])).reshape([NODES, 64])
}

fn attention_inputs(g: &Scope) -> [Tensor<'_>; 3] {
    let [a, b] = ["a", "b"].map(|name| g.input(name, DType::F32, [64, 1]));
    [g.input("x", DType::F32, [NODES, 64]), a, b]
}

fn attention_ready(program: &Program, options: &Options) -> Result<Ready, ModelError> {
    let mut ready = ready(program, options)?;
    ready.set_normal("x")?;
    for name in ["a", "b"] {
        let values: Vec<f32> = (0..64).map(|_| ready.draw.normal() as f32).collect();
        ready.session.set(name, &[64, 1], &values)?;
    }
    Ok(ready)
}

pub(super) fn attention(options: &Options) -> Result<Prepared, ModelError> {
    let program = program("attention", |g| g.output("y", attended(g, attention_inputs(g))))?;
    Ok(attention_ready(&program, options)?.forward())
}

pub(super) fn attention_forward_backward(options: &Options) -> Result<Prepared, ModelError> {
    let program = program("attention_forward_backward", |g| {
        let given = attention_inputs(g);
        let gradient = g.input("gradient", DType::F32, [NODES, 64]);
        let y = attended(g, given);
        let found = g.vjp(y, gradient, given);
        for (name, gradient) in ["dx", "da", "db"].into_iter().zip(found) {
            g.output(name, gradient);
        }
        g.output("y", y);
    })?;
    let mut ready = attention_ready(&program, options)?;
    ready.set_normal("gradient")?;
    Ok(ready.forward())
}

fn batch(g: &Scope) -> [Tensor<'_>; 3] {
    ["user", "positive", "negative"].map(|name| g.ids(name, [BATCH]))
}

pub(super) fn lightgcn(options: &Options) -> Result<Prepared, ModelError> {
    let program = program("lightgcn3_train", |g| {
        let model = crate::lightgcn::LightGcn::new(g.params(), NODES, 64, 0.1);
        let ids = batch(g);
        let e = model.embed(g, adjacency(g), 3);
        let [user, positive, negative] = ids.map(|i| e.rows(i));
        let loss = bpr(user, positive, negative) + model.nodes.l2(&ids) * (1e-4 / BATCH as f64);
        g.minimise(loss, Adam::new(1e-3));
        g.output("loss", loss);
    })?;
    Ok(ready(&program, options)?.train())
}

pub(super) fn ngcf(options: &Options) -> Result<Prepared, ModelError> {
    let program = program("ngcf3_train", |g| {
        let p = g.params();
        let nodes = p.table("nodes", [NODES, 64], init::normal(0.1));
        let adj = adjacency(g);
        let ids = batch(g);
        let mut x = nodes.all(g);
        let mut parts = vec![x];
        for layer in 1..=3 {
            let p = p.scope(format!("layer{layer}"));
            let weights = |name: &str| {
                let w = p.tensor(format!("w{name}"), [64, 64], init::xavier_uniform());
                let b = p.tensor(format!("b{name}"), [64], init::zeros());
                (w.get(g), b.get(g))
            };
            let ((w1, b1), (w2, b2)) = (weights("1"), weights("2"));
            let side = adj.sym_norm_spmm(x);
            x = ((side + x).matmul(w1) + b1 + (side * x).matmul(w2) + b2).leaky_relu(0.2);
            parts.push(x.normalize_rows(1e-12));
        }
        let z = g.concat(&parts, 1);
        let rows = ids.map(|i| z.rows(i));
        let [user, positive, negative] = rows;
        let penalty = rows.map(|r| r.square().sum_all());
        let penalty = penalty[0] + penalty[1] + penalty[2];
        let loss = bpr(user, positive, negative) + penalty * (1e-5 / BATCH as f64);
        g.minimise(loss, Adam::new(1e-3));
        g.output("loss", loss);
    })?;
    Ok(ready(&program, options)?.train())
}
