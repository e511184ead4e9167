//! Ops with bodies: cases for the laws of all ops, and laws of their own.

use crate::difference::check;
use crate::ops::numbers;
use latentc_ir::array::{Array, Value};
use latentc_ir::dtype::DType;
use latentc_ir::grad::gradients;
use latentc_ir::graph::parse::parse;
use latentc_ir::graph::verify::verify;
use latentc_ir::graph::{Body, Graph, Operand};
use latentc_ir::ops::Op;
use latentc_ir::testing::{Tolerance, compare, controls};
use proptest::prelude::*;

/// The op of a text, which has one node.
fn op(text: &str) -> Op {
    let graph = parse("case", text).unwrap_or_else(|d| panic!("{d}"));
    verify(&graph).unwrap_or_else(|d| panic!("{d:?}"));
    graph.node(graph.outputs[0].1.node).op.clone()
}

/// A recurrence over rows with a table that steps read rows of, and a matrix that all of them use. What it stacks is
/// the state before a step, and what it reads.
fn recurrence(how: &str) -> Op {
    op(&format!(
        "graph t {{
            data h: f64[3]
            data x: f64[5, 2]
            data w: f64[3, 3]
            data table: f64[4, 3]
            %0, %1, %2 = scan(h, x, w, table) {{trips = [5], carries = 1, slices = 1, {how}, body = {{
                arg h: f64[3]
                arg x: f64[2]
                arg w: f64[3, 3]
                arg table: f64[4, 3]
                %0 = reshape(h) {{shape = [1, 3]}}
                %1 = matmul(%0, w) {{transpose = [0, 1]}}
                %2 = reshape(%1) {{shape = [3]}}
                %10 = abs(x)
                %3 = cast(%10) {{to = i32}}
                %4 = gather_rows(table, %3)
                %5 = reduce(%4) {{op = sum, axes = [0]}}
                %6 = add(%2, %5)
                %7 = tanh(%6)
                %8 = reduce(x) {{op = sum, axes = [0]}}
                %9 = square(%8)
                output h = %7
                output before = h
                output y = %9
            }}}}
            output y = %0
        }}"
    ))
}

/// Adds cases of every op with bodies.
pub fn cases(case: &mut impl FnMut(Op, Vec<Value>)) {
    let given = || vec![numbers(&[3], 1), numbers(&[5, 2], 2), numbers(&[3, 3], 3), numbers(&[4, 3], 4)];
    for how in [
        "reverse = 0, checkpoint = 0",
        "reverse = 1, checkpoint = 0",
        "reverse = 0, checkpoint = 2",
        "reverse = 1, checkpoint = 2",
    ] {
        case(recurrence(how), given());
    }
    let cond = "graph t {
        data c: bool[]
        data a: f64[3]
        data b: f64[3]
        %0, %1 = cond(c, a, b) {then = {
            arg a: f64[3]
            arg b: f64[3]
            %0 = mul(a, b)
            %1 = reduce(%0) {op = sum, axes = [0]}
            output r = %1
            output s = a
        }, otherwise = {
            arg a: f64[3]
            arg b: f64[3]
            %0 = exp(b)
            %1 = reduce(%0) {op = sum, axes = [0]}
            output r = %1
            output s = b
        }}
        output r = %0
    }";
    for which in [true, false] {
        let mut c = Array::zeros(DType::Bool, &[]);
        c.as_bytes_mut()[0] = u8::from(which);
        case(op(cond), vec![Value::Tensor(c), numbers(&[3], 1), numbers(&[3], 2)]);
    }
    // As long as the number is small, which some steps are; then for all of them, and for none.
    for (limit, begin) in [(6, 0.3), (2, 0.3), (6, 9.0)] {
        let text = format!(
            "graph t {{
                data x: f64[]
                data k: f64[]
                %0 = while(x, k) {{limit = [{limit}], carries = 1, test = {{
                    arg x: f64[]
                    arg k: f64[]
                    %0 = fill() {{value = 4.0:f64, shape = []}}
                    %1 = lt(x, %0)
                    output r = %1
                }}, body = {{
                    arg x: f64[]
                    arg k: f64[]
                    %0 = mul(x, k)
                    %1 = add(%0, k)
                    output r = %1
                }}}}
                output y = %0
            }}"
        );
        let scalar = |x: f64| Value::Tensor(Array::scalar(x));
        case(op(&text), vec![scalar(begin), scalar(1.3)]);
    }
}

/// A scan and the same steps written one after the other have the same results and the same gradients.
#[test]
fn a_scan_is_its_steps() {
    for how in ["reverse = 0, checkpoint = 0", "reverse = 1, checkpoint = 0", "reverse = 1, checkpoint = 3"] {
        let Op::Scan(scan) = recurrence(how) else { panic!("a scan") };
        let mut results = vec![];
        for unrolled in [false, true] {
            let text = "graph t { data a: f64[3] data b: f64[5, 2] data c: f64[3, 3] data d: f64[4, 3] }";
            let mut g = parse("t", text).unwrap_or_else(|d| panic!("{d}"));
            let all: Vec<Operand> = g.inputs().iter().map(|n| Operand::from(*n)).collect();
            let last = if unrolled {
                let mut h = all[0];
                for step in 0..5i64 {
                    let at = if scan.reverse { 4 - step } else { step };
                    let slice = latentc_ir::ops::slice::Slice {
                        axis: 0,
                        start: at.into(),
                        end: (at + 1).into(),
                        step: 1,
                    };
                    let x = g.emit(slice, &[all[1]]);
                    let x = g.reshape(x, [2.into()].into_iter().collect());
                    h = g.write(&scan.body, &[h, x, all[2], all[3]])[0];
                }
                h
            } else {
                g.emit(scan.clone(), &all)
            };
            let loss = g.reduce(latentc_ir::scalar::ReduceOp::Sum, last, [0].into_iter().collect());
            let names = ["a", "b", "c", "d"];
            let given = [numbers(&[3], 1), numbers(&[5, 2], 2), numbers(&[3, 3], 3), numbers(&[4, 3], 4)];
            let inputs = names.iter().map(|n| (*n).to_owned()).zip(given).collect();
            let found = check(&g, loss, &inputs, &["a", "c", "d"], 1e-7);
            results.push(found.iter().map(crate::difference::dense).collect::<Vec<_>>());
        }
        for (a, b) in results[0].iter().zip(&results[1]) {
            let array = |x: &[f64]| Value::Tensor(Array::from_slice(&[x.len()], x));
            compare(&array(a), &array(b), &Tolerance::new(1e-12)).unwrap_or_else(|m| panic!("{how}: {m}"));
        }
    }
}

/// A table that steps read rows of has a gradient that lists these, as outside of loops.
#[test]
fn gradients_of_tables_stay_row_sparse() {
    let text = "graph t {
        param table: f64[100, 3]
        data ids: i32[5, 2]
        data h: f64[3]
        %0 = scan(h, ids, table) {trips = [5], carries = 1, slices = 1, reverse = 0, checkpoint = 0, body = {
            arg h: f64[3]
            arg ids: i32[2]
            arg table: f64[100, 3]
            %0 = gather_rows(table, ids)
            %1 = reduce(%0) {op = sum, axes = [0]}
            %2 = mul(h, %1)
            output h = %2
        }}
        %1 = reduce(%0) {op = sum, axes = [0]}
        output loss = %1
    }";
    let mut g = parse("t", text).unwrap_or_else(|d| panic!("{d}"));
    let (loss, table) = (g.outputs[0].1, Operand::from(g.inputs()[0]));
    let found = gradients(&mut g, loss, &[table]).unwrap_or_else(|d| panic!("{d}"));
    let ty = g.type_of(found[0].expect("a gradient")).to_string();
    assert_eq!(ty, "rows<10>f64[100, 3]");
}

/// Equal bodies make equal nodes, wherever they were written.
#[test]
fn equal_bodies_are_one() {
    let mut bodies = vec![];
    for line in [1, 7] {
        let mut g = Graph::new("any");
        g.at = Some(latentc_ir::diag::Span { file: "here".into(), line, column: 1 });
        let x = g.arg("x", latentc_ir::types::Type::scalar(DType::F32));
        let y = g.scale(x, 2.0);
        g.outputs.push(("y".to_owned(), y));
        bodies.push(Body::new(g));
    }
    assert_eq!(bodies[0], bodies[1]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn loops_and_branches_are_well_formed_and_come_back(graph in controls(DType::F32, 2)) {
        let graph = graph.with_gradients().graph;
        verify(&graph).map_err(|d| TestCaseError::fail(format!("{d:?}\n{graph}")))?;
        let text = graph.to_string();
        let again = parse("again", &text).map_err(|d| TestCaseError::fail(format!("{d}\n{text}")))?;
        prop_assert_eq!(again.to_string(), text);
    }
}
