//! Every op on small operands: what the laws that all ops keep are tried on.
//!
//! An op without a case here fails the law `every_op_has_a_case`; a case is one line in the file of its family.

mod elementwise;
mod linalg;
mod loops;
mod marks;
mod movement;
mod rows;
mod sums;

use super::graphs::RandomGraph;
use super::sparse::random_pattern;
use super::values::random_ids;
use crate::array::{Array, Element, Value};
use crate::diag::{Diag, Span};
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::graph::{Graph, InputKind, Operand};
use crate::ops::Op;
use crate::ops::input::Input;
use crate::ops::row_sparse::RowSparse;
use crate::philox::Stream;
use crate::types::{CsrType, RowSparseType, Shape, Type};
use rustc_hash::FxHashMap;
use std::sync::Arc;

pub use loops::recurrence;

/// An op with values of its operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The op.
    pub op: Op,
    /// Its operands.
    pub operands: Vec<Value>,
}

/// Every op on small operands whose results are smooth about them: floats are f64, none of them at a kink.
pub fn cases() -> Vec<Case> {
    let mut all = vec![];
    let mut case = |op: Op, operands: Vec<Value>| all.push(Case { op, operands });
    for add in [elementwise::add, movement::add, sums::add, rows::add, linalg::add, marks::add, loops::add] {
        add(&mut case);
    }
    all
}

/// [`cases`] of every type that their ops take, each as a graph of its own: floats rounded, whole numbers rounded.
pub fn typed_cases() -> Vec<(DType, Case, RandomGraph)> {
    let mut all: Vec<(DType, Case, RandomGraph)> = vec![];
    for case in cases() {
        let mut seen: Vec<Case> = vec![];
        for dtype in DType::ALL {
            let typed = case.of(dtype);
            // One without a type to change is the same of every type.
            if !seen.contains(&typed)
                && let Ok(graph) = typed.graph()
            {
                all.push((dtype, typed.clone(), graph));
                seen.push(typed);
            }
        }
    }
    all
}

/// Graphs as one, beside each other: names get `c0_`, `c1_`, .. in front.
pub fn beside<'a>(graphs: impl IntoIterator<Item = &'a RandomGraph>) -> RandomGraph {
    let mut whole = RandomGraph { graph: Graph::new("beside"), inputs: vec![] };
    for (i, part) in graphs.into_iter().enumerate() {
        let named = |name: &str| format!("c{i}_{name}");
        let mut same: FxHashMap<Operand, Operand> = FxHashMap::default();
        for node in part.graph.topological() {
            let n = part.graph.node(node);
            let mut op = n.op.clone();
            if let Op::Input(input) = &mut op {
                input.name = named(&input.name);
            }
            let operands: Vec<Operand> = n.operands.iter().map(|o| same[o]).collect();
            for (port, new) in whole.graph.emit_all(op, &operands).into_iter().enumerate() {
                same.insert(Operand { node, port: port as u16 }, new);
            }
        }
        let moved =
            |list: &[(String, Operand)]| list.iter().map(|(n, o)| (named(n), same[o])).collect::<Vec<_>>();
        whole.graph.outputs.extend(moved(&part.graph.outputs));
        whole.graph.updates.extend(moved(&part.graph.updates));
        whole.inputs.extend(part.inputs.iter().map(|(n, v)| (named(n), v.clone())));
    }
    whole
}

impl Case {
    /// The same with every f64 of it in another type: floats rounded, whole numbers three times as large.
    pub fn of(&self, dtype: DType) -> Case {
        let literal = |l: Literal| if l.dtype() == DType::F64 { number(dtype, l.as_f64()) } else { l };
        let mut op = self.op.clone();
        match &mut op {
            Op::Fill(f) => f.value = literal(f.value),
            Op::Pad(p) => p.value = literal(p.value),
            Op::Windows(w) => w.value = literal(w.value),
            Op::Iota(i) if i.dtype == DType::F64 => i.dtype = dtype,
            _ => {}
        }
        let array = |a: &Array| {
            if a.dtype() != DType::F64 {
                return a.clone();
            }
            let mut new = Array::zeros(dtype, a.shape());
            for (i, x) in a.to_f64().into_iter().enumerate() {
                new.set(i, number(dtype, x));
            }
            new
        };
        let operands = self.operands.iter().map(|v| match v {
            Value::Tensor(a) => Value::Tensor(array(a)),
            Value::RowSparse { rows, ids, values } => {
                Value::RowSparse { rows: *rows, ids: ids.clone(), values: array(values) }
            }
            Value::Csr(c) => Value::Csr(c.clone()),
        });
        Case { op, operands: operands.collect() }
    }

    /// A graph of inputs `a`, `b`, .. that are the operands, and where they are in it.
    pub fn inputs(&self) -> (Graph, Vec<Operand>, Vec<(String, Value)>) {
        let mut g = Graph::new("case");
        let mut inputs = vec![];
        let mut operands = vec![];
        for (value, name) in self.operands.iter().zip('a'..) {
            let input = Input { name: name.to_string(), kind: InputKind::Data, ty: type_of(value) };
            operands.push(g.emit(input, &[]));
            inputs.push((name.to_string(), value.clone()));
        }
        (g, operands, inputs)
    }

    /// A graph that gives the op's results, dense, as `y0`, `y1`, ..; row-sparse operands are made of inputs for their ids
    /// and values.
    ///
    /// # Errors
    /// Where the op does not take these operands.
    pub fn graph(&self) -> Result<RandomGraph, Box<Diag>> {
        let (mut graph, mut inputs) = (Graph::new("case"), vec![]);
        let mut given = |graph: &mut Graph, name: String, value: Value| {
            let input = Input { name: name.clone(), kind: InputKind::Data, ty: type_of(&value) };
            inputs.push((name, value));
            graph.emit(input, &[])
        };
        let mut operands = vec![];
        for (value, name) in self.operands.iter().zip('a'..) {
            operands.push(match value {
                Value::RowSparse { rows, ids, values } => {
                    let ids = given(&mut graph, format!("{name}_ids"), Value::Tensor(ids.clone()));
                    let values = given(&mut graph, format!("{name}_values"), Value::Tensor(values.clone()));
                    let made = RowSparse { rows: (*rows).into() };
                    graph.value(made, &[ids, values], Span::none()).map_err(Box::new)?
                }
                value => given(&mut graph, name.to_string(), value.clone()),
            });
        }
        let node = graph.add(self.op.clone(), &operands, Span::none()).map_err(Box::new)?;
        for port in 0..graph.node(node).types.len() {
            let result = graph.densify(Operand { node, port: port as u16 });
            graph.outputs.push((format!("y{port}"), result));
        }
        Ok(RandomGraph { graph, inputs })
    }
}

fn number(dtype: DType, x: f64) -> Literal {
    match dtype {
        d if d.is_float() => Literal::float(d, x),
        DType::Bool => Literal::int(dtype, i64::from(x > 0.0)),
        d if d.is_unsigned() => Literal::int(d, (3.0 * x.abs()).round() as i64),
        d => Literal::int(d, (3.0 * x).round() as i64),
    }
}

/// Numbers on both sides of 0, no two of them equal.
fn numbers(shape: &[usize], seed: u32) -> Value {
    let mut s = Stream::new(11, seed, 0);
    let all: Vec<f64> = (0..shape.iter().product()).map(|_| s.normal()).collect();
    Value::Tensor(Array::from_f64(DType::F64, shape, &all))
}

/// Numbers of at least one half.
fn positive(shape: &[usize], seed: u32) -> Value {
    let Value::Tensor(a) = numbers(shape, seed) else { unreachable!("a tensor") };
    let all: Vec<f64> = a.to_f64().iter().map(|x| x.abs() + 0.5).collect();
    Value::Tensor(Array::from_f64(DType::F64, shape, &all))
}

/// Numbers between `middle - size` and `middle + size`.
fn within(shape: &[usize], size: f64, middle: f64, seed: u32) -> Value {
    let Value::Tensor(a) = numbers(shape, seed) else { unreachable!("a tensor") };
    let all: Vec<f64> = a.to_f64().iter().map(|x| middle + size * x.tanh()).collect();
    Value::Tensor(Array::from_f64(DType::F64, shape, &all))
}

fn ints<T: Element>(shape: &[usize], values: &[T]) -> Value {
    Value::Tensor(Array::from_slice(shape, values))
}

fn ids(count: usize, bound: usize, seed: u32) -> Value {
    Value::Tensor(random_ids(&mut Stream::new(12, seed, 0), count, bound))
}

fn bools(shape: &[usize], seed: u32) -> Value {
    let mut s = Stream::new(13, seed, 0);
    let mut a = Array::zeros(DType::Bool, shape);
    for i in 0..a.len() {
        a.set(i, Literal::int(DType::Bool, i64::from(s.below(2))));
    }
    Value::Tensor(a)
}

fn csr(rows: usize, cols: usize, symmetric: bool) -> Value {
    Value::Csr(Arc::new(random_pattern(&mut Stream::new(14, 0, 0), rows, cols, symmetric)))
}

fn nnz(csr: &Value) -> usize {
    let Value::Csr(c) = csr else { panic!("a pattern") };
    c.indices.len()
}

fn dims(shape: &[usize]) -> Shape {
    shape.iter().map(|s| Dim::from(*s)).collect()
}

trait Reshaped {
    fn reshaped(self, shape: &[usize]) -> Value;
}

impl Reshaped for Value {
    fn reshaped(self, shape: &[usize]) -> Value {
        match self {
            Value::Tensor(a) => Value::Tensor(a.reshaped(shape)),
            other => other,
        }
    }
}

/// The type of a value, every size a constant.
pub fn type_of(value: &Value) -> Type {
    match value {
        Value::Tensor(a) => Type::tensor(a.dtype(), dims(a.shape())),
        Value::Csr(c) => Type::Csr(CsrType {
            rows: c.rows.into(),
            cols: c.cols.into(),
            nnz: c.indices.len().into(),
            symmetric: c.twin.is_none(),
        }),
        Value::RowSparse { rows, ids, values } => Type::RowSparse(RowSparseType {
            dtype: values.dtype(),
            shape: std::iter::once(*rows).chain(values.shape()[1..].iter().copied()).map(Dim::from).collect(),
            count: ids.len().into(),
        }),
    }
}
