//! Checked runs, compiled and interpreted: the first op at fault is named, with element, value and limit, and the store
//! is as it was.

use latentc_backends::{
    Cache, CompileError, Fault, Ids, Options, RunError, Session, Store, Wrong, plan, plan_checked,
};
use latentc_ir::array::{Array, CsrArray};
use latentc_ir::dtype::DType;
use latentc_ir::graph::Graph;
use latentc_ir::graph::parse::parse;
use latentc_ir::testing::unguarded;
use std::collections::BTreeMap;
use std::sync::Arc;

fn options(threads: usize, checked: bool) -> Options {
    Options { threads, cache: Cache::Off, checked, ..Options::default() }
}

fn graph(text: &str) -> Graph {
    parse("t.ir", &format!("graph t {{\n{text}\n}}")).unwrap_or_else(|e| panic!("{e}"))
}

/// Compiled on one thread, on two, and interpreted; all checked.
fn sessions(g: &Graph) -> Vec<Session> {
    vec![
        Session::compile(g, &options(1, true)).unwrap(),
        Session::compile(g, &options(2, true)).unwrap(),
        Session::interp_with(g, &options(1, true)).unwrap(),
    ]
}

type Set<'a> = &'a dyn Fn(&mut Session);

/// The fault that every session finds, the same one; the store is not changed by it.
fn fault(text: &str, store: &Store, set: Set<'_>) -> Fault {
    let g = graph(text);
    let mut found: Vec<Fault> = vec![];
    for mut s in sessions(&g) {
        set(&mut s);
        let mut kept = store.clone();
        match s.run(&mut kept) {
            Err(RunError::Fault(fault)) => found.push(*fault),
            other => panic!("{s:?}: {other:?}"),
        }
        assert_eq!(kept, *store);
        let outputs = [s.output::<f32>("y").is_err(), s.output::<i32>("y").is_err()];
        assert_eq!(outputs, [true; 2], "no output of a run that was taken back");
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0].to_string(), found[2].to_string());
    assert_eq!((&found[0].span, &found[0].notes), (&found[2].span, &found[2].notes));
    found.remove(0)
}

fn none() -> Store {
    Store::new()
}

const LOG: &str = "data x: f32[2, 3]
param w: f32[2, 3]
%0 = add(x, w)
%1 = log(%0)
%2 = exp(%1)
%3 = add(w, %2)
output y = %2
update w = %3";

#[test]
fn the_first_nan_is_traced_to_its_op() {
    let store: Store = [("w", Array::from_slice(&[2, 3], &[1f32; 6]))].into_iter().collect();
    let f = fault(LOG, &store, &|s| s.set("x", &[2, 3], &[0f32, 1.0, 2.0, 3.0, -5.0, -9.0]).unwrap());
    assert_eq!((f.op.as_str(), &f.wrong, f.element.as_slice()), ("log", &Wrong::Nan, [1, 1].as_slice()));
    assert_eq!((f.span.line, f.value.as_str()), (5, "NaN"));
    assert_eq!(f.notes, ["operand 0 is -4.0 there"]);
    let text = f.to_string();
    assert_eq!(text, "`log`: element [1, 1] of the result is NaN, and no operand has a NaN");
    let diag = f.diag();
    assert_eq!(diag.labels.len(), 2, "{diag}");
    assert!(diag.labels[1].1.contains("operand 0 is the result of `add`"), "{diag}");
}

#[test]
fn the_first_infinity_is_traced_to_its_op() {
    let store: Store = [("w", Array::from_slice(&[2, 3], &[1f32; 6]))].into_iter().collect();
    let f = fault(LOG, &store, &|s| s.set("x", &[2, 3], &[0f32, 1.0, -1.0, 3.0, 5.0, 9.0]).unwrap());
    assert_eq!((f.op.as_str(), &f.wrong, f.value.as_str()), ("log", &Wrong::Infinite, "-inf"));
    assert_eq!(f.element, [0, 2]);
}

#[test]
fn a_given_nan_is_traced_to_its_input_and_given_infinities_are_none_of_ours() {
    let store: Store = [("w", Array::from_slice(&[2, 3], &[1f32; 6]))].into_iter().collect();
    let f = fault(LOG, &store, &|s| s.set("x", &[2, 3], &[0f32, 1.0, 2.0, f32::NAN, 5.0, 9.0]).unwrap());
    assert_eq!(f.to_string(), "data `x`: element [1, 0] is NaN");
    let bad: Store =
        [("w", Array::from_slice(&[2, 3], &[1f32, 1.0, f32::NAN, 1.0, 1.0, 1.0]))].into_iter().collect();
    let g = graph(LOG);
    for mut s in sessions(&g) {
        s.set("x", &[2, 3], &[f32::INFINITY; 6]).unwrap();
        s.run(&mut store.clone()).unwrap();
        let e = s.run(&mut bad.clone()).unwrap_err();
        assert_eq!(e.to_string(), "param `w`: element [0, 2] is NaN");
        assert_eq!(e.diag().labels[0].0.line, 3);
    }
}

#[test]
fn computed_rows_outside_of_their_table_are_named() {
    let f = fault(
        "dim n: 1..=100
data t: f32[n, 4]
data ids: i32[5]
%0 = add(ids, ids)
%1 = gather_rows(t, %0)
output y = %1",
        &none(),
        &|s| {
            s.set("t", &[9, 4], &[1f32; 36]).unwrap();
            s.set("ids", &[5], &[0, 4, 3, 5, 9]).unwrap();
        },
    );
    assert_eq!(f.wrong, Wrong::Row { operand: 1, rows: 9 });
    assert_eq!((f.element.as_slice(), f.value.as_str(), f.span.line), ([3].as_slice(), "10", 6));
    assert_eq!(
        f.to_string(),
        "`gather_rows`: element [3] of operand 1, the result of `add`, is 10; the table has the rows 0..9"
    );
    let diag = f.diag().to_string();
    assert!(diag.contains("t.ir:5:6: operand 1 is the result of `add`"), "{diag}");
}

/// Every op that reads or writes where data say, by numbers that the program computes.
#[test]
fn every_op_that_numbers_lead_is_looked_at() {
    const IDS: &str = "data ids: i32[3]\n%0 = neg(ids)\n";
    // The text after the ids, their values, then op, operand, element, value and limit.
    type Expected = (&'static str, usize, usize, &'static str, i64);
    let cases: [(&str, [i32; 3], Expected); 12] = [
        ("%1 = gather_rows(t, %0)\noutput y = %1", [0, -3, 1], ("gather_rows", 1, 2, "-1", 4)),
        ("%1 = scatter_rows(%0, r) {rows = [6]}\noutput y = %1", [0, -6, -7], ("segments", 0, 1, "6", 6)),
        ("%1, %2 = segments(%0) {rows = [9]}\noutput y = %2", [-8, 1, 0], ("segments", 0, 1, "-1", 9)),
        (
            "%1 = spmm_rows(a, t, %0) {transpose = 0}\noutput y = %1",
            [-1, -2, -3],
            ("spmm_rows", 2, 2, "3", 3),
        ),
        (
            "%1 = spmm_rows(a, r, %0) {transpose = 1}\noutput y = %1",
            [-1, -3, -4],
            ("spmm_rows", 2, 2, "4", 4),
        ),
        (
            "%1, %2 = score_top_k(q, t, a, %0) {k = 2}\noutput y = %2",
            [0, -1, -3],
            ("score_top_k", 3, 2, "3", 3),
        ),
        ("%1 = index(t, %0)\noutput y = %1", [0, -3, -4], ("index", 1, 2, "4", 4)),
        ("%1 = index(t, ids, %0)\noutput y = %1", [0, 0, 2], ("index", 2, 2, "-2", 2)),
        // A table that may have no row has one in this run; then it has none.
        ("%1 = index(e, %0)\noutput y = %1", [0, -4, -5], ("index", 1, 2, "5", 5)),
        ("%1 = index(none, %0)\noutput y = %1", [0, 0, 0], ("index", 1, 0, "0", 0)),
        (
            "%1 = index_update(t, %0, r) {op = sum}\noutput y = %1",
            [0, 1, -4],
            ("index_update", 1, 1, "-1", 4),
        ),
        // Of what is moved but not computed, and of a part of it.
        (
            "%1 = fill() {value = 9:i32, shape = [3]}\n%2 = max(%0, %1)\n%3 = gather_rows(t, %2)\noutput y = %3",
            [0, 0, 0],
            ("gather_rows", 1, 0, "9", 4),
        ),
    ];
    for (text, ids, (op, operand, element, value, rows)) in cases {
        let declared = [
            ("t", "data t: f32[4, 2]\n"),
            ("r", "data r: f32[3, 2]\n"),
            ("q", "data q: f32[3, 2]\n"),
            ("a", "data a: csr[3, 4; 2]\n"),
            ("e", "dim n: 0..=8\ndata e: f32[n, 2]\n"),
            ("none", "dim n: 0..=8\ndata none: f32[n, 2]\n"),
        ];
        let uses = |name: &str| text.contains(&format!("({name},")) || text.contains(&format!(" {name}"));
        let head: String = declared.iter().filter(|(name, _)| uses(name)).map(|(_, text)| *text).collect();
        let f = fault(&format!("{head}{IDS}{text}"), &none(), &|s| {
            s.set("ids", &[3], &ids).unwrap();
            for (name, size) in [("t", 4), ("r", 3), ("q", 3), ("e", 5), ("none", 0)] {
                if uses(name) {
                    s.set(name, &[size, 2], &vec![1f32; 2 * size]).unwrap();
                }
            }
            if uses("a") {
                s.set_csr("a", Arc::new(CsrArray::from_edges(3, 4, [(0, 1), (2, 3)]).unwrap())).unwrap();
            }
        });
        assert_eq!((f.op.as_str(), &f.wrong), (op, &Wrong::Row { operand, rows }), "{text}");
        assert_eq!((f.element.as_slice(), f.value.as_str()), ([element].as_slice(), value), "{text}");
        assert!(f.span.is_known(), "{text}");
    }
}

/// A law that never objects says nothing: without its checks a plan is led by numbers that nobody has looked at.
#[test]
fn plans_without_checks_are_found_out() {
    let isa = latentc_backends::cpu::Isa::host().unwrap();
    for text in [
        "data t: f32[4, 2]\ndata ids: i32[3]\n%0 = neg(ids)\n%1 = gather_rows(t, %0)\noutput y = %1",
        "data r: f32[3, 2]\ndata ids: i32[3]\n%0 = neg(ids)\n%1 = scatter_rows(%0, r) {rows = [6]}\noutput y = %1",
        "data t: f32[4, 2]\ndata x: f32[3]\n%0 = cast(x) {to = i32}\n%1 = index(t, %0)\noutput y = %1",
    ] {
        let mut program = plan_checked(&graph(text), &isa).unwrap();
        assert_eq!(unguarded(&program), [""; 0], "{program}");
        program.checks.clear();
        assert_eq!(unguarded(&program).len(), 1, "{program}");
    }
}

#[test]
fn ids_behind_ops_that_only_move_them_are_looked_at_too() {
    let f = fault(
        "data t: f32[4]
data ids: i32[6]
%0 = slice(ids) {axis = 0, range = [1, 5], step = 1} : i32[4]
%1 = gather_rows(t, %0)
output y = %1",
        &none(),
        &|s| {
            s.set("t", &[4], &[1f32; 4]).unwrap();
            s.set("ids", &[6], &[77, 1, 2, -3, 0, 99]).unwrap();
        },
    );
    assert_eq!((&f.wrong, f.element.as_slice()), (&Wrong::Row { operand: 1, rows: 4 }, [2].as_slice()));
    assert_eq!(f.value, "-3");
}

#[test]
fn numbers_that_an_integer_type_does_not_hold_are_named() {
    let f = fault(
        "data x: f32[3]
%0 = mul(x, x)
%1 = cast(%0) {to = i32} : i32[3]
output y = %1",
        &none(),
        &|s| s.set("x", &[3], &[1f32, 1e4, 1e5]).unwrap(),
    );
    assert_eq!((&f.wrong, f.element.as_slice()), (&Wrong::Overflow { to: DType::I32 }, [2].as_slice()));
    let text = f.to_string();
    assert_eq!(
        text,
        "`cast`: element [2] is 10000000000.0, which i32 does not hold; its range is -2147483648..=2147483647"
    );
    let f = fault(
        "data x: i64[2]
%0 = cast(x) {to = u8} : u8[2]
output y = %0",
        &none(),
        &|s| s.set("x", &[2], &[255i64, 256]).unwrap(),
    );
    assert_eq!((f.value.as_str(), f.element.as_slice()), ("256", [1].as_slice()));
}

#[test]
fn integers_divided_by_zero_are_named() {
    for op in ["div", "rem"] {
        let f = fault(
            &format!("data a: i32[3]\ndata b: i32[3]\n%0 = {op}(a, b)\noutput y = %0"),
            &none(),
            &|s| {
                s.set("a", &[3], &[1, 2, 3]).unwrap();
                s.set("b", &[3], &[1, 0, 3]).unwrap();
            },
        );
        assert_eq!(f.to_string(), format!("`{op}`: element [1] of the divisor is 0"));
    }
}

#[test]
fn infinities_that_are_meant_pass() {
    let g = graph(
        "data x: f32[2, 3]
%0 = fill() {value = -inf:f32, shape = [2, 3]} : f32[2, 3]
%1 = max(x, %0)
%2 = reduce(%1) {op = max, axes = [1]} : f32[2]
output y = %2
output z = %0",
    );
    for mut s in sessions(&g) {
        s.set("x", &[2, 3], &[1f32; 6]).unwrap();
        s.run(&mut none()).unwrap();
        assert_eq!(s.output::<f32>("y").unwrap().1, [1.0, 1.0]);
    }
}

#[test]
fn what_is_right_comes_out_as_it_does_unchecked() {
    let text = "dim n: 0..=50
data x: f32[n, 8]
param w: f32[8, 8]
state count: i32[]
%0 = matmul(x, w) {transpose = [0, 0]} : f32[n, 8]
%1 = softmax(%0)
%2 = reduce(%1) {op = sum, axes = [0]} : f32[8]
%3 = broadcast(%2) {axes = [1], shape = [8, 8]} : f32[8, 8]
%4 = sub(w, %3)
%5 = fill() {value = 1:i32, shape = []} : i32[]
%6 = add(count, %5)
output y = %1
update w = %4
update count = %6";
    let g = graph(text);
    let values: Vec<f32> = (0..400).map(|i| ((i * 37 % 101) as f32 - 50.0) / 100.0).collect();
    let first: Store = [("w", Array::from_slice(&[8, 8], &values[..64])), ("count", Array::scalar(7i32))]
        .into_iter()
        .collect();
    let mut plain = Session::compile(&g, &options(2, false)).unwrap();
    let mut expected = first.clone();
    let mut checked: Vec<(Session, Store)> = sessions(&g).into_iter().map(|s| (s, first.clone())).collect();
    for rows in [50, 3, 0, 49] {
        plain.set("x", &[rows, 8], &values[..rows * 8]).unwrap();
        plain.run(&mut expected).unwrap();
        for (s, store) in &mut checked {
            s.set("x", &[rows, 8], &values[..rows * 8]).unwrap();
            s.run(store).unwrap();
            let (a, b) = (s.output::<f32>("y").unwrap(), plain.output::<f32>("y").unwrap());
            assert_eq!(a.0, b.0);
            assert!(a.1.iter().zip(b.1).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1e-3)));
        }
    }
    for (_, store) in &checked {
        assert_eq!(store.get("count"), expected.get("count"));
        let (a, b) = (store.get("w").unwrap().to_f64(), expected.get("w").unwrap().to_f64());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3), "{a:?} {b:?}");
    }
    // One thread or two make no difference, to the bit.
    assert!(checked[0].1 == checked[1].1);
}

#[test]
fn a_plan_that_was_not_made_for_it_is_refused() {
    let g = graph("data x: f32[2]\n%0 = log(x)\noutput y = %0");
    let isa = latentc_backends::cpu::Isa::host().unwrap();
    let e = Session::cpu(&plan(&g, &isa).unwrap(), &options(1, true)).unwrap_err();
    assert!(matches!(e, CompileError::Unchecked { .. }), "{e}");
}

#[test]
fn policies_on_given_ids() {
    let g = graph(
        "dim n: 0..=100
data t: f32[n]
data ids: i32[4]
%0 = gather_rows(t, ids)
output y = %0",
    );
    let with = |ids: Ids| Options { ids: BTreeMap::from([("ids".to_owned(), ids)]), ..options(2, false) };
    let make =
        |ids: Ids| [Session::compile(&g, &with(ids)).unwrap(), Session::interp_with(&g, &with(ids)).unwrap()];
    let given = [-1, 0, 4, 2];
    for (ids, large, small) in [
        (Ids::Clamp, [0.0, 0.0, 4.0, 2.0], [0.0, 0.0, 2.0, 2.0]),
        (Ids::Wrap, [4.0, 0.0, 4.0, 2.0], [2.0, 0.0, 1.0, 2.0]),
    ] {
        for mut s in make(ids) {
            s.set("ids", &[4], &given).unwrap();
            // The numbers that were given count anew for each size of the table.
            for (rows, expected) in [(5, large), (3, small), (5, large)] {
                let table: Vec<f32> = (0..rows).map(|r| r as f32).collect();
                s.set("t", &[rows], &table).unwrap();
                s.run(&mut none()).unwrap();
                assert_eq!(s.output::<f32>("y").unwrap().1, expected, "{ids} {rows}");
            }
            s.set("t", &[0], &[0f32; 0]).unwrap();
            let e = s.run(&mut none()).unwrap_err();
            assert!(matches!(e, RunError::Bound { bound: 0, .. }), "{e}");
        }
    }
    for mut s in make(Ids::Error) {
        s.set("t", &[5], &[0f32; 5]).unwrap();
        s.set("ids", &[4], &given).unwrap();
        let e = s.run(&mut none()).unwrap_err();
        assert_eq!(e.to_string(), "input `ids`, element [0]: -1 is not in 0..5");
        assert_eq!(e.diag().labels[0].0.line, 4);
    }
    let wrong = Options { ids: BTreeMap::from([("t".to_owned(), Ids::Wrap)]), ..options(1, false) };
    let e = Session::compile(&g, &wrong).unwrap_err().to_string();
    assert_eq!(e, "`t` is to wrap row numbers, but it is no data input used as such; those are `ids`");
}

#[test]
fn computed_ids_need_a_row() {
    let g = graph(
        "dim n: 0..=10
dim m: 0..=10
data t: f32[n]
data ids: i32[m]
%0 = neg(ids)
%1 = gather_rows(t, %0)
output y = %1",
    );
    for mut s in [Session::compile(&g, &options(2, false)).unwrap(), Session::interp(&g).unwrap()] {
        let mut run = |rows: usize, ids: &[i32]| {
            s.set("t", &[rows], &vec![2f32; rows]).unwrap();
            s.set("ids", &[ids.len()], ids).unwrap();
            s.run(&mut none()).map(|()| s.output::<f32>("y").unwrap().1.to_vec())
        };
        assert_eq!(run(3, &[-1, 7]).unwrap(), [2.0, 2.0]);
        assert_eq!(run(0, &[]).unwrap(), [0f32; 0]);
        let e = run(0, &[1, 2]).unwrap_err().to_string();
        assert!(e.contains("gather_rows"), "{e}");
        assert_eq!(run(1, &[1]).unwrap(), [2.0]);
    }
}
