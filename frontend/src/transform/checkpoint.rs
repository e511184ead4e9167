//! What derivatives compute again instead of keeping it.

use super::Tensors;
use crate::scope::Scope;
use latentc_ir::diag::Span;
use latentc_ir::graph::NodeId;
use std::collections::HashSet;
use std::panic::Location;

impl Scope {
    /// What a function computes, without keeping what is between for the backward pass: derivatives compute it again
    /// from what the function reads (Chen, Xu, Zhang and Guestrin 2016). Of a deep network in regions, each run once more,
    /// the values at the ends of the regions are kept, and the inside of one region at a time.
    ///
    /// What it computes is the same, and so are random draws, which are addressed by their element. A value within the
    /// function that is used outside is computed outside, too: give it out as one of the results.
    ///
    /// ```
    /// use latentc::prelude::*;
    ///
    /// program("deep", |g| {
    ///     let mut h = g.input("x", DType::F32, [64, 32]);
    ///     for layer in 0..8 {
    ///         let w = g.params().tensor(format!("w{layer}"), [32, 32], init::xavier_uniform());
    ///         h = g.checkpoint(|| h.matmul(w.get(g)).gelu());
    ///     }
    ///     g.minimise(h.square().mean_all(), Sgd::new(0.1));
    /// })?;
    /// # Ok::<(), latentc::Errors>(())
    /// ```
    #[track_caller]
    pub fn checkpoint<'g, T: Tensors<'g>>(&'g self, function: impl FnOnce() -> T) -> T {
        let at = Location::caller();
        let nodes = || -> HashSet<NodeId> { self.state.borrow().graph.petgraph().node_indices().collect() };
        let before = nodes();
        let made = function();
        let Some(values) = self.values(&made.list(), at) else {
            return self.with_values(&made, None, at);
        };
        let marked = {
            let graph = &mut self.state.borrow_mut().graph;
            let outer = graph.at.replace(Span::from(at));
            let marked = graph.checkpoint(&values, |n| !before.contains(&n));
            graph.at = outer;
            marked
        };
        let marked = marked.map_err(|message| self.error(at, message, "this checkpoint")).ok();
        self.with_values(&made, marked, at)
    }
}
