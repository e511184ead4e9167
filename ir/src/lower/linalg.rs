//! Factorizations and triangular systems: the textbook loops, one matrix a thread at a time.

use super::{Job, LowerError, Lowered};
use crate::dtype::{DType, Literal};
use crate::graph::Operand;
use crate::nest::build::{KernelBuilder, load, op1, op2};
use crate::nest::{AxisKind, BufId, Expr, Index, Space, Split};
use crate::ops::triangular_solve::TriangularSolve;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::product;

/// Why loops over matrices, rows and columns are no vectors.
pub(super) const STEPS: &str = "each step needs what the one before it made; vectors run along rows and columns where they lie side by side";

/// A matrix in a buffer.
#[derive(Clone)]
pub(super) struct Matrix {
    pub buf: BufId,
    pub start: Index,
    pub width: Index,
}

impl Matrix {
    pub fn at(&self, row: &Index, col: &Index) -> Index {
        self.start.clone() + row.clone() * self.width.clone() + col.clone()
    }

    pub fn get(&self, row: &Index, col: &Index) -> Expr {
        load(self.buf, self.at(row, col))
    }
}

fn minus_product(a: Expr, b: Expr) -> Expr {
    op2(ScalarOp::Mul, op1(ScalarOp::Neg, a), b)
}

/// A loop over what stands behind position `j` of `n`; none where there is a single one.
pub(super) fn behind(
    k: &mut KernelBuilder,
    j: &Index,
    n: &Index,
    kind: AxisKind,
    body: &mut dyn FnMut(&mut KernelBuilder, Index),
) {
    if n.as_const() != Some(1) {
        k.for_step("i", j.clone() + 1, n.clone(), 1, kind, |k, i| body(k, i));
    }
}

/// What is written once for each position: a loop, but where there is a single one, of which more is known.
pub(super) fn each(k: &mut KernelBuilder, n: &Index, body: impl FnOnce(&mut KernelBuilder, Index)) {
    match n.as_const() {
        Some(1) => body(k, Index::Const(0)),
        _ => k.for_("j", n.clone(), AxisKind::Serial, body),
    }
}

pub(super) fn cholesky(job: &Job, out: Operand) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let x = job.graph.node(out.node).operands[0];
    let shape = job.graph.shape_of(x);
    let rank = shape.len();
    let (count, n) = (cx.dim(&product(&shape[..rank - 2])), cx.dim(&shape[rank - 1]));
    let dtype = cx.dtype(x);
    let (x, l) = (cx.buffer(x, Space::In)?, cx.buffer(out, Space::InOut)?);
    let k = &mut cx.k;
    let sum = k.buffer("sum", dtype, 1, Space::Register);
    let wide = AxisKind::Vector(job.target.lanes);
    k.for_("b", count, AxisKind::Parallel(Split::Even), |k, b| {
        let start = b * n.clone() * n.clone();
        let [x, l] = [x, l].map(|buf| Matrix { buf, start: start.clone(), width: n.clone() });
        let rest = |k: &mut KernelBuilder, i: &Index, j: &Index| {
            k.store(sum, 0, x.get(i, j));
            k.for_("k", j.clone(), AxisKind::Serial, |k, c| {
                k.accumulate(ReduceOp::Sum, sum, 0, minus_product(l.get(i, &c), l.get(j, &c)));
            });
        };
        k.for_("j", n.clone(), AxisKind::Serial, |k, j| {
            behind(k, &j, &n, wide, &mut |k, z| {
                k.store(l.buf, l.at(&j, &z), Expr::Lit(Literal::zero(dtype)));
            });
            rest(k, &j, &j);
            k.store(l.buf, l.at(&j, &j), op1(ScalarOp::Sqrt, load(sum, 0)));
            behind(k, &j, &n, AxisKind::Serial, &mut |k, i| {
                rest(k, &i, &j);
                let quotient = op2(ScalarOp::Div, load(sum, 0), l.get(&j, &j));
                k.store(l.buf, l.at(&i, &j), quotient);
            });
        });
    });
    Ok(Lowered { calls: vec![cx.finish_because(STEPS)], temps: vec![] })
}

pub(super) fn triangular_solve(
    job: &Job,
    out: Operand,
    how: &TriangularSolve,
) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let operands = job.graph.node(out.node).operands.clone();
    let shape = job.graph.shape_of(out);
    let rank = shape.len();
    let count = cx.dim(&product(&shape[..rank - 2]));
    let (n, m) = (cx.dim(&shape[rank - 2]), cx.dim(&shape[rank - 1]));
    let a = cx.buffer(operands[0], Space::In)?;
    let (b, x) = (cx.buffer(operands[1], Space::In)?, cx.buffer(out, Space::InOut)?);
    let wide = AxisKind::Vector(job.target.lanes);
    let forward = how.lower != how.transpose;
    let k = &mut cx.k;
    k.for_("b", count, AxisKind::Parallel(Split::Even), |k, matrix| {
        let a = Matrix { buf: a, start: matrix.clone() * n.clone() * n.clone(), width: n.clone() };
        let start = matrix * n.clone() * m.clone();
        let [b, x] = [b, x].map(|buf| Matrix { buf, start: start.clone(), width: m.clone() });
        let element = |i: &Index, j: &Index| if how.transpose { a.get(j, i) } else { a.get(i, j) };
        let turned = |step: Index| if forward { step } else { n.clone() - 1 - step };
        k.for_("i", n.clone(), AxisKind::Serial, |k, step| {
            let i = turned(step.clone());
            k.for_("c", m.clone(), wide, |k, c| k.store(x.buf, x.at(&i, &c), b.get(&i, &c)));
            k.for_("k", step, AxisKind::Serial, |k, known| {
                let known = turned(known);
                k.for_("c", m.clone(), wide, |k, c| {
                    let term = minus_product(element(&i, &known), x.get(&known, &c));
                    k.accumulate(ReduceOp::Sum, x.buf, x.at(&i, &c), term);
                });
            });
            if !how.unit {
                k.for_("c", m.clone(), wide, |k, c| {
                    let quotient = op2(ScalarOp::Div, x.get(&i, &c), element(&i, &i));
                    k.store(x.buf, x.at(&i, &c), quotient);
                });
            }
        });
    });
    Ok(Lowered { calls: vec![cx.finish_because(STEPS)], temps: vec![] })
}

pub(super) fn lu(job: &Job, out: Operand) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let x = job.graph.node(out.node).operands[0];
    let shape = job.graph.shape_of(x);
    let rank = shape.len();
    let (count, n) = (cx.dim(&product(&shape[..rank - 2])), cx.dim(&shape[rank - 1]));
    let dtype = cx.dtype(x);
    let port = |port| Operand { node: out.node, port };
    let x = cx.buffer(x, Space::In)?;
    let (lu, rows) = (cx.buffer(out, Space::InOut)?, cx.buffer(port(1), Space::InOut)?);
    let sign = cx.buffer(port(2), Space::InOut)?;
    let k = &mut cx.k;
    let best = k.buffer("best", dtype, 1, Space::Register);
    let place = k.buffer("place", DType::I32, 1, Space::Register);
    let wide = AxisKind::Vector(job.target.lanes);
    let as_i32 = |i: &Index| Expr::Cast(DType::I32, Box::new(i.clone().into()));
    let number = |v: i64| Expr::Lit(Literal::int(dtype, v));
    k.for_("b", count, AxisKind::Parallel(Split::Even), |k, matrix| {
        let start = matrix.clone() * n.clone() * n.clone();
        let [x, a] = [x, lu].map(|buf| Matrix { buf, start: start.clone(), width: n.clone() });
        let row_of = |i: &Index| matrix.clone() * n.clone() + i.clone();
        k.store(sign, matrix.clone(), number(1));
        k.for_("i", n.clone(), AxisKind::Serial, |k, i| {
            k.store(rows, row_of(&i), as_i32(&i));
            k.for_("c", n.clone(), wide, |k, c| k.store(a.buf, a.at(&i, &c), x.get(&i, &c)));
        });
        k.for_("k", n.clone(), AxisKind::Serial, |k, j| {
            k.store(best, 0, op1(ScalarOp::Abs, a.get(&j, &j)));
            k.store(place, 0, as_i32(&j));
            behind(k, &j, &n, AxisKind::Serial, &mut |k, i| {
                let size = Expr::Val(k.let_(dtype, op1(ScalarOp::Abs, a.get(&i, &j))));
                let greater = op2(ScalarOp::Gt, size.clone(), load(best, 0));
                let greater = Expr::Val(k.let_(DType::Bool, greater));
                let chosen = |a: Expr, b: Expr| Expr::Op(ScalarOp::Select, vec![greater.clone(), a, b]);
                k.store(best, 0, chosen(size, load(best, 0)));
                k.store(place, 0, chosen(as_i32(&i), load(place, 0)));
            });
            let pivot = k.load_index(place, 0);
            // What is read beyond the matrix there is not.
            let pivot = pivot.max(0).min(n.clone() - 1);
            k.for_("c", n.clone(), wide, |k, c| {
                let upper = Expr::Val(k.let_(dtype, a.get(&j, &c)));
                let lower = Expr::Val(k.let_(dtype, a.get(&pivot, &c)));
                k.store(a.buf, a.at(&j, &c), lower);
                k.store(a.buf, a.at(&pivot, &c), upper);
            });
            let [upper, lower] = [&j, &pivot].map(|i| Expr::Val(k.let_(DType::I32, load(rows, row_of(i)))));
            k.store(rows, row_of(&j), lower);
            k.store(rows, row_of(&pivot), upper);
            let moved = op2(ScalarOp::Ne, pivot.clone().into(), j.clone().into());
            let turn = Expr::Op(ScalarOp::Select, vec![moved, number(-1), number(1)]);
            k.store(sign, matrix.clone(), op2(ScalarOp::Mul, load(sign, matrix.clone()), turn));
            behind(k, &j, &n, AxisKind::Serial, &mut |k, i| {
                let top = Expr::Val(k.let_(dtype, a.get(&j, &j)));
                let none = op2(ScalarOp::Eq, top.clone(), number(0));
                let by = Expr::Op(ScalarOp::Select, vec![none, number(1), top]);
                let by = op2(ScalarOp::Div, a.get(&i, &j), by);
                let by = Expr::Val(k.let_(dtype, by));
                k.store(a.buf, a.at(&i, &j), by.clone());
                behind(k, &j, &n, wide, &mut |k, c| {
                    k.accumulate(
                        ReduceOp::Sum,
                        a.buf,
                        a.at(&i, &c),
                        minus_product(by.clone(), a.get(&j, &c)),
                    );
                });
            });
        });
    });
    Ok(Lowered { calls: vec![cx.finish_because(STEPS)], temps: vec![] })
}
