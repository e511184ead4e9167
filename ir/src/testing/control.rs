//! Random graphs with loops and branches.
//!
//! What decides about them are integers, computed from data: no decision hangs on a rounding error. Values are vectors
//! that stay between -1 and 1, or nearly, however often a body runs.

use super::graphs::RandomGraph;
use super::values::random_array;
use crate::array::{Array, Value};
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::graph::{Body, Graph, InputKind, Operand};
use crate::ops::cond::Cond;
use crate::ops::gather_rows::GatherRows;
use crate::ops::input::Input;
use crate::ops::scan::Scan;
use crate::ops::while_loop::While;
use crate::philox::Stream;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::Type;
use proptest::collection::vec;
use proptest::prelude::*;

/// Random graphs of 1 to 5 ops, most of which have bodies, so many of them within each other at most. Shrinks to fewer
/// ops.
pub fn controls(float: DType, depth: usize) -> impl Strategy<Value = RandomGraph> {
    (any::<u32>(), 0..9i64, 0..WIDTHS.len(), vec(any::<u32>(), 1..=5))
        .prop_map(move |(seed, n, width, steps)| make(float, seed, n, WIDTHS[width], (depth, &steps)))
}

const WIDTHS: [i64; 5] = [1, 3, 4, 17, 33];

/// The values that a graph or a body has to work with.
struct Pool {
    /// Vectors of the width.
    vectors: Vec<Operand>,
    /// `[width, width]`.
    matrix: Operand,
    /// i64 scalars.
    ints: Vec<Operand>,
    /// `[n, width]`.
    rows: Option<Operand>,
}

struct Maker {
    random: Stream,
    width: Dim,
    n: Dim,
}

fn make(float: DType, seed: u32, n: i64, width: i64, (depth, steps): (usize, &[u32])) -> RandomGraph {
    let mut random = Stream::new(seed.into(), 3, 0);
    let mut g = Graph::new("control");
    let size = if random.below(3) == 0 { Dim::constant(n) } else { Dim::symbol("n", 0, 8) };
    let mut inputs = vec![];
    let wide = width as usize;
    let mut input = |g: &mut Graph, name: &str, kind: InputKind, dims: &[Dim], value: Array| {
        let ty = Type::tensor(value.dtype(), dims.iter().cloned());
        inputs.push((name.to_owned(), Value::Tensor(value)));
        g.emit(Input { name: name.to_owned(), kind, ty }, &[])
    };
    let w = Dim::constant(width);
    let value = random_array(&mut random, float, &[wide]);
    let a = input(&mut g, "a", InputKind::Param, std::slice::from_ref(&w), value);
    let value = random_array(&mut random, float, &[wide]);
    let b = input(&mut g, "b", InputKind::State, std::slice::from_ref(&w), value);
    let value = random_array(&mut random, float, &[wide, wide]);
    let matrix = input(&mut g, "m", InputKind::Param, &[w.clone(), w.clone()], value);
    let value = random_array(&mut random, float, &[n as usize, wide]);
    let rows = input(&mut g, "rows", InputKind::Data, &[size.clone(), w.clone()], value);
    let value = Array::scalar(i64::from(random.below(7)));
    let count = input(&mut g, "count", InputKind::Data, &[], value);
    let mut maker = Maker { random, width: w, n: size };
    let mut pool = Pool { vectors: vec![a, b], matrix, ints: vec![count], rows: Some(rows) };
    for step in steps {
        maker.random = Stream::new(seed.into(), 4, *step);
        maker.step(&mut g, &mut pool, depth);
    }
    let last = pool.vectors.len() - 1;
    g.outputs.push(("last".to_owned(), pool.vectors[last]));
    g.outputs.push(("other".to_owned(), pool.vectors[last / 2]));
    if maker.random.below(2) == 0 {
        // Read before it changes, and overwritten perhaps by what a loop has carried.
        g.updates.push(("b".to_owned(), pool.vectors[last]));
    }
    g.remove_dead();
    RandomGraph { graph: g, inputs }
}

impl Maker {
    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.random.below(list.len() as u32) as usize]
    }

    /// One more vector.
    fn step(&mut self, g: &mut Graph, pool: &mut Pool, depth: usize) {
        let new = match self.random.below(if depth > 0 { 11 } else { 5 }) {
            0 => {
                let (a, b) = (self.one_of(&pool.vectors), self.one_of(&pool.vectors));
                let sum = g.map(ScalarOp::Add, &[a, b]);
                g.scale(sum, 0.5)
            }
            1 => {
                let a = self.one_of(&pool.vectors);
                g.map(ScalarOp::Tanh, &[a])
            }
            2 => {
                let (a, b) = (self.one_of(&pool.vectors), self.one_of(&pool.vectors));
                g.map(ScalarOp::Mul, &[a, b])
            }
            3 => {
                // A vector times the matrix.
                let a = self.one_of(&pool.vectors);
                let row = g.reshape(a, [1.into(), self.width.clone()].into_iter().collect());
                let product = g.matmul(row, pool.matrix, false, self.random.below(2) == 0);
                let product = g.reshape(product, [self.width.clone()].into_iter().collect());
                g.map(ScalarOp::Tanh, &[product])
            }
            4 => {
                // A row of the matrix, named by a number that is computed.
                let at = self.one_of(&pool.ints);
                let at = g.cast(at, DType::I32);
                let at = g.reshape(at, [1.into()].into_iter().collect());
                let row = g.emit(GatherRows, &[pool.matrix, at]);
                g.reshape(row, [self.width.clone()].into_iter().collect())
            }
            5 | 6 => self.cond(g, pool, depth - 1),
            7 | 8 => self.scan_rows(g, pool, depth - 1),
            9 => self.scan(g, pool, depth - 1),
            _ => self.while_(g, pool, depth - 1),
        };
        pool.vectors.push(new);
    }

    /// The parameters of a body that sees what a pool has.
    fn inner(&mut self, body: &mut Graph, g: &Graph, pool: &Pool) -> Pool {
        let mut arg = |o: Operand| body.arg("p", g.type_of(o).clone());
        Pool {
            vectors: pool.vectors.iter().map(|o| arg(*o)).collect(),
            matrix: arg(pool.matrix),
            ints: pool.ints.iter().map(|o| arg(*o)).collect(),
            rows: pool.rows.map(arg),
        }
    }

    /// What goes with [`Maker::inner`], in its order.
    fn all(pool: &Pool) -> Vec<Operand> {
        let more = pool.ints.iter().copied().chain(pool.rows);
        pool.vectors.iter().copied().chain([pool.matrix]).chain(more).collect()
    }

    fn grow(&mut self, body: &mut Graph, pool: &mut Pool, depth: usize) -> Operand {
        for _ in 0..=self.random.below(3) {
            self.step(body, pool, depth);
        }
        // Not always the newest: bodies that hand on what they are given are bodies, too.
        let newest = pool.vectors.len() - 1;
        if self.random.below(5) == 0 { self.one_of(&pool.vectors) } else { pool.vectors[newest] }
    }

    fn cond(&mut self, g: &mut Graph, pool: &Pool, depth: usize) -> Operand {
        let number = self.one_of(&pool.ints);
        let limit = g.fill(Literal::int(DType::I64, i64::from(self.random.below(5))), []);
        let which = g.map(ScalarOp::Lt, &[number, limit]);
        let mut bodies = vec![];
        for _ in 0..2 {
            let mut body = Graph::new("");
            let mut inner = self.inner(&mut body, g, pool);
            let result = self.grow(&mut body, &mut inner, depth);
            body.outputs.push(("r".to_owned(), result));
            bodies.push(Body::new(body));
        }
        let args: Vec<Operand> = std::iter::once(which).chain(Self::all(pool)).collect();
        g.emit(Cond { then: bodies[0].clone(), otherwise: bodies[1].clone() }, &args)
    }

    /// A scan over the rows that are given, which gives a row of what the steps leave, or what was carried.
    fn scan_rows(&mut self, g: &mut Graph, pool: &Pool, depth: usize) -> Operand {
        let Some(rows) = pool.rows else { return self.scan(g, pool, depth) };
        let n = self.n.clone();
        let at = g.iota([n.clone()].into_iter().collect(), 0, DType::I64);
        let mut body = Graph::new("");
        let carry = body.arg("h", g.type_of(pool.vectors[0]).clone());
        let total = body.arg("total", g.type_of(pool.vectors[0]).clone());
        let row = body.arg("row", g.type_of(pool.vectors[0]).clone());
        let step = body.arg("step", Type::scalar(DType::I64));
        let given = self.inner(&mut body, g, pool);
        let mut inner = Pool { rows: None, ..given };
        inner.vectors.extend([row, carry]);
        inner.ints.push(step);
        let result = self.grow(&mut body, &mut inner, depth);
        let half = body.scale(result, 0.25);
        let sum = body.map(ScalarOp::Add, &[total, half]);
        body.outputs = [("h", result), ("total", sum), ("y", result), ("x", carry)]
            .map(|(n, o)| (n.to_owned(), o))
            .to_vec();
        let checkpoint = if n.as_const().is_some() { self.one_of(&[0, 0, 1, 3]) } else { 0 };
        let op = Scan {
            trips: n,
            carries: 2,
            slices: 2,
            reverse: self.random.below(2) == 0,
            checkpoint,
            body: Body::new(body),
        };
        let begin = [self.one_of(&pool.vectors), self.one_of(&pool.vectors)];
        let args: Vec<Operand> = begin.into_iter().chain([rows, at]).chain(Self::all(pool)).collect();
        let results = g.emit_all(op, &args);
        match self.random.below(4) {
            0 => results[0],
            1 => results[1],
            which => {
                let sum = g.reduce(ReduceOp::Sum, results[which as usize], [0].into_iter().collect());
                g.scale(sum, 0.125)
            }
        }
    }

    /// A scan of few steps that reads nothing step by step.
    fn scan(&mut self, g: &mut Graph, pool: &Pool, depth: usize) -> Operand {
        let mut body = Graph::new("");
        let carry = body.arg("h", g.type_of(pool.vectors[0]).clone());
        let mut inner = self.inner(&mut body, g, pool);
        inner.vectors.push(carry);
        let result = self.grow(&mut body, &mut inner, depth);
        body.outputs.push(("h".to_owned(), result));
        let op = Scan {
            trips: Dim::constant(i64::from(self.random.below(4))),
            carries: 1,
            slices: 0,
            reverse: false,
            checkpoint: self.one_of(&[0, 2]),
            body: Body::new(body),
        };
        let args: Vec<Operand> = std::iter::once(self.one_of(&pool.vectors)).chain(Self::all(pool)).collect();
        g.emit(op, &args)
    }

    /// A loop that counts upwards until a limit that is computed, or the greatest number of steps.
    fn while_(&mut self, g: &mut Graph, pool: &Pool, depth: usize) -> Operand {
        let (number, vector) = (Type::scalar(DType::I64), g.type_of(pool.vectors[0]).clone());
        let params = |body: &mut Graph| (body.arg("k", number.clone()), body.arg("h", vector.clone()));
        let mut test = Graph::new("");
        let (k, _) = params(&mut test);
        let inner = self.inner(&mut test, g, pool);
        let going = test.map(ScalarOp::Lt, &[k, inner.ints[0]]);
        test.outputs.push(("going".to_owned(), going));
        let mut body = Graph::new("");
        let (k, h) = params(&mut body);
        let mut inner = self.inner(&mut body, g, pool);
        inner.vectors.push(h);
        inner.ints.push(k);
        let result = self.grow(&mut body, &mut inner, depth);
        let one = body.fill(Literal::int(DType::I64, 1), []);
        let next = body.map(ScalarOp::Add, &[k, one]);
        body.outputs = vec![("k".to_owned(), next), ("h".to_owned(), result)];
        let op = While {
            limit: Dim::constant(i64::from(self.random.below(6))),
            carries: 2,
            test: Body::new(test),
            body: Body::new(body),
        };
        let zero = g.fill(Literal::int(DType::I64, 0), []);
        let begin = [zero, self.one_of(&pool.vectors)];
        let args: Vec<Operand> = begin.into_iter().chain(Self::all(pool)).collect();
        g.emit_all(op, &args)[1]
    }
}
