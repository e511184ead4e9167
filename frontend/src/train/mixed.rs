//! Mixed precision: products in 16 bits, and gradients that are scaled so that they fit.

use super::Step;
use latentc_ir::diag::Diag;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::{Graph, Operand};
use latentc_ir::ops::row_sparse::RowSparse;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::{Shape, Type};

/// State input: the number by which a loss is multiplied before it is differentiated, an f32 scalar.
pub const LOSS_SCALE: &str = "minimise.loss_scale";
/// State input: how many steps there have been since the last change of the scale, an i32 scalar.
pub const GOOD_STEPS: &str = "minimise.good_steps";

/// Products of matrices and convolutions in 16 bits: operands are rounded, sums are taken in f32, results are f32, and so
/// are parameters and everything else. Gradients of such products are such products. (Micikevicius and others 2018.)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixed {
    /// The type of the operands, bf16 or f16.
    pub dtype: DType,
    /// How the loss is scaled, which f16 needs: it holds nothing below 6e-8.
    pub scale: Option<LossScale>,
}

/// A number by which the loss is multiplied before it is differentiated; gradients are divided by it. Where one of them is
/// infinite or NaN, the step is not made: parameters and the state of the optimizer keep their values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossScale {
    /// Always this one.
    Constant(f64),
    /// This one first; half of it after each step that was not made, twice as much after so many that were.
    Dynamic {
        /// The first scale.
        first: f64,
        /// Steps after which it is doubled.
        every: u32,
    },
}

impl Mixed {
    /// bf16, which has the range of f32: no scale.
    pub fn bf16() -> Mixed {
        Mixed { dtype: DType::Bf16, scale: None }
    }

    /// f16, with a scale that begins with 2^16 and is doubled after 2000 steps.
    pub fn f16() -> Mixed {
        Mixed { dtype: DType::F16, scale: Some(LossScale::Dynamic { first: 65536.0, every: 2000 }) }
    }

    /// With another scale.
    pub fn with_scale(self, scale: LossScale) -> Mixed {
        Mixed { scale: Some(scale), ..self }
    }

    /// What is wrong with it.
    pub(crate) fn fault(&self) -> Option<String> {
        if !matches!(self.dtype, DType::Bf16 | DType::F16) {
            return Some(format!("products in {}; mixed precision is of bf16 or f16", self.dtype));
        }
        let (scale, every) = match self.scale {
            None => return None,
            Some(LossScale::Constant(scale)) => (scale, 1),
            Some(LossScale::Dynamic { first, every }) => (first, every),
        };
        if !(scale.is_finite() && scale > 0.0) {
            return Some(format!("a loss scale of {scale}; it is finite and positive"));
        }
        (every == 0).then(|| "a loss scale that is doubled after 0 steps; at least 1".to_owned())
    }
}

/// The scale of a run's loss, an f32 scalar.
pub(super) fn scale(step: &mut Step<'_>, how: LossScale) -> Result<Operand, Diag> {
    match how {
        LossScale::Constant(scale) => Ok(step.graph.constant_f32(scale)),
        LossScale::Dynamic { first, .. } => {
            step.state_from(LOSS_SCALE.to_owned(), &Shape::new(), Literal::float(DType::F32, first))
        }
    }
}

/// The loss times the scale.
pub(super) fn scaled(graph: &mut Graph, loss: Operand, scale: Operand) -> Operand {
    let scale = graph.cast(scale, graph.dtype_of(loss));
    graph.map(ScalarOp::Mul, &[loss, scale])
}

/// A gradient without the scale, and 1 where one of its elements is no finite number, else 0, an f32 scalar.
pub(super) fn unscaled(graph: &mut Graph, gradient: Operand, scale: Operand) -> (Operand, Operand) {
    let rows = match graph.type_of(gradient) {
        Type::RowSparse(r) => Some(r.shape[0].clone()),
        _ => None,
    };
    let (ids, values) = match rows {
        Some(_) => {
            let (ids, values) = graph.row_sparse_parts(gradient);
            (Some(ids), values)
        }
        None => (None, gradient),
    };
    let shape = graph.shape_of(values);
    let by = graph.cast(scale, graph.dtype_of(values));
    let by = graph.broadcast(by, shape.clone(), [].into_iter().collect());
    let values = graph.map(ScalarOp::Div, &[values, by]);
    // x - x is 0 for every finite number and NaN for all others.
    let nothing = graph.map(ScalarOp::Sub, &[values, values]);
    let zero = graph.fill_like(nothing, 0.0);
    let finite = graph.map(ScalarOp::Eq, &[nothing, zero]);
    let bad = graph.map(ScalarOp::Not, &[finite]);
    let bad = graph.cast(bad, DType::F32);
    let bad = graph.reduce(ReduceOp::Sum, bad, (0..shape.len()).collect());
    match (ids, rows) {
        (Some(ids), Some(rows)) => (graph.emit(RowSparse { rows }, &[ids, values]), bad),
        _ => (values, bad),
    }
}

/// Makes updates from `first` on wait for a step whose gradients are finite, and moves the scale.
pub(super) fn guard(
    step: &mut Step<'_>,
    how: LossScale,
    scale: Operand,
    bad: &[Operand],
    first: usize,
) -> Result<(), Diag> {
    let Some(bad) = bad.iter().copied().reduce(|a, b| step.graph.map(ScalarOp::Add, &[a, b])) else {
        return Ok(());
    };
    let zero = step.graph.constant_f32(0.0);
    let good = step.graph.map(ScalarOp::Eq, &[bad, zero]);
    for i in first..step.graph.updates.len() {
        let (name, new) = step.graph.updates[i].clone();
        let Some(old) = step.graph.input(&name) else { continue };
        let shape = step.graph.shape_of(new);
        let made = step.graph.broadcast(good, shape, [].into_iter().collect());
        step.graph.updates[i].1 = step.map(ScalarOp::Select, &[made, new, old.into()]);
    }
    if let LossScale::Dynamic { every, .. } = how {
        let zero = Literal::int(DType::I32, 0);
        let steps = step.state_from(GOOD_STEPS.to_owned(), &Shape::new(), zero)?;
        let (zero, one) = (step.graph.fill(zero, []), step.graph.fill(Literal::int(DType::I32, 1), []));
        let every = step.graph.fill(Literal::int(DType::I32, i64::from(every)), []);
        let next = step.map(ScalarOp::Add, &[steps, one]);
        let double = step.map(ScalarOp::Ge, &[next, every]);
        let [half, twice] = [0.5, 2.0].map(|by| step.graph.scale(scale, by));
        let grown = step.map(ScalarOp::Select, &[double, twice, scale]);
        let next = step.map(ScalarOp::Select, &[double, zero, next]);
        let scale = step.map(ScalarOp::Select, &[good, grown, half]);
        let next = step.map(ScalarOp::Select, &[good, next, zero]);
        step.update(LOSS_SCALE.to_owned(), scale);
        step.update(GOOD_STEPS.to_owned(), next);
    }
    Ok(())
}
