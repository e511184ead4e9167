//! Ops with bodies.

use super::numbers;
use crate::array::{Array, Value};
use crate::dtype::DType;
use crate::graph::parse::parse;
use crate::graph::verify::verify;
use crate::ops::Op;

/// The op of a text, which has one node.
fn op(text: &str) -> Op {
    let graph = parse("case", text).unwrap_or_else(|d| panic!("{d}"));
    verify(&graph).unwrap_or_else(|d| panic!("{d:?}"));
    graph.node(graph.outputs[0].1.node).op.clone()
}

/// A recurrence over rows with a table that steps read rows of, and a matrix that all of them use. What it stacks is
/// the state before a step, and what it reads.
pub fn recurrence(how: &str) -> Op {
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

pub(super) fn add(case: &mut dyn FnMut(Op, Vec<Value>)) {
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
