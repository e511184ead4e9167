//! A recommender that scores by the dot product of a row of users and a row of items.
//!
//! A system gives two programs: one step of training, and the final rows without dropout. Ranking is the same
//! for all: the rows are computed once after a change of the parameters, then batches of users are scored
//! against all items, without those they have in train, by one fused op that never stores the scores.

use super::device::{Report, Session, Store, compile};
use crate::common::data::Interactions;
use crate::common::run::{
    Batch, EVALUATION_BATCH, ModelError, NamedTensor, Recommender, SavedTensor, Values,
};
use crate::common::sampling::ItemIds;
use crate::systems::{Machine, NamedProgram};
use latentc::{Array, CsrArray, prelude::*};
use std::fmt;
use std::sync::Arc;

/// The step size of an optimizer over a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepSize {
    /// In the first epoch.
    pub first: f64,
    /// Epochs after which it is halved, again and again; 0 for never.
    pub halve_every: u32,
}

impl StepSize {
    /// After so many epochs.
    pub fn after(self, epochs: u32) -> f32 {
        let halvings = epochs.checked_div(self.halve_every).unwrap_or(0);
        // Exact: only the exponent changes, until it is as good as 0.
        (self.first * 0.5f64.powi(halvings.min(1000) as i32)) as f32
    }
}

/// The name of the input that gives a step its size.
pub const STEP_SIZE: &str = "lr";

/// The programs of a system.
#[derive(Debug)]
pub struct Programs {
    /// One step of training. Inputs: `user`, `pos`, `neg` (rows of all nodes, i32 `[batch]`) and, where
    /// there is a pattern, `adj`; and the step size [`STEP_SIZE`]. Output: `loss`, the mean over the batch before the update.
    pub step: Program,
    /// The final rows. Input: `adj`. Outputs: `users` and `items`, f32 `[rows, width]`.
    pub embed: Program,
    /// The edges between nodes, users first; `None` where the programs take none.
    pub adj: Option<Arc<CsrArray>>,
    /// Elements of a final row.
    pub width: usize,
    /// The step size.
    pub lr: StepSize,
}

/// Length of the lists that the program `rank` of [`Programs::named`] makes.
const LISTED: usize = 20;

impl Programs {
    /// The programs by name: `step`, `embed`, and `rank`, which makes lists of 20.
    pub fn named(self, data: &Interactions) -> Result<Vec<NamedProgram>, ModelError> {
        let rank = rank(data, self.width, LISTED.min(data.items))?;
        Ok(vec![("step", self.step), ("embed", self.embed), ("rank", rank)])
    }
}

/// A system that is trained and ranks.
pub struct EmbeddingRecommender {
    data: Arc<Interactions>,
    machine: Machine,
    programs: Programs,
    seen: Arc<CsrArray>,
    store: Store,
    /// What is kept, in the order of checkpoints.
    names: Vec<String>,
    step: Option<Session>,
    embed: Option<Session>,
    rank: Option<Rank>,
    /// Whether the outputs of `embed` are those of the parameters as they are.
    embedded: bool,
}

/// The program that ranks, for one length of lists.
struct Rank {
    k: usize,
    session: Session,
    /// Whether it has been given the outputs of `embed`.
    fresh: bool,
}

impl fmt::Debug for EmbeddingRecommender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingRecommender").field("names", &self.names).finish_non_exhaustive()
    }
}

impl EmbeddingRecommender {
    /// A recommender whose parameters begin as the seed says.
    pub fn new(
        data: Arc<Interactions>,
        programs: Programs,
        seed: u64,
        machine: Machine,
    ) -> Result<EmbeddingRecommender, ModelError> {
        let store = programs.step.init(seed);
        let names = store.names().map(str::to_string).collect();
        let (indptr, items) = (data.train.indptr().to_vec(), data.train.items().to_vec());
        let seen = Arc::new(CsrArray::new(data.users, data.items, indptr, items, false)?);
        let (step, embed, rank) = (None, None, None);
        Ok(EmbeddingRecommender {
            data,
            machine,
            programs,
            seen,
            store,
            names,
            step,
            embed,
            rank,
            embedded: false,
        })
    }

    /// The final rows of users and of items, computed where the parameters have changed.
    pub fn embed(&mut self) -> Result<[&[f32]; 2], ModelError> {
        let session = match &mut self.embed {
            Some(session) => session,
            empty => empty.insert(with_pattern(&self.programs.embed, &self.programs.adj, &self.machine)?),
        };
        if !self.embedded {
            session.run(&mut self.store)?;
            self.embedded = true;
            self.rank.iter_mut().for_each(|rank| rank.fresh = false);
        }
        Ok([session.output("users")?.1, session.output("items")?.1])
    }

    /// The program that ranks lists of `k`, with the rows in it.
    fn ranker(&mut self, k: usize) -> Result<&mut Session, ModelError> {
        if self.rank.as_ref().is_none_or(|r| r.k != k) {
            let mut session = compile(&rank(&self.data, self.programs.width, k)?, &self.machine)?;
            session.set_csr("seen", self.seen.clone())?;
            self.rank = Some(Rank { k, session, fresh: false });
        }
        self.embed()?;
        let (Some(rank), Some(embed)) = (&mut self.rank, &self.embed) else {
            return Err("a session that was just made is gone".into());
        };
        if !rank.fresh {
            for name in ["users", "items"] {
                let (shape, rows) = embed.output::<f32>(name)?;
                rank.session.set(name, shape, rows)?;
            }
            rank.fresh = true;
        }
        Ok(&mut rank.session)
    }
}

/// The best items of users: `queries . items`, without what a user has.
fn rank(data: &Interactions, width: usize, k: usize) -> Result<Program, ModelError> {
    let (users, items) = (data.users, data.items);
    Ok(program("rank", |g| {
        let batch = g.dim("batch", 1..=EVALUATION_BATCH);
        let queries = g.input("users", DType::F32, [users, width]);
        let table = g.input("items", DType::F32, [items, width]);
        let seen = g.csr("seen", [users, items]).nnz(data.train.pairs());
        let user = g.ids("user", [batch]);
        let (_, ids) = queries.rows(user).score_top_k(table, seen, user, k);
        g.output("ids", ids);
    })?)
}

fn with_pattern(
    program: &Program,
    adj: &Option<Arc<CsrArray>>,
    machine: &Machine,
) -> Result<Session, ModelError> {
    let mut session = compile(program, machine)?;
    if let Some(adj) = adj {
        session.set_csr("adj", adj.clone())?;
    }
    Ok(session)
}

/// What getting a program ready took.
fn describe(what: &str, report: &Report) -> String {
    if report.kernels.is_empty() {
        return format!("{what}: {}", report.device);
    }
    let cached = report.kernels.iter().filter(|k| k.cached).count();
    let (kernels, ms) = (report.kernels.len(), report.times.total.as_secs_f64() * 1e3);
    let mut text = format!("{what}: {kernels} kernels in {ms:.0} ms, {cached} of them from the cache");
    report.notes.iter().for_each(|note| text += &format!(" ({note})"));
    text
}

impl Recommender for EmbeddingRecommender {
    fn item_ids(&self) -> ItemIds {
        ItemIds::Node
    }

    fn prepare(&mut self) -> Result<String, ModelError> {
        let mut words = vec![];
        let Programs { step, embed, adj, .. } = &self.programs;
        for (what, slot, program) in
            [("a step", &mut self.step, step), ("the final rows", &mut self.embed, embed)]
        {
            let session = match slot {
                Some(session) => session,
                empty => empty.insert(with_pattern(program, adj, &self.machine)?),
            };
            words.push(describe(what, &session.report()));
        }
        Ok(words.join("; "))
    }

    fn train_step(&mut self, batch: Batch<'_>) -> Result<f32, ModelError> {
        let session = match &mut self.step {
            Some(session) => session,
            empty => empty.insert(with_pattern(&self.programs.step, &self.programs.adj, &self.machine)?),
        };
        let columns = [("user", batch.user), ("pos", batch.positive), ("neg", batch.negative)];
        for (name, ids) in columns {
            session.set(name, &[ids.len()], ids)?;
        }
        session.set(STEP_SIZE, &[], &[self.programs.lr.after(batch.epoch)])?;
        session.run(&mut self.store)?;
        self.embedded = false;
        let (_, loss) = session.output::<f32>("loss")?;
        loss.first().copied().ok_or_else(|| "the program gave no loss".into())
    }

    fn top_k(&mut self, users: &[i32], k: usize, out: &mut Vec<i32>) -> Result<(), ModelError> {
        out.clear();
        let session = self.ranker(k)?;
        for batch in users.chunks(EVALUATION_BATCH) {
            session.set("user", &[batch.len()], batch)?;
            session.run(&mut Store::new())?;
            out.extend_from_slice(session.output::<i32>("ids")?.1);
        }
        Ok(())
    }

    fn sessions(&self) -> Vec<&Session> {
        let rank = self.rank.as_ref().map(|rank| &rank.session);
        self.step.iter().chain(&self.embed).chain(rank).collect()
    }

    fn tensors(&self) -> Result<Vec<SavedTensor<'_>>, ModelError> {
        fn entry<'a>(store: &'a Store, name: &'a str) -> Result<SavedTensor<'a>, ModelError> {
            SavedTensor::of(name, store.get(name).ok_or_else(|| format!("`{name}` is not in the store"))?)
        }
        self.names.iter().map(|name| entry(&self.store, name)).collect()
    }

    fn set_tensors(&mut self, tensors: Vec<NamedTensor>) -> Result<(), ModelError> {
        for tensor in tensors {
            let (name, shape) = (tensor.name().to_string(), tensor.shape().to_vec());
            let array = match tensor.into_values() {
                Values::F32(v) => Array::from_slice(&shape, &v),
                Values::F64(v) => Array::from_slice(&shape, &v),
                Values::I32(v) => Array::from_slice(&shape, &v),
                Values::I64(v) => Array::from_slice(&shape, &v),
                Values::U32(v) => Array::from_slice(&shape, &v),
                Values::Bf16(v) => Array::from_slice(&shape, &v),
                Values::F16(v) => Array::from_slice(&shape, &v),
                Values::I16(v) => Array::from_slice(&shape, &v),
                Values::I8(v) => Array::from_slice(&shape, &v),
                Values::U64(v) => Array::from_slice(&shape, &v),
                Values::U16(v) => Array::from_slice(&shape, &v),
                Values::U8(v) => Array::from_slice(&shape, &v),
            };
            self.store.insert(name, array);
        }
        self.embedded = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_size_falls_by_halves() {
        let falling = StepSize { first: 0.01, halve_every: 20 };
        let sizes = [0, 19, 20, 59, 60, u32::MAX].map(|epochs| falling.after(epochs));
        assert_eq!(sizes, [0.01, 0.01, 0.005, 0.0025, 0.00125, 0.0]);
        let constant = StepSize { first: 0.01, halve_every: 0 };
        assert_eq!(constant.after(1000), 0.01);
    }
}
