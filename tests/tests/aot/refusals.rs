//! What a call is given and must not be: a code and a text that names it, and nothing has changed.

use latentc_ir::array::{Array, CsrArray, CsrTwin, Value};
use latentc_ir::graph::parse::parse;
use latentc_tests::aot::{Loaded, State};
use std::sync::Arc;

/// Rows of a table by ids, a sparse product with its transpose, a selection, something kept.
const PROGRAM: &str = "graph g {
    dim batch: 1..=16
    dim nnz: 0..=64
    data ids: i32[batch]
    data adj: csr[4, 5; nnz]
    data keep: bool[4]
    state table: f32[4, 3]
    %0 = gather_rows(table, ids) : f32[batch, 3]
    %1 = spmm(adj, table) {transpose = 1, weighted = 0} : f32[5, 3]
    %2 = neg(table) : f32[4, 3]
    %3 = cast(keep) {to = f32} : f32[4]
    output rows = %0
    output sums = %1
    output kept = %3
    update table = %2
}";

fn loaded() -> Loaded {
    Loaded::new(&parse("g", PROGRAM).unwrap_or_else(|d| panic!("{d}")), "native").unwrap()
}

fn pattern() -> CsrArray {
    CsrArray::from_edges(4, 5, [(0, 1), (0, 4), (2, 0), (2, 1), (3, 3)]).unwrap()
}

fn values(ids: &[i32], adj: CsrArray, keep: [u8; 4]) -> Vec<(String, Value)> {
    let mut flags = Array::zeros(latentc_ir::dtype::DType::Bool, &[4]);
    flags.as_bytes_mut().copy_from_slice(&keep);
    let table: Vec<f32> = (0..12).map(|i| i as f32).collect();
    [
        ("ids", Value::Tensor(Array::from_slice(&[ids.len()], ids))),
        ("adj", Value::Csr(Arc::new(adj))),
        ("keep", Value::Tensor(flags)),
        ("table", Value::Tensor(Array::from_slice(&[4, 3], &table))),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn good() -> Vec<(String, Value)> {
    values(&[3, 0, 2], pattern(), [1, 0, 1, 1])
}

/// The run is refused with this text, and the table is as it was.
#[track_caller]
fn refused(state: &mut State, expected: &str) {
    let before = state.values[3].1.clone();
    assert_eq!(state.run(1).unwrap_err(), expected);
    assert_eq!(state.values[3].1, before);
}

#[test]
fn a_good_state_runs_and_errors_do_not_stay() {
    let loaded = loaded();
    let mut state = loaded.state(&good()).unwrap();
    state.run(1).unwrap();
    assert_eq!(state.error_text(), "done");
    let (outputs, kept) = state.results();
    let Value::Tensor(rows) = &outputs[0].1 else { panic!("rows are a tensor") };
    assert_eq!(rows.to_f64(), [9.0, 10.0, 11.0, 0.0, 1.0, 2.0, 6.0, 7.0, 8.0]);
    let Value::Tensor(sums) = &outputs[1].1 else { panic!("sums are a tensor") };
    assert_eq!(sums.to_f64()[..6], [6.0, 7.0, 8.0, 6.0, 8.0, 10.0]);
    let Value::Tensor(table) = &kept[0].1 else { panic!("the table is a tensor") };
    assert_eq!(table.to_f64()[1], -1.0);
    state.set("dims.batch", 0);
    refused(&mut state, "dimension `batch` is 0, outside 1..=16");
    state.set("dims.batch", 3);
    state.run(1).unwrap();
}

#[test]
fn interfaces_are_compared() {
    let loaded = loaded();
    let mut state = loaded.state(&good()).unwrap();
    let text = state.init(42).unwrap_err();
    assert!(
        text.starts_with("program `g`: the caller was built for the interface 42, the object has "),
        "{text}"
    );
    let mut fresh = loaded.uninitialised(&good()).unwrap();
    refused(&mut fresh, "program `g`: the state has not been initialised; call the init function first");
}

#[test]
fn a_level_that_the_processor_lacks_is_refused() {
    let loaded = loaded();
    let mut state = loaded.uninitialised(&good()).unwrap();
    state.set("level", 99);
    let text = state.init_own().unwrap_err();
    assert!(text.ends_with("the object needs level 99; build it for a lower one"), "{text}");
}

#[test]
fn the_workspace_is_measured() {
    // Many need none; rows that are read anywhere after they were made have to be kept.
    let text = "graph g {
        data adj: csr[3, 3; 3; symmetric]
        data x: f32[3, 2]
        %0 = spmm(adj, x) {transpose = 0, weighted = 0} : f32[3, 2]
        %1 = spmm(adj, %0) {transpose = 0, weighted = 0} : f32[3, 2]
        output y = %1
    }";
    let loaded = Loaded::new(&parse("g", text).unwrap_or_else(|d| panic!("{d}")), "native").unwrap();
    let x = Value::Tensor(Array::from_slice(&[3, 2], &[1.0f32; 6]));
    let adj = Value::Csr(Arc::new(CsrArray::from_edges(3, 3, [(0, 2), (2, 0), (1, 1)]).unwrap()));
    let mut state = loaded.state(&[("adj".to_owned(), adj), ("x".to_owned(), x)]).unwrap();
    state.run(1).unwrap();
    let bytes = loaded.workspace();
    assert!(bytes > 0);
    state.set("workspace_bytes", bytes as u64 - 1);
    let expected = format!("the workspace has {} bytes, {bytes} are needed", bytes - 1);
    assert_eq!(state.run(1).unwrap_err(), expected);
    state.set("workspace_bytes", bytes as u64);
    state.set("workspace", 0);
    assert_eq!(state.run(1).unwrap_err(), format!("the workspace has 0 bytes, {bytes} are needed"));
    state.set("workspace", 32);
    assert_eq!(state.run(1).unwrap_err(), "the workspace: the address 32 is no multiple of 64");
}

#[test]
fn dims_and_addresses_are_looked_at() {
    let loaded = loaded();
    let mut state = loaded.state(&good()).unwrap();
    state.set("dims.batch", 17);
    refused(&mut state, "dimension `batch` is 17, outside 1..=16");
    state.set("dims.batch", -3i64 as u64);
    refused(&mut state, "dimension `batch` is -3, outside 1..=16");
    state.bind().unwrap();
    state.set("in.ids", 0);
    refused(&mut state, "input `ids` is a null pointer; 3 elements are needed");
    state.set("in.ids", 1026);
    refused(&mut state, "input `ids`: the address 1026 is no multiple of 4");
    state.bind().unwrap();
    state.set("out.sums", 0);
    refused(&mut state, "output `sums` is a null pointer; 15 elements are needed");
}

#[test]
fn ids_and_truth_values_are_looked_at_in_every_run() {
    let loaded = loaded();
    for (ids, at, found) in [([3, 4, 0], 1, 4), ([0, 1, -1], 2, -1), ([i32::MIN, 1, 1], 0, i32::MIN)] {
        let mut state = loaded.state(&values(&ids, pattern(), [0; 4])).unwrap();
        refused(&mut state, &format!("input `ids`, element {at}: {found} is outside 0..4"));
    }
    let mut state = loaded.state(&values(&[0], pattern(), [0, 1, 2, 1])).unwrap();
    refused(&mut state, "input `keep`, element 2: 2 is no truth value; give 0 or 1");
}

#[test]
fn patterns_are_looked_at() {
    let broken = |change: fn(&mut CsrArray)| {
        let mut adj = pattern();
        change(&mut adj);
        values(&[0], adj, [0; 4])
    };
    fn twin(adj: &mut CsrArray) -> &mut CsrTwin {
        adj.twin.as_mut().unwrap()
    }
    type Case = (fn(&mut CsrArray), &'static str);
    let cases: [Case; 9] = [
        (|a| a.indptr[0] = 1, "row pointer 0 is 1, expected 0; they run from 0 to the number of entries"),
        (|a| a.indptr[4] = 6, "row pointer 4 is 6, expected 5; they run from 0 to the number of entries"),
        (|a| a.indptr[1] = 5, "row 1 runs from entry 5 to entry 2; row pointers must not decrease"),
        (|a| a.indptr[1] = 99, "row 1 runs from entry 99 to entry 2; row pointers must not decrease"),
        (|a| a.indices[1] = 5, "entry 1 has column 5; columns are 0..5"),
        (|a| a.indices[3] = -7, "entry 3 has column -7; columns are 0..5"),
        (
            |a| a.indices[3] = 0,
            "entry 3 has column 0 after column 0; columns of a row must ascend, each once",
        ),
        (|a| twin(a).indices[1] = 1, "the twin is not the transpose, which shows first at its entry 1"),
        (|a| twin(a).indptr[3] = 4, "the twin is not the transpose, which shows first at its entry 3"),
    ];
    let loaded = loaded();
    for (change, expected) in cases {
        let mut state = loaded.state(&broken(change)).unwrap();
        refused(&mut state, &format!("pattern `adj`: {expected}"));
    }
}

#[test]
fn a_pattern_is_looked_at_once() {
    let loaded = loaded();
    let mut state = loaded.state(&good()).unwrap();
    state.run(1).unwrap();
    // Another address, other contents.
    let mut wrong = pattern();
    wrong.indices[0] = 9;
    state.values[1].1 = Value::Csr(Arc::new(wrong));
    state.bind().unwrap();
    refused(&mut state, "pattern `adj`: entry 0 has column 9; columns are 0..5");
}

#[test]
fn symmetry_is_checked() {
    let text = "graph g {
        data adj: csr[3, 3; 3; symmetric]
        data x: f32[3, 2]
        %0 = spmm(adj, x) {transpose = 0, weighted = 0} : f32[3, 2]
        output y = %0
    }";
    let loaded = Loaded::new(&parse("g", text).unwrap_or_else(|d| panic!("{d}")), "native").unwrap();
    let x = Value::Tensor(Array::from_slice(&[3, 2], &[1.0f32; 6]));
    let run = |edges: [(i32, i32); 3]| {
        let adj = Value::Csr(Arc::new(CsrArray::from_edges(3, 3, edges).unwrap()));
        let mut state = loaded.state(&[("adj".to_owned(), adj), ("x".to_owned(), x.clone())]).unwrap();
        state.run(1)
    };
    run([(0, 2), (2, 0), (1, 1)]).unwrap();
    let expected = "pattern `adj` is declared symmetric, but entry 2 (1, 2) has no mirror image";
    assert_eq!(run([(0, 1), (1, 2), (1, 0)]).unwrap_err(), expected);
}
