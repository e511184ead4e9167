//! Random draws that tensors decide: of their probabilities and weights.

use super::Tensor;
use crate::dims::{At, DimLike};
use latentc_ir::compose::random::Source;
use latentc_ir::graph::{Graph, Operand};
use std::panic::Location;

/// Draws are new at every run and at every call, and the same for the same seed. They have no derivative.
impl<'g> Tensor<'g> {
    /// Truth values that are true with these probabilities, f32 or f64.
    #[track_caller]
    pub fn bernoulli(self) -> Tensor<'g> {
        self.drawn(Location::caller(), Graph::draw_bernoulli)
    }

    /// A class for each row of these logits `[.., classes]`, logarithms of weights that need not add up to 1: i32 `[..]`.
    #[track_caller]
    pub fn categorical(self) -> Tensor<'g> {
        self.drawn(Location::caller(), Graph::draw_categorical)
    }

    /// `count` classes for each row of these logits `[.., classes]`, each as often as it is drawn: i32 `[.., count]`.
    #[track_caller]
    pub fn categoricals(self, count: impl DimLike) -> Tensor<'g> {
        let at = Location::caller();
        let Some(count) = count.resolve(self.scope, at) else { return self.scope.poisoned(at) };
        self.drawn(at, |g, from, x| g.draw_categoricals(from, x, &count))
    }

    /// `k` different classes for each row of these logits `[.., classes]`, drawn one after the other from what is left:
    /// i32 `[.., k]`. Classes of weight 0, whose logit is minus infinity, come last.
    #[track_caller]
    pub fn sample_without_replacement(self, k: impl DimLike) -> Tensor<'g> {
        let at = Location::caller();
        let Some(k) = k.resolve(self.scope, at) else { return self.scope.poisoned(at) };
        self.drawn(at, |g, from, x| g.draw_without_replacement(from, x, &k))
    }

    fn drawn(
        self,
        at: At,
        make: impl FnOnce(&mut Graph, Source, Operand) -> Result<Operand, String>,
    ) -> Tensor<'g> {
        if self.value.is_none() {
            return self;
        }
        let Some(([seed, step], stream)) = self.scope.draw(at) else { return self.scope.poisoned(at) };
        self.scope.composed(&[self, seed, step], at, |g, o| {
            make(g, Source { seed: o[1], step: o[2], stream }, o[0])
        })
    }
}
