//! Adam.

use super::{Lr, Rows, Step};
use latentc_ir::diag::Diag;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::Operand;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::Shape;

/// State input: how many steps Adam has made, an i64 scalar.
pub const STEP: &str = "adam.step";

/// Adam (Kingma and Ba, 2015), without weight decay. At step `t`, counted from 1, for the gradient `g`:
///
/// ```text
/// m  = beta1 m + (1 - beta1) g
/// v  = beta2 v + (1 - beta2) g^2
/// p -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
/// ```
///
/// `m` and `v` are the state inputs `adam.m.<parameter>` and `adam.v.<parameter>`, `t` is `adam.step`. The two
/// corrections are computed in f64. The gradient of a table of which few rows were used counts as zero in
/// the other rows, whose moments still decay and which still move, exactly as in the formulas; see
/// [`Adam::lazy`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// The learning rate.
    pub lr: Lr,
    /// Decay of the first moment, in `0..1`.
    pub beta1: f64,
    /// Decay of the second moment, in `0..1`.
    pub beta2: f64,
    /// Added to the root of the second moment, positive.
    pub eps: f64,
    /// Whether rows that were not used stay as they are.
    pub lazy: bool,
}

impl Adam {
    /// With a learning rate, and 0.9, 0.999 and 1e-8 for the rest.
    pub fn new(lr: impl Into<Lr>) -> Adam {
        Adam { lr: lr.into(), beta1: 0.9, beta2: 0.999, eps: 1e-8, lazy: false }
    }

    /// Where the gradient of a table lists rows, only these move, and only their moments change: a step reads and writes
    /// no other row. `t` still counts every step. This is another algorithm: rows that are used rarely move further.
    pub fn lazy(self) -> Adam {
        Adam { lazy: true, ..self }
    }

    pub(crate) fn fault(&self) -> Option<String> {
        for (name, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return Some(format!("Adam with {name} = {beta}; it is at least 0 and below 1"));
            }
        }
        (self.eps.is_nan() || self.eps <= 0.0)
            .then(|| format!("Adam with eps = {}; it is positive", self.eps))
    }

    /// Updates each of (name, parameter, gradient).
    pub(crate) fn expand(
        self,
        step: &mut Step<'_>,
        gradients: Vec<(String, Operand, Operand)>,
    ) -> Result<(), Diag> {
        let done = step.state(STEP.to_owned(), DType::I64, &Shape::new())?;
        let one = step.graph.fill(Literal::int(DType::I64, 1), []);
        let t = step.map(ScalarOp::Add, &[done, one]);
        step.update(STEP.to_owned(), t);
        // lr / (1 - beta1^t) and sqrt(1 / (1 - beta2^t)): two numbers a step instead of two divisions an element.
        let t = step.graph.cast(t, DType::F64);
        let lr = step.lr();
        let correction = correction(step, self.beta1, t);
        let rate = step.map(ScalarOp::Div, &[lr, correction]);
        let correction = self::correction(step, self.beta2, t);
        let root = step.map(ScalarOp::Rsqrt, &[correction]);

        let rows = if self.lazy { Rows::Always } else { Rows::Never };
        for (name, whole, g) in gradients {
            let moved = step.moved(g, rows);
            let shape = step.graph.shape_of(whole);
            let dtype = step.graph.dtype_of(whole);
            let (m_name, v_name) = (format!("adam.m.{name}"), format!("adam.v.{name}"));
            let m_whole = step.state(m_name.clone(), dtype, &shape)?;
            let v_whole = step.state(v_name.clone(), dtype, &shape)?;
            let [p, m, v] = [whole, m_whole, v_whole].map(|o| step.part(&moved, o));
            let g = moved.gradient;

            let m_next = decay(step, self.beta1, m, g);
            let square = step.map(ScalarOp::Square, &[g]);
            let v_next = decay(step, self.beta2, v, square);

            let (rate, root) = (step.spread(rate, p), step.spread(root, p));
            let deviation = step.map(ScalarOp::Sqrt, &[v_next]);
            let deviation = step.map(ScalarOp::Mul, &[deviation, root]);
            let eps = step.graph.fill_like(p, self.eps);
            let deviation = step.map(ScalarOp::Add, &[deviation, eps]);
            let move_by = step.map(ScalarOp::Mul, &[rate, m_next]);
            let move_by = step.map(ScalarOp::Div, &[move_by, deviation]);
            let p_next = step.map(ScalarOp::Sub, &[p, move_by]);

            for (name, old, new) in
                [(m_name, m_whole, m_next), (v_name, v_whole, v_next), (name, whole, p_next)]
            {
                step.put(&moved, name, old, new);
            }
        }
        Ok(())
    }
}

/// `1 - beta^t`.
fn correction(step: &mut Step<'_>, beta: f64, t: Operand) -> Operand {
    let beta = step.f64(beta);
    let power = step.map(ScalarOp::Pow, &[beta, t]);
    let one = step.f64(1.0);
    step.map(ScalarOp::Sub, &[one, power])
}

/// `beta old + (1 - beta) new`.
fn decay(step: &mut Step<'_>, beta: f64, old: Operand, new: Operand) -> Operand {
    let old = step.graph.scale(old, beta);
    let new = step.graph.scale(new, 1.0 - beta);
    step.map(ScalarOp::Add, &[old, new])
}
