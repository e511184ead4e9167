//! What a run gives and keeps: outputs, new state, the step of an optimizer.

use super::Scope;
use crate::tensor::Tensor;
use crate::train::{Lr, Minimise, Mixed, Optimizer};
use latentc_ir::diag::{Diag, Span};
use latentc_ir::dtype::DType;
use latentc_ir::graph::InputKind;
use latentc_ir::ops::Op;
use latentc_ir::ops::input::Input;
use latentc_ir::passes::Numerics;
use latentc_ir::types::Type;
use std::panic::Location;

impl Scope {
    /// Gives state its value after this run.
    #[track_caller]
    pub fn update(&self, state: Tensor<'_>, next: Tensor<'_>) {
        let at = Location::caller();
        let (Some(old), Some(new)) = (self.own(state, at), self.own(next, at)) else { return };
        let name = match &self.state.borrow().graph.node(old.node).op {
            Op::Input(Input { name, kind: InputKind::State, .. }) => Some(name.clone()),
            _ => None,
        };
        let Some(name) = name else {
            let diag = Diag::new("only state can be updated", Span::from(at), "updated here");
            self.report(diag.label(Span::from(state.at), "not state").help("declare it with `state`"));
            return;
        };
        let (from, to) = {
            let graph = &self.state.borrow().graph;
            (graph.type_of(old).clone(), graph.type_of(new).clone())
        };
        if from != to {
            let message = format!("the state `{name}` is {from}, its next value {to}");
            let diag = Diag::new(message, Span::from(at), "updated here");
            self.report(
                diag.label(Span::from(state.at), format!("this is {from}"))
                    .label(Span::from(next.at), format!("this is {to}")),
            );
            return;
        }
        let earlier = self.state.borrow_mut().updated.insert(name.clone(), at);
        if let Some(earlier) = earlier {
            let diag = Diag::new(format!("`{name}` is updated twice"), Span::from(at), "again here");
            self.report(diag.label(Span::from(earlier), "first here"));
            return;
        }
        self.state.borrow_mut().graph.updates.push((name, new));
    }

    /// Gives a run's result a name.
    #[track_caller]
    pub fn output(&self, name: &str, tensor: Tensor<'_>) {
        let at = Location::caller();
        let earlier = self.state.borrow_mut().outputs.insert(name.to_owned(), at);
        if let Some(earlier) = earlier {
            let diag = Diag::new(format!("there are two outputs `{name}`"), Span::from(at), "again here");
            self.report(diag.label(Span::from(earlier), "first here").help("choose another name"));
            return;
        }
        if name.is_empty() {
            self.error(at, "an output needs a name; it is empty", "given here");
        }
        if let Some(value) = self.own(tensor, at) {
            self.state.borrow_mut().graph.outputs.push((name.to_owned(), value));
        }
    }

    /// Says what may be done to the numbers of the program to make it faster, [`Numerics::Fast`] where nothing is said: to its
    /// gradients as they are written, and wherever it is compiled, whatever [`Options::numerics`](crate::Options) says there.
    pub fn numerics(&self, numerics: Numerics) {
        self.state.borrow_mut().numerics = numerics;
    }

    /// Computes products of matrices, convolutions and attention of the program in 16 bits, those of its gradients, too.
    ///
    /// ```
    /// use latentc::prelude::*;
    /// use latentc::Mixed;
    ///
    /// program("half", |g| {
    ///     g.mixed_precision(Mixed::f16());
    ///     let x = g.input("x", DType::F32, [64, 32]);
    ///     let w = g.params().tensor("w", [32, 8], init::xavier_uniform()).get(g);
    ///     g.minimise(x.matmul(w).square().mean_all(), Adam::new(1e-3));
    /// })?;
    /// # Ok::<(), latentc::Errors>(())
    /// ```
    #[track_caller]
    pub fn mixed_precision(&self, how: Mixed) {
        if let Some(fault) = how.fault() {
            self.error(Location::caller(), fault, "asked for here");
            return;
        }
        self.state.borrow_mut().mixed = Some(how);
    }

    /// Asks for one step of an optimizer towards a lower loss, an f32 or f64 scalar, by every parameter that
    /// the program uses.
    ///
    /// The step is written into the program when `program` ends: gradients, then new values of the
    /// parameters and of the optimizer's state. What the program outputs is computed before the step.
    #[track_caller]
    pub fn minimise(&self, loss: Tensor<'_>, optimizer: impl Into<Optimizer>) {
        let at = Location::caller();
        let optimizer = optimizer.into();
        if let Some(fault) = optimizer.fault() {
            self.error(at, fault, "this optimizer");
        }
        let Some(value) = self.own(loss, at) else { return };
        let ty = self.state.borrow().graph.type_of(value).clone();
        if !ty.as_tensor().is_some_and(|t| t.rank() == 0 && t.dtype.is_real()) {
            let diag = Diag::new(
                format!("`minimise` takes a loss that is one number, {ty} found"),
                Span::from(at),
                "minimised here",
            );
            self.report(
                diag.label(Span::from(loss.at), format!("this is {ty}"))
                    .help("reduce it first, with `mean_all` or `sum_all`"),
            );
            return;
        }
        let earlier = self.state.borrow().minimise.map(|m| m.at);
        if let Some(earlier) = earlier {
            let diag = Diag::new("a program has one `minimise`", Span::from(at), "again here");
            self.report(diag.label(Span::from(earlier), "first here").help("add the losses up"));
            return;
        }
        let lr = match optimizer.lr() {
            Lr::Constant(_) => None,
            Lr::Input(name) => self.declare(name, InputKind::Data, Type::scalar(DType::F32), at),
        };
        self.state.borrow_mut().minimise = Some(Minimise { loss: value, optimizer, lr, at });
    }
}
