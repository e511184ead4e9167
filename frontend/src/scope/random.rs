//! Random draws of a run.

use super::{First, Scope, StateSpec};
use crate::dims::{At, DimLike, ShapeLike};
use crate::tensor::Tensor;
use latentc_ir::compose::random::Source;
use latentc_ir::dim::Dim as Size;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::{Graph, InputKind, Operand};
use latentc_ir::ops::random::Random;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::Type;
use std::panic::Location;

/// State input: the seed of every random draw of a program, an i64 scalar.
pub const RNG_SEED: &str = "rng.seed";
/// State input: how many runs there have been, an i64 scalar; draws differ from run to run by it.
pub const RNG_STEP: &str = "rng.step";

impl Scope {
    /// Seed and step of the random draws, and the stream of a new one.
    pub(crate) fn draw<'g>(&'g self, at: At) -> Option<([Tensor<'g>; 2], u32)> {
        let known = self.state.borrow().rng;
        let (seed, step) = match known {
            Some(found) => found,
            None => {
                let declare = |name: &str, first: First| {
                    let value = self.declare(name, InputKind::State, Type::scalar(DType::I64), at)?;
                    let spec = StateSpec { name: name.to_owned(), dtype: DType::I64, shape: vec![], first };
                    self.state.borrow_mut().states.push(spec);
                    Some(value)
                };
                let seed = declare(RNG_SEED, First::Seed)?;
                let step = declare(RNG_STEP, First::Constant(Literal::int(DType::I64, 0)))?;
                let state = &mut *self.state.borrow_mut();
                let one = state.graph.fill(Literal::int(DType::I64, 1), []);
                let next = state.graph.map(ScalarOp::Add, &[step, one]);
                state.graph.updates.push((RNG_STEP.to_owned(), next));
                state.rng = Some((seed, step));
                (seed, step)
            }
        };
        let stream = self.next_stream();
        Some(([seed, step].map(|o| Tensor { scope: self, value: Some(o), at }), stream))
    }

    /// The stream of a new draw.
    pub(crate) fn next_stream(&self) -> u32 {
        let state = &mut *self.state.borrow_mut();
        state.draws += 1;
        state.draws - 1
    }

    /// Random numbers in `[0, 1)`, f32, multiples of 2^-24: different at every element, every run and every
    /// call, the same for the same seed.
    #[track_caller]
    pub fn uniform(&self, shape: impl ShapeLike) -> Tensor<'_> {
        let at = Location::caller();
        let Some(shape) = shape.resolve(self, at) else { return self.poisoned(at) };
        let Some(([seed, step], stream)) = self.draw(at) else { return self.poisoned(at) };
        let bits = self.emit(Random { stream, shape }, &[seed, step], at);
        // The top 24 bits, exact in f32.
        let top = bits.apply(ScalarOp::Div, 256, at);
        top.cast_at(DType::F32, at).apply(ScalarOp::Mul, 1.0 / 16_777_216.0, at)
    }

    /// Numbers of the normal distribution of mean 0 and deviation 1, f32; draws as [`Scope::uniform`] has them.
    #[track_caller]
    pub fn normal(&self, shape: impl ShapeLike) -> Tensor<'_> {
        self.drawn(shape, Location::caller(), Graph::draw_normal)
    }

    /// Numbers of the normal distribution of mean 0 and deviation 1 where it lies between two bounds, which may be
    /// infinite, f32.
    #[track_caller]
    pub fn truncated_normal(&self, shape: impl ShapeLike, low: f64, high: f64) -> Tensor<'_> {
        self.drawn(shape, Location::caller(), |g, from, shape| {
            g.draw_truncated_normal(from, shape, low, high)
        })
    }

    /// Numbers of the exponential distribution of rate 1, f32: positive, up to 22.9.
    #[track_caller]
    pub fn exponential(&self, shape: impl ShapeLike) -> Tensor<'_> {
        self.drawn(shape, Location::caller(), Graph::draw_exponential)
    }

    /// Numbers of the standard Gumbel distribution, f32: the greatest of logits with such noise is of a class with its
    /// probability. [`Tensor::categorical`] does both.
    #[track_caller]
    pub fn gumbel(&self, shape: impl ShapeLike) -> Tensor<'_> {
        self.drawn(shape, Location::caller(), Graph::draw_gumbel)
    }

    /// The positions below `n` in random order, every order alike: i32 `[n]`.
    #[track_caller]
    pub fn permutation(&self, n: impl DimLike) -> Tensor<'_> {
        let at = Location::caller();
        let Some(n) = n.resolve(self, at) else { return self.poisoned(at) };
        self.source(at, |g, from| g.draw_positions(from, &n, &n))
    }

    /// `k` of the positions below `n`, each at most once, every choice alike: i32 `[k]`.
    #[track_caller]
    pub fn sample(&self, n: impl DimLike, k: impl DimLike) -> Tensor<'_> {
        let at = Location::caller();
        let (Some(n), Some(k)) = (n.resolve(self, at), k.resolve(self, at)) else { return self.poisoned(at) };
        self.source(at, |g, from| g.draw_positions(from, &n, &k))
    }

    /// A draw in f64, rounded to f32.
    fn drawn(
        &self,
        shape: impl ShapeLike,
        at: At,
        make: impl FnOnce(&mut Graph, Source, &[Size]) -> Result<Operand, String>,
    ) -> Tensor<'_> {
        let Some(shape) = shape.resolve(self, at) else { return self.poisoned(at) };
        self.source(at, |g, from| make(g, from, &shape)).cast_at(DType::F32, at)
    }

    fn source(&self, at: At, make: impl FnOnce(&mut Graph, Source) -> Result<Operand, String>) -> Tensor<'_> {
        let Some(([seed, step], stream)) = self.draw(at) else { return self.poisoned(at) };
        self.composed(&[seed, step], at, |g, o| make(g, Source { seed: o[0], step: o[1], stream }))
    }
}
