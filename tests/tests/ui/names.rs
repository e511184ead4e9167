//! Names that are taken.

use latentc::prelude::*;

pub fn taken() -> Result<Program> {
    program("taken", |g| {
        let user = g.ids("user", [16]);
        let again = g.ids("user", [16]);
        let table = g.params().table("user", [100, 8], init::zeros());
        g.output("rows", table.rows(g, user));
        g.output("rows", table.rows(g, again));
        g.output("ids", user);
        g.output("ids", user);
    })
}

pub fn optimizer() -> Result<Program> {
    program("optimizer", |g| {
        let w = g.params().tensor("w", [4], init::zeros()).get(g);
        let target = g.input("adam.m.w", DType::F32, [4]);
        g.minimise(mse(w, target), Adam::new(0.1));
    })
}
