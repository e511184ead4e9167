//! Embedding tables.

use super::{Prepared, Workload};
use crate::common::run::ModelError;
use latentc::philox::Stream;
use latentc::prelude::*;
use latentc::{Adagrad, Bag, Optimizer, Options, Session, Store};

const ROWS: usize = 1_000_000;
const BAGS: usize = 4096;
const IDS: usize = 40;
const WIDTH: usize = 64;
/// Batches that are gone through in turn.
const BATCHES: usize = 4;

/// Bytes of reading the rows of a batch with their ids, and of reading or writing them so many times more.
const fn bytes(more: usize) -> f64 {
    (BAGS * IDS * (8 + 4 * WIDTH * (1 + more))) as f64
}

/// The workloads.
pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "embbag_1Mx64_4096x40",
        about: "sums of 40 rows of a table of a million, 64 wide, for 4096 bags",
        flops: 0.0,
        bytes: bytes(0),
        prepare: |o| bags(o, None),
    },
    Workload {
        name: "embbag_train_adagrad",
        about: "the same with its derivative, and Adagrad on the rows that were used",
        flops: 0.0,
        bytes: bytes(4),
        prepare: |o| bags(o, Some(Adagrad::new(1e-2).into())),
    },
    Workload {
        name: "embbag_train_sparseadam",
        about: "the same with Adam on the rows that were used",
        flops: 0.0,
        bytes: bytes(6),
        prepare: |o| bags(o, Some(Adam::new(1e-3).lazy().into())),
    },
];

/// Sums of bags, and with an optimizer a step by a given gradient of the sums.
fn bags(options: &Options, optimizer: Option<Optimizer>) -> Result<Prepared, ModelError> {
    let trains = optimizer.is_some();
    let program = program("bags", |g| {
        let table = g.params().table("table", [ROWS, WIDTH], init::normal(1.0));
        let (ids, offsets) = (g.ids("ids", [BAGS * IDS]), g.ids("offsets", [BAGS + 1]));
        let sums = table.bag(g, ids, offsets, Bag::Sum);
        match optimizer {
            None => g.output("sums", sums),
            Some(optimizer) => {
                let gradient = g.input("gradient", DType::F32, [BAGS, WIDTH]);
                g.minimise((sums * gradient).sum_all(), optimizer);
            }
        }
    })?;
    let mut session = latentc::cpu()?.compile(&program, options)?;
    let mut draw = Stream::new(0, 1, 0);
    let mut store = Store::new();
    for (name, array) in program.first_values(0) {
        store.insert(name, array);
    }
    session.set("offsets", &[BAGS + 1], &(0..=BAGS).map(|b| (b * IDS) as i32).collect::<Vec<_>>())?;
    if trains {
        let values: Vec<f32> = (0..BAGS * WIDTH).map(|_| draw.normal() as f32).collect();
        session.set("gradient", &[BAGS, WIDTH], &values)?;
    }
    let batches: Vec<Vec<i32>> =
        (0..BATCHES).map(|_| (0..BAGS * IDS).map(|_| draw.below(ROWS as u32) as i32).collect()).collect();
    let mut step = 0;
    let run = move |session: &mut Session| -> Result<(), ModelError> {
        session.set("ids", &[BAGS * IDS], &batches[step % BATCHES])?;
        step += 1;
        Ok(session.run(&mut store)?)
    };
    Ok(Prepared { session, run: Box::new(run) })
}
