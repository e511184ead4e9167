//! Lengths at the dimensions of a run: parameters fit their buffers, and buffers their places.

use super::sizes::value;
use crate::inputs::Dims;
use latentc_ir::nest::Kernel;
use latentc_ir::plan::{Control, ControlKind, CsrPart, Place, Program};
use latentc_ir::types::Shape;

/// The number of elements of a shape; `None` where it is negative or overflows.
pub(super) fn extent(shape: &Shape, dims: &Dims) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, d| n.checked_mul(usize::try_from(dims.eval(d)?).ok()?))
}

/// Checks, with these values of the program's dims, that each parameter's length fits its buffer, and the buffer
/// its place.
pub(crate) fn check_lengths(program: &Program, values: &[i64]) -> Result<(), String> {
    let dims = Dims::fixed(program.dims.clone(), values);
    for launch in &program.launches {
        let kernel = &program.kernels[launch.kernel];
        let values: Vec<i64> = launch.dims.iter().map(|d| values[*d]).collect();
        lengths(program, kernel, &launch.buffers, &values, &dims)
            .map_err(|what| format!("launch of `{}`: {what}", kernel.name))?;
    }
    Ok(())
}

/// Checks that each parameter's length fits its buffer, and the buffer its place.
pub(super) fn lengths(
    program: &Program,
    kernel: &Kernel,
    buffers: &[usize],
    values: &[i64],
    dims: &Dims,
) -> Result<(), String> {
    for ((_, param), &at) in kernel.params().zip(buffers) {
        let buffer = &program.buffers[at];
        let len = value(&param.len, values).and_then(|n| usize::try_from(n).ok());
        let held = extent(&buffer.shape, dims);
        if len.is_none() || len > held {
            let (len, held) = (text(len), text(held));
            return Err(format!(
                "parameter `{}` has {len} elements, its buffer `{}` {held}",
                param.name, buffer.name
            ));
        }
        let room = room(program, at, dims);
        if room < held {
            return Err(format!(
                "buffer `{}` has {} elements, its place {}",
                buffer.name,
                text(held),
                text(room)
            ));
        }
    }
    Ok(())
}

/// The turns of a loop, at most; one for a branch.
pub(super) fn turns(c: &Control, dims: &Dims) -> Option<usize> {
    match &c.kind {
        ControlKind::Loop { trips } | ControlKind::While { limit: trips, .. } => {
            dims.eval(trips).and_then(|n| usize::try_from(n).ok())
        }
        ControlKind::Branch { .. } => Some(1),
    }
}

/// The elements that the place of a buffer has room for.
pub(super) fn room(program: &Program, at: usize, dims: &Dims) -> Option<usize> {
    let buffer = &program.buffers[at];
    match &buffer.place {
        Place::Input(i) => match &program.inputs[*i].ty {
            latentc_ir::types::Type::Tensor(t) => extent(&t.shape, dims),
            _ => None,
        },
        Place::Csr { input, part } => program.inputs[*input].ty.as_csr().and_then(|c| {
            let of = |d| dims.eval(d).and_then(|n| usize::try_from(n).ok());
            match part {
                CsrPart::Indptr => of(&c.rows).map(|n| n + 1),
                CsrPart::TwinIndptr => of(&c.cols).map(|n| n + 1),
                CsrPart::Indices | CsrPart::TwinIndices | CsrPart::TwinEdges => of(&c.nnz),
            }
        }),
        Place::Output(o) => extent(&program.outputs[*o].shape, dims),
        Place::Arena { offset } => {
            program.arena_bytes.checked_sub(*offset).map(|left| left / buffer.dtype.size())
        }
        Place::Step { of, control, .. } => {
            let whole = extent(&program.buffers[*of].shape, dims)?;
            match turns(&program.controls[*control], dims)? {
                // It is never looked at.
                0 => Some(usize::MAX),
                _ if room(program, *of, dims) < Some(whole) => None,
                turns => Some(whole / turns),
            }
        }
    }
}

fn text(count: Option<usize>) -> String {
    count.map_or("no number of".to_owned(), |n| n.to_string())
}
