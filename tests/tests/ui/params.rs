//! Parameters whose declaration says two things.

use latentc::prelude::*;

#[derive(Params)]
struct Model {
    nodes: Table,
    bias: Option<Param>,
}

pub fn declarations() -> Result<Program> {
    program("params", |g| {
        let p = g.params();
        let halves = init::stacked([(60, init::normal(0.1)), (30, init::normal(0.1))]);
        let model = Model {
            nodes: p.table("nodes", [100, 8], halves),
            bias: Some(p.tensor("nodes", [100], init::uniform(1.0, 0.0))),
        };
        for spec in model.bias.iter().map(Param::spec) {
            assert_eq!(spec.shape, [100]);
        }
        g.output("nodes", model.nodes.all(g));
    })
}
