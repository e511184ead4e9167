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
use latentc_ir::testing::{Tolerance, compare, controls, recurrence};
use proptest::prelude::*;

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
