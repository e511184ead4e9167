//! Dims: two names are two sizes, even where a run could make them equal.

use latentc::prelude::*;

pub fn names() -> Result<Program> {
    program("names", |g| {
        let batch = g.dim("batch", 1..=8192);
        let items = g.dim("items", 1..=50_000);
        let scores = g.input("scores", DType::F32, [batch, items]);
        let weight = g.input("weight", DType::F32, [batch]);
        g.output("weighted", scores * weight);
    })
}

pub fn declarations() -> Result<Program> {
    program("declarations", |g| {
        let _batch = g.dim("batch", 1..=8192);
        let again = g.dim("batch", 1..=16);
        let empty = g.dim("empty", 5..5);
        let spaced = g.dim("two words", 0..=1);
        g.output("zeros", g.fill(DType::F32, (again, empty, spaced), 0.0));
    })
}

pub fn negative() -> Result<Program> {
    program("negative", |g| {
        let length = g.dim("length", 0..=512);
        g.output("shorter", g.fill(DType::F32, [length - 1], 0.0));
    })
}
