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
    let program = program("forward", |g| g.output("y", f(g, &inputs(g, shapes))))?;
    prepared(&program, options, shapes)
}

/// The same, and the gradients of the sum of its elements times given numbers with respect to every input.
pub(super) fn forward_backward(
    options: &Options,
    shapes: &[&[usize]],
    result: &[usize],
    f: Function,
) -> Result<Prepared, ModelError> {
    let all: Vec<&[usize]> = shapes.iter().copied().chain([result]).collect();
    let program = program("forward_backward", |g| {
        let mut given = inputs(g, &all);
        let cotangent = given.split_off(shapes.len())[0];
        let y = f(g, &given);
        for (i, gradient) in g.vjp(y, cotangent, given).into_iter().enumerate() {
            g.output(&format!("d{i}"), gradient);
        }
        g.output("y", y);
    })?;
    prepared(&program, options, &all)
}

fn inputs<'g>(g: &'g Scope, shapes: &[&[usize]]) -> Vec<Tensor<'g>> {
    shapes.iter().enumerate().map(|(i, s)| g.input(&name(i), DType::F32, *s)).collect()
}

fn name(i: usize) -> String {
    format!("x{i}")
}

fn prepared(program: &Program, options: &Options, shapes: &[&[usize]]) -> Result<Prepared, ModelError> {
    let mut session = latentc::cpu()?.compile(program, options)?;
    let mut draw = Stream::new(0, 1, 0);
    for (i, shape) in shapes.iter().enumerate() {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw.normal() as f32).collect();
        session.set(&name(i), shape, &values)?;
    }
    let mut store = Store::new();
    Ok(Prepared { session, run: Box::new(move |session| Ok(session.run(&mut store)?)) })
}
