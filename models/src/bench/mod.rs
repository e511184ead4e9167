//! Workloads whose timings can be set beside other frameworks': the same shapes, the same work.

mod graphs;
mod measure;
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

const NODES: f64 = (USERS + ITEMS) as f64;
const NNZ: f64 = (2 * EDGES) as f64;
const SPMM_BYTES: f64 = NNZ * (8.0 + 256.0) + NODES * 256.0;

/// All workloads.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "spmm_gowalla64",
        about: "the normalised adjacency of a Gowalla-like graph times [70839, 64]",
        flops: 2.0 * NNZ * 64.0,
        bytes: SPMM_BYTES,
        prepare: graphs::spmm,
    },
    Workload {
        name: "spmm_gowalla64_fwdbwd",
        about: "the same, and its derivative",
        flops: 4.0 * NNZ * 64.0,
        bytes: 2.0 * SPMM_BYTES,
        prepare: graphs::spmm_forward_backward,
    },
    Workload {
        name: "lightgcn3_train",
        about: "a step of LightGCN: 3 layers, batch 2048, penalty, dense Adam",
        flops: 2.0 * NNZ * 64.0 * 6.0,
        bytes: 6.0 * SPMM_BYTES + NODES * 256.0 * 7.0,
        prepare: graphs::lightgcn,
    },
    Workload {
        name: "ngcf3_train",
        about: "a step of NGCF: 3 layers of 64, batch 2048, dense Adam, no dropout",
        flops: 2.0 * NNZ * 64.0 * 6.0 + 3.0 * 3.0 * 2.0 * 2.0 * NODES * 64.0 * 64.0,
        bytes: 0.0,
        prepare: graphs::ngcf,
    },
    Workload {
        name: "score_top20_2048x40981x64",
        about: "the 20 best of 40981 items for 2048 users, 64 wide",
        flops: 2.0 * 2048.0 * ITEMS as f64 * 64.0,
        bytes: 0.0,
        prepare: ranking::score_top20,
    },
];
