//! The scope of a program under construction: what is declared, and the graph that grows.

use crate::csr::{Csr, CsrDecl};
use crate::dims::{At, Dim, DimLike, ShapeLike, range};
use crate::params::{Init, ParamSpec};
use crate::tensor::Tensor;
use crate::train::{Lr, Minimise, Optimizer};
use latentc_ir::diag::{Diag, Span};
use latentc_ir::dim::Dim as Size;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::{Graph, InputKind, NodeId, Operand};
use latentc_ir::ops::Op;
use latentc_ir::ops::input::Input;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::{CsrType, Type, shape_text};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeBounds;
use std::panic::Location;
use std::sync::Arc;

/// State input: the seed of every random draw of a program, an i64 scalar.
pub const RNG_SEED: &str = "rng.seed";
/// State input: how many runs there have been, an i64 scalar; draws differ from run to run by it.
pub const RNG_STEP: &str = "rng.step";

/// A program under construction. [`program`](crate::program::program) makes one and hands it to the closure.
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

/// The first value of what is kept between runs.
#[derive(Clone, Debug, PartialEq)]
pub enum First {
    /// Every element this.
    Constant(Literal),
    /// The seed given to [`Program::init`](crate::program::Program::init).
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

    pub(crate) fn size(&self, index: usize) -> Option<Size> {
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

    /// Adds a node; what does not fit is recorded with the places of the operands, and gives `None`.
    pub(crate) fn node(&self, op: impl Into<Op>, operands: &[Tensor<'_>], at: At) -> Option<NodeId> {
        let values: Vec<Operand> = operands.iter().map(|t| t.value).collect::<Option<_>>()?;
        if let Some(foreign) = operands.iter().find(|t| !std::ptr::eq(t.scope, self)) {
            let diag = Diag::new("an operand belongs to another program", Span::from(at), "used here");
            self.report(diag.label(Span::from(foreign.at), "made here"));
            return None;
        }
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
                let shapes: Vec<Size> = {
                    let graph = &self.state.borrow().graph;
                    let types = values.iter().map(|v| graph.type_of(*v));
                    types.filter_map(Type::as_tensor).flat_map(|t| t.shape.iter().cloned()).collect()
                };
                self.report(self.explain_dims(diag, shapes.iter()));
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

    /// Declares a dim: a size that may differ from run to run, within a range.
    ///
    /// The range is checked at every run, and the compiler may rely on it. A missing end is `i32::MAX`. A
    /// range of one value is that constant.
    #[track_caller]
    pub fn dim<D: DimLike>(&self, name: &str, values: impl RangeBounds<D>) -> Dim<'_> {
        let at = Location::caller();
        let whole = Size::constant(i64::from(i32::MAX) + 1);
        let poisoned = Dim { scope: self, index: None };
        let Some((start, end)) = range(self, at, &values, &whole) else { return poisoned };
        let (Some(lo), Some(end)) = (start.as_const(), end.as_const()) else {
            self.error(at, format!("the range of `{name}` must be of constants"), "this dim");
            return poisoned;
        };
        self.declare_dim(name, lo, end - 1, at).map_or(poisoned, |size| self.intern(size))
    }

    pub(crate) fn declare_dim(&self, name: &str, lo: i64, hi: i64, at: At) -> Option<Size> {
        let earlier = self.state.borrow().dims.iter().find(|(d, _)| d.name == name).map(|(_, at)| *at);
        let diag = |message: String| Diag::new(message, Span::from(at), "this dim");
        if let Some(earlier) = earlier {
            let diag = diag(format!("the dim `{name}` is declared twice"));
            self.report(
                diag.label(Span::from(earlier), "first here").help("use the first one, or another name"),
            );
            return None;
        }
        if !name.chars().all(is_name) || !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            self.report(
                diag(format!("`{name}` cannot be the name of a dim"))
                    .help("begin with a letter or `_`, and go on with letters, digits and `_`"),
            );
            return None;
        }
        if lo < 0 || hi < lo || hi > i64::from(i32::MAX) {
            let message = format!("the dim `{name}` has the range {lo}..={hi}");
            self.report(diag(message).help(format!("a range lies in 0..={} and is not empty", i32::MAX)));
            return None;
        }
        self.state.borrow_mut().dims.push((DimSpec { name: name.to_owned(), lo, hi }, at));
        Some(Size::symbol(name, lo, hi))
    }

    /// Where the parameters of a model are declared.
    pub fn params(&self) -> &Init {
        &self.params
    }

    /// Declares ids: i32 data given with every run.
    #[track_caller]
    pub fn ids(&self, name: &str, shape: impl ShapeLike) -> Tensor<'_> {
        self.input(name, DType::I32, shape)
    }

    /// Declares a tensor given with every run.
    #[track_caller]
    pub fn input(&self, name: &str, dtype: DType, shape: impl ShapeLike) -> Tensor<'_> {
        let at = Location::caller();
        let value = shape
            .resolve(self, at)
            .and_then(|shape| self.declare(name, InputKind::Data, Type::tensor(dtype, shape), at));
        Tensor { scope: self, value, at }
    }

    /// Declares a sparse pattern of `[rows, cols]` given with every run.
    ///
    /// Its number of entries is a dim of its own, `<name>_nnz` in `0..=i32::MAX`, unless [`Csr::nnz`] gives one.
    #[track_caller]
    pub fn csr(&self, name: &str, shape: impl ShapeLike) -> Csr<'_> {
        let at = Location::caller();
        let poisoned = Csr::poisoned(self);
        let Some(shape) = shape.resolve(self, at) else { return poisoned };
        let [rows, cols] = shape.as_slice() else {
            let message =
                format!("the pattern `{name}` has sizes {}; give rows and columns", shape_text(&shape));
            self.error(at, message, "this pattern");
            return poisoned;
        };
        if !self.claim(name, at) {
            return poisoned;
        }
        let csrs = &mut self.state.borrow_mut().csrs;
        csrs.push(CsrDecl {
            name: name.to_owned(),
            at,
            rows: rows.clone(),
            cols: cols.clone(),
            nnz: None,
            symmetric: false,
            value: None,
        });
        Csr::new(self, csrs.len() - 1)
    }

    /// Takes the name of an input; a name that is taken is recorded as a mistake.
    pub(crate) fn claim(&self, name: &str, at: At) -> bool {
        let earlier = self.state.borrow().inputs.get(name).copied();
        if let Some(earlier) = earlier {
            let diag =
                Diag::new(format!("the name `{name}` is taken"), Span::from(at), "declared again here");
            self.report(
                diag.label(Span::from(earlier), "first here")
                    .help("inputs, parameters and state share one set of names; choose another"),
            );
            return false;
        }
        if name.is_empty() {
            self.error(at, "an input needs a name; it is empty", "declared here");
            return false;
        }
        self.state.borrow_mut().inputs.insert(name.to_owned(), at);
        true
    }

    /// Adds an input node under a new name.
    pub(crate) fn declare(&self, name: &str, kind: InputKind, ty: Type, at: At) -> Option<Operand> {
        self.claim(name, at).then(|| self.input_node(name, kind, ty, at)).flatten()
    }

    /// Adds an input node whose name has been claimed.
    pub(crate) fn input_node(&self, name: &str, kind: InputKind, ty: Type, at: At) -> Option<Operand> {
        self.node_of(Input { name: name.to_owned(), kind, ty }, &[], &[], at).map(Operand::from)
    }

    /// The node of a declared pattern: made when it is first used, so that `symmetric` and `nnz` can come first.
    pub(crate) fn csr_node(&self, index: usize) -> Option<Operand> {
        let decl = self.state.borrow().csrs.get(index).cloned()?;
        if decl.value.is_some() {
            return decl.value;
        }
        let nnz = match decl.nnz {
            Some(nnz) => nnz,
            None => {
                let name: String =
                    decl.name.chars().map(|c| if is_name(c) { c } else { '_' }).collect::<String>() + "_nnz";
                self.declare_dim(&name, 0, i64::from(i32::MAX), decl.at)?
            }
        };
        let ty = Type::Csr(CsrType { rows: decl.rows, cols: decl.cols, nnz, symmetric: decl.symmetric });
        let value = self.input_node(&decl.name, InputKind::Data, ty, decl.at);
        self.state.borrow_mut().csrs[index].value = value;
        value
    }

    /// Makes a parameter known to the program; gives its place among the parameters.
    fn register(&self, spec: &Arc<ParamSpec>) -> usize {
        let known = self.state.borrow().params.iter().position(|(s, _)| Arc::ptr_eq(s, spec));
        if let Some(index) = known {
            return index;
        }
        let mut slot = Slot::Unused;
        if !self.claim(&spec.name, spec.at) {
            slot = Slot::Poisoned;
        } else if let Some(fault) = spec.fault() {
            self.error(spec.at, fault, "this parameter");
            slot = Slot::Poisoned;
        } else {
            // Two names that hash alike would draw the same numbers.
            let alike = self
                .state
                .borrow()
                .params
                .iter()
                .map(|(s, _)| s.clone())
                .find(|s| s.name != spec.name && s.stream() == spec.stream());
            if let Some(alike) = alike {
                let message = format!(
                    "the parameters `{}` and `{}` would begin with the same random numbers",
                    alike.name, spec.name
                );
                let diag = Diag::new(message, Span::from(spec.at), "this parameter");
                self.report(diag.label(Span::from(alike.at), "and this").help("rename one of them"));
            }
        }
        let params = &mut self.state.borrow_mut().params;
        params.push((spec.clone(), slot));
        params.len() - 1
    }

    /// The node of a parameter, made when it is first used.
    pub(crate) fn param_node(&self, spec: &Arc<ParamSpec>) -> Option<Operand> {
        let index = self.register(spec);
        let slot = self.state.borrow().params[index].1;
        match slot {
            Slot::Node(value) => Some(value),
            Slot::Poisoned => None,
            Slot::Unused => {
                let ty = Type::tensor(DType::F32, spec.shape.iter().map(|n| Size::from(*n)));
                let value = self.input_node(&spec.name, InputKind::Param, ty, spec.at);
                self.state.borrow_mut().params[index].1 = value.map_or(Slot::Poisoned, Slot::Node);
                value
            }
        }
    }

    /// Declares state: a tensor of constant sizes that is kept between runs, with every element `first`
    /// before the first run. [`Scope::update`] gives its next value.
    #[track_caller]
    pub fn state(&self, name: &str, dtype: DType, shape: impl AsRef<[usize]>, first: f64) -> Tensor<'_> {
        let at = Location::caller();
        let shape = shape.as_ref().to_vec();
        let ty = Type::tensor(dtype, shape.iter().map(|n| Size::from(*n)));
        let value = self.declare(name, InputKind::State, ty, at);
        if value.is_some() {
            let first = First::Constant(Literal::float(dtype, first));
            self.state.borrow_mut().states.push(StateSpec { name: name.to_owned(), dtype, shape, first });
        }
        Tensor { scope: self, value, at }
    }

    /// Gives state its value after this run.
    #[track_caller]
    pub fn update(&self, state: Tensor<'_>, next: Tensor<'_>) {
        let at = Location::caller();
        let (Some(old), Some(new)) = (state.value, next.value) else { return };
        let name = match &self.state.borrow().graph.node(old.node).op {
            Op::Input(Input { name, kind: InputKind::State, .. }) => Some(name.clone()),
            _ => None,
        };
        let Some(name) = name else {
            let diag = Diag::new("only state can be updated", Span::from(at), "updated here");
            self.report(diag.label(Span::from(state.at), "not state").help("declare it with `state`"));
            return;
        };
        let (from, to) = {
            let graph = &self.state.borrow().graph;
            (graph.type_of(old).clone(), graph.type_of(new).clone())
        };
        if from != to {
            let message = format!("the state `{name}` is {from}, its next value {to}");
            let diag = Diag::new(message, Span::from(at), "updated here");
            self.report(
                diag.label(Span::from(state.at), format!("this is {from}"))
                    .label(Span::from(next.at), format!("this is {to}")),
            );
            return;
        }
        let earlier = self.state.borrow_mut().updated.insert(name.clone(), at);
        if let Some(earlier) = earlier {
            let diag = Diag::new(format!("`{name}` is updated twice"), Span::from(at), "again here");
            self.report(diag.label(Span::from(earlier), "first here"));
            return;
        }
        self.state.borrow_mut().graph.updates.push((name, new));
    }

    /// Gives a run's result a name.
    #[track_caller]
    pub fn output(&self, name: &str, tensor: Tensor<'_>) {
        let at = Location::caller();
        let earlier = self.state.borrow_mut().outputs.insert(name.to_owned(), at);
        if let Some(earlier) = earlier {
            let diag = Diag::new(format!("there are two outputs `{name}`"), Span::from(at), "again here");
            self.report(diag.label(Span::from(earlier), "first here").help("choose another name"));
            return;
        }
        if name.is_empty() {
            self.error(at, "an output needs a name; it is empty", "given here");
        }
        if let Some(value) = tensor.value {
            self.state.borrow_mut().graph.outputs.push((name.to_owned(), value));
        }
    }

    /// Asks for one step of an optimizer towards a lower loss, an f32 or f64 scalar, by every parameter that
    /// the program uses.
    ///
    /// The step is written into the program when `program` ends: gradients, then new values of the
    /// parameters and of the optimizer's state. What the program outputs is computed before the step.
    #[track_caller]
    pub fn minimise(&self, loss: Tensor<'_>, optimizer: impl Into<Optimizer>) {
        let at = Location::caller();
        let optimizer = optimizer.into();
        if let Some(fault) = optimizer.fault() {
            self.error(at, fault, "this optimizer");
        }
        let Some(value) = loss.value else { return };
        let ty = self.state.borrow().graph.type_of(value).clone();
        if !ty.as_tensor().is_some_and(|t| t.rank() == 0 && t.dtype.is_float()) {
            let diag = Diag::new(
                format!("`minimise` takes a loss that is one number, {ty} found"),
                Span::from(at),
                "minimised here",
            );
            self.report(
                diag.label(Span::from(loss.at), format!("this is {ty}"))
                    .help("reduce it first, with `mean_all` or `sum_all`"),
            );
            return;
        }
        let earlier = self.state.borrow().minimise.map(|m| m.at);
        if let Some(earlier) = earlier {
            let diag = Diag::new("a program has one `minimise`", Span::from(at), "again here");
            self.report(diag.label(Span::from(earlier), "first here").help("add the losses up"));
            return;
        }
        let lr = match optimizer.lr() {
            Lr::Constant(_) => None,
            Lr::Input(name) => self.declare(name, InputKind::Data, Type::scalar(DType::F32), at),
        };
        self.state.borrow_mut().minimise = Some(Minimise { loss: value, optimizer, lr, at });
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

    /// Seed and step of the random draws, and the stream of a new one.
    pub(crate) fn draw<'g>(&'g self, at: At) -> Option<([Tensor<'g>; 2], u32)> {
        let known = self.state.borrow().rng;
        let (seed, step) = match known {
            Some(found) => found,
            None => {
                let declare = |name: &str, first: First| {
                    let value = self.declare(name, InputKind::State, Type::scalar(DType::I64), at)?;
                    let spec = StateSpec { name: name.to_owned(), dtype: DType::I64, shape: vec![], first };
                    self.state.borrow_mut().states.push(spec);
                    Some(value)
                };
                let seed = declare(RNG_SEED, First::Seed)?;
                let step = declare(RNG_STEP, First::Constant(Literal::int(DType::I64, 0)))?;
                let state = &mut *self.state.borrow_mut();
                let one = state.graph.fill(Literal::int(DType::I64, 1), []);
                let next = state.graph.map(ScalarOp::Add, &[step, one]);
                state.graph.updates.push((RNG_STEP.to_owned(), next));
                state.rng = Some((seed, step));
                (seed, step)
            }
        };
        let stream = {
            let state = &mut *self.state.borrow_mut();
            state.draws += 1;
            state.draws - 1
        };
        Some(([seed, step].map(|o| Tensor { scope: self, value: Some(o), at }), stream))
    }

    /// Random numbers in `[0, 1)`, f32, multiples of 2^-24: different at every element, every run and every
    /// call, the same for the same seed.
    #[track_caller]
    pub fn uniform(&self, shape: impl ShapeLike) -> Tensor<'_> {
        let at = Location::caller();
        let Some(shape) = shape.resolve(self, at) else { return self.poisoned(at) };
        let Some(([seed, step], stream)) = self.draw(at) else { return self.poisoned(at) };
        let bits = self.emit(latentc_ir::ops::random::Random { stream, shape }, &[seed, step], at);
        // The top 24 bits, exact in f32.
        let top = bits.apply(ScalarOp::Div, 256, at);
        top.cast_at(DType::F32, at).apply(ScalarOp::Mul, 1.0 / 16_777_216.0, at)
    }

    /// What was declared and not used belongs to the program too.
    pub(crate) fn close(&self) {
        for spec in self.params.specs() {
            self.register(&spec);
        }
        let patterns = self.state.borrow().csrs.len();
        for index in 0..patterns {
            self.csr_node(index);
        }
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
