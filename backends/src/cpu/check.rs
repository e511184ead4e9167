//! A plan against itself: what compiled code takes on trust is checked here once.

use super::sizes::is_free;
use latentc_ir::array::ALIGN;
use latentc_ir::dtype::DType;
use latentc_ir::graph::InputKind;
use latentc_ir::nest::{Kernel, Space, Split};
use latentc_ir::plan::{BufferDecl, Control, ControlKind, Launch, Place, Program};
use latentc_ir::types::{Type, product};

/// Checks that positions exist, types agree, launches write only what they may and nothing that they also
/// see under another parameter. Lengths depend on the dimensions and are checked when these are bound.
pub(crate) fn check(program: &Program) -> Result<(), String> {
    for b in &program.buffers {
        check_buffer(program, b).map_err(|what| format!("buffer `{}`: {what}", b.name))?;
    }
    for (i, c) in program.controls.iter().enumerate() {
        check_control(program, c).map_err(|what| format!("range {i}, of `{}`: {what}", c.at.op))?;
    }
    for (i, launch) in program.launches.iter().enumerate() {
        let Some(kernel) = program.kernels.get(launch.kernel) else {
            return Err(format!("launch {i} is of kernel {}, which is not there", launch.kernel));
        };
        check_launch(program, i, launch, kernel)
            .map_err(|what| format!("launch {i} of kernel `{}`: {what}", kernel.name))?;
    }
    Ok(())
}

fn check_buffer(program: &Program, b: &BufferDecl) -> Result<(), String> {
    let input = |i: usize| program.inputs.get(i).ok_or(format!("input {i} is not there"));
    let dtype = match &b.place {
        Place::Input(i) => match &input(*i)?.ty {
            Type::Tensor(t) => t.dtype,
            other => return Err(format!("a dense input is needed, input {i} is {other}")),
        },
        Place::Csr { input: i, .. } => match &input(*i)?.ty {
            Type::Csr(_) => DType::I32,
            other => return Err(format!("a pattern is needed, input {i} is {other}")),
        },
        Place::Output(i) => program.outputs.get(*i).ok_or(format!("output {i} is not there"))?.dtype,
        Place::Arena { offset } if offset % ALIGN != 0 => {
            return Err(format!("offset {offset} is no multiple of {ALIGN}"));
        }
        Place::Arena { .. } => b.dtype,
        Place::Step { of, control, .. } => {
            let looped = program.controls.get(*control).map(|c| &c.kind);
            if !matches!(looped, Some(ControlKind::Loop { .. } | ControlKind::While { .. })) {
                return Err(format!("range {control} is no loop"));
            }
            let whole = program.whole(*of);
            match program.buffers.get(whole) {
                None => return Err(format!("buffer {of} is not there")),
                Some(w) if matches!(w.place, Place::Step { .. }) => {
                    return Err("it is a part of itself".to_owned());
                }
                Some(w) => w.dtype,
            }
        }
    };
    if dtype != b.dtype {
        return Err(format!("its elements are {}, those at its place {dtype}", b.dtype));
    }
    Ok(())
}

/// A part of another buffer is where the turns of the loops around a launch say.
fn within(program: &Program, buffer: usize, launch: usize) -> Result<(), String> {
    let mut part = buffer;
    while let Place::Step { of, control, .. } = program.buffers[part].place {
        let around = &program.controls[control];
        if !(around.first..around.end).contains(&launch) {
            let name = &program.buffers[buffer].name;
            return Err(format!("`{name}` is a part of a buffer in a loop that this is not in"));
        }
        part = of;
    }
    Ok(())
}

/// A range lies within the launches and within the range around it, and what it reads is a truth value in memory.
fn check_control(program: &Program, c: &Control) -> Result<(), String> {
    let (first, end) = (c.first, c.end);
    let second = match c.kind {
        ControlKind::Loop { .. } => first,
        ControlKind::While { body, .. } => body,
        ControlKind::Branch { otherwise, .. } => otherwise,
    };
    if !(first..=end).contains(&second) || end > program.launches.len() {
        return Err(format!("its launches are {first}..{second}..{end} of {}", program.launches.len()));
    }
    if let Some(at) = c.reads() {
        let b = program.buffers.get(at).ok_or(format!("buffer {at} is not there"))?;
        if b.dtype != DType::Bool || !b.shape.is_empty() {
            return Err(format!("`{}` is no truth value", b.name));
        }
        if matches!(b.place, Place::Csr { .. }) {
            return Err(format!("`{}` is a pattern", b.name));
        }
        within(program, at, c.first)?;
    }
    Ok(())
}

fn check_launch(program: &Program, number: usize, launch: &Launch, kernel: &Kernel) -> Result<(), String> {
    let params: Vec<_> = kernel.params().collect();
    let count = |what: &str, needed: usize, given: usize| match needed == given {
        true => Ok(()),
        false => Err(format!("{given} {what}s are given, {needed} needed")),
    };
    count("buffer", params.len(), launch.buffers.len())?;
    count("dim", kernel.dims.len(), launch.dims.len())?;
    if let Some(d) = launch.dims.iter().find(|d| **d >= program.dims.len()) {
        return Err(format!("dim {d} is not there"));
    }
    for ((id, param), &at) in params.iter().zip(&launch.buffers) {
        let buffer = program.buffers.get(at).ok_or(format!("buffer {at} is not there"))?;
        if buffer.dtype != param.dtype {
            let (given, needed) = (buffer.dtype, param.dtype);
            return Err(format!("`{}` is {given}, parameter `{}` is {needed}", buffer.name, param.name));
        }
        within(program, at, number)?;
        if !is_free(&param.len) {
            return Err(format!("the length of parameter `{}` is not known before it runs", param.name));
        }
        if param.space == Space::In {
            continue;
        }
        let writable = match &program.buffers[program.whole(at)].place {
            Place::Input(i) => program.inputs[*i].kind != InputKind::Data,
            Place::Csr { .. } => false,
            Place::Output(_) | Place::Arena { .. } | Place::Step { .. } => true,
        };
        if !writable {
            return Err(format!("it writes `{}`, which is given data", buffer.name));
        }
        for ((other, p), &o) in params.iter().zip(&launch.buffers) {
            // Of a buffer that is used in part, all of it counts.
            let whole = |b: usize| &program.buffers[program.whole(b)];
            if other != id && o < program.buffers.len() && overlap(whole(at), whole(o)) {
                return Err(format!(
                    "parameter `{}`, which it writes, shares memory with parameter `{}`",
                    param.name, p.name
                ));
            }
        }
    }
    let Some((lo, hi, step, split)) = kernel.parallel() else { return Ok(()) };
    if step <= 0 || !is_free(lo) || !is_free(hi) {
        return Err("the bounds of its parallel loop are not known before it runs".to_owned());
    }
    if let Split::ByPrefix { prefix, .. } = split
        && params.get(prefix.at()).is_none_or(|(_, p)| p.dtype != DType::I32 || p.space != Space::In)
    {
        return Err("its loop is divided by a buffer that is no i32 parameter which it only reads".to_owned());
    }
    Ok(())
}

/// Whether two buffers share memory, at their greatest sizes.
fn overlap(a: &BufferDecl, b: &BufferDecl) -> bool {
    match (&a.place, &b.place) {
        (Place::Arena { offset: i }, Place::Arena { offset: j }) => {
            let end = |b: &BufferDecl, from: usize| {
                let bytes = product(&b.shape).upper().saturating_mul(b.dtype.size() as i64).max(0);
                from.saturating_add(bytes as usize)
            };
            *i < end(b, *j) && *j < end(a, *i)
        }
        (x, y) => x == y,
    }
}
