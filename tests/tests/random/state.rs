//! Values kept between runs: read before and after they change, swapped, set to one another and to inputs,
//! given out, updated through every kind of op that reads other elements than it writes.

use crate::cases;
use crate::harness::{How, Results, fail, give, identical, interpreted, results, same, sessions, simulated};
use crate::layers::make::Make;
use latentc_backends::Store;
use latentc_ir::array::Array;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::Operand;
use latentc_ir::ops::Axes;
use latentc_ir::ops::broadcast::Broadcast;
use latentc_ir::ops::concat::Concat;
use latentc_ir::ops::gather_rows::GatherRows;
use latentc_ir::ops::pad::Pad;
use latentc_ir::ops::permute::Permute;
use latentc_ir::ops::scatter_rows::ScatterRows;
use latentc_ir::ops::slice::Slice;
use latentc_ir::ops::spmm::Spmm;
use latentc_ir::philox::Stream;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::testing::RandomGraph;
use latentc_ir::types::{Shape, product};
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

fn programs() -> impl Strategy<Value = RandomGraph> {
    let steps = vec((any::<u16>(), any::<u32>()), 0..8);
    (0..11usize, any::<u32>(), steps, any::<u32>()).prop_map(|(size, seed, steps, end)| {
        let mut kept = Kept::new(size, seed);
        for (step, seed) in steps {
            kept.step(step, seed);
        }
        kept.finish(end)
    })
}

/// The same graph, given what is kept after a run.
fn after(graph: &RandomGraph, run: &Results) -> RandomGraph {
    let mut next = graph.clone();
    for (name, value) in &mut next.inputs {
        if let Some((_, kept)) = run.kept.iter().find(|(n, _)| n == name) {
            *value = kept.clone();
        }
    }
    next
}

/// Three runs, one after the other, by every way.
pub fn check_runs(graph: &RandomGraph, tolerance: f64) -> Result<(), TestCaseError> {
    let mut expected = vec![];
    let mut next = graph.clone();
    for _ in 0..3 {
        let run = interpreted(&next)?;
        next = after(&next, &run);
        expected.push(run);
    }
    for how in [How::usual(), How::plain(), How::narrow(false), How::narrow(true)] {
        let mut next = graph.clone();
        for (i, expected) in expected.iter().enumerate() {
            let run = simulated(&next, &how)?;
            same(&format!("run {i}, {how:?}"), expected, &run, tolerance)?;
            next = after(&next, &run);
        }
    }
    let program = How::usual().plan(&graph.graph)?;
    let mut runs: Vec<Vec<Results>> = vec![];
    for mut session in sessions(&program, &[1, 2])? {
        let mut store = Store::new();
        give(&mut session, &mut store, graph)?;
        let mut all = vec![];
        for _ in 0..3 {
            session.run(&mut store).map_err(fail)?;
            all.push(results(&session, &store, &program)?);
        }
        runs.push(all);
    }
    for (i, expected) in expected.iter().enumerate() {
        same(&format!("run {i}, compiled"), expected, &runs[0][i], tolerance)?;
        identical(&format!("run {i}, 2 threads"), &runs[0][i], &runs[1][i])?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn kept(graph in programs()) {
        check_runs(&graph, 1e-4)?;
    }
}

/// What the programs of this file are made of is there to be met: swaps, and old values given out.
#[test]
fn kept_values_are_swapped_and_given_out() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut swapped, mut old, mut shared, mut given) = (0, 0, 0, 0);
    for _ in 0..300 {
        let Ok(tree) = programs().new_tree(&mut runner) else { continue };
        let g = tree.current().graph;
        let home = |name: &String| g.input(name).map(Operand::from);
        let new = |o: Operand| g.updates.iter().find(|(n, _)| home(n) == Some(o)).map(|(_, new)| *new);
        for (name, value) in &g.updates {
            let own = home(name);
            swapped += usize::from(own != Some(*value) && new(*value).is_some() && new(*value) == own);
            shared += usize::from(g.updates.iter().any(|(n, v)| n != name && v == value));
            old += usize::from(g.outputs.iter().any(|(_, o)| Some(*o) == own));
            given += usize::from(g.outputs.iter().any(|(_, o)| o == value));
        }
    }
    assert!(
        [swapped, old, shared, given].iter().all(|count| *count > 10),
        "{swapped} {old} {shared} {given}"
    );
}
