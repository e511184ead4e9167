//! What LightGCN computes.

use latentc::prelude::*;

/// The parameters: one row for each user, then one for each item.
#[derive(Params, Debug)]
pub struct LightGcn {
    /// E0, `[users + items, dim]`.
    pub nodes: Table,
}

impl LightGcn {
    /// Rows drawn from a normal distribution of deviation `std`.
    pub fn new(p: &Init, nodes: usize, dim: usize, std: f64) -> LightGcn {
        LightGcn { nodes: p.table("nodes", [nodes, dim], init::normal(std)) }
    }

    /// The final rows: the mean of E0 and its `layers` propagations by D^-1/2 A D^-1/2.
    pub fn embed<'g>(&self, g: &'g Scope, adj: Csr<'g>, layers: usize) -> Tensor<'g> {
        let mut e = self.nodes.all(g);
        let mut sum = e;
        for _ in 0..layers {
            e = adj.sym_norm_spmm(e);
            sum = sum + e;
        }
        sum / (layers as f32 + 1.0)
    }

    /// Half the squares of the rows of E0 that a batch names, divided by the number of its triples.
    pub fn penalty<'g>(&self, batch: Dim<'g>, ids: &[Tensor<'g>; 3]) -> Tensor<'g> {
        self.nodes.l2(ids) / batch
    }
}
