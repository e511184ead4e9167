//! Workloads whose timings can be set beside other frameworks': the same shapes, the same work.

mod attention;
mod convolutions;
mod ctr;
mod embeddings;
mod forward;
mod graphs;
mod measure;
mod norms;
mod products;
mod ranking;

pub use graphs::gowalla_like;
pub use measure::{Timing, measure};

use crate::common::run::ModelError;
use latentc::{Options, Session};

/// What is timed.
pub type Run = Box<dyn FnMut(&mut Session) -> Result<(), ModelError>>;

/// A workload, ready to be measured.
pub struct Prepared {
    /// What does it.
    pub session: Session,
    /// One iteration of the work.
    pub run: Run,
}

/// A workload.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// What it computes, in one line.
    pub about: &'static str,
    /// Floating-point operations of an iteration.
    pub flops: f64,
    /// Compulsory bytes of an iteration; 0 where arithmetic is the limit.
    pub bytes: f64,
    /// Makes it ready.
    pub prepare: fn(&Options) -> Result<Prepared, ModelError>,
}

/// Users, items and interactions of the benchmark graph: Gowalla's.
pub const USERS: usize = 29_858;
/// See [`USERS`].
pub const ITEMS: usize = 40_981;
/// See [`USERS`].
pub const EDGES: usize = 810_128;

/// All workloads, by what they exercise.
const CLASSES: &[&[Workload]] = &[
    products::WORKLOADS,
    norms::WORKLOADS,
    convolutions::WORKLOADS,
    attention::WORKLOADS,
    graphs::WORKLOADS,
    embeddings::WORKLOADS,
    ranking::WORKLOADS,
    ctr::WORKLOADS,
];

/// All workloads.
pub fn workloads() -> impl Iterator<Item = &'static Workload> {
    CLASSES.iter().copied().flatten()
}
