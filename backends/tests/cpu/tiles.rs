//! The kernels that carry the load: rows of a sparse matrix, tiles of a matrix product.

use latentc_backends::cpu::{Isa, inspect};
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Parallel, Serial, Unroll, Vector};
use latentc_ir::nest::build::{KernelBuilder, load, op2};
use latentc_ir::nest::{Expr, Index, Kernel, Space, Split};
use latentc_ir::scalar::{ReduceOp, ScalarOp};

use crate::harness::{Numbers, compile};

/// `y = A x` for a sparse `A` in CSR and 64 columns, prefetching `ahead` entries ahead; `col` is padded by
/// as many.
pub fn spmm(ahead: i64) -> Kernel {
    let cols = 64;
    let mut k = KernelBuilder::new("spmm");
    let (rows, nodes, nnz) = (k.dim("rows"), k.dim("nodes"), k.dim("nnz"));
    let ptr = k.buffer("ptr", DType::I32, rows.clone() + 1, Space::In);
    let col = k.buffer("col", DType::I32, nnz.clone() + ahead, Space::In);
    let val = k.buffer("val", DType::F32, nnz, Space::In);
    let x = k.buffer("x", DType::F32, nodes * cols, Space::In);
    let y = k.buffer("y", DType::F32, rows.clone() * cols, Space::Out);
    let acc = k.buffer("acc", DType::F32, cols, Space::Register);
    let split = Split::ByPrefix { prefix: ptr, rows_per_iteration: 1 };
    k.for_("r", rows, Parallel(split), |k, r| {
        k.fill(acc, Literal::zero(DType::F32));
        let first = k.load_index(ptr, r.clone());
        let end = k.load_index(ptr, r.clone() + 1);
        k.for_step("e", first, end, 1, Serial, |k, e| {
            if ahead > 0 {
                let soon = k.load_index(col, e.clone() + ahead);
                k.for_step("p", 0, cols, 16, Unroll, |k, p| k.prefetch(x, soon.clone() * cols + p));
            }
            let source = k.load_index(col, e.clone());
            let weight = k.let_(DType::F32, load(val, e));
            k.for_("c", cols, Vector(8), |k, c| {
                let term = op2(ScalarOp::Mul, Expr::Val(weight), load(x, source.clone() * cols + c.clone()));
                k.accumulate(ReduceOp::Sum, acc, c, term);
            });
        });
        k.for_("c", cols, Vector(8), |k, c| k.store(y, r * cols + c.clone(), load(acc, c)));
    });
    k.finish()
}

/// `c[mr x nr] += a[mr x k] b[k x nr]`, `a` in place with row stride `lda`, `b` packed.
pub fn tile(mr: i64, nr: i64, lda: Option<i64>, ldc: i64, lanes: u32) -> Kernel {
    let mut k = KernelBuilder::new("tile");
    let kc = k.dim("kc");
    let lda = lda.map_or_else(|| k.dim("lda"), Index::Const);
    let a = k.buffer("a", DType::F32, lda.clone() * mr, Space::In);
    let b = k.buffer("b", DType::F32, kc.clone() * nr, Space::In);
    let c = k.buffer("c", DType::F32, mr * ldc, Space::InOut);
    let acc = k.buffer("acc", DType::F32, mr * nr, Space::Register);
    k.fill(acc, Literal::zero(DType::F32));
    k.for_("k", kc, Serial, |k, p| {
        k.for_("i", mr, Unroll, |k, i| {
            k.for_("j", nr, Vector(lanes), |k, j| {
                let product = op2(
                    ScalarOp::Mul,
                    load(a, i.clone() * lda.clone() + p.clone()),
                    load(b, p.clone() * nr + j.clone()),
                );
                k.accumulate(ReduceOp::Sum, acc, i.clone() * nr + j, product);
            });
        });
    });
    k.for_("i", mr, Unroll, |k, i| {
        k.for_("j", nr, Vector(lanes), |k, j| {
            k.accumulate(ReduceOp::Sum, c, i.clone() * ldc + j.clone(), load(acc, i.clone() * nr + j));
        });
    });
    k.finish()
}

#[test]
fn sparse_rows() {
    for ahead in [0, 32] {
        let k = compile(spmm(ahead as i64));
        let mut r = Numbers::new(11);
        let (rows, nodes) = (37, 50);
        let mut ptr = vec![0i32];
        let mut col = vec![];
        for i in 0..rows {
            // Empty rows, short rows and a hub.
            let degree = if i == 20 { 300 } else { r.below(5) };
            col.extend((0..degree).map(|_| r.below(nodes) as i32));
            ptr.push(col.len() as i32);
        }
        let nnz = col.len();
        let mut val = r.f32s(nnz);
        let mut x = r.f32s(nodes * 64);
        let mut y = vec![f32::NAN; rows * 64];
        let mut padded = col.clone();
        padded.extend(std::iter::repeat_n(0, ahead));
        let dims = [rows as i64, nodes as i64, nnz as i64];
        k.run(&mut [&mut ptr, &mut padded, &mut val, &mut x, &mut y], &dims);
        for i in 0..rows {
            for c in 0..64 {
                let mut sum = 0f32;
                for e in ptr[i] as usize..ptr[i + 1] as usize {
                    sum = val[e].mul_add(x[col[e] as usize * 64 + c], sum);
                }
                assert_eq!(y[i * 64 + c], sum, "row {i} column {c}");
            }
        }
    }
}

#[test]
fn product_tiles() {
    for (mr, nr, lda) in [(6, 16, None), (6, 16, Some(100)), (1, 8, None), (3, 5, Some(100)), (4, 24, None)] {
        let ldc = nr + 3;
        let k = compile(tile(mr, nr, lda, ldc, 8));
        for kc in [0usize, 1, 2, 33, 100] {
            let mut r = Numbers::new(kc as u64 + 1);
            let (m, n, ldc) = (mr as usize, nr as usize, ldc as usize);
            let (mut a, mut b, mut c) = (r.f32s(m * 100), r.f32s(kc * n), r.f32s(m * ldc));
            let before = c.clone();
            let dims: &[i64] = if lda.is_some() { &[kc as i64] } else { &[kc as i64, 100] };
            k.run(&mut [&mut a, &mut b, &mut c], dims);
            for i in 0..m {
                for j in 0..ldc {
                    let mut sum = 0f32;
                    for p in 0..kc {
                        if j < n {
                            sum = a[i * 100 + p].mul_add(b[p * n + j], sum);
                        }
                    }
                    let expected = if j < n { before[i * ldc + j] + sum } else { before[i * ldc + j] };
                    assert_eq!(c[i * ldc + j], expected, "{mr}x{nr}, k {kc}, element {i},{j}");
                }
            }
        }
    }
}

/// The accumulators of the description's own tile stay in registers, on every instruction set.
#[test]
fn tiles_do_not_spill() {
    for name in ["x86-64-v3", "x86-64-v4", "neon"] {
        let isa = Isa::by_name(name).unwrap();
        let (mr, nv) = isa.tile;
        let nr = i64::from(nv * isa.lanes);
        let text = inspect(&[tile(i64::from(mr), nr, Some(256), nr, isa.lanes)], &isa).unwrap();
        assert!(!text.optimised.contains("alloca"), "{name}: a register array stayed in memory");
        let spills = text
            .assembly
            .lines()
            .filter(|l| (l.contains("mm") && l.contains("(%rsp)")) || (l.contains("[sp") && l.contains("q")))
            .filter(|l| !l.trim_start().starts_with("stp") && !l.trim_start().starts_with("ldp"))
            .count();
        assert_eq!(spills, 0, "{name}: spills in\n{}", text.assembly);
    }
}
