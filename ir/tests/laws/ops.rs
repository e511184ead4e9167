//! Every op on small operands: results of the inferred types, gradients beside finite differences, bodies
//! beside the op.

use crate::difference::{Inputs, check, run};
use latentc_ir::array::{Array, CsrArray, Value};
use latentc_ir::diag::{Diag, Span};
use latentc_ir::dtype::DType;
use latentc_ir::grad::{gradients, jvp};
use latentc_ir::graph::{Graph, InputKind, Operand};
use latentc_ir::ops::Op;
use latentc_ir::ops::input::Input;
use latentc_ir::ops::spmm::Spmm;
use latentc_ir::philox::Stream;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::testing::{Case, Coverage, Tolerance, cases, compare, random_pattern, type_of};
use latentc_ir::types::Type;
use std::sync::Arc;

/// Numbers on both sides of 0.
pub fn numbers(shape: &[usize], seed: u32) -> Value {
    let mut s = Stream::new(11, seed, 0);
    let all: Vec<f64> = (0..shape.iter().product()).map(|_| s.normal()).collect();
    Value::Tensor(Array::from_f64(DType::F64, shape, &all))
}

fn is_float(g: &Graph, o: Operand) -> bool {
    match g.type_of(o) {
        Type::Tensor(t) => t.dtype == DType::F64,
        Type::RowSparse(r) => r.dtype == DType::F64,
        Type::Csr(_) => false,
    }
}

/// The sum of the f64 results, each element with a weight of its own; `None` where there is none.
fn loss_of(g: &mut Graph, results: &[Operand], inputs: &mut Inputs) -> Option<Operand> {
    let mut loss = None;
    for (i, r) in results.iter().enumerate().filter(|(_, r)| is_float(g, **r)).collect::<Vec<_>>() {
        let dense = g.densify(*r);
        let shape: Vec<usize> =
            g.shape_of(dense).iter().map(|d| d.as_const().expect("a constant") as usize).collect();
        let (name, weights) = (format!("w{i}"), numbers(&shape, 90 + i as u32));
        let input = Input { name: name.clone(), kind: InputKind::Data, ty: type_of(&weights) };
        let w = g.value(input, &[], Span::none()).expect("an input");
        inputs.push((name, weights));
        let product = g.map(ScalarOp::Mul, &[dense, w]);
        let part = g.reduce(ReduceOp::Sum, product, (0..shape.len()).collect());
        loss = Some(match loss {
            None => part,
            Some(so_far) => g.map(ScalarOp::Add, &[so_far, part]),
        });
    }
    loss
}

fn tensor_names(g: &Graph, operands: &[Operand]) -> Vec<&'static str> {
    let float = |o: &Operand| g.type_of(*o).as_tensor().is_some_and(|t| t.dtype == DType::F64);
    operands.iter().zip(["a", "b", "c", "d", "e"]).filter(|(o, _)| float(o)).map(|(_, n)| n).collect()
}

/// Whether the derivative of the op is another than that of what it computes: see `marks`.
fn is_by_hand(op: &Op) -> bool {
    matches!(op, Op::CustomVjp(_))
}

/// Why an op has no derivative, of those of its results that are floats.
pub fn no_derivative(case: &Case) -> Option<String> {
    let (mut g, operands, mut inputs) = case.inputs();
    let results = g.emit_all(case.op.clone(), &operands);
    let loss = loss_of(&mut g, &results, &mut inputs)?;
    let diag = gradients(&mut g, loss, &operands).err()?;
    Some(diag.notes.first().cloned().unwrap_or(diag.message))
}

/// An op without a case is none that these laws hold for.
#[test]
fn every_op_has_a_case() {
    let mut coverage = Coverage::default();
    for case in cases() {
        let graph = case.graph().unwrap_or_else(|d| panic!("{d}"));
        coverage.add(&graph);
    }
    let without: Vec<String> = coverage.missing().into_iter().filter(|m| m.starts_with("op")).collect();
    assert!(without.is_empty(), "write cases in ir/src/testing/cases for: {}", without.join(", "));
}

/// The interpreter refuses results that are not of the inferred type.
#[test]
fn results_are_of_the_inferred_types() {
    for case in cases() {
        let (mut g, operands, inputs) = case.inputs();
        let node = g.add(case.op.clone(), &operands, Span::none()).unwrap_or_else(|d| panic!("{d}"));
        let ports = g.node(node).types.len();
        g.outputs = (0..ports).map(|p| (format!("y{p}"), Operand { node, port: p as u16 })).collect();
        assert_eq!(run(&g, &inputs).outputs.len(), ports, "{:?}", case.op);
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for case in cases() {
        let (mut g, operands, mut inputs) = case.inputs();
        let results = g.emit_all(case.op.clone(), &operands);
        let Some(loss) = loss_of(&mut g, &results, &mut inputs) else { continue };
        if no_derivative(&case).is_some() || is_by_hand(&case.op) {
            continue;
        }
        check(&g, loss, &inputs, &tensor_names(&g, &operands), 1e-7);
    }
}

/// The gradient's square as a loss: every rule is written in ops that have derivatives themselves.
#[test]
fn gradients_have_gradients() {
    for case in cases() {
        let (mut g, operands, mut inputs) = case.inputs();
        let results = g.emit_all(case.op.clone(), &operands);
        let Some(first) = loss_of(&mut g, &results, &mut inputs) else { continue };
        let product = match &case.op {
            Op::Reduce(r) => r.op == ReduceOp::Prod,
            Op::Cumulative(c) => c.op == ReduceOp::Prod,
            _ => false,
        };
        let zero_in_product =
            product && matches!(&case.operands[0], Value::Tensor(a) if a.to_f64().contains(&0.0));
        if no_derivative(&case).is_some() || is_by_hand(&case.op) || zero_in_product {
            continue;
        }
        let wrt: Vec<Operand> = operands
            .iter()
            .copied()
            .filter(|o| g.type_of(*o).as_tensor().is_some_and(|_| is_float(&g, *o)))
            .collect();
        let mut loss: Option<Operand> = None;
        for gradient in gradients(&mut g, first, &wrt).unwrap_or_else(|d| panic!("{d}")).into_iter().flatten()
        {
            let gradient = g.densify(gradient);
            let square = g.map(ScalarOp::Square, &[gradient]);
            let rank = g.shape_of(square).len();
            let part = g.reduce(ReduceOp::Sum, square, (0..rank).collect());
            loss = Some(match loss {
                None => part,
                Some(so_far) => g.map(ScalarOp::Add, &[so_far, part]),
            });
        }
        if let Some(loss) = loss {
            check(&g, loss, &inputs, &tensor_names(&g, &operands), 1e-6);
        }
    }
}

/// The pushforward beside the slope along random tangents: it is the pullback of the pullback, so this is also a
/// test of second derivatives of every op by itself.
#[test]
fn tangents_are_slopes() {
    for case in cases() {
        if no_derivative(&case).is_some() || is_by_hand(&case.op) {
            continue;
        }
        let (mut g, operands, mut inputs) = case.inputs();
        let results: Vec<Operand> =
            g.emit_all(case.op.clone(), &operands).into_iter().filter(|r| is_float(&g, *r)).collect();
        let results: Vec<Operand> = results.into_iter().map(|r| g.densify(r)).collect();
        let forward = g.clone();
        let mut along = vec![];
        let mut tangents = vec![];
        for (i, name) in tensor_names(&g, &operands).into_iter().enumerate() {
            let x = Operand::from(g.input(name).expect("an input of this name"));
            let at = inputs.iter().position(|(n, _)| n == name).expect("a value of this name");
            let Value::Tensor(a) = &inputs[at].1 else { panic!("{name} is no tensor") };
            let t = numbers(a.shape(), 70 + i as u32);
            let input = Input { name: format!("t{i}"), kind: InputKind::Data, ty: type_of(&t) };
            along.push((x, g.value(input, &[], Span::none()).expect("an input")));
            inputs.push((format!("t{i}"), t.clone()));
            tangents.push((at, t));
        }
        let known = g.inputs().len();
        let found = jvp(&mut g, &results, &along).unwrap_or_else(|d| panic!("{:?}: {d}", case.op));
        assert_eq!(g.inputs().len(), known, "no input is left behind");
        for (result, tangent) in results.iter().zip(found) {
            let tangent = tangent.unwrap_or_else(|| g.fill_like(*result, 0.0));
            assert_eq!(g.type_of(tangent), g.type_of(*result), "{:?}", case.op);
            g.outputs = vec![("t".to_owned(), tangent)];
            let Value::Tensor(found) = &run(&g, &inputs).outputs[0].1 else { panic!("a tensor") };
            let mut ends = vec![];
            let h = 1e-5;
            for side in [h, -h] {
                let mut moved = inputs.clone();
                for (at, t) in &tangents {
                    let (Value::Tensor(x), Value::Tensor(t)) = (&inputs[*at].1, t) else { panic!("tensors") };
                    let all: Vec<f64> =
                        x.to_f64().iter().zip(t.to_f64()).map(|(x, t)| x + side * t).collect();
                    moved[*at].1 = Value::Tensor(Array::from_f64(x.dtype(), x.shape(), &all));
                }
                let mut forward = forward.clone();
                forward.outputs = vec![("y".to_owned(), *result)];
                let Value::Tensor(y) = &run(&forward, &moved).outputs[0].1 else { panic!("a tensor") };
                ends.push(y.to_f64());
            }
            for (i, found) in found.to_f64().into_iter().enumerate() {
                let expected = (ends[0][i] - ends[1][i]) / (2.0 * h);
                let near = (found - expected).abs() <= 1e-6 * (1.0 + expected.abs());
                assert!(
                    near,
                    "element {i} of the tangent of {:?}: {found}, the slope is {expected}",
                    case.op
                );
            }
        }
    }
}

#[test]
fn bodies_are_their_ops() {
    let mut composite = 0;
    for case in cases() {
        let (mut g, operands, mut inputs) = case.inputs();
        let Some(body) = case.op.def().body(&mut g, &operands) else { continue };
        composite += 1;
        let body = body.unwrap_or_else(|d: Diag| panic!("{d}"));
        let whole = g.emit_all(case.op.clone(), &operands);
        for (whole, part) in whole.iter().zip(&body) {
            assert_eq!(g.type_of(*whole), g.type_of(*part), "{:?}", case.op);
            g.outputs = vec![("whole".to_owned(), *whole), ("part".to_owned(), *part)];
            let results = run(&g, &inputs).outputs;
            compare(&results[0].1, &results[1].1, &Tolerance::new(1e-14))
                .unwrap_or_else(|m| panic!("{:?}: {m}", case.op));
        }
        let Some(loss) = loss_of(&mut g, &body, &mut inputs) else { continue };
        if is_by_hand(&case.op) {
            continue;
        }
        check(&g, loss, &inputs, &tensor_names(&g, &operands), 1e-7);
    }
    assert!(composite >= 8, "{composite} cases with a body");
}

/// The transposed product is the product with the transposed pattern, whose entries have the weights that
/// the twin says.
#[test]
fn transposed_products_follow_the_twin() {
    for symmetric in [false, true] {
        let mut random = Stream::new(15, 0, 0);
        let a = random_pattern(&mut random, 6, if symmetric { 6 } else { 4 }, symmetric);
        let twin = a.transposed();
        let t = CsrArray::new(a.cols, a.rows, twin.indptr, twin.indices, symmetric).expect("a pattern");
        let weights: Vec<f64> = (0..a.nnz()).map(|_| random.normal()).collect();
        let moved: Vec<f64> = twin.edges.iter().map(|e| weights[*e as usize]).collect();
        let product = |transpose: bool, pattern: &CsrArray, weights: &[f64]| {
            let case = Case {
                op: Spmm { transpose, weighted: true }.into(),
                operands: vec![
                    Value::Csr(Arc::new(pattern.clone())),
                    numbers(&[6, 3], 5),
                    Value::Tensor(Array::from_f64(DType::F64, &[weights.len()], weights)),
                ],
            };
            let (mut g, operands, inputs) = case.inputs();
            g.outputs = vec![("y".to_owned(), g.emit(case.op.clone(), &operands))];
            run(&g, &inputs).outputs
        };
        assert_eq!(product(true, &a, &weights), product(false, &t, &moved), "symmetric: {symmetric}");
    }
}
