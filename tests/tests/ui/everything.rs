//! Building goes on after a mistake; what comes out of one stays silent.

use latentc::prelude::*;

pub fn build() -> Result<Program> {
    program("everything", |g| {
        let p = g.params();
        let x = g.input("x", DType::F32, [16, 10]);
        let hidden = x.matmul(p.tensor("w1", [12, 8], init::xavier_uniform()).get(g));
        let hidden = (hidden + 1.0).tanh().dropout(0.1).normalize_rows(1e-6);
        let scores = hidden.matmul(p.tensor("w2", [8, 3], init::xavier_uniform()).get(g));
        let targets = g.input("targets", DType::F32, [16, 4]);
        let weights = g.input("targets", DType::F32, [16]);
        let loss = cross_entropy(scores, targets * weights);
        g.minimise(loss, Adam::new(1e-3));
        g.output("loss", loss);
        g.output(
            "check",
            x.sum_all() + targets.slice(1, 1..).sum(1).max_all() + x.log_softmax().reshape([16, 9]),
        );
    })
}

pub fn empty() -> Result<Program> {
    program("empty", |g| {
        let x = g.input("x", DType::F32, [16, 10]);
        let _unused = x.matmul(x.t());
    })
}
