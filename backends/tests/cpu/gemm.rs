//! Matrix products against plain loops, and their speed.

use latentc_backends::cpu::Isa;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::ops::matmul::Matmul;
use latentc_ir::types::Type;
use latentc_kernels::matmul::matmul;
use latentc_kernels::{Arg, Machine, Schedule};

use crate::harness::Numbers;
use crate::schedules::{cpu_seconds, load, machines, spills, timed};

/// Sizes of one product: batch, m, n, k.
type Sizes = (usize, usize, usize, usize);

/// The schedule for f32 operands; the sizes named in `open` are left to the run.
fn schedule(sizes: Sizes, (ta, tb): (bool, bool), open: &str, machine: &Machine) -> Schedule {
    let dim = |name: &str, v: usize| {
        if open.contains(name) { Dim::symbol(name, 0, 1 << 30) } else { Dim::from(v) }
    };
    let (b, m, n, k) = sizes;
    let (b, m, n, k) = (dim("b", b), dim("m", m), dim("n", n), dim("k", k));
    let a_shape = if ta { [&b, &k, &m] } else { [&b, &m, &k] };
    let b_shape = if tb { [&b, &n, &k] } else { [&b, &k, &n] };
    let op = Matmul { transpose_a: ta, transpose_b: tb };
    let operands = [a_shape, b_shape].map(|s| Type::tensor(DType::F32, s.map(Dim::clone)));
    matmul("product", &op, &operands, machine).unwrap()
}

fn reference((batch, m, n, k): Sizes, (ta, tb): (bool, bool), a: &[f32], b: &[f32]) -> Vec<f64> {
    let mut c = vec![0f64; batch * m * n];
    for t in 0..batch {
        for i in 0..m {
            for j in 0..n {
                c[(t * m + i) * n + j] = (0..k)
                    .map(|p| {
                        let a = a[t * m * k + if ta { p * m + i } else { i * k + p }];
                        let b = b[t * k * n + if tb { j * k + p } else { p * n + j }];
                        f64::from(a) * f64::from(b)
                    })
                    .sum();
            }
        }
    }
    c
}

fn check(sizes: Sizes, transposed: (bool, bool), open: &str) {
    let (batch, m, n, k) = sizes;
    let dims = [("b", batch as i64), ("m", m as i64), ("n", n as i64), ("k", k as i64)];
    let mut r = Numbers::new((m * 31 + n * 7 + k) as u64);
    let (mut a, mut b) = (r.f32s(batch * m * k), r.f32s(batch * k * n));
    let expected = reference(sizes, transposed, &a, &b);
    let mut first: Option<Vec<f32>> = None;
    for isa in &machines() {
        let mut product = load(isa, |machine| schedule(sizes, transposed, open, machine), &dims);
        for parts in [1, 3] {
            let mut c = vec![f32::NAN; batch * m * n + 1];
            product.run(
                &mut [(Arg::Operand(0), &mut a), (Arg::Operand(1), &mut b), (Arg::Result(0), &mut c)],
                parts,
            );
            for (at, expected) in expected.iter().enumerate() {
                let error = (f64::from(c[at]) - expected).abs();
                assert!(
                    error <= 1e-6 * (1.0 + k as f64),
                    "{sizes:?} {transposed:?} open {open:?}, element {at}: {} for {expected}",
                    c[at]
                );
            }
            assert!(c.pop().unwrap().is_nan(), "wrote beyond the end");
            match &first {
                None => first = Some(c),
                Some(first) => assert!(*first == c, "{sizes:?}: the split or the tile shows in the result"),
            }
        }
    }
}

const TRANSPOSES: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

#[test]
fn every_edge() {
    for t in TRANSPOSES {
        check((2, 13, 100, 21), t, "");
        check((1, 101, 64, 33), t, "");
    }
    let sizes = [(1, 1, 1, 1), (1, 5, 3, 7), (1, 7, 64, 9), (3, 4, 65, 5), (1, 97, 130, 10)];
    for (sizes, t) in sizes.into_iter().zip(TRANSPOSES.into_iter().cycle()) {
        check(sizes, t, "");
    }
}

#[test]
fn sizes_known_at_run_time() {
    for sizes in
        [(1, 5, 3, 7), (1, 6, 64, 64), (2, 101, 100, 33), (1, 1, 128, 0), (1, 0, 64, 5), (0, 3, 3, 3)]
    {
        for t in [(false, false), (true, true)] {
            check(sizes, t, "bmnk");
        }
    }
    for open in ["m", "n", "k"] {
        check((1, 101, 100, 33), (false, true), open);
    }
}

#[test]
fn empty_sizes() {
    for sizes in [(1, 0, 64, 5), (1, 3, 0, 5), (1, 3, 70, 0), (0, 3, 4, 5)] {
        check(sizes, (false, false), "");
    }
}

#[test]
fn long_sums_have_pieces() {
    for t in TRANSPOSES {
        check((1, 20, 70, 1001), t, "");
        check((1, 1030, 257, 20), t, "");
        check((1, 20, 70, 801), t, "nk");
    }
}

/// Products with a long inner size are cut into chunks of fixed length.
#[test]
fn long_inner_sizes() {
    for (sizes, t) in [
        ((1, 64, 64, 5000), (true, false)),
        ((2, 7, 33, 4100), (true, false)),
        ((1, 13, 100, 4097), (false, false)),
    ] {
        check(sizes, t, "");
        check(sizes, t, "k");
    }
    check((1, 9, 20, 5), (true, false), "k");
    check((1, 9, 20, 0), (true, false), "k");
}

/// No tile of any height or width loses a register, on every instruction set.
#[test]
fn products_do_not_spill() {
    for name in ["x86-64-v3", "x86-64-v4", "neon"] {
        let isa = Isa::by_name(name).unwrap();
        for sizes in
            [(1, 1000, 64, 64), (1, 1000, 48, 64), (1, 100, 16, 64), (1, 999, 1000, 999), (1, 64, 64, 70839)]
        {
            for t in [(false, false), (true, true)] {
                for (kernel, count) in spills(&schedule(sizes, t, "", &Machine::from(&isa)), &isa) {
                    assert_eq!(count, 0, "{name}, {sizes:?} {t:?}: `{kernel}`");
                }
            }
        }
    }
}

/// The count of spills is not blind: a tile of 40 sums does not fit into 32 registers.
#[test]
fn a_tile_too_high_spills() {
    let isa = Isa::by_name("x86-64-v4").unwrap();
    let machine = Machine { registers: 50, ..Machine::from(&isa) };
    let counts = spills(&schedule((1, 1000, 64, 64), (false, false), "", &machine), &isa);
    assert!(counts.iter().any(|(_, count)| *count > 0), "{counts:?}");
}

/// `cargo test -p latentc-backends --test cpu -- --ignored --nocapture speed_of_products`
#[test]
#[ignore = "a measurement"]
fn speed_of_products() {
    for (sizes, transposed) in [
        ((1, 70839, 64, 64), (false, false)),
        ((1, 70839, 64, 64), (false, true)),
        ((1, 64, 64, 70839), (true, false)),
        ((1, 128, 128, 30000), (true, false)),
        ((1, 64, 64, 2048), (true, false)),
        ((1, 4096, 64, 64), (false, false)),
        ((1, 2048, 128, 128), (false, false)),
        ((1, 4096, 256, 256), (false, false)),
        ((128, 64, 64, 64), (false, false)),
        ((1, 512, 512, 512), (false, false)),
        ((1, 512, 512, 512), (true, false)),
        ((1, 1024, 1024, 1024), (false, false)),
        ((1, 1024, 1024, 1024), (false, true)),
        ((1, 1024, 1024, 1024), (true, false)),
        ((1, 256, 4096, 1024), (false, false)),
    ] {
        let (batch, m, n, k) = sizes;
        let isa = &machines()[0];
        let start = cpu_seconds();
        let mut product = load(isa, |machine| schedule(sizes, transposed, "", machine), &[]);
        let compiled = (cpu_seconds() - start) * 1e3;
        let mut r = Numbers::new(1);
        let (mut a, mut b) = (r.f32s(batch * m * k), r.f32s(batch * k * n));
        let mut c = vec![0f32; batch * m * n];
        let (best, median) = timed(15, || {
            product.run(
                &mut [(Arg::Operand(0), &mut a), (Arg::Operand(1), &mut b), (Arg::Result(0), &mut c)],
                1,
            );
        });
        let flops = 2e-6 * (batch * m * n * k) as f64;
        println!(
            "{sizes:?} {transposed:?}: best {best:.3} ms {:.0} GF/s, median {median:.3} ms {:.0} GF/s; compiled in {compiled:.0} ms",
            flops / best,
            flops / median
        );
    }
}
