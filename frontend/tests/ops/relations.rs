//! Entries of patterns, bags, candidates and neighbours: compiled beside the interpreter, and beside the same written with
//! other operations.

use super::{Value, close, f32s, i32s, run, run_and_keep};
use latentc::loss::{InfoNce, LinearCrossEntropy, Reduction, linear_cross_entropy, sampled_softmax};
use latentc::prelude::*;
use latentc::{Bag, CsrArray, Metric};
use std::sync::Arc;

/// Numbers without a pattern, of both signs.
fn numbers(shape: &[usize], seed: usize) -> Value {
    let count: usize = shape.iter().product();
    let all: Vec<f32> = (0..count).map(|i| ((i * 37 + seed * 101) % 23) as f32 / 11.0 - 1.0).collect();
    f32s(shape, &all)
}

/// Seven rows of nine columns; row 3 has no entry and column 8 none.
fn pattern() -> Value {
    let edges = (0..40).map(|i| (i * 5 % 7, i * 3 % 8)).filter(|(r, _)| *r != 3);
    Value::Csr(Arc::new(CsrArray::from_edges(7, 9, edges).unwrap()))
}

#[test]
fn entries_are_combined_and_attend() {
    let program = program("entries", |g| {
        let a = g.csr("a", [7, 9]).nnz(g.dim("entries", 0..=63));
        for (way, a) in [("by row", a), ("by column", a.transpose())] {
            let (rows, cols) = if way == "by row" { (7, 9) } else { (9, 7) };
            let name = |what: &str| format!("{way}: {what}");
            let p = g.params();
            let v = g.input(&name("v"), DType::F32, [a.entries()]);
            g.output(&name("mean"), a.mean_entries(v));
            g.output(&name("sum"), a.sum_entries(v));
            g.output(&name("max"), a.max_entries(v));
            g.output(&name("min"), a.min_entries(v));
            g.output(&name("rows"), a.entry_rows() * 100 + a.entry_cols());
            let (q, k) = (
                g.input(&name("q"), DType::F32, [rows, 2, 3]),
                g.input(&name("k"), DType::F32, [cols, 2, 3]),
            );
            let x = p.table(name("x").replace([' ', ':'], "_"), [cols, 4], init::uniform(-1.0, 1.0)).all(g);
            let y = a.attend(a.dot_scores(q, k, 0.5), x.reshape([cols, 2, 2]));
            g.output(&name("attended"), y);
            let s = a.additive_scores(
                q.slice(2, 0..1).reshape([rows, 2]),
                k.slice(2, 0..1).reshape([cols, 2]),
                0.2,
            );
            let z = a.attend(s, x.reshape([cols, 2, 2]));
            if way == "by row" {
                g.minimise(y.square().sum_all() + z.square().sum_all(), Sgd::new(0.1));
            }
        }
    })
    .unwrap();
    let nnz = match pattern() {
        Value::Csr(c) => c.nnz(),
        Value::Tensor(_) => unreachable!("a pattern"),
    };
    let mut inputs = vec![("a", pattern())];
    for (name, shape) in [
        ("by row: v", vec![nnz]),
        ("by row: q", vec![7, 2, 3]),
        ("by row: k", vec![9, 2, 3]),
        ("by column: v", vec![nnz]),
        ("by column: q", vec![9, 2, 3]),
        ("by column: k", vec![7, 2, 3]),
    ] {
        inputs.push((name, numbers(&shape, inputs.len())));
    }
    let out = run(&program, &inputs);
    assert_eq!(out["by row: mean"].1[3], 0.0);
    assert_eq!(out["by row: max"].1[3], f64::NEG_INFINITY);
    let of = |rows: f64| (rows / 100.0).floor();
    let (rows, cols) = (&out["by row: rows"].1, &out["by column: rows"].1);
    assert!(rows.iter().zip(cols).all(|(r, c)| of(*r) == c % 100.0 && of(*c) == r % 100.0));
}

#[test]
fn entries_are_left_out_by_chance() {
    let program = program("dropped", |g| {
        let a = g.csr("a", [7, 9]).nnz(g.dim("entries", 0..=63));
        let keep = a.drop_entries(0.5);
        let x = g.input("x", DType::F32, [9, 1]);
        g.output("keep", keep);
        g.output("y", a.spmm_weighted(keep, x).sum_all() - a.sum_entries(keep).sum_all());
    })
    .unwrap();
    let out = run(&program, &[("a", pattern()), ("x", f32s(&[9, 1], &[1.0; 9]))]);
    assert!(out["keep"].1.iter().all(|k| *k == 0.0 || *k == 1.0));
    assert!(out["keep"].1.contains(&0.0) && out["keep"].1.contains(&1.0));
    close(out["y"].clone(), &[], &[0.0]);
}

#[test]
fn bags_move_the_rows_they_use() {
    for mode in [Bag::Sum, Bag::Mean, Bag::Max] {
        let program = program("bags", |g| {
            let ids = g.ids("ids", [6]);
            let offsets = g.ids("offsets", [4]);
            let table = g.params().table("table", [50, 3], init::uniform(-1.0, 1.0));
            let y = table.bag(g, ids, offsets, mode);
            // Bag by bag, the rows looked up one by one.
            let parts = [(0, 2), (2, 2), (2, 5)].map(|(a, b)| {
                let rows = table.rows(g, ids.slice(0, a..b));
                match mode {
                    _ if a == b => g.fill(DType::F32, [3], 0.0),
                    Bag::Sum => rows.sum(0),
                    Bag::Mean => rows.mean(0),
                    Bag::Max => rows.max(0),
                }
            });
            g.output("difference", g.concat(&parts.map(|p| p.reshape([1, 3])), 0) - y);
            g.output("same", table.bag_by_id(g, ids.slice(0, 0..5), g.ids("of", [5]), 3, mode) - y);
            let w = g.input("w", DType::F32, [6]);
            let weighted = table.bag_weighted(g, ids, offsets, w);
            g.minimise(y.square().sum_all() + weighted.square().sum_all(), Adagrad::new(0.1).row_wise());
        })
        .unwrap();
        let inputs = [
            ("ids", i32s(&[6], &[7, 3, 49, 3, 7, 11])),
            ("offsets", i32s(&[4], &[0, 2, 2, 5])),
            ("of", i32s(&[5], &[0, 0, 2, 2, 2])),
            ("w", numbers(&[6], 3)),
        ];
        let (out, kept) = run_and_keep(&program, &inputs);
        close(out["difference"].clone(), &[3, 3], &[0.0; 9]);
        close(out["same"].clone(), &[3, 3], &[0.0; 9]);
        let sums = kept.get("adagrad.sum.table");
        let moved: Vec<usize> = (0..50).filter(|i| sums[*i] != 0.0).collect();
        assert_eq!(moved, [3, 7, 49], "the last id is in no bag");
    }
}

/// In parts, with everything, beside the loss with all scores.
#[test]
fn linear_cross_entropy_is_that_of_all_scores() {
    let program = program("classes", |g| {
        let x = g.input("x", DType::F32, [5, 8]);
        let targets = g.ids("targets", [5]);
        let p = g.params();
        let (w, b) =
            (p.tensor("w", [70, 8], init::uniform(-1.0, 1.0)), p.tensor("b", [70], init::uniform(-1.0, 1.0)));
        let how = LinearCrossEntropy {
            bias: Some(b.get(g)),
            smoothing: 0.1,
            ignore: Some(3),
            ..Default::default()
        };
        let loss = linear_cross_entropy(x, w.get(g), targets, how);
        let log = (x.matmul(w.get(g).t()) + b.get(g)).log_softmax();
        let own = log.take_along(targets.reshape([5, 1]), 1).reshape([5]) * 0.9 + log.mean(1) * 0.1;
        let counts = -targets.eq(3).cast(DType::F32) + 1.0;
        g.output("difference", loss + (own * counts).sum_all() / counts.sum_all());
        g.output(
            "each",
            linear_cross_entropy(
                x,
                w.get(g),
                targets,
                LinearCrossEntropy { reduction: Reduction::Each, ..how },
            ),
        );
        g.minimise(loss, Sgd::new(1.0));
    })
    .unwrap();
    let out = run(&program, &[("x", numbers(&[5, 8], 1)), ("targets", i32s(&[5], &[0, 3, 69, 3, 12]))]);
    assert!(out["difference"].1[0].abs() < 1e-5, "{:?}", out["difference"]);
    assert!(out["each"].1[1] == 0.0 && out["each"].1[3] == 0.0 && out["each"].1[0] > 0.0);
}

#[test]
fn contrast_has_its_names_and_its_corrections() {
    let program = program("contrast", |g| {
        let p = g.params();
        let table = p.table("table", [40, 6], init::uniform(-1.0, 1.0));
        let (a, b) = (table.rows(g, g.ids("a", [5])), table.rows(g, g.ids("b", [5])));
        let plain = InfoNce::new(0.5);
        g.output("two", plain.two_sided(a, b) - (plain.loss(a, b) + plain.loss(b, a)) * 0.5);
        let scores = a.matmul(b.t()) / 0.5;
        let own = a.dot_rows(b) / 0.5;
        g.output("one", plain.loss(a, b) - (scores.log_sum_exp() - own).mean_all());
        let drawn = g.ids("drawn", [7]);
        let log_q = g.input("log_q", DType::F32, [40]);
        let loss = sampled_softmax(a, table.all(g), g.ids("targets", [5]), drawn, Some(log_q));
        g.output("loss", loss);
        g.minimise(loss + plain.two_sided(a, b), Adam::new(0.01).lazy());
    })
    .unwrap();
    let inputs = [
        ("a", i32s(&[5], &[3, 1, 4, 1, 5])),
        ("b", i32s(&[5], &[9, 2, 6, 5, 3])),
        ("drawn", i32s(&[7], &[30, 8, 8, 31, 9, 32, 33])),
        ("targets", i32s(&[5], &[8, 9, 10, 11, 12])),
        ("log_q", numbers(&[40], 2)),
    ];
    let out = run(&program, &inputs);
    assert!(out["two"].1[0].abs() < 1e-5 && out["one"].1[0].abs() < 1e-5, "{out:?}");
}

#[test]
fn the_nearest_are_found() {
    let program = program("nearest", |g| {
        let x = g.input("x", DType::F32, [9, 5]);
        let codes = g.input("codes", DType::F32, [33, 5]);
        let (ids, distances) = x.nearest(codes);
        let all = (x.reshape([9, 1, 5]) - codes.reshape([1, 33, 5])).square().sum(2);
        g.output("ids", ids);
        g.output("difference", distances - all.min(1));
        let (near, cosines) = x.neighbours(3, Metric::Cosine);
        g.output("near", near);
        g.output("descends", cosines.slice(1, 0..2) - cosines.slice(1, 1..3));
        let (near, distances) = x.neighbours(8, Metric::Euclidean);
        g.output("all", near.sum(1));
        g.output("distances", distances);
        let (scores, best) = x.best_items(codes, 2);
        g.output("scores", scores);
        g.output("best", best);
    })
    .unwrap();
    let out = run(&program, &[("x", numbers(&[9, 5], 1)), ("codes", numbers(&[33, 5], 7))]);
    assert!(out["difference"].1.iter().all(|d| d.abs() < 1e-5), "{:?}", out["difference"]);
    assert!(out["descends"].1.iter().all(|d| *d >= 0.0));
    // All but the row itself.
    close(out["all"].clone(), &[9], &(0..9).map(|i| f64::from(36 - i)).collect::<Vec<_>>());
}
