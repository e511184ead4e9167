//! Edges: faulty data is named, special values keep their rules, gradients stop where they should.

use crate::difference::{Inputs, run};
use latentc_ir::array::{Array, CsrArray, Value};
use latentc_ir::csr::CsrError;
use latentc_ir::diag::Span;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::grad::gradients;
use latentc_ir::graph::{Graph, InputKind, Operand};
use latentc_ir::interp::{self, InterpError};
use latentc_ir::ops::broadcast::Broadcast;
use latentc_ir::ops::cast::Cast;
use latentc_ir::ops::concat::Concat;
use latentc_ir::ops::csr_degree::CsrDegree;
use latentc_ir::ops::dropout::Dropout;
use latentc_ir::ops::gather_rows::GatherRows;
use latentc_ir::ops::index_update::IndexUpdate;
use latentc_ir::ops::input::Input;
use latentc_ir::ops::log_sum_exp::LogSumExp;
use latentc_ir::ops::permute::Permute;
use latentc_ir::ops::reshape::Reshape;
use latentc_ir::ops::scatter_rows::ScatterRows;
use latentc_ir::ops::score_top_k::ScoreTopK;
use latentc_ir::ops::segment_reduce::SegmentReduce;
use latentc_ir::ops::slice::Slice;
use latentc_ir::ops::top_k::TopK;
use latentc_ir::ops::{Axes, Op};
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::{CsrType, Type};
use std::sync::Arc;

fn input(g: &mut Graph, name: &str, ty: Type) -> Operand {
    let op = Input { name: name.to_owned(), kind: InputKind::Data, ty };
    g.value(op, &[], Span::caller()).expect("an input")
}

fn tensor(dtype: DType, shape: &[Dim]) -> Type {
    Type::tensor(dtype, shape.iter().cloned())
}

fn f32s(values: &[f32]) -> Value {
    Value::Tensor(Array::from_slice(&[values.len()], values))
}

fn ids(values: &[i32]) -> Value {
    Value::Tensor(Array::from_slice(&[values.len()], values))
}

fn fault(g: &Graph, inputs: &Inputs) -> InterpError {
    let given = |name: &str| inputs.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    interp::run(g, &given).expect_err("a fault")
}

fn named(list: &[(&str, Value)]) -> Inputs {
    list.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect()
}

/// The elements of the only output.
fn only(g: &Graph, inputs: &Inputs) -> Vec<f64> {
    let Value::Tensor(a) = &run(g, inputs).outputs[0].1 else { panic!("a tensor") };
    a.to_f64()
}

#[test]
fn given_ids_are_checked_and_computed_ones_are_brought_to_the_nearest_row() {
    let mut g = Graph::new("ids");
    let n = Dim::symbol("n", 0, 10);
    let table = input(&mut g, "table", tensor(DType::F32, &[n]));
    let which = input(&mut g, "which", tensor(DType::I32, &[3.into()]));
    let y = g.emit(GatherRows, &[table, which]);
    g.outputs = vec![("y".to_owned(), y)];
    let inputs = named(&[("table", f32s(&[1.0, 2.0])), ("which", ids(&[0, 2, -1]))]);
    let message = fault(&g, &inputs).to_string();
    assert_eq!(message, "input `which` holds 2 at position 1; its elements must lie in 0..2");

    let computed = g.map(ScalarOp::Neg, &[which]);
    g.at = Some(Span::caller());
    let line = line!() - 1;
    let y = g.emit(GatherRows, &[table, computed]);
    g.outputs = vec![("y".to_owned(), y)];
    assert_eq!(only(&g, &inputs), [1.0, 1.0, 2.0]);
    let empty = named(&[("table", f32s(&[])), ("which", ids(&[0, 2, -1]))]);
    let InterpError::Op { op, span, message } = fault(&g, &empty) else { panic!("an op's fault") };
    assert_eq!((op, span.line), ("gather_rows", line));
    assert_eq!(message, "`gather_rows`: operand 1 holds 3 ids, and there is no row to name");

    let y = g.emit(ScatterRows { rows: 2.into() }, &[computed, which]);
    g.outputs = vec![("y".to_owned(), y)];
    assert_eq!(only(&g, &inputs), [2.0, -1.0]);
}

#[test]
fn inputs_are_checked_against_their_types() {
    let mut g = Graph::new("inputs");
    let n = Dim::symbol("n", 1, 10);
    let x = input(&mut g, "x", tensor(DType::F32, std::slice::from_ref(&n)));
    let double = input(&mut g, "double", tensor(DType::F32, &[&n + &n]));
    let free = input(&mut g, "free", tensor(DType::F32, &[&Dim::symbol("q", 0, 9) + &1.into()]));
    let csr = CsrType { rows: n.clone(), cols: n, nnz: Dim::symbol("nnz", 0, 99), symmetric: true };
    let csr = input(&mut g, "csr", Type::Csr(csr));
    let degree = g.emit(CsrDegree { transpose: false }, &[csr]);
    g.outputs = vec![("x".to_owned(), x), ("double".to_owned(), double), ("degree".to_owned(), degree)];
    let pattern = |indptr: &[i32], indices: &[i32]| {
        Value::Csr(Arc::new(CsrArray {
            rows: 2,
            cols: 2,
            indptr: indptr.to_vec(),
            indices: indices.to_vec(),
            twin: None,
        }))
    };
    let good = [("x", f32s(&[1.0, 2.0])), ("double", f32s(&[0.0; 4])), ("csr", pattern(&[0, 1, 2], &[1, 0]))];
    let results = run(&g, &named(&good));
    assert_eq!(results.dims.into_iter().collect::<Vec<_>>(), [("n".to_owned(), 2), ("nnz".to_owned(), 2)]);

    let with = |at: usize, value: Value| {
        let mut all = good.clone();
        all[at].1 = value;
        named(&all)
    };
    assert!(matches!(fault(&g, &named(&good[1..])), InterpError::Missing { input, .. } if input == "x"));
    let wrong = fault(&g, &with(0, ids(&[1, 2])));
    assert_eq!(wrong.to_string(), "input `x` is declared as f32[n], but i32[2] was given");
    let wrong = fault(&g, &with(1, f32s(&[0.0; 3])));
    assert_eq!(wrong.to_string(), "input `double`: axis 0 is 3, but 2*n is 4 in this run");
    let wrong = fault(&g, &with(0, f32s(&[0.0; 11])));
    assert!(matches!(wrong, InterpError::OutOfRange { found: 11, lo: 1, hi: 10, .. }), "{wrong}");
    let wrong = fault(&g, &with(2, pattern(&[0, 1, 1], &[1])));
    assert!(
        matches!(wrong, InterpError::BadCsr { problem: CsrError::NotSymmetric { row: 0, column: 1 }, .. }),
        "{wrong}"
    );
    g.outputs.push(("free".to_owned(), free));
    let mut all = named(&good);
    all.push(("free".to_owned(), f32s(&[0.0; 3])));
    assert!(matches!(fault(&g, &all), InterpError::Unbound { symbol, .. } if symbol == "q"));
}

#[test]
fn an_input_that_nothing_needs_may_be_missing() {
    let mut g = Graph::new("spare");
    input(&mut g, "spare", tensor(DType::F32, &[3.into()]));
    let x = input(&mut g, "x", tensor(DType::F32, &[2.into()]));
    g.updates = vec![("x".to_owned(), x)];
    assert_eq!(run(&g, &named(&[("x", f32s(&[1.0, 2.0]))])).updates[0].1, f32s(&[1.0, 2.0]));
}

#[test]
fn extremes_of_nothing_and_of_nan() {
    for (op, nothing) in [
        (ReduceOp::Max, f64::NEG_INFINITY),
        (ReduceOp::Min, f64::INFINITY),
        (ReduceOp::Sum, 0.0),
        (ReduceOp::Prod, 1.0),
    ] {
        let mut g = Graph::new("reduce");
        let x = input(&mut g, "x", tensor(DType::F32, &[Dim::symbol("n", 0, 9)]));
        let y = g.reduce(op, x, Axes::from_slice(&[0]));
        g.outputs = vec![("y".to_owned(), y)];
        let empty = only(&g, &named(&[("x", f32s(&[]))]));
        assert_eq!(empty[0].to_bits(), nothing.to_bits(), "{}", op.name());
        assert!(only(&g, &named(&[("x", f32s(&[1.0, f32::NAN, 2.0]))]))[0].is_nan(), "{}", op.name());
    }
}

#[test]
fn equal_extremes_share_the_gradient() {
    let mut g = Graph::new("ties");
    let x = input(&mut g, "x", tensor(DType::F64, &[4.into()]));
    let y = g.reduce(ReduceOp::Max, x, Axes::from_slice(&[0]));
    let d = gradients(&mut g, y, &[x]).expect("a gradient")[0].expect("it depends on x");
    g.outputs = vec![("d".to_owned(), d)];
    let x = Value::Tensor(Array::from_slice(&[4], &[3.0f64, 1.0, 3.0, 2.0]));
    assert_eq!(only(&g, &named(&[("x", x)])), [0.5, 0.0, 0.5, 0.0]);
}

#[test]
fn sums_are_rounded_once() {
    let mut g = Graph::new("sum");
    let x = input(&mut g, "x", tensor(DType::F32, &[Dim::symbol("n", 0, 1 << 20)]));
    let y = g.reduce(ReduceOp::Sum, x, Axes::from_slice(&[0]));
    g.outputs = vec![("y".to_owned(), y)];
    let many = vec![0.1f32; 100_000];
    let exact = f64::from(0.1f32) * 100_000.0;
    assert_eq!(only(&g, &named(&[("x", f32s(&many))])), [f64::from(exact as f32)]);
}

#[test]
fn dropout_keeps_its_share_and_its_bits() {
    let mut g = Graph::new("dropout");
    let x = input(&mut g, "x", tensor(DType::F32, &[10_000.into()]));
    let [seed, step] = ["seed", "step"].map(|n| input(&mut g, n, Type::scalar(DType::I64)));
    let drop = |g: &mut Graph, rate: f64| {
        g.emit(Dropout { rate: Literal::float(DType::F64, rate), stream: 3 }, &[x, seed, step])
    };
    let (some, none) = (drop(&mut g, 0.3), drop(&mut g, 0.0));
    g.outputs = vec![("some".to_owned(), some), ("none".to_owned(), none)];
    let mut values = vec![1.0f32; 10_000];
    values[0] = -0.0;
    let scalar = |v: i64| Value::Tensor(Array::scalar(v));
    let given = named(&[("x", f32s(&values)), ("seed", scalar(1)), ("step", scalar(2))]);
    let results = run(&g, &given).outputs;
    assert_eq!(results[1].1, f32s(&values));
    let Value::Tensor(a) = &results[0].1 else { panic!("a tensor") };
    let kept = a.to_f64().iter().filter(|v| **v > 0.0).count();
    // Six standard deviations.
    assert!((kept as i64 - 7000).abs() < 275, "{kept} of 10000 kept at rate 0.3");
    let whole = f64::from(1.0f32 / 0.7f32);
    assert!(a.to_f64().iter().all(|v| *v == 0.0 || *v == whole));
    let other = named(&[("x", f32s(&values)), ("seed", scalar(1)), ("step", scalar(3))]);
    assert_ne!(run(&g, &other).outputs[0].1, results[0].1, "another step draws anew");
}

#[test]
fn log_sum_exp_of_infinities() {
    let mut g = Graph::new("infinities");
    let x = input(&mut g, "x", tensor(DType::F64, &[4.into(), 2.into()]));
    let whole = g.emit(LogSumExp, &[x]);
    let body = Op::from(LogSumExp).def().body(&mut g, &[x]).expect("a body").expect("it fits");
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let x = Array::from_slice(&[4, 2], &[-inf, -inf, inf, -1.0, nan, -inf, 1000.0, 1000.0]);
    for y in [whole, body[0]] {
        g.outputs = vec![("y".to_owned(), y)];
        let y = only(&g, &named(&[("x", Value::Tensor(x.clone()))]));
        assert_eq!((y[0], y[1], y[3]), (-inf, inf, 1000.0 + 2.0f64.ln()));
        assert!(y[2].is_nan());
    }
}

#[test]
fn ranks_put_nan_last_and_the_lower_position_first() {
    let mut g = Graph::new("ranks");
    let x = input(&mut g, "x", tensor(DType::F32, &[5.into()]));
    let parts = g.emit_all(TopK { k: 5 }, &[x]);
    g.outputs = vec![("ids".to_owned(), parts[1])];
    let x = f32s(&[1.0, f32::NAN, 7.0, 1.0, f32::NEG_INFINITY]);
    assert_eq!(only(&g, &named(&[("x", x)])), [2.0, 0.0, 3.0, 4.0, 1.0]);
}

#[test]
fn a_short_list_ends_in_minus_one() {
    let mut g = Graph::new("short");
    let q = input(&mut g, "q", tensor(DType::F32, &[1.into(), 1.into()]));
    let items = input(&mut g, "items", tensor(DType::F32, &[4.into(), 1.into()]));
    let ty = CsrType { rows: 2.into(), cols: 4.into(), nnz: 1.into(), symmetric: false };
    let seen = input(&mut g, "seen", Type::Csr(ty));
    let users = input(&mut g, "users", tensor(DType::I32, &[1.into()]));
    let parts = g.emit_all(ScoreTopK { k: 3 }, &[q, items, seen, users]);
    g.outputs = vec![("scores".to_owned(), parts[0]), ("ids".to_owned(), parts[1])];
    let matrix = |v: &[f32]| Value::Tensor(Array::from_slice(&[v.len(), 1], v));
    let pattern = CsrArray::from_edges(2, 4, [(1, 2)]).expect("a pattern");
    let given = named(&[
        ("q", matrix(&[2.0])),
        ("items", matrix(&[1.0, f32::NAN, 9.0, 1.0])),
        ("seen", Value::Csr(Arc::new(pattern))),
        ("users", ids(&[1])),
    ]);
    let results = run(&g, &given).outputs;
    let list = |v: &Value| if let Value::Tensor(a) = v { a.to_f64() } else { vec![] };
    assert_eq!(list(&results[0].1), [2.0, 2.0, f64::NEG_INFINITY]);
    assert_eq!(list(&results[1].1), [0.0, 3.0, -1.0]);
}

#[test]
fn faulty_segments_are_named() {
    let mut g = Graph::new("segments");
    let indptr = input(&mut g, "indptr", tensor(DType::I32, &[3.into()]));
    let order = input(&mut g, "order", tensor(DType::I32, &[2.into()]));
    let values = input(&mut g, "values", tensor(DType::F32, &[2.into()]));
    let y = g.emit(SegmentReduce { op: ReduceOp::Sum }, &[indptr, order, values]);
    g.outputs = vec![("y".to_owned(), y)];
    for (pointers, positions, says) in [
        (&[0, 2, 1][..], &[0, 1][..], "descends from 2 at position 1"),
        (&[0, 1, 3], &[0, 1], "input `indptr` holds 3 at position 2; its elements must lie in 0..3"),
        (&[0, 1, 2], &[0, 2], "input `order` holds 2 at position 1; its elements must lie in 0..2"),
    ] {
        let given =
            named(&[("indptr", ids(pointers)), ("order", ids(positions)), ("values", f32s(&[1.0, 2.0]))]);
        let message = fault(&g, &given).to_string();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn a_refusal_names_the_op_and_its_place() {
    let mut g = Graph::new("refusal");
    let x = input(&mut g, "x", tensor(DType::F64, &[2.into(), 4.into()]));
    g.at = Some(Span::caller());
    let line = line!() - 1;
    let row = g.fill(Literal::int(DType::I32, 0), []);
    let ones = g.fill(Literal::float(DType::F64, 1.0), [4.into()]);
    let best = g.emit(IndexUpdate { op: Some(ReduceOp::Prod) }, &[x, row, ones]);
    g.at = Some(Span::caller());
    let loss = g.reduce(ReduceOp::Sum, best, Axes::from_slice(&[0, 1]));
    let before = g.at.clone();
    let diag = gradients(&mut g, loss, &[x]).expect_err("no derivative");
    assert_eq!(g.at, before, "the place of the caller stays");
    assert!(diag.message.contains("`index_update`"), "{diag}");
    assert_eq!(diag.labels[0].0.line, line);
    assert!(diag.help.is_some() && diag.notes[0].contains("products"), "{diag}");
    // Nothing to refuse where the path is not asked for.
    let other = input(&mut g, "other", Type::scalar(DType::F64));
    assert_eq!(gradients(&mut g, loss, &[other]), Ok(vec![None]));
}

#[test]
fn gradients_stop_at_integers_and_reach_values_between() {
    let mut g = Graph::new("between");
    let x = input(&mut g, "x", tensor(DType::F64, &[3.into()]));
    g.at = Some(Span::caller());
    let line = line!() - 1;
    let y = g.map(ScalarOp::Tanh, &[x]);
    g.at = Some(Span::none());
    let whole = g.emit(Cast { to: DType::I32 }, &[y]);
    let back = g.cast(whole, DType::F64);
    let product = g.map(ScalarOp::Mul, &[y, back]);
    let loss = g.reduce(ReduceOp::Sum, product, Axes::from_slice(&[0]));
    let known = g.len();
    let found = gradients(&mut g, loss, &[x, y, back, whole, loss]).expect("gradients");
    assert!(found[..3].iter().all(Option::is_some));
    assert_eq!(found[3], None, "an integer has no gradient");
    assert!(found[4].is_some(), "the loss itself has the gradient 1");
    let new = g.topological().into_iter().filter(|n| n.index() >= known);
    assert!(new.into_iter().any(|n| g.node(n).span.line == line), "the derivative stands at its op's place");
}

/// Row-wise ops between a table and a gather act on the gathered rows of the gradient alone.
#[test]
fn row_wise_ops_keep_gradients_row_sparse() {
    let n = Dim::symbol("n", 1, 99);
    let mut g = Graph::new("row-wise");
    let table = input(&mut g, "table", tensor(DType::F64, &[n.clone(), 4.into()]));
    let which = input(&mut g, "which", tensor(DType::I32, &[3.into()]));
    let doubled = g.scale(table, 2.0);
    let both = g.emit(Concat { axis: 1 }, &[table, doubled]);
    let part = g.emit(Slice { axis: 1, start: 1.into(), end: 7.into(), step: 1 }, &[both]);
    let cube = [n.clone(), 2.into(), 3.into()].into_iter().collect();
    let cube = g.emit(Reshape { shape: cube }, &[part]);
    let turned = g.emit(Permute { axes: Axes::from_slice(&[0, 2, 1]) }, &[cube]);
    let sums = g.reduce(ReduceOp::Sum, turned, Axes::from_slice(&[2]));
    let wide = [n.clone(), 3.into(), 2.into()].into_iter().collect();
    let wide = g.emit(Broadcast { shape: wide, axes: Axes::from_slice(&[0, 1]) }, &[sums]);
    let total = g.map(ScalarOp::Sub, &[wide, turned]);
    let rows = g.emit(GatherRows, &[total, which]);
    let square = g.map(ScalarOp::Square, &[rows]);
    let loss = g.reduce(ReduceOp::Sum, square, Axes::from_slice(&[0, 1, 2]));
    let mut with = g.clone();
    let d = gradients(&mut with, loss, &[table]).expect("a gradient")[0].expect("it depends on the table");
    assert!(matches!(with.type_of(d), Type::RowSparse(r) if r.shape[0] == n), "{}", with.type_of(d));
    let scatters = with.topological().into_iter().filter(|n| matches!(with.node(*n).op, Op::ScatterRows(_)));
    assert_eq!(scatters.count(), 0, "nothing is made dense on the way");
    let values: Vec<f64> = (0..20).map(|i| f64::from(i * i % 11) - 4.5).collect();
    let given =
        named(&[("table", Value::Tensor(Array::from_slice(&[5, 4], &values))), ("which", ids(&[4, 0, 4]))]);
    crate::difference::check(&g, loss, &given, &["table"], 1e-8);
}
