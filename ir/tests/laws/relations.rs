//! Entries of patterns, bags of rows, candidates and neighbours beside what they mean, written out, and their gradients
//! beside finite differences.

use crate::compose::Made;
use latentc_ir::array::{Array, CsrArray, Value};
use latentc_ir::compose::bag::Bag;
use latentc_ir::compose::contrast::{Candidates, LinearCrossEntropy};
use latentc_ir::compose::edges::Pattern;
use latentc_ir::compose::nearest::Metric;
use latentc_ir::diag::Span;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::graph::{Graph, InputKind, Operand};
use latentc_ir::lower::Target;
use latentc_ir::ops::input::Input;
use latentc_ir::passes;
use latentc_ir::scalar::ReduceOp;
use latentc_ir::types::{CsrType, Type};
use std::sync::Arc;

/// Four rows of three columns; row 2 has no entry.
const EDGES: [(i32, i32); 6] = [(0, 0), (0, 2), (1, 1), (3, 0), (3, 1), (3, 2)];

impl Made {
    /// The pattern of [`EDGES`].
    pub fn pattern(&mut self) -> Operand {
        let csr = CsrArray::from_edges(4, 3, EDGES).expect("a pattern");
        let nnz = EDGES.len().into();
        let ty = Type::Csr(CsrType { rows: 4.into(), cols: 3.into(), nnz, symmetric: false });
        let name = format!("x{}", self.inputs.len());
        let input = Input { name: name.clone(), kind: InputKind::Data, ty };
        let o = self.g.value(input, &[], Span::none()).expect("an input");
        self.inputs.push((name, Value::Csr(Arc::new(csr))));
        o
    }

    /// Numbers an entry of the pattern, in so many columns.
    fn an_entry(&mut self, columns: &[usize]) -> Operand {
        self.numbers(&[&[EDGES.len()], columns].concat())
    }

    pub fn small_ids(&mut self, all: &[i32]) -> Operand {
        self.input(Array::from_slice(&[all.len()], all))
    }

    /// The elements of an input.
    fn given(&self, o: Operand) -> Vec<f64> {
        let latentc_ir::ops::Op::Input(i) = &self.g.node(o.node).op else { panic!("an input") };
        match self.inputs.iter().find(|(name, _)| *name == i.name) {
            Some((_, Value::Tensor(a))) => a.to_f64(),
            other => panic!("{other:?}"),
        }
    }
}

fn both(csr: Operand) -> [Pattern; 2] {
    [false, true].map(|transpose| Pattern { csr, transpose })
}

/// For each row of the pattern or its transpose, its entries with their columns.
fn rows_of(p: Pattern) -> Vec<Vec<(usize, usize)>> {
    let mut rows = vec![vec![]; if p.transpose { 3 } else { 4 }];
    for (e, (r, c)) in EDGES.iter().enumerate() {
        let (r, c) = if p.transpose { (c, r) } else { (r, c) };
        rows[*r as usize].push((e, *c as usize));
    }
    rows
}

#[test]
fn entries_know_their_rows() {
    let mut m = Made::new();
    let csr = m.pattern();
    for p in both(csr) {
        let rows = m.g.entry_rows(p).unwrap();
        let side = |e: &(i32, i32)| f64::from(if p.transpose { e.1 } else { e.0 });
        m.is(rows, &[6], &EDGES.iter().map(side).collect::<Vec<_>>());
    }
}

#[test]
fn entries_are_combined_by_rows() {
    for (op, start) in
        [(ReduceOp::Sum, 0.0), (ReduceOp::Max, f64::NEG_INFINITY), (ReduceOp::Min, f64::INFINITY)]
    {
        for transpose in [false, true] {
            let mut m = Made::new();
            let p = Pattern { csr: m.pattern(), transpose };
            let v = m.an_entry(&[2]);
            let all = m.given(v);
            let f = |a: f64, b: f64| match op {
                ReduceOp::Sum => a + b,
                ReduceOp::Max => a.max(b),
                _ => a.min(b),
            };
            let column = |r: &Vec<(usize, usize)>, c| r.iter().fold(start, |s, (e, _)| f(s, all[e * 2 + c]));
            let expected: Vec<f64> = rows_of(p).iter().flat_map(|r| [column(r, 0), column(r, 1)]).collect();
            let y = m.g.reduce_entries(op, p, v).unwrap();
            m.is(y, &[expected.len() / 2, 2], &expected);
            // An extreme of no entry is infinite.
            if transpose || op == ReduceOp::Sum {
                m.slopes(y);
            }
        }
    }
}

#[test]
fn entries_have_means_and_softmaxes() {
    for transpose in [false, true] {
        let mut m = Made::new();
        let p = Pattern { csr: m.pattern(), transpose };
        let v = m.an_entry(&[]);
        let all = m.given(v);
        let rows = rows_of(p);
        let mean =
            |r: &Vec<(usize, usize)>| r.iter().map(|(e, _)| all[*e]).sum::<f64>() / r.len().max(1) as f64;
        let y = m.g.mean_entries(p, v).unwrap();
        m.is(y, &[rows.len()], &rows.iter().map(mean).collect::<Vec<_>>());
        m.slopes(y);
        let mut soft = vec![0.0; 6];
        for r in &rows {
            let sum: f64 = r.iter().map(|(e, _)| all[*e].exp()).sum();
            r.iter().for_each(|(e, _)| soft[*e] = all[*e].exp() / sum);
        }
        let y = m.g.softmax_entries(p, v).unwrap();
        m.is(y, &[6], &soft);
        m.slopes(y);
        // Scores that overflow an exponential.
        let far = m.g.fill_like(v, 1000.0);
        let far = m.g.map(latentc_ir::scalar::ScalarOp::Add, &[v, far]);
        let y = m.g.softmax_entries(p, far).unwrap();
        m.is(y, &[6], &soft);
    }
}

/// Attention along entries beside attention among all with the others masked, head by head.
#[test]
fn edges_attend() {
    for transpose in [false, true] {
        for additive in [false, true] {
            let mut m = Made::new();
            let p = Pattern { csr: m.pattern(), transpose };
            let (rows, cols) = if transpose { (3, 4) } else { (4, 3) };
            let x = m.numbers(&[cols, 2, 2]);
            let (q, k, scores) = if additive {
                let (a, b) = (m.numbers(&[rows, 2]), m.numbers(&[cols, 2]));
                (a, b, m.g.additive_scores(p, a, b, 0.2).unwrap())
            } else {
                let (q, k) = (m.numbers(&[rows, 2, 3]), m.numbers(&[cols, 2, 3]));
                (q, k, m.g.dot_scores(p, q, k, 0.7).unwrap())
            };
            let y = m.g.attend_entries(p, scores, x).unwrap();
            let (qv, kv, xv) = (m.given(q), m.given(k), m.given(x));
            let score = |r: usize, c: usize, head: usize| {
                if additive {
                    let s = qv[r * 2 + head] + kv[c * 2 + head];
                    if s > 0.0 { s } else { 0.2 * s }
                } else {
                    0.7 * (0..3).map(|l| qv[(r * 2 + head) * 3 + l] * kv[(c * 2 + head) * 3 + l]).sum::<f64>()
                }
            };
            let mut expected = vec![0.0; rows * 4];
            for (r, row) in rows_of(p).iter().enumerate() {
                for head in 0..2 {
                    let sum: f64 = row.iter().map(|(_, c)| score(r, *c, head).exp()).sum();
                    for ((_, c), l) in row.iter().flat_map(|e| [(e, 0), (e, 1)]) {
                        expected[(r * 2 + head) * 2 + l] +=
                            score(r, *c, head).exp() / sum * xv[(c * 2 + head) * 2 + l];
                    }
                }
            }
            m.is(y, &[rows, 2, 2], &expected);
            m.slopes(y);
            assert!(m.g.attend_entries(p, x, x).unwrap_err().contains("entry"));
        }
    }
}

#[test]
fn bags_are_rows_together() {
    let mut m = Made::new();
    let table = m.counted(&[4, 2]);
    let ids = m.small_ids(&[3, 1, 1, 0, 2]);
    // The second bag is empty; the last id is in none.
    let offsets = m.small_ids(&[0, 3, 3, 4]);
    let w = m.input(Array::from_f64(DType::F64, &[5], &[1.0, 2.0, -1.0, 0.5, 9.0]));
    for (mode, weights, expected) in [
        (Bag::Sum, None, [10.0, 13.0, 0.0, 0.0, 0.0, 1.0]),
        (Bag::Sum, Some(w), [8.0, 10.0, 0.0, 0.0, 0.0, 0.5]),
        (Bag::Mean, None, [10.0 / 3.0, 13.0 / 3.0, 0.0, 0.0, 0.0, 1.0]),
        (Bag::Max, None, [6.0, 7.0, 0.0, 0.0, 0.0, 1.0]),
    ] {
        let y = m.g.bag(table, ids, offsets, mode, weights).unwrap();
        m.is(y, &[3, 2], &expected);
    }
    assert!(m.g.bag(table, ids, offsets, Bag::Max, Some(w)).unwrap_err().contains("weights"));
    // The same bags, their ids in another order.
    let of = m.small_ids(&[2, 0, 0, 0]);
    let ids = m.small_ids(&[0, 3, 1, 1]);
    let y = m.g.bag_by_id(table, ids, (of, 3.into()), Bag::Mean, None).unwrap();
    m.is(y, &[3, 2], &[10.0 / 3.0, 13.0 / 3.0, 0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn bags_have_gradients_of_the_rows_they_use() {
    for (mode, weighted) in [(Bag::Sum, false), (Bag::Sum, true), (Bag::Mean, false), (Bag::Max, false)] {
        let mut m = Made::new();
        let table = m.numbers(&[4, 2]);
        let ids = m.small_ids(&[3, 1, 1, 0, 2]);
        let offsets = m.small_ids(&[0, 3, 3, 4]);
        let weights = weighted.then(|| m.numbers(&[5]));
        // A row twice in a bag of extremes shares its gradient, as a finite difference has it.
        let y = m.g.bag(table, ids, offsets, mode, weights).unwrap();
        m.slopes(y);
        let loss = m.g.reduce(ReduceOp::Sum, y, (0..2).collect());
        let found = latentc_ir::grad::gradients(&mut m.g, loss, &[table]).unwrap()[0].expect("a gradient");
        assert!(matches!(m.g.type_of(found), Type::RowSparse(_)), "{}", m.g.type_of(found));
    }
}

fn softmax_loss(scores: &[f64], own: f64) -> f64 {
    scores.iter().map(|s| s.exp()).sum::<f64>().ln() - own
}

#[test]
fn linear_cross_entropy_is_that_of_its_scores() {
    for (biased, smoothing, ignore) in [(false, 0.0, None), (true, 0.1, Some(-1)), (true, 0.0, Some(2))] {
        let mut m = Made::new();
        let (x, w) = (m.numbers(&[3, 2]), m.numbers(&[5, 2]));
        let targets = [2, 0, ignore.unwrap_or(4)];
        let t = m.small_ids(&targets);
        let bias = biased.then(|| m.numbers(&[5]));
        let [loss, count] =
            m.g.linear_cross_entropy(x, w, t, &LinearCrossEntropy { bias, smoothing, ignore }).unwrap();
        let (xv, wv, bv) = (m.given(x), m.given(w), bias.map(|b| m.given(b)));
        let mut expected = vec![];
        let mut counts = vec![];
        for i in 0..3 {
            let scores: Vec<f64> = (0..5)
                .map(|j| {
                    xv[i * 2] * wv[j * 2] + xv[i * 2 + 1] * wv[j * 2 + 1] + bv.as_ref().map_or(0.0, |b| b[j])
                })
                .collect();
            let even = scores.iter().sum::<f64>() / 5.0;
            let counts_here = ignore != Some(targets[i]);
            let own = if counts_here { scores[targets[i] as usize] } else { 0.0 };
            let loss = softmax_loss(&scores, (1.0 - smoothing) * own + smoothing * even);
            expected.push(if counts_here { loss } else { 0.0 });
            counts.push(f64::from(u8::from(counts_here)));
        }
        m.is(loss, &[3], &expected);
        m.is(count, &[3], &counts);
        m.slopes(loss);
    }
}

#[test]
fn contrast_is_cross_entropy_among_candidates() {
    let mut m = Made::new();
    let (q, k) = (m.numbers(&[3, 2]), m.numbers(&[4, 2]));
    let positives = m.small_ids(&[1, 0, 3]);
    let log_q = m.numbers(&[4]);
    let (own, of) = (m.small_ids(&[7, 8, 7]), m.small_ids(&[8, 7, 9, 7]));
    let (qv, kv, lq) = (m.given(q), m.given(k), m.given(log_q));
    let score = |i: usize, j: usize| (qv[i * 2] * kv[j * 2] + qv[i * 2 + 1] * kv[j * 2 + 1]) / 0.5 - lq[j];
    let (p, names) = ([1, 0, 3], ([7, 8, 7], [8, 7, 9, 7]));
    let whole: Vec<f64> = (0..3)
        .map(|i| softmax_loss(&(0..4).map(|j| score(i, j)).collect::<Vec<_>>(), score(i, p[i])))
        .collect();
    let some: Vec<f64> = (0..3)
        .map(|i| {
            let counts = |j: &usize| *j == p[i] || names.0[i] != names.1[*j];
            softmax_loss(&(0..4).filter(counts).map(|j| score(i, j)).collect::<Vec<_>>(), score(i, p[i]))
        })
        .collect();
    let known = Candidates { log_q: Some(log_q), names: None };
    let y = m.g.info_nce(q, k, Some(positives), 0.5, &known).unwrap();
    m.is(y, &[3], &whole);
    let known = Candidates { names: Some((own, of)), ..known };
    let y = m.g.info_nce(q, k, Some(positives), 0.5, &known).unwrap();
    m.is(y, &[3], &some);
    m.slopes(y);
    assert!(m.g.info_nce(q, k, None, 0.5, &known).unwrap_err().contains("own"));
    assert!(m.g.info_nce(q, k, Some(positives), 0.0, &known).unwrap_err().contains("temperature"));
}

#[test]
fn a_sampled_softmax_leaves_out_the_target_among_the_drawn() {
    let mut m = Made::new();
    let (x, w, log_q) = (m.numbers(&[2, 2]), m.numbers(&[5, 2]), m.numbers(&[5]));
    let (targets, drawn) = (m.small_ids(&[3, 1]), m.small_ids(&[0, 3, 4]));
    let (xv, wv, lq) = (m.given(x), m.given(w), m.given(log_q));
    let score = |i: usize, j: usize| xv[i * 2] * wv[j * 2] + xv[i * 2 + 1] * wv[j * 2 + 1] - lq[j];
    let expected = [
        softmax_loss(&[score(0, 3), score(0, 0), score(0, 4)], score(0, 3)),
        softmax_loss(&[score(1, 1), score(1, 0), score(1, 3), score(1, 4)], score(1, 1)),
    ];
    let y = m.g.sampled_softmax(x, w, targets, drawn, Some(log_q)).unwrap();
    m.is(y, &[2], &expected);
    m.slopes(y);
    let loss = m.g.reduce(ReduceOp::Sum, y, (0..1).collect());
    let found = latentc_ir::grad::gradients(&mut m.g, loss, &[w]).unwrap()[0].expect("a gradient");
    assert!(matches!(m.g.type_of(found), Type::RowSparse(_)), "{}", m.g.type_of(found));
}

#[test]
fn nearest_codes_and_neighbours() {
    let mut m = Made::new();
    let x = m.input(Array::from_f64(DType::F64, &[3, 2], &[0.0, 0.1, 2.0, 2.0, -1.0, 0.0]));
    let codes = m.input(Array::from_f64(DType::F64, &[3, 2], &[1.0, 1.0, 0.0, 0.0, -3.0, 0.0]));
    let [ids, distance] = m.g.nearest(x, codes).unwrap();
    m.is(ids, &[3], &[1.0, 0.0, 1.0]);
    m.is(distance, &[3], &[0.01, 2.0, 1.0]);
    m.slopes(distance);
    // Rows 1 and 2 are the same: each is the other's nearest.
    let x = m.input(Array::from_f64(DType::F64, &[4, 2], &[0.0, 1.0, 3.0, 1.0, 3.0, 1.0, 0.0, 4.0]));
    let [ids, distance] = m.g.neighbours(x, 2, Metric::Euclidean).unwrap();
    m.is(ids, &[4, 2], &[1.0, 2.0, 2.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
    m.is(distance, &[4, 2], &[9.0, 9.0, 0.0, 9.0, 0.0, 9.0, 9.0, 18.0]);
    let [ids, _] = m.g.neighbours(x, 1, Metric::Cosine).unwrap();
    m.is(ids, &[4, 1], &[3.0, 2.0, 1.0, 0.0]);
    let [ids, _] = m.g.neighbours(x, 4, Metric::Euclidean).unwrap();
    let found = m.value(ids).to_f64();
    assert_eq!([found[3], found[7]], [-1.0, -1.0], "there are three others");
}

/// A step with 32768 classes has room for a part of the scores alone, forwards and backwards.
#[test]
fn a_step_of_many_classes_holds_parts_of_the_scores() {
    let (rows, classes, width) = (2048, 32768, 64);
    let mut g = Graph::new("classes");
    let mut input = |name: &str, dtype: DType, shape: &[usize]| {
        let ty = Type::tensor(dtype, shape.iter().map(|s| Dim::from(*s)));
        let input = Input { name: name.to_owned(), kind: InputKind::Data, ty };
        g.value(input, &[], Span::none()).expect("an input")
    };
    let (x, w) = (input("x", DType::F32, &[rows, width]), input("w", DType::F32, &[classes, width]));
    let targets = input("targets", DType::I32, &[rows]);
    let [loss, _] = g.linear_cross_entropy(x, w, targets, &LinearCrossEntropy::default()).unwrap();
    let loss = g.reduce(ReduceOp::Sum, loss, (0..1).collect());
    let found = latentc_ir::grad::gradients(&mut g, loss, &[x, w]).unwrap();
    for (name, gradient) in ["dx", "dw"].into_iter().zip(found) {
        let dense = g.densify(gradient.expect("a gradient"));
        g.outputs.push((name.to_owned(), dense));
    }
    let program =
        passes::lower(&g, &passes::Options::new(&Target::default())).unwrap_or_else(|d| panic!("{d}"));
    let (all, weight) = (rows * classes * 4, classes * width * 4);
    println!("an arena of {} bytes; all scores are {all}, the weight is {weight}", program.arena_bytes);
    assert!(program.arena_bytes < all / 4 + 4 * weight, "{} bytes", program.arena_bytes);
}
