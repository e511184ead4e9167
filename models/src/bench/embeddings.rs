//! Embedding tables.

use super::{Prepared, Workload};
use crate::common::run::ModelError;
use latentc::philox::Stream;
use latentc::prelude::*;
use latentc::{Options, Session, Store};

const ROWS: usize = 1_000_000;
const BAGS: usize = 4096;
const IDS: usize = 40;
const WIDTH: usize = 64;
/// Batches that are gone through in turn.
const BATCHES: usize = 4;

/// The workloads.
pub(super) const WORKLOADS: &[Workload] = &[Workload {
    name: "embbag_1Mx64_4096x40",
    about: "sums of 40 rows of a table of a million, 64 wide, for 4096 bags",
    flops: 0.0,
    bytes: (BAGS * IDS) as f64 * (8.0 + 4.0 * WIDTH as f64),
    prepare: bags,
}];

fn bags(options: &Options) -> Result<Prepared, ModelError> {
    let program = program("bags", |g| {
        let table = g.input("table", DType::F32, [ROWS, WIDTH]);
        let ids = g.ids("ids", [BAGS * IDS]);
        g.output("y", table.rows(ids).reshape([BAGS, IDS, WIDTH]).sum(1));
    })?;
    let mut session = latentc::cpu()?.compile(&program, options)?;
    let mut draw = Stream::new(0, 1, 0);
    let values: Vec<f32> = (0..ROWS * WIDTH).map(|_| draw.normal() as f32).collect();
    session.set("table", &[ROWS, WIDTH], &values)?;
    let batches: Vec<Vec<i32>> =
        (0..BATCHES).map(|_| (0..BAGS * IDS).map(|_| draw.below(ROWS as u32) as i32).collect()).collect();
    let (mut store, mut step) = (Store::new(), 0);
    let run = move |session: &mut Session| -> Result<(), ModelError> {
        session.set("ids", &[BAGS * IDS], &batches[step % BATCHES])?;
        step += 1;
        Ok(session.run(&mut store)?)
    };
    Ok(Prepared { session, run: Box::new(run) })
}
