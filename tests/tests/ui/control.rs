//! Loops and branches whose parts do not go together.

use latentc::prelude::*;

pub fn carries() -> Result<Program> {
    program("carries", |g| {
        let x = g.input("x", DType::F32, [6, 4]);
        let begin = g.fill(DType::F32, [4], 0.0);
        let (last, ()) = g.scan(6, begin, x, |h, x| {
            let next = (h + x).reshape([2, 2]);
            (next, ())
        });
        g.output("last", last);
    })
}

pub fn steps() -> Result<Program> {
    program("steps", |g| {
        let n = g.dim("n", 1..=9);
        let x = g.input("x", DType::F32, [n, g.size(4)]);
        let ((), y) = g.scan(5, (), x, |(), x| ((), x.exp()));
        g.output("y", y);
    })
}

pub fn escaped() -> Result<Program> {
    program("escaped", |g| {
        let x = g.input("x", DType::F32, [6, 4]);
        let mut kept = x;
        let begin = g.fill(DType::F32, [4], 0.0);
        let (last, ()) = g.scan(6, begin, x, |h, x| {
            kept = x.exp();
            (h + kept, ())
        });
        g.output("last", last);
        g.output("kept", kept * 2.0);
    })
}

pub fn branches() -> Result<Program> {
    program("branches", |g| {
        let x = g.input("x", DType::F32, [4]);
        let y = g.cond(x.gt(0.0), || x, || x * 2.0);
        let z = g.cond(x.sum_all().gt(0.0), || x, || x.sum_all());
        g.output("y", y);
        g.output("z", z);
    })
}

pub fn within() -> Result<Program> {
    program("within", |g| {
        let x = g.input("x", DType::F32, [6, 4]);
        let w = g.params().tensor("w", [5, 5], init::zeros()).get(g);
        let begin = g.fill(DType::F32, [4], 0.0);
        let (last, ()) = g.scan(6, begin, x, |h, x| (h + x.reshape([1, 4]).matmul(w).reshape([4]), ()));
        g.output("last", last);
    })
}
