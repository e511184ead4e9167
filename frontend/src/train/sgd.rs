//! Gradient descent.

use super::{Lr, Rows, Step};
use latentc_ir::diag::Diag;
use latentc_ir::graph::Operand;
use latentc_ir::scalar::ScalarOp;

/// Gradient descent: `p -= lr * g`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// The learning rate.
    pub lr: Lr,
}

impl Sgd {
    /// With a learning rate.
    pub fn new(lr: impl Into<Lr>) -> Sgd {
        Sgd { lr: lr.into() }
    }

    /// Updates each of (name, parameter, gradient).
    pub(crate) fn expand(
        self,
        step: &mut Step<'_>,
        gradients: Vec<(String, Operand, Operand)>,
    ) -> Result<(), Diag> {
        for (name, whole, g) in gradients {
            let moved = step.moved(g, Rows::Few);
            let p = step.part(&moved, whole);
            let lr = step.lr();
            let lr = step.spread(lr, p);
            let move_by = step.map(ScalarOp::Mul, &[lr, moved.gradient]);
            let next = step.map(ScalarOp::Sub, &[p, move_by]);
            step.put(&moved, name, whole, next);
        }
        Ok(())
    }
}
