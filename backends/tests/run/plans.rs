//! Plans that contradict themselves are refused before anything runs.

use crate::step::{NODES, Numbers, program};
use latentc_backends::{Cache, CompileError, Options, RunError, Session};
use latentc_ir::dim::Dim;
use latentc_ir::plan::{Place, Program};

fn compile(p: &Program) -> Result<Session, CompileError> {
    Session::cpu(p, &Options { threads: 1, cache: Cache::Off, ..Options::default() })
}

/// The refusal of the program after a change.
fn refusal(change: impl Fn(&mut Program)) -> String {
    let mut p = program();
    change(&mut p);
    match compile(&p) {
        Err(CompileError::Plan { what, .. }) => what,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn positions_that_are_not_there() {
    assert!(refusal(|p| p.launches[1].kernel = 9).contains("kernel 9"));
    assert!(refusal(|p| p.launches[1].buffers[0] = 99).contains("buffer 99"));
    assert!(refusal(|p| p.launches[1].dims[0] = 3).contains("dim 3"));
    assert!(refusal(|p| p.launches[1].buffers.push(0)).contains("4 buffers are given, 3 needed"));
    assert!(refusal(|p| p.launches[1].dims.clear()).contains("0 dims are given, 1 needed"));
    assert!(refusal(|p| p.buffers[2].place = Place::Input(9)).contains("input 9"));
    assert!(refusal(|p| p.buffers[2].place = Place::Output(9)).contains("output 9"));
    assert!(refusal(|p| p.buffers[2].place = Place::Input(0)).contains("a dense input is needed"));
}

#[test]
fn types_that_differ() {
    assert!(refusal(|p| p.launches[1].buffers[1] = 2).contains("`ids` is i32, parameter `keep` is f32"));
    assert!(refusal(|p| p.buffers[2].place = Place::Input(2)).contains("its elements are i32"));
    assert!(refusal(|p| p.buffers[6].place = Place::Arena { offset: 32 }).contains("multiple of 64"));
}

#[test]
fn writes_that_reach_too_far() {
    // The parameter of the update becomes given data.
    assert!(refusal(|p| p.inputs[3].kind = latentc_ir::graph::InputKind::Data).contains("given data"));
    // The product would be written where it is read.
    assert!(refusal(|p| p.launches[0].buffers[3] = 4).contains("shares memory"));
    // Two arena buffers of one launch that overlap.
    let overlapping = refusal(|p| {
        p.buffers[8].place = Place::Arena { offset: 64 };
        p.buffers[7].place = Place::Arena { offset: 128 };
    });
    assert!(overlapping.contains("shares memory"), "{overlapping}");
}

#[test]
fn lengths_that_do_not_fit_at_the_sizes_of_a_run() {
    let refused = |change: &dyn Fn(&mut Program)| {
        let mut p = program();
        change(&mut p);
        let mut s = compile(&p).unwrap();
        let mut numbers = Numbers::new(11);
        let mut store = numbers.store(30);
        let before = store.clone();
        s.set_csr("adj", numbers.graph(10, 20, 40)).unwrap();
        s.set("keep", &[], &[0.5f32]).unwrap();
        s.set("ids", &[2], &[1, 2]).unwrap();
        let e = s.run(&mut store).unwrap_err();
        assert!(store == before);
        match e {
            RunError::Plan { what, .. } => what,
            other => panic!("{other}"),
        }
    };
    // The arena ends before the sums of the chunks.
    let what = refused(&|p| p.arena_bytes = (NODES * 64 * 4) as usize);
    assert!(what.contains("buffer `partial` has 1 elements, its place 0"), "{what}");
    let what = refused(&|p| p.buffers[6].shape[1] = Dim::from(32));
    assert!(what.contains("parameter `y` has 1920 elements, its buffer `y` 960"), "{what}");
    let what = refused(&|p| p.outputs[0].shape[1] = Dim::from(63));
    assert!(what.contains("buffer `rows` has 128 elements, its place 126"), "{what}");
}

#[test]
fn more_memory_than_there_is() {
    let mut p = program();
    p.arena_bytes = 1 << 62;
    match compile(&p) {
        Err(CompileError::Memory { what, bytes, .. }) => {
            assert_eq!((what.as_str(), bytes), ("the temporaries", 1 << 62));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_that_repeat() {
    let mut p = program();
    p.outputs[1].name = "rows".to_owned();
    assert!(matches!(compile(&p), Err(CompileError::Twice { what: "output", .. })));
    let mut p = program();
    p.inputs[2].name = "ids".to_owned();
    assert!(matches!(compile(&p), Err(CompileError::Twice { what: "input", .. })));
}
