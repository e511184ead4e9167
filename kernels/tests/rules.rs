//! Every schedule's kernels keep the rules of kernels: the verifier passes them, and the nest interpreter,
//! which sees every position, every read of what nobody wrote and every iteration that depends on another,
//! runs them to the right end.

use latentc_ir::array::{Array, Value};
use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::interp;
use latentc_ir::ops::OpDef;
use latentc_ir::ops::conv::Conv;
use latentc_ir::ops::matmul::Matmul;
use latentc_ir::ops::score_top_k::ScoreTopK;
use latentc_ir::ops::segments::Segments;
use latentc_ir::ops::sort::Sort;
use latentc_ir::ops::top_k::TopK;
use latentc_ir::ops::windows::Window;
use latentc_ir::plan::CsrPart;
use latentc_ir::types::{CsrType, Type};
use latentc_kernels::{Arg, Machine, Schedule, conv, matmul, score_top_k, segments, sort, top_k};

/// Few lanes and registers, and many.
const MACHINES: [Machine; 3] = [
    Machine { lanes: 4, registers: 16, l1: 32 << 10, l2: 256 << 10, prefetch: 16, dot4: false },
    Machine { lanes: 16, registers: 32, l1: 48 << 10, l2: 1 << 20, prefetch: 32, dot4: false },
    Machine { lanes: 16, registers: 32, l1: 48 << 10, l2: 1 << 20, prefetch: 32, dot4: true },
];

/// Runs a schedule on arrays bound to operands and results.
fn run(schedule: &Schedule, arrays: &mut [(Arg, Array)], dims: &[(&str, usize)]) {
    let value = |name: &str| dims.iter().find(|(n, _)| *n == name).map(|(_, v)| *v as i64);
    let room = |len: &Dim| len.eval(&value).unwrap() as usize;
    let mut temps: Vec<Array> =
        schedule.temps.iter().map(|t| Array::zeros(t.dtype, &[room(&t.len)])).collect();
    for step in &schedule.steps {
        let kernel = &step.kernel;
        let bound = |a: &Arg| arrays.iter().position(|(b, _)| a == b).unwrap();
        let mut params: Vec<Array> = step
            .args
            .iter()
            .map(|a| match a {
                Arg::Temp(t) => temps[*t].clone(),
                a => arrays[bound(a)].1.clone(),
            })
            .collect();
        let dims: Vec<i64> = kernel.dims.iter().map(|d| value(d).unwrap()).collect();
        interp::run(kernel, &mut params, &dims, None).unwrap_or_else(|e| panic!("{}: {e}", kernel.name));
        for (a, new) in step.args.iter().zip(params) {
            match a {
                Arg::Temp(t) => temps[*t] = new,
                a => {
                    let at = arrays.iter().position(|(b, _)| a == b).unwrap();
                    arrays[at].1 = new;
                }
            }
        }
    }
}

fn ints(dtype: DType, values: impl IntoIterator<Item = i64>) -> Array {
    let values: Vec<i64> = values.into_iter().collect();
    let mut a = Array::zeros(dtype, &[values.len()]);
    for (i, v) in values.iter().enumerate() {
        a.set(i, Literal::int(dtype, *v));
    }
    a
}

/// Whole numbers from -11 to 11: their sums are exact in any order.
fn numbers(n: usize, seed: i64) -> Array {
    numbers_of(DType::F32, n, seed)
}

fn numbers_of(dtype: DType, n: usize, seed: i64) -> Array {
    ints(dtype, (0..n as i64).map(|i| ((i + 1) * 7919 + seed * 104_729) % 23 - 11))
}

fn size(open: bool, name: &str, v: usize) -> Dim {
    if open { Dim::symbol(name, 0, 1 << 30) } else { Dim::from(v) }
}

/// Every case on every machine, with sizes known and left open.
fn each(f: impl Fn(&Machine, bool)) {
    for machine in MACHINES {
        for open in [false, true] {
            f(&machine, open);
        }
    }
}

fn product(sizes: (usize, usize, usize), transposed: (bool, bool), machine: &Machine, open: bool) {
    product_of(DType::F32, sizes, transposed, machine, open);
}

fn product_of(
    dtype: DType,
    (m, n, k): (usize, usize, usize),
    (ta, tb): (bool, bool),
    machine: &Machine,
    open: bool,
) {
    let (dm, dn, dk) = (size(open, "m", m), size(open, "n", n), size(open, "k", k));
    let a = if ta { [&dk, &dm] } else { [&dm, &dk] };
    let b = if tb { [&dn, &dk] } else { [&dk, &dn] };
    let operands = [a, b].map(|s| Type::tensor(dtype, s.map(Dim::clone)));
    let op = Matmul { transpose_a: ta, transpose_b: tb };
    let schedule = matmul::matmul("product", &op, &operands, machine).unwrap();
    let (a, b) = (numbers_of(dtype, m * k, 1), numbers_of(dtype, k * n, 2));
    let mut arrays = [
        (Arg::Operand(0), a.clone()),
        (Arg::Operand(1), b.clone()),
        (Arg::Result(0), Array::zeros(dtype, &[m * n])),
    ];
    run(&schedule, &mut arrays, &[("m", m), ("n", n), ("k", k)]);
    for i in 0..m {
        for j in 0..n {
            let a = |p| a.get(if ta { p * m + i } else { i * k + p }).as_f64();
            let b = |p| b.get(if tb { j * k + p } else { p * n + j }).as_f64();
            let sum: f64 = (0..k).map(|p| a(p) * b(p)).sum();
            let found = arrays[2].1.get(i * n + j).as_f64();
            assert_eq!(found, sum, "{m}x{n}x{k}, transposed {ta} {tb}, open {open}: element {i},{j}");
        }
    }
}

#[test]
fn products() {
    each(|machine, open| {
        for sizes in [(1, 1, 1), (7, 5, 3), (13, 70, 9), (100, 64, 2), (0, 3, 4), (3, 0, 2), (2, 3, 0)] {
            for transposed in [(false, false), (true, false), (false, true), (true, true)] {
                product(sizes, transposed, machine, open);
            }
        }
    });
}

/// 16-bit floats are added up in f32 and rounded once.
#[test]
fn products_of_other_floats() {
    each(|machine, open| {
        product_of(DType::F64, (7, 37, 5), (true, true), machine, open);
        product_of(DType::F64, (7, 37, 500), (false, false), machine, open);
        // Sums of up to 242 are exact in 8 bits.
        product_of(DType::Bf16, (7, 37, 2), (false, true), machine, open);
        product_of(DType::F16, (3, 64, 5), (true, false), machine, open);
    });
}

#[test]
fn products_in_pieces_and_chunks() {
    each(|machine, open| {
        product((3, 65, 800), (false, true), machine, open);
        product((2, 33, 4200), (true, false), machine, open);
    });
}

#[test]
fn best_items() {
    for leave_out in [true, false] {
        best_items_of(leave_out);
    }
}

/// With items that the queries have seen, or of all items.
fn best_items_of(leave_out: bool) {
    each(|machine, open| {
        for (q, n, d, k) in
            [(5, 30, 3, 4), (1, 0, 2, 3), (0, 4, 2, 3), (70, 20, 2, 25), (70, 40, 4, 5), (3, 50, 2, 100)]
        {
            let (dq, dn, dd) = (size(open, "q", q), size(open, "n", n), size(open, "d", d));
            // User 0 has the first half of the items, user 1 none.
            let half = n / 2;
            let seen = CsrType {
                rows: Dim::from(2),
                cols: dn.clone(),
                nnz: size(open, "nnz", half),
                symmetric: false,
            };
            let mut operands = vec![
                Type::tensor(DType::F32, [dq.clone(), dd.clone()]),
                Type::tensor(DType::F32, [dn, dd]),
                Type::Csr(seen),
                Type::tensor(DType::I32, [dq]),
            ];
            if !leave_out {
                operands.truncate(2);
            }
            let schedule = score_top_k("best", &ScoreTopK { k }, &operands, machine).unwrap();
            let (queries, items) = (numbers(q * d, 1), numbers(n * d, 2));
            let mut arrays = [
                (Arg::Operand(0), queries.clone()),
                (Arg::Operand(1), items.clone()),
                (Arg::Csr(2, CsrPart::Indptr), ints(DType::I32, [0, half as i64, half as i64])),
                (Arg::Csr(2, CsrPart::Indices), ints(DType::I32, 0..half as i64)),
                (Arg::Operand(3), ints(DType::I32, (0..q as i64).map(|i| i % 2))),
                (Arg::Result(0), Array::zeros(DType::F32, &[q * k])),
                (Arg::Result(1), Array::zeros(DType::I32, &[q * k])),
            ];
            run(&schedule, &mut arrays, &[("q", q), ("n", n), ("d", d), ("nnz", half)]);
            for i in 0..q {
                let score = |j: usize| {
                    (0..d)
                        .map(|p| queries.get(i * d + p).as_f64() * items.get(j * d + p).as_f64())
                        .sum::<f64>()
                        + 0.0
                };
                let first = if leave_out && i % 2 == 0 { half } else { 0 };
                let mut all: Vec<(f64, i64)> = (first..n).map(|j| (score(j), j as i64)).collect();
                all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                all.resize(k.max(all.len()), (f64::NEG_INFINITY, -1));
                for (r, (score, id)) in all.iter().take(k).enumerate() {
                    assert_eq!(arrays[6].1.get(i * k + r).as_i64(), *id, "q {q} n {n} k {k}: query {i}");
                    assert_eq!(arrays[5].1.get(i * k + r).as_f64(), *score, "q {q} n {n} k {k}: query {i}");
                }
            }
        }
    });
}

/// Convolutions of whole numbers, of which every order of sums is exact, against the op.
#[test]
fn convolutions() {
    let w = |kernel: &[i64]| Window::new(kernel.iter().copied());
    // Images, groups, filters and channels of a group, sizes, window.
    type Shape<'a> = (usize, i64, usize, usize, &'a [usize], Window);
    let cases: Vec<Shape> = vec![
        (1, 1, 1, 1, &[1], w(&[1])),
        (2, 1, 7, 3, &[5, 7], w(&[1, 1])),
        (2, 1, 3, 2, &[5, 9], w(&[3, 3]).with_pads([1, 1])),
        (1, 1, 13, 5, &[8, 16], w(&[3, 3]).with_pads([1, 1])),
        (1, 1, 8, 130, &[4, 16], w(&[3, 3]).with_pads([1, 1])),
        (1, 2, 3, 2, &[4, 32], w(&[3, 3]).with_pads([1, 1])),
        (1, 5, 1, 1, &[6, 6], w(&[3, 3]).with_pads([1, 1])),
        (2, 1, 4, 3, &[9, 8], w(&[3, 2]).with_stride([2, 3]).with_pads([1, 2])),
        (1, 1, 4, 3, &[11, 12], w(&[3, 3]).with_stride([2, 2]).with_dilation([2, 3]).with_pads([2, 3])),
        (1, 1, 2, 3, &[3, 4, 16], w(&[3, 3, 3]).with_pads([1, 1, 1])),
        (1, 1, 2, 2, &[5, 4, 6], w(&[2, 3, 2]).with_stride([1, 2, 2])),
        (1, 1, 2, 2, &[70], w(&[40]).with_pads([20])),
        (3, 1, 5, 2, &[6, 20], w(&[4, 18])),
        (2, 2, 9, 2, &[4, 21], w(&[4, 17])),
        (2, 1, 30, 1, &[6, 16], w(&[4, 16]).with_stride([2, 1]).with_pads([1, 1])),
        (40, 1, 2, 1, &[7, 17], w(&[3, 16]).with_dilation([2, 1]).with_pads([1, 1])),
        (0, 1, 2, 2, &[5], w(&[3])),
    ];
    for machine in &MACHINES[..2] {
        for open in [false, true] {
            for (n, groups, filters, channels, sizes, window) in &cases {
                let op = Conv { window: window.clone(), groups: *groups };
                let all = *groups as usize;
                let xs = [&[*n, all * channels], *sizes].concat();
                let kernel = window.kernel.iter().map(|k| *k as usize);
                let ws: Vec<usize> = [all * filters, *channels].into_iter().chain(kernel).collect();
                let (x, w) = (numbers(xs.iter().product(), 1), numbers(ws.iter().product(), 2));
                let dims = |s: &[usize]| s.iter().map(|d| Dim::from(*d)).collect::<Vec<_>>();
                let mut xt = dims(&xs);
                xt[0] = size(open, "n", *n);
                let types = [Type::tensor(DType::F32, xt), Type::tensor(DType::F32, dims(&ws))];
                let result = op.infer(&types).unwrap();
                let schedule = conv("conv", &op, &types, machine).unwrap();
                let operands = [(&x, &xs), (&w, &ws)].map(|(a, s)| Value::Tensor(a.clone().reshaped(s)));
                let find = |name: &str| (name == "n").then_some(*n as i64);
                let expected = op.eval(&[&operands[0], &operands[1]], &result, &find).unwrap();
                let [Value::Tensor(expected)] = expected.as_slice() else { panic!("one tensor") };
                let mut arrays = [
                    (Arg::Operand(0), x),
                    (Arg::Operand(1), w),
                    (Arg::Result(0), Array::zeros(DType::F32, &[expected.len()])),
                ];
                run(&schedule, &mut arrays, &[("n", *n)]);
                let (lanes, flat) = (machine.lanes, expected.clone().reshaped(&[expected.len()]));
                assert_eq!(arrays[2].1, flat, "{xs:?} by {ws:?}, {window:?}, {lanes} lanes");
            }
        }
    }
}

#[test]
fn integers_in_order() {
    for dtype in [DType::I32, DType::U32] {
        for (open, descending) in [(false, false), (true, true)] {
            let (rows, n) = (3, 600);
            // Numbers of all sizes and both signs, many of them twice.
            let at = |i: usize| (i as i64 * 7_919 % 301 - 150) << (i % 25);
            let x = ints(dtype, (0..rows * n).map(at));
            let types = [Type::tensor(dtype, [Dim::from(rows), size(open, "n", n)])];
            let op = Sort { descending };
            let schedule = sort("sort", &op, &types).unwrap();
            let find = |name: &str| (name == "n").then_some(n as i64);
            let operand = Value::Tensor(x.clone().reshaped(&[rows, n]));
            let expected = op.eval(&[&operand], &op.infer(&types).unwrap(), &find).unwrap();
            let mut arrays = [
                (Arg::Operand(0), x),
                (Arg::Result(0), Array::zeros(dtype, &[rows * n])),
                (Arg::Result(1), Array::zeros(DType::I32, &[rows * n])),
            ];
            run(&schedule, &mut arrays, &[("n", n)]);
            for (found, expected) in arrays[1..].iter().zip(expected) {
                let Value::Tensor(expected) = expected else { panic!("a tensor") };
                assert_eq!(found.1, expected.reshaped(&[rows * n]), "{dtype}, descending {descending}");
            }
        }
    }
}

#[test]
fn greatest_of_rows() {
    each(|machine, open| {
        for (rows, n, k) in [(3, 90, 5), (2, 7, 7), (0, 3, 1), (2, 40, 33)] {
            // A run-time length is known to be at least k, as the op wants it.
            let dn = if open { Dim::symbol("n", k as i64, 1 << 30) } else { Dim::from(n) };
            let ty = Type::tensor(DType::F32, [size(open, "rows", rows), dn]);
            let schedule = top_k("greatest", &TopK { k }, &[ty], machine).unwrap();
            let x = numbers(rows * n, 1);
            let mut arrays = [
                (Arg::Operand(0), x.clone()),
                (Arg::Result(0), Array::zeros(DType::F32, &[rows * k])),
                (Arg::Result(1), Array::zeros(DType::I32, &[rows * k])),
            ];
            run(&schedule, &mut arrays, &[("rows", rows), ("n", n)]);
            for row in 0..rows {
                let mut all: Vec<(f64, i64)> =
                    (0..n).map(|i| (x.get(row * n + i).as_f64(), i as i64)).collect();
                all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                for (r, (value, id)) in all.iter().take(k).enumerate() {
                    assert_eq!(arrays[2].1.get(row * k + r).as_i64(), *id, "{rows}x{n}, k {k}");
                    assert_eq!(arrays[1].1.get(row * k + r).as_f64(), *value, "{rows}x{n}, k {k}");
                }
            }
        }
    });
}

#[test]
fn equal_ids() {
    each(|machine, open| {
        for (n, rows) in [(0, 3), (10, 4), (5, 1)] {
            let op = Segments { rows: size(open, "rows", rows) };
            let ty = Type::tensor(DType::I32, [size(open, "n", n)]);
            let schedule = segments("groups", &op, &[ty], machine).unwrap();
            let ids = ints(DType::I32, (0..n as i64).map(|i| i * 7 % rows as i64));
            let mut arrays = [
                (Arg::Operand(0), ids.clone()),
                (Arg::Result(0), Array::zeros(DType::I32, &[rows + 1])),
                (Arg::Result(1), Array::zeros(DType::I32, &[n])),
            ];
            run(&schedule, &mut arrays, &[("rows", rows), ("n", n)]);
            let (indptr, order) = (&arrays[1].1, &arrays[2].1);
            for row in 0..rows {
                let at = indptr.get(row).as_i64()..indptr.get(row + 1).as_i64();
                let found: Vec<i64> = at.map(|e| order.get(e as usize).as_i64()).collect();
                let expected: Vec<i64> =
                    (0..n as i64).filter(|e| ids.get(*e as usize).as_i64() == row as i64).collect();
                assert_eq!(found, expected, "{n} ids in {rows} rows");
            }
        }
    });
}
