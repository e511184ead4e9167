//! What is refused, in the same words whether the program is compiled or interpreted, and without a trace in
//! the store.

use crate::graph::both;
use crate::step::Numbers;
use latentc_backends::{Axis, RunError, Session, Store};
use latentc_ir::array::{Array, CsrArray};
use latentc_ir::csr::CsrError;
use latentc_ir::dtype::DType;
use std::sync::Arc;

/// Does something wrong to sessions that are ready to run on 30 nodes, runs, and gives the refusal.
fn refusal(wrong: impl Fn(&mut Session, &mut Store) -> Result<(), RunError>) -> RunError {
    let [compiled, interpreted] = both().map(|mut s| {
        let mut numbers = Numbers::new(7);
        let graph = numbers.graph(10, 20, 50);
        let mut store = numbers.store(30);
        s.set_csr("adj", graph).unwrap();
        s.set("keep", &[], &[0.5f32]).unwrap();
        s.set("ids", &[3], &[0, 29, 5]).unwrap();
        s.run(&mut store).unwrap();
        let refused = match wrong(&mut s, &mut store) {
            Err(e) => e,
            Ok(()) => {
                let before = store.clone();
                let refused = s.run(&mut store).unwrap_err();
                assert!(store == before, "a refused run changed the store: {refused}");
                refused
            }
        };
        // What can be put right lets the session go on.
        let mut store = numbers.store(30);
        s.set_csr("adj", Numbers::new(7).graph(10, 20, 50)).unwrap();
        s.set("ids", &[2], &[1, 2]).unwrap();
        s.run(&mut store).unwrap();
        refused
    });
    assert_eq!(format!("{compiled:?}"), format!("{interpreted:?}"));
    compiled
}

#[test]
fn names_and_kinds() {
    let e = refusal(|s, _| s.set("id", &[], &[1i32]));
    assert!(matches!(e, RunError::UnknownInput { .. }));
    assert_eq!(e.to_string(), "no input `id`; the program takes `adj`, `ids`, `keep`");
    let e = refusal(|s, _| s.set("x", &[30, 64], &[0f32; 30 * 64]));
    assert_eq!(e.to_string(), "`x` is a param: it is kept in the store, put it there");
    let e = refusal(|s, _| s.set("adj", &[], &[1i32]));
    assert_eq!(e.to_string(), "input `adj` is csr[nodes, nodes; nnz; symmetric], a tensor was given");
    let e = refusal(|s, _| s.set_csr("ids", Arc::new(CsrArray::from_edges(1, 1, []).unwrap())));
    assert_eq!(e.to_string(), "input `ids` is i32[batch], a sparse pattern was given");
}

#[test]
fn types_and_sizes_of_what_is_given() {
    let e = refusal(|s, _| s.set("ids", &[1], &[1i64]));
    assert_eq!(e.to_string(), "input `ids` has elements of type i32, i64 found");
    let e = refusal(|s, _| s.set("ids", &[1, 1], &[1i32]));
    assert!(matches!(&e, RunError::Rank { found, .. } if found == &[1, 1]), "{e}");
    let e = refusal(|s, _| s.set("ids", &[3], &[1i32, 2]));
    assert!(matches!(&e, RunError::Length { found: 2, .. }), "{e}");
    let e = refusal(|s, _| s.set("ids", &[usize::MAX], &[1i32]));
    assert!(matches!(&e, RunError::Range { .. }), "{e}");
    let e = refusal(|s, _| s.set("ids", &[3001], &[0i32; 3001]));
    assert_eq!(e.to_string(), "input `ids`: dimension 0 is `batch`, in the range 0..=3000; 3001 found");
}

#[test]
fn ids_out_of_bounds() {
    for (value, ids) in [(30, [3, 30, 1]), (-1, [0, -1, 40])] {
        let e = refusal(move |s, _| s.set("ids", &[3], &ids));
        let RunError::Bound { place, position, value: found, bound } = &e else { panic!("{e}") };
        assert_eq!(
            (place.to_string().as_str(), position.as_slice(), *found, *bound),
            ("input `ids`", [1].as_slice(), value, 30)
        );
    }
    let e = refusal(|s, _| s.set("ids", &[1], &[30]));
    assert_eq!(e.to_string(), "input `ids`, element [0]: 30 is not in 0..30");
    // Ids that were in range before are not once the table is smaller.
    let e = refusal(|s, store| {
        let mut numbers = Numbers::new(8);
        *store = numbers.store(12);
        s.set_csr("adj", numbers.graph(4, 8, 3))
    });
    assert!(matches!(e, RunError::Bound { value: 29, bound: 12, .. }), "{e}");
}

#[test]
fn what_the_store_lacks() {
    let e = refusal(|_, store| {
        store.remove("x");
        Ok(())
    });
    assert_eq!(e.to_string(), "the store has no parameter `x` (f32[nodes, 64]); insert it before the run");
    let e = refusal(|_, store| {
        store.insert("count", Array::scalar(0f32));
        Ok(())
    });
    assert!(matches!(&e, RunError::ElementType { expected: DType::I32, found: DType::F32, .. }), "{e}");
    assert!(e.to_string().starts_with("state `count`"));
    let e = refusal(|_, store| {
        store.insert("x", Array::zeros(DType::F32, &[30, 32]));
        Ok(())
    });
    assert!(matches!(&e, RunError::Size { axis: Axis::At(1), found: 32, .. }), "{e}");
    assert_eq!(e.to_string(), "parameter `x`: dimension 1 is 32, expected 64");
}

#[test]
fn inputs_that_contradict_one_another() {
    let e = refusal(|_, store| {
        store.insert("x", Array::zeros(DType::F32, &[31, 64]));
        Ok(())
    });
    assert_eq!(e.to_string(), "dimension `nodes` is 30 by input `adj` and 31 by parameter `x`, dimension 0");
}

#[test]
fn patterns_that_are_none() {
    let pattern = |indptr: Vec<i32>, indices: Vec<i32>| {
        Arc::new(CsrArray { rows: 30, cols: 30, indptr, indices, twin: None })
    };
    let mut indptr = vec![1; 31];
    indptr[0] = 0;
    let p = pattern(indptr.clone(), vec![4]);
    let e = refusal(|s, _| s.set_csr("adj", p.clone()));
    let lone = CsrError::NotSymmetric { row: 0, column: 4 };
    assert!(matches!(&e, RunError::Pattern { source, .. } if *source == lone), "{e}");
    let p = pattern(indptr, vec![30]);
    let e = refusal(|s, _| s.set_csr("adj", p.clone()));
    assert!(matches!(&e, RunError::Pattern { source: CsrError::Column { .. }, .. }), "{e}");
    let p = pattern(vec![0; 30], vec![]);
    let e = refusal(|s, _| s.set_csr("adj", p.clone()));
    assert!(matches!(&e, RunError::Pattern { source: CsrError::Pointers { .. }, .. }), "{e}");
}

#[test]
fn before_the_first_run() {
    for mut s in both() {
        let mut store = Numbers::new(9).store(30);
        assert!(matches!(s.output::<f32>("sum"), Err(RunError::NotRun { .. })));
        let e = s.run(&mut store).unwrap_err();
        let text =
            "input `adj` (csr[nodes, nodes; nnz; symmetric]) has not been given; set it before the run";
        assert_eq!(e.to_string(), text);
        assert!(matches!(s.output::<f32>("sum"), Err(RunError::NotRun { .. })));
    }
}

#[test]
fn outputs_by_wrong_names_and_types() {
    let e = refusal(|s, _| s.output::<f32>("row").map(|_| ()));
    assert_eq!(e.to_string(), "no output `row`; the program gives `rows`, `sum`");
    let e = refusal(|s, _| s.output::<f64>("sum").map(|_| ()));
    assert_eq!(e.to_string(), "output `sum` has elements of type f32, f64 found");
}
