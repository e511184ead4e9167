//! Functions over a batch: what a part of a graph computes from one slice, for all slices at once.
//!
//! Every op says in its file how it takes operands with one more axis in front ([`OpDef::batch`](crate::ops::OpDef::batch)).
//! One that does not, and has a body, is taken as its body; one that has neither is an error with its name. Nothing is
//! ever done slice by slice.

use crate::diag::{Diag, Span};
use crate::dim::{Dim, Proof};
use crate::dtype::DType;
use crate::graph::{Graph, NodeId, Operand, Operands};
use crate::ops::{Axes, Op};
use crate::types::{Shape, Type};
use rustc_hash::{FxHashMap, FxHashSet};

/// What a rule for batches works with.
#[derive(Debug)]
pub struct Batch<'g> {
    /// The graph to write into.
    pub graph: &'g mut Graph,
    /// The operands, those of a batch with the axis of the slices in front.
    pub operands: Operands,
    /// Which operands have that axis; at least one.
    pub batched: Vec<bool>,
    /// The number of slices.
    pub size: Dim,
}

impl Batch<'_> {
    /// An operand with the axis of the slices in front, the same in each where it has none. A pattern stays as it is.
    pub fn lead(&mut self, operand: usize) -> Operand {
        let x = self.operands[operand];
        if self.batched[operand] { x } else { lead(self.graph, x, &self.size) }
    }

    /// Every operand with the axis of the slices in front.
    pub fn all(&mut self) -> Vec<Operand> {
        (0..self.operands.len()).map(|i| self.lead(i)).collect()
    }

    /// The sizes of one slice of an operand.
    pub fn slice(&self, operand: usize) -> Shape {
        let shape = self.graph.shape_of(self.operands[operand]);
        shape[usize::from(self.batched[operand])..].into()
    }

    /// The number of slices, then these sizes.
    pub fn with_size(&self, shape: &[Dim]) -> Shape {
        std::iter::once(&self.size).chain(shape).cloned().collect()
    }

    /// The op as it is, on every operand with the axis of the slices: for ops that work on the last axes.
    pub fn same(&mut self, op: impl Into<Op>) -> Vec<Operand> {
        let operands = self.all();
        self.graph.emit_all(op, &operands)
    }

    /// The number of each slice, over the sizes of one slice of an operand.
    pub fn numbers(&mut self, operand: usize, dtype: DType) -> Operand {
        let shape = self.with_size(&self.slice(operand));
        self.graph.iota(shape, 0, dtype)
    }

    /// The axis of the slices moved from one place to another.
    pub fn moved(&mut self, x: Operand, from: usize, to: usize) -> Operand {
        let mut axes: Vec<usize> = (0..self.graph.shape_of(x).len()).collect();
        let axis = axes.remove(from);
        axes.insert(to, axis);
        self.graph.permute(x, axes.into_iter().collect())
    }
}

/// Axes behind one that is new.
pub(crate) fn behind_one(axes: &[usize]) -> Axes {
    axes.iter().map(|a| a + 1).collect()
}

fn lead(graph: &mut Graph, x: Operand, size: &Dim) -> Operand {
    let Type::Tensor(t) = graph.type_of(x) else { return x };
    let shape: Shape = std::iter::once(size).chain(&t.shape).cloned().collect();
    let axes = (1..shape.len()).collect();
    graph.broadcast(x, shape, axes)
}

/// Writes what `results` are for every slice of a batch. Each pair of `along` is a value that stands for one slice, and
/// the slices of it: a tensor of its type with one more axis in front. The results have that axis in front; one that
/// depends on no slice is the same in each.
///
/// # Errors
/// Where the slices are not of the types of what stands for them, or not equally many; an op without a rule, by its name,
/// at the line that wrote it.
pub fn batch(
    graph: &mut Graph,
    results: &[Operand],
    along: &[(Operand, Operand)],
) -> Result<Vec<Operand>, Diag> {
    let size = size_of(graph, along)?;
    let mut writer = Writer { new: along.iter().copied().collect(), size, graph };
    writer.gradients_by_hand(results);
    let order = {
        let new = &writer.new;
        writer.graph.behind(results, |o| new.contains_key(&o))
    };
    let before = writer.graph.at.take();
    let written = order.into_iter().try_for_each(|n| writer.node(n));
    writer.graph.at = before;
    written?;
    let Writer { new, size, graph } = writer;
    Ok(results.iter().map(|o| new.get(o).copied().unwrap_or_else(|| lead(graph, *o, &size))).collect())
}

fn size_of(graph: &Graph, along: &[(Operand, Operand)]) -> Result<Dim, Diag> {
    let mut size: Option<Dim> = None;
    for (one, all) in along {
        let span = || graph.node(all.node).span.clone();
        let (Type::Tensor(x), Type::Tensor(xs)) = (graph.type_of(*one), graph.type_of(*all)) else {
            let message = format!("a batch is of tensors, {} found", graph.type_of(*all));
            return Err(Diag::new(message, span(), "these slices"));
        };
        let fits = xs.rank() == x.rank() + 1 && xs.dtype == x.dtype && xs.shape[1..] == x.shape[..];
        if !fits {
            let message = format!("{} has no slices {}", graph.type_of(*all), graph.type_of(*one));
            return Err(Diag::new(message, span(), "these slices"));
        }
        match &size {
            Some(known) if known.eq_proof(&xs.shape[0]) != Proof::True => {
                let message =
                    format!("batches of {known} and of {} slices, which cannot be shown equal", xs.shape[0]);
                return Err(Diag::new(message, span(), "these slices"));
            }
            _ => size = Some(xs.shape[0].clone()),
        }
    }
    size.ok_or_else(|| Diag::new("a batch of nothing", Span::none(), "here"))
}

struct Writer<'g> {
    graph: &'g mut Graph,
    /// What has the axis of the slices, by what stands for one of them.
    new: FxHashMap<Operand, Operand>,
    size: Dim,
}

impl Writer<'_> {
    /// Gradients by hand of values that depend on slices are functions of a gradient that has slices, too.
    fn gradients_by_hand(&mut self, results: &[Operand]) {
        let order = self.graph.behind(results, |_| false);
        loop {
            let mut depends: FxHashSet<NodeId> = self.new.keys().map(|o| o.node).collect();
            let mut found = None;
            for n in &order {
                let node = self.graph.node(*n);
                if !node.operands.iter().any(|o| depends.contains(&o.node)) {
                    continue;
                }
                depends.insert(*n);
                if let (Op::CustomVjp(_), Some(dy)) = (&node.op, node.operands.get(1))
                    && !self.new.contains_key(dy)
                {
                    found = Some(*dy);
                    break;
                }
            }
            let Some(dy) = found else { return };
            let shape = self.graph.shape_of(dy);
            let shape = std::iter::once(self.size.clone()).chain(shape);
            let ty = Type::tensor(self.graph.dtype_of(dy), shape);
            let slices = self.graph.placeholder(ty);
            self.new.insert(dy, slices);
        }
    }

    fn node(&mut self, n: NodeId) -> Result<(), Diag> {
        let node = self.graph.node(n).clone();
        if self.new.contains_key(&n.into()) || !node.operands.iter().any(|o| self.new.contains_key(o)) {
            return Ok(());
        }
        let diag = |message: String, graph: &Graph| {
            let name = graph.node(n).op.def().name();
            Diag::new(message, node.span.clone(), format!("`{name}` here"))
                .help(format!("compute `{name}` outside of the function, or write the batch out in it"))
        };
        self.graph.at = Some(node.span.clone());
        let mut cx = Batch {
            operands: node.operands.iter().map(|o| self.new.get(o).copied().unwrap_or(*o)).collect(),
            batched: node.operands.iter().map(|o| self.new.contains_key(o)).collect(),
            size: self.size.clone(),
            graph: self.graph,
        };
        let made = node.op.def().batch(&mut cx).map_err(|message| diag(message, self.graph))?;
        if let Some(made) = made {
            for (port, value) in made.into_iter().enumerate() {
                self.new.insert(Operand { node: n, port: port as u16 }, value);
            }
            return Ok(());
        }
        let Some(body) = node.op.def().body(self.graph, &node.operands) else {
            let name = node.op.def().name();
            return Err(diag(format!("`{name}` has no rule for a batch of slices"), self.graph));
        };
        let body = body?;
        let within = {
            let new = &self.new;
            self.graph.behind(&body, |o| new.contains_key(&o) || node.operands.contains(&o))
        };
        for m in within {
            self.node(m)?;
        }
        for (port, value) in body.into_iter().enumerate() {
            if let Some(value) = self.new.get(&value).copied() {
                self.new.insert(Operand { node: n, port: port as u16 }, value);
            }
        }
        Ok(())
    }
}
