//! Handles of one program in another.

use latentc::prelude::*;

pub fn handles() -> Result<Program> {
    let mut inner = None;
    let outer = program("outer", |g| {
        let batch = g.dim("batch", 1..=4);
        let x = g.input("x", DType::F32, [batch]);
        inner = Some(program("inner", |h| {
            let y = h.input("y", DType::F32, [4]);
            h.output("x", x);
            h.output("sum", y + x);
            h.output("zeros", h.fill(DType::F32, [batch], 0.0));
        }));
        g.output("x", x);
    });
    assert!(outer.is_ok());
    inner.unwrap_or(outer)
}
