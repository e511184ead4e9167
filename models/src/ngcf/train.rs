//! How NGCF is configured and trained.

use super::model::{Bias, Form, Matrix, Ngcf, Propagation, Shape};
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
    name: "ngcf",
    about: "embeddings passed along the interaction graph through small dense layers, all layers side by side",
    paper: "Wang et al., Neural Graph Collaborative Filtering, SIGIR 2019",
    published: &[Published {
        sizes: GOWALLA,
        values: &[("recall@20", 0.1569), ("ndcg@20", 0.1327)],
        source: "the paper's revised table 2, 3 layers",
    }],
    configure: configure::<Config>,
};

/// The configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The form of a layer.
    pub form: Form,
    /// What the biases of the code's form begin as.
    pub bias: Bias,
    /// The matrix that propagates.
    pub matrix: Matrix,
    /// Elements of a row of E0.
    pub dim: usize,
    /// Elements that each layer gives.
    pub layers: Vec<usize>,
    /// Says that a model without layers, which is matrix factorisation, is meant.
    pub mf: bool,
    /// Rate of dropout on what each layer gives.
    pub message_dropout: f64,
    /// Rate of dropout on the edges, one draw a step.
    pub node_dropout: f64,
    /// Step size of Adam in the first epoch.
    pub lr: f64,
    /// Epochs after which the step size is halved, again and again; 0 for never.
    pub lr_halve_every: u32,
    /// Weight of the penalty on the final rows of a batch.
    pub reg: f64,
    /// How it is trained.
    #[serde(flatten)]
    pub schedule: Schedule,
}

impl Default for Config {
    fn default() -> Config {
        let schedule = Schedule {
            epochs: 120,
            eval_every: 10,
            patience: 0,
            ks: vec![5, 10, 20, 50],
            batch: 8192,
            sampling: Sampling::DistinctUsers,
            seed: 2019,
        };
        Config {
            form: Form::Code,
            bias: Bias::Zero,
            matrix: Matrix::Norm,
            dim: 64,
            layers: vec![64, 64, 64],
            mf: false,
            message_dropout: 0.1,
            node_dropout: 0.0,
            lr: 2e-3,
            lr_halve_every: 40,
            reg: 1e-3,
            schedule,
        }
    }
}

impl config::Config for Config {
    fn check(&self) -> Result<(), Invalid> {
        self.schedule.check()?;
        Invalid::within(1..=4096, self.dim, "dim")?;
        for width in &self.layers {
            Invalid::within(1..=4096, *width, "layers")?;
        }
        Invalid::unless(self.layers.len() <= 16, "layers", || "at most 16 layers are supported".into())?;
        Invalid::unless(self.mf == self.layers.is_empty(), "layers", || match self.mf {
            false => "[] found: without layers this is matrix factorisation; if that is meant, set mf = true"
                .into(),
            true => format!("{:?} found with mf = true; matrix factorisation has layers = []", self.layers),
        })?;
        let paper = self.form == Form::Paper;
        Invalid::unless(!paper || self.matrix == Matrix::Sym, "matrix", || {
            "form = \"paper\" propagates with the symmetric matrix; set matrix = \"sym\"".into()
        })?;
        for (rate, key) in [(self.message_dropout, "message_dropout"), (self.node_dropout, "node_dropout")] {
            Invalid::unless((0.0..1.0).contains(&rate), key, || {
                format!("{rate} found, expected a rate of at least 0 and below 1")
            })?;
        }
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
    let sizes = [data.users, data.items];
    let edges = 2 * data.train.pairs();
    let adj = (!c.mf).then(|| CsrArray::bipartite(data.users, data.items, data.train.each())).transpose()?;
    let adj = adj.map(|adj| Arc::new(if c.weighted() { adj.with_twin() } else { adj }));
    let width = c.dim + c.layers.iter().sum::<usize>();
    let lr = StepSize { first: c.lr, halve_every: c.lr_halve_every };
    Ok(Programs { step: step(c, sizes, edges)?, embed: embed(c, sizes, edges)?, adj, width, lr })
}

impl Config {
    /// Whether a step weighs edges. Then their pattern comes with its transpose, which says where the weight
    /// of each edge is; a pattern that is its own transpose does not.
    fn weighted(&self) -> bool {
        self.node_dropout > 0.0
    }

    fn model(&self, g: &Scope, sizes: [usize; 2]) -> Ngcf {
        let shape = Shape { dim: self.dim, layers: self.layers.clone(), form: self.form, bias: self.bias };
        Ngcf::new(g.params(), sizes, &shape)
    }

    /// The propagation without dropout; none where there is no layer.
    fn propagation<'g>(
        &self,
        g: &'g Scope,
        [users, items]: [usize; 2],
        edges: usize,
    ) -> Option<Propagation<'g>> {
        (!self.mf).then(|| {
            let adj = g.csr("adj", [users + items, users + items]).nnz(edges);
            Propagation::new(if self.weighted() { adj } else { adj.symmetric() }, self.matrix)
        })
    }
}

/// One step of training.
pub fn step(c: &Config, sizes: [usize; 2], edges: usize) -> Result<Program> {
    program("ngcf_step", |g| {
        let batch = g.dim("batch", 1..=c.schedule.batch);
        let [user, pos, neg] = ["user", "pos", "neg"].map(|name| g.ids(name, [batch]));
        let s = c.propagation(g, sizes, edges);
        let s = s.map(|s| if c.weighted() { s.with_node_dropout(g, c.node_dropout) } else { s });
        let z = c.model(g, sizes).embed(g, s, c.message_dropout);
        let [u, p, n] = [user, pos, neg].map(|ids| z.rows(ids));
        let squares = u.half_square_sum() + p.half_square_sum() + n.half_square_sum();
        let loss = bpr(u, p, n) + c.reg * squares / batch;
        g.minimise(loss, Adam::new(Lr::Input(STEP_SIZE)));
        g.output("loss", loss);
    })
}

/// The final rows, without dropout.
pub fn embed(c: &Config, sizes: [usize; 2], edges: usize) -> Result<Program> {
    program("ngcf_embed", |g| {
        let z = c.model(g, sizes).embed(g, c.propagation(g, sizes, edges), 0.0);
        g.output("users", z.slice(0, ..sizes[0]));
        g.output("items", z.slice(0, sizes[0]..));
    })
}
