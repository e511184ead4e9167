//! The greatest of each row and groups of equal ids against plain loops, and their speed.

use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::ops::segments::Segments;
use latentc_ir::ops::top_k::TopK;
use latentc_ir::types::Type;
use latentc_kernels::{Arg, Machine, Schedule, segments, top_k};

use crate::harness::Numbers;
use crate::schedules::{load, machines, timed};

fn open_or(open: bool, name: &str, v: usize) -> Dim {
    if open { Dim::symbol(name, 0, 1 << 30) } else { Dim::from(v) }
}

/// Runs a row-wise selection on any element type and compares with a stable sort by `above`.
fn check_top_k<T: Copy + PartialEq + std::fmt::Debug>(
    dtype: DType,
    (rows, n, k): (usize, usize, usize),
    x: &mut Vec<T>,
    filler: T,
    above: impl Fn(&T, &T) -> std::cmp::Ordering,
    same: impl Fn(&T, &T) -> bool,
) {
    let mut expected = vec![];
    for row in x.chunks(n) {
        let mut all: Vec<(T, i32)> = row.iter().copied().zip(0..).collect();
        all.sort_by(|a, b| above(&a.0, &b.0));
        expected.extend_from_slice(&all[..k]);
    }
    for open in [false, true] {
        let make = |machine: &Machine| {
            // A run-time length is known to be at least k, as the op wants it.
            let n = if open { Dim::symbol("n", k as i64, 1 << 30) } else { Dim::from(n) };
            let ty = Type::tensor(dtype, [open_or(open, "rows", rows), n]);
            top_k("greatest", &TopK { k }, &[ty], machine).unwrap()
        };
        for isa in &machines() {
            let mut greatest = load(isa, make, &[("rows", rows as i64), ("n", n as i64)]);
            let (mut values, mut ids) = (vec![filler; rows * k + 1], vec![-7i32; rows * k + 1]);
            greatest.run(
                &mut [(Arg::Operand(0), x), (Arg::Result(0), &mut values), (Arg::Result(1), &mut ids)],
                2,
            );
            assert_eq!(ids.pop(), Some(-7), "wrote beyond the end");
            for (at, (value, id)) in expected.iter().enumerate() {
                assert_eq!(ids[at], *id, "{dtype} {rows}x{n}, k {k}, element {at}: {:?}", values[at]);
                assert!(same(&values[at], value), "{dtype} {rows}x{n}, k {k}: {:?} {value:?}", values[at]);
            }
        }
    }
}

const SHAPES: [(usize, usize, usize); 6] =
    [(1, 1, 1), (3, 7, 7), (4, 100, 5), (2, 333, 40), (3, 65, 64), (0, 5, 2)];

/// Greatest first, NaN last.
fn floats_above(a: &f32, b: &f32) -> std::cmp::Ordering {
    a.is_nan().cmp(&b.is_nan()).then(b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal))
}

#[test]
fn greatest_floats() {
    for shape in SHAPES {
        let (rows, n, k) = shape;
        let mut r = Numbers::new((rows * n + k) as u64);
        // Many equal values, infinities, and enough NaN that some rows have fewer than k numbers.
        for nan in [0, 3, 9] {
            let mut x: Vec<f32> = (0..rows * n)
                .map(|_| match r.below(10) {
                    c if c < nan => f32::NAN,
                    9 => f32::INFINITY,
                    8 => f32::NEG_INFINITY,
                    _ => r.below(9) as f32 - 4.0,
                })
                .collect();
            let same = |a: &f32, b: &f32| a == b || a.is_nan() && b.is_nan();
            check_top_k(DType::F32, shape, &mut x, 0.5, floats_above, same);
        }
    }
}

#[test]
fn greatest_of_other_types() {
    for shape in [(4, 100, 5), (2, 33, 17)] {
        let (rows, n, _) = shape;
        let mut r = Numbers::new(n as u64);
        let mut x: Vec<f64> = (0..rows * n).map(|_| r.below(50) as f64 / 8.0).collect();
        check_top_k(DType::F64, shape, &mut x, 0.0, |a, b| b.total_cmp(a), |a, b| a == b);
        let mut x: Vec<i64> = (0..rows * n).map(|_| [i64::MIN, -3, 0, 9, i64::MAX][r.below(5)]).collect();
        check_top_k(DType::I64, shape, &mut x, 5, |a, b| b.cmp(a), |a, b| a == b);
        let mut x: Vec<i32> = (0..rows * n).map(|_| r.below(20) as i32 - 10).collect();
        check_top_k(DType::I32, shape, &mut x, 5, |a, b| b.cmp(a), |a, b| a == b);
        let mut x: Vec<u8> = (0..rows * n).map(|_| r.below(256) as u8).collect();
        check_top_k(DType::U8, shape, &mut x, 5, |a, b| b.cmp(a), |a, b| a == b);
    }
}

/// A list too long for the stack.
#[test]
fn greatest_thousands() {
    // The longest list that the kernel takes; longer ones are sorted.
    let shape = (2, 12_000, 4_096);
    let mut x: Vec<f32> = Numbers::new(5).f32s(shape.0 * shape.1);
    check_top_k(DType::F32, shape, &mut x, 0.0, floats_above, |a, b| a == b);
}

fn groups(n: usize, rows: usize, open: bool, machine: &Machine) -> Schedule {
    let op = Segments { rows: open_or(open, "rows", rows) };
    segments("groups", &op, &[Type::tensor(DType::I32, [open_or(open, "n", n)])], machine).unwrap()
}

#[test]
fn equal_ids_together() {
    for (n, rows) in [(0, 1), (1, 1), (0, 5), (10, 3), (100, 7), (50, 1000), (1000, 33)] {
        let mut r = Numbers::new((n + rows) as u64);
        let mut ids: Vec<i32> = (0..n).map(|_| r.below(rows) as i32).collect();
        for open in [false, true] {
            let isa = &machines()[0];
            let dims = [("n", n as i64), ("rows", rows as i64)];
            let mut groups = load(isa, |m| groups(n, rows, open, m), &dims);
            let (mut indptr, mut order) = (vec![-5i32; rows + 2], vec![-5i32; n + 1]);
            groups.run(
                &mut [
                    (Arg::Operand(0), &mut ids),
                    (Arg::Result(0), &mut indptr),
                    (Arg::Result(1), &mut order),
                ],
                1,
            );
            assert_eq!((indptr.pop(), order.pop()), (Some(-5), Some(-5)), "wrote beyond the end");
            assert_eq!((indptr[0], indptr[rows]), (0, n as i32));
            for row in 0..rows {
                let found = &order[indptr[row] as usize..indptr[row + 1] as usize];
                let expected: Vec<i32> = (0..n as i32).filter(|e| ids[*e as usize] == row as i32).collect();
                assert_eq!(found, expected, "{n} ids, row {row} of {rows}");
            }
        }
    }
}

/// `cargo test -p latentc-backends --test cpu -- --ignored --nocapture speed_of_selection`
#[test]
#[ignore = "a measurement"]
fn speed_of_selection() {
    let isa = &machines()[0];
    let mut r = Numbers::new(1);
    for (n, rows) in [(6144, 70839), (100_000, 70839)] {
        let mut ids: Vec<i32> = (0..n).map(|_| r.below(rows) as i32).collect();
        let (mut indptr, mut order) = (vec![0i32; rows + 1], vec![0i32; n]);
        let mut groups = load(isa, |m| groups(n, rows, false, m), &[]);
        let (best, median) = timed(31, || {
            groups.run(
                &mut [
                    (Arg::Operand(0), &mut ids),
                    (Arg::Result(0), &mut indptr),
                    (Arg::Result(1), &mut order),
                ],
                1,
            );
        });
        println!("segments of {n} ids in {rows} rows: best {best:.4} ms, median {median:.4} ms");
    }
    for (rows, n, k) in [(2048, 40981, 20), (2048, 40981, 100), (100_000, 100, 10)] {
        let mut x = r.f32s(rows * n);
        let (mut values, mut ids) = (vec![0f32; rows * k], vec![0i32; rows * k]);
        let ty = Type::tensor(DType::F32, [Dim::from(rows), Dim::from(n)]);
        let mut greatest =
            load(isa, |m| top_k("greatest", &TopK { k }, std::slice::from_ref(&ty), m).unwrap(), &[]);
        let (best, median) = timed(5, || {
            greatest.run(
                &mut [(Arg::Operand(0), &mut x), (Arg::Result(0), &mut values), (Arg::Result(1), &mut ids)],
                1,
            );
        });
        println!("top {k} of {rows}x{n}: best {best:.2} ms, median {median:.2} ms");
    }
}
