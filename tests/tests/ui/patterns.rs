//! Sparse patterns.

use latentc::prelude::*;

pub fn declarations() -> Result<Program> {
    program("patterns", |g| {
        let ratings = g.csr("ratings", [30, 40]).symmetric();
        let x = g.input("x", DType::F32, [40, 8]);
        let y = ratings.spmm(x);
        let entries = g.dim("entries", 0..=1000);
        g.output("y", y + ratings.nnz(entries).spmm(x));
        let _cube = g.csr("cube", [3, 4, 5]);
    })
}

pub fn product() -> Result<Program> {
    program("product", |g| {
        let users = g.dim("users", 1..=1000);
        let ratings = g.csr("ratings", (users, 40));
        let x = g.input("x", DType::F32, [40, 8]);
        g.output("items", ratings.transpose().spmm(x));
        g.output("users", ratings.sym_norm_spmm(x));
    })
}
