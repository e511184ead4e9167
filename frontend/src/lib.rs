//! The latentc DSL.
