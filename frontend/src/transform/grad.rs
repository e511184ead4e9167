//! Derivatives as tensors.

use super::Tensors;
use crate::dims::At;
use crate::scope::Scope;
use crate::tensor::Tensor;
use latentc_ir::diag::{Diag, Span};
use latentc_ir::grad;
use latentc_ir::graph::{Graph, Operand};

impl Scope {
    /// The gradients of a loss, a float scalar, with respect to tensors that it is computed from: zeros where it does not
    /// depend on one. They are tensors like others: parts of another loss, which may be differentiated again, or of a step
    /// of one's own.
    ///
    /// A gradient penalty, `mean((|df/dx| - 1)^2)` (Gulrajani and others 2017):
    ///
    /// ```
    /// use latentc::prelude::*;
    ///
    /// program("critic", |g| {
    ///     let x = g.input("x", DType::F32, [8, 4]);
    ///     let w = g.params().tensor("w", [4, 1], init::normal(0.5)).get(g);
    ///     let score = x.matmul(w).tanh().sum_all();
    ///     let dx = g.grad(score, x);
    ///     let length = (dx.square().sum(1) + 1e-12).sqrt();
    ///     let loss = -score / 8.0 + 10.0 * (length - 1.0).square().mean_all();
    ///     g.minimise(loss, Sgd::new(0.1));
    ///     g.output("loss", loss);
    /// })?;
    /// # Ok::<(), latentc::Errors>(())
    /// ```
    #[track_caller]
    pub fn grad<'g, T: Tensors<'g>>(&'g self, loss: Tensor<'g>, wrt: T) -> T {
        let at = std::panic::Location::caller();
        self.derived(&[loss], wrt, at, |graph, loss, wrt| grad::gradients(graph, loss[0], wrt))
    }

    /// The pullback: gradients, with respect to `wrt`, of the sum of the elements of each tensor times those of its
    /// cotangent, which has its type.
    #[track_caller]
    pub fn vjp<'g, T: Tensors<'g>, Y: Tensors<'g>>(&'g self, of: Y, cotangents: Y, wrt: T) -> T {
        let at = std::panic::Location::caller();
        let of = self.pairs(&of.list(), &cotangents.list(), "cotangent", at);
        self.derived(&of, wrt, at, |graph, of, wrt| {
            let (of, cotangents) = of.split_at(of.len() / 2);
            let along: Vec<_> = of.iter().copied().zip(cotangents.iter().copied()).collect();
            grad::vjp(graph, &along, wrt)
        })
    }

    /// The pushforward: how the results `of` change when each of the tensors `x` changes by its tangent, which has its type.
    ///
    /// ```
    /// use latentc::prelude::*;
    ///
    /// program("slope", |g| {
    ///     let x = g.input("x", DType::F32, [3]);
    ///     let along = g.input("along", DType::F32, [3]);
    ///     g.output("dy", g.jvp(x.exp().sum_all(), x, along));
    /// })?;
    /// # Ok::<(), latentc::Errors>(())
    /// ```
    #[track_caller]
    pub fn jvp<'g, Y: Tensors<'g>, T: Tensors<'g>>(&'g self, of: Y, x: T, tangents: T) -> Y {
        let at = std::panic::Location::caller();
        let along = self.pairs(&x.list(), &tangents.list(), "tangent", at);
        self.derived(&along, of, at, |graph, along, of| {
            let (x, tangents) = along.split_at(along.len() / 2);
            let along: Vec<_> = x.iter().copied().zip(tangents.iter().copied()).collect();
            grad::jvp(graph, of, &along)
        })
    }

    /// The Hessian of a loss, a float scalar, with respect to tensors, times vectors of their types: the pullback of its
    /// gradient. The matrix is never there.
    ///
    /// ```
    /// use latentc::prelude::*;
    ///
    /// program("curvature", |g| {
    ///     let x = g.input("x", DType::F32, [3]);
    ///     let v = g.input("v", DType::F32, [3]);
    ///     g.output("hv", g.hvp(x.square().sum_all().exp(), x, v));
    /// })?;
    /// # Ok::<(), latentc::Errors>(())
    /// ```
    #[track_caller]
    pub fn hvp<'g, T: Tensors<'g>>(&'g self, loss: Tensor<'g>, wrt: T, vectors: T) -> T {
        let at = std::panic::Location::caller();
        let along = self.pairs(&wrt.list(), &vectors.list(), "vector", at);
        let of: Vec<Tensor<'g>> = std::iter::once(loss).chain(along).collect();
        self.derived(&of, wrt, at, |graph, of, wrt| {
            let vectors = &of[1 + wrt.len()..];
            let gradients = grad::gradients(graph, of[0], wrt)?;
            let along: Vec<(Operand, Operand)> = gradients
                .into_iter()
                .zip(vectors)
                .filter_map(|(g, v)| Some((graph.densify(g?), *v)))
                .collect();
            grad::vjp(graph, &along, wrt)
        })
    }

    /// Tensors, then as many others of their types.
    fn pairs<'g>(&'g self, x: &[Tensor<'g>], with: &[Tensor<'g>], what: &str, at: At) -> Vec<Tensor<'g>> {
        if x.len() != with.len() {
            let (found, wanted) = (with.len(), x.len());
            self.error(at, format!("a {what} is needed for each tensor: {found} for {wanted}"), "here");
            return vec![self.poisoned(at)];
        }
        for (x, t) in x.iter().zip(with) {
            if let (Some(a), Some(b)) = (x.ty(), t.ty())
                && a != b
            {
                let (a, b) = (latentc_ir::types::Type::Tensor(a), latentc_ir::types::Type::Tensor(b));
                let message = format!("the {what} of {a} is {b}");
                let diag = Diag::new(message, Span::from(at), "differentiated here");
                self.report(
                    diag.label(Span::from(t.at), format!("this is {b}"))
                        .label(Span::from(x.at), format!("this is {a}"))
                        .help("give a tensor of the type of the value"),
                );
                return vec![self.poisoned(at)];
            }
        }
        x.iter().chain(with).copied().collect()
    }

    /// What a derivative writes for each of `like`: zeros where it gives nothing.
    fn derived<'g, T: Tensors<'g>>(
        &'g self,
        of: &[Tensor<'g>],
        like: T,
        at: At,
        write: impl FnOnce(&mut Graph, &[Operand], &[Operand]) -> Result<Vec<Option<Operand>>, Diag>,
    ) -> T {
        let (Some(of), Some(values)) = (self.values(of, at), self.values(&like.list(), at)) else {
            return self.with_values(&like, None, at);
        };
        let made = {
            let graph = &mut self.state.borrow_mut().graph;
            let before = graph.at.replace(Span::from(at));
            let made = write(graph, &of, &values).map(|found| {
                let each = found.into_iter().zip(&values);
                each.map(|(g, x)| match g {
                    Some(g) => graph.densify(g),
                    None => graph.fill_like(*x, 0.0),
                })
                .collect()
            });
            graph.at = before;
            made
        };
        let made = made.map_err(|diag| self.report(diag.label(Span::from(at), "differentiated here"))).ok();
        self.with_values(&like, made, at)
    }
}
