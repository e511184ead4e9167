//! How LightGCN is configured and trained.

use super::model::LightGcn;
use crate::common::config::{self, Invalid};
use crate::common::data::Interactions;
use crate::common::embedding::{EmbeddingRecommender, Programs, STEP_SIZE, StepSize};
use crate::common::run::{ModelError, Recommender, Schedule};
use crate::common::sampling::Sampling;
use crate::systems::{GOWALLA, Machine, NamedProgram, Published, System, SystemConfig, configure};
use latentc::{CsrArray, prelude::*};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The system as it is listed.
pub const SYSTEM: System = System {
    name: "lightgcn",
    about: "user and item embeddings, propagated over the interaction graph and averaged over the layers",
    paper: "He et al., LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation, SIGIR 2020",
    published: &[Published {
        sizes: GOWALLA,
        values: &[("recall@20", 0.1830), ("ndcg@20", 0.1554)],
        source: "the paper's table 3, 3 layers",
    }],
    configure: configure::<Config>,
};

/// The configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Elements of a row.
    pub dim: usize,
    /// Propagations.
    pub layers: usize,
    /// Standard deviation of the first rows.
    pub init: f64,
    /// Step size of Adam in the first epoch.
    pub lr: f64,
    /// Epochs after which the step size is halved, again and again; 0 for never.
    pub lr_halve_every: u32,
    /// Weight of the penalty on E0.
    pub reg: f64,
    /// How it is trained.
    #[serde(flatten)]
    pub schedule: Schedule,
}

impl Default for Config {
    fn default() -> Config {
        let schedule = Schedule {
            epochs: 300,
            eval_every: 15,
            patience: 0,
            ks: vec![5, 10, 20, 50],
            batch: 8192,
            sampling: Sampling::Users,
            seed: 2020,
        };
        Config { dim: 64, layers: 3, init: 0.1, lr: 1e-2, lr_halve_every: 75, reg: 1e-4, schedule }
    }
}

impl config::Config for Config {
    fn check(&self) -> Result<(), Invalid> {
        self.schedule.check()?;
        Invalid::within(1..=4096, self.dim, "dim")?;
        Invalid::within(1..=16, self.layers, "layers")?;
        Invalid::positive(self.init, "init")?;
        Invalid::positive(self.lr, "lr")?;
        Invalid::not_negative(self.reg, "reg")
    }
}

impl SystemConfig for Config {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn build(&self, data: &Arc<Interactions>, machine: Machine) -> Result<Box<dyn Recommender>, ModelError> {
        let programs = programs(self, data)?;
        let model = EmbeddingRecommender::new(data.clone(), programs, self.schedule.seed, machine)?;
        Ok(Box::new(model))
    }

    fn programs(&self, data: &Interactions) -> Result<Vec<NamedProgram>, ModelError> {
        programs(self, data)?.named(data)
    }
}

/// The programs for a data set.
pub fn programs(c: &Config, data: &Interactions) -> Result<Programs, ModelError> {
    let (users, items) = (data.users, data.items);
    let nodes = users + items;
    let edges = 2 * data.train.pairs();
    let step = program("lightgcn_step", |g| {
        let batch = g.dim("batch", 1..=c.schedule.batch);
        let model = LightGcn::new(g.params(), nodes, c.dim, c.init);
        let adj = g.csr("adj", [nodes, nodes]).symmetric().nnz(edges);
        let [user, pos, neg] = ["user", "pos", "neg"].map(|name| g.ids(name, [batch]));
        let e = model.embed(g, adj, c.layers);
        let ranking = bpr(e.rows(user), e.rows(pos), e.rows(neg));
        let loss = ranking + c.reg * model.penalty(batch, &[user, pos, neg]);
        g.minimise(loss, Adam::new(Lr::Input(STEP_SIZE)));
        g.output("loss", loss);
    })?;
    let embed = program("lightgcn_embed", |g| {
        let model = LightGcn::new(g.params(), nodes, c.dim, c.init);
        let adj = g.csr("adj", [nodes, nodes]).symmetric().nnz(edges);
        let e = model.embed(g, adj, c.layers);
        g.output("users", e.slice(0, ..users));
        g.output("items", e.slice(0, users..));
    })?;
    let adj = Some(Arc::new(CsrArray::bipartite(users, items, data.train.each())?));
    let lr = StepSize { first: c.lr, halve_every: c.lr_halve_every };
    Ok(Programs { step, embed, adj, width: c.dim, lr })
}
