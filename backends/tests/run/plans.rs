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

/// A loop over the rows of an input, with a branch in it.
fn looped() -> Program {
    let text = "graph loop {
        data x: f32[5, 8]
        data which: bool[5]
        %0 = fill() {value = 0.0:f32, shape = [8]}
        %1 = scan(%0, x, which) {trips = [5], carries = 1, slices = 2, reverse = 0, checkpoint = 0, body = {
            arg h: f32[8]
            arg x: f32[8]
            arg which: bool[]
            %0 = cond(which, h, x) {then = {
                arg h: f32[8]
                arg x: f32[8]
                %0 = add(h, x)
                output h = %0
            }, otherwise = {
                arg h: f32[8]
                arg x: f32[8]
                %0 = mul(h, x)
                output h = %0
            }}
            output h = %0
        }}
        output y = %1
    }";
    let graph = latentc_ir::graph::parse::parse("loop", text).unwrap();
    let target = latentc_ir::lower::Target::default();
    latentc_ir::passes::lower(&graph, &latentc_ir::passes::Options::new(&target)).unwrap()
}

#[test]
fn loops_that_contradict_themselves() {
    assert!(compile(&looped()).is_ok());
    let refusal = |change: &dyn Fn(&mut Program)| {
        let mut p = looped();
        change(&mut p);
        match compile(&p) {
            Err(CompileError::Plan { what, .. }) => what,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("accepted"),
        }
    };
    let step = |p: &Program| p.buffers.iter().position(|b| matches!(b.place, Place::Step { .. })).unwrap();
    let set = |p: &mut Program, at: usize, to: (usize, usize)| {
        p.buffers[at].place = Place::Step { of: to.0, control: to.1, reverse: false };
    };
    assert!(refusal(&|p| p.controls[0].end = 99).contains("its launches are"));
    assert!(refusal(&|p| p.controls[0].end = p.controls[0].first).contains("a loop that this is not in"));
    assert!(refusal(&|p| set(p, step(p), (99, 0))).contains("buffer 99 is not there"));
    assert!(refusal(&|p| set(p, step(p), (0, 9))).contains("range 9 is no loop"));
    assert!(refusal(&|p| set(p, step(p), (step(p), 0))).contains("a part of itself"));
    let wrong = |p: &mut Program, buffer: usize| {
        let kind = &mut p.controls[1].kind;
        let latentc_ir::plan::ControlKind::Branch { on, .. } = kind else { panic!("a branch") };
        *on = buffer;
    };
    assert!(refusal(&|p| wrong(p, 99)).contains("buffer 99 is not there"));
    let x = |p: &Program| p.buffers.iter().position(|b| b.name == "x").unwrap();
    assert!(refusal(&|p| wrong(p, x(p))).contains("no truth value"));
    // More turns than there are rows.
    let mut p = looped();
    let latentc_ir::plan::ControlKind::Loop { trips } = &mut p.controls[0].kind else { panic!("a loop") };
    *trips = Dim::from(6);
    let mut s = compile(&p).unwrap();
    s.set("x", &[5, 8], &[0f32; 40]).unwrap();
    s.set("which", &[5], &[1u8; 5]).unwrap();
    let refused = s.run(&mut latentc_backends::Store::new()).unwrap_err();
    assert!(matches!(refused, RunError::Plan { .. }), "{refused}");
}
