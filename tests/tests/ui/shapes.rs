//! Sizes that do not fit an op.

use latentc::prelude::*;

pub fn matmul() -> Result<Program> {
    program("matmul", |g| {
        let x = g.input("x", DType::F32, [8, 3]);
        let w = g.params().tensor("w", [4, 2], init::xavier_uniform()).get(g);
        let y = x.matmul(w);
        g.output("y", y.relu());
    })
}

pub fn concat() -> Result<Program> {
    program("concat", |g| {
        let users = g.input("users", DType::F32, [10, 64]);
        let items = g.input("items", DType::F32, [20, 32]);
        g.output("nodes", g.concat(&[users, items], 0));
    })
}

pub fn slice() -> Result<Program> {
    program("slice", |g| {
        let nodes = g.input("nodes", DType::F32, [30, 4]);
        g.output("items", nodes.slice(0, 10..31));
    })
}

pub fn axis() -> Result<Program> {
    program("axis", |g| {
        let x = g.input("x", DType::F32, [30, 4]);
        g.output("a", x.sum(2));
        g.output("b", x.mean([0, -2]));
    })
}
