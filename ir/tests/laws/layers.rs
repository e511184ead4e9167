//! Gradients of whole layers beside finite differences, in f64.

use crate::compose::Made;
use latentc_ir::compose::attention::Attention;
use latentc_ir::compose::bag::Bag;
use latentc_ir::compose::contrast::LinearCrossEntropy;
use latentc_ir::compose::edges::Pattern;
use latentc_ir::graph::{Graph, Operand};
use latentc_ir::ops::conv::Conv;
use latentc_ir::ops::slice::Slice;
use latentc_ir::ops::windows::Window;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::Shape;

/// A 3x3 convolution, normalised in two groups of channels, then `x sigmoid(x)`.
#[test]
fn convolution_group_norm_silu() {
    let mut m = Made::new();
    let (x, kernel) = (m.numbers(&[2, 2, 3, 3]), m.numbers(&[4, 2, 3, 3]));
    let (scale, bias) = (m.numbers(&[4]), m.numbers(&[4]));
    let around = [1, 1].into_iter().collect();
    let window = Window { before: around, after: [1, 1].into_iter().collect(), ..Window::new([3, 3]) };
    let y = m.g.emit(Conv { window, groups: 1 }, &[x, kernel]);
    let y = m.g.group_norm(y, 2, Some(scale), Some(bias), 1e-5).unwrap();
    let gate = m.g.map(ScalarOp::Sigmoid, &[y]);
    let y = m.g.map(ScalarOp::Mul, &[y, gate]);
    m.slopes(y);
}

/// Four heads that share two groups of keys; no query sees what comes after it.
#[test]
fn causal_attention_of_grouped_queries() {
    let mut m = Made::new();
    let (q, k, v) = (m.numbers(&[4, 3, 2]), m.numbers(&[2, 3, 2]), m.numbers(&[2, 3, 3]));
    let how = Attention { causal: Some(0), ..Attention::default() };
    let y = m.g.attention(q, k, v, &how).unwrap().y;
    m.slopes(y);
}

fn columns(g: &mut Graph, x: Operand, first: i64, count: i64) -> Operand {
    g.emit(Slice { axis: 1, start: first.into(), end: (first + count).into(), step: 1 }, &[x])
}

/// A cell of long short-term memory over four steps.
#[test]
fn lstm_over_time() {
    let mut m = Made::new();
    let steps: Vec<Operand> = (0..4).map(|_| m.numbers(&[2, 3])).collect();
    let (wx, wh, bias) = (m.numbers(&[3, 8]), m.numbers(&[2, 8]), m.numbers(&[8]));
    let (mut h, mut c) = (m.numbers(&[2, 2]), m.numbers(&[2, 2]));
    let g = &mut m.g;
    for x in steps {
        let (a, b) = (g.matmul(x, wx, false, false), g.matmul(h, wh, false, false));
        let bias = g.broadcast(bias, Shape::from_iter([2.into(), 8.into()]), [1].into_iter().collect());
        let z = g.map(ScalarOp::Add, &[a, b]);
        let z = g.map(ScalarOp::Add, &[z, bias]);
        let mut gate = |at: i64, op: ScalarOp| {
            let part = columns(g, z, 2 * at, 2);
            g.map(op, &[part])
        };
        let [i, f, o] = [0, 1, 2].map(|at| gate(at, ScalarOp::Sigmoid));
        let new = gate(3, ScalarOp::Tanh);
        let (kept, added) = (g.map(ScalarOp::Mul, &[f, c]), g.map(ScalarOp::Mul, &[i, new]));
        c = g.map(ScalarOp::Add, &[kept, added]);
        let out = g.map(ScalarOp::Tanh, &[c]);
        h = g.map(ScalarOp::Mul, &[o, out]);
    }
    m.slopes(h);
}

/// A layer of graph attention: projection, scores of two heads, softmax along the edges, sum of neighbours.
#[test]
fn graph_attention() {
    let mut m = Made::new();
    let p = Pattern { csr: m.pattern(), transpose: false };
    let (rows, cols, w) = (m.numbers(&[4, 3]), m.numbers(&[3, 3]), m.numbers(&[3, 4]));
    let (src, dst) = (m.numbers(&[4, 2]), m.numbers(&[4, 2]));
    let g = &mut m.g;
    let (hr, hc) = (g.matmul(rows, w, false, false), g.matmul(cols, w, false, false));
    let (a, b) = (g.matmul(hr, src, false, false), g.matmul(hc, dst, false, false));
    let scores = g.additive_scores(p, a, b, 0.2).unwrap();
    let x = g.reshape(hc, Shape::from_iter([3.into(), 2.into(), 2.into()]));
    let y = g.attend_entries(p, scores, x).unwrap();
    m.slopes(y);
}

/// A two-layer tower over bags of a table, with the cross entropy of many classes.
#[test]
fn bags_to_classes() {
    let mut m = Made::new();
    let (table, w1, w2, bias) = (m.numbers(&[5, 3]), m.numbers(&[3, 4]), m.numbers(&[6, 4]), m.numbers(&[6]));
    let (ids, offsets) = (m.small_ids(&[0, 4, 4, 1, 2]), m.small_ids(&[0, 2, 2, 5]));
    let targets = m.small_ids(&[5, -1, 0]);
    let bag = m.g.bag(table, ids, offsets, Bag::Mean, None).unwrap();
    let h = m.g.matmul(bag, w1, false, false);
    let h = m.g.map(ScalarOp::Tanh, &[h]);
    let how = LinearCrossEntropy { bias: Some(bias), smoothing: 0.1, ignore: Some(-1) };
    let [loss, _] = m.g.linear_cross_entropy(h, w2, targets, &how).unwrap();
    m.slopes(loss);
}
