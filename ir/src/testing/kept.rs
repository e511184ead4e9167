//! Values kept between runs: read before and after they change, swapped, set to one another and to inputs,
//! given out, updated through every kind of op that reads other elements than it writes.

use super::RandomGraph;
use super::layers::make::Make;
use crate::array::Array;
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::graph::Operand;
use crate::ops::Axes;
use crate::ops::broadcast::Broadcast;
use crate::ops::concat::Concat;
use crate::ops::gather_rows::GatherRows;
use crate::ops::pad::Pad;
use crate::ops::permute::Permute;
use crate::ops::scatter_rows::ScatterRows;
use crate::ops::slice::Slice;
use crate::ops::spmm::Spmm;
use crate::philox::Stream;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{Shape, product};
use proptest::collection::vec;
use proptest::prelude::*;

/// Some kept values of one shape, and what is made of them.
struct Kept {
    make: Make,
    shape: Shape,
    names: Vec<String>,
    pool: Vec<Operand>,
}

/// No value is greater than those that it is made of, so that runs may follow each other.
type Step = fn(&mut Kept, Operand, Operand) -> Option<Operand>;

const STEPS: &[Step] = &[
    |k, x, _| Some(k.make.g.scale(x, -0.5)),
    |k, x, y| {
        let sum = k.make.map(ScalarOp::Add, &[x, y]);
        Some(k.make.g.scale(sum, 0.5))
    },
    |k, x, y| Some(k.make.map(ScalarOp::Max, &[x, y])),
    |k, x, _| Some(k.make.map(ScalarOp::Tanh, &[x])),
    |k, x, _| Some(k.mean(x, (0..k.shape.len()).collect())),
    |k, x, _| (!k.shape.is_empty()).then(|| k.mean(x, Axes::from_slice(&[k.shape.len() - 1]))),
    |k, x, _| (!k.shape.is_empty()).then(|| k.mean(x, Axes::from_slice(&[0]))),
    transposed,
    shifted,
    rotated,
    rearranged,
    gathered,
    scattered,
    |k, x, _| {
        let rows = k.shape.first()?.clone();
        let symmetric = k.make.one_in(2);
        let (csr, most) = k.make.pattern(rows.clone(), rows, symmetric);
        let transpose = k.make.one_in(2);
        let y = k.make.g.emit(Spmm { transpose, weighted: false }, &[csr, x]);
        Some(k.make.g.scale(y, 1.0 / most))
    },
    |k, x, y| {
        let [_, columns] = k.shape.as_slice() else { return None };
        (k.shape[0] == *columns).then_some(())?;
        let n = k.make.size(columns).max(1);
        let transposed = k.make.one_in(2);
        let z = k.make.g.matmul(x, y, transposed, false);
        Some(k.make.g.scale(z, 0.25 / n as f64))
    },
];

fn transposed(k: &mut Kept, x: Operand, _: Operand) -> Option<Operand> {
    let [rows, columns] = k.shape.as_slice() else { return None };
    (rows == columns).then(|| k.make.g.emit(Permute { axes: Axes::from_slice(&[1, 0]) }, &[x]))
}

/// Every element beside its place along an axis.
fn shifted(k: &mut Kept, x: Operand, _: Operand) -> Option<Operand> {
    let axis = k.make.below(k.shape.len().max(1));
    let size = k.shape.get(axis)?.clone();
    (size.lower() > 1).then_some(())?;
    let (cut, pad) = match k.make.one_in(2) {
        true => ((1.into(), size), (0, 1)),
        false => ((0.into(), &size - &1.into()), (1, 0)),
    };
    let x = k.make.g.scale(x, 0.5);
    let part = k.make.g.emit(Slice { axis, start: cut.0, end: cut.1, step: 1 }, &[x]);
    let value = Literal::float(DType::F32, 0.0);
    let whole = Pad { axis, before: pad.0.into(), after: pad.1.into(), value };
    let whole = k.make.g.emit(whole, &[part]);
    Some(k.make.map(ScalarOp::Sub, &[whole, x]))
}

/// The first row last.
fn rotated(k: &mut Kept, x: Operand, _: Operand) -> Option<Operand> {
    let axis = k.make.below(k.shape.len().max(1));
    let size = k.shape.get(axis)?.clone();
    (size.lower() > 0).then_some(())?;
    let cut = |start: Dim, end: Dim| Slice { axis, start, end, step: 1 };
    let first = k.make.g.emit(cut(0.into(), 1.into()), &[x]);
    let rest = k.make.g.emit(cut(1.into(), size), &[x]);
    Some(k.make.g.emit(Concat { axis }, &[rest, first]))
}

/// The elements of the transpose in rows as long as before: other elements wherever it is not square.
fn rearranged(k: &mut Kept, x: Operand, _: Operand) -> Option<Operand> {
    let [rows, columns] = k.shape.as_slice() else { return None };
    let (flat, back) = (product(&[columns.clone(), rows.clone()]), product(&k.shape));
    (flat == back).then_some(())?;
    let turned = k.make.g.emit(Permute { axes: Axes::from_slice(&[1, 0]) }, &[x]);
    let flat = k.make.g.reshape(turned, [flat].into_iter().collect());
    Some(k.make.g.reshape(flat, k.shape.clone()))
}

fn gathered(k: &mut Kept, x: Operand, _: Operand) -> Option<Operand> {
    let rows = k.shape.first()?.clone();
    let ids = k.make.ids([rows.clone()].into_iter().collect(), &rows)?;
    Some(k.make.g.emit(GatherRows, &[x, ids]))
}

fn scattered(k: &mut Kept, x: Operand, _: Operand) -> Option<Operand> {
    let rows = k.shape.first()?.clone();
    let ids = k.make.ids([rows.clone()].into_iter().collect(), &rows)?;
    let n = k.make.size(&rows).max(1);
    let y = k.make.g.emit(ScatterRows { rows }, &[ids, x]);
    Some(k.make.g.scale(y, 1.0 / n as f64))
}

impl Kept {
    fn new(size: usize, seed: u32) -> Kept {
        let mut make = Make::new(DType::F32, size, seed);
        let [n, b] = make.rows.clone();
        let d = Dim::from(make.one_of(&[1usize, 3, 8, 16, 33]));
        let shape: Vec<Dim> = match make.below(6) {
            0 => vec![],
            1 => vec![n],
            2 => vec![d.clone(), d],
            3 => vec![b.min_of(&n).as_const().map_or(4, |c| c.min(4)).into(), d.clone(), 3.into()],
            _ => vec![n, d],
        };
        let mut kept = Kept { make, shape: shape.into_iter().collect(), names: vec![], pool: vec![] };
        for i in 0..2 + kept.make.below(3) {
            let name = format!("s{i}");
            let value = kept.make.random(&kept.shape.clone());
            let o = kept.make.state(&name, &kept.shape.clone(), Some(value));
            kept.names.push(name);
            kept.pool.push(o);
        }
        let given = kept.make.input(DType::F32, kept.shape.clone());
        kept.pool.push(given.o);
        kept
    }

    /// Half of the mean over axes, everywhere, beside half of the value.
    fn mean(&mut self, x: Operand, axes: Axes) -> Operand {
        let kept = (0..self.shape.len()).filter(|a| !axes.contains(a)).collect();
        let count: Vec<Dim> = axes.iter().map(|a| self.shape[*a].clone()).collect();
        let count = self.make.count(&count).max(1);
        let g = &mut self.make.g;
        let sum = g.reduce(ReduceOp::Sum, x, axes);
        let mean = g.scale(sum, 0.5 / count as f64);
        let whole = if g.shape_of(mean) == self.shape {
            mean
        } else {
            g.emit(Broadcast { shape: self.shape.clone(), axes: kept }, &[mean])
        };
        let half = g.scale(x, 0.5);
        g.map(ScalarOp::Sub, &[half, whole])
    }

    fn any(&mut self) -> Operand {
        // Old and new values alike.
        let at = if self.make.one_in(2) {
            self.make.below(self.names.len())
        } else {
            self.make.below(self.pool.len())
        };
        self.pool[at]
    }

    /// Something made of a value along its last axis.
    fn of_other_sizes(&mut self, x: Operand) -> Operand {
        let Some(axis) = self.shape.len().checked_sub(1) else { return x };
        let size = self.shape[axis].clone();
        match self.make.below(4) {
            0 => {
                let value = Literal::float(DType::F32, 1.0);
                self.make.g.emit(Pad { axis, before: 1.into(), after: 2.into(), value }, &[x])
            }
            1 => self.make.g.emit(Slice { axis, start: 0.into(), end: size, step: 2 }, &[x]),
            2 => self.make.g.reduce(ReduceOp::Max, x, Axes::from_slice(&[axis])),
            _ => {
                let mut shape = self.shape.clone();
                shape.push(3.into());
                let axes = (0..shape.len() - 1).collect();
                self.make.g.emit(Broadcast { shape, axes }, &[x])
            }
        }
    }

    fn step(&mut self, step: u16, seed: u32) {
        self.make.random = Stream::new(seed.into(), 9, 0);
        let (x, y) = (self.any(), self.any());
        if let Some(z) = STEPS[usize::from(step) % STEPS.len()](self, x, y) {
            self.pool.push(z);
        }
    }

    fn finish(mut self, seed: u32) -> RandomGraph {
        self.make.random = Stream::new(seed.into(), 10, 0);
        for name in self.names.clone() {
            if !self.make.one_in(5) {
                let new = self.any();
                self.make.g.updates.push((name, new));
            }
        }
        for i in 0..1 + self.make.below(4) {
            let o = match self.make.below(3) {
                0 if !self.make.g.updates.is_empty() => {
                    let at = self.make.below(self.make.g.updates.len());
                    self.make.g.updates[at].1
                }
                _ => self.any(),
            };
            let o = if self.make.one_in(3) { self.of_other_sizes(o) } else { o };
            self.make.g.outputs.push((format!("y{i}"), o));
        }
        if self.make.one_in(2) {
            let count = self.make.state("count", &Shape::new(), Some(Array::scalar(7i64)));
            let one = self.make.g.fill(Literal::int(DType::I64, 1), []);
            let more = self.make.map(ScalarOp::Add, &[count, one]);
            self.make.g.updates.push(("count".to_owned(), more));
            let which = self.make.one_of(&[count, more]);
            self.make.g.outputs.push(("count".to_owned(), which));
        }
        self.make.finish()
    }
}

/// Programs of one to four values of one shape that are kept: read before and after they change, swapped, set to one
/// another, given out, through every kind of op that reads other elements than it writes. No value grows, so that runs
/// may follow each other. Shrinks to fewer ops and smaller sizes.
pub fn kept() -> impl Strategy<Value = RandomGraph> {
    let steps = vec((any::<u16>(), any::<u32>()), 0..8);
    (0..11usize, any::<u32>(), steps, any::<u32>()).prop_map(|(size, seed, steps, end)| {
        let mut kept = Kept::new(size, seed);
        for (step, seed) in steps {
            kept.step(step, seed);
        }
        kept.finish(end)
    })
}
