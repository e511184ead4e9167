//! Ranking workloads.

use super::{ITEMS, Prepared, Workload};
use crate::common::run::ModelError;
use latentc::philox::Stream;
use latentc::prelude::*;
use latentc::{CsrArray, Options, Store};
use std::sync::Arc;

/// The workloads.
pub(super) const WORKLOADS: &[Workload] = &[Workload {
    name: "score_top20_2048x40981x64",
    about: "the 20 best of 40981 items for 2048 users, 64 wide",
    flops: 2.0 * 2048.0 * ITEMS as f64 * 64.0,
    bytes: 0.0,
    prepare: score_top20,
}];

/// The 20 best items of 2048 users by dot product, none excluded.
pub(super) fn score_top20(options: &Options) -> Result<Prepared, ModelError> {
    const USERS: usize = 2048;
    let program = program("score_top20", |g| {
        let users = g.input("users", DType::F32, [USERS, 64]);
        let items = g.input("items", DType::F32, [ITEMS, 64]);
        let seen = g.csr("seen", [USERS, ITEMS]);
        let who = g.ids("who", [USERS]);
        let (scores, ids) = users.score_top_k(items, seen, who, 20);
        g.output("scores", scores);
        g.output("ids", ids);
    })?;
    let mut session = latentc::cpu()?.compile(&program, options)?;
    let mut draw = Stream::new(0, 1, 0);
    let mut normal = |n: usize| -> Vec<f32> { (0..n).map(|_| draw.normal() as f32).collect() };
    session.set("users", &[USERS, 64], &normal(USERS * 64))?;
    session.set("items", &[ITEMS, 64], &normal(ITEMS * 64))?;
    session.set("who", &[USERS], &(0..USERS as i32).collect::<Vec<_>>())?;
    session.set_csr("seen", Arc::new(CsrArray::from_edges(USERS, ITEMS, [])?))?;
    let mut store = Store::new();
    Ok(Prepared { session, run: Box::new(move |session| Ok(session.run(&mut store)?)) })
}
