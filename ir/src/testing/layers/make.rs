//! A program of blocks under construction.
//!
//! A bound on the size of every value is carried along, and what may grow beyond it is scaled down, so that
//! results stay moderate.

use super::super::given::make_wild;
use super::blocks;
use crate::array::{Array, Value};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::grad::gradients;
use crate::graph::{Graph, InputKind, Operand};
use crate::ops::Axes;
use crate::ops::input::Input;
use crate::philox::Stream;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::testing::{RandomGraph, random_array, random_ids, random_pattern};
use crate::types::{CsrType, Shape, Type};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of the large tensors: none, few, a tile and its neighbours, several chunks.
pub(in crate::testing) const SIZES: [usize; 14] = [0, 1, 2, 3, 5, 7, 8, 9, 17, 33, 64, 100, 257, 600];
/// Widths of rows.
const WIDTHS: [usize; 22] =
    [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 64, 65, 100, 128, 257, 300, 1030];
/// No tensor has more elements.
const ELEMENTS: usize = 40_000;
/// Values are at most this large.
const GREATEST: f64 = 4.0;

/// A value with a bound on its size.
#[derive(Clone, Debug)]
pub(in crate::testing) struct Entry {
    pub(in crate::testing) o: Operand,
    pub(in crate::testing) bound: f64,
}

#[derive(Debug)]
pub(in crate::testing) struct Make {
    pub(in crate::testing) g: Graph,
    pub(in crate::testing) random: Stream,
    inputs: Vec<(String, Value)>,
    pool: Vec<Entry>,
    dims: BTreeMap<String, i64>,
    /// Whether inputs hold NaN, infinities and zeros of both signs now and then.
    pub(in crate::testing) wild: bool,
    /// The type of all floats.
    pub(in crate::testing) float: DType,
    /// Rows of nodes, rows of a batch.
    pub(in crate::testing) rows: [Dim; 2],
}

impl Make {
    pub(in crate::testing) fn new(float: DType, size: usize, seed: u32) -> Make {
        let mut random = Stream::new(seed.into(), 7, 0);
        let n = SIZES[size % SIZES.len()];
        let b = SIZES[random.below((size + 1).min(SIZES.len()) as u32) as usize];
        let mut dims = BTreeMap::new();
        let mut dim = |name: &str, value: usize| {
            if random.below(3) == 0 {
                return Dim::from(value);
            }
            dims.insert(name.to_owned(), value as i64);
            // Ranges that are tight, and ranges that are not.
            let hi = [value.max(1), 2 * value + 3, 2000][random.below(3) as usize];
            Dim::symbol(name, [0, value][random.below(2) as usize] as i64, hi as i64)
        };
        let rows = [dim("n", n), dim("b", b)];
        let mut make = Make {
            g: Graph::new("layers"),
            random,
            inputs: vec![],
            pool: vec![],
            dims,
            wild: false,
            float,
            rows,
        };
        // Every symbol is the size of an input.
        for rows in make.rows.clone() {
            make.matrix(rows);
        }
        make
    }

    pub(in crate::testing) fn step(&mut self, block: u16, seed: u32) {
        self.random = Stream::new(seed.into(), 8, 0);
        let block = blocks::TABLE[usize::from(block) % blocks::TABLE.len()];
        block(self);
    }

    // ---- choices ----

    pub(in crate::testing) fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound.max(1) as u32) as usize
    }

    pub(in crate::testing) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    pub(in crate::testing) fn one_of<T: Clone>(&mut self, list: &[T]) -> T {
        let at = self.below(list.len());
        list[at].clone()
    }

    pub(in crate::testing) fn size(&self, dim: &Dim) -> usize {
        dim.eval(&|s| self.dims.get(s).copied()).map_or(0, |v| v as usize)
    }

    pub(in crate::testing) fn count(&self, shape: &[Dim]) -> usize {
        shape.iter().map(|d| self.size(d)).product()
    }

    pub(in crate::testing) fn shape(&self, o: Operand) -> Shape {
        self.g.shape_of(o)
    }

    /// A width for so many rows.
    pub(in crate::testing) fn width(&mut self, rows: usize) -> usize {
        loop {
            let width = self.one_of(&WIDTHS);
            if width * rows <= ELEMENTS {
                return width;
            }
        }
    }

    // ---- values ----

    /// An f32 value of the pool whose shape is accepted: often the newest.
    pub(in crate::testing) fn pick(&mut self, accept: impl Fn(&[Dim]) -> bool) -> Option<Entry> {
        let fits = |e: &&Entry| self.g.dtype_of(e.o) == self.float && accept(&self.g.tensor(e.o).shape);
        let fitting: Vec<Entry> = self.pool.iter().filter(fits).cloned().collect();
        match fitting.len() {
            0 => None,
            n if self.one_in(2) => Some(fitting[n - 1].clone()),
            n => {
                let at = self.below(n);
                Some(fitting[at].clone())
            }
        }
    }

    /// A matrix of rows: of the pool, or now and then a new input.
    pub(in crate::testing) fn rows_of_any(&mut self) -> Entry {
        let found = if self.one_in(6) { None } else { self.pick(|s| s.len() == 2) };
        found.unwrap_or_else(|| {
            let rows = self.one_of(&self.rows.clone());
            self.matrix(rows)
        })
    }

    /// A new input of these rows.
    pub(in crate::testing) fn matrix(&mut self, rows: Dim) -> Entry {
        let width = match self.rows[1].clone() {
            // Now and then of run-time width.
            b if self.pool.len() > 1 && self.one_in(8) => b,
            _ => self.width(self.size(&rows)).into(),
        };
        self.input(self.float, [rows, width].into_iter().collect())
    }

    /// A value of a shape: of the pool, or a new input.
    pub(in crate::testing) fn value(&mut self, shape: &[Dim]) -> Entry {
        let found = if self.one_in(4) { None } else { self.pick(|s| s == shape) };
        found.unwrap_or_else(|| self.input(self.float, shape.iter().cloned().collect()))
    }

    /// A new input.
    pub(in crate::testing) fn input(&mut self, dtype: DType, shape: Shape) -> Entry {
        let kind = self.one_of(&[InputKind::Data, InputKind::Param, InputKind::Param, InputKind::State]);
        let sizes: Vec<usize> = shape.iter().map(|d| self.size(d)).collect();
        let mut value = random_array(&mut self.random, dtype, &sizes);
        if self.wild {
            make_wild(&mut self.random, &mut value);
        }
        let value = Value::Tensor(value);
        let o = self.new_input(&format!("x{}", self.inputs.len()), kind, Type::tensor(dtype, shape), value);
        let entry = Entry { o, bound: 2.0 };
        self.pool.push(entry.clone());
        entry
    }

    /// Moderate values of a shape.
    pub(in crate::testing) fn random(&mut self, shape: &Shape) -> Array {
        let sizes: Vec<usize> = shape.iter().map(|d| self.size(d)).collect();
        random_array(&mut self.random, self.float, &sizes)
    }

    pub(in crate::testing) fn state(&mut self, name: &str, shape: &Shape, value: Option<Array>) -> Operand {
        let sizes: Vec<usize> = shape.iter().map(|d| self.size(d)).collect();
        let value = value.unwrap_or_else(|| Array::zeros(self.float, &sizes));
        let ty = Type::tensor(value.dtype(), shape.iter().cloned());
        self.new_input(name, InputKind::State, ty, Value::Tensor(value))
    }

    fn new_input(&mut self, name: &str, kind: InputKind, ty: Type, value: Value) -> Operand {
        self.inputs.push((name.to_owned(), value));
        self.g.emit(Input { name: name.to_owned(), kind, ty }, &[])
    }

    /// Ids below a number of rows; none where there are no rows.
    pub(in crate::testing) fn ids(&mut self, shape: Shape, rows: &Dim) -> Option<Operand> {
        let (bound, count) = (self.size(rows), self.count(&shape));
        (bound > 0 || count == 0).then_some(())?;
        let sizes: Vec<usize> = shape.iter().map(|d| self.size(d)).collect();
        let value = Value::Tensor(random_ids(&mut self.random, count, bound).reshaped(&sizes));
        let name = format!("ids{}", self.inputs.len());
        Some(self.new_input(&name, InputKind::Data, Type::tensor(DType::I32, shape), value))
    }

    /// A pattern between nodes, batches or a small number of others, and the most entries of a row or column.
    pub(in crate::testing) fn pattern(&mut self, rows: Dim, cols: Dim, symmetric: bool) -> (Operand, f64) {
        let (r, c) = (self.size(&rows), self.size(&cols));
        let csr = random_pattern(&mut self.random, r, c, symmetric);
        let twin = csr.transposed();
        let most = |indptr: &[i32]| indptr.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
        let most = most(&csr.indptr).max(most(&twin.indptr)).max(1);
        let name = format!("csr{}", self.inputs.len());
        let symbol = format!("nnz{}", self.inputs.len());
        let entries = csr.indices.len() as i64;
        let nnz = Dim::symbol(symbol.clone(), 0, self.one_of(&[entries.max(1), 2 * entries + 3, 1 << 16]));
        self.dims.insert(symbol, entries);
        let ty = Type::Csr(CsrType { rows, cols, nnz, symmetric });
        let o = self.new_input(&name, InputKind::Data, ty, Value::Csr(Arc::new(csr)));
        (o, f64::from(most))
    }

    /// Puts a value into the pool, scaled down where it may be large.
    pub(in crate::testing) fn push(&mut self, o: Operand, bound: f64) -> Entry {
        let mut entry = Entry { o, bound };
        if bound > GREATEST {
            let down = (-(bound / GREATEST).log2().ceil()).exp2();
            entry = Entry { o: self.g.scale(o, down), bound: bound * down };
        }
        self.pool.push(entry.clone());
        entry
    }

    pub(in crate::testing) fn map(&mut self, op: ScalarOp, operands: &[Operand]) -> Operand {
        self.g.map(op, operands)
    }

    /// `|x| + c`.
    pub(in crate::testing) fn positive(&mut self, x: Operand, c: f64) -> Operand {
        let size = self.map(ScalarOp::Abs, &[x]);
        let c = self.g.fill_like(x, c);
        self.map(ScalarOp::Add, &[size, c])
    }

    // ---- the end ----

    /// Adds a loss of the last values, and an optimizer for every parameter that it depends on.
    pub(in crate::testing) fn train(&mut self, optimizer: u8) {
        let params: Vec<Operand> = self
            .g
            .inputs()
            .iter()
            .map(|n| Operand::from(*n))
            .filter(|o| self.kind_of(*o) == Some(InputKind::Param))
            .collect();
        let mut loss: Option<Operand> = None;
        for e in self.sinks() {
            let shape = self.shape(e.o);
            let square = self.map(ScalarOp::Square, &[e.o]);
            let all: Axes = (0..shape.len()).collect();
            let sum = self.g.reduce(ReduceOp::Sum, square, all);
            let part = self.g.scale(sum, 1.0 / (self.count(&shape).max(1) as f64));
            if gradients(&mut self.g.clone(), part, &params).is_ok() {
                loss = Some(match loss {
                    None => part,
                    Some(so_far) => self.map(ScalarOp::Add, &[so_far, part]),
                });
            }
        }
        let Some(loss) = loss else { return };
        let Ok(found) = gradients(&mut self.g, loss, &params) else { return };
        for (p, gradient) in params.into_iter().zip(found) {
            if let Some(gradient) = gradient {
                self.update(p, gradient, optimizer);
            }
        }
        self.g.outputs.push(("loss".to_owned(), loss));
    }

    fn kind_of(&self, o: Operand) -> Option<InputKind> {
        match &self.g.node(o.node).op {
            crate::ops::Op::Input(i) => Some(i.kind),
            _ => None,
        }
    }

    /// Plain steps, momentum, or steps divided by a running size of the gradient.
    fn update(&mut self, p: Operand, gradient: Operand, optimizer: u8) {
        let crate::ops::Op::Input(input) = self.g.node(p.node).op.clone() else { return };
        let gradient = self.g.densify(gradient);
        let shape = self.shape(p);
        let by = match optimizer {
            0 => gradient,
            1 => {
                let name = format!("m.{}", input.name);
                let m = self.state(&name, &shape, None);
                let old = self.g.scale(m, 0.9);
                let m = self.map(ScalarOp::Add, &[old, gradient]);
                self.g.updates.push((name, m));
                m
            }
            _ => {
                let name = format!("v.{}", input.name);
                let v = self.state(&name, &shape, None);
                let (old, square) = (self.g.scale(v, 0.9), self.map(ScalarOp::Square, &[gradient]));
                let v = self.map(ScalarOp::Add, &[old, square]);
                self.g.updates.push((name, v));
                let root = self.map(ScalarOp::Sqrt, &[v]);
                let root = self.positive(root, 0.5);
                self.map(ScalarOp::Div, &[gradient, root])
            }
        };
        let by = self.g.scale(by, 0.25);
        let new = self.map(ScalarOp::Sub, &[p, by]);
        self.g.updates.push((input.name, new));
    }

    /// What nothing uses, at most four.
    fn sinks(&self) -> Vec<Entry> {
        let unused = |e: &&Entry| self.g.uses(e.o).is_empty() && self.kind_of(e.o).is_none();
        let found: Vec<Entry> = self.pool.iter().filter(unused).cloned().collect();
        let floats = found.into_iter().rev().filter(|e| self.g.dtype_of(e.o) == self.float);
        floats.take(4).collect()
    }

    pub(in crate::testing) fn finish(mut self) -> RandomGraph {
        if self.g.outputs.is_empty() {
            let sinks = self.sinks();
            let last = self.pool.last().cloned();
            let chosen: Vec<Entry> = if sinks.is_empty() { last.into_iter().collect() } else { sinks };
            self.g.outputs = chosen.iter().enumerate().map(|(i, e)| (format!("y{i}"), e.o)).collect();
        }
        self.g.remove_dead();
        RandomGraph { graph: self.g, inputs: self.inputs }
    }
}
