//! Operands that do not repeat to one shape.

use latentc::prelude::*;

pub fn sizes() -> Result<Program> {
    program("broadcast", |g| {
        let x = g.input("x", DType::F32, [8, 3]);
        let bias = g.input("bias", DType::F32, [8]);
        let shifted = x + bias;
        g.output("mean", shifted.mean_all());
    })
}
