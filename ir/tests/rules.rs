//! Every rewrite rule by itself, on graphs that are made for it.
//!
//! For each rule of [`latentc_ir::rewrite::all`] there is a function that writes graphs where it applies, on
//! values of every kind: NaN, infinities, zeros of both signs, empty tensors. What the interpreter computes
//! must be the same after the rule as before, to the bit (of whatever NaN) where the rule says that it is
//! exact. A rule without such a function fails the test.

#[path = "rules/case.rs"]
mod case;

use case::{Case, NUMBERS};
use latentc_ir::array::Value;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::Operand;
use latentc_ir::ops::Axes;
use latentc_ir::ops::broadcast::Broadcast;
use latentc_ir::ops::cast::Cast;
use latentc_ir::ops::concat::Concat;
use latentc_ir::ops::csr_array::CsrArrayOf;
use latentc_ir::ops::dropout::Dropout;
use latentc_ir::ops::elementwise::Elementwise;
use latentc_ir::ops::matmul::Matmul;
use latentc_ir::ops::pad::Pad;
use latentc_ir::ops::permute::Permute;
use latentc_ir::ops::reduce::Reduce;
use latentc_ir::ops::reshape::Reshape;
use latentc_ir::ops::scatter_rows::ScatterRows;
use latentc_ir::ops::segment_ids::SegmentIds;
use latentc_ir::ops::slice::Slice;
use latentc_ir::ops::spmm::Spmm;
use latentc_ir::plan::CsrPart;
use latentc_ir::rewrite::{self, Rule, Tag};
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::testing::{Tolerance, compare};
use latentc_ir::types::{Shape, product};

/// Graphs tried for each rule.
const GRAPHS: u32 = 120;

/// Writes a graph where a rule applies; gives its result.
type Write = fn(&mut Case) -> Operand;

const TABLE: &[(&str, Write)] = &[
    ("an op on constants is a constant", on_constants),
    ("x * 1 = x", |c| c.with_constant(ScalarOp::Mul, 1.0, true)),
    ("x / 1 = x", |c| c.with_constant(ScalarOp::Div, 1.0, false)),
    ("x - 0 = x", |c| c.with_constant(ScalarOp::Sub, 0.0, false)),
    ("x + (-0) = x", |c| c.with_constant(ScalarOp::Add, -0.0, true)),
    ("cast to the same type", |c| {
        let x = c.any();
        let to = c.g.dtype_of(x);
        c.g.emit(Cast { to }, &[x])
    }),
    ("neg neg x = x", |c| c.twice(ScalarOp::Neg, &NUMBERS)),
    ("not not x = x", |c| {
        c.twice(ScalarOp::Not, &[DType::Bool, DType::I32, DType::U8, DType::U32, DType::I64])
    }),
    ("select(not c, x, y) = select(c, y, x)", |c| {
        let (x, shape) = (c.any(), c.shape.clone());
        let (y, condition) = (c.input(c.g.dtype_of(x), &shape), c.input(DType::Bool, &shape));
        let not = c.g.map(ScalarOp::Not, &[condition]);
        c.g.map(ScalarOp::Select, &[not, x, y])
    }),
    ("x / c = x * (1 / c) for a power of two", |c| {
        let power = f64::from(c.below(9) as i32 - 4).exp2();
        c.float_and(ScalarOp::Div, power)
    }),
    ("x / c = x * (1 / c)", |c| {
        let by = 0.25 + c.below(1000) as f64 / 77.0;
        c.float_and(ScalarOp::Div, by)
    }),
    ("(x * c) * d = x * (c * d)", |c| {
        let (a, b) = (0.25 + c.below(100) as f64 / 7.0, -0.5 - c.below(100) as f64 / 9.0);
        let x = c.float_and(ScalarOp::Mul, a);
        let d = c.constant(x, b);
        if c.one_in(2) { c.g.map(ScalarOp::Mul, &[d, x]) } else { c.g.map(ScalarOp::Mul, &[x, d]) }
    }),
    ("a moved constant is a constant", moved_constant),
    ("reshape to the same shape", |c| {
        let (x, shape) = (c.any(), c.shape.clone());
        c.g.emit(Reshape { shape }, &[x])
    }),
    ("reshape of reshape", |c| {
        let (x, shape) = (c.any(), c.shape.clone());
        let flat = c.g.emit(Reshape { shape: Shape::from_iter([product(&shape)]) }, &[x]);
        let mut other = shape;
        other.insert(0, 1.into());
        c.g.emit(Reshape { shape: other }, &[flat])
    }),
    ("broadcast to the same shape", |c| {
        let (x, shape) = (c.any(), c.shape.clone());
        let axes = (0..shape.len()).collect();
        c.g.emit(Broadcast { shape, axes }, &[x])
    }),
    ("broadcast of broadcast", |c| {
        let x = c.any();
        let (once, _) = c.repeated(x);
        c.repeated(once).0
    }),
    ("permute by the identity", |c| {
        let x = c.any();
        let axes = (0..c.shape.len()).collect();
        c.g.emit(Permute { axes }, &[x])
    }),
    ("permute of permute", |c| {
        let x = c.any();
        let once = c.permuted(x);
        c.permuted(once)
    }),
    ("concat of one", |c| {
        let (x, axis) = c.with_axis();
        c.g.emit(Concat { axis }, &[x])
    }),
    ("concat of concats is one concat", |c| {
        let (x, axis) = c.with_axis();
        let parts: Vec<Operand> = (0..4).map(|_| c.part(x, axis)).collect();
        let inner = c.g.emit(Concat { axis }, &parts[..2]);
        match c.below(3) {
            0 => c.g.emit(Concat { axis }, &[inner, parts[2]]),
            1 => c.g.emit(Concat { axis }, &[parts[2], inner, inner]),
            _ => {
                let other = c.g.emit(Concat { axis }, &parts[1..]);
                c.g.emit(Concat { axis }, &[inner, other])
            }
        }
    }),
    ("a map of a concat with constants = the concat of maps", |c| {
        let (x, axis) = c.float_with_axis();
        let y = c.part(x, axis);
        let all = c.g.emit(Concat { axis }, &[x, y]);
        match c.below(3) {
            0 => c.g.map(ScalarOp::Abs, &[all]),
            1 => c.g.emit(Cast { to: DType::F64 }, &[all]),
            _ => {
                let k = c.constant(all, 3.0);
                let op = c.one_of(&[ScalarOp::Mul, ScalarOp::Max, ScalarOp::Sub]);
                if c.one_in(2) { c.g.map(op, &[k, all]) } else { c.g.map(op, &[all, k]) }
            }
        }
    }),
    ("slice of everything", |c| {
        let (x, axis) = c.with_axis();
        let end = c.shape[axis].clone();
        c.g.emit(Slice { axis, start: 0.into(), end, step: 1 }, &[x])
    }),
    ("slice of concat within a part", |c| {
        let (x, axis) = c.with_axis();
        let (before, after) = (c.part(x, axis), c.part(x, axis));
        let all = c.g.emit(Concat { axis }, &[before, x, after]);
        let start = c.g.shape_of(before)[axis].clone();
        let end = &start + &c.shape[axis];
        let step = c.one_of(&[1, 2, 3]);
        c.g.emit(Slice { axis, start, end, step }, &[all])
    }),
    ("pad by nothing", |c| {
        let (x, axis) = c.with_axis();
        let value = Literal::zero(c.g.dtype_of(x));
        c.g.emit(Pad { axis, before: 0.into(), after: 0.into(), value }, &[x])
    }),
    ("A x + A y = A (x + y)", sparse_sum),
    ("scatter(i, v) + scatter(j, w) = scatter(i ++ j, v ++ w)", |c| {
        let rows = c.rows_of_table();
        let shape = Shape::from_iter([rows.clone(), 3.into()]);
        let [v, w] = [c.scatter(&shape), c.scatter(&shape)];
        c.g.map(ScalarOp::Add, &[v, w])
    }),
    ("a scatter to segments is their sum", |c| {
        let rows = 1 + c.below(5);
        let csr = c.pattern(rows, false);
        let nnz = c.g.csr(csr).nnz.clone();
        let by_row = c.one_in(2);
        let part = if by_row { CsrPart::Indptr } else { CsrPart::Indices };
        let array = c.g.emit(CsrArrayOf { part }, &[csr]);
        let ids = if by_row { c.g.emit(SegmentIds { count: nnz.clone() }, &[array]) } else { array };
        let values = c.moderate(DType::F32, &Shape::from_iter([nnz, 2.into()]));
        c.g.emit(ScatterRows { rows: rows.into() }, &[ids, values])
    }),
    ("a scatter of parts is one of ordered, distinct parts", |c| {
        let rows = c.rows_of_table();
        let count = Shape::from_iter([Dim::from(1 + c.below(4))]);
        let (first, second) = (c.ids(&count, &rows), c.ids(&count, &rows));
        let parts = c.one_of(&[[second, first], [first, first]]);
        let ids = c.g.emit(Concat { axis: 0 }, &parts);
        let shape = Shape::from_iter([count[0].clone(), 2.into()]);
        let (v, w) = (c.moderate(DType::F32, &shape), c.moderate(DType::F32, &shape));
        let values = c.g.emit(Concat { axis: 0 }, &[v, w]);
        c.g.emit(ScatterRows { rows }, &[ids, values])
    }),
    ("rows of a map = the map of rows", |c| {
        let (x, y) = (c.table(DType::F32), c.table(DType::F32));
        let shape = c.g.shape_of(x);
        let y = if c.g.shape_of(y) == shape { y } else { x };
        let op = c.one_of(&[ScalarOp::Mul, ScalarOp::Max, ScalarOp::Sub, ScalarOp::Lt]);
        let z = match c.below(3) {
            0 => c.g.emit(Elementwise { op: ScalarOp::Abs }, &[x]),
            1 => c.g.emit(Cast { to: DType::I32 }, &[x]),
            _ => c.g.map(op, &[x, y]),
        };
        c.few_of(z)
    }),
    ("rows of a dropout = rows of its body", |c| {
        let x = c.table(DType::F32);
        let [seed, step] = [(); 2].map(|()| c.moderate(DType::I64, &Shape::new()));
        let rate = Literal::float(DType::F64, c.one_of(&[0.0, 0.25, 0.9]));
        let y = c.g.emit(Dropout { rate, stream: 3 }, &[x, seed, step]);
        c.few_of(y)
    }),
    ("rows of a constant are constant", |c| {
        let value = c.literal(DType::F32);
        let table = c.g.fill(value, [20.into(), 3.into()]);
        c.few_of(table)
    }),
    ("rows of a broadcast = a broadcast of rows", |c| {
        let rows = Dim::from(20usize);
        let (x, shape, axes): (_, [Dim; 2], &[usize]) = match c.below(3) {
            0 => (c.input(DType::F32, &[3.into()]), [rows, 3.into()], &[1]),
            1 => (c.input(DType::I32, std::slice::from_ref(&rows)), [rows, 3.into()], &[0]),
            _ => (c.input(DType::F32, &[]), [rows, 3.into()], &[]),
        };
        let table =
            c.g.emit(Broadcast { shape: shape.into_iter().collect(), axes: Axes::from_slice(axes) }, &[x]);
        c.few_of(table)
    }),
    ("rows of a reshape of columns = that of the rows", |c| {
        let x = c.input(DType::F32, &[20.into(), 2.into(), 3.into()]);
        let y = c.g.reshape(x, [20.into(), 6.into()].into_iter().collect());
        c.few_of(y)
    }),
    ("rows of a concat of columns = a concat of rows", |c| {
        let (x, y) =
            (c.input(DType::F32, &[20.into(), 2.into()]), c.input(DType::F32, &[20.into(), 3.into()]));
        let all = c.g.emit(Concat { axis: 1 }, &[x, y, x]);
        c.few_of(all)
    }),
    ("rows of a slice or pad of columns = that of the rows", |c| {
        let x = c.input(DType::F32, &[20.into(), 5.into()]);
        let y = if c.one_in(2) {
            let step = c.one_of(&[1, 2]);
            c.g.emit(Slice { axis: 1, start: 1.into(), end: 4.into(), step }, &[x])
        } else {
            let value = c.literal(DType::F32);
            c.g.emit(Pad { axis: 1, before: 2.into(), after: 1.into(), value }, &[x])
        };
        c.few_of(y)
    }),
    ("rows of a reduction along rows = the reduction of rows", |c| {
        let x = c.input(DType::F32, &[20.into(), 4.into(), 2.into()]);
        let op = c.one_of(&[ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min, ReduceOp::Prod]);
        let axes = c.one_of(&[&[1][..], &[2], &[1, 2]]);
        let y = c.g.emit(Reduce { op, axes: Axes::from_slice(axes) }, &[x]);
        c.few_of(y)
    }),
    ("rows of a product = the product of rows", |c| {
        let x = c.input(DType::F32, &[20.into(), 4.into()]);
        let transpose_b = c.one_in(2);
        let w = if transpose_b { [3, 4] } else { [4, 3] };
        let w = c.input(DType::F32, &w.map(Dim::from));
        let y = c.g.emit(Matmul { transpose_a: false, transpose_b }, &[x, w]);
        c.few_of(y)
    }),
    ("rows of a sparse product = the product of some rows", |c| {
        let x = c.input(DType::F32, &[20.into(), 3.into()]);
        let symmetric = c.one_in(2);
        let csr = c.pattern(20, symmetric);
        let transpose = c.one_in(2);
        let y = c.g.emit(Spmm { transpose, weighted: false }, &[csr, x]);
        c.few_of(y)
    }),
];

fn on_constants(c: &mut Case) -> Operand {
    let (dtype, shape) = (c.one_of(&NUMBERS), c.shape.clone());
    let (x, y) = (c.literal(dtype), c.literal(dtype));
    let (x, y) = (c.g.fill(x, shape.clone()), c.g.fill(y, shape));
    if c.one_in(4) {
        let to = c.one_of(&[DType::F32, DType::I32, DType::U8, DType::Bool, DType::F16, DType::I64]);
        return c.g.emit(Cast { to }, &[x]);
    }
    let ops = [ScalarOp::Add, ScalarOp::Mul, ScalarOp::Div, ScalarOp::Rem, ScalarOp::Max, ScalarOp::Lt];
    let op = c.one_of(&ops);
    c.g.map(op, &[x, y])
}

fn moved_constant(c: &mut Case) -> Operand {
    let (dtype, extra) = (c.one_of(&NUMBERS), c.dim());
    c.shape.push(extra);
    let value = c.literal(dtype);
    let (x, shape) = (c.g.fill(value, c.shape.clone()), c.shape.clone());
    match c.below(4) {
        0 => c.repeated(x).0,
        1 => c.g.emit(Reshape { shape: Shape::from_iter([product(&shape)]) }, &[x]),
        2 => c.permuted(x),
        _ => {
            let (axis, step) = (c.below(shape.len()), c.one_of(&[1, 2]));
            let end = shape[axis].clone();
            c.g.emit(Slice { axis, start: 0.into(), end, step }, &[x])
        }
    }
}

fn sparse_sum(c: &mut Case) -> Operand {
    let rows = c.one_of(&[0usize, 1, 5, 9]);
    let symmetric = c.one_in(2);
    let csr = c.pattern(rows, symmetric);
    let nnz = c.g.csr(csr).nnz.clone();
    let shape = [rows.into(), 3.into()];
    let (x, y) = (c.moderate(DType::F32, &shape), c.moderate(DType::F32, &shape));
    let (transpose, weighted) = (c.one_in(2), c.one_in(2));
    let weights: Vec<Operand> = if weighted { vec![c.moderate(DType::F32, &[nnz])] } else { vec![] };
    let op = Spmm { transpose, weighted };
    let [a, b] = [x, y].map(|x| {
        let operands: Vec<Operand> = [csr, x].into_iter().chain(weights.iter().copied()).collect();
        c.g.emit(op.clone(), &operands)
    });
    c.g.map(ScalarOp::Add, &[a, b])
}

/// Whether two values have the same bits, any NaN being any other.
fn same_bits(a: &Value, b: &Value) -> bool {
    let (Value::Tensor(a), Value::Tensor(b)) = (a, b) else { return a == b };
    let same = |i: usize| {
        let (x, y) = (a.get(i), b.get(i));
        x == y || (x.dtype().is_float() && x.as_f64().is_nan() && y.as_f64().is_nan())
    };
    (a.dtype(), a.shape()) == (b.dtype(), b.shape()) && (0..a.len()).all(same)
}

fn try_rule(rule: &'static Rule, write: Write) {
    let exact = rule.tag == Tag::Exact;
    let mut applied = 0;
    for seed in 0..GRAPHS {
        let mut case = Case::new(seed, exact);
        let result = write(&mut case);
        case.g.outputs.push(("y".to_owned(), result));
        let (before, text) = (case.run(), case.g.to_string());
        let counts = rewrite::run(&mut case.g, &[rule]);
        if counts.is_empty() {
            continue;
        }
        applied += 1;
        let after = case.run();
        let found = match exact {
            true if same_bits(&before, &after) => Ok(()),
            true => Err(format!("{before:?} before, {after:?} after")),
            false => compare(&before, &after, &tolerance(&before)).map_err(|m| m.to_string()),
        };
        found.unwrap_or_else(|e| panic!("`{}`: {e}\n{text}\nbecomes\n{}", rule.name, case.g));
    }
    assert!(applied > GRAPHS / 4, "`{}` applied to {applied} of {GRAPHS} graphs made for it", rule.name);
}

fn tolerance(value: &Value) -> Tolerance {
    match value {
        Value::Tensor(a) if a.dtype() == DType::Bf16 => Tolerance::new(2e-2),
        Value::Tensor(a) if a.dtype() == DType::F16 => Tolerance::new(3e-3),
        _ => Tolerance::new(1e-6),
    }
}

#[test]
fn every_rule_keeps_results() {
    for rule in rewrite::all() {
        match TABLE.iter().find(|(name, _)| *name == rule.name) {
            Some((_, write)) => try_rule(rule, *write),
            None => panic!("write graphs for the rule `{}` in this test's table", rule.name),
        }
    }
}

/// The table holds no rule that is gone.
#[test]
fn every_entry_is_a_rule() {
    for (name, _) in TABLE {
        assert!(rewrite::all().any(|r| r.name == *name), "`{name}` is no rule; remove it from the table");
    }
}

/// Rules leave alone what they would change: where the other zero is added, where a constant is too small to
/// have a reciprocal, where a table is read by others too.
#[test]
fn rules_know_where_they_do_not_hold() {
    let applied = |name: &str, write: Write| {
        let mut case = Case::new(1, false);
        let result = write(&mut case);
        case.g.outputs.push(("y".to_owned(), result));
        let rule = rewrite::all().find(|r| r.name == name).unwrap_or_else(|| panic!("no rule `{name}`"));
        !rewrite::run(&mut case.g, &[rule]).is_empty()
    };
    assert!(!applied("x + (-0) = x", |c| {
        let x = c.input(DType::F32, &[3.into()]);
        let zero = c.g.fill_like(x, 0.0);
        c.g.map(ScalarOp::Add, &[x, zero])
    }));
    assert!(!applied("x - 0 = x", |c| {
        let x = c.input(DType::F32, &[3.into()]);
        let zero = c.g.fill_like(x, -0.0);
        c.g.map(ScalarOp::Sub, &[x, zero])
    }));
    assert!(!applied("x / c = x * (1 / c) for a power of two", |c| {
        let x = c.input(DType::F32, &[3.into()]);
        let tiny = c.g.fill_like(x, 2f64.powi(-140));
        c.g.map(ScalarOp::Div, &[x, tiny])
    }));
    assert!(!applied("(x * c) * d = x * (c * d)", |c| {
        let x = c.input(DType::F32, &[3.into()]);
        let y = c.g.scale(x, 1e30);
        c.g.scale(y, 1e30)
    }));
    assert!(!applied("rows of a map = the map of rows", |c| {
        let x = c.table(DType::F32);
        let y = c.g.map(ScalarOp::Abs, &[x]);
        let whole = c.g.map(ScalarOp::Neg, &[y]);
        c.g.outputs.push(("whole".to_owned(), whole));
        c.few_of(y)
    }));
    assert!(!applied("slice of concat within a part", |c| {
        let (x, y) = (c.input(DType::F32, &[3.into()]), c.input(DType::F32, &[3.into()]));
        let all = c.g.emit(Concat { axis: 0 }, &[x, y]);
        c.g.emit(Slice { axis: 0, start: 2.into(), end: 4.into(), step: 1 }, &[all])
    }));
}
