//! Random draws of a run.

use super::{First, Scope, StateSpec};
use crate::dims::{At, ShapeLike};
use crate::tensor::Tensor;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::InputKind;
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
}
