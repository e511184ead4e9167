//! Losses that cannot be minimised.

use latentc::prelude::*;

pub fn vector() -> Result<Program> {
    program("vector", |g| {
        let batch = g.dim("batch", 1..=1024);
        let nodes = g.params().table("nodes", [100, 16], init::normal(0.1));
        let rows = nodes.rows(g, g.ids("user", [batch]));
        let loss = rows.square().sum(1);
        g.minimise(loss, Sgd::new(0.1));
    })
}

pub fn constant() -> Result<Program> {
    program("constant", |g| {
        let x = g.input("x", DType::F32, [4]);
        let unused = g.params().tensor("w", [4], init::zeros());
        g.output("w", unused.get(g));
        g.minimise(x.square().sum_all(), Sgd::new(0.1));
    })
}

pub fn two() -> Result<Program> {
    program("two", |g| {
        let w = g.params().tensor("w", [4], init::zeros()).get(g);
        g.minimise(w.square().sum_all(), Sgd::new(0.1));
        g.minimise(w.abs().sum_all(), Adam { beta2: 1.0, ..Adam::new(-1.0) });
    })
}
