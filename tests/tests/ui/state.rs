//! State.

use latentc::prelude::*;

pub fn updates() -> Result<Program> {
    program("state", |g| {
        let x = g.input("x", DType::F32, [4]);
        let average = g.state("average", DType::F32, [4], 0.0);
        g.update(average, average * 0.9 + x * 0.1);
        g.update(average, x);
        g.update(x, average);
        let count = g.state("count", DType::I64, [], 0.0);
        g.update(count, x.sum_all());
    })
}
