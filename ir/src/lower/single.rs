//! Ops that are a kernel of their own: general reductions and products, concatenation, entries of a pattern.
//! Simple and right for every shape; the fast forms are in [`super::rows`] and in libraries of kernels.

use super::cx::{Cx, Row};
use super::value::{as_type, sum_type};
use super::{Job, LowerError, Lowered};
use crate::graph::Operand;
use crate::nest::build::{load, op2};
use crate::nest::{AxisKind, Expr, Index, Space, Split};
use crate::ops::Op;
use crate::ops::cumulative::Cumulative;
use crate::plan::CsrPart;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::product;

pub(super) fn lower(job: &Job) -> Result<Lowered, LowerError> {
    let node = job.region.nodes[0];
    let out = Operand::from(node);
    match &job.graph.node(node).op {
        Op::Reduce(r) => super::reduce::lower(job, out, r.op, &r.axes),
        Op::Permute(p) => super::permute::lower(job, out, &p.axes),
        Op::Cumulative(c) => cumulative(job, out, c),
        Op::Matmul(m) => matmul(job, out, m.transpose_a, m.transpose_b),
        Op::Concat(c) => concat(job, out, c.axis),
        Op::IndexUpdate(u) => super::update::lower(job, out, u.op),
        Op::Cholesky(_) => super::linalg::cholesky(job, out),
        Op::TriangularSolve(t) => super::linalg::triangular_solve(job, out, t),
        Op::Lu(_) => super::linalg::lu(job, out),
        Op::Qr(_) => super::decompose::qr(job, out),
        Op::Svd(_) => super::decompose::svd(job, out),
        Op::Sort(s) => super::sort::lower(job, out, s.descending, None),
        Op::TopK(t) => super::sort::lower(job, out, true, Some(t.k)),
        Op::Sddmm(_) => sddmm(job, out),
        Op::Segments(_) => super::segments::segments(job, out),
        Op::SegmentIds(_) => super::segments::ids(job, out),
        Op::SegmentSoftmax(_) => super::segments::softmax(job, out),
        Op::Spmm(_) | Op::SpmmRows(_) | Op::SegmentReduce(_) => sparse(job, out),
        op => Err(LowerError {
            kernel: job.name.to_owned(),
            what: format!("no kernel for `{}` of these shapes", op.def().name()),
        }),
    }
}

/// Runs a body for every position of the leading axes of a shape, spread over threads.
pub(super) fn positions(
    cx: &mut Cx,
    shape: &[crate::dim::Dim],
    body: impl FnOnce(&mut Cx, Vec<Index>) -> Result<(), LowerError>,
) -> Result<(), LowerError> {
    let total = cx.dim(&product(shape));
    cx.loop_("n", (Index::Const(0), total), 1, AxisKind::Parallel(Split::Even), |cx, n| {
        let index = if shape.is_empty() { vec![] } else { cx.delinear(shape, n.clone()) };
        cx.k.why(&n, "the op is computed position by position: there is one of this at each");
        cx.row = Some(Row { index: index.clone(), flat: n, in_tile: Index::Const(0), shape: shape.to_vec() });
        body(cx, index)
    })
}

/// One walk along the axis after the other, each by itself.
fn cumulative(job: &Job, out: Operand, c: &Cumulative) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let x = job.graph.node(out.node).operands[0];
    let shape = job.graph.shape_of(out);
    let dtype = cx.dtype(out);
    let sum = match c.op {
        ReduceOp::Sum | ReduceOp::Prod => sum_type(dtype),
        ReduceOp::Max | ReduceOp::Min => dtype,
    };
    let acc = cx.k.buffer("acc", sum, 1, Space::Register);
    let others: Vec<_> =
        shape.iter().enumerate().filter(|(a, _)| *a != c.axis).map(|(_, d)| d.clone()).collect();
    let end = cx.dim(&shape[c.axis]);
    positions(&mut cx, &others, |cx, at| {
        cx.k.fill(acc, c.op.identity(sum));
        cx.serial(
            "a",
            (Index::Const(0), end.clone()),
            1,
            "each element continues those before it",
            |cx, i| {
                let mut index = at.clone();
                index.insert(c.axis, if c.reverse { end - 1 - i } else { i });
                let e = cx.value(x, &index)?;
                let e = as_type(e, dtype, sum);
                if c.exclusive {
                    let e = cx.bind(sum, e);
                    cx.store(out, &index, as_type(load(acc, 0), sum, dtype))?;
                    cx.k.accumulate(c.op, acc, 0, e);
                    return Ok(());
                }
                cx.k.accumulate(c.op, acc, 0, e);
                cx.store(out, &index, as_type(load(acc, 0), sum, dtype))
            },
        )
    })?;
    Ok(Lowered { calls: vec![cx.finish()], temps: vec![] })
}

/// What is written at an index.
pub(super) type Body<'a> = dyn FnMut(&mut Cx, &[Index]) -> Result<(), LowerError> + 'a;

/// Loops over the axes that have no index yet.
pub(super) fn over(
    cx: &mut Cx,
    shape: &[crate::dim::Dim],
    mut index: Vec<Option<Index>>,
    body: &mut Body,
) -> Result<(), LowerError> {
    match index.iter().position(Option::is_none) {
        None => {
            let index: Vec<Index> = index.into_iter().flatten().collect();
            body(cx, &index)
        }
        Some(axis) => {
            let end = cx.dim(&shape[axis]);
            cx.serial(
                "a",
                (Index::Const(0), end),
                1,
                "terms are added in their order, whatever axes they lie along",
                |cx, i| {
                    index[axis] = Some(i);
                    over(cx, shape, index, body)
                },
            )
        }
    }
}

/// A product of matrices, any layout: rows of the result in parallel, panels of its columns in registers.
fn matmul(job: &Job, out: Operand, ta: bool, tb: bool) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let operands = job.graph.node(out.node).operands.clone();
    let (sa, to) = (job.graph.shape_of(operands[0]), job.graph.shape_of(out));
    let rank = to.len();
    let depth = sa[if ta { rank - 2 } else { rank - 1 }].clone();
    let depth = cx.dim(&depth);
    let dtype = cx.dtype(out);
    let lanes = i64::from(cx.target.lanes);
    let panel = lanes * job.schedule.of(job.schedule.panel);
    let sum = sum_type(dtype);
    let acc = cx.k.buffer("acc", sum, panel, Space::Register);
    let one = cx.k.buffer("one", sum, 1, Space::Register);
    let n = cx.dim(&to[rank - 1]);
    positions(&mut cx, &to[..rank - 1], |cx, rows| {
        let (batch, i) = (rows[..rank - 2].to_vec(), rows[rank - 2].clone());
        let a_at = |k: &Index| {
            let tail = if ta { [k.clone(), i.clone()] } else { [i.clone(), k.clone()] };
            [batch.clone(), tail.to_vec()].concat()
        };
        let b_at = |k: &Index, j: Index| {
            let tail = if tb { [j, k.clone()] } else { [k.clone(), j] };
            [batch.clone(), tail.to_vec()].concat()
        };
        let out_at = |j: Index| [rows.clone(), vec![j]].concat();
        let zero = ReduceOp::Sum.identity(sum);
        let panels = n.clone().floor_div(panel);
        let main = panels.clone() * panel;
        cx.serial(
            "p",
            (Index::Const(0), panels),
            1,
            "panels of columns come one after the other; vectors run within them",
            |cx, p| {
                cx.k.fill(acc, zero);
                let wide = AxisKind::Vector(lanes as u32);
                let columns = (Index::Const(0), Index::Const(panel));
                cx.serial(
                    "k",
                    (Index::Const(0), depth.clone()),
                    1,
                    "terms are added in their order; vectors run over columns",
                    |cx, k| {
                        let a = cx.summand(operands[0], &a_at(&k))?;
                        let a = cx.bind(sum, a);
                        cx.loop_("j", columns.clone(), 1, wide, |cx, j| {
                            let b = cx.summand(operands[1], &b_at(&k, p.clone() * panel + j.clone()))?;
                            cx.k.accumulate(ReduceOp::Sum, acc, j, op2(ScalarOp::Mul, a, b));
                            Ok(())
                        })
                    },
                )?;
                cx.loop_("j", columns.clone(), 1, wide, |cx, j| {
                    let e = as_type(load(acc, j.clone()), sum, dtype);
                    cx.store(out, &out_at(p.clone() * panel + j), e)
                })
            },
        )?;
        cx.serial("j", (main, n), 1, "columns that fill no panel of vectors", |cx, j| {
            cx.k.fill(one, zero);
            cx.serial(
                "k",
                (Index::Const(0), depth),
                1,
                "terms of a column that fills no panel are added in their order",
                |cx, k| {
                    let a = cx.summand(operands[0], &a_at(&k))?;
                    let b = cx.summand(operands[1], &b_at(&k, j.clone()))?;
                    cx.k.accumulate(ReduceOp::Sum, one, 0, op2(ScalarOp::Mul, a, b));
                    Ok(())
                },
            )?;
            cx.store(out, &out_at(j), as_type(load(one, 0), sum, dtype))
        })
    })?;
    Ok(Lowered { calls: vec![cx.finish()], temps: vec![] })
}

/// One kernel a part, each of which writes its own place of the result.
fn concat(job: &Job, out: Operand, axis: usize) -> Result<Lowered, LowerError> {
    let mut lowered = Lowered::default();
    let mut offset = crate::dim::Dim::constant(0);
    for (i, part) in job.graph.node(out.node).operands.iter().enumerate() {
        let mut cx = job.cx(&format!("_{i}"));
        let shape = job.graph.shape_of(*part);
        let start = cx.dim(&offset);
        let size = cx.dim(shape.last().ok_or_else(|| cx.fault("a scalar part"))?);
        let rank = shape.len();
        let put = |cx: &mut Cx, at: Vec<Index>| {
            let e = cx.value(*part, &at)?;
            let mut to = at;
            to[axis] = to[axis].clone() + start.clone();
            cx.store(out, &to, e)
        };
        let wide = AxisKind::Vector(job.target.lanes);
        if rank == 1 {
            cx.loop_("i", (Index::Const(0), size), 1, wide, |cx, i| put(cx, vec![i]))?;
        } else {
            positions(&mut cx, &shape[..rank - 1], |cx, rows| {
                cx.loop_("i", (Index::Const(0), size), 1, wide, |cx, i| {
                    // The result has other sizes, so its positions are not those of the row.
                    put(cx, [rows, vec![i]].concat())
                })
            })?;
        }
        lowered.calls.push(cx.finish());
        offset = &offset + &shape[axis];
    }
    Ok(lowered)
}

/// Dot products at the entries of a pattern, row by row.
fn sddmm(job: &Job, out: Operand) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let operands = job.graph.node(out.node).operands.clone();
    let csr = job.graph.csr(operands[0]).clone();
    let dtype = cx.dtype(out);
    let width = job.graph.shape_of(operands[1])[1].clone();
    let width = cx.dim(&width);
    let (indptr, indices) =
        (cx.csr_part(operands[0], CsrPart::Indptr), cx.csr_part(operands[0], CsrPart::Indices));
    let lanes = i64::from(cx.target.lanes);
    let sum = sum_type(dtype);
    let acc = cx.k.buffer("acc", sum, lanes, Space::Register);
    let one = cx.k.buffer("one", sum, 1, Space::Register);
    let rows = cx.dim(&csr.rows);
    let split = Split::ByPrefix { prefix: indptr, rows_per_iteration: 1 };
    cx.loop_("r", (Index::Const(0), rows), 1, AxisKind::Parallel(split), |cx, r| {
        cx.k.why(&r, "a row has one of this; vectors run along the rows that are multiplied");
        let first = cx.load_index(indptr, r.clone());
        let end = cx.load_index(indptr, r.clone() + 1);
        cx.serial(
            "e",
            (first, end),
            1,
            "entries of a row come one after the other; vectors run along the rows that are multiplied",
            |cx, e| {
                let col = cx.load_index(indices, e.clone());
                cx.k.fill(acc, ReduceOp::Sum.identity(sum));
                cx.k.fill(one, ReduceOp::Sum.identity(sum));
                let term = |cx: &mut Cx, d: Index| {
                    let a = cx.summand(operands[1], &[r.clone(), d.clone()])?;
                    let b = cx.summand(operands[2], &[col.clone(), d])?;
                    Ok(op2(ScalarOp::Mul, a, b))
                };
                let blocks = width.clone().floor_div(lanes);
                let main = blocks.clone() * lanes;
                cx.serial(
                    "b",
                    (Index::Const(0), blocks),
                    1,
                    "vectors of a row come one after the other",
                    |cx, b| {
                        let wide = AxisKind::Vector(lanes as u32);
                        cx.loop_("l", (Index::Const(0), Index::Const(lanes)), 1, wide, |cx, l| {
                            let t = term(cx, b * lanes + l.clone())?;
                            cx.k.accumulate(ReduceOp::Sum, acc, l, t);
                            Ok(())
                        })
                    },
                )?;
                cx.serial("d", (main, width), 1, "elements that fill no vector", |cx, d| {
                    let t = term(cx, d)?;
                    cx.k.accumulate(ReduceOp::Sum, one, 0, t);
                    Ok(())
                })?;
                let total = op2(ScalarOp::Add, Expr::Lanes { op: ReduceOp::Sum, buf: acc }, load(one, 0));
                let buf = cx.buffer(out, Space::Out)?;
                cx.k.store(buf, e, as_type(total, sum, dtype));
                Ok(())
            },
        )
    })?;
    Ok(Lowered { calls: vec![cx.finish()], temps: vec![] })
}

/// A sparse sum whose rows are not vectors of a constant width: every element by itself.
fn sparse(job: &Job, out: Operand) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let node = job.graph.node(out.node).clone();
    let shape = job.graph.shape_of(out);
    let dtype = cx.dtype(out);
    let reduce = super::stage::reduction(&node.op);
    let sum = if reduce == ReduceOp::Sum { sum_type(dtype) } else { dtype };
    let acc = cx.k.buffer("acc", sum, 1, Space::Register);
    positions(&mut cx, &shape, |cx, at| {
        let part = |transpose| match transpose {
            true => (CsrPart::TwinIndptr, CsrPart::TwinIndices),
            false => (CsrPart::Indptr, CsrPart::Indices),
        };
        let (indptr, indices, x, row, weights) = match &node.op {
            Op::Spmm(op) => {
                let (p, i) = part(op.transpose);
                let (p, i) = (cx.csr_part(node.operands[0], p), cx.csr_part(node.operands[0], i));
                (
                    p,
                    Some(i),
                    node.operands[1],
                    at[0].clone(),
                    op.weighted.then(|| (node.operands[2], op.transpose)),
                )
            }
            Op::SpmmRows(op) => {
                let (p, i) = part(op.transpose);
                let (p, i) = (cx.csr_part(node.operands[0], p), cx.csr_part(node.operands[0], i));
                let rows = super::stage::pattern_rows(cx, node.operands[0], op.transpose);
                let row = cx.gathered_row(node.operands[2], &at[..1], &rows)?;
                (p, Some(i), node.operands[1], row, None)
            }
            _ => {
                let (p, i) = cx.segments(node.operands[0], node.operands[1])?;
                let weights = node.operands.get(3).map(|w| (*w, false));
                (p, i, node.operands[2], at[0].clone(), weights)
            }
        };
        let first = cx.load_index(indptr, row.clone());
        let end = cx.load_index(indptr, row + 1);
        cx.k.fill(acc, reduce.identity(sum));
        cx.serial("e", (first, end), 1, "the rows that are added up have no constant width, so each element is a sum by itself, in the order of its entries", |cx, e| {
            let mut from = at.clone();
            from[0] = match indices {
                Some(indices) => cx.load_index(indices, e.clone()),
                None => e.clone(),
            };
            let v = as_type(cx.value(x, &from)?, dtype, sum);
            let v = match weights {
                None => v,
                Some((w, transposed)) => {
                    let at = if transposed {
                        let edges = cx.csr_part(node.operands[0], CsrPart::TwinEdges);
                        cx.load_index(edges, e)
                    } else {
                        e
                    };
                    op2(ScalarOp::Mul, cx.summand(w, &[at])?, v)
                }
            };
            cx.k.accumulate(reduce, acc, 0, v);
            Ok(())
        })?;
        cx.store(out, &at, as_type(load(acc, 0), sum, dtype))
    })?;
    Ok(Lowered { calls: vec![cx.finish()], temps: vec![] })
}
