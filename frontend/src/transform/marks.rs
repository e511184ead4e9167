//! Gradients that are not those of what is computed.

use super::Tensors;
use crate::scope::Scope;
use crate::tensor::Tensor;
use latentc_ir::diag::{Diag, Span};
use latentc_ir::ops::custom_vjp::CustomVjp;
use latentc_ir::types::Type;
use std::panic::Location;

impl<'g> Tensor<'g> {
    /// The same tensor, which derivatives take for a constant.
    ///
    /// ```
    /// use latentc::prelude::*;
    ///
    /// program("target", |g| {
    ///     let w = g.params().tensor("w", [4], init::constant(1.0)).get(g);
    ///     let x = g.input("x", DType::F32, [4]);
    ///     // The target moves with `w`, and nothing is learned through it.
    ///     let target = (w * x).tanh().stop_gradient();
    ///     g.minimise(mse(w * x, target), Sgd::new(0.1));
    /// })?;
    /// # Ok::<(), latentc::Errors>(())
    /// ```
    #[track_caller]
    pub fn stop_gradient(self) -> Tensor<'g> {
        self.scope.composed(&[self], Location::caller(), |graph, x| graph.stop_gradient(x[0]))
    }

    /// This tensor, bit for bit, with the gradient of another one of its type: what is rounded, quantised or chosen is
    /// trained as if it were its surrogate (Bengio, Léonard and Courville 2013).
    ///
    /// ```
    /// use latentc::prelude::*;
    ///
    /// program("rounded", |g| {
    ///     let w = g.params().tensor("w", [4], init::normal(3.0)).get(g);
    ///     let whole = w.round().straight_through(w);
    ///     g.minimise((whole - 2.0).square().sum_all(), Sgd::new(0.1));
    /// })?;
    /// # Ok::<(), latentc::Errors>(())
    /// ```
    #[track_caller]
    pub fn straight_through(self, surrogate: Tensor<'g>) -> Tensor<'g> {
        let both = [self, surrogate];
        self.scope.composed(&both, Location::caller(), |graph, x| graph.straight_through(x[0], x[1]))
    }
}

impl Scope {
    /// A function with a gradient by hand. `forward` computes its value from the inputs; `backward` computes the gradients
    /// of the inputs, each of the type of its input, from the inputs, the value, and the gradient of the value. Gradients
    /// reach the inputs alone: what else `forward` uses is a constant to it.
    ///
    /// Both closures are called once, now. The gradient may be differentiated again: it is as `backward` computes it.
    ///
    /// ```
    /// use latentc::prelude::*;
    ///
    /// program("clipped", |g| {
    ///     let w = g.params().tensor("w", [4], init::constant(1.0)).get(g);
    ///     // The identity, with gradients between -1 and 1.
    ///     let y = g.custom_vjp(w, |w| w, |_, _, dy| dy.clamp(-1.0, 1.0));
    ///     g.minimise((y * 100.0).square().sum_all(), Sgd::new(0.1));
    /// })?;
    /// # Ok::<(), latentc::Errors>(())
    /// ```
    #[track_caller]
    pub fn custom_vjp<'g, T: Tensors<'g>>(
        &'g self,
        inputs: T,
        forward: impl FnOnce(T) -> Tensor<'g>,
        backward: impl FnOnce(T, Tensor<'g>, Tensor<'g>) -> T,
    ) -> Tensor<'g> {
        let at = Location::caller();
        let y = forward(inputs.clone());
        let (Some(_), Some(ty)) = (self.own(y, at), y.ty()) else { return self.poisoned(at) };
        let dy = self.state.borrow_mut().graph.placeholder(Type::Tensor(ty));
        let dy = Tensor { scope: self, value: Some(dy), at };
        let gradients = backward(inputs.clone(), y, dy).list();
        let inputs = inputs.list();
        let mut fits = gradients.len() == inputs.len();
        if !fits {
            let message = format!("{} gradients of {} inputs", gradients.len(), inputs.len());
            self.error(at, message, "this backward function");
        }
        for (i, (x, g)) in inputs.iter().zip(&gradients).enumerate() {
            if let (Some(a), Some(b)) = (x.ty(), g.ty())
                && a != b
            {
                let (a, b) = (Type::Tensor(a), Type::Tensor(b));
                let message = format!("input {i} of a function is {a}, its gradient by hand {b}");
                let diag = Diag::new(message, Span::from(g.at), format!("this gradient is {b}"));
                let help = "a gradient has the element type and the sizes of its input";
                self.report(
                    diag.label(Span::from(x.at), format!("the input is {a}"))
                        .label(Span::from(at), "the function")
                        .help(help),
                );
                fits = false;
            }
        }
        let all: Vec<Tensor<'g>> = [y, dy].into_iter().chain(inputs).chain(gradients).collect();
        let Some(operands) = self.values(&all, at).filter(|_| fits) else { return self.poisoned(at) };
        let places: Vec<_> = all.iter().map(|t| t.at).collect();
        let node = self.node_of(CustomVjp, &operands, &places, at);
        Tensor { scope: self, value: node.map(Into::into), at }
    }
}
