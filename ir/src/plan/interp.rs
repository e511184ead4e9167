//! The meaning of plans: launches one after the other on plain memory, with everything checked that compiled
//! code takes on trust.
//!
//! Every buffer is a copy of the bytes at its place, so arena places that overlap, parameters that share
//! memory and elements that no launch has written are found here and nowhere else; positions are checked by
//! the [nest interpreter](crate::nest::interp).

use super::{BufferDecl, ControlKind, CsrPart, Place, Program, Runner, walk};
use crate::array::{Array, CsrArray, Value};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::InputKind;
use crate::interp::{Dims, Evaluation, InterpError, bind};
use crate::nest::interp::{NestError, Written, run_noting};
use crate::nest::{Buffer, Space};
use crate::types::Shape;
use std::collections::BTreeMap;

/// Why a program could not be run to its end.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Inputs that do not fit their declarations.
    #[error(transparent)]
    Inputs(#[from] InterpError),
    /// An id beyond the bound that the program declares.
    #[error("input `{input}` holds {found} at position {at}; its elements must lie in 0..{bound}")]
    Bound {
        /// The input.
        input: String,
        /// The first such position.
        at: usize,
        /// What is there.
        found: i64,
        /// The bound in this run.
        bound: i64,
    },
    /// A program that contradicts itself.
    #[error("launch {launch}, kernel `{kernel}`: {what}")]
    Launch {
        /// Its position.
        launch: usize,
        /// Its kernel.
        kernel: String,
        /// What is wrong.
        what: String,
    },
    /// A kernel that breaks its rules on this data.
    #[error("launch {launch}: {error}")]
    Kernel {
        /// Its position.
        launch: usize,
        /// What is wrong.
        error: NestError,
    },
    /// A truth value that decides about launches and is not there.
    #[error("the condition `{buffer}`: {what}")]
    Condition {
        /// Its buffer.
        buffer: String,
        /// What is wrong.
        what: String,
    },
    /// An output that is not whole when the last launch is done.
    #[error("output `{output}`: element {at} is never written")]
    Unwritten {
        /// Its name.
        output: String,
        /// The first such element.
        at: usize,
    },
}

/// Runs a program on named inputs: all of them must be given, parameters and state too. The updates of the
/// result are everything that is kept, changed or not, in the order of the inputs.
///
/// # Errors
/// Where inputs do not fit, or a launch does what the rules of plans and kernels forbid.
pub fn run(program: &Program, inputs: &dyn Fn(&str) -> Option<Value>) -> Result<Evaluation, PlanError> {
    let mut given = vec![];
    for input in &program.inputs {
        given.push(inputs(&input.name).ok_or_else(|| InterpError::Missing {
            input: input.name.clone(),
            expected: input.ty.to_string(),
        })?);
    }
    let named = program.inputs.iter().zip(&given);
    let dims = bind(named.clone().map(|(input, value)| (input.name.as_str(), &input.ty, value)))?;
    for (input, value) in named {
        if let (Some(bound), Value::Tensor(a)) = (&input.bound, value) {
            let bound = size(bound, &dims).unwrap_or(0);
            let outside = |at: &usize| !(0..bound).contains(&a.get(*at).as_i64());
            if let Some(at) = (0..a.len()).find(outside) {
                let found = a.get(at).as_i64();
                return Err(PlanError::Bound { input: input.name.clone(), at, found, bound });
            }
        }
    }
    let outputs = program.outputs.iter().map(|o| Part::empty(o.dtype, &sizes(&o.shape, &dims))).collect();
    let turns = vec![0; program.controls.len()];
    let mut memory = Memory { program, dims: &dims, inputs: given, outputs, arena: BTreeMap::new(), turns };
    walk(&program.controls, program.launches.len(), &mut memory)?;
    let Memory { inputs: kept, outputs, .. } = memory;
    let mut results = vec![];
    for (decl, part) in program.outputs.iter().zip(outputs) {
        if let Some(at) = part.written.iter().position(|w| !w) {
            return Err(PlanError::Unwritten { output: decl.name.clone(), at });
        }
        results.push((decl.name.clone(), Value::Tensor(part.array)));
    }
    let kept = program.inputs.iter().zip(kept).filter(|(input, _)| input.kind != InputKind::Data);
    let updates = kept.map(|(input, value)| (input.name.clone(), value)).collect();
    Ok(Evaluation { outputs: results, updates, dims })
}

/// A buffer, and which of its elements have been written.
struct Part {
    array: Array,
    written: Vec<bool>,
}

impl Part {
    fn empty(dtype: DType, shape: &[usize]) -> Part {
        let array = Array::zeros(dtype, shape);
        Part { written: vec![false; array.len()], array }
    }

    /// Forgets the elements that lie under those that have been written of a buffer of elements of `size`
    /// bytes that starts at the byte `start`.
    fn lose(&mut self, decl: &BufferDecl, start: usize, size: usize, written: &[bool]) {
        let Place::Arena { offset } = decl.place else { return };
        let own = decl.dtype.size();
        for (i, w) in self.written.iter_mut().enumerate() {
            let (lo, hi) = (offset + i * own, offset + (i + 1) * own);
            if hi > start {
                let elements = lo.saturating_sub(start) / size..(hi - start).div_ceil(size);
                *w &= !elements.into_iter().any(|e| written.get(e).copied().unwrap_or(false));
            }
        }
    }
}

struct Memory<'p> {
    program: &'p Program,
    dims: &'p Dims,
    inputs: Vec<Value>,
    outputs: Vec<Part>,
    /// What each buffer in the arena holds: an element is lost when another is written over it.
    arena: BTreeMap<usize, Part>,
    /// The present turn of each loop.
    turns: Vec<usize>,
}

impl Runner for Memory<'_> {
    type Error = PlanError;

    fn launch(&mut self, launch: usize) -> Result<(), PlanError> {
        self.run(launch)
    }

    fn turn(&mut self, control: usize, turn: usize) -> Result<(), PlanError> {
        self.turns[control] = turn;
        Ok(())
    }

    fn turns(&mut self, control: usize) -> usize {
        let trips = match &self.program.controls[control].kind {
            ControlKind::Loop { trips } | ControlKind::While { limit: trips, .. } => trips,
            ControlKind::Branch { .. } => return 1,
        };
        size(trips, self.dims).and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
    }

    fn holds(&mut self, buffer: usize) -> Result<bool, PlanError> {
        let wrong =
            |what: String| PlanError::Condition { buffer: self.program.buffers[buffer].name.clone(), what };
        let (array, written) = self.take(buffer).map_err(wrong)?;
        if array.is_empty() || written.is_some_and(|w| !w[0]) {
            return Err(wrong("it has not been written".to_owned()));
        }
        Ok(array.get(0).as_i64() != 0)
    }
}

impl Memory<'_> {
    fn run(&mut self, at: usize) -> Result<(), PlanError> {
        let program = self.program;
        let launch = &program.launches[at];
        let kernel = &program.kernels[launch.kernel];
        let wrong = |what: String| PlanError::Launch { launch: at, kernel: kernel.name.clone(), what };
        let value = |d: &usize| {
            let name = &program.dims.get(*d)?.name;
            self.dims.get(name).copied()
        };
        let Some(dims) = launch.dims.iter().map(value).collect::<Option<Vec<i64>>>() else {
            return Err(wrong("a dim that no input gives a value".to_owned()));
        };
        let params: Vec<&Buffer> = kernel.params().map(|(_, b)| b).collect();
        if params.len() != launch.buffers.len() {
            return Err(wrong(format!("{} buffers for {} parameters", launch.buffers.len(), params.len())));
        }
        self.no_sharing(&params, &launch.buffers).map_err(wrong)?;
        let (mut arrays, mut notes) = (vec![], vec![]);
        for &buffer in &launch.buffers {
            let (array, written) = self.take(buffer).map_err(wrong)?;
            arrays.push(array);
            notes.push(written);
        }
        run_noting(kernel, &mut arrays, &dims, None, &mut notes)
            .map_err(|error| PlanError::Kernel { launch: at, error })?;
        for (((param, &buffer), array), note) in params.iter().zip(&launch.buffers).zip(arrays).zip(notes) {
            if param.space != Space::In {
                self.put(buffer, array, note).map_err(wrong)?;
            }
        }
        Ok(())
    }

    /// A parameter that is written shares no memory with another.
    fn no_sharing(&self, params: &[&Buffer], buffers: &[usize]) -> Result<(), String> {
        let decl = |at: usize| &self.program.buffers[at];
        for (i, a) in buffers.iter().enumerate().filter(|(i, _)| params[*i].space != Space::In) {
            for (j, b) in buffers.iter().enumerate().filter(|(j, _)| *j != i) {
                let x = decl(*a);
                // Of a buffer that is used in part, all of it counts.
                let (p, q) = (decl(self.program.whole(*a)), decl(self.program.whole(*b)));
                let shared = match (&p.place, &q.place) {
                    (Place::Arena { .. }, Place::Arena { .. }) => {
                        let (p, q) = (self.range(p)?, self.range(q)?);
                        p.start < q.end && q.start < p.end
                    }
                    (p, q) => p == q,
                };
                if shared {
                    return Err(format!(
                        "`{}` is written and shares memory with `{}`",
                        x.name, params[j].name
                    ));
                }
            }
        }
        Ok(())
    }

    /// The bytes of a buffer in the arena.
    fn range(&self, decl: &BufferDecl) -> Result<std::ops::Range<usize>, String> {
        let Place::Arena { offset } = decl.place else { return Ok(0..0) };
        let bytes = sizes(&decl.shape, self.dims).iter().product::<usize>() * decl.dtype.size();
        match offset.checked_add(bytes) {
            Some(end) if end <= self.program.arena_bytes => Ok(offset..end),
            _ => {
                let bytes = self.program.arena_bytes;
                Err(format!("`{}` ends beyond the arena of {bytes} bytes", decl.name))
            }
        }
    }

    /// The elements that a buffer is, at the present turn, of one of `len` elements.
    fn elements(&self, at: usize, len: usize) -> Result<std::ops::Range<usize>, String> {
        let decl = &self.program.buffers[at];
        let Place::Step { control, reverse, .. } = decl.place else { return Ok(0..len) };
        let own = sizes(&decl.shape, self.dims).iter().product::<usize>();
        let turn = *self.turns.get(control).ok_or_else(|| format!("`{}` is of no loop", decl.name))?;
        let before = if reverse { len.checked_sub((turn + 1) * own) } else { Some(turn * own) };
        match before {
            Some(start) if start + own <= len => Ok(start..start + own),
            _ => Err(format!("`{}` lies beyond the {len} elements that it is a part of", decl.name)),
        }
    }

    /// A copy of a buffer, and which of its elements hold something of this buffer.
    fn take(&self, at: usize) -> Result<(Array, Written), String> {
        let decl = &self.program.buffers[at];
        let (array, written) = match decl.place {
            Place::Input(i) => match &self.inputs[i] {
                Value::Tensor(a) => (a.clone(), None),
                _ => return Err(format!("`{}` is no dense input", decl.name)),
            },
            Place::Csr { input, part } => match &self.inputs[input] {
                Value::Csr(c) => (part_of(c, part), None),
                _ => return Err(format!("`{}` is no pattern", decl.name)),
            },
            Place::Output(o) => (self.outputs[o].array.clone(), Some(self.outputs[o].written.clone())),
            Place::Arena { .. } => {
                self.range(decl)?;
                let fresh;
                let part = match self.arena.get(&at) {
                    Some(part) => part,
                    None => {
                        fresh = Part::empty(decl.dtype, &sizes(&decl.shape, self.dims));
                        &fresh
                    }
                };
                (part.array.clone(), Some(part.written.clone()))
            }
            Place::Step { of, .. } => {
                let (whole, written) = self.take(of)?;
                let elements = self.elements(at, whole.len())?;
                let size = decl.dtype.size();
                let mut array = Array::zeros(decl.dtype, &sizes(&decl.shape, self.dims));
                let bytes = elements.start * size..elements.end * size;
                array.as_bytes_mut().copy_from_slice(&whole.as_bytes()[bytes]);
                (array, written.map(|w| w[elements].to_vec()))
            }
        };
        if array.dtype() != decl.dtype {
            return Err(format!(
                "`{}` is declared as {}, its place holds {}",
                decl.name,
                decl.dtype,
                array.dtype()
            ));
        }
        Ok((array, written))
    }

    /// Puts back what a launch has written.
    fn put(&mut self, at: usize, array: Array, written: Written) -> Result<(), String> {
        let decl = &self.program.buffers[at];
        match decl.place {
            Place::Input(i) if self.program.inputs[i].kind != InputKind::Data => {
                self.inputs[i] = Value::Tensor(array);
            }
            Place::Input(_) | Place::Csr { .. } => {
                return Err(format!("`{}` is given data and is written", decl.name));
            }
            Place::Output(o) => self.outputs[o] = Part { array, written: written.unwrap_or_default() },
            Place::Arena { .. } => {
                let (range, size) = (self.range(decl)?, decl.dtype.size());
                let written = written.unwrap_or_default();
                for (other, part) in self.arena.iter_mut().filter(|(other, _)| **other != at) {
                    part.lose(&self.program.buffers[*other], range.start, size, &written);
                }
                self.arena.insert(at, Part { array, written });
            }
            Place::Step { of, .. } => {
                let (mut whole, mut all) = self.take(of)?;
                let elements = self.elements(at, whole.len())?;
                let size = decl.dtype.size();
                whole.as_bytes_mut()[elements.start * size..elements.end * size]
                    .copy_from_slice(array.as_bytes());
                if let (Some(all), Some(written)) = (&mut all, written) {
                    all[elements].copy_from_slice(&written);
                }
                self.put(of, whole, all)?;
            }
        }
        Ok(())
    }
}

fn size(dim: &Dim, dims: &Dims) -> Option<i64> {
    dim.eval(&|s| dims.get(s).copied())
}

fn sizes(shape: &Shape, dims: &Dims) -> Vec<usize> {
    shape.iter().map(|d| size(d, dims).and_then(|n| usize::try_from(n).ok()).unwrap_or(0)).collect()
}

/// An array of a pattern. The twin of a symmetric one is itself; its edges are made where they are asked for.
fn part_of(csr: &CsrArray, part: CsrPart) -> Array {
    let twin = match &csr.twin {
        Some(twin) => twin.clone(),
        None => Box::new(csr.transposed()),
    };
    let list = match part {
        CsrPart::Indptr => &csr.indptr,
        CsrPart::Indices => &csr.indices,
        CsrPart::TwinIndptr => &twin.indptr,
        CsrPart::TwinIndices => &twin.indices,
        CsrPart::TwinEdges => &twin.edges,
    };
    Array::from_slice(&[list.len()], list)
}
