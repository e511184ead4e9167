//! What random programs have found: one small program each, named for what was wrong.

use latentc_backends::testing::{self, Ask, How, Native, interpreted};
use latentc_ir::array::{Array, Value};
use latentc_ir::graph::Graph;
use latentc_ir::testing::{Given, RandomGraph};

fn graph(text: &str) -> Graph {
    latentc_ir::graph::parse::parse("regression", text).unwrap_or_else(|d| panic!("{d}"))
}

fn with_inputs(graph: Graph, dims: &[(&str, usize)]) -> RandomGraph {
    Given::new(1, dims).to(graph).unwrap_or_else(|e| panic!("{e}"))
}

fn check(graph: &RandomGraph, tolerance: f64) -> Result<(), testing::Failure> {
    testing::check(graph, &Ask::all(tolerance))
}

/// A program from text, on inputs of its own choice, with these dims.
fn holds(text: &str, dims: &[(&str, usize)]) {
    let graph = with_inputs(graph(text), dims);
    check(&graph, 1e-4).unwrap_or_else(|e| panic!("{e}"));
    check(&graph.with_gradients(), 1e-4).unwrap_or_else(|e| panic!("with gradients: {e}"));
}

/// As [`holds`], three runs that follow each other.
fn runs(text: &str, dims: &[(&str, usize)]) {
    let ask = Ask { runs: 3, ..Ask::all(1e-4) };
    testing::check(&with_inputs(graph(text), dims), &ask).unwrap_or_else(|e| panic!("{e}"));
}

/// A sum of a whole input, in a region of its own.
#[test]
fn a_sum_of_a_vector_is_no_elementwise_kernel() {
    holds(
        "graph g {
            dim n: 0..=64
            data x: f32[n]
            %0 = reduce(x) {op = sum, axes = [0]} : f32[]
            output y = %0
        }",
        &[("n", 5)],
    );
}

#[test]
fn loops_that_never_run_read_nothing() {
    holds(
        "graph g {
            param x: f32[0, 15]
            %0 = reduce(x) {op = sum, axes = [0, 1]} : f32[]
            %1 = cast(x) {to = f64} : f64[0, 15]
            output y = %0
            output z = %1
        }",
        &[],
    );
}

#[test]
fn both_parts_of_a_row_sparse_value_are_stored() {
    holds(
        "graph g {
            dim m: 1..=64
            state x: f32[m, 3]
            data ids: i32[m]
            %0 = row_sparse(ids, x) {rows = [2]} : rows<m>f32[2, 3]
            %1, %2 = row_sparse_parts(%0) : i32[m], f32[m, 3]
            output y = %1
            output z = %2
            update x = %2
        }",
        &[("m", 4)],
    );
}

#[test]
fn values_of_run_time_width_are_computed_again() {
    holds(
        "graph g {
            dim n: 0..=64
            param x: f64[33, n]
            %0 = softmax(x) : f64[33, n]
            output y = %0
            update x = %0
        }",
        &[("n", 7)],
    );
}

#[test]
fn pads_of_nothing() {
    for n in [0, 3] {
        holds(
            "graph g {
                dim n: 0..=64
                data x: f32[n, 2]
                data z: f32[0, 2]
                %0 = pad(x) {axis = 0, sizes = [2, 1], value = 0.5:f32} : f32[n + 3, 2]
                %1 = pad(z) {axis = 0, sizes = [2, 1], value = 0.5:f32} : f32[3, 2]
                output y = %0
                output w = %1
            }",
            &[("n", n)],
        );
    }
}

#[test]
fn wide_sparse_rows_on_narrow_vectors() {
    for width in [65, 130, 200, 300] {
        holds(
            &format!(
                "graph g {{
                    dim b: 0..=2000
                    dim e: 0..=65536
                    param x: f32[b, {width}]
                    data csr: csr[b, b; e]
                    %0 = spmm(csr, x) {{transpose = 1, weighted = 0}} : f32[b, {width}]
                    output y = %0
                }}"
            ),
            &[("b", 9)],
        );
    }
}

#[test]
fn few_rows_scattered_without_fusion() {
    holds(
        "graph g {
            param x: f32[1, 16]
            data ids: i32[1]
            %0 = scatter_rows(ids, x) {rows = [5]} : f32[5, 16]
            %1 = square(%0) : f32[5, 16]
            output y = %1
        }",
        &[],
    );
}

#[test]
fn gradients_of_row_sums_of_sparse_products() {
    holds(
        "graph g {
            dim m: 1..=64
            dim e: 0..=4096
            data csr: csr[33, m; e]
            data x: f32[m, 17]
            %0 = spmm(csr, x) {transpose = 0, weighted = 0} : f32[33, 17]
            %1 = reduce(%0) {op = sum, axes = [1]} : f32[33]
            %2 = fill() {value = 0.25:f32, shape = [33]} : f32[33]
            %3 = mul(%1, %2) : f32[33]
            output y = %3
        }",
        &[("m", 3)],
    );
}

#[test]
fn an_old_value_is_kept_for_another() {
    runs(
        "graph g {
            dim n: 0..=64
            state a: f32[n]
            state b: f32[n]
            data ids: i32[n]
            %0 = gather_rows(b, ids) : f32[n]
            update a = %0
            update b = a
        }",
        &[("n", 3)],
    );
}

#[test]
fn neighbours_of_an_updated_element_are_read_before_it_is_written() {
    runs(
        "graph g {
            state a: f32[5, 8]
            state b: f32[33]
            %0 = fill() {value = 0.5:f32, shape = [5, 8]} : f32[5, 8]
            %1 = mul(a, %0) : f32[5, 8]
            %2 = slice(%1) {axis = 1, range = [0, 7], step = 1} : f32[5, 7]
            %3 = pad(%2) {axis = 1, sizes = [1, 0], value = 0.0:f32} : f32[5, 8]
            %4 = sub(%3, %1) : f32[5, 8]
            %5 = fill() {value = 0.5:f32, shape = [33]} : f32[33]
            %6 = mul(b, %5) : f32[33]
            %7 = slice(%6) {axis = 0, range = [0, 32], step = 1} : f32[32]
            %8 = pad(%7) {axis = 0, sizes = [1, 0], value = 0.0:f32} : f32[33]
            %9 = sub(%8, %6) : f32[33]
            update a = %4
            update b = %9
        }",
        &[],
    );
}

#[test]
fn a_stored_broadcast_along_the_rows_is_no_work_of_the_row() {
    holds(
        "graph g {
            dim b: 0..=40
            param x: f32[b, 31]
            data w: f32[31, 1]
            %0 = matmul(x, w) {transpose = [0, 0]} : f32[b, 1]
            %1 = fill() {value = 0.03125:f32, shape = [b, 1]} : f32[b, 1]
            %2 = mul(%0, %1) : f32[b, 1]
            %3 = reduce(%2) {op = max, axes = [1]} : f32[b]
            %4 = broadcast(%3) {shape = [b, b], axes = [1]} : f32[b, b]
            output y = %4
        }",
        &[("b", 5)],
    );
}

/// Sums of thousands of 16-bit floats are as exact as the format, not as a running sum in it.
#[test]
fn long_sums_of_narrow_floats() {
    for dtype in ["bf16", "f16"] {
        let text = "graph g {
            dim e: 0..=40000
            data x: T[3000]
            data y: T[7, 3000]
            data z: T[3000, 7]
            data ids: i32[3000]
            data csr: csr[4, 3000; e]
            %0 = abs(x) : T[3000]
            %1 = reduce(%0) {op = sum, axes = [0]} : T[]
            %2 = abs(y) : T[7, 3000]
            %3 = reduce(%2) {op = sum, axes = [1]} : T[7]
            %4 = abs(z) : T[3000, 7]
            %5 = reduce(%4) {op = sum, axes = [0]} : T[7]
            %6 = matmul(%2, %4) {transpose = [0, 0]} : T[7, 7]
            %7 = matmul(%4, %4) {transpose = [1, 0]} : T[7, 7]
            %8 = spmm(csr, %4) {transpose = 0, weighted = 0} : T[4, 7]
            %9 = scatter_rows(ids, %4) {rows = [3]} : T[3, 7]
            output a = %1
            output b = %3
            output c = %5
            output d = %6
            output e = %7
            output f = %8
            output g = %9
        }";
        let text = text.replace('T', dtype);
        check(&with_inputs(graph(&text), &[]), 0.01).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn an_updated_row_is_not_read_again_at_another_width() {
    runs(
        "graph g {
            dim n: 0..=64
            param x: f32[n, 3]
            %0 = erf(x) : f32[n, 3]
            %1 = pad(%0) {axis = 1, sizes = [1, 2], value = 1.0:f32} : f32[n, 6]
            output y = %1
            update x = %0
        }",
        &[("n", 5)],
    );
}

#[test]
fn kernels_made_by_hand_find_values_in_the_inputs_that_they_update() {
    runs(
        "graph g {
            dim m: 1..=64
            state x: f32[m, 3]
            %0 = softmax(x) : f32[m, 3]
            %1, %2 = top_k(%0) {k = 1} : f32[m, 1], i32[m, 1]
            output y = %1
            update x = %0
        }",
        &[("m", 7)],
    );
}

#[test]
fn ids_that_are_cut_away_may_be_anything() {
    let text = "graph g {
        data ids: i32[4]
        param x: f32[9, 3]
        param y: f32[2, 3]
        %0 = slice(ids) {axis = 0, range = [0, 2], step = 1} : i32[2]
        %1 = slice(ids) {axis = 0, range = [2, 3], step = 1} : i32[1]
        %2 = gather_rows(x, %0) : f32[2, 3]
        %3 = gather_rows(y, %1) : f32[1, 3]
        output a = %2
        output b = %3
    }";
    let mut graph = with_inputs(graph(text), &[]);
    graph.inputs[0].1 = Value::Tensor(Array::from_slice(&[4], &[8i32, 7, 1, -5]));
    check(&graph, 0.0).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn ids_are_refused_whatever_they_name() {
    let text = "graph g {
        data ids: i32[2]
        %0 = fill() {value = 0.5:f32, shape = [9, 3]} : f32[9, 3]
        %1 = gather_rows(%0, ids) : f32[2, 3]
        output y = %1
    }";
    let mut graph = with_inputs(graph(text), &[]);
    graph.inputs[0].1 = Value::Tensor(Array::from_slice(&[2], &[3i32, 9]));
    interpreted(&graph).expect_err("an id beyond the table");
    let error = Native::new(&graph, &How::usual()).and_then(|mut n| n.run(&graph)).expect_err("the same id");
    assert!(error.to_string().contains("9"), "{error}");
}

/// The logarithm of a sum of a single row: its place along the axis of one row is 0 to one op and the row to another.
#[test]
fn results_of_a_single_row_are_found_again() {
    holds(
        "graph g {
            data x: f32[1, 3]
            %0 = reduce(x) {op = max, axes = [1]} : f32[1]
            %1 = broadcast(%0) {shape = [1, 3], axes = [0]} : f32[1, 3]
            %2 = sub(x, %1) : f32[1, 3]
            %3 = exp(%2) : f32[1, 3]
            %4 = reduce(%3) {op = sum, axes = [1]} : f32[1]
            %5 = reshape(%4) {shape = [1, 1]} : f32[1, 1]
            %6 = log(%5) : f32[1, 1]
            %7 = reshape(%6) {shape = [1]} : f32[1]
            %8 = broadcast(%7) {shape = [1, 3], axes = [0]} : f32[1, 3]
            %9 = sub(%2, %8) : f32[1, 3]
            output y = %9
        }",
        &[],
    );
}

#[test]
fn a_block_of_a_table_that_may_be_empty_is_read_by_checked_runs_too() {
    holds_checked(
        "graph g {
            dim n: 0..=64
            state x: f32[n, 3]
            param at: i32[]
            %0 = cast(x) {to = f32} : f32[n, 3]
            %1 = index(%0, at) : f32[3]
            output y = %1
        }",
        &[("n", 0)],
    );
}

/// A plan made to be checked may hold nothing to look at.
#[test]
fn a_checked_plan_of_integers() {
    holds_checked(
        "graph g {
            param x: u64[1, 1]
            %0 = reduce(x) {op = max, axes = [1]} : u64[1]
            output y = %0
        }",
        &[],
    );
}

/// As [`holds`] by plans that are checked as they run.
fn holds_checked(text: &str, dims: &[(&str, usize)]) {
    crate::checked::check(&with_inputs(graph(text), dims), 1e-4).unwrap_or_else(|e| panic!("{e}"));
}

/// The derivative of singular values divides by their differences, which are nothing for one value.
#[test]
fn a_checked_derivative_of_a_column() {
    let text = "graph g {
        dim m: 1..=64
        data x: f32[m, 3, 1]
        %0, %1, %2 = svd(x) : f32[m, 3, 1], f32[m, 1], f32[m, 1, 1]
        output u = %0
        output s = %1
        output v = %2
    }";
    for m in [1, 2] {
        let given = with_inputs(graph(text), &[("m", m)]).with_gradients();
        crate::checked::check(&given, 1e-4).unwrap_or_else(|e| panic!("{e}\n{}", given.graph));
    }
}
