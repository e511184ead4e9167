//! What a checked run looks at between launches.
//!
//! A checked plan has a kernel for every op, and every value that a check reads is in memory before the kernel
//! that uses it runs. So the first check that fails names the op that is at fault: what came before it was found
//! to be right.

use super::bounds::{are_checked, ids_of};
use super::origin::{OpAt, behind};
use crate::diag::Span;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::{Graph, NodeId, Operand};
use crate::ops::Op;
use crate::scalar::ScalarOp;
use crate::types::Type;
use rustc_hash::FxHashSet;

/// A check of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The launch that it belongs to.
    pub launch: usize,
    /// The op and where it was written.
    pub at: OpAt,
    /// Which operands the op has: what they are called, and where they were made.
    pub operands: Vec<(String, Span)>,
    /// What is looked at.
    pub kind: CheckKind,
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckKind {
    /// Before the launch: every element of this buffer lies in `0..rows`.
    Rows {
        /// Position in the plan's buffers.
        ids: usize,
        /// Which operand of the op it is.
        operand: usize,
        /// The bound.
        rows: Dim,
    },
    /// Before the launch: every element of this buffer is a number of this integer type.
    Fits {
        /// Position in the plan's buffers.
        from: usize,
        /// The type.
        to: DType,
    },
    /// Before the launch: no element of this buffer, a divisor of integers, is zero.
    Divisor {
        /// Position in the plan's buffers.
        by: usize,
    },
    /// After the launch: this buffer has no NaN where none of those read has one, and no infinity where none of
    /// those read has one or a NaN.
    Finite {
        /// Positions in the plan's buffers of what the op reads: for each operand, where it is of the result's
        /// shape and read element by element, whether it is.
        reads: Vec<(usize, Option<usize>)>,
        /// Position in the plan's buffers of the result.
        writes: usize,
        /// Whether the op means infinities, so that only NaN is looked for.
        infinite: bool,
    },
}

/// Values that checks read and that fusion might not store.
pub(crate) fn read_by_checks(graph: &Graph) -> FxHashSet<Operand> {
    let mut found = FxHashSet::default();
    for n in graph.topological() {
        found.extend(hazards(graph, n).into_iter().map(|h| h.operand(graph, n)));
    }
    found.retain(|o| matches!(graph.type_of(*o), Type::Tensor(_)));
    found
}

/// What can go wrong with the operands of a node.
#[derive(Clone, Debug)]
pub enum Hazard {
    /// The operand of this position holds row numbers.
    Rows(usize, Dim),
    /// The only operand is converted to integers that do not hold all its values.
    Fits(DType),
    /// Integers are divided by the second operand.
    Divisor,
}

impl Hazard {
    /// The position of the operand that it is about.
    pub fn position(&self) -> usize {
        match self {
            Hazard::Rows(position, _) => *position,
            Hazard::Fits(_) => 0,
            Hazard::Divisor => 1,
        }
    }

    /// The operand that it is about.
    pub(super) fn operand(&self, graph: &Graph, n: NodeId) -> Operand {
        graph.node(n).operands[self.position()]
    }
}

/// What can go wrong with the operands of a node, on data that have passed the checks of a run's inputs.
pub fn hazards(graph: &Graph, n: NodeId) -> Vec<Hazard> {
    let node = graph.node(n);
    let dtype = |position: usize| graph.type_of(node.operands[position]).as_tensor().map(|t| t.dtype);
    match &node.op {
        Op::Cast(c) => match dtype(0) {
            Some(from) if loses(from, c.to) => vec![Hazard::Fits(c.to)],
            _ => vec![],
        },
        Op::Elementwise(e) if matches!(e.op, ScalarOp::Div | ScalarOp::Rem) => match dtype(1) {
            Some(d) if !d.is_float() => vec![Hazard::Divisor],
            _ => vec![],
        },
        // Coordinates are never checked when they are given.
        Op::Index(_) | Op::IndexUpdate(_) => {
            let shape = &graph.tensor(node.operands[0]).shape;
            let count = match &node.op {
                Op::IndexUpdate(_) => node.operands.len() - 2,
                _ => node.operands.len() - 1,
            };
            (0..count).map(|axis| Hazard::Rows(1 + axis, shape[axis].clone())).collect()
        }
        _ => {
            let unchecked =
                |(position, rows): &(usize, Dim)| !are_checked(graph, node.operands[*position], rows);
            let all = ids_of(graph, n).into_iter().filter(unchecked);
            all.map(|(position, rows)| Hazard::Rows(position, rows)).collect()
        }
    }
}

/// Whether an op gives infinities that somebody wrote: a constant, a pad, the score of a place that no item takes.
pub fn means_infinity(op: &Op) -> bool {
    match op {
        Op::Fill(_) | Op::ScoreTopK(_) => true,
        Op::Pad(p) => p.value.dtype().is_float() && !p.value.as_f64().is_finite(),
        _ => false,
    }
}

/// Whether an integer type does not hold all values of another type. To bool nothing is lost: that is `!= 0`.
fn loses(from: DType, to: DType) -> bool {
    match (from.int_range(), to.int_range()) {
        _ if to == DType::Bool => false,
        (_, None) => false,
        (None, Some(_)) => true,
        (Some((a, b)), Some((c, d))) => a < c || b > d,
    }
}

/// What messages call the operands of a node, and where they were made.
pub fn operands_of(graph: &Graph, n: NodeId) -> Vec<(String, Span)> {
    let describe = |o: &Operand| {
        let node = graph.node(behind(graph, *o).node);
        let name = match &node.op {
            Op::Input(i) => format!("{} `{}`", i.kind.name(), i.name),
            op => format!("the result of `{}`", op.def().name()),
        };
        (name, node.span.clone())
    };
    graph.node(n).operands.iter().map(describe).collect()
}
