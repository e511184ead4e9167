//! Graphs as text.

use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::parse::parse;
use latentc_ir::graph::verify::verify;
use latentc_ir::ops::{Axes, dropout, fill, reduce};
use latentc_ir::scalar::ReduceOp;

/// Every op, with every kind of attribute.
const ALL: &str = r#"graph "every op" {
  dim batch: 1..=8192
  dim n: 0..=1000
  dim nnz: 0..=100000

  data adj: csr[n, n; nnz; symmetric]
  data ids: i32[batch]
  data mask: bool[batch, 64]
  param nodes: f32[n, 64]
  state "nodes.m": f32[n, 64]
  state seed: i64[]
  state step: i64[]
  data keys: i32[n]
  data weight: f32[nnz]
  data seen: csr[batch, n; nnz]

  %0 = gather_rows(nodes, ids) : f32[batch, 64]
  %1 = fill() {value = 0.1:f32, shape = [batch, 64]} : f32[batch, 64]
  %2 = select(mask, %0, %1) : f32[batch, 64]
  %3 = dropout(%2, seed, step) {rate = 0.1:f64, stream = 3} : f32[batch, 64]
  %4 = random(seed, step) {stream = 4, shape = [batch, div(n+7,8)]} : u32[batch, div(n+7,8)]
  %5 = matmul(%0, nodes) {transpose = [0, 1]} : f32[batch, n]
  %6 = softmax(%5) : f32[batch, n]
  %7 = log_sum_exp(%5) : f32[batch]
  %8 = reduce(%6) {op = max, axes = [0, 1]} : f32[]
  %9 = broadcast(%7) {shape = [batch, n], axes = [0]} : f32[batch, n]
  %10 = cast(%9) {to = bf16} : bf16[batch, n]
  %11 = reshape(%9) {shape = [batch*n]} : f32[batch*n]
  %12 = permute(%9) {axes = [1, 0]} : f32[n, batch]
  %13 = slice(%0) {axis = 1, range = [0, 64], step = 2} : f32[batch, 32]
  %14 = concat(%0, %1) {axis = 0} : f32[2*batch, 64]
  %15 = pad(ids) {axis = 0, sizes = [1, n], value = -1:i32} : i32[n+batch+1]
  %16 = row_sparse(ids, %0) {rows = [n]} : rows<batch>f32[n, 64]
  %17, %18 = row_sparse_parts(%16) : i32[batch], f32[batch, 64]
  %19 = scatter_rows(%17, %18) {rows = [n]} : f32[n, 64]
  %20, %21 = segments(keys) {rows = [128]} : i32[129], i32[n]
  %22 = segment_sum(%20, %21, nodes) : f32[128, 64]
  %23 = spmm(adj, nodes) {transpose = 0, weighted = 0} : f32[n, 64]
  %24 = spmm(adj, nodes, weight) {transpose = 1, weighted = 1} : f32[n, 64]
  %25 = sddmm(adj, %23, %24) : f32[nnz]
  %26 = csr_degree(adj) {transpose = 0} : i32[n]
  %27, %28 = top_k(%0) {k = 20} : f32[batch, 20], i32[batch, 20]
  %29 = eq(%27, %27) : bool[batch, 20]
  %30 = not(%29) : bool[batch, 20]
  %31, %32 = score_top_k(%0, nodes, seen, ids) {k = 5} : f32[batch, 5], i32[batch, 5]
  %33 = spmm_rows(adj, nodes, ids) {transpose = 1} : f32[batch, 64]

  output "a loss" = %8
  output ids = %28
  update nodes = %19
  update "nodes.m" = "nodes.m"
}
"#;

#[test]
fn graphs_are_printed_and_read_back() {
    let g = parse("all.ir", ALL).unwrap();
    assert_eq!(verify(&g), Ok(()));
    assert_eq!(g.to_string(), ALL);
    let loss = &g.node(g.outputs[0].1.node).span;
    assert_eq!(loss.to_string(), "all.ir:25:8");
}

/// Numbers follow the order of the text; dead nodes stay, equal ones become one.
#[test]
fn text_by_hand_is_brought_into_order() {
    let g = parse(
        "t",
        "graph t { data x: f32[4]  %b = neg(x)  %a = neg(x)  %c = exp(x) : f32[4]  output y = %a }",
    )
    .unwrap();
    let expected = "graph t {\n  data x: f32[4]\n\n  %0 = neg(x) : f32[4]\n  %1 = exp(x) : f32[4]\n\n  output y = %0\n}\n";
    assert_eq!(g.to_string(), expected);
}

#[test]
fn what_cannot_be_read_has_its_place() {
    for (line, place, message, help) in [
        ("%0 = sofmax(x)", "t:6:6", "there is no op `sofmax`", Some("`softmax` may be meant")),
        ("%0 = philox(x)", "t:6:6", "there is no op `philox`", None),
        ("%0 = top_k(x)", "t:6:6", "`top_k` needs an attribute `k`: an integer of at least 0", None),
        (
            "%0 = top_k(x) {k = [1]}",
            "t:6:16",
            "`k` of `top_k` must be an integer of at least 0, a list found",
            None,
        ),
        ("%0 = top_k(x) {k = -1}", "t:6:16", "must be an integer of at least 0, the integer -1 found", None),
        (
            "%0 = top_k(x) {n = 1, k = 1}",
            "t:6:16",
            "`top_k` has no attribute `n`",
            Some("its attributes are k"),
        ),
        ("%0 = neg(x) {k = 1}", "t:6:14", "`neg` has no attribute `k`", Some("`neg` has no attributes")),
        ("%0 = top_k(x) {k = 1, k = 1}", "t:6:23", "attribute `k` is given twice", None),
        ("%0 = reduce(x) {op = mean, axes = [0]}", "t:6:17", "must be `sum`, `prod`, `max` or `min`", None),
        (
            "%0 = reduce(x) {op = sum, axis = [0]}",
            "t:6:6",
            "needs an attribute `axes`",
            Some("it has `axis`; is `axes` meant?"),
        ),
        ("%0 = fill() {value = 1.0, shape = []}", "t:6:14", "a constant with its type", None),
        ("%0 = fill() {value = 1.5:i32, shape = []}", "t:6:22", "`1.5` is no value of i32", None),
        ("%0 = fill() {value = 1:i32, shape = [m]}", "t:6:38", "`m` is no declared size", None),
        ("%0 = neg(xx)", "t:6:10", "xx is not known here", Some("`x` may be meant")),
        ("%0 = neg(%7)", "t:6:10", "%7 is not known here", None),
        ("%0, %1 = neg(x)", "t:6:10", "`neg` gives 1 values, 2 named", None),
        ("%0 = neg(x)\n%0 = exp(x)", "t:7:1", "%0 is named twice", None),
        ("%0 = neg(x) : f32[n]", "t:6:15", "`neg` gives f32[n, 8] here, f32[n] is written", None),
        ("%0 = add(x, s)", "t:6:6", "`add` takes operands of one shape, [n, 8] and [n] found", None),
        ("%0 = matmul(x, x) {transpose = [0, 0]}", "t:6:6", "matmul", None),
        ("dim n: 1..=2", "t:6:5", "`n` is declared twice", None),
        ("dim k: 3..=2", "t:6:5", "which holds nothing", None),
        ("data x: f32[n]", "t:6:6", "input `x` is declared twice", None),
        ("data y: f31[n]", "t:6:9", "`f31` is no element type", None),
        ("data y: f32[div(n, 0)]", "t:6:13", "a size divided by 0; divisors are positive", None),
        ("outptu y = x", "t:6:1", "`outptu` starts no line of a graph", Some("`output` may be meant")),
        ("output y = x\noutput y = x", "t:7:8", "output `y` is given twice", None),
        ("update y = x", "t:6:8", "there is no input `y` to update", None),
        ("update x = x", "t:6:8", "`x` is given with every run", Some("declare it as `param` or `state`")),
        ("update s = x", "t:6:8", "`s` is f32[n], its new value f32[n, 8]", None),
        ("%0 neg(x)", "t:6:4", "`=` is expected, `neg` found", None),
    ] {
        let text = format!("graph t {{\ndim n: 1..=9\ndata x: f32[n, 8]\nstate s: f32[n]\n\n{line}\n}}");
        let diag = parse("t", &text).map(|g| g.to_string()).unwrap_err();
        let first = diag.labels[0].0.to_string();
        assert!(first == place && diag.message.contains(message), "{line}: {diag}");
        if let Some(help) = help {
            assert_eq!(diag.help.as_deref(), Some(help), "{line}");
        }
    }
}

/// A wrong operand is shown with where each operand was made.
#[test]
fn operands_are_labelled() {
    let text = "graph t {\n  data x: f32[4]\n  data y: f64[4]\n  %0 = add(x, y)\n}";
    let diag = parse("dir/t.ir", text).unwrap_err();
    assert_eq!(
        diag.to_string(),
        "`add` takes operands of one number type, found f32, f64; insert a cast\
         \n  dir/t.ir:4:8: `add` here\
         \n  dir/t.ir:2:8: this is f32[4]\
         \n  dir/t.ir:3:8: this is f64[4]"
    );
}

/// Constants keep every bit through the text.
#[test]
fn constants_keep_their_bits() {
    let mut g = latentc_ir::graph::Graph::new("constants");
    let x = g.fill(Literal::float(DType::F32, 1.0), [Dim::from(4)]);
    let mut values = vec![Literal::int(DType::I64, i64::MIN), Literal::int(DType::Bool, 1)];
    for d in [DType::F64, DType::F32, DType::Bf16, DType::F16] {
        values.extend(
            [0.1, -0.0, 1e-30, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -f64::NAN]
                .map(|x| Literal::float(d, x)),
        );
    }
    for (i, value) in values.iter().enumerate() {
        let o = g.emit(fill::Fill { value: *value, shape: Default::default() }, &[]);
        g.outputs.push((format!("c{i}"), o));
    }
    let s = g.emit(reduce::Reduce { op: ReduceOp::Prod, axes: Axes::from_slice(&[0]) }, &[x]);
    let seed = g.emit(fill::Fill { value: Literal::zero(DType::I64), shape: Default::default() }, &[]);
    let rate = Literal::float(DType::F64, 1.0 / 3.0);
    let d = g.emit(dropout::Dropout { rate, stream: u32::MAX }, &[s, seed, seed]);
    g.outputs.push(("d".into(), d));
    let text = g.to_string();
    let back = parse("t", &text).unwrap();
    assert_eq!(back.to_string(), text);
    for (i, value) in values.iter().enumerate() {
        let node = back.node(back.outputs[i].1.node);
        assert_eq!(node.op, fill::Fill { value: *value, shape: Default::default() }.into(), "{text}");
    }
}

#[test]
fn deep_sizes_are_refused() {
    let text = format!("graph t {{ data x: f32[{}1{}] }}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(parse("t", &text).unwrap_err().message.contains("within each other"));
}

#[test]
fn sizes_with_less_than_nothing_in_front_are_read_back() {
    let n = Dim::symbol("n", 1, 9);
    for (size, text) in [
        (&Dim::from(20) - &n, "-n+20"),
        (&Dim::from(20) - &(&n * &Dim::from(2)), "-2*n+20"),
        (&n - &Dim::from(1), "n-1"),
        (&Dim::from(9) - &(&n * &n), "-n*n+9"),
    ] {
        assert_eq!(size.to_string(), text);
        let whole = format!("graph g {{\n  dim n: 1..=9\n  data x: f32[{text}]\n  output y = x\n}}\n");
        let graph = parse("t.ir", &whole).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(graph.tensor(graph.outputs[0].1).shape[0], size, "{text}");
    }
    let many = format!("graph g {{\n  data x: f32[{}n]\n}}\n", "-".repeat(10_000));
    assert!(parse("t.ir", &many).is_err());
}
