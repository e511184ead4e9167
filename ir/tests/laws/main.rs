//! Laws that every op keeps: results have the inferred types, derivatives agree with finite differences,
//! bodies agree with their ops.

mod compose;
mod data;
mod difference;
mod draws;
mod edges;
mod linalg;
mod lowering;
mod models;
mod ops;
mod random;
mod regions;
mod rewriting;
