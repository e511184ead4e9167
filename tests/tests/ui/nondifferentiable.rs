//! A loss that goes through an op without a derivative.

use latentc::prelude::*;

pub fn top_k() -> Result<Program> {
    program("top_k", |g| {
        let table = g.params().table("nodes", [100, 16], init::normal(0.1));
        let [user, item] = ["user", "item"].map(|name| g.ids(name, [8]));
        let seen = g.csr("seen", [100, 100]);
        let (scores, _) = table.rows(g, user).score_top_k(table.all(g), seen, item, 5);
        g.minimise(scores.mean_all(), Sgd::new(0.1));
    })
}
