//! Kernels that break the rules are refused with an error that names the kernel and what is wrong, never
//! compiled and never a panic; the verifier refuses them too.

use latentc_backends::cpu::{EmitError, Isa, compile_objects};
use latentc_ir::dtype::DType;
use latentc_ir::nest::parse::parse;
use latentc_ir::nest::verify::verify;
use latentc_ir::nest::{AxisKind, BufId, Buffer, DimId, Expr, Index, Kernel, Space, Stmt, ValId, VarId};

fn refused(kernel: &Kernel) -> EmitError {
    assert!(verify(kernel).is_err(), "the verifier lets this pass:\n{kernel}");
    match compile_objects(std::slice::from_ref(kernel), &Isa::host().unwrap(), 1) {
        Ok(_) => panic!("this compiles:\n{kernel}"),
        Err(e) => e,
    }
}

fn small(body: &str) -> Kernel {
    let head =
        "kernel t {\n  dims n\n  in x: f32[n]\n  in p: i32[n]\n  out y: f32[n]\n  register acc: f32[6]\n";
    parse("t", &format!("{head}{body}\n}}")).unwrap()
}

#[test]
fn types_that_do_not_fit() {
    for (body, place, expected, found) in [
        ("y[0] = p[0]", "buffer `y`", "f32", "i32"),
        ("acc[0] += f64(x[0])", "buffer `acc`", "f32", "f64"),
        ("acc[0] += mul(x[0], p[0])", "buffer `acc`", "f32", "i32"),
        ("fill acc = 0:i32", "buffer `acc`", "f32", "i32"),
        ("let %0: i32 = x[0]", "a named value", "i32", "f32"),
        ("if x[0] {}", "the condition of a branch", "bool", "f32"),
        ("y[0] = add(x[0], p[0])", "operation `add`", "2 operands that it takes", "f32, i32"),
        ("y[0] = exp(p[0])", "operation `exp`", "1 operands that it takes", "i32"),
        (
            "y[0] = select(x[0], x[0], x[0])",
            "operation `select`",
            "3 operands that it takes",
            "f32, f32, f32",
        ),
        ("let %0: f32 = x[0]\ny[%0] = x[0]", "a value used as a position", "an integer type", "f32"),
    ] {
        match refused(&small(body)) {
            EmitError::TypeMismatch { kernel, place: p, expected: e, found: f } => {
                assert_eq!(
                    (kernel.as_str(), p.as_str(), e.as_str(), f.as_str()),
                    ("t", place, expected, found)
                );
            }
            other => panic!("{body}: {other}"),
        }
    }
}

#[test]
fn what_must_be_constant() {
    for (body, expected) in [
        ("unroll i in 0..n {}", "the bounds of loop `i`"),
        ("for i in 0..4 {\nunroll j in i..4 {}\n}", "the bounds of loop `j`"),
    ] {
        match refused(&small(body)) {
            EmitError::NotConstant { what, .. } => assert_eq!(what, expected),
            other => panic!("{body}: {other}"),
        }
    }
    let kernel = parse("t", "kernel t {\n dims n\n stack s: f32[n]\n}").unwrap();
    match refused(&kernel) {
        EmitError::NotConstant { what, .. } => assert_eq!(what, "the length of local buffer `s`"),
        other => panic!("{other}"),
    }
}

#[test]
fn what_must_be_the_same_in_every_lane() {
    for (body, expected) in [
        ("vector(8) i in 0..n {\nif eq(x[i], x[0]) {}\n}", "the condition of a branch"),
        ("vector(8) i in 0..n {\nfor j in 0..i {}\n}", "the bounds of loop `j`"),
        ("vector(8) i in 0..n {\nfor j in 0..div(i, 4) {}\n}", "the bounds of loop `j`"),
    ] {
        match refused(&small(body)) {
            EmitError::VariesOverLanes { place, .. } => assert_eq!(place, expected),
            other => panic!("{body}: {other}"),
        }
    }
}

#[test]
fn local_memory_is_limited() {
    for (buffers, expected) in [
        ("stack a: f64[32768]\n stack b: u8[1]", (262_145, 262_144, "bytes on the stack")),
        ("register a: f32[32769]", (32769, 32768, "elements in registers")),
    ] {
        let kernel = parse("t", &format!("kernel t {{\n {buffers}\n}}")).unwrap();
        match refused(&kernel) {
            EmitError::TooLarge { found, limit, unit, .. } => assert_eq!((found, limit, unit), expected),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn rules_of_loops_and_buffers() {
    for (body, expected) in [
        ("x[0] = 1.0:f32", "buffer `x`, an input, is written"),
        ("x[0] += 1.0:f32", "buffer `x`, an input, is written"),
        ("for i in 0..n step 0 {}", "a step of 0"),
        ("vector(3) i in 0..n {}", "a vector loop of 3 lanes"),
        ("vector(128) i in 0..n {}", "a vector loop of 128 lanes"),
        ("vector(8) i in 0..n step 2 {}", "a vector loop steps by 2"),
        ("vector(8) i in 0..n {\nvector(4) j in 0..n {}\n}", "a vector loop within a vector loop"),
        ("for i in 0..n {\nparallel j in 0..n {}\n}", "a parallel loop is not the whole body"),
        ("parallel j in 0..n {}\ny[0] = x[0]", "a parallel loop is not the whole body"),
        ("fill y = 0.0:f32", "a fill of `y`, which is not local"),
        ("y[0] = lanes(sum, x)", "lanes of `x` are reduced"),
        ("y[0] = lanes(sum, acc)", "length is a power of two, not 6"),
        ("y[div(n, 0)] = x[0]", "a position divided by 0"),
        ("if true {\nlet %0: f32 = x[0]\n}\ny[0] = %0", "value 0 is used before it is bound"),
    ] {
        match refused(&small(body)) {
            EmitError::Malformed { kernel, what } => {
                assert!(kernel == "t" && what.contains(expected), "{body}: {what}");
            }
            other => panic!("{body}: {other}"),
        }
    }
}

/// Numbers beyond their tables, as no text can write them.
#[test]
fn ids_that_no_table_has() {
    let store = |index: Index, value: Expr| Stmt::Store { buf: BufId(2), index, value };
    let one = || Expr::Load { buf: BufId(0), index: Box::new(Index::Const(0)) };
    let cases: [(Vec<Stmt>, &str); 8] = [
        (vec![Stmt::Store { buf: BufId(9), index: Index::Const(0), value: one() }], "undeclared buffer 9"),
        (vec![store(Index::Dim(DimId(9)), one())], "undeclared dimension 9"),
        (vec![store(Index::Var(VarId(9)), one())], "loop variable 9"),
        (vec![store(Index::Val(ValId(9)), one())], "value 9 is used before it is bound"),
        (vec![store(Index::Const(0), Expr::Val(ValId(9)))], "value 9 is used before it is bound"),
        (vec![Stmt::Let { val: ValId(9), expr: one() }], "undeclared value 9"),
        (vec![Stmt::Prefetch { buf: BufId(9), index: Index::Const(0) }], "undeclared buffer 9"),
        (
            vec![Stmt::For {
                var: VarId(9),
                lo: Index::Const(0),
                hi: Index::Const(1),
                step: 1,
                kind: AxisKind::Serial,
                body: vec![],
            }],
            "undeclared loop variable 9",
        ),
    ];
    for (body, expected) in cases {
        let mut kernel = small("");
        kernel.body = body;
        match refused(&kernel) {
            EmitError::Malformed { what, .. } => assert!(what.contains(expected), "{what}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn names_and_order() {
    let kernel = parse("t", "kernel \"a b\" {}").unwrap();
    assert!(matches!(refused(&kernel), EmitError::Malformed { kernel, .. } if kernel == "a b"));
    let mut kernel = small("");
    kernel.buffers.push(Buffer {
        name: "z".into(),
        dtype: DType::F32,
        len: Index::Const(1),
        space: Space::In,
    });
    let EmitError::Malformed { what, .. } = refused(&kernel) else { panic!("another error") };
    assert_eq!(what, "a parameter stands after a local buffer");
    let twice = [small(""), small("")];
    let error = compile_objects(&twice, &Isa::host().unwrap(), 1).err();
    assert!(matches!(error, Some(EmitError::DuplicateName { kernel }) if kernel == "t"));
}
