//! The latentc DSL.

pub use latentc_ir::philox;
