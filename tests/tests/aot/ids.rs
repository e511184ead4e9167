//! Row numbers outside of their table: refused, clamped or wrapped, as in process.

use latentc::aot;
use latentc::{Ids, Options, Session, Store};
use latentc_backends::aot::Weights;
use latentc_ir::array::{Array, Value};
use latentc_ir::graph::Graph;
use latentc_ir::graph::parse::parse;
use latentc_tests::aot::Loaded;
use std::collections::BTreeMap;

/// Rows of a table that may be empty.
fn graph() -> Graph {
    let text = "graph g {
        dim n: 1..=9
        dim rows: 0..=400
        data ids: i32[n]
        data table: f32[rows, 2]
        %0 = gather_rows(table, ids) : f32[n, 2]
        output y = %0
    }";
    parse("g", text).unwrap_or_else(|d| panic!("{d}"))
}

/// Numbers on both sides of tables of several sizes, and the ends of their type.
#[test]
fn policies_are_those_of_sessions() {
    const GIVEN: [i32; 9] = [0, 1, 2, -1, -5, 7, 300, i32::MIN, i32::MAX];
    for policy in [Ids::Error, Ids::Clamp, Ids::Wrap] {
        let ids = BTreeMap::from([("ids".to_owned(), policy)]);
        let options = Options { threads: 1, cache: latentc::Cache::Off, ids, ..Options::default() };
        let mut session = Session::compile(&graph(), &options).unwrap();
        let loaded = Loaded::of(&graph(), "native", Weights::Caller, &[("ids", policy)]).unwrap();
        for rows in [3, 1, 0, 400] {
            let table: Vec<f32> = (0..2 * rows).map(|i| i as f32).collect();
            let table = Array::from_slice(&[rows, 2], &table);
            for count in [9, 1] {
                let given = Array::from_slice(&[count], &GIVEN[..count]);
                session.set_array("ids", &given).unwrap();
                session.set_array("table", &table).unwrap();
                let expected = session.run(&mut Store::new());
                let all = [("ids", &given), ("table", &table)];
                let all = all.map(|(name, a)| (name.to_owned(), Value::Tensor(a.clone())));
                let mut state = loaded.state(&all).unwrap();
                let found = state.run(1);
                // What was given is not written to.
                assert_eq!(state.values[0].1, all[0].1);
                match (found, expected) {
                    (Ok(_), Ok(())) => {
                        assert_eq!(state.outputs[0].1, session.output_array("y").unwrap(), "{policy} {rows}");
                    }
                    // `input `ids`, element 3: -1 is outside 0..3` and `element [3]: -1 is not in 0..3`.
                    (Err(found), Err(expected)) => {
                        let plain = |s: &str| s.replace(['[', ']'], "").replace("is outside", "is not in");
                        assert_eq!(plain(&found), plain(&expected.to_string()), "{policy} {rows}");
                        assert!(policy == Ids::Error || rows == 0, "{policy} {rows}: {found}");
                    }
                    (found, expected) => panic!("{policy} {rows}: {found:?}, {expected:?}"),
                }
            }
        }
    }
}

#[test]
fn policies_are_stated_and_belong_to_the_interface() {
    let g = graph();
    let build = |policy| aot::library("g").add_graph("g", &g).ids("ids", policy).compile(false).unwrap();
    let stated = [
        (Ids::Error, "i32[n], each in 0..rows"),
        (Ids::Clamp, "i32[n], each clamped to 0..rows"),
        (Ids::Wrap, "i32[n], each wrapped to 0..rows: -1 is the last"),
    ];
    let mut interfaces = vec![];
    for (policy, text) in stated {
        let built = build(policy);
        assert!(built.header.contains(&format!("const int32_t *ids; /* {text} */")), "{}", built.header);
        assert!(built.rust.contains(&format!("/// {text}\n        pub ids: &'a [i32],")), "{}", built.rust);
        // Room for the rows.
        let bytes = built.report.units[0].workspace_bytes();
        assert_eq!(bytes, if policy == Ids::Error { 0 } else { 64 });
        interfaces.push(built.layouts[0].abi);
    }
    interfaces.dedup();
    assert_eq!(interfaces.len(), 3);
    let wrong = aot::library("g").add_graph("g", &g).ids("table", Ids::Wrap).compile(false).unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "`table` is to wrap row numbers, but it is no data input used as such; those are `ids`"
    );
}
