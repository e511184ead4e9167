//! Random draws: the same on every device, new in every run.

use super::{Machine, devices, f32s, run};
use latentc::prelude::*;

#[test]
fn draws_are_the_same_on_every_device() {
    let program = program("draws", |g| {
        let logits = g.input("logits", DType::F32, [64, 37]);
        g.output("one", logits.categorical());
        g.output("many", logits.categoricals(5));
        g.output("different", logits.sample_without_replacement(9));
        g.output("truth", logits.sigmoid().bernoulli().cast(DType::I32));
        g.output("order", g.permutation(101));
        g.output("some", g.sample(101, 7));
        g.output("normal", g.normal([33]));
        g.output("truncated", g.truncated_normal([33], -1.0, 2.0));
        g.output("exponential", g.exponential([33]));
        g.output("gumbel", g.gumbel([33]));
    })
    .unwrap();
    let logits: Vec<f32> = (0..64 * 37).map(|i| (i * 7 % 23) as f32 / 8.0).collect();
    let y = run(&program, &[("logits", f32s(&[64, 37], &logits))]);
    assert_eq!((&y["one"].0, &y["many"].0, &y["different"].0), (&vec![64], &vec![64, 5], &vec![64, 9]));
    let mut order = y["order"].1.clone();
    order.sort_by(f64::total_cmp);
    assert!(order.into_iter().eq((0..101).map(f64::from)));
    assert!(y["truncated"].1.iter().all(|x| (-1.0..=2.0).contains(x)));
}

#[test]
fn every_run_draws_anew() {
    let program = program("anew", |g| {
        g.output("a", g.permutation(50));
        g.output("b", g.permutation(50));
    })
    .unwrap();
    for device in devices() {
        let mut m = Machine::new(&program, 4, device);
        let (first, second) = (m.run(), m.run());
        assert!(first["a"] != first["b"] && first["a"] != second["a"]);
    }
}
