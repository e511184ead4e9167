//! Programs run launch by launch in the nest's interpreter: what compiled programs are checked against below
//! the graph, and what shows a wrong position or a shared element by name.

use super::{CsrPart, Place, Program};
use crate::array::{Array, CsrArray, Value};
use crate::interp::{Dims, InterpError, bind};
use crate::nest::Space;
use crate::nest::interp::{NestError, run as run_kernel};
use std::sync::Arc;

/// What a run of a program gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// The outputs, in the order of the program.
    pub outputs: Vec<(String, Array)>,
    /// What is in the dense inputs afterwards, in the order of the program.
    pub inputs: Vec<(String, Array)>,
    /// The sizes of the run.
    pub dims: Dims,
}

/// Why a program could not be run to its end.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// An input is missing or does not fit.
    #[error(transparent)]
    Input(#[from] InterpError),
    /// A launch stopped.
    #[error("launch {launch}: {error}")]
    Launch {
        /// Its position.
        launch: usize,
        /// Why.
        error: NestError,
    },
    /// A program that names what it does not have, or whose launch writes what it also names otherwise.
    #[error("{what}")]
    Malformed {
        /// What is wrong.
        what: String,
    },
}

fn malformed(what: impl Into<String>) -> PlanError {
    PlanError::Malformed { what: what.into() }
}

/// Runs a program on named inputs. The arena is filled with bytes that are no sensible numbers.
///
/// # Errors
/// Where inputs do not fit, a kernel does what kernels must not, or the program is not well-formed.
pub fn run(program: &Program, inputs: &dyn Fn(&str) -> Option<Value>) -> Result<Ran, PlanError> {
    let mut given = vec![];
    for i in &program.inputs {
        let missing = || InterpError::Missing { input: i.name.clone(), expected: i.ty.to_string() };
        given.push(inputs(&i.name).ok_or_else(missing)?);
    }
    let declared = program.inputs.iter().map(|i| (i.name.as_str(), &i.ty));
    let dims = bind(declared.zip(&given).map(|((name, ty), value)| (name, ty, value)))?;
    let mut memory = Memory { program, dims: &dims, dense: vec![], sparse: vec![], outputs: vec![], arena: vec![] };
    memory.arena = vec![0xcd; program.arena_bytes];
    for value in given {
        let (dense, sparse) = match value {
            Value::Tensor(a) => (Some(a), None),
            Value::Csr(c) => (None, Some(c)),
            Value::RowSparse { .. } => return Err(malformed("an input of rows is no buffer of a program")),
        };
        memory.dense.push(dense);
        memory.sparse.push(sparse);
    }
    for o in &program.outputs {
        let shape = memory.shape(&o.shape)?;
        memory.outputs.push(Array::zeros(o.dtype, &shape));
    }
    for at in 0..program.launches.len() {
        memory.launch(at)?;
    }
    let names = program.outputs.iter().map(|o| o.name.clone());
    let outputs = names.zip(std::mem::take(&mut memory.outputs)).collect();
    let names = program.inputs.iter().map(|i| i.name.clone());
    let dense = names.zip(std::mem::take(&mut memory.dense));
    let inputs = dense.filter_map(|(name, a)| Some((name, a?))).collect();
    Ok(Ran { outputs, inputs, dims })
}

struct Memory<'p> {
    program: &'p Program,
    dims: &'p Dims,
    /// By input.
    dense: Vec<Option<Array>>,
    sparse: Vec<Option<Arc<CsrArray>>>,
    outputs: Vec<Array>,
    arena: Vec<u8>,
}

impl Memory<'_> {
    fn size(&self, dim: &crate::dim::Dim) -> Result<usize, PlanError> {
        let value = dim.eval(&|s| self.dims.get(s).copied()).and_then(|n| usize::try_from(n).ok());
        value.ok_or_else(|| malformed(format!("the size {dim} has no value in this run")))
    }

    fn shape(&self, shape: &[crate::dim::Dim]) -> Result<Vec<usize>, PlanError> {
        shape.iter().map(|d| self.size(d)).collect()
    }

    /// The bytes of a buffer that is in the arena.
    fn range(&self, buffer: usize) -> Result<Option<std::ops::Range<usize>>, PlanError> {
        let b = &self.program.buffers[buffer];
        let Place::Arena { offset } = b.place else { return Ok(None) };
        let bytes = self.shape(&b.shape)?.iter().product::<usize>() * b.dtype.size();
        if offset + bytes > self.arena.len() {
            return Err(malformed(format!("`{}` ends beyond the arena", b.name)));
        }
        Ok(Some(offset..offset + bytes))
    }

    /// What a buffer holds.
    fn load(&self, buffer: usize) -> Result<Array, PlanError> {
        let b = self.program.buffers.get(buffer).ok_or_else(|| malformed(format!("no buffer {buffer}")))?;
        let array = match &b.place {
            Place::Input(i) => self.dense.get(*i).cloned().flatten(),
            Place::Output(o) => self.outputs.get(*o).cloned(),
            Place::Csr { input, part } => self.sparse.get(*input).and_then(|c| c.as_ref()).map(|c| csr(c, *part)),
            Place::Arena { .. } => {
                let mut array = Array::zeros(b.dtype, &self.shape(&b.shape)?);
                if let Some(range) = self.range(buffer)? {
                    array.as_bytes_mut().copy_from_slice(&self.arena[range]);
                }
                Some(array)
            }
        };
        let array = array.ok_or_else(|| malformed(format!("`{}` is in a place that is not there", b.name)))?;
        if array.dtype() != b.dtype {
            return Err(malformed(format!("`{}` is {}, but {} is there", b.name, b.dtype, array.dtype())));
        }
        Ok(array)
    }

    fn store(&mut self, buffer: usize, array: Array) -> Result<(), PlanError> {
        let b = &self.program.buffers[buffer];
        match &b.place {
            Place::Input(i) => self.dense[*i] = Some(array),
            Place::Output(o) => self.outputs[*o] = array,
            Place::Csr { .. } => return Err(malformed(format!("a launch writes `{}`, a part of a pattern", b.name))),
            Place::Arena { .. } => {
                if let Some(range) = self.range(buffer)? {
                    self.arena[range].copy_from_slice(array.as_bytes());
                }
            }
        }
        Ok(())
    }

    /// Whether two buffers share memory.
    fn overlap(&self, a: usize, b: usize) -> Result<bool, PlanError> {
        let (x, y) = (&self.program.buffers[a].place, &self.program.buffers[b].place);
        Ok(match (self.range(a)?, self.range(b)?) {
            (Some(p), Some(q)) => p.start < q.end && q.start < p.end,
            (None, None) => a == b || x == y,
            _ => false,
        })
    }

    fn launch(&mut self, at: usize) -> Result<(), PlanError> {
        let launch = &self.program.launches[at];
        let kernel = self.program.kernels.get(launch.kernel);
        let kernel = kernel.ok_or_else(|| malformed(format!("launch {at} is of no kernel")))?;
        let mut params = launch.buffers.iter().map(|b| self.load(*b)).collect::<Result<Vec<_>, _>>()?;
        let spaces: Vec<Space> = kernel.params().map(|(_, b)| b.space).collect();
        for (i, space) in spaces.iter().enumerate().filter(|(_, s)| **s != Space::In) {
            for j in (0..spaces.len().min(launch.buffers.len())).filter(|j| *j != i) {
                let (x, y) = (launch.buffers[i], launch.buffers[j]);
                if self.overlap(x, y)? {
                    let names = [x, y].map(|b| self.program.buffers[b].name.clone());
                    let what = format!(
                        "launch {at} of `{}`: `{}`, which is {space:?}, and `{}` share memory",
                        kernel.name, names[0], names[1]
                    );
                    return Err(malformed(what));
                }
            }
        }
        let mut dims = vec![];
        for d in &launch.dims {
            let name = self.program.dims.get(*d).map(|d| &d.name);
            let value = name.and_then(|name| self.dims.get(name));
            dims.push(*value.ok_or_else(|| malformed(format!("launch {at}: dim {d} has no value")))?);
        }
        run_kernel(kernel, &mut params, &dims, None).map_err(|error| PlanError::Launch { launch: at, error })?;
        for ((buffer, array), space) in launch.buffers.iter().zip(params).zip(spaces) {
            if space != Space::In {
                self.store(*buffer, array)?;
            }
        }
        Ok(())
    }
}

/// An array of a pattern; the twin is made where it is needed and missing.
fn csr(c: &CsrArray, part: CsrPart) -> Array {
    let of = |v: &[i32]| Array::from_slice(&[v.len()], v);
    match (part, &c.twin) {
        (CsrPart::Indptr, _) => of(&c.indptr),
        (CsrPart::Indices, _) => of(&c.indices),
        (CsrPart::TwinIndptr, Some(t)) => of(&t.indptr),
        (CsrPart::TwinIndices, Some(t)) => of(&t.indices),
        (CsrPart::TwinEdges, Some(t)) => of(&t.edges),
        (_, None) => {
            let whole = c.clone().with_twin();
            if whole.twin.is_some() { csr(&whole, part) } else { of(&[]) }
        }
    }
}
