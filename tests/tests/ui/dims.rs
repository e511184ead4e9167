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

pub fn quotient() -> Result<Program> {
    program("quotient", |g| {
        let length = g.dim("length", 0..=512);
        let heads = g.dim("heads", 0..=8);
        g.output("halves", g.fill(DType::F32, (length / 2, length / heads), 0.0));
    })
}

pub fn unknown() -> Result<Program> {
    program("unknown", |g| {
        let _unused = g.dim("unused", 1..=10);
        let rows = g.dim("rows", 1..=10);
        let x = g.input("x", DType::F32, [rows + 1]);
        g.output("first", x.slice(0, ..rows));
    })
}
