//! Optimizers: what `minimise` writes into a program.

mod adagrad;
mod adam;
pub mod loss;
mod mixed;
mod sgd;

use crate::dims::At;
use crate::scope::{First, StateSpec};
pub use adagrad::Adagrad;
pub use adam::{Adam, STEP as ADAM_STEP};
use latentc_ir::diag::{Diag, Span};
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::{Graph, InputKind, Operand};
use latentc_ir::ops::Op;
use latentc_ir::ops::gather_rows::GatherRows;
use latentc_ir::ops::index_update::IndexUpdate;
use latentc_ir::ops::input::Input;
use latentc_ir::passes::Numerics;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::{Shape, Type};
pub use mixed::{GOOD_STEPS, LOSS_SCALE, LossScale, Mixed};
pub use sgd::Sgd;

/// The name under which the loss is among the outputs while the forward part is being rewritten.
const LOSS: &str = "minimise.loss";

/// A learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lr {
    /// The same in every run.
    Constant(f64),
    /// An f32 scalar of this name, given with every run.
    Input(&'static str),
}

impl From<f64> for Lr {
    fn from(lr: f64) -> Lr {
        Lr::Constant(lr)
    }
}

impl From<f32> for Lr {
    fn from(lr: f32) -> Lr {
        Lr::Constant(f64::from(lr))
    }
}

/// How parameters move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Against the gradient.
    Sgd(Sgd),
    /// By moments of the gradient.
    Adam(Adam),
    /// By the sum of squared gradients.
    Adagrad(Adagrad),
}

impl From<Adagrad> for Optimizer {
    fn from(o: Adagrad) -> Optimizer {
        Optimizer::Adagrad(o)
    }
}

impl From<Sgd> for Optimizer {
    fn from(o: Sgd) -> Optimizer {
        Optimizer::Sgd(o)
    }
}

impl From<Adam> for Optimizer {
    fn from(o: Adam) -> Optimizer {
        Optimizer::Adam(o)
    }
}

impl Optimizer {
    /// Its learning rate.
    pub fn lr(&self) -> Lr {
        match self {
            Optimizer::Sgd(o) => o.lr,
            Optimizer::Adam(o) => o.lr,
            Optimizer::Adagrad(o) => o.lr,
        }
    }

    /// What is wrong with its numbers.
    pub(crate) fn fault(&self) -> Option<String> {
        if let Lr::Constant(lr) = self.lr()
            && !(lr.is_finite() && lr >= 0.0)
        {
            return Some(format!("a learning rate of {lr}; it is finite and not negative"));
        }
        match self {
            Optimizer::Sgd(_) => None,
            Optimizer::Adam(adam) => adam.fault(),
            Optimizer::Adagrad(adagrad) => adagrad.fault(),
        }
    }
}

/// A `minimise` as recorded.
#[derive(Clone, Copy)]
pub(crate) struct Minimise {
    pub loss: Operand,
    pub optimizer: Optimizer,
    /// The input that gives the learning rate, where one does.
    pub lr: Option<Operand>,
    pub at: At,
}

/// When the rows that a gradient lists are all that moves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// Never: others move too.
    Never,
    /// Where there are few: others would not move either.
    Few,
    /// Always: others are not to move.
    Always,
}

/// What of a parameter moves, and its gradient.
struct Moved {
    gradient: Operand,
    /// The rows, in order, where it is not the whole.
    rows: Option<Operand>,
}

/// What an optimizer's step is written with.
pub(crate) struct Step<'a> {
    pub graph: &'a mut Graph,
    pub states: &'a mut Vec<StateSpec>,
    lr: Lr,
    lr_input: Option<Operand>,
}

impl Step<'_> {
    /// The learning rate as an f64 scalar.
    fn lr(&mut self) -> Operand {
        match (self.lr_input, self.lr) {
            (Some(input), _) => self.graph.cast(input, DType::F64),
            (None, Lr::Constant(lr)) => self.f64(lr),
            (None, Lr::Input(name)) => unreachable!("the input `{name}` was declared with `minimise`"),
        }
    }

    fn f64(&mut self, value: f64) -> Operand {
        self.graph.fill(Literal::float(DType::F64, value), [])
    }

    /// A scalar as a tensor of the type and shape of another.
    fn spread(&mut self, scalar: Operand, like: Operand) -> Operand {
        let (dtype, shape) = (self.graph.dtype_of(like), self.graph.shape_of(like));
        let scalar = self.graph.cast(scalar, dtype);
        self.graph.broadcast(scalar, shape, [].into_iter().collect())
    }

    /// What of a parameter moves by a gradient: all of it, or the rows that the gradient lists. Where both are the
    /// same step, they are these rows if there are few of them.
    fn moved(&mut self, gradient: Operand, rows: Rows) -> Moved {
        let Type::RowSparse(ty) = self.graph.type_of(gradient).clone() else {
            return Moved { gradient, rows: None };
        };
        let few = ty.count.upper().saturating_mul(2) <= ty.shape[0].lower();
        if rows == Rows::Never || (rows == Rows::Few && !few) {
            return Moved { gradient: self.graph.densify(gradient), rows: None };
        }
        let (rows, gradient) = self.graph.listed_totals(gradient);
        Moved { gradient, rows: Some(rows) }
    }

    /// The part of a parameter, or of its state, that moves.
    fn part(&mut self, moved: &Moved, whole: Operand) -> Operand {
        match moved.rows {
            Some(rows) => self.graph.emit(GatherRows, &[whole, rows]),
            None => whole,
        }
    }

    /// The new value of a parameter, or of its state, of which a part has moved. Rows that are listed several times are
    /// written several times, the same each time.
    fn put(&mut self, moved: &Moved, name: String, whole: Operand, part: Operand) {
        let new = match moved.rows {
            Some(rows) => self.graph.emit(IndexUpdate { op: None }, &[whole, rows, part]),
            None => part,
        };
        self.update(name, new);
    }

    /// A state input that begins as zeros.
    fn state(&mut self, name: String, dtype: DType, shape: &Shape) -> Result<Operand, Diag> {
        self.state_from(name, shape, Literal::zero(dtype))
    }

    /// A state input every element of which begins as a number, of the number's type.
    fn state_from(&mut self, name: String, shape: &Shape, value: Literal) -> Result<Operand, Diag> {
        let dtype = value.dtype();
        let span = self.graph.at.clone().unwrap_or_else(Span::none);
        if let Some(taken) = self.graph.input(&name) {
            let diag =
                Diag::new(format!("the optimizer keeps `{name}`, and that name is taken"), span, "here");
            let first = self.graph.node(taken).span.clone();
            return Err(diag.label(first, "declared here").help("choose another name"));
        }
        // Parameters have constant sizes, so their state has.
        let sizes = shape.iter().filter_map(|d| d.as_const()).filter_map(|d| usize::try_from(d).ok());
        let first = First::Constant(value);
        self.states.push(StateSpec { name: name.clone(), dtype, shape: sizes.collect(), first });
        let ty = Type::tensor(dtype, shape.iter().cloned());
        self.graph.value(Input { name, kind: InputKind::State, ty }, &[], span)
    }

    fn update(&mut self, name: String, value: Operand) {
        self.graph.updates.push((name, value));
    }

    fn map(&mut self, op: ScalarOp, operands: &[Operand]) -> Operand {
        self.graph.map(op, operands)
    }
}

/// Writes the gradients of the loss and one step of the optimizer into the graph.
pub(crate) fn expand(
    graph: &mut Graph,
    states: &mut Vec<StateSpec>,
    what: Minimise,
    numerics: Numerics,
    mixed: Option<Mixed>,
) -> Result<(), Diag> {
    graph.outputs.push((LOSS.to_owned(), what.loss));
    latentc_ir::rewrite::forward(graph, numerics)?;
    let params: Vec<(String, Operand)> = graph
        .inputs()
        .iter()
        .filter_map(|n| match &graph.node(*n).op {
            Op::Input(Input { name, kind: InputKind::Param, .. }) => Some((name.clone(), (*n).into())),
            _ => None,
        })
        .collect();
    latentc_ir::rewrite::forward(graph, numerics)?;
    if let Some(mixed) = mixed {
        latentc_ir::passes::mixed(graph, mixed.dtype);
    }
    let loss = graph.outputs.pop().map_or(what.loss, |(_, loss)| loss);
    let mut step = Step { graph, states, lr: what.optimizer.lr(), lr_input: what.lr };
    let outer = step.graph.at.replace(Span::from(what.at));
    let how = mixed.and_then(|m| m.scale);
    let scale = how.map(|how| mixed::scale(&mut step, how)).transpose()?;
    let scaled = scale.map_or(loss, |scale| mixed::scaled(step.graph, loss, scale));
    step.graph.at = outer;
    let wrt: Vec<Operand> = params.iter().map(|(_, o)| *o).collect();
    let gradients = latentc_ir::grad::gradients(step.graph, scaled, &wrt)?;
    if gradients.iter().all(Option::is_none) {
        let diag = Diag::new("the loss depends on no parameter", Span::from(what.at), "minimised here");
        let made = step.graph.node(loss.node).span.clone();
        return Err(diag.label(made, "the loss").help("compute it from a parameter, through float ops"));
    }
    let outer = step.graph.at.replace(Span::from(what.at));
    let mut gradients: Vec<(String, Operand, Operand)> =
        params.into_iter().zip(gradients).filter_map(|((name, p), g)| Some((name, p, g?))).collect();
    let mut bad = vec![];
    if let Some(scale) = scale {
        for (_, _, gradient) in &mut gradients {
            let (without, count) = mixed::unscaled(step.graph, *gradient, scale);
            *gradient = without;
            bad.push(count);
        }
    }
    let first = step.graph.updates.len();
    let done = match what.optimizer {
        Optimizer::Sgd(sgd) => sgd.expand(&mut step, gradients),
        Optimizer::Adam(adam) => adam.expand(&mut step, gradients),
        Optimizer::Adagrad(adagrad) => adagrad.expand(&mut step, gradients),
    };
    let done = match (how, scale) {
        (Some(how), Some(scale)) => done.and_then(|()| mixed::guard(&mut step, how, scale, &bad, first)),
        _ => done,
    };
    step.graph.at = outer;
    done
}
