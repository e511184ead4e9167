//! Element types that do not meet.

use latentc::prelude::*;

pub fn types() -> Result<Program> {
    program("types", |g| {
        let x = g.input("x", DType::F32, [4]);
        let ids = g.ids("ids", [4]);
        g.output("a", x * ids);
        g.output("b", ids * 0.5);
        g.output("c", ids.mean_all());
        g.output("d", ids.exp());
        g.output("e", x.normalize_rows(0.0).dropout(1.0));
    })
}
