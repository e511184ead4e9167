//! Draws beside the distributions that they are of. Seeds are fixed; bounds are such that a right draw of any other seed
//! would fail them once in tens of thousands of times.

use crate::compose::Made;
use latentc_ir::array::Array;
use latentc_ir::compose::Composed;
use latentc_ir::compose::random::Source;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::graph::{Graph, Operand};
use latentc_ir::types::Shape;

const COUNT: usize = 20_000;

fn source(m: &mut Made, seed: i64) -> Source {
    let [seed, step] = [seed, 3].map(|v| m.input(Array::from_slice(&[], &[v])));
    Source { seed, step, stream: 0 }
}

fn drawn(make: impl FnOnce(&mut Graph, Source, &[Dim]) -> Composed) -> Vec<f64> {
    let mut m = Made::new();
    let from = source(&mut m, 11);
    let shape = Shape::from_iter([Dim::from(COUNT)]);
    let x = make(&mut m.g, from, &shape).unwrap();
    assert_eq!(m.g.dtype_of(x), DType::F64);
    m.value(x).to_f64()
}

/// The greatest distance between the shares below and the distribution function, times the root of the count: beyond 2.2
/// once in 16000 times (Kolmogorov).
#[track_caller]
fn follows(mut all: Vec<f64>, below: impl Fn(f64) -> f64) {
    all.sort_by(f64::total_cmp);
    let n = all.len() as f64;
    let distance = |(i, x): (usize, &f64)| {
        let p = below(*x);
        (p - i as f64 / n).abs().max((p - (i + 1) as f64 / n).abs())
    };
    let greatest = all.iter().enumerate().map(distance).fold(0.0, f64::max);
    assert!(greatest * n.sqrt() < 2.2, "{}", greatest * n.sqrt());
}

/// Counts beside expected shares: chi squared within 4 deviations and a half of its mean.
#[track_caller]
fn shares(counts: &[f64], expected: &[f64]) {
    let n: f64 = counts.iter().sum();
    let chi: f64 = counts.iter().zip(expected).map(|(c, p)| (c - n * p).powi(2) / (n * p)).sum();
    let freedom = (expected.len() - 1) as f64;
    assert!(chi < freedom + 4.5 * (2.0 * freedom).sqrt(), "{chi} with {counts:?}");
}

fn normal_below(x: f64) -> f64 {
    libm::erfc(-x / 2f64.sqrt()) / 2.0
}

#[test]
fn continuous_draws_follow_their_distributions() {
    follows(drawn(|g, from, shape| g.draw_open(from, shape)), |x| x);
    follows(drawn(|g, from, shape| g.draw_exponential(from, shape)), |x| 1.0 - (-x).exp());
    follows(drawn(|g, from, shape| g.draw_gumbel(from, shape)), |x| (-(-x).exp()).exp());
    follows(drawn(|g, from, shape| g.draw_normal(from, shape)), normal_below);
    for (low, high) in [(-2.0, 2.0), (1.0, f64::INFINITY), (-0.5, 3.0), (6.0, 6.5), (-30.0, -20.0)] {
        let all = drawn(|g, from, shape| g.draw_truncated_normal(from, shape, low, high));
        assert!(all.iter().all(|x| (low..=high).contains(x)));
        let turned = low > 0.0;
        let (a, b) = if turned { (-high, -low) } else { (low, high) };
        let share = |x: f64| (normal_below(x) - normal_below(a)) / (normal_below(b) - normal_below(a));
        follows(all, |x| if turned { 1.0 - share(-x) } else { share(x) });
    }
    let mut m = Made::new();
    let from = source(&mut m, 1);
    for (low, high) in [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (50.0, 60.0)] {
        assert!(m.g.draw_truncated_normal(from, &[4.into()], low, high).is_err());
    }
}

#[test]
fn quantiles_invert_the_distribution_function() {
    let mut ps = vec![1e-300, 1e-30, 1e-12, 1e-9, 0.075, 0.5, 0.925, 1.0 - 1e-9, 1.0 - 1e-15];
    ps.extend((1..100).map(|i| f64::from(i) / 100.0));
    let mut m = Made::new();
    let p = m.input(Array::from_f64(DType::F64, &[ps.len()], &ps));
    let x = m.g.normal_quantile(p);
    for (x, p) in m.value(x).to_f64().into_iter().zip(ps) {
        // By the smaller tail, in which the function is exact; steep as it is far out.
        let tail = if p < 0.5 { normal_below(x) / p } else { normal_below(-x) / (1.0 - p) };
        assert!((tail - 1.0).abs() < 1e-14 * (1.0 + x * x), "{x} for {p}: {tail}");
    }
}

/// Every row of a batch of draws.
fn rows(x: &Array) -> Vec<Vec<i64>> {
    let width = x.shape().last().copied().unwrap_or(1);
    let all: Vec<i64> = (0..x.len()).map(|i| x.get(i).as_i64()).collect();
    all.chunks(width).map(<[i64]>::to_vec).collect()
}

#[test]
fn classes_are_drawn_with_their_probabilities() {
    let weights = [1.0, 4.0, 0.0, 2.0, 3.0];
    let p: Vec<f64> = weights.iter().map(|w| w / 10.0).collect();
    let present = |all: &[f64]| [0, 1, 3, 4].map(|i| all[i]);
    let mut m = Made::new();
    let from = source(&mut m, 5);
    let logits: Vec<f64> = weights.iter().map(|w: &f64| w.ln()).collect();
    let logits = m.input(Array::from_f64(DType::F64, &[5], &logits));
    let many = m.g.broadcast(logits, Shape::from_iter([COUNT.into(), 5.into()]), [1].into_iter().collect());
    let count = |ids: &mut dyn Iterator<Item = i64>| {
        let mut counts = [0.0; 5];
        ids.for_each(|i| counts[i as usize] += 1.0);
        counts
    };
    for ids in [m.g.draw_categorical(from, many), m.g.draw_categoricals(from, logits, &COUNT.into())] {
        let ids = m.value(ids.unwrap());
        assert_eq!((ids.dtype(), ids.shape()), (DType::I32, &[COUNT][..]));
        let counts = count(&mut rows(&ids).into_iter().flatten());
        assert_eq!(counts[2], 0.0);
        shares(&present(&counts), &present(&p));
    }
    let ids = m.g.draw_without_replacement(from, many, &3.into()).unwrap();
    let ids = rows(&m.value(ids));
    assert!(ids.iter().all(|r| r[0] != r[1] && r[1] != r[2] && r[0] != r[2] && !r.contains(&2)));
    shares(&present(&count(&mut ids.iter().map(|r| r[0]))), &present(&p));
    // The second one: each other first, then it among the rest.
    let others = |i: usize| (0..5).filter(move |j| *j != i);
    let second: Vec<f64> = (0..5).map(|i| others(i).map(|j| p[j] * p[i] / (1.0 - p[j])).sum()).collect();
    shares(&present(&count(&mut ids.iter().map(|r| r[1]))), &present(&second));
    let all = m.g.draw_without_replacement(from, logits, &5.into()).unwrap();
    assert_eq!(rows(&m.value(all))[0][4], 2);
    assert!(m.g.draw_without_replacement(from, logits, &6.into()).is_err());
    let none = m.numbers(&[3, 0]);
    assert!(m.g.draw_categorical(from, none).is_err());
}

#[test]
fn positions_are_drawn_alike() {
    let mut m = Made::new();
    let from = source(&mut m, 7);
    let count = 300;
    let all = m.g.draw_positions(from, &count.into(), &count.into()).unwrap();
    let mut all = rows(&m.value(all)).remove(0);
    assert!(!all.is_sorted());
    all.sort_unstable();
    assert!(all.into_iter().eq(0..count as i64));
    let some = m.g.draw_positions(from, &count.into(), &10.into()).unwrap();
    let mut some = rows(&m.value(some)).remove(0);
    some.sort_unstable();
    some.dedup();
    assert!(some.len() == 10 && some.iter().all(|i| (0..300).contains(i)));
    assert!(m.g.draw_positions(from, &3.into(), &4.into()).is_err());
    // Every order of three.
    let mut counts = [0.0; 6];
    for stream in 0..6000 {
        let mut m = Made::new();
        let from = Source { stream, ..source(&mut m, 7) };
        let ids = m.g.draw_positions(from, &3.into(), &3.into()).unwrap();
        let ids = rows(&m.value(ids)).remove(0);
        counts[(2 * ids[0] + i64::from(ids[1] > ids[2])) as usize] += 1.0;
    }
    shares(&counts, &[1.0 / 6.0; 6]);
}

#[test]
fn truth_is_drawn_with_its_probability() {
    let mut m = Made::new();
    let from = source(&mut m, 9);
    let p = m.input(Array::from_f64(DType::F64, &[4], &[0.0, 0.25, 0.9, 1.0]));
    let p = m.g.broadcast(p, Shape::from_iter([COUNT.into(), 4.into()]), [1].into_iter().collect());
    let y = m.g.draw_bernoulli(from, p).unwrap();
    let mut counts = [0.0; 4];
    for row in rows(&m.value(y)) {
        row.iter().zip(&mut counts).for_each(|(y, c)| *c += *y as f64);
    }
    assert_eq!((counts[0], counts[3]), (0.0, COUNT as f64));
    for (count, p) in [(counts[1], 0.25), (counts[2], 0.9)] {
        shares(&[count, COUNT as f64 - count], &[p, 1.0 - p]);
    }
    let ints: Operand = m.ids(&[1], &[1]);
    assert!(m.g.draw_bernoulli(from, ints).is_err());
}
