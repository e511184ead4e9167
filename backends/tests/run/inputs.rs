//! Inputs of every kind: the arrays of patterns, truth values, computed sizes, ids of every integer type.

use latentc_backends::{Axis, Cache, CompileError, Options, RunError, Session, Store};
use latentc_ir::array::{Array, CsrArray};
use latentc_ir::diag::Span;
use latentc_ir::dim::{Dim, Symbol};
use latentc_ir::dtype::DType;
use latentc_ir::graph::InputKind;
use latentc_ir::nest::build::{KernelBuilder, load};
use latentc_ir::nest::{AxisKind, Kernel, Space, Split};
use latentc_ir::plan::{BufferDecl, CsrPart, InputDecl, Launch, OutputDecl, Place, Program};
use latentc_ir::types::{CsrType, Shape, Type};
use std::sync::Arc;

/// `out[i] = in[i]` for `plus` elements more than the dimension.
fn copy(dtype: DType, plus: i64) -> Kernel {
    let mut k = KernelBuilder::new(format!("copy_{dtype}_{plus}"));
    let len = k.dim("n") + plus;
    let from = k.buffer("from", dtype, len.clone(), Space::In);
    let to = k.buffer("to", dtype, len.clone(), Space::Out);
    k.for_("i", len, AxisKind::Parallel(Split::Even), |k, i| k.store(to, i.clone(), load(from, i)));
    k.finish()
}

fn session(p: &Program) -> Result<Session, CompileError> {
    Session::cpu(p, &Options { threads: 2, cache: Cache::Off, ..Options::default() })
}

fn shape(dims: &[&Dim]) -> Shape {
    dims.iter().map(|d| (*d).clone()).collect()
}

/// Copies: each an input's place, its size, the symbol that its kernel counts by and how many more.
struct Copy<'a>(&'a str, DType, Place, Dim, usize, i64);

fn copies(symbols: &[&Dim], inputs: Vec<InputDecl>, copies: &[Copy]) -> Program {
    let mut p = Program {
        name: "copies".to_owned(),
        dims: symbols.iter().flat_map(|d| d.symbols()).collect(),
        inputs,
        outputs: vec![],
        ..Program::default()
    };
    for (i, Copy(name, dtype, place, size, dim, plus)) in copies.iter().enumerate() {
        let (name, dtype, shape) = ((*name).to_owned(), *dtype, shape(&[size]));
        p.outputs.push(OutputDecl { name: name.clone(), dtype, shape: shape.clone() });
        for place in [place.clone(), Place::Output(i)] {
            p.buffers.push(BufferDecl { name: name.clone(), dtype, shape: shape.clone(), place });
        }
        p.kernels.push(copy(dtype, *plus));
        p.launches.push(Launch { kernel: i, buffers: vec![2 * i, 2 * i + 1], dims: vec![*dim] });
    }
    p
}

fn data(name: &str, ty: Type) -> InputDecl {
    InputDecl { name: name.to_owned(), kind: InputKind::Data, ty, bound: None, span: Span::none() }
}

#[test]
fn kernels_see_the_arrays_of_a_pattern() {
    for symmetric in [false, true] {
        let (rows, cols) = (Dim::symbol("rows", 0, 100), Dim::symbol("cols", 0, 100));
        let (nnz, one) = (Dim::symbol("nnz", 0, 1000), Dim::from(1));
        let cols_or_rows = if symmetric { rows.clone() } else { cols.clone() };
        let csr = CsrType { rows: rows.clone(), cols: cols_or_rows.clone(), nnz: nnz.clone(), symmetric };
        let part = |part| Place::Csr { input: 0, part };
        let (i32s, twin_dim) = (DType::I32, if symmetric { 0 } else { 2 });
        let dims: &[&Dim] = if symmetric { &[&rows, &nnz] } else { &[&rows, &nnz, &cols] };
        let p = copies(
            dims,
            vec![data("a", Type::Csr(csr))],
            &[
                Copy("indptr", i32s, part(CsrPart::Indptr), &rows + &one, 0, 1),
                Copy("indices", i32s, part(CsrPart::Indices), nnz.clone(), 1, 0),
                Copy("twin_indptr", i32s, part(CsrPart::TwinIndptr), &cols_or_rows + &one, twin_dim, 1),
                Copy("twin_indices", i32s, part(CsrPart::TwinIndices), nnz.clone(), 1, 0),
                Copy("twin_edges", i32s, part(CsrPart::TwinEdges), nnz.clone(), 1, 0),
            ],
        );
        let mut s = session(&p).unwrap();
        let edges = [(0, 2), (2, 0), (1, 2), (2, 1), (3, 3)];
        let mut patterns = vec![CsrArray::from_edges(4, 4, edges).unwrap()];
        if !symmetric {
            patterns.push(CsrArray::from_edges(3, 5, [(0, 4), (2, 1), (0, 0), (2, 4)]).unwrap());
            patterns.push(CsrArray::from_edges(0, 0, []).unwrap());
        }
        for pattern in patterns {
            let twin = pattern.transposed();
            let expected =
                [&pattern.indptr, &pattern.indices, &twin.indptr, &twin.indices, &twin.edges].map(Vec::clone);
            // With its twin, and without: then the session makes one.
            for given in [pattern.clone(), CsrArray { twin: None, ..pattern }] {
                s.set_csr("a", Arc::new(given)).unwrap();
                s.run(&mut Store::new()).unwrap();
                let names = ["indptr", "indices", "twin_indptr", "twin_indices", "twin_edges"];
                for (name, expected) in names.iter().zip(&expected) {
                    assert_eq!(s.output::<i32>(name).unwrap().1, expected, "{name}");
                }
            }
        }
    }
}

#[test]
fn truth_values_are_zero_and_one() {
    let n = Dim::symbol("n", 0, 10);
    let input = data("mask", Type::tensor(DType::Bool, [n.clone()]));
    let p = copies(&[&n], vec![input], &[Copy("out", DType::Bool, Place::Input(0), n.clone(), 0, 0)]);
    let mut s = session(&p).unwrap();
    s.set("mask", &[3], &[1u8, 0, 1]).unwrap();
    s.run(&mut Store::new()).unwrap();
    assert_eq!(s.output::<u8>("out").unwrap().1, [1, 0, 1]);
    let e = s.set("mask", &[3], &[1u8, 0, 2]).unwrap_err();
    assert_eq!(e.to_string(), "input `mask`, element [2]: 2 is no truth value; give 0 or 1");
    // What was refused is not run on.
    assert!(matches!(s.run(&mut Store::new()), Err(RunError::Missing { .. })));
}

#[test]
fn computed_sizes_are_checked() {
    let n = Dim::symbol("n", 0, 10);
    let twice = &(&n * &Dim::from(2)) + &Dim::from(1);
    let inputs = vec![
        data("wide", Type::tensor(DType::I64, [twice])),
        data("x", Type::tensor(DType::I64, [n.clone()])),
    ];
    let p = copies(&[&n], inputs, &[Copy("out", DType::I64, Place::Input(1), n.clone(), 0, 0)]);
    let mut s = session(&p).unwrap();
    s.set("x", &[3], &[1i64, 2, 3]).unwrap();
    s.set("wide", &[7], &[0i64; 7]).unwrap();
    s.run(&mut Store::new()).unwrap();
    assert_eq!(s.output::<i64>("out").unwrap(), (&[3usize][..], &[1i64, 2, 3][..]));
    s.set("x", &[2], &[1i64, 2]).unwrap();
    let e = s.run(&mut Store::new()).unwrap_err();
    assert!(matches!(&e, RunError::Size { axis: Axis::At(0), found: 7, .. }), "{e}");
    assert_eq!(e.to_string(), "input `wide`: dimension 0 is 7, expected 5 (`2*n+1`)");
}

#[test]
fn a_dimension_that_nothing_binds() {
    let (n, m) = (Dim::symbol("n", 0, 10), Dim::symbol("m", 0, 10));
    let inputs = vec![data("x", Type::tensor(DType::I64, [&n + &m]))];
    let p = copies(&[&n, &m], inputs, &[]);
    let mut s = session(&p).unwrap();
    s.set("x", &[3], &[1i64, 2, 3]).unwrap();
    let e = s.run(&mut Store::new()).unwrap_err();
    assert_eq!(e.to_string(), "dimension `n` is the size of no input, so nothing says what it is");
    // A range of one value says it itself.
    let one = Arc::new(Symbol { name: "one".to_owned(), lo: 3, hi: 3 });
    let inputs = vec![data("x", Type::tensor(DType::I64, [Dim::from(3)]))];
    let mut p = copies(&[], inputs, &[Copy("out", DType::I64, Place::Input(0), Dim::from(3), 0, 0)]);
    p.dims.push(one);
    let mut s = session(&p).unwrap();
    s.set("x", &[3], &[1i64, 2, 3]).unwrap();
    s.run(&mut Store::new()).unwrap();
    assert_eq!(s.output::<i64>("out").unwrap().1, [1, 2, 3]);
}

#[test]
fn ids_of_every_integer_type_are_checked() {
    fn check<T: latentc_ir::array::Element>(of: impl Fn(i64) -> T, negative: bool) {
        let n = Dim::symbol("n", 0, 5000);
        let ty = Type::tensor(T::DTYPE, [n.clone()]);
        let input = InputDecl { bound: Some(Dim::from(7)), ..data("ids", ty) };
        let p = copies(&[&n], vec![input], &[Copy("out", T::DTYPE, Place::Input(0), n.clone(), 0, 0)]);
        let mut s = session(&p).unwrap();
        let wrong: &[i64] = if negative { &[7, 100, -1] } else { &[7, 100] };
        for at in [0, 1023, 1024, 4999] {
            let mut ids: Vec<T> = (0..5000).map(|i| of(i % 7)).collect();
            s.set("ids", &[5000], &ids).unwrap();
            s.run(&mut Store::new()).unwrap();
            for &value in wrong {
                ids[at] = of(value);
                s.set("ids", &[5000], &ids).unwrap();
                let e = s.run(&mut Store::new()).unwrap_err();
                let RunError::Bound { position, value: found, bound: 7, .. } = e else { panic!("{e}") };
                assert_eq!((position, found), (vec![at], value));
            }
        }
    }
    check(|x| x, true);
    check(|x| x as i32, true);
    check(|x| x as u32, false);
    check(|x| x as u8, false);
}

#[test]
fn inputs_beyond_their_first_room_grow() {
    // The greatest size is far beyond what is taken ahead.
    let n = Dim::symbol("n", 0, 1 << 40);
    let input = data("x", Type::tensor(DType::I64, [n.clone()]));
    let p = copies(&[&n], vec![input], &[Copy("out", DType::I64, Place::Input(0), n.clone(), 0, 0)]);
    let mut s = session(&p).unwrap();
    for len in [0usize, 10, 1_000_000, 3, 2_000_000] {
        let x: Vec<i64> = (0..len as i64).collect();
        s.set("x", &[len], &x).unwrap();
        s.run(&mut Store::new()).unwrap();
        assert_eq!(s.output::<i64>("out").unwrap(), (&[len][..], &x[..]));
    }
}

#[test]
fn ids_that_are_kept_are_checked_at_every_run() {
    let n = Dim::symbol("n", 0, 10);
    let ty = Type::tensor(DType::I32, [n.clone()]);
    let input = InputDecl { bound: Some(Dim::from(5)), kind: InputKind::State, ..data("ids", ty) };
    let p = copies(&[&n], vec![input], &[Copy("out", DType::I32, Place::Input(0), n.clone(), 0, 0)]);
    let mut s = session(&p).unwrap();
    let mut store = Store::from_iter([("ids", Array::from_slice(&[3], &[4i32, 0, 1]))]);
    s.run(&mut store).unwrap();
    store.get_mut("ids").unwrap().as_mut_slice::<i32>()[2] = 5;
    let e = s.run(&mut store).unwrap_err();
    assert_eq!(e.to_string(), "state `ids`, element [2]: 5 is not in 0..5");
}
