//! What a run is given: copies of data, shared patterns, entries of the store; and the dimensions that their
//! sizes bind.
//!
//! Every session checks its inputs here, whatever runs the program. Once each input has been given at its
//! greatest size, giving and checking allocate nothing; errors may.

mod bind;

use crate::error::{Axis, CompileError, Declared, RunError};
use crate::memory::Block;
use crate::options::{Ids, Options};
use crate::report::Memory;
use latentc_ir::array::{CsrArray, Element};
use latentc_ir::dim::{Dim, Symbol};
use latentc_ir::dtype::DType;
use latentc_ir::graph::InputKind;
use latentc_ir::plan::InputDecl;
use latentc_ir::types::{TensorType, Type, product, shape_text};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Data inputs get memory for their greatest size at once up to this many bytes; beyond, as they come.
const AHEAD: i64 = 256 << 20;

/// The inputs of a program, and the values of its dimensions.
pub(crate) struct Inputs {
    decls: Vec<InputDecl>,
    sizes: Vec<Vec<Size>>,
    slots: Vec<Slot>,
    dims: Dims,
}

/// The dimensions: the program's own first, in its order, then those that only types of inputs name.
pub(crate) struct Dims {
    pub symbols: Vec<Arc<Symbol>>,
    /// Their values and the input that gave each, by the run under way or the last one.
    values: Vec<Option<(i64, usize)>>,
    /// Their values in the run before it.
    before: Vec<Option<i64>>,
}

/// A declared size, as binding treats it.
enum Size {
    Known(i64),
    Symbol(usize),
    Computed(Dim),
}

/// What an input is at the moment.
pub(crate) enum Slot {
    /// Kept in the store: where its elements are during this run.
    Kept(Pointer),
    /// A copy of what was given.
    Dense(Dense),
    /// A pattern, checked when it was given.
    Pattern(Option<Arc<CsrArray>>),
}

/// An address for kernels.
#[derive(Clone, Copy)]
pub(crate) struct Pointer(pub *mut u8);

// SAFETY: the address is used only while a run borrows what it points to.
unsafe impl Send for Pointer {}

/// Dense data of the caller.
pub(crate) struct Dense {
    pub data: Block,
    pub shape: Vec<usize>,
    given: bool,
    /// What happens with row numbers that are none.
    ids: Ids,
    /// What was given, where `data` is made of it by a policy on row numbers.
    raw: Option<Block>,
    /// The bound under which its elements were last found to be.
    checked: Option<i64>,
}

impl Dims {
    /// These symbols with these values.
    pub fn fixed(symbols: Vec<Arc<Symbol>>, values: &[i64]) -> Dims {
        let values = values.iter().map(|v| Some((*v, usize::MAX))).collect();
        Dims { before: vec![None; symbols.len()], symbols, values }
    }

    /// The value of each of the program's dimensions; 0 where unbound.
    pub fn value(&self, at: usize) -> i64 {
        self.values[at].map_or(0, |(v, _)| v)
    }

    /// The value of a size; `None` where a dimension in it is unbound or it overflows.
    pub fn eval(&self, dim: &Dim) -> Option<i64> {
        dim.eval(&|name| {
            let at = self.symbols.iter().position(|s| s.name == name)?;
            self.values[at].map(|(v, _)| v)
        })
    }
}

impl Inputs {
    /// Checks the declarations. `dims` are the program's.
    pub fn new(
        program: &str,
        dims: &[Arc<Symbol>],
        decls: Vec<InputDecl>,
        options: &Options,
    ) -> Result<Inputs, CompileError> {
        check_policies(&decls, &options.ids)?;
        let mut symbols = dims.to_vec();
        let (mut sizes, mut slots) = (vec![], vec![]);
        for (at, decl) in decls.iter().enumerate() {
            if decls[..at].iter().any(|d| d.name == decl.name) {
                return Err(CompileError::Twice { what: "input", name: decl.name.clone() });
            }
            let declared: Vec<&Dim> = match &decl.ty {
                Type::Tensor(t) => t.shape.iter().collect(),
                Type::Csr(c) => vec![&c.rows, &c.cols, &c.nnz],
                Type::RowSparse(_) => vec![],
            };
            for s in declared.iter().copied().chain(&decl.bound).flat_map(Dim::symbols) {
                if !symbols.iter().any(|known| known.name == s.name) {
                    symbols.push(s);
                }
            }
            sizes.push(declared.into_iter().map(|d| Size::of(d, &symbols)).collect());
            slots.push(slot(program, decl, options)?);
        }
        let (values, before) = (vec![None; symbols.len()], vec![None; symbols.len()]);
        Ok(Inputs { decls, sizes, slots, dims: Dims { symbols, values, before } })
    }

    /// The dimensions.
    pub fn dims(&self) -> &Dims {
        &self.dims
    }

    /// What an input is.
    pub fn slot(&self, at: usize) -> &Slot {
        &self.slots[at]
    }

    /// The declaration of this name, and what it is.
    pub fn find(&self, name: &str) -> Option<(&InputDecl, &Slot)> {
        let at = self.decls.iter().position(|d| d.name == name)?;
        Some((&self.decls[at], &self.slots[at]))
    }

    /// Adds the bytes of the inputs to what a report says.
    pub fn count(&self, memory: &mut Memory) {
        for (decl, slot) in self.decls.iter().zip(&self.slots) {
            match slot {
                Slot::Dense(d) => memory.data += d.data.capacity(),
                Slot::Pattern(Some(p)) => {
                    let twin =
                        p.twin.as_ref().map_or(0, |t| t.indptr.len() + t.indices.len() + t.edges.len());
                    memory.patterns += 4 * (p.indptr.len() + p.indices.len() + twin);
                }
                Slot::Pattern(None) => {}
                Slot::Kept(_) => {
                    let Type::Tensor(t) = &decl.ty else { continue };
                    let elements = self.dims.eval(&product(&t.shape)).unwrap_or(0);
                    let bytes = usize::try_from(elements).unwrap_or(0) * t.dtype.size();
                    match decl.kind {
                        InputKind::Param => memory.params += bytes,
                        _ => memory.state += bytes,
                    }
                }
            }
        }
    }

    fn data(&self, name: &str) -> Result<usize, RunError> {
        let Some(at) = self.decls.iter().position(|d| d.name == name) else {
            let data = self.decls.iter().filter(|d| d.kind == InputKind::Data);
            return Err(RunError::UnknownInput {
                name: name.to_owned(),
                known: data.map(|d| d.name.clone()).collect(),
            });
        };
        match self.decls[at].kind {
            InputKind::Data => Ok(at),
            kind => Err(RunError::Kept { name: name.to_owned(), kind: kind.name() }),
        }
    }

    /// Copies a data input for the next runs.
    pub fn set<T: Element>(&mut self, name: &str, shape: &[usize], values: &[T]) -> Result<(), RunError> {
        let at = self.data(name)?;
        let decl = &self.decls[at];
        let (Type::Tensor(ty), Slot::Dense(slot)) = (&decl.ty, &mut self.slots[at]) else {
            return Err(RunError::Structure {
                place: Declared::of(decl),
                expected: decl.ty.to_string(),
                found: "a tensor",
            });
        };
        check_type(decl, ty, T::DTYPE)?;
        check_sizes(decl, &self.sizes[at], &self.dims.symbols, shape)?;
        if shape.iter().try_fold(1usize, |n, s| n.checked_mul(*s)) != Some(values.len()) {
            return Err(RunError::Length {
                place: Declared::of(decl),
                shape: shape.to_vec(),
                found: values.len(),
            });
        }
        let bytes = size_of_val(values);
        slot.data.reserve(bytes).map_err(|e| no_memory(decl, e.bytes))?;
        slot.data.slice_mut::<T>(values.len()).copy_from_slice(values);
        if let Some(raw) = &mut slot.raw {
            raw.reserve(bytes).map_err(|e| no_memory(decl, e.bytes))?;
            raw.slice_mut::<T>(values.len()).copy_from_slice(values);
        }
        slot.shape.clear();
        slot.shape.extend_from_slice(shape);
        slot.checked = None;
        slot.given = true;
        if ty.dtype == DType::Bool
            && let Some(wrong) = slot.data.slice::<u8>(bytes).iter().position(|b| *b > 1)
        {
            // A kernel must never see it.
            slot.given = false;
            let value = slot.data.slice::<u8>(bytes)[wrong];
            return Err(RunError::Truth {
                place: Declared::of(decl),
                position: position(shape, wrong),
                value,
            });
        }
        Ok(())
    }

    /// Keeps a pattern for the next runs, once it is found to be one. Its twin is made where it is missing
    /// and the program may need it: where the type is not symmetric, or `edges` asks for it.
    pub fn set_csr(
        &mut self,
        name: &str,
        pattern: Arc<CsrArray>,
        edges: impl Fn(usize) -> bool,
    ) -> Result<(), RunError> {
        let at = self.data(name)?;
        let decl = &self.decls[at];
        let (Type::Csr(ty), Slot::Pattern(slot)) = (&decl.ty, &mut self.slots[at]) else {
            return Err(RunError::Structure {
                place: Declared::of(decl),
                expected: decl.ty.to_string(),
                found: "a sparse pattern",
            });
        };
        if slot.as_ref().is_some_and(|now| Arc::ptr_eq(now, &pattern)) {
            return Ok(());
        }
        let sizes = [pattern.rows, pattern.cols, pattern.nnz()];
        check_sizes(decl, &self.sizes[at], &self.dims.symbols, &sizes)?;
        let wrong = |source| RunError::Pattern { place: Declared::of(decl), source };
        pattern.validate().map_err(wrong)?;
        if ty.symmetric {
            pattern.check_symmetric().map_err(wrong)?;
        }
        let twin = pattern.twin.is_some() || (ty.symmetric && !edges(at));
        *slot = Some(if twin { pattern } else { Arc::new(CsrArray::clone(&pattern).with_twin()) });
        Ok(())
    }
}

impl Size {
    fn of(dim: &Dim, symbols: &[Arc<Symbol>]) -> Size {
        if let Some(c) = dim.as_const() {
            return Size::Known(c);
        }
        let is = |s: &Arc<Symbol>| *dim == Dim::symbol(s.name.as_str(), s.lo, s.hi);
        match symbols.iter().position(is) {
            Some(at) => Size::Symbol(at),
            None => Size::Computed(dim.clone()),
        }
    }
}

/// Policies are for data inputs that are used as row numbers.
pub(crate) fn check_policies(
    decls: &[InputDecl],
    policies: &BTreeMap<String, Ids>,
) -> Result<(), CompileError> {
    for (name, ids) in policies {
        let decl = decls.iter().find(|d| d.name == *name);
        let used = |d: &&InputDecl| d.kind == InputKind::Data && d.bound.is_some();
        if *ids != Ids::Error && decl.filter(used).is_none() {
            let rows = decls.iter().filter(used).map(|d| d.name.clone()).collect();
            return Err(CompileError::Ids { name: name.clone(), ids: *ids, rows });
        }
    }
    Ok(())
}

/// The place of an input, with memory for its greatest size where that is not excessive.
fn slot(program: &str, decl: &InputDecl, options: &Options) -> Result<Slot, CompileError> {
    let wrong = |expected| CompileError::Input {
        name: decl.name.clone(),
        kind: decl.kind.name(),
        ty: decl.ty.to_string(),
        expected,
    };
    match (&decl.ty, decl.kind) {
        (Type::Tensor(ty), InputKind::Data) => {
            let greatest = product(&ty.shape).upper().saturating_mul(ty.dtype.size() as i64);
            let bytes = if (0..=AHEAD).contains(&greatest) { greatest as usize } else { 0 };
            let data = Block::zeros(bytes).map_err(|e| CompileError::Memory {
                program: program.to_owned(),
                what: format!("input `{}`", decl.name),
                bytes: e.bytes,
            })?;
            let ids = options.ids.get(&decl.name).copied().unwrap_or_default();
            let raw = (ids != Ids::Error).then(Block::empty);
            Ok(Slot::Dense(Dense { data, shape: vec![0; ty.rank()], given: false, ids, raw, checked: None }))
        }
        (Type::Tensor(_), _) => Ok(Slot::Kept(Pointer(std::ptr::null_mut()))),
        (Type::Csr(_), InputKind::Data) => Ok(Slot::Pattern(None)),
        (Type::Csr(_), _) => Err(wrong("only dense tensors are kept; make the pattern a data input")),
        (Type::RowSparse(_), _) => Err(wrong("give its ids and its rows as two tensors")),
    }
}

fn axis(decl: &InputDecl, at: usize) -> Axis {
    match (&decl.ty, at) {
        (Type::Csr(_), 0) => Axis::Rows,
        (Type::Csr(_), 1) => Axis::Cols,
        (Type::Csr(_), _) => Axis::Entries,
        _ => Axis::At(at),
    }
}

/// A position among all elements as one along each dimension.
pub(crate) fn position(shape: &[usize], mut at: usize) -> Vec<usize> {
    let mut out = vec![0; shape.len()];
    for (o, n) in out.iter_mut().zip(shape).rev() {
        *o = at % n;
        at /= n;
    }
    out
}

fn no_memory(decl: &InputDecl, bytes: usize) -> RunError {
    RunError::Memory { place: Declared::of(decl).to_string(), bytes }
}

fn check_type(decl: &InputDecl, ty: &TensorType, found: DType) -> Result<(), RunError> {
    if ty.dtype.is_seen_as(found) {
        return Ok(());
    }
    Err(RunError::ElementType { place: Declared::of(decl), expected: ty.dtype, found })
}

/// Sizes against constants and ranges; what depends on other inputs is left to the run.
fn check_sizes(
    decl: &InputDecl,
    sizes: &[Size],
    symbols: &[Arc<Symbol>],
    found: &[usize],
) -> Result<(), RunError> {
    if found.len() != sizes.len() {
        let expected = match &decl.ty {
            Type::Tensor(t) => shape_text(&t.shape),
            other => other.to_string(),
        };
        return Err(RunError::Rank { place: Declared::of(decl), expected, found: found.to_vec() });
    }
    for (at, (size, &found)) in sizes.iter().zip(found).enumerate() {
        match size {
            Size::Known(c) if i64::try_from(found) != Ok(*c) => {
                let expected = c.to_string();
                return Err(RunError::Size {
                    place: Declared::of(decl),
                    axis: axis(decl, at),
                    expected,
                    found,
                });
            }
            Size::Symbol(s)
                if !i64::try_from(found).is_ok_and(|v| (symbols[*s].lo..=symbols[*s].hi).contains(&v)) =>
            {
                return Err(RunError::Range {
                    place: Declared::of(decl),
                    axis: axis(decl, at),
                    dimension: symbols[*s].name.clone(),
                    lo: symbols[*s].lo,
                    hi: symbols[*s].hi,
                    found,
                });
            }
            _ => {}
        }
    }
    Ok(())
}
