//! Few rows times the rows of a transposed matrix: products of rows, both read as they lie.
//!
//! Packing would read and write the right operand once more, and it is used by few rows. A sum is `CHAINS` chains,
//! position `p` in chain `p mod CHAINS`, added up by halves, and what is beyond the last whole `CHAINS` one by one.

use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Parallel, Serial, Vector};
use latentc_ir::nest::build::{KernelBuilder, load, op2};
use latentc_ir::nest::{BufId, Expr, Index, Kernel, Space, Split};
use latentc_ir::scalar::{ReduceOp, ScalarOp};

use super::{Shape, View};
use crate::tile::{heights, row_tiles};
use crate::{Arg, Schedule, Step};

/// Rows of the left operand at most.
const ROWS: i64 = 4;
/// Rows of the right operand that are multiplied together.
const TOGETHER: i64 = 4;
/// Columns of the result that one thread computes at a time.
const BLOCK: i64 = 64;
/// Chains of a sum.
const CHAINS: u32 = 16;

/// Whether the shape is one of these: f32 and up, since what is stored narrower is widened as it is packed.
pub(super) fn suits(s: &Shape) -> bool {
    let few = s.m.as_const().is_some_and(|m| (1..=ROWS).contains(&m));
    few && s.transpose_b && !s.transpose_a && s.dtype == DType::F32
}

/// A product of few rows.
pub(super) fn dots(name: &str, s: &Shape) -> Schedule {
    let args = vec![Arg::Operand(0), Arg::Operand(1), Arg::Result(0)];
    Schedule { temps: vec![], steps: vec![Step { kernel: kernel(name, s), args }] }
}

fn kernel(name: &str, s: &Shape) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let (batch, n, depth) = (k.size(&s.batch), k.size(&s.n), k.size(&s.k));
    let rows = s.m.as_const().unwrap_or(ROWS);
    let a = k.buffer("a", s.dtype, batch.clone() * rows * depth.clone(), Space::In);
    let b = k.buffer("b", s.dtype, batch.clone() * n.clone() * depth.clone(), Space::In);
    let c = k.buffer("c", s.dtype, batch.clone() * rows * n.clone(), Space::Out);
    let blocks = super::ceil_div(n.clone(), BLOCK);
    let rest = s.n.as_const().map(|n| n % TOGETHER);
    k.for_("unit", batch * blocks.clone(), Parallel(Split::Even), |k, unit| {
        let (matrix, block) = (unit.clone().floor_div(blocks.clone().max(1)), unit.modulo(blocks.max(1)));
        let lo = block * BLOCK;
        let hi = (lo.clone() + BLOCK).min(n.clone());
        let left =
            View { buf: a, start: matrix.clone() * rows * depth.clone(), strides: (depth.clone(), 1.into()) };
        let right = View {
            buf: b,
            start: matrix.clone() * n.clone() * depth.clone(),
            strides: (depth.clone(), 1.into()),
        };
        row_tiles(k, lo, hi, &heights(TOGETHER, rest), |k, j0, width| {
            let sums = products(k, (&left, rows), (&right, &j0, width), &depth);
            for (at, sum) in sums.into_iter().enumerate() {
                let (i, j) = (at as i64 / width, at as i64 % width);
                let to = (matrix.clone() * rows + i) * n.clone() + j0.clone() + j;
                k.store(c, to, load(sum, 0));
            }
        });
    });
    builder.finish()
}

/// The products of all rows of the left operand with `width` rows of the right one, row by row.
fn products(
    k: &mut KernelBuilder,
    (left, rows): (&View, i64),
    (right, j0, width): (&View, &Index, i64),
    depth: &Index,
) -> Vec<BufId> {
    let chains = i64::from(CHAINS);
    let mut array = |name: &str, i: i64, j: i64, len: i64| {
        let buf = k.buffer(format!("{name}_{width}_{i}_{j}"), DType::F32, len, Space::Register);
        k.fill(buf, Literal::zero(DType::F32));
        buf
    };
    let pairs: Vec<(i64, i64)> = (0..rows).flat_map(|i| (0..width).map(move |j| (i, j))).collect();
    let sums: Vec<(BufId, BufId)> =
        pairs.iter().map(|(i, j)| (array("chains", *i, *j, chains), array("sum", *i, *j, 1))).collect();
    let whole = depth.clone().floor_div(chains) * chains;
    let product = |i: i64, j: i64, p: Index| {
        let (a, b) = (left.at(i.into(), p.clone()), right.at(j0.clone() + j, p));
        op2(ScalarOp::Mul, load(left.buf, a), load(right.buf, b))
    };
    k.for_step("p", 0, whole.clone(), chains, Serial, |k, p| {
        for ((i, j), (lanes, _)) in pairs.iter().zip(&sums) {
            k.for_("l", chains, Vector(CHAINS), |k, l| {
                k.accumulate(ReduceOp::Sum, *lanes, l.clone(), product(*i, *j, p.clone() + l));
            });
        }
    });
    for (lanes, sum) in &sums {
        k.store(*sum, 0, Expr::Lanes { op: ReduceOp::Sum, buf: *lanes });
    }
    if whole != *depth {
        k.for_step("p", whole, depth.clone(), 1, Serial, |k, p| {
            for ((i, j), (_, sum)) in pairs.iter().zip(&sums) {
                k.accumulate(ReduceOp::Sum, *sum, 0, product(*i, *j, p.clone()));
            }
        });
    }
    sums.into_iter().map(|(_, sum)| sum).collect()
}
