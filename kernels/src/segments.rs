//! `segments`: a stable counting sort of positions by id.
//!
//! Counts are made in `indptr` itself: their running sum is the end of each row, and placing the positions
//! from the last to the first moves every end down to the row's start.

use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Serial, Vector};
use latentc_ir::nest::build::{KernelBuilder, load, op2};
use latentc_ir::nest::{Expr, Index, Kernel, Space};
use latentc_ir::ops::segments::Segments;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::{TensorType, Type};

use crate::lists::i32c;
use crate::{Arg, Machine, Schedule, Step};

/// Positions grouped by id, on one thread in linear time; `None` where the operand is not that of the op.
/// Every id must lie in `0..rows`.
pub fn segments(name: &str, op: &Segments, operands: &[Type], machine: &Machine) -> Option<Schedule> {
    let [Type::Tensor(ids)] = operands else { return None };
    if ids.rank() != 1 || ids.dtype != DType::I32 {
        return None;
    }
    let kernel = kernel(name, op, ids, machine);
    let args = vec![Arg::Operand(0), Arg::Result(0), Arg::Result(1)];
    Some(Schedule { temps: vec![], steps: vec![Step { kernel, args }] })
}

fn kernel(name: &str, op: &Segments, ids: &TensorType, machine: &Machine) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let (n, rows) = (k.size(&ids.shape[0]), k.size(&op.rows));
    let ids = k.buffer("ids", DType::I32, n.clone(), Space::In);
    let ends = k.buffer("indptr", DType::I32, rows.clone() + 1, Space::InOut);
    let order = k.buffer("order", DType::I32, n.clone(), Space::Out);
    let sum = k.buffer("sum", DType::I32, 1, Space::Register);
    k.for_("r", rows.clone() + 1, Vector(machine.lanes_of(DType::I32)), |k, r| k.store(ends, r, i32c(0)));
    k.for_("e", n.clone(), Serial, |k, e| {
        let id = k.load_index(ids, e);
        k.accumulate(ReduceOp::Sum, ends, id, i32c(1));
    });
    k.fill(sum, Literal::zero(DType::I32));
    k.for_("r", rows + 1, Serial, |k, r| {
        k.accumulate(ReduceOp::Sum, sum, 0, load(ends, r.clone()));
        k.store(ends, r, load(sum, 0));
    });
    k.for_("e", n.clone(), Serial, |k, e| {
        let e = n.clone() - 1 - e;
        let id = k.load_index(ids, e.clone());
        let place = k.let_(DType::I32, op2(ScalarOp::Sub, load(ends, id.clone()), i32c(1)));
        k.store(ends, id, place.into());
        k.store(order, Index::Val(place), Expr::Cast(DType::I32, Box::new(e.into())));
    });
    builder.finish()
}
