//! The scope of a program under construction: what is declared, and the graph that grows.

mod control;
mod declare;
mod random;
mod results;

pub use control::{Steps, Values};
pub use random::{RNG_SEED, RNG_STEP};

use crate::csr::CsrDecl;
use crate::dims::{At, Dim, ShapeLike};
use crate::params::{Init, ParamSpec};
use crate::tensor::Tensor;
use crate::train::{Minimise, Mixed};
use latentc_ir::array::Array;
use latentc_ir::diag::{Diag, Span};
use latentc_ir::dim::Dim as Size;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::{Graph, NodeId, Operand};
use latentc_ir::ops::Op;
use latentc_ir::passes::Numerics;
use latentc_ir::types::Type;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// A program under construction. [`program`](crate::program()) makes one and hands it to the closure.
///
/// Nothing here fails on the spot: a mistake is recorded with the places in the source that disagree, what
/// comes out of it is poisoned, and building goes on, so that `program` returns every mistake at once.
pub struct Scope {
    pub(crate) state: RefCell<State>,
    params: Init,
}

/// What is kept between runs beside parameters: its first value.
#[derive(Clone, Debug, PartialEq)]
pub struct StateSpec {
    /// The name of the input.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Sizes.
    pub shape: Vec<usize>,
    /// The value before the first run.
    pub first: First,
}

impl StateSpec {
    /// The value before the first run.
    pub fn array(&self, seed: u64) -> Array {
        let value = match self.first {
            First::Constant(value) => value,
            // All 64 bits of the seed.
            First::Seed => Literal::int(DType::I64, seed as i64),
        };
        let mut array = Array::zeros(self.dtype, &self.shape);
        if value != Literal::zero(self.dtype) {
            (0..array.len()).for_each(|i| array.set(i, value));
        }
        array
    }
}

/// The first value of what is kept between runs.
#[derive(Clone, Debug, PartialEq)]
pub enum First {
    /// Every element this.
    Constant(Literal),
    /// The seed given to [`Program::init`](crate::Program::init).
    Seed,
}

/// A dim declared by name, with its range, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DimSpec {
    /// The name.
    pub name: String,
    /// Least value.
    pub lo: i64,
    /// Greatest value.
    pub hi: i64,
}

/// What has become of a declared parameter.
#[derive(Clone, Copy)]
pub(crate) enum Slot {
    /// Nothing has used it.
    Unused,
    /// Its declaration was a mistake.
    Poisoned,
    /// Its input node.
    Node(Operand),
}

/// What a scope has gathered.
#[derive(Default)]
pub(crate) struct State {
    pub graph: Graph,
    pub diags: Vec<Diag>,
    /// Sizes that dims refer to.
    sizes: Vec<Size>,
    pub dims: Vec<(DimSpec, At)>,
    /// Where each input was declared.
    inputs: BTreeMap<String, At>,
    outputs: BTreeMap<String, At>,
    updated: BTreeMap<String, At>,
    pub csrs: Vec<CsrDecl>,
    pub params: Vec<(Arc<ParamSpec>, Slot)>,
    pub states: Vec<StateSpec>,
    rng: Option<(Operand, Operand)>,
    draws: u32,
    pub minimise: Option<Minimise>,
    /// What stands for the parameters of bodies while their closures run.
    body_params: Vec<NodeId>,
    pub numerics: Numerics,
    pub mixed: Option<Mixed>,
}

impl Scope {
    pub(crate) fn new(name: &str) -> Scope {
        let state = State { graph: Graph::new(name), ..State::default() };
        Scope { state: RefCell::new(state), params: Init::new() }
    }

    /// What the scope has gathered.
    pub(crate) fn into_state(self) -> State {
        self.state.into_inner()
    }

    /// Records a mistake.
    pub(crate) fn error(&self, at: At, message: impl Into<String>, label: impl Into<String>) {
        self.report(Diag::new(message, Span::from(at), label));
    }

    /// Records a mistake.
    pub(crate) fn report(&self, diag: Diag) {
        self.state.borrow_mut().diags.push(diag);
    }

    pub(crate) fn size_at(&self, index: usize) -> Option<Size> {
        self.state.borrow().sizes.get(index).cloned()
    }

    pub(crate) fn intern(&self, size: Size) -> Dim<'_> {
        let sizes = &mut self.state.borrow_mut().sizes;
        let index = sizes.iter().position(|s| *s == size).unwrap_or_else(|| {
            sizes.push(size);
            sizes.len() - 1
        });
        Dim { scope: self, index: Some(index) }
    }

    /// The value of a tensor of this scope; one of another scope is recorded as a mistake.
    pub(crate) fn own(&self, tensor: Tensor<'_>, at: At) -> Option<Operand> {
        let value = tensor.value?;
        if !std::ptr::eq(tensor.scope, self) {
            let diag = Diag::new("a tensor belongs to another program", Span::from(at), "used here");
            self.report(diag.label(Span::from(tensor.at), "made here"));
            return None;
        }
        Some(value)
    }

    /// Adds a node; what does not fit is recorded with the places of the operands, and gives `None`.
    pub(crate) fn node(&self, op: impl Into<Op>, operands: &[Tensor<'_>], at: At) -> Option<NodeId> {
        let values: Vec<Operand> = operands.iter().map(|t| self.own(*t, at)).collect::<Option<_>>()?;
        let places: Vec<At> = operands.iter().map(|t| t.at).collect();
        self.node_of(op, &values, &places, at)
    }

    /// Adds a node on values of this scope, made at `places`.
    pub(crate) fn node_of(
        &self,
        op: impl Into<Op>,
        values: &[Operand],
        places: &[At],
        at: At,
    ) -> Option<NodeId> {
        let added = self.state.borrow_mut().graph.add(op, values, Span::from(at));
        match added {
            Ok(node) => Some(node),
            Err(mut diag) => {
                // Equal nodes are one node, which remembers only the first line: the handles know theirs.
                for (label, place) in diag.labels.iter_mut().skip(1).zip(places) {
                    label.0 = Span::from(*place);
                }
                let sizes: Vec<Size> = {
                    let graph = &self.state.borrow().graph;
                    values.iter().flat_map(|v| sizes_of(graph.type_of(*v))).collect()
                };
                self.report(self.explain_dims(diag, sizes.iter()));
                None
            }
        }
    }

    /// Adds a node with one result.
    pub(crate) fn emit<'g>(&'g self, op: impl Into<Op>, operands: &[Tensor<'g>], at: At) -> Tensor<'g> {
        Tensor { scope: self, value: self.node(op, operands, at).map(Operand::from), at }
    }

    /// Labels the declarations of the dims that a mistake is about.
    pub(crate) fn explain_dims<'a>(&self, mut diag: Diag, sizes: impl Iterator<Item = &'a Size>) -> Diag {
        let mut names: Vec<String> = sizes.flat_map(Size::symbols).map(|s| s.name.clone()).collect();
        names.sort();
        names.dedup();
        for (dim, at) in &self.state.borrow().dims {
            let named = diag.message.split(|c: char| !is_name(c)).any(|word| word == dim.name);
            if named && names.contains(&dim.name) {
                let text = format!("`{}` is any of {}..={}", dim.name, dim.lo, dim.hi);
                diag = diag.label(Span::from(*at), text);
            }
        }
        diag
    }

    pub(crate) fn poisoned(&self, at: At) -> Tensor<'_> {
        Tensor { scope: self, value: None, at }
    }

    /// A tensor with every element the same number.
    #[track_caller]
    pub fn fill(&self, dtype: DType, shape: impl ShapeLike, value: f64) -> Tensor<'_> {
        let at = Location::caller();
        let value = shape
            .resolve(self, at)
            .map(|shape| self.state.borrow_mut().graph.fill(Literal::float(dtype, value), shape));
        Tensor { scope: self, value, at }
    }
}

/// Every size in a type.
pub(crate) fn sizes_of(ty: &Type) -> Vec<Size> {
    match ty {
        Type::Tensor(t) => t.shape.to_vec(),
        Type::Csr(c) => vec![c.rows.clone(), c.cols.clone(), c.nnz.clone()],
        Type::RowSparse(r) => r.shape.iter().chain([&r.count]).cloned().collect(),
    }
}

pub(crate) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.borrow();
        write!(f, "Scope({}: {} nodes, {} mistakes)", state.graph.name, state.graph.len(), state.diags.len())
    }
}
