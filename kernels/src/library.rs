//! The kernels of this crate as a library that lowering asks first.

use crate::machine::Machine;
use crate::schedule::{self, Schedule};
use crate::{conv, matmul, score_top_k, segments, sort, top_k};
use latentc_ir::graph::{Graph, NodeId, Operand};
use latentc_ir::lower::{Arg, Call, Library, Lowered, Target};
use latentc_ir::ops::Op;
use latentc_ir::types::Type;

/// Every kernel of this crate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernels;

impl From<&Target> for Machine {
    fn from(t: &Target) -> Machine {
        let Target { lanes, registers, prefetch, dot4, l1, l2 } = *t;
        Machine { lanes, registers, l1, l2, prefetch, dot4 }
    }
}

impl Library for Kernels {
    fn claim(&self, graph: &Graph, node: NodeId, name: &str, target: &Target) -> Option<Lowered> {
        let machine = Machine::from(target);
        let operands = graph.node(node).operands.clone();
        let types: Vec<Type> = operands.iter().map(|o| graph.type_of(*o).clone()).collect();
        let schedule = match &graph.node(node).op {
            Op::ScoreTopK(op) => score_top_k(name, op, &types, &machine),
            Op::TopK(op) => top_k(name, op, &types, &machine),
            Op::Sort(op) => sort(name, op, &types),
            Op::Segments(op) => segments(name, op, &types, &machine),
            Op::Conv(op) => conv(name, op, &types, &machine),
            Op::Matmul(op) => matmul::matmul(name, op, &types, &machine),
            _ => None,
        }?;
        Some(lowered(schedule, node, &operands))
    }
}

/// A schedule in the terms of lowering.
fn lowered(schedule: Schedule, node: NodeId, operands: &[Operand]) -> Lowered {
    let arg = |a: schedule::Arg| match a {
        schedule::Arg::Operand(i) => Arg::Value(operands[i]),
        schedule::Arg::Csr(i, part) => Arg::Csr(operands[i], part),
        schedule::Arg::Result(port) => Arg::Value(Operand { node, port: port as u16 }),
        schedule::Arg::Temp(i) => Arg::Temp(i),
    };
    Lowered {
        calls: schedule
            .steps
            .into_iter()
            .map(|s| Call { kernel: s.kernel, args: s.args.into_iter().map(arg).collect(), scalar: vec![] })
            .collect(),
        temps: schedule.temps.into_iter().map(|t| (t.dtype, t.len)).collect(),
    }
}
