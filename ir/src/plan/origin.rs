//! What launches do of the graph: the ops, the places that the user wrote them at, and their work. For
//! profiles, explanations, and reports of what went wrong in a run; nothing is computed by it.

use crate::diag::Span;
use crate::dim::Dim;
use crate::fuse::Region;
use crate::graph::{Graph, NodeId, Operand};
use crate::lower::{Arg, Call, is_free};
use crate::nest::Space;
use crate::ops::{Op, bytes_of, elements};
use crate::plan::CsrPart;
use crate::types::Type;
use rustc_hash::{FxHashMap, FxHashSet};

/// An op and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpAt {
    /// Its name in text forms.
    pub op: &'static str,
    /// The user's place; that of the forward op for what a derivative was made of.
    pub span: Span,
}

/// What a launch does of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Launches of one number do parts of the same work: a kernel and the one that packs its operand or adds up
    /// its chunks.
    pub group: usize,
    /// The ops, producers first; the same for every launch of a group.
    pub ops: Vec<OpAt>,
    /// Floating-point operations of the whole group.
    pub flops: Dim,
    /// Bytes that this launch must move: each array that it reads or writes once, and every row of a table as
    /// often as it is gathered.
    pub bytes: Dim,
    /// Bytes of the same with every row of a table counted once: what memory must give and take, however large the
    /// caches.
    pub once: Dim,
}

impl Origin {
    /// What a copy of an array does.
    pub(super) fn copy(group: usize, span: Span, bytes: &Dim) -> Origin {
        let ops = vec![OpAt { op: "copy", span }];
        let bytes = bytes * &Dim::constant(2);
        Origin { group, ops, flops: Dim::constant(0), once: bytes.clone(), bytes }
    }
}

/// What the launches of a region have in common.
pub(super) struct RegionWork {
    group: usize,
    ops: Vec<OpAt>,
    flops: Dim,
    /// Bytes that are gathered from a table, and whether it is read as a whole besides.
    tables: FxHashMap<Arg, (Dim, bool)>,
}

impl RegionWork {
    pub fn of(graph: &Graph, region: &Region, group: usize) -> RegionWork {
        let mut ops: Vec<OpAt> = vec![];
        let mut flops = Dim::constant(0);
        for n in &region.nodes {
            let node = graph.node(*n);
            let operands: Vec<Type> = node.operands.iter().map(|o| graph.type_of(*o).clone()).collect();
            flops = &flops + &node.op.def().cost(&operands, &node.types).flops;
            let at = OpAt { op: node.op.def().name(), span: node.span.clone() };
            if !ops.contains(&at) {
                ops.push(at);
            }
        }
        RegionWork { group, ops, flops, tables: tables(graph, region) }
    }

    /// What one launch of the region does. `temps` are the bytes of the region's temporaries.
    pub fn launch(&self, graph: &Graph, call: &Call, temps: &[Dim]) -> Origin {
        let (mut bytes, mut once) = (Dim::constant(0), Dim::constant(0));
        for ((_, param), arg) in call.kernel.params().zip(&call.args) {
            let whole = match arg {
                Arg::Value(o) => bytes_of(graph.type_of(*o)),
                Arg::Csr(o, part) => csr_bytes(graph, *o, *part),
                Arg::Temp(t) => temps.get(*t).cloned().unwrap_or_else(|| 0.into()),
            };
            let read = match self.tables.get(arg) {
                Some((gathered, false)) => gathered.clone(),
                Some((gathered, true)) => gathered.max_of(&whole),
                None => whole.clone(),
            };
            // A table of which few rows are gathered is not read as a whole.
            let least = read.min_of(&whole);
            (bytes, once) = match param.space {
                Space::In => (&bytes + &read, &once + &least),
                Space::InOut => (&(&bytes + &read) + &whole, &(&once + &least) + &whole),
                _ => (&bytes + &whole, &once + &whole),
            };
        }
        Origin { group: self.group, ops: self.ops.clone(), flops: self.flops.clone(), bytes, once }
    }
}

fn csr_bytes(graph: &Graph, o: Operand, part: CsrPart) -> Dim {
    let c = graph.csr(o);
    &part.len(c) * &4.into()
}

/// The value in memory behind one that is written again by its readers.
pub(super) fn behind(graph: &Graph, mut o: Operand) -> Operand {
    while is_free(&graph.node(o.node).op) {
        match graph.node(o.node).operands.first() {
            Some(next) => o = *next,
            None => break,
        }
    }
    o
}

/// What the ops of a region gather, by the array that they gather it from.
fn tables(graph: &Graph, region: &Region) -> FxHashMap<Arg, (Dim, bool)> {
    let inside: FxHashSet<NodeId> = region.nodes.iter().copied().collect();
    let mut found: FxHashMap<Arg, (Dim, bool)> = FxHashMap::default();
    let mut gathered: FxHashSet<(NodeId, usize)> = FxHashSet::default();
    let mut add = |arg: Arg, bytes: Dim| {
        let entry = found.entry(arg).or_insert_with(|| (0.into(), false));
        entry.0 = &entry.0 + &bytes;
    };
    for n in &region.nodes {
        let node = graph.node(*n);
        // Which operand is a table, and how many of its rows are read.
        let (table, rows) = match &node.op {
            Op::GatherRows(_) => (0, elements(graph.type_of(node.operands[1]))),
            Op::Spmm(_) => (1, graph.csr(node.operands[0]).nnz.clone()),
            Op::Sddmm(_) => (2, graph.csr(node.operands[0]).nnz.clone()),
            Op::SpmmRows(_) => {
                // As if the rows picked had the average number of entries.
                let c = graph.csr(node.operands[0]);
                let count = elements(graph.type_of(node.operands[2]));
                let entries = (&c.nnz * &count).floor_div(&c.rows.max_of(&1.into()));
                for part in [CsrPart::Indices, CsrPart::TwinIndices] {
                    add(Arg::Csr(node.operands[0], part), &entries * &4.into());
                }
                (1, entries)
            }
            Op::Index(_) => {
                gathered.insert((*n, 0));
                add(Arg::Value(behind(graph, node.operands[0])), bytes_of(&node.types[0]));
                continue;
            }
            _ => continue,
        };
        gathered.insert((*n, table));
        let o = node.operands[table];
        // A scaling that is applied as rows are gathered: both of its operands are gathered.
        let sources = if inside.contains(&o.node) { graph.node(o.node).operands.to_vec() } else { vec![o] };
        for source in sources {
            let source = behind(graph, source);
            if inside.contains(&o.node) {
                gathered.extend((0..graph.node(o.node).operands.len()).map(|p| (o.node, p)));
            }
            if let Some(t) = graph.type_of(source).as_tensor() {
                let width = t.shape.get(1..).map_or_else(|| 1.into(), crate::types::product);
                add(Arg::Value(source), &(&rows * &width) * &t.dtype.size().into());
            }
        }
    }
    for n in &region.nodes {
        for (position, o) in graph.node(*n).operands.iter().enumerate() {
            if !gathered.contains(&(*n, position))
                && let Some(entry) = found.get_mut(&Arg::Value(behind(graph, *o)))
            {
                entry.1 = true;
            }
        }
    }
    found
}
