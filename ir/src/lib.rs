//! The intermediate representations of latentc.
