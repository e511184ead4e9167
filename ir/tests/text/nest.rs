//! Kernels as text, their rules, and the interpreter's checks.

use latentc_ir::array::Array;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Parallel, Serial, Unroll, Vector};
use latentc_ir::nest::build::{KernelBuilder, f32c, load, op1, op2};
use latentc_ir::nest::interp::{NestError, run};
use latentc_ir::nest::parse::{parse, parse_all};
use latentc_ir::nest::testing::cases;
use latentc_ir::nest::verify::{Fault, REGISTER_LIMIT, STACK_LIMIT, verify};
use latentc_ir::nest::{Expr, Index, Kernel, Space, Split};
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use proptest::prelude::*;

/// Sums of rows of a sparse matrix, with most of what a kernel can hold.
fn rich() -> Kernel {
    let mut k = KernelBuilder::new("rich");
    let (rows, n) = (k.dim("rows"), k.dim("n"));
    let ptr = k.buffer("ptr", DType::I32, rows.clone() + 1, Space::In);
    let col = k.buffer("col", DType::I32, n.clone(), Space::In);
    let x = k.buffer("x", DType::F32, rows.clone() * 8, Space::In);
    let y = k.buffer("y", DType::F32, rows.clone() * 8, Space::Out);
    let total = k.buffer("row total", DType::F64, rows.clone(), Space::InOut);
    let acc = k.buffer("acc", DType::F32, 8, Space::Register);
    let tmp = k.buffer("tmp", DType::Bool, 3, Space::Stack);
    k.for_("r", rows.clone(), Parallel(Split::ByPrefix { prefix: ptr, rows_per_iteration: 1 }), |k, r| {
        k.fill(acc, Literal::zero(DType::F32));
        k.fill(tmp, Literal::int(DType::Bool, 1));
        let (first, end) = (k.load_index(ptr, r.clone()), k.load_index(ptr, r.clone() + 1));
        k.for_step("e", first, end, 1, Serial, |k, e| {
            let source = k.load_index(col, e.clone().min(n.clone() - 1));
            k.prefetch(x, (source.clone() + 4) * 8);
            k.for_("c", 8, Vector(4), |k, c| {
                let term = op2(ScalarOp::Mul, load(x, source.clone() * 8 + c.clone()), f32c(0.1));
                k.accumulate(ReduceOp::Sum, acc, c, term);
            });
        });
        k.for_step("c", 0, 8, 2, Unroll, |k, c| {
            k.for_("d", 2, Unroll, |k, d| {
                let at = c.clone() + d;
                k.store(y, r.clone() * 8 + at.clone(), op1(ScalarOp::Exp, load(acc, at)));
            });
        });
        let odd =
            op2(ScalarOp::Eq, Index::modulo(r.clone(), 2).into(), Expr::Lit(Literal::int(DType::I64, 1)));
        k.if_(
            odd,
            |k| {
                let sum = Expr::Lanes { op: ReduceOp::Max, buf: acc };
                k.accumulate(ReduceOp::Min, total, r.clone(), Expr::Cast(DType::F64, Box::new(sum)));
            },
            |k| k.store(total, r.clone(), Expr::Lit(Literal::float(DType::F64, f64::NEG_INFINITY))),
        );
    });
    k.finish()
}

#[test]
fn kernels_are_printed_and_read_back() {
    let k = rich();
    assert_eq!(verify(&k), Ok(()));
    let text = k.to_string();
    assert_eq!(
        text,
        r#"kernel rich {
  dims rows, n
  in ptr: i32[rows + 1]
  in col: i32[n]
  in x: f32[rows * 8]
  out y: f32[rows * 8]
  inout "row total": f64[rows]
  register acc: f32[8]
  stack tmp: bool[3]

  parallel r in 0..rows by ptr(1) {
    fill acc = 0.0:f32
    fill tmp = true
    let %0: i32 = ptr[r]
    let %1: i32 = ptr[r + 1]
    for e in %0..%1 {
      let %2: i32 = col[min(e, n - 1)]
      prefetch x[(%2 + 4) * 8]
      vector(4) c in 0..8 {
        acc[c] += mul(x[%2 * 8 + c], 0.1:f32)
      }
    }
    unroll c in 0..8 step 2 {
      unroll d in 0..2 {
        y[r * 8 + (c + d)] = exp(acc[c + d])
      }
    }
    if eq(index(mod(r, 2)), 1:i64) {
      "row total"[r] min= f64(lanes(max, acc))
    } else {
      "row total"[r] = -inf:f64
    }
  }
}
"#
    );
    let back = parse("rich.nest", &text).unwrap();
    assert_eq!(back, k);
    assert_eq!(back.to_string(), text);
    assert_eq!(parse_all("two", &format!("{text}# another\n{text}")).unwrap(), [k.clone(), k]);
}

/// Names that hide each other, names that are no words, and tables that the body does not give.
#[test]
fn numbers_stand_in_for_names_that_do_not_lead_there() {
    let mut k = KernelBuilder::new("shadow");
    let n = k.dim("i");
    let a = k.buffer("x", DType::F32, n.clone(), Space::In);
    let b = k.buffer("x", DType::F32, n.clone(), Space::Out);
    k.for_("i", n.clone(), Serial, |k, outer| {
        k.for_("i", 1, Serial, |k, inner| {
            k.store(b, outer.clone() + inner, load(a, outer.clone().min(n.clone())));
        });
    });
    let mut k = k.finish();
    let text = k.to_string();
    assert!(text.contains("@1[var(0) + i] = x[min(var(0), dim(0))]"), "{text}");
    assert_eq!(parse("t", &text).unwrap(), k);
    k.vars.push("unused".into());
    k.vals.push(DType::U8);
    let text = k.to_string();
    assert!(text.contains("vars i, i, unused") && text.contains("vals u8"), "{text}");
    assert_eq!(parse("t", &text).unwrap(), k);
}

fn small(body: &str) -> String {
    format!(
        "kernel t {{\n  dims n\n  in x: f32[n]\n  in p: i32[4]\n  out y: f32[8]\n  register acc: f32[4]\n{body}\n}}\n"
    )
}

#[test]
fn what_cannot_be_read_has_its_place() {
    for (body, place, message) in [
        ("y[0] = mull(x[0], x[1])", "t:7:8", "there is no operation `mull`"),
        ("y[0] = mul(x[0])", "t:7:8", "`mul` takes 2 operands, 1 found"),
        ("y[0] = z[0]", "t:7:8", "there is no buffer `z`"),
        ("y[m] = x[0]", "t:7:3", "there is no loop variable or dimension `m`"),
        ("y[0] == x[0]", "t:7:7", "a value is expected, `=` found"),
        ("y[0] = 1.5:i32", "t:7:8", "`1.5` is no value of i32"),
        ("y[0] = 300:u8", "t:7:8", "`300` is no value of u8"),
        ("y[0] = %0", "t:7:8", "%0 is used before it is bound"),
        ("let %3: f32 = x[0]", "t:7:5", "%3 is bound, but %0 is the next value"),
        ("fro i in 0..n {}", "t:7:1", "`fro` starts no statement"),
        ("for i in 0..n {", "t:9:1", "a statement or `}` is expected, the end of the text found"),
        ("vector(x) i in 0..n {}", "t:7:8", "the number of lanes is expected"),
        ("y[0] = \"x", "t:7:8", "a quoted string has no end"),
        ("y[0] = x[99999999999999999999]", "t:7:10", "no 64-bit integer"),
        ("y[0] = x[0] ?", "t:7:13", "`?` has no meaning here"),
    ] {
        let diag = parse("t", &small(body)).unwrap_err().to_string();
        assert!(diag.contains(place) && diag.contains(message), "{body}: {diag}");
    }
    let help = parse("t", &small("y[0] = mull(x[0], x[1])")).unwrap_err().help;
    assert_eq!(help.as_deref(), Some("`mul` may be meant"));
}

#[test]
fn deep_texts_are_refused() {
    let deep = format!("y[0] = {}x[0]{}", "neg(".repeat(100_000), ")".repeat(100_000));
    let diag = parse("t", &small(&deep)).unwrap_err();
    assert!(diag.message.contains("within each other"), "{diag}");
}

fn faults(body: &str) -> Vec<String> {
    let k = parse("t", &small(body)).unwrap();
    verify(&k).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn broken_rules_are_found() {
    for (body, expected) in [
        ("x[0] = 1.0:f32", "the store to `x`: a write to `x`, which is in; it is only read"),
        ("fill y = 0.0:f32", "a fill of `y`, which is out; only local buffers are filled"),
        ("fill acc = 0.0:f64", "the constant must be f32, f64 found"),
        ("y[0] = p[0]", "the value must be f32, i32 found; insert a cast"),
        ("y[0] = add(x[0], p[0])", "`add` does not take (f32, i32)"),
        ("let %0: f32 = x[0]\nfor i in 0..%0 {}", "value %0, used as a position, must be of an integer type"),
        ("if x[0] {}", "must be bool, f32 found"),
        ("for i in 0..4 step 0 {}", "its step is 0; it must be 1 or more"),
        ("vector(3) i in 0..4 {}", "its number of lanes is 3; it must be a power of two up to 64"),
        ("vector(128) i in 0..4 {}", "its number of lanes is 128"),
        ("vector(8) i in 0..4 step 2 {}", "the step of a vector loop is 2; it must be 1"),
        ("vector(8) i in 0..n {\nvector(8) j in 0..n {}\n}", "loop `i` > loop `j`: a vector loop inside"),
        ("vector(8) i in 0..n {\nfor j in 0..i {}\n}", "its upper bound differs from lane to lane"),
        ("vector(8) i in 0..n {\nif eq(x[i], x[0]) {}\n}", "differs from lane to lane"),
        ("for i in 0..n {\nparallel j in 0..n {}\n}", "must be the whole body"),
        ("parallel j in 0..n {}\ny[0] = x[0]", "must be the whole body"),
        ("unroll i in 0..n {}", "its upper bound must be constant once loops are written out"),
        ("for i in 0..4 {\nacc[i] = 0.0:f32\n}", "a position of register array `acc` must be constant"),
        ("if true {\nlet %0: f32 = x[0]\n}\ny[0] = %0", "value %0 is used where it is not bound"),
        ("let %0: f32 = x[0]\nlet %0: f32 = x[0]", "value %0 is bound twice"),
        ("y[0] = f32(dot4(x[0], p[0]))", "what `dot4` multiplies must be u8, f32 found"),
        ("y[0] = lanes(sum, x)", "lanes are taken of `x`, which is in"),
        ("y[8] = x[0]", "position 8 of `y`, which has 8 elements"),
        ("for i in 0..9 {\ny[i] = x[0]\n}", "position 0 to 8 of `y`"),
        ("for i in 0..4 {\ny[i * 3] = x[0]\n}", "position 0 to 9 of `y`"),
        ("y[-1] = x[0]", "position -1 of `y`"),
        ("y[div(n, 0)] = x[0]", "a divisor is 0; it must be 1 or more"),
        ("parallel i in 0..n by x(1) {}", "prefix `x` must be i32, f32 found"),
        ("parallel i in 0..n by p(0) {}", "the number of rows an iteration is 0"),
    ] {
        let found = faults(body);
        assert!(found.iter().any(|f| f.contains(expected)), "{body}: {found:?}");
    }
}

#[test]
fn what_keeps_the_rules_passes() {
    for body in [
        // Lanes of 8 starting at multiples of 8 share the quotient by 64.
        "vector(8) i in 0..n {\nfor j in 0..div(i, 64) {}\n}",
        "vector(8) i in 0..4 {\nacc[i] = x[mod(i, 2)]\n}",
        "unroll i in 0..4 {\nunroll j in 0..i + 1 {\nacc[j] = x[i]\n}\n}",
        "for i in 0..8 {\nif lt(index(i), 4:i64) {\ny[i + 4] = x[i]\n}\n}",
        "for i in 0..3 {\ny[i * 3 + 1] = x[i]\n}",
        "for i in 0..4 {\ny[i - i] = x[i]\n}",
        "parallel i in 0..n by p(2) {}",
        "for i in 8..8 {\ny[i] = x[0]\n}",
        "vector(1) i in 0..8 {\nif eq(y[i], x[0]) {}\n}",
    ] {
        assert_eq!(faults(body), [] as [String; 0], "{body}");
    }
}

#[test]
fn locals_have_limits() {
    let mut k = KernelBuilder::new("big");
    k.buffer("a", DType::F64, 32 << 10, Space::Stack);
    k.buffer("b", DType::U8, 1, Space::Stack);
    k.buffer("c", DType::F32, REGISTER_LIMIT + 1, Space::Register);
    let errors = verify(&k.finish()).unwrap_err();
    let limits: Vec<i64> = errors
        .iter()
        .map(|e| match e.fault {
            Fault::TooLarge { limit, .. } => limit,
            ref other => panic!("{other}"),
        })
        .collect();
    assert_eq!(limits, [STACK_LIMIT, REGISTER_LIMIT]);
}

fn run_text(body: &str) -> Result<Vec<f64>, NestError> {
    let k = parse("t", &small(body)).unwrap();
    let mut params = [
        Array::from_f64(DType::F32, &[4], &[1.0, 2.0, 3.0, 4.0]),
        Array::from_f64(DType::I32, &[4], &[3.0, 2.0, 2.0, 7.0]),
        Array::zeros(DType::F32, &[8]),
    ];
    run(&k, &mut params, &[4], None)?;
    Ok(params[2].to_f64())
}

#[test]
fn the_interpreter_runs_what_is_written() {
    let found = run_text(
        "fill acc = 1.0:f32
         for i in 0..n {
           vector(4) c in 0..4 {
             acc[c] += mul(x[c], x[i])
           }
         }
         y[0] = lanes(sum, acc)
         vector(4) i in 1..5 { y[i] = x[i - 1] }
         unroll i in 5..8 step 2 { y[i] = f32(index(i * 10)) }",
    );
    // 1 + x[c] (1 + 2 + 3 + 4), added up over c; element 6 stays as it was.
    assert_eq!(found, Ok(vec![104.0, 1.0, 2.0, 3.0, 4.0, 50.0, 0.0, 70.0]));
}

#[test]
fn products_of_four_bytes_are_read_and_run() {
    let text = "kernel t {
  in a: u8[8]
  in b: i8[8]
  out y: i32[2]

  for i in 0..2 {
    y[i] = dot4(a[i * 4], b[4 - i])
  }
}
";
    let k = parse("t", text).unwrap();
    assert_eq!(k.to_string(), text);
    assert_eq!(verify(&k), Ok(()));
    let a = Array::from_f64(DType::U8, &[8], &[255.0, 1.0, 2.0, 3.0, 0.0, 200.0, 7.0, 1.0]);
    let b = Array::from_f64(DType::I8, &[8], &[1.0, 2.0, 3.0, -4.0, -128.0, 5.0, 6.0, 127.0]);
    let mut params = [a, b, Array::zeros(DType::I32, &[2])];
    run(&k, &mut params, &[], None).unwrap();
    let first = 255 * -128 + 5 + 2 * 6 + 3 * 127;
    assert_eq!(params[2].to_f64(), [f64::from(first), f64::from(200 * -128 + 7 * 5 + 6)]);
    let wrong = parse("t", &text.replace("b[4 - i]", "b[5 - i]")).unwrap();
    assert!(verify(&wrong).is_err());
    assert!(parse("t", &text.replace("a[i * 4]", "0:u8")).is_err());
}

#[test]
fn the_interpreter_finds_what_a_verifier_cannot() {
    let message = |body: &str| run_text(body).unwrap_err().to_string();
    assert_eq!(
        message("let %0: i32 = p[3]\ny[0] = x[%0]"),
        "kernel `t`: a read of `x` at 7, which has 4 elements"
    );
    assert_eq!(
        message("let %0: i32 = p[3]\ny[%0 - 8] = x[0]"),
        "kernel `t`: a write of `y` at -1, which has 8 elements"
    );
    assert_eq!(message("y[0] = acc[1]"), "kernel `t`: element 1 of `acc` is read before it is written");
    assert_eq!(message("y[3] += x[0]"), "kernel `t`: element 3 of `y` is read before it is written");
    assert_eq!(
        message("let %0: i32 = p[0]\ny[div(4, %0 - 3)] = x[0]"),
        "kernel `t`: a position is divided by 0; divisors are positive"
    );
    assert_eq!(
        message("parallel i in 0..n {\nlet %0: i32 = p[i]\ny[%0] = x[i]\n}"),
        "kernel `t`: iterations 1 and 2 of loop `i` meet in element 2 of `y`"
    );
    assert_eq!(
        message("vector(4) i in 0..n {\nacc[0] = x[i]\ny[i] = acc[0]\n}"),
        "kernel `t`: iterations 0 and 1 of loop `i` meet in element 0 of `acc`"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Random kernels keep the rules, come back from their text, and run.
    #[test]
    fn random_kernels(mut case in cases()) {
        let text = case.kernel.to_string();
        prop_assert_eq!(verify(&case.kernel), Ok(()), "{}", text);
        let back = parse("random", &text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(&back, &case.kernel);
        prop_assert_eq!(back.to_string(), text.clone());
        let ran = run(&case.kernel, &mut case.params, &case.dims, None);
        prop_assert_eq!(ran, Ok(()), "{}", text);
    }
}
