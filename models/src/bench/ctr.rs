//! Click-through rates: many small tables, interactions by products, towers of layers.

use super::{Prepared, Workload};
use crate::common::run::ModelError;
use latentc::philox::Stream;
use latentc::prelude::*;
use latentc::{Options, Session, Store};

const BATCH: usize = 2048;
const TABLES: usize = 26;
const ROWS: usize = 100_000;
const WIDTH: usize = 16;
const DENSE: usize = 13;
/// Features whose products are taken: the tables', and one of the dense numbers.
const FEATURES: usize = TABLES + 1;
const PAIRS: usize = FEATURES * (FEATURES - 1) / 2;
const LAYERS: usize = DENSE * 512 + 512 * 256 + 256 * WIDTH + (WIDTH + PAIRS) * 512 + 512 * 256 + 256;
const FLOPS: f64 = 6.0 * (BATCH * (LAYERS + FEATURES * FEATURES * WIDTH)) as f64;

/// The workloads.
pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "dlrm_train",
        about: "a step of DLRM: 26 tables of [100000, 16], products of all pairs, batch 2048, Adam on all rows",
        flops: FLOPS,
        bytes: 0.0,
        prepare: |o| dlrm(o, Adam::new(1e-3)),
    },
    Workload {
        name: "dlrm_train_sparse",
        about: "the same with Adam on the rows that were used",
        flops: FLOPS,
        bytes: 0.0,
        prepare: |o| dlrm(o, Adam::new(1e-3).lazy()),
    },
];

/// Linear layers with rectifiers between them.
fn tower<'g>(g: &'g Scope, name: &str, widths: &[usize], x: Tensor<'g>) -> Tensor<'g> {
    let p = g.params().scope(name);
    widths.windows(2).enumerate().fold(x, |x, (i, w)| {
        let x = if i == 0 { x } else { x.relu() };
        let weight = p.tensor(format!("w{i}"), [w[0], w[1]], init::xavier_uniform());
        let bias = p.tensor(format!("b{i}"), [w[1]], init::zeros());
        x.matmul(weight.get(g)) + bias.get(g)
    })
}

fn dlrm(options: &Options, optimizer: Adam) -> Result<Prepared, ModelError> {
    let program = program("dlrm", |g| {
        let dense = g.input("dense", DType::F32, [BATCH, DENSE]);
        let clicks = g.input("clicks", DType::F32, [BATCH]);
        let bottom = tower(g, "bottom", &[DENSE, 512, 256, WIDTH], dense).relu();
        let mut features = vec![bottom.reshape([BATCH, 1, WIDTH])];
        for t in 0..TABLES {
            let table = g.params().table(format!("table{t}"), [ROWS, WIDTH], init::normal(0.1));
            let ids = g.ids(&format!("ids{t}"), [BATCH]);
            features.push(table.rows(g, ids).reshape([BATCH, 1, WIDTH]));
        }
        let z = g.concat(&features, 1);
        let products = z.matmul(z.permute([0, 2, 1])).reshape([BATCH, FEATURES * FEATURES]);
        let pairs = products.take(g.ids("pairs", [PAIRS]), 1);
        let all = g.concat(&[bottom, pairs], 1);
        let scores = tower(g, "top", &[WIDTH + PAIRS, 512, 256, 1], all).reshape([BATCH]);
        let loss = binary_cross_entropy(scores, clicks);
        g.minimise(loss, optimizer);
        g.output("loss", loss);
    })?;
    let mut session = latentc::cpu()?.compile(&program, options)?;
    let mut draw = Stream::new(0, 1, 0);
    let values: Vec<f32> = (0..BATCH * DENSE).map(|_| draw.normal() as f32).collect();
    session.set("dense", &[BATCH, DENSE], &values)?;
    let clicks: Vec<f32> = (0..BATCH).map(|_| draw.next_f64() as f32).collect();
    session.set("clicks", &[BATCH], &clicks)?;
    for t in 0..TABLES {
        let ids: Vec<i32> = (0..BATCH).map(|_| draw.below(ROWS as u32) as i32).collect();
        session.set(&format!("ids{t}"), &[BATCH], &ids)?;
    }
    let below = (0..FEATURES).flat_map(|i| (0..i).map(move |j| (i * FEATURES + j) as i32));
    session.set("pairs", &[PAIRS], &below.collect::<Vec<_>>())?;
    let mut store = Store::new();
    for (name, array) in program.first_values(0) {
        store.insert(name, array);
    }
    let run = move |session: &mut Session| -> Result<(), ModelError> {
        session.run(&mut store)?;
        let (_, loss) = session.output::<f32>("loss")?;
        if loss[0].is_finite() { Ok(()) } else { Err("the loss is not a number".into()) }
    };
    Ok(Prepared { session, run: Box::new(run) })
}
