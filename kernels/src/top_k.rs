//! `top_k`: the greatest elements of each row, by one pass that compares vectors with the k-th best so far.
//!
//! The first `k` elements of a row fill the list whatever they are. Of random rows few others enter, so the
//! time is that of reading; a row that ascends, or a `k` of thousands, costs `k / lanes` a new element.

use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Parallel, Serial, Unroll, Vector};
use latentc_ir::nest::build::{KernelBuilder, load, op2};
use latentc_ir::nest::{Expr, Index, Kernel, Space, Split};
use latentc_ir::ops::top_k::TopK;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::{Type, product};

use crate::lists::{Lists, beats, stride};
use crate::{Arg, Machine, Schedule, Step, Temp};

/// Longer lists are taken from rows in order instead.
const MOST: i64 = 4096;
/// Vectors that are tested together.
const GROUP: i64 = 4;
/// Bytes of a list that stays on the stack; longer ones are a temporary.
const STACK: i64 = 64 << 10;

/// The greatest elements along the last axis; `None` where the operand is not that of the op.
pub fn top_k(name: &str, op: &TopK, operands: &[Type], machine: &Machine) -> Option<Schedule> {
    let [Type::Tensor(x)] = operands else { return None };
    let (n, rows) = x.shape.split_last()?;
    if x.dtype == DType::Bool || x.dtype.is_storage() {
        return None;
    }
    let (rows, best) = (product(rows), i64::try_from(op.k).ok()?);
    if best > MOST {
        return None;
    }
    let lanes = machine.lanes_of(x.dtype);
    let list = stride(best, lanes);
    let on_stack = list.saturating_mul(x.dtype.size() as i64 + 4) <= STACK;
    let mut args = vec![Arg::Operand(0), Arg::Result(0), Arg::Result(1)];
    let mut temps = vec![];
    if !on_stack {
        let len = &rows * &list.into();
        temps.push(Temp { name: "list values", dtype: x.dtype, len: len.clone() });
        temps.push(Temp { name: "list ids", dtype: DType::I32, len });
        args.extend([Arg::Temp(0), Arg::Temp(1)]);
    }
    let kernel = kernel(name, x.dtype, (&rows, n, best), lanes, on_stack);
    Some(Schedule { temps, steps: vec![Step { kernel, args }] })
}

fn kernel(
    name: &str,
    dtype: DType,
    (rows, n, best): (&Dim, &Dim, i64),
    lanes: u32,
    on_stack: bool,
) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let (rows, n) = (k.size(rows), k.size(n));
    let (list, width) = (stride(best, lanes), i64::from(lanes));
    let x = k.buffer("x", dtype, rows.clone() * n.clone(), Space::In);
    let values = k.buffer("values", dtype, rows.clone() * best, Space::Out);
    let ids = k.buffer("ids", DType::I32, rows.clone() * best, Space::Out);
    let (len, space) =
        if on_stack { (Index::Const(list), Space::Stack) } else { (rows.clone() * list, Space::InOut) };
    let lists = Lists {
        values: k.buffer("list_values", dtype, len.clone(), space),
        ids: k.buffer("list_ids", DType::I32, len, space),
        k: best,
        lanes,
    };
    let bar = k.buffer("bar", dtype, 1, Space::Register);
    let some = k.buffer("some", DType::Bool, width, Space::Register);
    k.for_("row", rows, Parallel(Split::Even), |k, row| {
        let start = if on_stack { Index::Const(0) } else { row.clone() * list };
        let element = |p: Index| row.clone() * n.clone() + p;
        let insert = |k: &mut KernelBuilder, p: Index, beats_last: bool| {
            let value = k.let_(dtype, load(x, element(p.clone())));
            let id = k.let_(DType::I32, Expr::Cast(DType::I32, Box::new(p.into())));
            lists.insert(k, &start, (value, id), beats_last);
        };
        let raise = |k: &mut KernelBuilder| k.store(bar, 0, load(lists.values, lists.last(start.clone())));
        lists.clear(k, &start);
        k.for_("p", best, Serial, |k, p| insert(k, p, false));
        raise(k);
        let offer = |k: &mut KernelBuilder, p: Index| {
            let enters = beats(dtype, load(x, element(p.clone())), load(bar, 0));
            k.if_(
                enters,
                |k| {
                    insert(k, p, true);
                    raise(k);
                },
                |_| {},
            );
        };
        let test = |k: &mut KernelBuilder, first: Index| {
            k.for_("l", width, Vector(lanes), |k, l| {
                let enters = beats(dtype, load(x, element(first.clone() + l.clone())), load(bar, 0));
                k.store(some, l.clone(), op2(ScalarOp::Or, load(some, l), enters));
            });
        };
        let any = || Expr::Lanes { op: ReduceOp::Max, buf: some };
        let group = width * GROUP;
        let whole = Index::Const(best) + (n.clone() - best).floor_div(group) * group;
        k.for_step("p", best, whole.clone(), group, Serial, |k, p| {
            k.fill(some, Literal::zero(DType::Bool));
            k.for_step("v", 0, group, width, Unroll, |k, v| test(k, p.clone() + v));
            let look = |k: &mut KernelBuilder| {
                k.for_step("v", 0, group, width, Serial, |k, v| {
                    k.fill(some, Literal::zero(DType::Bool));
                    test(k, p.clone() + v.clone());
                    let each = |k: &mut KernelBuilder| {
                        k.for_("l", width, Serial, |k, l| offer(k, p.clone() + v.clone() + l));
                    };
                    k.if_(any(), each, |_| {});
                });
            };
            k.if_(any(), look, |_| {});
        });
        k.for_step("p", whole, n.clone(), 1, Serial, offer);
        k.for_("r", best, Vector(lanes), |k, r| {
            let (at, to) = (lists.at(start.clone(), r.clone()), row.clone() * best + r);
            k.store(values, to.clone(), load(lists.values, at.clone()));
            k.store(ids, to, load(lists.ids, at));
        });
    });
    builder.finish()
}
