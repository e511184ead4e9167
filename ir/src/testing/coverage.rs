//! What random programs were made of: which ops on which types, and the circumstances under which code breaks.

use super::graphs::RandomGraph;
use crate::array::Value;
use crate::dtype::DType;
use crate::graph::{Graph, Node};
use crate::ops::Op;
use crate::scalar::{ScalarOp, Signature};
use crate::types::Type;
use std::collections::BTreeMap;
use std::fmt;

/// How often ops, types and circumstances occurred in programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Programs counted.
    pub programs: u64,
    /// Nodes, by the name of the op (of the scalar operation of an elementwise one) and the type it works on.
    pub nodes: BTreeMap<(&'static str, DType), u64>,
    /// Nodes, by their kind in the registry.
    kinds: BTreeMap<&'static str, u64>,
    /// Programs in which each of [`CIRCUMSTANCES`] holds.
    circumstances: [u64; CIRCUMSTANCES.len()],
}

/// Ops that say something to derivatives and to the order of the work. A program that runs has none of them left; the
/// laws of marks are about them.
const MARKS: [&str; 4] = ["Placeholder", "CustomVjp", "Checkpoint", "Barrier"];

/// Something that holds for a program on its inputs.
type Circumstance = fn(&RandomGraph) -> bool;

/// Circumstances under which code breaks.
pub const CIRCUMSTANCES: &[(&str, Circumstance)] = &[
    ("axes of size 0", |g| axes(g, |n| n == 0)),
    ("axes of size 1", |g| axes(g, |n| n == 1)),
    ("axes of odd primes", |g| axes(g, |n| n > 2 && (2..n).take_while(|d| d * d <= n).all(|d| n % d != 0))),
    ("a vector's width, 4 to 64", |g| axes(g, |n| n.is_power_of_two() && (4..=64).contains(&n))),
    ("one beside a vector's width", |g| axes(g, |n| [3, 5, 7, 9, 15, 17, 31, 33, 63, 65].contains(&n))),
    ("sizes known only as it runs", |g| {
        g.graph.inputs().iter().any(|n| match &g.graph.node(*n).types[0] {
            Type::Tensor(t) => t.shape.iter().any(|d| d.as_const().is_none()),
            _ => true,
        })
    }),
    ("broadcasts", |g| any(g, |op| matches!(op, Op::Broadcast(_)))),
    ("values kept and updated", |g| !g.graph.updates.is_empty()),
    ("kept values that take another's old value", |g| {
        let kept = |n| matches!(g.graph.node(n).op, Op::Input(_));
        g.graph.updates.iter().any(|(name, o)| kept(o.node) && g.graph.input(name) != Some(o.node))
    }),
    ("old values that are given out, too", |g| {
        let updated = |n| g.graph.updates.iter().any(|(name, _)| g.graph.input(name) == Some(n));
        g.graph.outputs.iter().any(|(_, o)| updated(o.node))
    }),
    ("sparse patterns", |g| g.inputs.iter().any(|(_, v)| matches!(v, Value::Csr(_)))),
    ("NaN or infinities among the inputs", |g| {
        g.inputs.iter().any(|(_, v)| match v {
            Value::Tensor(a) if a.dtype().is_float() => a.to_f64().iter().any(|x| !x.is_finite()),
            _ => false,
        })
    }),
];

fn any(g: &RandomGraph, holds: impl Fn(&Op) -> bool) -> bool {
    g.graph.topological().into_iter().any(|n| holds(&g.graph.node(n).op))
}

/// Whether an axis of an input is of such a size.
fn axes(g: &RandomGraph, holds: impl Fn(usize) -> bool) -> bool {
    g.inputs.iter().any(|(_, v)| match v {
        Value::Tensor(a) => a.shape().iter().any(|n| holds(*n)),
        Value::Csr(c) => holds(c.rows) || holds(c.cols),
        Value::RowSparse { .. } => false,
    })
}

/// The name of an op; of an elementwise one that of its scalar operation.
pub fn op_name(op: &Op) -> &'static str {
    match op {
        Op::Elementwise(e) => e.op.name(),
        op => op.def().name(),
    }
}

/// The type that a node works on: that of its first tensor, else of its result.
fn works_on(graph: &Graph, node: &Node) -> Option<DType> {
    let of = |ty: &Type| match ty {
        Type::Tensor(t) => Some(t.dtype),
        Type::RowSparse(r) => Some(r.dtype),
        Type::Csr(_) => None,
    };
    let operands = node.operands.iter().filter_map(|o| of(graph.type_of(*o)));
    // The condition of a choice says nothing of what is chosen.
    let skip = usize::from(matches!(&node.op, Op::Elementwise(e) if e.op == ScalarOp::Select));
    operands.chain(node.types.iter().filter_map(of)).nth(skip)
}

impl Coverage {
    /// Counts a program.
    pub fn add(&mut self, program: &RandomGraph) {
        self.programs += 1;
        for n in program.graph.topological() {
            let node = program.graph.node(n);
            *self.kinds.entry(node.op.kind()).or_default() += 1;
            if let Some(dtype) = works_on(&program.graph, node) {
                *self.nodes.entry((op_name(&node.op), dtype)).or_default() += 1;
            }
        }
        for (count, (_, holds)) in self.circumstances.iter_mut().zip(CIRCUMSTANCES) {
            *count += u64::from(holds(program));
        }
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Coverage) {
        self.programs += other.programs;
        for (key, n) in &other.nodes {
            *self.nodes.entry(*key).or_default() += n;
        }
        for (key, n) in &other.kinds {
            *self.kinds.entry(key).or_default() += n;
        }
        for (sum, n) in self.circumstances.iter_mut().zip(other.circumstances) {
            *sum += n;
        }
    }

    /// Ops of the registry, scalar operations, types and circumstances that did not occur.
    pub fn missing(&self) -> Vec<String> {
        let kinds = Op::KINDS.iter().filter(|k| !self.kinds.contains_key(*k));
        let kinds = kinds.filter(|k| !MARKS.contains(k)).map(|k| format!("op {k}"));
        let scalars = ScalarOp::ALL.iter().filter(|o| o.signature() != Signature::Philox).map(|o| o.name());
        let seen = |name: &str| self.nodes.keys().any(|(n, _)| *n == name);
        let scalars = scalars.filter(|o| !seen(o)).map(|o| format!("operation {o}"));
        let types = DType::ALL.iter().filter(|d| !self.nodes.keys().any(|(_, dtype)| dtype == *d));
        let types = types.map(|d| format!("type {d}"));
        let none = CIRCUMSTANCES.iter().zip(self.circumstances).filter(|(_, n)| *n == 0);
        kinds.chain(scalars).chain(types).chain(none.map(|((what, _), _)| (*what).to_owned())).collect()
    }

    /// How many programs each circumstance held for.
    pub fn circumstances(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CIRCUMSTANCES.iter().map(|(what, _)| *what).zip(self.circumstances)
    }
}

impl fmt::Display for Coverage {
    /// A table of ops and types, and one of circumstances.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types: Vec<DType> =
            DType::ALL.into_iter().filter(|d| self.nodes.keys().any(|(_, seen)| seen == d)).collect();
        write!(f, "{:18}", "op")?;
        for d in &types {
            write!(f, " {:>width$}", d.name(), width = column(*d))?;
        }
        let mut names: Vec<&str> = self.nodes.keys().map(|(name, _)| *name).collect();
        names.dedup();
        for name in names {
            write!(f, "\n{name:18}")?;
            for d in &types {
                let count = self.nodes.iter().find(|((n, dtype), _)| *n == name && dtype == d);
                let count = count.map_or(".".to_owned(), |(_, c)| c.to_string());
                write!(f, " {count:>width$}", width = column(*d))?;
            }
        }
        writeln!(f, "\n\nof {} programs", self.programs)?;
        for (what, count) in self.circumstances() {
            writeln!(f, "{count:>9} {what}")?;
        }
        Ok(())
    }
}

fn column(dtype: DType) -> usize {
    dtype.name().len().max(7)
}
