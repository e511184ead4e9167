//! Laws that every op keeps: results have the inferred types, derivatives agree with finite differences,
//! bodies agree with their ops.

mod batch;
mod compose;
mod control;
mod data;
mod difference;
mod draws;
mod edges;
mod layers;
mod linalg;
mod lowering;
mod marks;
mod models;
mod ops;
mod random;
mod regions;
mod relations;
mod rewriting;
mod types;
