//! Functions over a batch.

use super::Tensors;
use crate::scope::Scope;
use crate::tensor::Tensor;
use latentc_ir::batch::batch;
use latentc_ir::diag::Span;
use latentc_ir::types::Type;
use std::panic::Location;

impl Scope {
    /// A function of slices along the first axis of tensors, for all slices at once: what it gives has that axis in front.
    /// What else it uses is the same for every slice. It is called once, with one slice; every op on the way takes the
    /// batch as a whole, and one that cannot is a mistake with its name.
    ///
    /// Random draws in the function are those of one slice, so the same for each.
    ///
    /// The gradients of each sample by itself, as for clipping them one by one (Abadi and others 2016):
    ///
    /// ```
    /// use latentc::prelude::*;
    ///
    /// program("per_sample", |g| {
    ///     let [x, y] = ["x", "y"].map(|n| g.input(n, DType::F32, [32, 4]));
    ///     let w = g.params().tensor("w", [4, 4], init::xavier_uniform()).get(g);
    ///     let each = g.vmap([x, y], |[x, y]| {
    ///         let found = (w * x).sum(1).tanh();
    ///         g.grad(mse(found, y), w)
    ///     });
    ///     // [32, 4, 4]: no longer than 1, each.
    ///     let length = each.square().sum([1, 2]).sqrt();
    ///     let scale = length.maximum(1.0).recip();
    ///     g.output("clipped", (each * scale.unsqueeze(1).unsqueeze(2)).mean(0));
    /// })?;
    /// # Ok::<(), latentc::Errors>(())
    /// ```
    #[track_caller]
    pub fn vmap<'g, X: Tensors<'g>, Y: Tensors<'g>>(&'g self, over: X, function: impl FnOnce(X) -> Y) -> Y {
        let at = Location::caller();
        let all = over.list();
        let slices: Vec<Tensor<'g>> = all.iter().map(|t| self.slice_of(*t)).collect();
        let made = function(over.replaced(&mut slices.iter().copied()));
        let list = [&slices[..], &all, &made.list()].concat();
        let Some(values) = self.values(&list, at) else { return self.with_values(&made, None, at) };
        let (along, results) = values.split_at(2 * all.len());
        let along: Vec<_> =
            along[..all.len()].iter().copied().zip(along[all.len()..].iter().copied()).collect();
        let written = batch(&mut self.state.borrow_mut().graph, results, &along);
        let written = written.map_err(|diag| self.report(diag.label(Span::from(at), "this batch"))).ok();
        self.with_values(&made, written, at)
    }

    /// What stands for one slice of a tensor.
    fn slice_of<'g>(&'g self, tensor: Tensor<'g>) -> Tensor<'g> {
        let Some(ty) = tensor.ty() else { return self.poisoned(tensor.at) };
        let Some((_, slice)) = ty.shape.split_first() else {
            tensor.fault(tensor.at, "a batch needs a first axis, a number found", "this has no slices");
            return self.poisoned(tensor.at);
        };
        let ty = Type::tensor(ty.dtype, slice.iter().cloned());
        let value = self.state.borrow_mut().graph.placeholder(ty);
        Tensor { value: Some(value), ..tensor }
    }
}
