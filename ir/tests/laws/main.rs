//! Laws that every op keeps: results have the inferred types, derivatives agree with finite differences,
//! bodies agree with their ops.

mod compose;
mod data;
mod difference;
mod edges;
mod lowering;
mod models;
mod ops;
mod random;
mod rewriting;
mod types;
