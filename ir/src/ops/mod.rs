//! The operations of the graph, one file each, and the registry that lists them.
//!
//! An op is a struct of its attributes that implements [`OpDef`]; the registry makes the enum [`Op`] of
//! them. Everything about an op stands in its file: types, reference semantics, derivative, fusion class,
//! cost, text.

use crate::array::Value;
use crate::batch::{Batch, behind_one};
use crate::dim::{Dim, Proof};
use crate::dtype::Literal;
use crate::graph::{Body, Graph, Operand};
use crate::interp::Watch;
use crate::scalar::{ReduceOp, Signature};
use crate::types::{Shape, TensorType, Type, shape_text};
use smallvec::SmallVec;
use std::fmt;

pub mod after;
pub mod barrier;
pub mod bitcast;
pub mod broadcast;
pub mod cast;
pub mod checkpoint;
pub mod cholesky;
pub mod concat;
pub mod cond;
mod control;
pub mod conv;
pub mod conv_transpose;
pub mod csr_array;
pub mod csr_degree;
pub mod cumulative;
pub mod custom_vjp;
pub mod dropout;
pub mod eigh;
pub mod elementwise;
pub mod fill;
pub mod fold;
pub(crate) mod from_attrs;
pub mod gather_rows;
pub mod index;
pub mod index_update;
pub mod input;
pub mod iota;
pub mod linear_log_sum_exp;
pub mod log_sum_exp;
pub mod lu;
pub mod matmul;
pub mod pad;
pub mod permute;
pub mod pinv;
pub mod placeholder;
pub mod qr;
pub mod random;
pub mod reduce;
pub mod reshape;
pub mod reverse;
pub mod row_sparse;
pub mod scan;
pub mod scatter_rows;
pub mod score_top_k;
pub mod sddmm;
pub mod segment_ids;
pub mod segment_reduce;
pub mod segment_softmax;
pub mod segments;
pub mod size;
pub mod slice;
pub mod softmax;
pub mod sort;
pub mod spmm;
pub mod spmm_rows;
pub mod spread;
pub mod svd;
pub mod top_k;
pub mod triangular_solve;
mod values;
pub mod while_loop;
pub mod windows;

/// Types of the results of a node.
pub type Types = SmallVec<[Type; 1]>;

/// What fusion may do with an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Inputs: read from memory.
    Leaf,
    /// Element by element on operands of one shape.
    Elementwise,
    /// Moves elements: each element of the result is one element of an operand (or a constant), at a
    /// position computed from its own.
    Injective,
    /// Combines elements along axes.
    Reduce,
    /// Sums products: matrix products.
    Contract,
    /// Rows at positions given by data.
    Gather,
    /// Writes at positions given by data.
    Scatter,
    /// Sums over the entries of a sparse pattern.
    Sparse,
    /// Defined by its body in simpler ops; inlined before fusion unless a kernel claims it.
    Composite,
    /// A kernel of its own.
    Opaque,
}

/// Work of a node: floating-point operations and compulsory bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// Floating-point operations.
    pub flops: crate::dim::Dim,
    /// Bytes read and written when every operand and result goes through memory once.
    pub bytes: crate::dim::Dim,
}

/// A derivative that does not exist, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nondifferentiable(pub String);

/// An error of the reference semantics on given data: what was wrong with which operand.
pub type EvalError = String;

/// A named attribute of an op in text form: everything a parser needs to build it again.
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A word: enum variants, element types, names.
    Word(String),
    /// Integers.
    Ints(Vec<i64>),
    /// Sizes.
    Dims(Vec<crate::dim::Dim>),
    /// A type.
    Type(Type),
    /// A string that may hold any character.
    Text(String),
    /// A constant with its type.
    Literal(Literal),
    /// A graph that the op runs.
    Body(Body),
}

/// Attributes in the order of the text form.
pub type Attrs = Vec<(&'static str, Attr)>;

/// One op: everything the compiler knows of it.
pub trait OpDef: fmt::Debug {
    /// The name in text forms.
    fn name(&self) -> &'static str;

    /// The attributes in text form; empty where it has none.
    fn attrs(&self) -> Attrs {
        vec![]
    }

    /// The types of the results, or one sentence that says what was expected and what was found.
    fn infer(&self, operands: &[Type]) -> Result<Types, String>;

    /// Reference semantics: slow, obvious. Types have been checked; data (ids) have not. `types` are those
    /// of the results. Float sums are taken in f64 and rounded once.
    fn eval(
        &self,
        operands: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError>;

    /// As [`OpDef::eval`]; an op with bodies lets `watch` look at every node of them as they run.
    fn eval_watched(
        &self,
        operands: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
        _watch: &mut Watch<'_>,
    ) -> Result<Vec<Value>, EvalError> {
        self.eval(operands, types, dims)
    }

    /// The graphs that the op runs, several times or only sometimes.
    fn bodies(&self) -> Vec<&Body> {
        vec![]
    }

    /// Reverse mode: from the gradients of the results (`None` where it is zero) those of the operands.
    ///
    /// The gradient of a tensor is a tensor of its type or a row-sparse value of its shape; that of a
    /// row-sparse value is a tensor: the gradient of the values it lists.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable>;

    /// The op over a batch: its results with one more axis in front from operands of which some have that axis. `None`
    /// where it has no rule of its own: a composite op is taken as its body then.
    ///
    /// # Errors
    /// One sentence that says why these operands have no such form.
    fn batch(&self, _cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(None)
    }

    /// What fusion may do with it.
    fn class(&self) -> Class;

    /// Work, given the types of operands and results.
    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost;

    /// Whether equal nodes may be merged and unused ones dropped.
    fn is_pure(&self) -> bool {
        true
    }

    /// Composite ops: builds the op from simpler ones on the same operands; gives one value a result.
    fn body(
        &self,
        _graph: &mut Graph,
        _operands: &[Operand],
    ) -> Option<Result<Vec<Operand>, crate::diag::Diag>> {
        None
    }
}

/// What a reverse-mode rule works with.
#[derive(Debug)]
pub struct Vjp<'g> {
    /// The graph to write into.
    pub graph: &'g mut Graph,
    /// Operands of the node.
    pub operands: &'g [Operand],
    /// Results of the node.
    pub results: &'g [Operand],
    /// Gradients of the results; `None` is zero.
    pub gradients: &'g [Option<Operand>],
    /// Which operands need a gradient; the others may be left `None`.
    pub wanted: &'g [bool],
}

impl Vjp<'_> {
    /// The gradient of a result, a row-sparse one as the dense sum of its rows.
    pub fn gradient(&mut self, result: usize) -> Option<Operand> {
        self.gradients[result].map(|dy| self.graph.densify(dy))
    }

    /// The derivative of the body of a composite op.
    pub fn through_body(&mut self, op: &dyn OpDef) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let refused = |d: crate::diag::Diag| Nondifferentiable(d.notes.first().cloned().unwrap_or(d.message));
        let seeds: Vec<Option<Operand>> = (0..self.results.len()).map(|i| self.gradient(i)).collect();
        let Some(body) = op.body(self.graph, self.operands) else {
            return Ok(vec![None; self.operands.len()]);
        };
        let outer: Vec<(Operand, Operand)> =
            body.map_err(refused)?.into_iter().zip(seeds).filter_map(|(o, g)| Some((o, g?))).collect();
        crate::grad::pull_back(self.graph, &outer, self.operands).map_err(refused)
    }

    /// A linear map of the gradient of a result. One that is the same for every row (`rowwise`) acts on the
    /// listed rows alone of a row-sparse gradient; before any other the gradient is made dense.
    pub fn pull(
        &mut self,
        result: usize,
        rowwise: bool,
        f: impl FnOnce(&mut Graph, Operand) -> Operand,
    ) -> Option<Operand> {
        let gradient = if rowwise { self.gradients[result] } else { self.gradient(result) };
        gradient.map(|dy| self.map_rows(dy, f))
    }

    /// A linear map, the same for every row, of a gradient; of a row-sparse one only the listed rows.
    pub fn map_rows(&mut self, gradient: Operand, f: impl FnOnce(&mut Graph, Operand) -> Operand) -> Operand {
        let Type::RowSparse(r) = self.graph.type_of(gradient) else { return f(self.graph, gradient) };
        let rows = r.shape[0].clone();
        let (ids, values) = self.graph.row_sparse_parts(gradient);
        let values = f(self.graph, values);
        self.graph.emit(row_sparse::RowSparse { rows }, &[ids, values])
    }
}

macro_rules! registry {
    ($($module:ident :: $variant:ident),+ $(,)?) => {
        /// An op with its attributes.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Op {
            $(#[doc = concat!("See [`", stringify!($module), "::", stringify!($variant), "`].")]
            $variant($module::$variant),)+
        }

        impl Op {
            /// Everything about the op.
            pub fn def(&self) -> &dyn OpDef {
                match self { $(Op::$variant(op) => op,)+ }
            }

            /// The ops there are, by the name of their struct, in the order of the registry.
            pub const KINDS: &[&str] = &[$(stringify!($variant)),+];

            /// Which of [`Op::KINDS`] it is.
            pub fn kind(&self) -> &'static str {
                match self { $(Op::$variant(_) => stringify!($variant),)+ }
            }
        }

        $(impl From<$module::$variant> for Op {
            fn from(op: $module::$variant) -> Op { Op::$variant(op) }
        })+
    };
}

registry! {
    input::Input,
    fill::Fill,
    iota::Iota,
    size::Size,
    random::Random,
    elementwise::Elementwise,
    cast::Cast,
    after::After,
    bitcast::Bitcast,
    broadcast::Broadcast,
    reshape::Reshape,
    permute::Permute,
    slice::Slice,
    concat::Concat,
    pad::Pad,
    reverse::Reverse,
    windows::Windows,
    spread::Spread,
    fold::Fold,
    reduce::Reduce,
    cumulative::Cumulative,
    matmul::Matmul,
    conv::Conv,
    conv_transpose::ConvTranspose,
    gather_rows::GatherRows,
    index::Index,
    index_update::IndexUpdate,
    scatter_rows::ScatterRows,
    row_sparse::RowSparse,
    row_sparse::RowSparseParts,
    segments::Segments,
    segment_reduce::SegmentReduce,
    segment_ids::SegmentIds,
    segment_softmax::SegmentSoftmax,
    spmm::Spmm,
    spmm_rows::SpmmRows,
    sddmm::Sddmm,
    csr_degree::CsrDegree,
    csr_array::CsrArrayOf,
    top_k::TopK,
    sort::Sort,
    cholesky::Cholesky,
    triangular_solve::TriangularSolve,
    lu::Lu,
    qr::Qr,
    svd::Svd,
    eigh::Eigh,
    pinv::Pinv,
    score_top_k::ScoreTopK,
    dropout::Dropout,
    softmax::Softmax,
    log_sum_exp::LogSumExp,
    linear_log_sum_exp::LinearLogSumExp,
    scan::Scan,
    cond::Cond,
    while_loop::While,
    placeholder::Placeholder,
    custom_vjp::CustomVjp,
    checkpoint::Checkpoint,
    barrier::Barrier,
}

impl Op {
    /// The same op with other bodies, as many as it has; `None` where it has none.
    pub(crate) fn with_bodies(&self, bodies: Vec<Body>) -> Option<Op> {
        let mut bodies = bodies.into_iter();
        Some(match self {
            Op::Scan(s) => scan::Scan { body: bodies.next()?, ..s.clone() }.into(),
            Op::Cond(_) => cond::Cond { then: bodies.next()?, otherwise: bodies.next()? }.into(),
            Op::While(w) => {
                while_loop::While { test: bodies.next()?, body: bodies.next()?, ..w.clone() }.into()
            }
            _ => return None,
        })
    }
}

impl Op {
    /// Whether each element of the result is computed from the elements at its own position alone.
    pub fn is_map(&self) -> bool {
        matches!(self, Op::Elementwise(_) | Op::Cast(_) | Op::Bitcast(_))
    }
}

/// Axes of a tensor.
pub type Axes = SmallVec<[usize; 4]>;

/// One result.
fn one(ty: Type) -> Types {
    Types::from_iter([ty])
}

/// The operands as so many tensors.
fn tensors<'a>(name: &str, count: usize, operands: &'a [Type]) -> Result<Vec<&'a TensorType>, String> {
    let found: Option<Vec<&TensorType>> = operands.iter().map(Type::as_tensor).collect();
    match found {
        Some(t) if t.len() == count => Ok(t),
        _ => Err(format!(
            "`{name}` takes {count} tensor{}, {} found",
            if count == 1 { "" } else { "s" },
            list(operands)
        )),
    }
}

/// A list whose length has been checked, as an array.
fn fixed<const N: usize, T>(list: Vec<T>) -> [T; N] {
    match list.try_into() {
        Ok(array) => array,
        Err(_) => unreachable!("the length has been checked"),
    }
}

/// Types for messages.
fn list(types: &[Type]) -> String {
    match types {
        [] => "nothing".to_owned(),
        types => types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// Numbers of the formats that are stored alone are not added up or put in order.
fn not_storage(name: &str, t: &TensorType) -> Result<(), String> {
    if t.dtype.is_storage() {
        return Err(format!("`{name}` does not compute in {}, which is for storage; insert a cast", t.dtype));
    }
    Ok(())
}

fn same_shape(name: &str, a: &TensorType, b: &TensorType) -> Result<(), String> {
    let equal =
        a.rank() == b.rank() && a.shape.iter().zip(&b.shape).all(|(x, y)| x.eq_proof(y) == Proof::True);
    if equal {
        return Ok(());
    }
    Err(format!(
        "`{name}` takes operands of one shape, {} and {} found",
        shape_text(&a.shape),
        shape_text(&b.shape)
    ))
}

fn same_dim(name: &str, what: &str, a: &Dim, that: &str, b: &Dim) -> Result<(), String> {
    match a.eq_proof(b) {
        Proof::True => Ok(()),
        Proof::False => Err(format!("`{name}`: {what} is {a}, but {that} is {b}")),
        Proof::Unknown => {
            Err(format!("`{name}`: {what} is {a} and {that} is {b}, which cannot be shown equal"))
        }
    }
}

fn axis_size<'a>(name: &str, t: &'a TensorType, axis: usize) -> Result<&'a Dim, String> {
    t.shape.get(axis).ok_or_else(|| {
        format!("`{name}` along axis {axis}, the operand has {} axes: {}", t.rank(), shape_text(&t.shape))
    })
}

fn ascending(name: &str, what: &str, axes: &[usize], rank: usize) -> Result<(), String> {
    if axes.is_sorted_by(|a, b| a < b) && axes.last().is_none_or(|a| *a < rank) {
        Ok(())
    } else {
        Err(format!("`{name}`: {what} {axes:?} must be ascending and below {rank}"))
    }
}

fn ids_and_values(name: &str, ids: &TensorType, values: &TensorType) -> Result<(), String> {
    if ids.dtype != crate::dtype::DType::I32 || ids.rank() != 1 || values.rank() == 0 {
        return Err(format!(
            "`{name}` takes i32 ids of one axis and values of at least one, {}{} and {}{} found",
            ids.dtype,
            shape_text(&ids.shape),
            values.dtype,
            shape_text(&values.shape)
        ));
    }
    not_storage(name, values)?;
    same_dim(name, "the number of ids", &ids.shape[0], "axis 0 of the values", &values.shape[0])
}

/// The sizes of the operand's gradient for the gradient `dy` of the result, of which there may be listed rows
/// alone where the map is `rowwise`.
fn sizes_for(graph: &Graph, dy: Operand, operand: &[Dim], rowwise: bool) -> Shape {
    let rows = graph.tensor(dy).shape.iter().take(usize::from(rowwise));
    rows.chain(operand.iter().skip(usize::from(rowwise))).cloned().collect()
}

fn ints(axes: &[usize]) -> Vec<i64> {
    axes.iter().map(|a| *a as i64).collect()
}

fn literal_attr(value: Literal) -> Attr {
    Attr::Literal(value)
}

fn zero_flops() -> Dim {
    Dim::constant(0)
}

/// Number of elements of a tensor, of listed elements of a row-sparse value, of entries of a pattern.
pub fn elements(ty: &Type) -> Dim {
    match ty {
        Type::Tensor(t) => t.elements(),
        Type::Csr(c) => c.nnz.clone(),
        Type::RowSparse(r) => &r.count * &crate::types::product(&r.shape[1..]),
    }
}

/// Bytes of a value in memory; of a pattern, those of one direction.
pub fn bytes_of(ty: &Type) -> Dim {
    match ty {
        Type::Tensor(t) => &t.elements() * &t.dtype.size().into(),
        Type::Csr(c) => &(&c.nnz + &c.rows) * &4.into(),
        Type::RowSparse(r) => &(&elements(ty) * &r.dtype.size().into()) + &(&r.count * &4.into()),
    }
}

fn traffic(operands: &[Type], results: &[Type]) -> Dim {
    operands.iter().chain(results).fold(Dim::constant(0), |sum, t| &sum + &bytes_of(t))
}

fn nnz(csr: &Type) -> Dim {
    csr.as_csr().map_or_else(|| 0.into(), |c| c.nnz.clone())
}

/// Elements of a row of a tensor.
fn width(ty: &Type) -> Dim {
    ty.as_tensor().and_then(|t| t.shape.get(1..)).map_or_else(|| 1.into(), crate::types::product)
}

fn rows_of(ty: &Type) -> Dim {
    ty.as_tensor().and_then(|t| t.shape.first().cloned()).unwrap_or_else(|| 1.into())
}
