//! Gradients of small whole models against finite differences.

use crate::difference::{Inputs, check};
use latentc_ir::array::{Array, CsrArray, Value};
use latentc_ir::diag::Span;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::{Graph, InputKind, Operand};
use latentc_ir::ops::Axes;
use latentc_ir::ops::cast::Cast;
use latentc_ir::ops::csr_degree::CsrDegree;
use latentc_ir::ops::gather_rows::GatherRows;
use latentc_ir::ops::input::Input;
use latentc_ir::ops::spmm::Spmm;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::{CsrType, Type};
use std::sync::Arc;

fn input(g: &mut Graph, name: &str, ty: Type) -> Operand {
    g.value(Input { name: name.to_owned(), kind: InputKind::Data, ty }, &[], Span::caller())
        .unwrap_or_else(|d| panic!("{d}"))
}

/// A few numbers without a pattern.
fn numbers(shape: &[usize], seed: u32) -> Value {
    let mut s = latentc_ir::philox::Stream::new(7, seed, 0);
    let all: Vec<f64> = (0..shape.iter().product()).map(|_| s.normal()).collect();
    Value::Tensor(Array::from_f64(DType::F64, shape, &all))
}

fn ids(values: &[i32]) -> Value {
    Value::Tensor(Array::from_slice(&[values.len()], values))
}

/// BPR over rows gathered from propagated embeddings: users 0..2, items 2..5, row 4 without neighbours.
#[test]
fn bpr_on_two_propagated_layers() {
    let mut g = Graph::new("bpr");
    let batch = Dim::symbol("batch", 1, 64);
    let table = input(&mut g, "table", Type::tensor(DType::F64, [5.into(), 3.into()]));
    let csr = CsrType { rows: 5.into(), cols: 5.into(), nnz: Dim::symbol("nnz", 0, 100), symmetric: true };
    let adj = input(&mut g, "adj", Type::Csr(csr));
    let [user, pos, neg] =
        ["user", "pos", "neg"].map(|n| input(&mut g, n, Type::tensor(DType::I32, [batch.clone()])));

    // Row and column scaling by degree^(-1/2), with 0 for empty rows.
    let degree = g.emit(CsrDegree { transpose: false }, &[adj]);
    let degree = g.emit(Cast { to: DType::F64 }, &[degree]);
    let (zero, one) = (g.fill_like(degree, 0.0), g.fill_like(degree, 1.0));
    let some = g.map(ScalarOp::Gt, &[degree, zero]);
    let safe = g.map(ScalarOp::Select, &[some, degree, one]);
    let scale = g.map(ScalarOp::Rsqrt, &[safe]);
    let shape = g.shape_of(table);
    let scale = g.broadcast(scale, shape, Axes::from_slice(&[0]));
    let (mut e, mut sum) = (table, table);
    for _ in 0..2 {
        let x = g.map(ScalarOp::Mul, &[e, scale]);
        let y = g.emit(Spmm { transpose: false, weighted: false }, &[adj, x]);
        e = g.map(ScalarOp::Mul, &[y, scale]);
        sum = g.map(ScalarOp::Add, &[sum, e]);
    }
    let e = g.scale(sum, 1.0 / 3.0);
    let rows = |g: &mut Graph, of: Operand, ids: Operand| g.emit(GatherRows, &[of, ids]);
    let dot = |g: &mut Graph, a: Operand, b: Operand| {
        let p = g.map(ScalarOp::Mul, &[a, b]);
        g.reduce(ReduceOp::Sum, p, Axes::from_slice(&[1]))
    };
    let (u, p, n) = (rows(&mut g, e, user), rows(&mut g, e, pos), rows(&mut g, e, neg));
    let (up, un) = (dot(&mut g, u, p), dot(&mut g, u, n));
    let margin = g.map(ScalarOp::Sub, &[un, up]);
    let losses = g.map(ScalarOp::Softplus, &[margin]);
    let loss = g.reduce(ReduceOp::Sum, losses, Axes::from_slice(&[0]));
    let own = rows(&mut g, table, user);
    let squares = dot(&mut g, own, own);
    let l2 = g.reduce(ReduceOp::Sum, squares, Axes::from_slice(&[0]));
    let l2 = g.scale(l2, 0.01);
    let loss = g.map(ScalarOp::Add, &[loss, l2]);

    let pattern = CsrArray {
        rows: 5,
        cols: 5,
        indptr: vec![0, 2, 3, 5, 6, 6],
        indices: vec![2, 3, 2, 0, 1, 0],
        twin: None,
    };
    let inputs: Inputs = vec![
        ("table".into(), numbers(&[5, 3], 1)),
        ("adj".into(), Value::Csr(Arc::new(pattern))),
        ("user".into(), ids(&[0, 1, 0, 0])),
        ("pos".into(), ids(&[2, 2, 3, 3])),
        ("neg".into(), ids(&[4, 3, 4, 2])),
    ];
    check(&g, loss, &inputs, &["table"], 1e-8);
}

#[test]
fn gathered_rows_alone_keep_the_gradient_row_sparse() {
    let mut g = Graph::new("rows");
    let table = input(&mut g, "table", Type::tensor(DType::F64, [5.into(), 3.into()]));
    let user = input(&mut g, "user", Type::tensor(DType::I32, [4.into()]));
    let half = g.scale(table, 0.5);
    let a = g.emit(GatherRows, &[half, user]);
    let b = g.emit(GatherRows, &[table, user]);
    let product = g.map(ScalarOp::Mul, &[a, b]);
    let loss = g.reduce(ReduceOp::Sum, product, Axes::from_slice(&[0, 1]));
    let inputs: Inputs = vec![("table".into(), numbers(&[5, 3], 2)), ("user".into(), ids(&[3, 1, 3, 0]))];
    let found = check(&g, loss, &inputs, &["table"], 1e-8);
    let Value::RowSparse { rows: 5, ids, .. } = &found[0] else { panic!("{found:?} is not row-sparse") };
    assert_eq!(ids.len(), 8, "the rows of both gathers, one after the other");
}

#[test]
fn cross_entropy_of_a_linear_layer() {
    let mut g = Graph::new("cross_entropy");
    let x = input(&mut g, "x", Type::tensor(DType::F64, [4.into(), 3.into()]));
    let w = input(&mut g, "w", Type::tensor(DType::F64, [5.into(), 3.into()]));
    let target = input(&mut g, "target", Type::tensor(DType::F64, [4.into(), 5.into()]));
    let logits = g.matmul(x, w, false, true);
    let soft = g.emit(latentc_ir::ops::softmax::Softmax, &[logits]);
    let tiny = g.fill_like(soft, 1e-9);
    let soft = g.map(ScalarOp::Add, &[soft, tiny]);
    let log = g.map(ScalarOp::Log, &[soft]);
    let product = g.map(ScalarOp::Mul, &[target, log]);
    let sum = g.reduce(ReduceOp::Sum, product, Axes::from_slice(&[0, 1]));
    let via_log = g.map(ScalarOp::Neg, &[sum]);
    let lse = g.emit(latentc_ir::ops::log_sum_exp::LogSumExp, &[logits]);
    let lse = g.reduce(ReduceOp::Sum, lse, Axes::from_slice(&[0]));
    let loss = g.map(ScalarOp::Add, &[via_log, lse]);
    let inputs: Inputs = vec![
        ("x".into(), numbers(&[4, 3], 3)),
        ("w".into(), numbers(&[5, 3], 4)),
        ("target".into(), numbers(&[4, 5], 5)),
    ];
    check(&g, loss, &inputs, &["x", "w", "target"], 1e-8);
}

/// The rows of a matrix divided by their lengths, as a graph network does after each layer.
#[test]
fn row_norm() {
    let mut g = Graph::new("norm");
    let x = input(&mut g, "x", Type::tensor(DType::F64, [4.into(), 3.into()]));
    let w = input(&mut g, "w", Type::tensor(DType::F64, [4.into(), 3.into()]));
    let shape = g.shape_of(x);
    let square = g.map(ScalarOp::Square, &[x]);
    let sum = g.reduce(ReduceOp::Sum, square, Axes::from_slice(&[1]));
    let floor = g.fill_like(sum, 1e-12);
    let sum = g.map(ScalarOp::Max, &[sum, floor]);
    let norm = g.map(ScalarOp::Sqrt, &[sum]);
    let norm = g.unreduce(norm, shape, &[1]);
    let y = g.map(ScalarOp::Div, &[x, norm]);
    let zero = g.fill_like(y, 0.0);
    let slope = g.scale(y, 0.2);
    let positive = g.map(ScalarOp::Gt, &[y, zero]);
    let leaky = g.map(ScalarOp::Select, &[positive, y, slope]);
    let weighted = g.map(ScalarOp::Mul, &[leaky, w]);
    let loss = g.reduce(ReduceOp::Sum, weighted, Axes::from_slice(&[0, 1]));
    let inputs: Inputs = vec![("x".into(), numbers(&[4, 3], 6)), ("w".into(), numbers(&[4, 3], 7))];
    check(&g, loss, &inputs, &["x", "w"], 1e-8);
}

#[test]
fn a_loss_that_is_no_float_scalar_is_refused() {
    let mut g = Graph::new("refused");
    let x = input(&mut g, "x", Type::tensor(DType::F64, [4.into()]));
    let diag = latentc_ir::grad::gradients(&mut g, x, &[x]).expect_err("a vector");
    assert!(diag.message.contains("f64[4]"), "{diag}");
    let count = g.fill(Literal::int(DType::I32, 1), []);
    assert!(latentc_ir::grad::gradients(&mut g, count, &[x]).is_err());
}
