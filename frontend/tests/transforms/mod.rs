//! Derivatives within programs, gradients by hand, checkpoints: on each device.

mod checkpoint;
mod higher;
mod marks;
mod mixed;
mod vmap;

use crate::common::{Machine, Outputs, devices};
use latentc::Array;
use latentc::prelude::*;

/// Row-major values without a pattern, around 0.
fn some(shape: &[usize], a: usize) -> Array {
    let n = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..n).map(|j| ((7 * j + 3 * a) % 11) as f32 / 8.0 - 0.6).collect();
    Array::from_slice(shape, &values)
}

/// The outputs of the first run on each device.
fn outputs(program: &Program, given: &[(&str, Array)]) -> Vec<Outputs> {
    let run = |device| {
        let mut m = Machine::new(program, 3, device);
        given.iter().for_each(|(name, value)| m.set(name, value.clone()));
        m.run()
    };
    devices().into_iter().map(run).collect()
}
