//! Marks: values are those of what is marked, gradients those that the mark says, and a run sees no mark.

use crate::difference::{Inputs, check, run};
use latentc_ir::array::{Array, Value};
use latentc_ir::diag::Span;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::grad::gradients;
use latentc_ir::graph::{Graph, InputKind, NodeId, Operand};
use latentc_ir::lower::Target;
use latentc_ir::ops::custom_vjp::CustomVjp;
use latentc_ir::ops::input::Input;
use latentc_ir::ops::{Axes, Op};
use latentc_ir::passes::{self, Options};
use latentc_ir::philox::Stream;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::Type;
use std::collections::HashSet;

fn input(g: &mut Graph, inputs: &mut Inputs, shape: &[usize]) -> Operand {
    let name = format!("x{}", inputs.len());
    let mut random = Stream::new(31, inputs.len() as u32, 0);
    let all: Vec<f64> = (0..shape.iter().product()).map(|_| random.normal()).collect();
    inputs.push((name.clone(), Value::Tensor(Array::from_f64(DType::F64, shape, &all))));
    let ty = Type::tensor(DType::F64, shape.iter().map(|s| Dim::from(*s)));
    g.value(Input { name, kind: InputKind::Data, ty }, &[], Span::none()).expect("an input")
}

fn sum(g: &mut Graph, x: Operand) -> Operand {
    let rank = g.shape_of(x).len();
    g.reduce(ReduceOp::Sum, x, (0..rank).collect::<Axes>())
}

fn values(g: &mut Graph, inputs: &Inputs, of: &[Operand]) -> Vec<Vec<f64>> {
    g.outputs = of.iter().enumerate().map(|(i, o)| (format!("y{i}"), *o)).collect();
    let tensor = |(_, v): (String, Value)| match v {
        Value::Tensor(a) => a.to_f64(),
        other => panic!("{other:?}"),
    };
    run(g, inputs).outputs.into_iter().map(tensor).collect()
}

#[test]
fn a_stopped_value_is_a_constant() {
    let (mut g, mut inputs) = (Graph::new("stop"), vec![]);
    let x = input(&mut g, &mut inputs, &[5]);
    let e = g.map(ScalarOp::Exp, &[x]);
    let stopped = g.stop_gradient(e).expect("a mark");
    let y = g.map(ScalarOp::Mul, &[x, stopped]);
    let loss = sum(&mut g, y);
    let d = gradients(&mut g, loss, &[x]).expect("a gradient")[0].expect("one");
    let found = values(&mut g, &inputs, &[d, e, stopped]);
    assert_eq!(found[0], found[1]);
    assert_eq!(found[2], found[1]);
    let loss = sum(&mut g, stopped);
    assert_eq!(gradients(&mut g, loss, &[x]).expect("no gradient"), [None]);
}

/// The bits are those of the value also where adding a difference would round them away.
#[test]
fn a_straight_through_value_has_its_bits_and_the_surrogates_gradient() {
    let (mut g, mut inputs) = (Graph::new("straight"), vec![]);
    let x = input(&mut g, &mut inputs, &[6]);
    let value = g.scale(x, 1e-30);
    let surrogate = g.map(ScalarOp::Tanh, &[x]);
    let y = g.straight_through(value, surrogate).expect("a mark");
    let (of_y, of_s) = (sum(&mut g, y), sum(&mut g, surrogate));
    let d = gradients(&mut g, of_y, &[x]).expect("a gradient")[0].expect("one");
    let expected = gradients(&mut g, of_s, &[x]).expect("a gradient")[0].expect("one");
    let found = values(&mut g, &inputs, &[y, value, d, expected]);
    assert_eq!(found[0], found[1]);
    assert_eq!(found[2], found[3]);
    let one = sum(&mut g, x);
    assert!(g.straight_through(x, one).is_err_and(|m| m.contains("f64[6] and f64[]")));
}

/// A gradient by hand that is the right one, within another by hand, and differentiated again.
#[test]
fn gradients_by_hand_nest_and_have_gradients() {
    let (mut g, mut inputs) = (Graph::new("by_hand"), vec![]);
    let [x, w] = [(); 2].map(|()| input(&mut g, &mut inputs, &[4]));
    let by_hand = |g: &mut Graph, a: Operand, b: Operand| {
        let product = g.map(ScalarOp::Mul, &[a, b]);
        let ty = g.type_of(product).clone();
        let dy = g.placeholder(ty);
        let (da, db) = (g.map(ScalarOp::Mul, &[dy, b]), g.map(ScalarOp::Mul, &[dy, a]));
        g.emit(CustomVjp, &[product, dy, a, b, da, db])
    };
    let y = by_hand(&mut g, x, w);
    let z = by_hand(&mut g, y, x);
    let s = g.map(ScalarOp::Sin, &[z]);
    let loss = sum(&mut g, s);
    check(&g, loss, &inputs, &["x0", "x1"], 1e-7);
    let d = gradients(&mut g, loss, &[x]).expect("a gradient")[0].expect("one");
    let square = g.map(ScalarOp::Square, &[d]);
    let loss = sum(&mut g, square);
    check(&g, loss, &inputs, &["x0", "x1"], 1e-6);
}

/// Layers in regions, one of them within another: the same gradients, first and second.
#[test]
fn checkpoints_change_no_gradient() {
    let (mut g, mut inputs) = (Graph::new("deep"), vec![]);
    let x = input(&mut g, &mut inputs, &[3, 4]);
    let w: Vec<Operand> = (0..3).map(|_| input(&mut g, &mut inputs, &[4, 4])).collect();
    let layer = |g: &mut Graph, h: Operand, w: Operand| {
        let y = g.matmul(h, w, false, false);
        g.map(ScalarOp::Tanh, &[y])
    };
    let region = |g: &mut Graph, f: &dyn Fn(&mut Graph) -> Operand| {
        let before: HashSet<NodeId> = g.petgraph().node_indices().collect();
        let y = f(g);
        g.checkpoint(&[y], |n| !before.contains(&n)).expect("a region")[0]
    };
    let plain = w.iter().fold(x, |h, w| layer(&mut g, h, *w));
    let marked = region(&mut g, &|g| {
        let h = region(g, &|g| layer(g, x, w[0]));
        let h = layer(g, h, w[1]);
        g.map(ScalarOp::Sin, &[h])
    });
    let marked = region(&mut g, &|g| {
        let back = g.map(ScalarOp::Asin, &[marked]);
        layer(g, back, w[2])
    });
    let (of_plain, of_marked) = (sum(&mut g, plain), sum(&mut g, marked));
    let wrt = [x, w[0], w[1], w[2]];
    let expected: Vec<Operand> =
        gradients(&mut g, of_plain, &wrt).expect("gradients").into_iter().flatten().collect();
    let found: Vec<Operand> =
        gradients(&mut g, of_marked, &wrt).expect("gradients").into_iter().flatten().collect();
    for (e, f) in values(&mut g, &inputs, &expected).iter().zip(values(&mut g, &inputs, &found)) {
        e.iter().zip(f).for_each(|(e, f)| assert!((e - f).abs() < 1e-12, "{e} {f}"));
    }
    check(&g, of_marked, &inputs, &["x0", "x1", "x2", "x3"], 1e-7);
    let square = g.map(ScalarOp::Square, &[found[1]]);
    let second = sum(&mut g, square);
    check(&g, second, &inputs, &["x0", "x1", "x3"], 1e-6);
}

#[test]
fn no_mark_is_left_after_the_passes() {
    let target = Target::default();
    let (mut g, mut inputs) = (Graph::new("marks"), vec![]);
    let x = input(&mut g, &mut inputs, &[8, 4]);
    let e = g.map(ScalarOp::Exp, &[x]);
    let s = g.stop_gradient(e).expect("a mark");
    let t = g.straight_through(s, x).expect("a mark");
    let y = g.map(ScalarOp::Add, &[t, x]);
    g.outputs = vec![("y".to_owned(), y)];
    let marked = passes::finish(
        &g,
        passes::optimise(&g, &Options::new(&target)).expect("passes"),
        &Options::new(&target),
    );
    let marked = marked.expect("a plan");
    let ops: Vec<&Op> = marked.graph.petgraph().node_weights().map(|n| &n.op).collect();
    assert_eq!(ops.len(), 3, "an input, exp and add: {ops:?}");
    assert_eq!(marked.program.launches.len(), 1);
}
