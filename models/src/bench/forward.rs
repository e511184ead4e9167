//! Workloads that are one function of drawn numbers.

use super::Prepared;
use crate::common::run::ModelError;
use latentc::philox::Stream;
use latentc::prelude::*;
use latentc::{Options, Store};

/// A function of some tensors.
pub(super) type Function = for<'g> fn(&'g Scope, &[Tensor<'g>]) -> Tensor<'g>;

/// `f` of f32 inputs of these shapes, drawn from the normal distribution.
pub(super) fn forward(options: &Options, shapes: &[&[usize]], f: Function) -> Result<Prepared, ModelError> {
    let name = |i: usize| format!("x{i}");
    let program = program("forward", |g| {
        let inputs: Vec<Tensor> =
            shapes.iter().enumerate().map(|(i, s)| g.input(&name(i), DType::F32, *s)).collect();
        g.output("y", f(g, &inputs));
    })?;
    let mut session = latentc::cpu()?.compile(&program, options)?;
    let mut draw = Stream::new(0, 1, 0);
    for (i, shape) in shapes.iter().enumerate() {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw.normal() as f32).collect();
        session.set(&name(i), shape, &values)?;
    }
    let mut store = Store::new();
    Ok(Prepared { session, run: Box::new(move |session| Ok(session.run(&mut store)?)) })
}
