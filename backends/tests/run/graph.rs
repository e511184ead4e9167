//! The program of `step` as a graph for the interpreter, and the interpreter's session beside the compiled.

use crate::step::{BATCH, ENTRIES, NODES, Numbers, WIDTH, program};
use latentc_backends::{Cache, CompileError, Options, Session};
use latentc_ir::diag::Span;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::{Graph, InputKind, Operand};
use latentc_ir::lower::Target;
use latentc_ir::ops::{gather_rows::GatherRows, input::Input, spmm::Spmm};
use latentc_ir::passes;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::{CsrType, Type};

fn input(g: &mut Graph, name: &str, kind: InputKind, ty: Type) -> Operand {
    g.value(Input { name: name.to_owned(), kind, ty }, &[], Span::none()).unwrap()
}

pub fn graph() -> Graph {
    let nodes = Dim::symbol("nodes", 1, NODES);
    let batch = Dim::symbol("batch", 0, BATCH);
    let nnz = Dim::symbol("nnz", 0, ENTRIES);
    let mut g = Graph::new("step");
    let csr = CsrType { rows: nodes.clone(), cols: nodes.clone(), nnz, symmetric: true };
    let adj = input(&mut g, "adj", InputKind::Data, Type::Csr(csr));
    let ids = input(&mut g, "ids", InputKind::Data, Type::tensor(DType::I32, [batch]));
    let keep = input(&mut g, "keep", InputKind::Data, Type::scalar(DType::F32));
    let x = input(&mut g, "x", InputKind::Param, Type::tensor(DType::F32, [nodes, WIDTH.into()]));
    let count = input(&mut g, "count", InputKind::State, Type::scalar(DType::I32));
    let y = g.emit(Spmm { transpose: false, weighted: false }, &[adj, x]);
    let shape = g.shape_of(x);
    let keep = g.broadcast(keep, shape, [].into_iter().collect());
    let kept = g.map(ScalarOp::Mul, &[x, keep]);
    let x = g.map(ScalarOp::Add, &[kept, y]);
    let rows = g.emit(GatherRows, &[x, ids]);
    let sum = g.reduce(ReduceOp::Sum, rows, [0, 1].into_iter().collect());
    let one = g.fill(Literal::int(DType::I32, 1), []);
    let count = g.map(ScalarOp::Add, &[count, one]);
    g.outputs = vec![("rows".to_owned(), rows), ("sum".to_owned(), sum)];
    g.updates = vec![("x".to_owned(), x), ("count".to_owned(), count)];
    g
}

/// The same program, compiled and interpreted.
pub fn both() -> [Session; 2] {
    let options = Options { threads: 2, cache: Cache::Off, ..Options::default() };
    [Session::cpu(&program(), &options).unwrap(), Session::interp(&graph()).unwrap()]
}

/// The graph by way of the pipeline.
fn lowered() -> Session {
    let plan = passes::lower(&graph(), &passes::Options::new(&Target::default())).unwrap();
    Session::cpu(&plan, &Options { threads: 2, cache: Cache::Off, ..Options::default() }).unwrap()
}

#[test]
fn the_interpreter_and_compiled_code_agree() {
    for (users, items, batch) in [(30, 50, 100), (7, 5, 0), (100, 150, 33)] {
        let [by_hand, interpreter] = both();
        let results = [by_hand, lowered(), interpreter].map(|mut s| {
            let mut numbers = Numbers::new(6);
            let graph = numbers.graph(users, items, 200);
            let mut store = numbers.store(users + items);
            s.set_csr("adj", graph).unwrap();
            s.set("keep", &[], &[0.5f32]).unwrap();
            for _ in 0..2 {
                s.set("ids", &[batch], &numbers.ids(batch, users + items)).unwrap();
                s.run(&mut store).unwrap();
            }
            let (shape, rows) = s.output::<f32>("rows").unwrap();
            assert_eq!(shape, [batch, WIDTH]);
            let mut all = rows.to_vec();
            all.extend(s.output::<f32>("sum").unwrap().1);
            all.extend(store.get("x").unwrap().as_slice::<f32>());
            (all, store.get("count").unwrap().clone())
        });
        let [.., (interpreted, count)] = &results;
        for (compiled, other) in &results[..2] {
            assert_eq!(count, other);
            assert_eq!(compiled.len(), interpreted.len());
            for (a, b) in compiled.iter().zip(interpreted) {
                // Sums of some thousand terms in f32, against f64 rounded once.
                assert!((a - b).abs() <= 2e-5 * b.abs().max(10.0), "{a} and {b}");
            }
        }
    }
}

#[test]
fn graphs_that_no_session_can_hold() {
    let wrong = |g: &Graph| match Session::interp(g).unwrap_err() {
        CompileError::Plan { what, .. } => what,
        other => panic!("{other}"),
    };
    let mut g = graph();
    g.outputs.push(("adj".to_owned(), g.input("adj").unwrap().into()));
    assert!(wrong(&g).contains("output `adj` is csr"));
    let mut g = graph();
    g.updates.push(("keep".to_owned(), g.input("keep").unwrap().into()));
    assert!(wrong(&g).contains("`keep` is updated with f32[]"));
    let mut g = graph();
    g.outputs.push(g.outputs[0].clone());
    assert!(matches!(Session::interp(&g), Err(CompileError::Twice { what: "output", .. })));
    let mut g = graph();
    let csr = g.node(g.input("adj").unwrap()).types[0].clone();
    input(&mut g, "kept", InputKind::State, csr);
    assert!(matches!(Session::interp(&g), Err(CompileError::Input { .. })));
}
