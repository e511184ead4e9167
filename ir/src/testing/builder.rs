//! The state of a random graph under construction: values so far, with what they are on the inputs so far.
//!
//! Every node is evaluated as it is added, so a step can look at actual values: it scales what has grown,
//! gives up where a result is not finite, and asks whether a discontinuous op would hang on a rounding error.

use super::graphs::{Options, RandomGraph, is_kept};
use super::sparse::random_pattern;
use super::steps;
use super::values::{random_array, random_ids};
use crate::array::{Array, Value};
use crate::diag::Span;
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::graph::{Graph, InputKind, Operand};
use crate::ops::Op;
use crate::ops::elementwise::Elementwise;
use crate::ops::input::Input;
use crate::philox::Stream;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{CsrType, Shape, TensorType, Type};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Types of values that are moved and compared.
const ANY: [DType; 14] = [
    DType::I64,
    DType::I32,
    DType::I16,
    DType::I8,
    DType::U64,
    DType::U32,
    DType::U16,
    DType::U8,
    DType::Bool,
    DType::Bool,
    DType::F8E4M3Fn,
    DType::F8E5M2,
    DType::F8E4M3Fnuz,
    DType::F8E5M2Fnuz,
];
/// Floats are kept below this size by exact scaling.
const GREATEST: f64 = 4.0;
/// How far from a step of a discontinuous op a computed operand must be, relative to its size.
const MARGIN: f64 = 1e-2;
/// No tensor has more elements.
const ELEMENTS: usize = 8192;

/// Nor may have, for any values of the symbols, since memory is planned for the greatest.
const GREATEST_PLAN: i64 = 1 << 20;

/// A value of the graph.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where it is in the graph.
    pub(super) o: Operand,
    /// What it is on the inputs.
    pub(super) value: Value,
    /// Whether every right implementation gets these very bits.
    pub(super) exact: bool,
}

/// A graph under construction.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    options: &'a Options,
    /// The graph.
    pub(super) graph: Graph,
    inputs: Vec<(String, Value)>,
    pool: Vec<Entry>,
    alone: Vec<Operand>,
    dims: BTreeMap<String, i64>,
    /// Symbolic sizes: `n`, which may be 0, and `m`.
    pub(super) symbols: [Dim; 2],
    /// The graph's float type.
    pub(super) float: DType,
    /// Random words of the present step.
    pub(super) random: Stream,
}

impl<'a> Builder<'a> {
    /// A graph of one float input for each symbol.
    pub(super) fn new(options: &'a Options, float: DType, n: usize, m: usize) -> Builder<'a> {
        let symbols = [Dim::symbol("n", 0, 64), Dim::symbol("m", 1, 64)];
        let dims = BTreeMap::from([("n".to_owned(), n as i64), ("m".to_owned(), m as i64)]);
        let mut b = Builder {
            options,
            graph: Graph::new("random"),
            inputs: vec![],
            pool: vec![],
            alone: vec![],
            dims,
            symbols: symbols.clone(),
            float,
            random: Stream::new((n * 64 + m) as u64, 0, 0),
        };
        for dim in symbols {
            b.tensor_input(float, Shape::from_iter([dim, 3.into()]));
        }
        b
    }

    /// Adds one op, or none where the chosen one does not come off.
    pub(super) fn step(&mut self, op: u16, seed: u32) {
        let allowed = |name: &str| !self.options.without.contains(&name);
        let table: Vec<_> = steps::TABLE.iter().filter(|(name, _)| allowed(name)).collect();
        if let Some((_, step)) = table.get(usize::from(op) % table.len().max(1)) {
            self.random = Stream::new(seed.into(), 1, 0);
            step(self);
        }
    }

    /// The graph with outputs: what nothing uses, at most four, dense tensors. Some parameters get updates.
    pub(super) fn finish(mut self) -> RandomGraph {
        let sinks: Vec<Operand> = self
            .pool
            .iter()
            .map(|e| e.o)
            .filter(|o| matches!(self.graph.type_of(*o), Type::Tensor(_)))
            .filter(|o| self.graph.uses(*o).is_empty() && !self.is_input(*o))
            .collect();
        let last = self.pool.iter().rev().map(|e| e.o);
        let chosen: Vec<Operand> = if sinks.is_empty() {
            last.filter(|o| matches!(self.graph.type_of(*o), Type::Tensor(_))).take(1).collect()
        } else {
            sinks.iter().rev().take(4).rev().copied().collect()
        };
        self.graph.outputs =
            chosen.iter().chain(&self.alone).enumerate().map(|(i, o)| (format!("y{i}"), *o)).collect();
        for node in self.graph.inputs().to_vec() {
            let Op::Input(input) = self.graph.node(node).op.clone() else { continue };
            if is_kept(input.kind)
                && let Some(new) = self.pick(|ty| *ty == input.ty)
                && new.o.node != node
            {
                self.graph.updates.push((input.name, new.o));
            }
        }
        self.graph.remove_dead();
        RandomGraph { graph: self.graph, inputs: self.inputs }
    }

    fn is_input(&self, o: Operand) -> bool {
        matches!(self.graph.node(o.node).op, Op::Input(_))
    }

    /// Whether graphs may hold this op.
    pub(super) fn allows(&self, name: &str) -> bool {
        !self.options.without.contains(&name)
    }

    // ---- choices ----

    /// A number below `bound`, which is positive.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound.clamp(1, 1 << 30) as u32) as usize
    }

    /// True once in `of` times.
    pub(super) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    /// One of a list that has at least one.
    pub(super) fn one_of<T: Clone>(&mut self, list: &[T]) -> T {
        let at = self.below(list.len());
        list[at].clone()
    }

    /// A size: a symbol, or a small constant.
    pub(super) fn dim(&mut self) -> Dim {
        match self.below(5) {
            0 => self.symbols[0].clone(),
            1 => self.symbols[1].clone(),
            _ => Dim::from(self.one_of(&[1usize, 2, 3, 4, 5, 7, 8, 9, 17, 33])),
        }
    }

    /// Sizes of so many axes, with few enough elements.
    pub(super) fn shape(&mut self, rank: usize) -> Shape {
        let mut shape: Shape = (0..rank).map(|_| self.dim()).collect();
        while self.count(&shape) > ELEMENTS {
            shape.pop();
            shape.push(1.into());
            if shape.iter().all(|d| d.as_const() == Some(1)) {
                break;
            }
            shape.rotate_right(1);
        }
        shape
    }

    /// The number of elements in this run.
    pub(super) fn count(&self, shape: &[Dim]) -> usize {
        shape.iter().map(|d| self.size(d)).product()
    }

    /// A size in this run.
    pub(super) fn size(&self, dim: &Dim) -> usize {
        dim.eval(&|s| self.dims.get(s).copied()).and_then(|v| usize::try_from(v).ok()).unwrap_or(0)
    }

    // ---- values ----

    /// A value of the pool whose type is accepted: every second time the newest, so that graphs grow deep.
    pub(super) fn pick(&mut self, accept: impl Fn(&Type) -> bool) -> Option<Entry> {
        let fitting: Vec<usize> =
            (0..self.pool.len()).filter(|i| accept(self.graph.type_of(self.pool[*i].o))).collect();
        if fitting.is_empty() {
            return None;
        }
        let at = if self.one_in(2) { fitting.len() - 1 } else { self.below(fitting.len()) };
        let at = fitting[at];
        Some(self.pool[at].clone())
    }

    /// A value of this type: one of the pool, or now and then a new input.
    pub(super) fn value(&mut self, dtype: DType, shape: Shape) -> Entry {
        let ty = Type::Tensor(TensorType { dtype, shape: shape.clone() });
        let found = if self.one_in(4) { None } else { self.pick(|t| *t == ty) };
        found.unwrap_or_else(|| self.tensor_input(dtype, shape))
    }

    /// A float tensor of at least `rank` axes: one of the pool, or now and then a new input.
    pub(super) fn floats(&mut self, rank: usize) -> Entry {
        let float = self.float;
        let fits = |ty: &Type| ty.as_tensor().is_some_and(|t| t.dtype == float && t.rank() >= rank);
        let found = if self.one_in(6) { None } else { self.pick(fits) };
        found.unwrap_or_else(|| {
            let rank = rank.max(self.below(4));
            let shape = self.shape(rank);
            self.tensor_input(float, shape)
        })
    }

    /// Any tensor of at least `rank` axes.
    pub(super) fn any(&mut self, rank: usize) -> Entry {
        if self.one_in(8) {
            let dtype = self.one_of(&ANY);
            let rank = rank.max(self.below(3));
            let shape = self.shape(rank);
            return self.tensor_input(dtype, shape);
        }
        let found = self.pick(|ty| ty.as_tensor().is_some_and(|t| t.rank() >= rank));
        found.unwrap_or_else(|| self.floats(rank))
    }

    /// A new input of moderate values.
    pub(super) fn tensor_input(&mut self, dtype: DType, shape: Shape) -> Entry {
        let kind = self.one_of(&[InputKind::Data, InputKind::Param, InputKind::State]);
        let sizes: Vec<usize> = shape.iter().map(|d| self.size(d)).collect();
        let value = Value::Tensor(random_array(&mut self.random, dtype, &sizes));
        self.new_input("x", kind, Type::Tensor(TensorType { dtype, shape }), value)
    }

    /// A new input of matrices: few and small numbers around those that a function of row and column gives.
    pub(super) fn matrices(
        &mut self,
        rows: usize,
        cols: usize,
        heavy: impl Fn(usize, usize) -> f64,
    ) -> Entry {
        let mut shape = if self.one_in(2) { self.shape(1) } else { Shape::new() };
        shape.extend([rows.into(), cols.into()]);
        let sizes: Vec<usize> = shape.iter().map(|d| self.size(d)).collect();
        let mut a = random_array(&mut self.random, self.float, &sizes);
        for i in 0..a.len() {
            let around = heavy(i / cols % rows, i % cols);
            a.set(i, Literal::float(self.float, a.get(i).as_f64() / 32.0 + around));
        }
        let ty = Type::Tensor(TensorType { dtype: self.float, shape });
        self.new_input("x", InputKind::Data, ty, Value::Tensor(a))
    }

    /// Ids of a shape below the number of rows: of the pool where some fit, else a new input. `None` where
    /// there is no row.
    pub(super) fn ids(&mut self, shape: Shape, rows: &Dim) -> Option<Entry> {
        let bound = self.size(rows);
        let count = self.count(&shape);
        if bound == 0 && count > 0 {
            return None;
        }
        let ty = Type::Tensor(TensorType { dtype: DType::I32, shape: shape.clone() });
        if let Some(found) = self.pick(|t| *t == ty)
            && let Value::Tensor(a) = &found.value
            && a.as_slice::<i32>().iter().all(|id| (0..bound as i64).contains(&i64::from(*id)))
        {
            return Some(found);
        }
        let sizes: Vec<usize> = shape.iter().map(|d| self.size(d)).collect();
        let value = Value::Tensor(random_ids(&mut self.random, count, bound).reshaped(&sizes));
        Some(self.new_input("ids", InputKind::Data, ty, value))
    }

    /// A pattern: of the pool, or a new input.
    pub(super) fn pattern(&mut self) -> Entry {
        let found = if self.one_in(3) { None } else { self.pick(|ty| ty.as_csr().is_some()) };
        found.unwrap_or_else(|| {
            let symmetric = self.one_in(2);
            let [n, m] = self.symbols.clone();
            let [rows, cols] = [(); 2].map(|()| self.one_of(&[n.clone(), m.clone(), 17.into(), 33.into()]));
            let cols = if symmetric { rows.clone() } else { cols };
            self.csr_input(rows, cols, symmetric)
        })
    }

    /// A new pattern of these sizes.
    pub(super) fn csr_input(&mut self, rows: Dim, cols: Dim, symmetric: bool) -> Entry {
        let (r, c) = (self.size(&rows), self.size(&cols));
        let csr = random_pattern(&mut self.random, r, c, symmetric);
        let name = format!("nnz{}", self.inputs.len());
        let nnz = Dim::symbol(name.clone(), 0, 4096);
        self.dims.insert(name, csr.indices.len() as i64);
        let ty = Type::Csr(CsrType { rows, cols, nnz, symmetric });
        self.new_input("csr", InputKind::Data, ty, Value::Csr(Arc::new(csr)))
    }

    fn new_input(&mut self, name: &str, kind: InputKind, ty: Type, value: Value) -> Entry {
        let name = format!("{name}{}", self.inputs.len());
        self.inputs.push((name.clone(), value.clone()));
        let o = match self.graph.value(Input { name, kind, ty }, &[], Span::none()) {
            Ok(o) => o,
            Err(d) => unreachable!("an input takes any type: {d}"),
        };
        let entry = Entry { o, value, exact: true };
        self.pool.push(entry.clone());
        entry
    }

    // ---- nodes ----

    /// Adds a node whose results are outputs and nothing else: they need not be finite.
    pub(super) fn add_alone(&mut self, op: impl Into<Op>, operands: &[&Entry]) -> Option<()> {
        let nodes: Vec<Operand> = operands.iter().map(|e| e.o).collect();
        let node = self.graph.add(op, &nodes, Span::none()).ok()?;
        for port in 0..self.graph.node(node).types.len() {
            self.alone.push(Operand { node, port: port as u16 });
        }
        Some(())
    }

    /// Adds a node and evaluates it; gives its results, floats scaled to moderate size. `None` where the op
    /// refuses its operands or a result is not finite.
    pub(super) fn add(&mut self, op: impl Into<Op>, operands: &[&Entry]) -> Option<Vec<Entry>> {
        let op = op.into();
        let nodes: Vec<Operand> = operands.iter().map(|e| e.o).collect();
        let node = self.graph.add(op.clone(), &nodes, Span::none()).ok()?;
        let values: Vec<&Value> = operands.iter().map(|e| &e.value).collect();
        let types = self.graph.node(node).types.clone();
        let too_large =
            |t: &TensorType| self.count(&t.shape) > 8 * ELEMENTS || t.elements().upper() > GREATEST_PLAN;
        if types.iter().any(|t| t.as_tensor().is_some_and(too_large)) {
            return None;
        }
        let dims = &self.dims;
        let results = op.def().eval(&values, &types, &|s| dims.get(s).copied()).ok()?;
        let exact = keeps_bits(&op) && operands.iter().all(|e| e.exact);
        let mut entries = vec![];
        for (port, value) in results.into_iter().enumerate() {
            let o = Operand { node, port: port as u16 };
            entries.push(self.moderate(Entry { exact: exact || is_whole(&value), o, value })?);
        }
        self.pool.extend(entries.iter().cloned());
        Some(entries)
    }

    /// An elementwise op.
    pub(super) fn map(&mut self, op: ScalarOp, operands: &[&Entry]) -> Option<Entry> {
        self.add(Elementwise { op }, operands)?.into_iter().next()
    }

    /// A constant of the type and the shape of another value.
    pub(super) fn fill_like(&mut self, x: &Entry, value: f64) -> Option<Entry> {
        let t = self.graph.tensor(x.o).clone();
        let fill = crate::ops::fill::Fill { value: Literal::float(t.dtype, value), shape: t.shape };
        self.add(fill, &[])?.into_iter().next()
    }

    /// `|x| + 1/2`: far from the poles of logarithms and quotients.
    pub(super) fn away_from_zero(&mut self, x: &Entry) -> Option<Entry> {
        let size = self.map(ScalarOp::Abs, &[x])?;
        let half = self.fill_like(x, 0.5)?;
        self.map(ScalarOp::Add, &[&size, &half])
    }

    /// The value, scaled by a power of two where it has grown.
    fn moderate(&mut self, mut entry: Entry) -> Option<Entry> {
        let Value::Tensor(a) = &entry.value else { return Some(entry) };
        if !a.dtype().is_float() {
            return Some(entry);
        }
        let all = a.to_f64();
        if all.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let greatest = all.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        if a.dtype().is_storage() {
            return (greatest <= GREATEST).then_some(entry);
        }
        if greatest > GREATEST {
            let scale = (-(greatest / GREATEST).log2().ceil()).exp2();
            if Literal::float(a.dtype(), scale).as_f64() != scale || greatest > 1e6 {
                return None;
            }
            let scaled: Vec<f64> = all.iter().map(|x| x * scale).collect();
            let value = Value::Tensor(Array::from_f64(a.dtype(), a.shape(), &scaled));
            let o = self.graph.scale(entry.o, scale);
            entry = Entry { o, value, exact: false };
        }
        Some(entry)
    }
}

/// Whether floats are far enough apart for a comparison of every pair to be the same everywhere.
pub(super) fn apart(pairs: impl IntoIterator<Item = (f64, f64)>) -> bool {
    pairs.into_iter().all(|(a, b)| (a - b).abs() >= MARGIN * (1.0 + a.abs()))
}

/// The elements of a tensor.
pub(super) fn elements(entry: &Entry) -> Vec<f64> {
    match &entry.value {
        Value::Tensor(a) => a.to_f64(),
        _ => vec![],
    }
}

/// Whether every right implementation of an op gives the same bits on the same operands.
fn keeps_bits(op: &Op) -> bool {
    use ScalarOp::*;
    match op {
        Op::Elementwise(e) => {
            matches!(
                e.op,
                Neg | Abs | Sign | Relu | Floor | Ceil | Round | Trunc | Add | Sub | Max | Min | Select
            )
        }
        Op::Fill(_)
        | Op::Iota(_)
        | Op::Broadcast(_)
        | Op::Reshape(_)
        | Op::Permute(_)
        | Op::Slice(_)
        | Op::Concat(_) => true,
        Op::Reverse(_)
        | Op::Windows(_)
        | Op::Spread(_)
        | Op::Pad(_)
        | Op::GatherRows(_)
        | Op::Index(_)
        | Op::RowSparse(_)
        | Op::RowSparseParts(_)
        | Op::Sort(_)
        | Op::TopK(_) => true,
        Op::Cumulative(c) => matches!(c.op, ReduceOp::Max | ReduceOp::Min),
        _ => false,
    }
}

/// Whether a value holds integers or bools, which steps make only where they are certain.
fn is_whole(value: &Value) -> bool {
    matches!(value, Value::Tensor(a) if !a.dtype().is_float())
}
