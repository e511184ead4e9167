//! One way to add each block to a program.

use super::make::{Entry, Make};
use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::Operand;
use latentc_ir::ops::Axes;
use latentc_ir::ops::broadcast::Broadcast;
use latentc_ir::ops::concat::Concat;
use latentc_ir::ops::csr_degree::CsrDegree;
use latentc_ir::ops::dropout::Dropout;
use latentc_ir::ops::gather_rows::GatherRows;
use latentc_ir::ops::log_sum_exp::LogSumExp;
use latentc_ir::ops::pad::Pad;
use latentc_ir::ops::permute::Permute;
use latentc_ir::ops::reduce::Reduce;
use latentc_ir::ops::scatter_rows::ScatterRows;
use latentc_ir::ops::sddmm::Sddmm;
use latentc_ir::ops::slice::Slice;
use latentc_ir::ops::softmax::Softmax;
use latentc_ir::ops::spmm::Spmm;
use latentc_ir::ops::spmm_rows::SpmmRows;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::{Shape, product};

/// Adds a block; `None` where it does not come off.
type Block = fn(&mut Make) -> Option<()>;

pub const TABLE: &[Block] = &[
    unary,
    unary,
    binary,
    binary,
    choose,
    statistic,
    statistic,
    over_row,
    over_rows,
    over_all,
    product_,
    product_,
    outer,
    column_sums,
    column_sums,
    total,
    sparse,
    sparse,
    sparse_rows,
    weighted,
    gather,
    gather,
    scatter,
    degree,
    dropout,
    softmax,
    log_sum_exp,
    join,
    slice,
    pad,
    split,
    merge,
    permute,
    norm,
    repeat,
    batched,
    wide,
    numbers,
    ngcf,
    propagate,
    score,
];

fn shape(dims: impl IntoIterator<Item = Dim>) -> Shape {
    dims.into_iter().collect()
}

fn unary(m: &mut Make) -> Option<()> {
    let x = m.pick(|_| true)?;
    use ScalarOp::*;
    let op =
        m.one_of(&[Tanh, Sigmoid, Relu, Square, Neg, Abs, Sin, Cos, Exp, Softplus, Sqrt, Rsqrt, Recip, Log]);
    let (y, bound) = match op {
        Tanh | Sigmoid | Sin | Cos => (m.map(op, &[x.o]), 1.0),
        Relu | Neg | Abs => (m.map(op, &[x.o]), x.bound),
        Square => (m.map(op, &[x.o]), x.bound * x.bound),
        Softplus => (m.map(op, &[x.o]), x.bound + 1.0),
        Exp => {
            let small = m.map(Tanh, &[x.o]);
            (m.map(op, &[small]), 2.8)
        }
        _ => {
            let positive = m.positive(x.o, 0.5);
            (m.map(op, &[positive]), x.bound + 2.0)
        }
    };
    m.push(y, bound);
    Some(())
}

fn binary(m: &mut Make) -> Option<()> {
    let x = m.pick(|_| true)?;
    let shape = m.shape(x.o);
    let y = if m.one_in(4) { x.clone() } else { m.value(&shape) };
    use ScalarOp::*;
    let op = m.one_of(&[Add, Sub, Mul, Max, Min, Div]);
    let (z, bound) = match op {
        Add | Sub => (m.map(op, &[x.o, y.o]), x.bound + y.bound),
        Mul => (m.map(op, &[x.o, y.o]), x.bound * y.bound),
        Div => {
            let y = m.positive(y.o, 0.5);
            (m.map(op, &[x.o, y]), 2.0 * x.bound)
        }
        _ => (m.map(op, &[x.o, y.o]), x.bound.max(y.bound)),
    };
    m.push(z, bound);
    Some(())
}

/// Chosen by truth values that are given.
fn choose(m: &mut Make) -> Option<()> {
    let x = m.pick(|_| true)?;
    let shape = m.shape(x.o);
    let y = m.value(&shape);
    let condition = m.input(DType::Bool, shape);
    let condition = if m.one_in(2) { m.map(ScalarOp::Not, &[condition.o]) } else { condition.o };
    let z = m.map(ScalarOp::Select, &[condition, x.o, y.o]);
    m.push(z, x.bound.max(y.bound));
    Some(())
}

/// A number for every row.
fn statistic(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| s.len() >= 2)?;
    let shape = m.shape(x.o);
    let op = m.one_of(&[ReduceOp::Sum, ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min]);
    let last = shape.len() - 1;
    let width = m.size(&shape[last]);
    (op == ReduceOp::Sum || width > 0).then_some(())?;
    let y = m.g.emit(Reduce { op, axes: Axes::from_slice(&[last]) }, &[x.o]);
    let bound = if op == ReduceOp::Sum { x.bound * width as f64 } else { x.bound };
    m.push(y, bound);
    Some(())
}

fn scaled_by(m: &mut Make, x: &Entry, y: Operand, bound: f64) {
    use ScalarOp::*;
    let op = m.one_of(&[Add, Mul, Sub, Div, Max]);
    let (z, bound) = match op {
        Mul => (m.map(op, &[x.o, y]), x.bound * bound),
        Div => {
            let y = m.positive(y, 0.5);
            (m.map(op, &[x.o, y]), 2.0 * x.bound)
        }
        _ => (m.map(op, &[x.o, y]), x.bound + bound),
    };
    m.push(z, bound);
}

/// Every row with a number of its own.
fn over_row(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let shape = m.shape(x.o);
    let y = m.value(&shape[..1]);
    let whole = m.g.emit(Broadcast { shape, axes: Axes::from_slice(&[0]) }, &[y.o]);
    scaled_by(m, &x, whole, y.bound);
    Some(())
}

/// Every row with one vector.
fn over_rows(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let shape = m.shape(x.o);
    let y = m.value(&shape[1..]);
    let whole = m.g.emit(Broadcast { shape, axes: Axes::from_slice(&[1]) }, &[y.o]);
    scaled_by(m, &x, whole, y.bound);
    Some(())
}

fn over_all(m: &mut Make) -> Option<()> {
    let x = m.pick(|_| true)?;
    let y = m.value(&[]);
    let shape = m.shape(x.o);
    let whole = m.g.broadcast(y.o, shape, Axes::new());
    scaled_by(m, &x, whole, y.bound);
    Some(())
}

fn product_(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let s = m.shape(x.o);
    let (rows, k) = (m.size(&s[0]), m.size(&s[1]));
    let n = m.width(rows.max(k));
    let transposed = m.one_in(3);
    let w = if transposed { [n.into(), s[1].clone()] } else { [s[1].clone(), n.into()] };
    (rows * k * n <= 1_500_000).then_some(())?;
    let w = m.value(&w);
    let y = m.g.matmul(x.o, w.o, false, transposed);
    m.push(y, x.bound * w.bound * k as f64);
    Some(())
}

/// A product over the rows of both.
fn outer(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let s = m.shape(x.o);
    let y = m.pick(|t| t.len() == 2 && t[0] == s[0])?;
    let t = m.shape(y.o);
    let (rows, a, b) = (m.size(&s[0]), m.size(&s[1]), m.size(&t[1]));
    (rows * a * b <= 1_500_000).then_some(())?;
    let z = m.g.matmul(x.o, y.o, true, false);
    m.push(z, x.bound * y.bound * rows as f64);
    Some(())
}

fn column_sums(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let op = m.one_of(&[ReduceOp::Sum, ReduceOp::Sum, ReduceOp::Max]);
    let rows = m.shape(x.o)[0].clone();
    let rows = m.size(&rows);
    (op == ReduceOp::Sum || rows > 0).then_some(())?;
    let y = m.g.emit(Reduce { op, axes: Axes::from_slice(&[0]) }, &[x.o]);
    m.push(y, if op == ReduceOp::Sum { x.bound * rows as f64 } else { x.bound });
    Some(())
}

/// Over several axes at once.
fn total(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let s = m.shape(x.o);
    let mut axes: Axes = (0..s.len()).collect();
    if axes.len() > 1 && m.one_in(3) {
        let at = m.below(axes.len());
        axes.remove(at);
    }
    let count: usize = axes.iter().map(|a| m.size(&s[*a])).product();
    let y = m.g.emit(Reduce { op: ReduceOp::Sum, axes }, &[x.o]);
    m.push(y, x.bound * count as f64);
    Some(())
}

/// A pattern for the rows of `x`, transposed or not: `(pattern, transpose, entries of a row at most)`.
fn pattern_for(m: &mut Make, cols: Dim) -> (Operand, bool, f64) {
    if m.one_in(2) {
        let (csr, most) = m.pattern(cols.clone(), cols, true);
        return (csr, m.one_in(3), most);
    }
    let others = [m.rows[0].clone(), m.rows[1].clone(), 19.into()];
    let rows = m.one_of(&others);
    if m.one_in(2) {
        let (csr, most) = m.pattern(rows, cols, false);
        (csr, false, most)
    } else {
        let (csr, most) = m.pattern(cols, rows, false);
        (csr, true, most)
    }
}

fn sparse(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let rows = m.shape(x.o)[0].clone();
    let (csr, transpose, most) = pattern_for(m, rows);
    let y = m.g.emit(Spmm { transpose, weighted: false }, &[csr, x.o]);
    m.push(y, x.bound * most);
    Some(())
}

fn sparse_rows(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let cols = m.shape(x.o)[0].clone();
    let (csr, transpose, most) = pattern_for(m, cols);
    let c = m.g.csr(csr).clone();
    let rows = if transpose { c.cols } else { c.rows };
    let b = m.rows[1].clone();
    let ids = m.ids(shape([b]), &rows)?;
    let y = m.g.emit(SpmmRows { transpose }, &[csr, x.o, ids]);
    m.push(y, x.bound * most);
    Some(())
}

/// A sparse sum with weights that are given, or the scores of the two rows of each entry.
fn weighted(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let rows = m.shape(x.o)[0].clone();
    let (csr, transpose, most) = pattern_for(m, rows);
    let c = m.g.csr(csr).clone();
    let w = if m.one_in(2) {
        m.input(m.float, shape([c.nnz]))
    } else {
        let width = m.width(m.size(&c.rows).max(m.size(&c.cols)));
        let width = Dim::from(width.min(64));
        let (a, b) = (m.value(&[c.rows, width.clone()]), m.value(&[c.cols, width.clone()]));
        let w = m.g.emit(Sddmm, &[csr, a.o, b.o]);
        m.push(w, a.bound * b.bound * m.size(&width) as f64)
    };
    let y = m.g.emit(Spmm { transpose, weighted: true }, &[csr, x.o, w.o]);
    m.push(y, x.bound * w.bound * most);
    Some(())
}

fn gather(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty() && s.len() < 4)?;
    let rows = m.shape(x.o)[0].clone();
    let b = m.rows[1].clone();
    let of = match m.below(4) {
        0 => shape([b, 3.into()]),
        1 => shape([]),
        _ => shape([b]),
    };
    let width = m.count(&m.shape(x.o)[1..]);
    (m.count(&of) * width <= 60_000).then_some(())?;
    let ids = m.ids(of, &rows)?;
    let y = m.g.emit(GatherRows, &[x.o, ids]);
    m.push(y, x.bound);
    Some(())
}

fn scatter(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let count = m.shape(x.o)[0].clone();
    let rows = m.one_of(&[m.rows[0].clone(), m.rows[1].clone(), 5.into(), 2000.into()]);
    (m.size(&rows) * m.count(&m.shape(x.o)[1..]) <= 60_000).then_some(())?;
    let ids = m.ids(shape([count.clone()]), &rows)?;
    let y = m.g.emit(ScatterRows { rows }, &[ids, x.o]);
    m.push(y, x.bound * m.size(&count).max(1) as f64);
    Some(())
}

/// `1 / sqrt(degree)` of the rows of a pattern, or of its columns.
fn degree(m: &mut Make) -> Option<()> {
    let (rows, cols) = (m.rows[0].clone(), m.one_of(&m.rows.clone()));
    let symmetric = rows == cols;
    let (csr, _) = m.pattern(rows, cols, symmetric);
    let transpose = m.one_in(2);
    let degree = m.g.emit(CsrDegree { transpose }, &[csr]);
    let degree = m.g.cast(degree, m.float);
    let positive = m.positive(degree, 1.0);
    let y = m.map(ScalarOp::Rsqrt, &[positive]);
    m.push(y, 1.0);
    Some(())
}

fn dropout(m: &mut Make) -> Option<()> {
    let x = m.pick(|_| true)?;
    let [seed, step] = [(); 2].map(|()| m.input(DType::I64, Shape::new()));
    let rate = Literal::float(DType::F64, m.one_of(&[0.0, 0.1, 0.5]));
    let stream = m.below(4) as u32;
    let y = m.g.emit(Dropout { rate, stream }, &[x.o, seed.o, step.o]);
    m.push(y, x.bound * 2.0);
    Some(())
}

fn softmax(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let y = m.g.emit(Softmax, &[x.o]);
    m.push(y, 1.0);
    Some(())
}

fn log_sum_exp(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let width = m.shape(x.o).last()?.clone();
    (m.size(&width) > 0).then_some(())?;
    let y = m.g.emit(LogSumExp, &[x.o]);
    m.push(y, x.bound + 8.0);
    Some(())
}

/// Columns or rows side by side.
fn join(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let s = m.shape(x.o);
    let axis = m.below(2);
    let y = if m.one_in(3) {
        m.value(&s)
    } else if axis == 1 {
        m.pick(|t| t.len() == 2 && t[0] == s[0])?
    } else {
        m.pick(|t| t.len() == 2 && t[1] == s[1])?
    };
    let mut parts = vec![x.o, y.o];
    if m.one_in(3) {
        parts.push(x.o);
    }
    let t = m.shape(y.o);
    ((m.count(&s) * 2 + m.count(&t)) <= 60_000).then_some(())?;
    let z = m.g.emit(Concat { axis }, &parts);
    m.push(z, x.bound.max(y.bound));
    Some(())
}

fn slice(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let s = m.shape(x.o);
    let axis = m.below(s.len());
    let (start, end) = match s[axis].as_const() {
        Some(size) => {
            let start = m.below(size as usize + 1);
            (start, Dim::from(start + m.below(size as usize - start + 1)))
        }
        None => (m.below(s[axis].lower().clamp(0, 3) as usize + 1), s[axis].clone()),
    };
    let step = m.one_of(&[1, 1, 2, 3]);
    let y = m.g.emit(Slice { axis, start: start.into(), end, step }, &[x.o]);
    m.push(y, x.bound);
    Some(())
}

fn pad(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let axis = m.below(m.shape(x.o).len());
    let (before, after) = (Dim::from(m.below(3)), Dim::from(m.below(3)));
    let y = m.g.emit(Pad { axis, before, after, value: Literal::float(m.float, 0.5) }, &[x.o]);
    m.push(y, x.bound);
    Some(())
}

/// Rows as heads.
fn split(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let mut s = m.shape(x.o);
    let width = s[1].as_const()?;
    let heads: Vec<i64> = [1, 2, 3, 4, 5, 8].into_iter().filter(|h| width % h == 0).collect();
    let heads = m.one_of(&heads);
    s[1] = Dim::constant(heads);
    s.push(Dim::constant(width / heads));
    let y = m.g.reshape(x.o, s);
    m.push(y, x.bound);
    Some(())
}

/// Two axes as one.
fn merge(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| s.len() >= 2)?;
    let mut s = m.shape(x.o);
    let at = m.below(s.len() - 1);
    s[at] = product(&s[at..at + 2]);
    s.remove(at + 1);
    let y = m.g.reshape(x.o, s);
    m.push(y, x.bound);
    Some(())
}

fn permute(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| s.len() >= 2)?;
    let mut axes: Axes = (0..m.shape(x.o).len()).collect();
    m.random.shuffle(&mut axes);
    let y = m.g.emit(Permute { axes }, &[x.o]);
    m.push(y, x.bound);
    Some(())
}

/// Rows divided by their length.
fn norm(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let s = m.shape(x.o);
    let square = m.map(ScalarOp::Square, &[x.o]);
    let sum = m.g.reduce(ReduceOp::Sum, square, Axes::from_slice(&[1]));
    let length = m.positive(sum, 0.25);
    let inverse = m.map(ScalarOp::Rsqrt, &[length]);
    let inverse = m.g.broadcast(inverse, s, Axes::from_slice(&[0]));
    let y = m.map(ScalarOp::Mul, &[x.o, inverse]);
    m.push(y, 1.0);
    Some(())
}

/// Along a new axis, anywhere.
fn repeat(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty() && s.len() <= 2)?;
    let mut s = m.shape(x.o);
    let at = m.below(s.len() + 1);
    let times = m.one_of(&[Dim::from(1usize), 3.into(), m.rows[1].clone()]);
    (m.size(&times) * m.count(&s) <= 30_000).then_some(())?;
    s.insert(at, times);
    let axes: Axes = (0..s.len()).filter(|a| *a != at).collect();
    let y = m.g.emit(Broadcast { shape: s, axes }, &[x.o]);
    m.push(y, x.bound);
    Some(())
}

fn batched(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| s.len() == 3)?;
    let s = m.shape(x.o);
    let [ta, tb] = [m.one_in(2), m.one_in(2)];
    let k = if ta { s[1].clone() } else { s[2].clone() };
    let n = Dim::from(m.one_of(&[1usize, 3, 16, 70]));
    let rows = if ta { &s[2] } else { &s[1] };
    let work = m.size(&s[0]) * m.size(rows) * m.size(&k) * m.size(&n);
    let small = m.size(&s[0]) * m.size(&k) * m.size(&n) <= 30_000;
    (work <= 600_000 && small).then_some(())?;
    let y = if tb { [s[0].clone(), n, k.clone()] } else { [s[0].clone(), k.clone(), n] };
    let y = m.value(&y);
    let z = m.g.matmul(x.o, y.o, ta, tb);
    m.push(z, x.bound * y.bound * m.size(&k) as f64);
    Some(())
}

/// By way of f64.
fn wide(m: &mut Make) -> Option<()> {
    let x = m.pick(|_| true)?;
    let y = m.g.cast(x.o, DType::F64);
    let c = m.g.fill_like(y, 1.0 / 3.0);
    let y = m.map(ScalarOp::Mul, &[y, c]);
    let y = m.g.cast(y, m.float);
    m.push(y, x.bound);
    Some(())
}

/// Integers and truth values that are given, as floats.
fn numbers(m: &mut Make) -> Option<()> {
    let x = m.pick(|_| true)?;
    let shape = m.shape(x.o);
    let dtype = m.one_of(&[DType::I32, DType::I64, DType::U8, DType::Bool, DType::U32]);
    let k = m.input(dtype, shape);
    let truth = if m.one_in(2) {
        let zero = m.g.fill_like(k.o, 0.0);
        m.map(ScalarOp::Ne, &[k.o, zero])
    } else {
        k.o
    };
    let k = m.g.cast(truth, m.float);
    let y = m.map(ScalarOp::Mul, &[x.o, k]);
    m.push(y, x.bound * 4.0);
    Some(())
}

/// A layer of neural graph collaborative filtering: sums over neighbours, two products, an activation.
fn ngcf(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let s = m.shape(x.o);
    let (rows, k) = (m.size(&s[0]), m.size(&s[1]));
    let n = m.width(rows.max(k)).min(64);
    (rows * k * n <= 600_000).then_some(())?;
    let (csr, most) = m.pattern(s[0].clone(), s[0].clone(), true);
    let sum = m.g.emit(Spmm { transpose: false, weighted: false }, &[csr, x.o]);
    let sum = m.g.scale(sum, 1.0 / most);
    let both = m.map(ScalarOp::Mul, &[x.o, sum]);
    let [w, v] = [(); 2].map(|()| m.value(&[s[1].clone(), n.into()]));
    let bias = m.value(&[n.into()]);
    let all = m.map(ScalarOp::Add, &[x.o, sum]);
    let (a, b) = (m.g.matmul(all, w.o, false, false), m.g.matmul(both, v.o, false, false));
    let y = m.map(ScalarOp::Add, &[a, b]);
    let shape = m.shape(y);
    let bias_rows = m.g.emit(Broadcast { shape, axes: Axes::from_slice(&[1]) }, &[bias.o]);
    let y = m.map(ScalarOp::Add, &[y, bias_rows]);
    let slope = m.g.scale(y, 0.25);
    let y = m.map(ScalarOp::Max, &[y, slope]);
    m.push(y, x.bound * k as f64 * (2.0 * w.bound + x.bound * v.bound) + bias.bound);
    Some(())
}

/// Layers of a light graph convolution: sums over neighbours, rows scaled before and after, all layers added.
fn propagate(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let s = m.shape(x.o);
    let (csr, most) = m.pattern(s[0].clone(), s[0].clone(), true);
    let scale = if m.one_in(2) {
        m.value(&s[..1])
    } else {
        let degree = m.g.emit(CsrDegree { transpose: false }, &[csr]);
        let degree = m.g.cast(degree, m.float);
        let degree = m.positive(degree, 1.0);
        Entry { o: m.map(ScalarOp::Rsqrt, &[degree]), bound: 1.0 }
    };
    let rows = m.g.emit(Broadcast { shape: s, axes: Axes::from_slice(&[0]) }, &[scale.o]);
    let (mut layer, mut sum, mut bound) = (x.o, x.o, x.bound);
    for _ in 0..1 + m.below(3) {
        let before = m.map(ScalarOp::Mul, &[rows, layer]);
        let next = m.g.emit(Spmm { transpose: false, weighted: false }, &[csr, before]);
        let next = m.g.scale(next, 0.0625 / most);
        layer = m.map(ScalarOp::Mul, &[next, rows]);
        sum = m.map(ScalarOp::Add, &[sum, layer]);
        bound += x.bound;
    }
    m.push(sum, bound);
    Some(())
}

/// Dot products of gathered rows.
fn score(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let s = m.shape(x.o);
    let b = m.rows[1].clone();
    let width = m.size(&s[1]);
    (m.size(&b) * width <= 40_000).then_some(())?;
    let [i, j] = [m.ids(shape([b.clone()]), &s[0])?, m.ids(shape([b]), &s[0])?];
    let [u, v] = [i, j].map(|ids| m.g.emit(GatherRows, &[x.o, ids]));
    let both = m.map(ScalarOp::Mul, &[u, v]);
    let y = m.g.reduce(ReduceOp::Sum, both, Axes::from_slice(&[1]));
    m.push(y, x.bound * x.bound * width as f64);
    Some(())
}
