//! The order of work within a row: which member is computed at which level, and what is kept.
//!
//! A level ends where something is needed whole before work goes on: a reduction along the row, or a product
//! with a matrix. What is computed at one level and used at another is kept in local memory where computing
//! it again would cost more.

use super::{Job, LowerError};
use crate::graph::{NodeId, Operand};
use crate::ops::Op;
use crate::scalar::ScalarOp;
use crate::types::Type;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;

/// What a member is in a kernel over rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Element by element.
    Map,
    /// A reduction along the row.
    RowReduce,
    /// A sum over the entries of a sparse row.
    Edges,
    /// A product of the rows with a matrix.
    Product,
    /// A reduction over all rows.
    SumRows,
    /// A product of the transposed rows with other rows.
    OuterProduct,
}

/// A member of the region with its place in the order.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub value: Operand,
    pub role: Role,
    /// The level at which it is computed; a reduction or product is there from the next level on.
    pub level: usize,
    /// Elements a row; `None` for one, a scalar of the row.
    pub width: Option<crate::dim::Dim>,
    /// Whether it is kept in local memory.
    pub kept: bool,
    pub output: bool,
    /// The level at which it is stored, where it is an output: its own, or the last one where it takes the
    /// buffer of an input that earlier levels still read.
    pub store_level: usize,
}

/// The role of an op whose rows these are.
pub(super) fn role_of(op: &Op, rows: usize) -> Role {
    match op {
        Op::Reduce(r) if r.axes.first() == Some(&0) => Role::SumRows,
        Op::Reduce(r) => {
            debug_assert!(r.axes.iter().all(|a| *a >= rows));
            Role::RowReduce
        }
        Op::Spmm(_) | Op::SpmmRows(_) | Op::SegmentReduce(_) => Role::Edges,
        Op::Matmul(m) if m.transpose_a => Role::OuterProduct,
        Op::Matmul(_) => Role::Product,
        _ => Role::Map,
    }
}

/// The members that a value reads directly, through free ops.
pub(super) fn sources(job: &Job, o: Operand, out: &mut Vec<Operand>) {
    let mut stack = vec![o];
    let mut seen = FxHashSet::default();
    while let Some(o) = stack.pop() {
        if !seen.insert(o) {
            continue;
        }
        if job.members.contains(&o.node) {
            out.push(o);
        } else if job.is_inlined(o) {
            stack.extend(job.graph.node(o.node).operands.iter().copied());
        }
    }
}

/// The members with their levels, in topological order.
pub(super) fn members(job: &Job, rows: usize) -> Result<Vec<Member>, LowerError> {
    let outputs: FxHashSet<Operand> = job.region.outputs.iter().copied().collect();
    let mut level_of: FxHashMap<NodeId, usize> = FxHashMap::default();
    let mut members = vec![];
    for n in &job.region.nodes {
        let node = job.graph.node(*n);
        let value = Operand::from(*n);
        let role = role_of(&node.op, rows);
        let mut level = 0;
        for o in &node.operands {
            let mut from = vec![];
            sources(job, *o, &mut from);
            for s in from {
                level = level.max(level_of.get(&s.node).copied().unwrap_or(0));
            }
        }
        let ready = match role {
            Role::RowReduce | Role::Product => level + 1,
            _ => level,
        };
        level_of.insert(*n, ready);
        let Type::Tensor(t) = job.graph.type_of(value) else {
            return Err(LowerError { kernel: String::new(), what: "a member that is no tensor".into() });
        };
        let width = match role {
            Role::SumRows | Role::OuterProduct => None,
            _ => t.shape.get(rows).cloned(),
        };
        let kept = matches!(role, Role::Edges | Role::Product);
        let output = outputs.contains(&value);
        members.push(Member { value, role, level, width, kept, output, store_level: ready });
    }
    let last = members.iter().map(|m| m.store_level).max().unwrap_or(0);
    for m in &mut members {
        if job.in_place.contains_key(&m.value) {
            m.store_level = last;
        }
        if m.role == Role::RowReduce && m.store_level != last {
            // Its result is written as soon as the row is done.
            m.store_level = m.level;
        }
    }
    keep(job, &mut members);
    Ok(members)
}

/// Decides which element-by-element values are kept: operands of products, and what several levels use.
fn keep(job: &Job, members: &mut [Member]) {
    let at: FxHashMap<NodeId, usize> = members.iter().enumerate().map(|(i, m)| (m.value.node, i)).collect();
    // Levels at which each member is pulled, filled from users to producers.
    let mut pulled: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); members.len()];
    for i in (0..members.len()).rev() {
        let (role, level, value, output) =
            (members[i].role, members[i].level, members[i].value, members[i].output);
        if output {
            let stored = members[i].store_level;
            pulled[i].insert(stored);
        }
        let constant = members[i].width.as_ref().is_some_and(|d| d.as_const().is_some());
        if role == Role::Map && constant {
            let again = pulled[i].len() > 1 && weight(job, value) >= 4;
            members[i].kept |= again;
        }
        let evaluated: Vec<usize> = match role {
            Role::Map if !members[i].kept => pulled[i].iter().copied().collect(),
            _ => vec![level],
        };
        for (position, o) in job.graph.node(value.node).operands.iter().enumerate() {
            let mut from = vec![];
            sources(job, *o, &mut from);
            for s in from {
                let Some(&j) = at.get(&s.node) else { continue };
                pulled[j].extend(&evaluated);
                let direct = match role {
                    Role::Product => position == 0,
                    Role::OuterProduct => true,
                    _ => false,
                };
                if direct && members[j].role == Role::Map && members[j].width.is_some() {
                    members[j].kept = true;
                }
            }
        }
    }
}

/// About how many simple operations computing a value again takes.
fn weight(job: &Job, o: Operand) -> usize {
    let node = job.graph.node(o.node);
    if !job.members.contains(&o.node) && !job.is_inlined(o) {
        return 1;
    }
    let own = match &node.op {
        Op::Elementwise(e) => match e.op {
            ScalarOp::Div
            | ScalarOp::Rem
            | ScalarOp::Fmod
            | ScalarOp::Sqrt
            | ScalarOp::Rsqrt
            | ScalarOp::Recip => 4,
            ScalarOp::Exp
            | ScalarOp::Expm1
            | ScalarOp::Log
            | ScalarOp::Log1p
            | ScalarOp::Sin
            | ScalarOp::Cos
            | ScalarOp::Tanh
            | ScalarOp::Erf
            | ScalarOp::Sigmoid
            | ScalarOp::Softplus
            | ScalarOp::Tan
            | ScalarOp::Asin
            | ScalarOp::Acos
            | ScalarOp::Atan
            | ScalarOp::Atan2
            | ScalarOp::Sinh
            | ScalarOp::Cosh
            | ScalarOp::Asinh
            | ScalarOp::Acosh
            | ScalarOp::Atanh
            | ScalarOp::Pow => 12,
            ScalarOp::Lgamma | ScalarOp::Digamma => 40,
            _ => 1,
        },
        Op::Random(_) => 24,
        Op::Reduce(_) | Op::Spmm(_) | Op::SpmmRows(_) | Op::SegmentReduce(_) | Op::Matmul(_) => return 1,
        _ => 0,
    };
    node.operands.iter().fold(own, |sum, x| {
        let scalar = job.graph.type_of(*x).as_tensor().is_some_and(|t| t.rank() == 0);
        if scalar || sum > 64 { sum } else { sum + weight(job, *x) }
    })
}
