//! The writer of one kernel: what its parameters stand for, values by position, and loops.
//!
//! Values are *pulled*: [`Cx::value`] writes the expression of a graph value at an index, going through the
//! ops of the region (and through free ops such as broadcasts, whoever uses them) down to loads of buffers
//! and to values that the kernel has staged in local memory.

use super::schedule::Divide;
use super::{Arg, Call, Job, LowerError, Schedule, Target, is_inlined};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::{Graph, NodeId, Operand};
use crate::nest::build::{KernelBuilder, load};
use crate::nest::{AxisKind, BufId, Expr, Index, Space, Split, Stmt, VarId};
use crate::ops::Op;
use crate::plan::CsrPart;
use crate::types::{Type, product};
use rustc_hash::{FxHashMap, FxHashSet};

/// A value kept in local memory of the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Staged {
    /// The local buffer.
    pub buf: BufId,
    /// Elements a row.
    pub width: i64,
    /// Whether the buffer holds all rows of the tile (else the current row only).
    pub tiled: bool,
}

/// The row that is being written.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its position, one index an axis of the rows.
    pub index: Vec<Index>,
    /// Its position in row-major order.
    pub flat: Index,
    /// Its position in the tile.
    pub in_tile: Index,
    /// Sizes of the rows.
    pub shape: Vec<Dim>,
}

/// The writer of one kernel.
pub(super) struct Cx<'a> {
    pub graph: &'a Graph,
    pub target: &'a Target,
    pub schedule: Schedule,
    pub k: KernelBuilder,
    /// The nodes that this kernel computes.
    pub members: &'a FxHashSet<NodeId>,
    /// The values that are in memory once the regions that compute them are done.
    pub stored: &'a FxHashSet<Operand>,
    /// Values that share the buffer of an input: updates in place.
    pub in_place: &'a FxHashMap<Operand, Operand>,
    args: Vec<(Arg, BufId)>,
    /// The local memory that values have when they are kept.
    pub reserved: FxHashMap<Operand, Staged>,
    /// What of it has been computed where the writer stands.
    pub staged: FxHashMap<Operand, Staged>,
    /// Values bound to names, by scope.
    memo: Vec<FxHashMap<(Operand, Vec<Index>), Expr>>,
    pub row: Option<Row>,
}

impl<'a> Cx<'a> {
    pub fn new(name: &str, job: &Job<'a>) -> Cx<'a> {
        Cx {
            graph: job.graph,
            target: job.target,
            schedule: job.schedule,
            k: KernelBuilder::new(name),
            members: job.members,
            stored: job.stored,
            in_place: job.in_place,
            args: vec![],
            reserved: FxHashMap::default(),
            staged: FxHashMap::default(),
            memo: vec![FxHashMap::default()],
            row: None,
        }
    }

    /// The finished kernel with what its parameters stand for, in order.
    pub fn finish(self) -> Call {
        let scalar = self.k.notes().to_vec();
        let kernel = self.k.finish();
        // `finish` keeps parameters in the order of their declaration, which is that of `args`.
        Call { kernel, args: self.args.into_iter().map(|(a, _)| a).collect(), scalar }
    }

    /// [`Cx::finish`] for a kernel whose loops are all no vectors for one reason, where none has one of its own.
    pub fn finish_because(self, why: &'static str) -> Call {
        let mut call = self.finish();
        let vars = (0..call.kernel.vars.len() as u32).map(VarId);
        let without: Vec<VarId> = vars.filter(|v| call.scalar.iter().all(|(noted, _)| noted != v)).collect();
        call.scalar.extend(without.into_iter().map(|v| (v, why)));
        call
    }

    /// A size as an index expression.
    pub fn dim(&mut self, d: &Dim) -> Index {
        self.k.size(d)
    }

    // ---- parameters ----------------------------------------------------------------------------

    fn arg(&mut self, arg: Arg, name: String, dtype: DType, len: &Dim, space: Space) -> BufId {
        if let Some((_, buf)) = self.args.iter().find(|(a, _)| *a == arg) {
            let now = self.k.info(*buf).space;
            if now != space && now != Space::InOut {
                self.k.set_space(*buf, Space::InOut);
            }
            return *buf;
        }
        let len = self.dim(len);
        let buf = self.k.buffer(name, dtype, len, space);
        self.args.push((arg, buf));
        buf
    }

    /// The buffer that a value is read from or written to.
    pub fn buffer(&mut self, o: Operand, space: Space) -> Result<BufId, LowerError> {
        let t = match self.graph.type_of(o) {
            Type::Tensor(t) => t.clone(),
            other => return Err(self.fault(format!("a value of type {other} has no buffer"))),
        };
        let home = self.in_place.get(&o).copied().unwrap_or(o);
        let name = self.name_of(home);
        Ok(self.arg(Arg::Value(home), name, t.dtype, &t.elements(), space))
    }

    /// An array of a CSR pattern.
    pub fn csr_part(&mut self, o: Operand, part: CsrPart) -> BufId {
        let c = self.graph.csr(o).clone();
        let part = match (part, c.symmetric) {
            (CsrPart::TwinIndptr, true) => CsrPart::Indptr,
            (CsrPart::TwinIndices, true) => CsrPart::Indices,
            (p, _) => p,
        };
        let name = format!("{}_{}", self.name_of(o), part.name());
        self.arg(Arg::Csr(o, part), name, DType::I32, &part.len(&c), Space::In)
    }

    /// The buffer of pointers or positions: a value's, or the array of a pattern that it stands for.
    pub fn positions(&mut self, o: Operand) -> Result<BufId, LowerError> {
        match self.graph.node(o.node).op.clone() {
            Op::CsrArrayOf(c) if self.is_inlined(o) => {
                Ok(self.csr_part(self.graph.node(o.node).operands[0], c.part))
            }
            _ => self.buffer(o, Space::In),
        }
    }

    /// The segments of a sum over them: their pointers, and the order of what they hold where it is not that in
    /// which it stands.
    pub fn segments(
        &mut self,
        indptr: Operand,
        order: Operand,
    ) -> Result<(BufId, Option<BufId>), LowerError> {
        let own = matches!(self.graph.node(order.node).op, Op::Iota(_)) && self.is_inlined(order);
        Ok((self.positions(indptr)?, if own { None } else { Some(self.positions(order)?) }))
    }

    /// A temporary of the lowering.
    pub fn temp(&mut self, id: usize, dtype: DType, len: &Dim, space: Space) -> BufId {
        self.arg(Arg::Temp(id), format!("t{id}"), dtype, len, space)
    }

    fn name_of(&self, o: Operand) -> String {
        let node = self.graph.node(o.node);
        match &node.op {
            Op::Input(i) => i.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect(),
            op => format!("{}{}", op.def().name(), o.node.index()),
        }
    }

    /// Whether a value is computed by this kernel.
    pub fn is_member(&self, o: Operand) -> bool {
        self.members.contains(&o.node)
    }

    /// Whether a value that the kernel reads is written again by it: free, and stored nowhere.
    pub fn is_inlined(&self, o: Operand) -> bool {
        is_inlined(self.graph, self.stored, o)
    }

    pub fn fault(&self, what: impl Into<String>) -> LowerError {
        LowerError { kernel: String::new(), what: what.into() }
    }

    // ---- scopes and loops ----------------------------------------------------------------------

    /// Writes a loop; names bound in its body end with it. One whose bounds are constants without a number
    /// between them is left out: what it would read need not exist.
    pub fn loop_<R>(
        &mut self,
        name: &str,
        (lo, hi): (Index, Index),
        step: i64,
        kind: AxisKind,
        body: impl FnOnce(&mut Self, Index) -> Result<R, LowerError>,
    ) -> Result<R, LowerError> {
        let var = self.k.var(name);
        self.k.begin();
        self.memo.push(FxHashMap::default());
        let r = body(self, Index::Var(var));
        self.memo.pop();
        let body = self.k.end();
        let never = matches!((&lo, &hi), (Index::Const(lo), Index::Const(hi)) if lo >= hi);
        if !never {
            self.k.push(Stmt::For { var, lo, hi, step, kind, body });
        }
        r
    }

    /// Writes a loop whose turns come one after the other, with the reason for explanations.
    pub fn serial<R>(
        &mut self,
        name: &str,
        bounds: (Index, Index),
        step: i64,
        why: &'static str,
        body: impl FnOnce(&mut Self, Index) -> Result<R, LowerError>,
    ) -> Result<R, LowerError> {
        self.loop_(name, bounds, step, AxisKind::Serial, |cx, i| {
            cx.k.why(&i, why);
            body(cx, i)
        })
    }

    /// Writes a loop whose turns are written out, with the reason that they are no vector.
    pub fn unrolled<R>(
        &mut self,
        name: &str,
        bounds: (Index, Index),
        step: i64,
        why: &'static str,
        body: impl FnOnce(&mut Self, Index) -> Result<R, LowerError>,
    ) -> Result<R, LowerError> {
        self.loop_(name, bounds, step, AxisKind::Unroll, |cx, i| {
            cx.k.why(&i, why);
            body(cx, i)
        })
    }

    /// The kind of the kernel's outer loop, of which this is the usual division.
    pub fn divide(&self, usual: Split) -> AxisKind {
        match self.schedule.split {
            Some(Divide::Serial) => AxisKind::Serial,
            _ => AxisKind::Parallel(usual),
        }
    }

    /// Names a value, so that it is computed once.
    pub fn bind(&mut self, dtype: DType, e: Expr) -> Expr {
        match e {
            Expr::Val(_) | Expr::Lit(_) => e,
            e => Expr::Val(self.k.let_(dtype, e)),
        }
    }

    /// Names an integer to be used in positions.
    pub fn bind_index(&mut self, dtype: DType, e: Expr) -> Index {
        Index::Val(match e {
            Expr::Val(v) => v,
            e => self.k.let_(dtype, e),
        })
    }

    /// Remembers that a value at an index has been bound.
    pub fn remember(&mut self, o: Operand, at: &[Index], e: Expr) {
        if let Some(scope) = self.memo.last_mut() {
            let key = (o, places(self.graph, o, at));
            scope.insert(key, e);
        }
    }

    pub fn recall(&self, o: Operand, at: &[Index]) -> Option<Expr> {
        let key = (o, places(self.graph, o, at));
        self.memo.iter().rev().find_map(|scope| scope.get(&key).cloned())
    }

    /// An element of an index array (row pointers, columns, ids), to be used in positions.
    pub fn load_index(&mut self, buf: BufId, at: Index) -> Index {
        self.k.load_index(buf, at)
    }

    // ---- positions -----------------------------------------------------------------------------

    /// The row-major position of an index in a shape. A prefix that is the current row stays one term.
    pub fn linear(&mut self, shape: &[Dim], at: &[Index]) -> Index {
        if let Some(row) = &self.row
            && at.len() >= row.index.len()
            && at[..row.index.len()] == row.index[..]
            && shape[..row.shape.len()] == row.shape[..]
        {
            let (flat, n) = (row.flat.clone(), row.index.len());
            return self.linear_from(flat, &shape[n..], &at[n..]);
        }
        match at.split_first() {
            None => Index::Const(0),
            Some((first, rest)) => self.linear_from(first.clone(), &shape[1..], rest),
        }
    }

    fn linear_from(&mut self, start: Index, shape: &[Dim], at: &[Index]) -> Index {
        shape.iter().zip(at).fold(start, |sum, (d, i)| {
            let d = self.dim(d);
            sum * d + i.clone()
        })
    }

    /// The index of a row-major position in a shape.
    pub fn delinear(&mut self, shape: &[Dim], flat: Index) -> Vec<Index> {
        if shape.len() == 1 {
            return vec![flat];
        }
        (0..shape.len())
            .map(|axis| {
                let inner = self.dim(&product(&shape[axis + 1..]));
                let at = flat.clone().floor_div(inner);
                if axis == 0 {
                    at
                } else {
                    let size = self.dim(&shape[axis]);
                    at.modulo(size)
                }
            })
            .collect()
    }

    /// Reads a value from its buffer.
    pub fn load(&mut self, o: Operand, at: &[Index]) -> Result<Expr, LowerError> {
        let shape = self.graph.tensor(o).shape.clone();
        let index = self.linear(&shape, at);
        let buf = self.buffer(o, Space::In)?;
        Ok(load(buf, index))
    }
}

/// An index as the memory of values has it: 0 along an axis of one position, however that position was computed
/// (a reshape forgets it, a loop over rows has a name for it).
pub(super) fn places(graph: &Graph, o: Operand, at: &[Index]) -> Vec<Index> {
    let mut at = at.to_vec();
    if let Type::Tensor(t) = graph.type_of(o) {
        for (i, d) in at.iter_mut().zip(&t.shape) {
            if d.as_const() == Some(1) {
                *i = Index::Const(0);
            }
        }
    }
    at
}
