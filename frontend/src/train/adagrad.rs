//! Adagrad.

use super::{Lr, Rows, Step};
use latentc_ir::diag::Diag;
use latentc_ir::dtype::Literal;
use latentc_ir::graph::Operand;
use latentc_ir::ops::Axes;
use latentc_ir::scalar::ScalarOp;

/// Adagrad (Duchi and others, 2011). For the gradient `g`:
///
/// ```text
/// s += g^2
/// p -= lr g / (sqrt(s) + eps)
/// ```
///
/// `s` is the state input `adagrad.sum.<parameter>`, which begins as `initial`. Rows of a table that were not used do not
/// move; where few were used, a step reads and writes no other row. See [`Adagrad::row_wise`] for a state of one number a
/// row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adagrad {
    /// The learning rate.
    pub lr: Lr,
    /// Added to the root of the sum, positive.
    pub eps: f64,
    /// What the sum begins as, not negative.
    pub initial: f64,
    /// Whether a row has one sum for all of its elements.
    pub row_wise: bool,
}

impl Adagrad {
    /// With a learning rate, 1e-10 beside the root, and sums that begin as 0.
    pub fn new(lr: impl Into<Lr>) -> Adagrad {
        Adagrad { lr: lr.into(), eps: 1e-10, initial: 0.0, row_wise: false }
    }

    /// One sum a row, of the means of the squares along it: `s[r] += mean(g[r]^2)`, for every parameter of two axes or
    /// more (rows are those of its first axis). Large tables of recommenders are trained so: the state is as long as the
    /// table and one number wide.
    pub fn row_wise(self) -> Adagrad {
        Adagrad { row_wise: true, ..self }
    }

    pub(crate) fn fault(&self) -> Option<String> {
        if self.eps.is_nan() || self.eps <= 0.0 {
            return Some(format!("Adagrad with eps = {}; it is positive", self.eps));
        }
        (!self.initial.is_finite() || self.initial < 0.0)
            .then(|| format!("Adagrad with sums that begin as {}; they are not negative", self.initial))
    }

    /// Updates each of (name, parameter, gradient).
    pub(crate) fn expand(
        self,
        step: &mut Step<'_>,
        gradients: Vec<(String, Operand, Operand)>,
    ) -> Result<(), Diag> {
        for (name, whole, g) in gradients {
            let moved = step.moved(g, Rows::Few);
            let mut shape = step.graph.shape_of(whole);
            let by_row = self.row_wise && shape.len() > 1;
            if by_row {
                shape.truncate(1);
            }
            let (dtype, s_name) = (step.graph.dtype_of(whole), format!("adagrad.sum.{name}"));
            let s_whole = step.state_from(s_name.clone(), &shape, Literal::float(dtype, self.initial))?;
            let [p, s] = [whole, s_whole].map(|o| step.part(&moved, o));
            let g = moved.gradient;

            let mut square = step.map(ScalarOp::Square, &[g]);
            if by_row {
                let rank = step.graph.shape_of(g).len();
                square = step.graph.mean(square, &(1..rank).collect::<Vec<_>>());
            }
            let s_next = step.map(ScalarOp::Add, &[s, square]);
            let root = step.map(ScalarOp::Sqrt, &[s_next]);
            let eps = step.graph.fill_like(root, self.eps);
            let mut root = step.map(ScalarOp::Add, &[root, eps]);
            if by_row {
                let shape = step.graph.shape_of(g);
                root = step.graph.broadcast(root, shape, Axes::from_slice(&[0]));
            }
            let lr = step.lr();
            let lr = step.spread(lr, p);
            let move_by = step.map(ScalarOp::Mul, &[lr, g]);
            let move_by = step.map(ScalarOp::Div, &[move_by, root]);
            let p_next = step.map(ScalarOp::Sub, &[p, move_by]);
            step.put(&moved, s_name, s_whole, s_next);
            step.put(&moved, name, whole, p_next);
        }
        Ok(())
    }
}
