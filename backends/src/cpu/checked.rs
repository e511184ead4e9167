//! Checked runs: what is looked at between the launches of a plan that was made to be checked, and taking a run back.
//!
//! The kernels are those that the compiler makes of single ops; nothing is interpreted. A check is a pass over one
//! array on the host, before or after a launch, so it costs a reading of each value that an op reads or makes.

use crate::error::RunError;
use crate::fault::{Fault, Wrong};
use crate::inputs::{Dims, Inputs, Slot};
use crate::look::{Found, element_text, first_integer, first_that_does_not_fit, look};
use crate::store::Store;
use latentc_ir::array::Array;
use latentc_ir::plan::{BufferDecl, Check, CheckKind, Place, Program};

/// What checked runs keep.
pub(super) struct Checked {
    /// What each buffer of the plan was last found to hold.
    found: Vec<Found>,
    /// Where the checks of each launch begin among those of the plan, and the end.
    first: Vec<usize>,
    /// What the run may overwrite, by input.
    saved: Vec<(String, Array)>,
}

/// The bytes of the plan's buffers.
pub(super) type Bytes<'a> = dyn Fn(usize) -> &'a [u8] + 'a;

impl Checked {
    /// For a plan whose checks stand in the order of its launches.
    pub fn new(program: &Program) -> Checked {
        let first = (0..=program.launches.len())
            .map(|launch| program.checks.partition_point(|c| c.launch < launch))
            .collect();
        Checked { found: vec![Found::default(); program.buffers.len()], first, saved: vec![] }
    }

    /// Keeps what the run may overwrite, and looks at what it is given.
    pub fn begin(
        &mut self,
        program: &Program,
        inputs: &Inputs,
        store: &Store,
        bytes: &Bytes<'_>,
    ) -> Result<(), RunError> {
        self.saved.clear();
        for (i, input) in program.inputs.iter().enumerate() {
            if matches!(inputs.slot(i), Slot::Kept(_))
                && let Some(array) = store.get(&input.name)
            {
                self.saved.push((input.name.clone(), array.clone()));
            }
        }
        for (b, buffer) in program.buffers.iter().enumerate() {
            let Place::Input(i) = buffer.place else { continue };
            let found = look(bytes(b), buffer.dtype);
            self.found[b] = found;
            if let Some(at) = found.nan {
                let input = &program.inputs[i];
                let kind = input.kind.name();
                return Err(RunError::Fault(Box::new(Fault {
                    op: "input".to_owned(),
                    span: input.span.clone(),
                    wrong: Wrong::GivenNan { place: format!("{kind} `{}`", input.name) },
                    element: position(buffer, inputs.dims(), at),
                    value: element_text(bytes(b), buffer.dtype, at),
                    operands: vec![],
                    notes: vec![],
                })));
            }
        }
        Ok(())
    }

    /// Puts back what was kept.
    pub fn take_back(&mut self, store: &mut Store) {
        for (name, array) in self.saved.drain(..) {
            // In place: a store keeps its arrays where they are.
            if let Some(kept) = store.get_mut(&name) {
                kept.as_bytes_mut().copy_from_slice(array.as_bytes());
            }
        }
    }

    /// The checks before a launch (`after` false) or after it.
    pub fn launch(
        &mut self,
        program: &Program,
        dims: &Dims,
        launch: usize,
        after: bool,
        bytes: &Bytes<'_>,
    ) -> Result<(), RunError> {
        for check in &program.checks[self.first[launch]..self.first[launch + 1]] {
            if matches!(check.kind, CheckKind::Finite { .. }) != after {
                continue;
            }
            if let Some(fault) = self.check(program, dims, check, bytes) {
                return Err(RunError::Fault(Box::new(fault)));
            }
        }
        Ok(())
    }

    fn check(&mut self, program: &Program, dims: &Dims, check: &Check, bytes: &Bytes<'_>) -> Option<Fault> {
        let fault = |buffer: usize, at: usize, wrong: Wrong, notes: Vec<String>| {
            let decl = &program.buffers[buffer];
            Some(Fault {
                op: check.at.op.to_owned(),
                span: check.at.span.clone(),
                wrong,
                element: position(decl, dims, at),
                value: element_text(bytes(buffer), decl.dtype, at),
                operands: check.operands.clone(),
                notes,
            })
        };
        match &check.kind {
            CheckKind::Rows { ids, operand, rows } => {
                let rows = dims.eval(rows).unwrap_or(i64::MAX);
                let at = first_integer(bytes(*ids), program.buffers[*ids].dtype, |id| {
                    !(0..i128::from(rows)).contains(&id)
                })?;
                fault(*ids, at, Wrong::Row { operand: *operand, rows }, vec![])
            }
            CheckKind::Divisor { by } => {
                let at = first_integer(bytes(*by), program.buffers[*by].dtype, |d| d == 0)?;
                fault(*by, at, Wrong::ZeroDivisor, vec![])
            }
            CheckKind::Fits { from, to } => {
                let at = first_that_does_not_fit(bytes(*from), program.buffers[*from].dtype, *to)?;
                fault(*from, at, Wrong::Overflow { to: *to }, vec![])
            }
            CheckKind::Finite { reads, writes, infinite } => {
                let nan_before = reads.iter().any(|(b, _)| self.found[*b].nan.is_some());
                let infinite_before = reads.iter().any(|(b, _)| self.found[*b].infinite.is_some());
                let found = look(bytes(*writes), program.buffers[*writes].dtype);
                self.found[*writes] = found;
                let (at, wrong) = match (found.nan, found.infinite) {
                    (Some(at), _) if !nan_before => (at, Wrong::Nan),
                    (_, Some(at)) if !nan_before && !infinite_before && !infinite => (at, Wrong::Infinite),
                    _ => return None,
                };
                let mut notes = vec![];
                for (b, operand) in reads {
                    // An operand that was overwritten by the result is gone.
                    let gone = program.buffers[*b].place == program.buffers[*writes].place;
                    if let Some(operand) = operand.filter(|_| !gone) {
                        let value = element_text(bytes(*b), program.buffers[*b].dtype, at);
                        notes.push(format!("operand {operand} is {value} there"));
                    }
                }
                fault(*writes, at, wrong, notes)
            }
        }
    }
}

/// The position of an element of a buffer, one an axis.
fn position(buffer: &BufferDecl, dims: &Dims, at: usize) -> Vec<usize> {
    let size = |d| dims.eval(d).and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    let shape: Vec<usize> = buffer.shape.iter().map(size).collect();
    crate::inputs::position(&shape, at)
}
