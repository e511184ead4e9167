//! What is wrong with a run: what it is given, and what a checked one finds.

use latentc::prelude::*;
use latentc::{Array, Cache, CsrArray, Errors, Ids, RunError, Session, Store};
use std::sync::Arc;

fn model() -> Program {
    program("step", |g| {
        let batch = g.dim("batch", 1..=8);
        let table = g.params().table("nodes", [10, 4], init::normal(0.1));
        let adj = g.csr("adj", [10, 10]).symmetric();
        let user = g.ids("user", [batch]);
        let item = g.ids("item", [batch]);
        let weight = g.input("weight", DType::F32, (batch, 4));
        let nodes = adj.sym_norm_spmm(table.all(g));
        let score = nodes.rows(user) * nodes.rows(item) * weight;
        g.output("score", score.sum_all());
    })
    .unwrap()
}

fn shown(error: &RunError) -> String {
    Errors::from(error).render(false)
}

fn graph() -> Arc<CsrArray> {
    Arc::new(CsrArray::bipartite(4, 6, [(0, 0), (1, 2), (3, 5)]).unwrap())
}

/// What the session says, with everything right but for what `spoil` does.
fn refused(spoil: impl FnOnce(&mut Session, &mut Store) -> Result<(), RunError>) -> String {
    let model = model();
    let mut session = cpu().unwrap().compile(&model, &options(false)).unwrap();
    let mut store = model.init(1);
    session.set_csr("adj", graph()).unwrap();
    session.set("user", &[3], &[0, 1, 2]).unwrap();
    session.set("item", &[3], &[7, 8, 9]).unwrap();
    session.set("weight", &[3, 4], &[1f32; 12]).unwrap();
    let result = spoil(&mut session, &mut store).and_then(|()| session.run(&mut store));
    shown(&result.unwrap_err())
}

fn options(checked: bool) -> Options {
    Options { threads: 1, cache: Cache::Off, checked, ..Options::default() }
}

macro_rules! refusals {
    ($($name:ident: |$session:ident, $store:ident| $spoil:expr;)+) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), refused(|$session, $store| $spoil));
        }
    )+};
}

refusals! {
    run_size_out_of_range: |s, _store| s.set("user", &[9], &[0; 9]);
    run_sizes_that_disagree: |s, _store| s.set("item", &[2], &[7, 8]);
    run_constant_size: |s, _store| s.set("weight", &[3, 5], &[1f32; 15]);
    run_rank: |s, _store| s.set("weight", &[12], &[1f32; 12]);
    run_element_type: |s, _store| s.set("user", &[3], &[0f32; 3]);
    run_id_out_of_range: |s, _store| s.set("item", &[3], &[7, 10, 9]);
    run_pattern_of_other_size: |s, _store| {
        s.set_csr("adj", Arc::new(CsrArray::bipartite(4, 5, [(0, 0)]).unwrap()))
    };
    run_parameter_of_other_size: |_s, store| {
        store.insert("nodes", Array::zeros(DType::F32, &[10, 5]));
        Ok(())
    };
    run_without_a_parameter: |_s, store| {
        store.remove("nodes");
        Ok(())
    };
    run_unknown_input: |s, _store| s.set("items", &[1], &[0]);
}

#[test]
fn run_without_an_input() {
    let model = model();
    let mut session = cpu().unwrap().compile(&model, &options(false)).unwrap();
    session.set_csr("adj", graph()).unwrap();
    let e = session.run(&mut model.init(1)).unwrap_err();
    insta::assert_snapshot!("run_without_an_input", shown(&e));
}

#[test]
fn policy_for_what_holds_no_ids() {
    let mut options = options(false);
    options.ids.insert("weight".to_owned(), Ids::Clamp);
    let e = cpu().unwrap().compile(&model(), &options).unwrap_err();
    insta::assert_snapshot!("policy_for_what_holds_no_ids", e.render(false));
}

/// The fault that a checked run finds, compiled and interpreted.
fn fault(built: &Program, set: impl Fn(&mut Session)) -> String {
    let mut all = [cpu().unwrap(), interp()].map(|device| {
        let mut session = device.compile(built, &options(true)).unwrap();
        set(&mut session);
        let mut store = built.init(3);
        let before = store.clone();
        let e = session.run(&mut store).unwrap_err();
        assert!(store == before, "the run was taken back");
        shown(&e)
    });
    assert_eq!(all[0], all[1]);
    std::mem::take(&mut all[0])
}

#[test]
fn checked_nan() {
    let built = program("nan", |g| {
        let x = g.input("x", DType::F32, [2, 3]);
        let w = g.params().tensor("w", [3], init::constant(1.0)).get(g);
        let margin = x - w;
        let loss = margin.log().sum_all();
        g.minimise(loss, Sgd::new(0.1));
        g.output("loss", loss);
    })
    .unwrap();
    let set = |s: &mut Session| s.set("x", &[2, 3], &[2f32, 2.0, 2.0, 2.0, 0.5, 2.0]).unwrap();
    insta::assert_snapshot!("checked_nan", fault(&built, set));
}

#[test]
fn checked_overflow_to_infinity() {
    let built = program("infinite", |g| {
        let x = g.input("x", DType::F32, [4]);
        g.output("y", (x * 10.0).exp());
    })
    .unwrap();
    let set = |s: &mut Session| s.set("x", &[4], &[0f32, 1.0, 9.0, 2.0]).unwrap();
    insta::assert_snapshot!("checked_overflow_to_infinity", fault(&built, set));
}

#[test]
fn checked_row() {
    let built = program("row", |g| {
        let table = g.params().table("nodes", [10, 2], init::normal(0.1));
        let user = g.ids("user", [3]);
        let next = user + 1;
        g.output("y", table.all(g).rows(next));
    })
    .unwrap();
    let set = |s: &mut Session| s.set("user", &[3], &[0, 9, 4]).unwrap();
    insta::assert_snapshot!("checked_row", fault(&built, set));
}

#[test]
fn checked_cast() {
    let built = program("cast", |g| {
        let x = g.input("x", DType::F32, [3]);
        g.output("y", (x * 1e6).cast(DType::I32));
    })
    .unwrap();
    let set = |s: &mut Session| s.set("x", &[3], &[1f32, -2.0, 3000.0]).unwrap();
    insta::assert_snapshot!("checked_cast", fault(&built, set));
}

#[test]
fn checked_division() {
    let built = program("division", |g| {
        let [a, b] = ["a", "b"].map(|name| g.input(name, DType::I32, [2]));
        g.output("y", a / b);
    })
    .unwrap();
    let set = |s: &mut Session| {
        s.set("a", &[2], &[1, 2]).unwrap();
        s.set("b", &[2], &[3, 0]).unwrap();
    };
    insta::assert_snapshot!("checked_division", fault(&built, set));
}
