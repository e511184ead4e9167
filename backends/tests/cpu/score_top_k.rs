//! The best items of each query against a plain loop, and its speed.

use latentc_backends::cpu::Isa;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::ops::score_top_k::ScoreTopK;
use latentc_ir::plan::CsrPart;
use latentc_ir::types::{CsrType, Type};
use latentc_kernels::{Arg, Machine, Schedule, score_top_k};

use crate::harness::Numbers;
use crate::schedules::{cpu_seconds, load, machines, spills, timed};

/// One problem.
struct Case {
    q: usize,
    n: usize,
    d: usize,
    k: usize,
    queries: Vec<f32>,
    items: Vec<f32>,
    indptr: Vec<i32>,
    indices: Vec<i32>,
    users: Vec<i32>,
}

impl Case {
    /// Random vectors; each user has about `seen` items, user 0 none and user 1 (almost) all.
    fn new(q: usize, n: usize, d: usize, k: usize, seen: usize) -> Case {
        let mut r = Numbers::new((q * 7 + n * 3 + d) as u64);
        let users = q + 3;
        let (mut indptr, mut indices) = (vec![0i32], vec![]);
        for u in 0..users {
            let keep = match u {
                0 => 0,
                1 => n.saturating_sub(2),
                _ => seen,
            };
            let row = (0..n).filter(|i| if u == 1 { *i < keep } else { r.below(n) < keep });
            indices.extend(row.map(|i| i as i32));
            indptr.push(indices.len() as i32);
        }
        // Products with few different values, so that many scores are equal.
        let mut few = |n: usize| (0..n).map(|_| r.below(5) as f32 - 2.0).collect::<Vec<f32>>();
        let (queries, items) = (few(q * d), few(n * d));
        let users = (0..q).map(|i| ((i * 5) % users) as i32).collect();
        Case { q, n, d, k, queries, items, indptr, indices, users }
    }

    fn schedule(&self, open: &str, machine: &Machine) -> Schedule {
        let dim = |name: &str, v: usize| {
            if open.contains(name) { Dim::symbol(name, 0, 1 << 30) } else { Dim::from(v) }
        };
        let (q, n, d) = (dim("q", self.q), dim("n", self.n), dim("d", self.d));
        let seen = CsrType {
            rows: Dim::from(self.indptr.len() - 1),
            cols: n.clone(),
            nnz: dim("z", self.indices.len()),
            symmetric: false,
        };
        let operands = [
            Type::tensor(DType::F32, [q.clone(), d.clone()]),
            Type::tensor(DType::F32, [n, d]),
            Type::Csr(seen),
            Type::tensor(DType::I32, [q]),
        ];
        score_top_k("best", &ScoreTopK { k: self.k }, &operands, machine).unwrap()
    }

    fn dims(&self) -> [(&'static str, i64); 4] {
        let n = |v: usize| v as i64;
        [("q", n(self.q)), ("n", n(self.n)), ("d", n(self.d)), ("z", n(self.indices.len()))]
    }

    /// Scores and ids by a plain loop.
    fn expected(&self) -> (Vec<f32>, Vec<i32>) {
        let (mut scores, mut ids) = (vec![], vec![]);
        for i in 0..self.q {
            let u = self.users[i] as usize;
            let seen = &self.indices[self.indptr[u] as usize..self.indptr[u + 1] as usize];
            let mut all: Vec<(f32, i32)> = (0..self.n)
                .map(|j| {
                    let pairs =
                        (0..self.d).map(|p| (self.queries[i * self.d + p], self.items[j * self.d + p]));
                    (pairs.fold(0f32, |sum, (a, b)| a.mul_add(b, sum)), j as i32)
                })
                .filter(|(s, j)| !s.is_nan() && !seen.contains(j))
                .collect();
            // Stable: equal scores stay by id. The zeros are equal.
            all.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap());
            all.truncate(self.k);
            all.resize(self.k, (f32::NEG_INFINITY, -1));
            scores.extend(all.iter().map(|e| e.0));
            ids.extend(all.iter().map(|e| e.1));
        }
        (scores, ids)
    }

    fn check(&mut self, open: &str) {
        let (scores, ids) = self.expected();
        let name = format!("q {} n {} d {} k {} open {open:?}", self.q, self.n, self.d, self.k);
        for isa in &machines() {
            let mut best = load(isa, |machine| self.schedule(open, machine), &self.dims());
            for parts in [1, 3] {
                let mut s = vec![f32::NAN; scores.len() + 1];
                let mut i = vec![77i32; ids.len() + 1];
                best.run(
                    &mut [
                        (Arg::Operand(0), &mut self.queries),
                        (Arg::Operand(1), &mut self.items),
                        (Arg::Csr(2, CsrPart::Indptr), &mut self.indptr),
                        (Arg::Csr(2, CsrPart::Indices), &mut self.indices),
                        (Arg::Operand(3), &mut self.users),
                        (Arg::Result(0), &mut s),
                        (Arg::Result(1), &mut i),
                    ],
                    parts,
                );
                assert!(s.pop().unwrap().is_nan() && i.pop() == Some(77), "{name}: wrote beyond the end");
                for at in 0..self.q {
                    let row = at * self.k..(at + 1) * self.k;
                    assert_eq!(i[row.clone()], ids[row.clone()], "{name}: ids of query {at}");
                    assert_eq!(s[row.clone()], scores[row], "{name}: scores of query {at}");
                }
            }
        }
    }
}

#[test]
fn sizes_and_edges() {
    for (q, n, d, k, seen) in [
        (1, 1, 1, 1, 0),
        (5, 100, 8, 3, 10),
        (64, 200, 16, 20, 40),
        (65, 131, 7, 20, 0),
        (130, 97, 33, 17, 30),
        (300, 50, 5, 16, 20),
        (3, 40, 300, 10, 5),
    ] {
        Case::new(q, n, d, k, seen).check("");
        Case::new(q, n, d, k, seen).check("qndz");
    }
    Case::new(130, 97, 33, 17, 30).check("q");
}

/// So many items that a bar is looked for first; one user has nearly all of them, and many scores are equal.
#[test]
fn many_items() {
    for (q, d, k) in [(70, 8, 20), (130, 20, 5), (66, 3, 150)] {
        Case::new(q, 9001, d, k, 40).check("");
    }
    Case::new(70, 9001, 8, 20, 40).check("qndz");
    // Rows of many sizes, of zeros, with what is no number; sums are exact in any order.
    let mut c = Case::new(70, 9001, 16, 20, 40);
    let mut r = Numbers::new(5);
    for (at, x) in c.items.iter_mut().enumerate() {
        *x = (r.below(65) as f32 - 32.0) / 16.0 * ((at / 16) % 7) as f32;
    }
    c.items[16 * 4000] = f32::INFINITY;
    c.items[16 * 77 + 3] = f32::NAN;
    c.queries[16..32].fill(0.0);
    c.queries[32] = f32::NAN;
    c.queries[48] = 1e30;
    c.check("");
}

#[test]
fn fewer_than_k() {
    for (q, n, d, k) in [(3, 5, 4, 20), (10, 0, 4, 5), (0, 10, 4, 5), (4, 10, 0, 12)] {
        Case::new(q, n, d, k, 3).check("");
        Case::new(q, n, d, k, 3).check("qnd");
    }
}

/// Lists too long for the stack.
#[test]
fn long_lists() {
    Case::new(70, 1500, 6, 700, 100).check("");
    Case::new(70, 1500, 6, 700, 100).check("q");
}

/// NaN never enters, infinite scores of either sign do.
#[test]
fn scores_that_are_no_numbers() {
    for infinite in [f32::INFINITY, f32::NEG_INFINITY] {
        let mut c = Case::new(70, 150, 4, 20, 10);
        for (at, x) in c.items.iter_mut().enumerate() {
            // Items whose products are NaN, and items whose products are infinite or NaN.
            match at / 4 % 7 {
                2 => *x = f32::NAN,
                3 | 5 => *x = infinite,
                _ => {}
            }
        }
        c.check("");
        c.n = 22;
        c.items.truncate(22 * 4);
        c.indices = c.indices.iter().map(|_| 0).collect();
        c.indptr = (0..c.indptr.len() as i32).map(|u| u.min(c.indices.len() as i32)).collect();
        c.check("");
    }
}

#[test]
fn does_not_spill() {
    let case = Case::new(200, 300, 64, 20, 5);
    for name in ["x86-64-v3", "x86-64-v4", "neon"] {
        let isa = Isa::by_name(name).unwrap();
        for (kernel, count) in spills(&case.schedule("", &Machine::from(&isa)), &isa) {
            // A constant may stand aside during the loops; sums do not.
            assert!(count <= 2, "{name}: `{kernel}` puts vectors aside {count} times");
        }
    }
}

/// Measured with scores that are all equal: nothing enters a full list.
const NO_CANDIDATES: usize = 1 << 20;

/// `cargo test -p latentc-backends --test cpu -- --ignored --nocapture speed_of_score_top_k`
#[test]
#[ignore = "a measurement"]
fn speed_of_score_top_k() {
    for (q, n, d, k, seen) in [
        (2048, 40981, 64, 20, 0),
        (2048, 40981, 64, 20, 40),
        (2048, 40981, 64, 20, NO_CANDIDATES),
        (2048, 40981, 64, 100, 0),
        (2048, 40981, 128, 20, 0),
        (256, 40981, 64, 20, 0),
    ] {
        let mut r = Numbers::new(3);
        let (mut queries, mut items) = (r.f32s(q * d), r.f32s(n * d));
        if seen == NO_CANDIDATES {
            items.fill(0.0);
        }
        let seen = seen % NO_CANDIDATES;
        let (mut indptr, mut indices) = (vec![0i32], vec![]);
        for _ in 0..q {
            let mut row: Vec<i32> = (0..seen).map(|_| r.below(n) as i32).collect();
            row.sort_unstable();
            row.dedup();
            indices.extend(row);
            indptr.push(indices.len() as i32);
        }
        let mut users: Vec<i32> = (0..q as i32).collect();
        let case = Case {
            q,
            n,
            d,
            k,
            queries: vec![],
            items: vec![],
            indptr: indptr.clone(),
            indices: indices.clone(),
            users: vec![],
        };
        let start = cpu_seconds();
        let mut best = load(&machines()[0], |machine| case.schedule("", machine), &[]);
        let compiled = (cpu_seconds() - start) * 1e3;
        let (mut s, mut i) = (vec![0f32; q * k], vec![0i32; q * k]);
        let (best, median) = timed(9, || {
            best.run(
                &mut [
                    (Arg::Operand(0), &mut queries),
                    (Arg::Operand(1), &mut items),
                    (Arg::Csr(2, CsrPart::Indptr), &mut indptr),
                    (Arg::Csr(2, CsrPart::Indices), &mut indices),
                    (Arg::Operand(3), &mut users),
                    (Arg::Result(0), &mut s),
                    (Arg::Result(1), &mut i),
                ],
                1,
            );
        });
        let flops = 2e-6 * (q * n * d) as f64;
        println!(
            "q {q} n {n} d {d} k {k} seen {seen}: best {best:.1} ms {:.0} GF/s, median {median:.1} ms; compiled in {compiled:.0} ms",
            flops / best
        );
    }
}
