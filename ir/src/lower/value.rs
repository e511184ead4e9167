//! The expression of a graph value at an index.

use super::LowerError;
use super::cx::Cx;
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::graph::Operand;
use crate::nest::build::{load, op2};
use crate::nest::{Expr, Index, Space};
use crate::ops::{Class, Op};
use crate::plan::CsrPart;
use crate::plan::bounds::are_checked;
use crate::scalar::ScalarOp;
use crate::types::{Shape, Type};

/// Whether an op is free: written again by every kernel that uses it, never a kernel's work of its own unless
/// its result must be in memory.
pub fn is_free(op: &Op) -> bool {
    match op {
        Op::Fill(_)
        | Op::Iota(_)
        | Op::Random(_)
        | Op::Broadcast(_)
        | Op::Reshape(_)
        | Op::Permute(_)
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Reverse(_)
        | Op::Windows(_)
        | Op::Spread(_)
        | Op::CsrDegree(_)
        | Op::CsrArrayOf(_)
        | Op::After(_)
        | Op::Size(_)
        | Op::RowSparse(_)
        | Op::RowSparseParts(_)
        | Op::Barrier(_) => true,
        op => op.def().class() == Class::Leaf,
    }
}

/// The type in which elements of a type are added up: f32 for narrower floats, of which a running sum soon
/// takes no more.
pub(super) fn sum_type(dtype: DType) -> DType {
    match dtype {
        DType::Bf16 | DType::F16 => DType::F32,
        other => other,
    }
}

/// A value of one type as one of another.
pub(super) fn as_type(e: Expr, from: DType, to: DType) -> Expr {
    if from == to { e } else { Expr::Cast(to, Box::new(e)) }
}

impl Cx<'_> {
    /// The expression of a value at an index, one position an axis.
    pub fn value(&mut self, o: Operand, at: &[Index]) -> Result<Expr, LowerError> {
        if let Some(e) = self.recall(o, at) {
            return Ok(e);
        }
        if let Some(s) = self.staged.get(&o).copied() {
            return self.staged_value(o, s, at);
        }
        let op = self.graph.node(o.node).op.clone();
        let operands = self.graph.node(o.node).operands.clone();
        if !self.is_member(o) && !self.is_inlined(o) {
            return self.load(o, at);
        }
        let e = match &op {
            Op::Input(_) => return self.load(o, at),
            Op::Fill(f) => return Ok(Expr::Lit(f.value)),
            Op::Size(s) => {
                let dim = s.dim.clone();
                return Ok(self.dim(&dim).into());
            }
            Op::Iota(i) => as_type(at[i.axis].clone().into(), DType::I64, i.dtype),
            Op::Elementwise(e) => {
                let args = operands.iter().map(|x| self.value(*x, at)).collect::<Result<_, _>>()?;
                Expr::Op(e.op, args)
            }
            Op::Cast(c) => Expr::Cast(c.to, Box::new(self.value(operands[0], at)?)),
            Op::Bitcast(c) => Expr::Bits(c.to, Box::new(self.value(operands[0], at)?)),
            Op::Broadcast(b) => {
                let inner: Vec<Index> = b.axes.iter().map(|a| at[*a].clone()).collect();
                return self.value(operands[0], &inner);
            }
            Op::Permute(p) => {
                let mut inner = vec![Index::Const(0); at.len()];
                for (i, a) in p.axes.iter().enumerate() {
                    inner[*a] = at[i].clone();
                }
                return self.value(operands[0], &inner);
            }
            Op::Reshape(_) => {
                let (from, to) = (self.graph.shape_of(operands[0]), self.graph.shape_of(o));
                let inner = self.reshaped(&to, &from, at);
                return self.value(operands[0], &inner);
            }
            Op::Slice(s) => {
                let mut inner = at.to_vec();
                let start = self.dim(&s.start);
                inner[s.axis] = at[s.axis].clone() * s.step + start;
                return self.value(operands[0], &inner);
            }
            Op::Pad(p) => {
                let size = self.graph.shape_of(operands[0])[p.axis].clone();
                let (before, size) = (self.dim(&p.before), self.dim(&size));
                let end = before.clone() + size.clone();
                let i = at[p.axis].clone();
                let inside = op2(
                    ScalarOp::And,
                    op2(ScalarOp::Ge, i.clone().into(), before.clone().into()),
                    op2(ScalarOp::Lt, i.clone().into(), end.into()),
                );
                let mut inner = at.to_vec();
                inner[p.axis] = (i - before).max(0).min((size - 1).max(0));
                let x = self.value(operands[0], &inner)?;
                Expr::Op(ScalarOp::Select, vec![inside, x, Expr::Lit(p.value)])
            }
            Op::Reverse(r) => {
                let (axes, shape) = (r.axes.clone(), self.graph.shape_of(o));
                let mut inner = at.to_vec();
                for a in axes {
                    let size = self.dim(&shape[a]);
                    inner[a] = size - 1 - at[a].clone();
                }
                return self.value(operands[0], &inner);
            }
            Op::Windows(w) => self.windows(&w.window, w.value, operands[0], at)?,
            Op::Spread(s) => self.spread(&s.window, operands[0], at)?,
            Op::Random(r) => {
                let shape = r.shape.clone();
                let index = self.linear(&shape, at);
                let seed = self.value(operands[0], &[])?;
                let step = self.value(operands[1], &[])?;
                let stream = Expr::Lit(Literal::int(DType::I64, i64::from(r.stream)));
                Expr::Op(ScalarOp::Philox, vec![index.into(), seed, stream, step])
            }
            Op::GatherRows(_) => {
                let n = self.graph.shape_of(operands[1]).len();
                let rows = self.graph.shape_of(operands[0])[0].clone();
                let id = self.gathered_row(operands[1], &at[..n], &rows)?;
                let mut inner = vec![id];
                inner.extend_from_slice(&at[n..]);
                return self.value(operands[0], &inner);
            }
            Op::Index(_) => {
                let n = self.graph.tensor(operands[1]).rank();
                let mut inner = self.block(operands[0], &operands[1..], &at[..n])?;
                inner.extend_from_slice(&at[n..]);
                return self.value(operands[0], &inner);
            }
            Op::CsrDegree(d) => {
                let part = if d.transpose { CsrPart::TwinIndptr } else { CsrPart::Indptr };
                let indptr = self.csr_part(operands[0], part);
                let r = at[0].clone();
                op2(ScalarOp::Sub, load(indptr, r.clone() + 1), load(indptr, r))
            }
            Op::CsrArrayOf(c) => load(self.csr_part(operands[0], c.part), at[0].clone()),
            // When is settled by the order of kernels; what it is, is its operand.
            Op::After(_) => return self.value(operands[0], at),
            Op::RowSparseParts(_) => {
                let made = self.graph.node(operands[0].node).operands.clone();
                return match made.get(usize::from(o.port)) {
                    Some(part) => self.value(*part, at),
                    None => Err(self.fault("row-sparse parts of a value that `row_sparse` did not make")),
                };
            }
            other => {
                return Err(self.fault(format!("`{}` is read before it is computed", other.def().name())));
            }
        };
        // Values with several uses are computed once a scope.
        if self.graph.uses(o).len() > 1 {
            let dtype = self.graph.dtype_of(o);
            let e = self.bind(dtype, e);
            self.remember(o, at, e.clone());
            return Ok(e);
        }
        Ok(e)
    }

    /// A value in the type in which values of its type are added up.
    pub fn summand(&mut self, o: Operand, at: &[Index]) -> Result<Expr, LowerError> {
        let dtype = self.dtype(o);
        Ok(as_type(self.value(o, at)?, dtype, sum_type(dtype)))
    }

    /// The row that an id names, bound once a scope.
    pub fn gathered_row(&mut self, ids: Operand, at: &[Index], rows: &Dim) -> Result<Index, LowerError> {
        let index = self.position(ids, at)?;
        if are_checked(self.graph, ids, rows) {
            return Ok(index);
        }
        // Ids that a program computes are kept in bounds here; those that it is given were checked before.
        let last = self.dim(rows) - 1;
        Ok(index.min(last).max(0))
    }

    /// The block of a tensor that coordinates name, one index for each of them: within its axes, where these have
    /// some position.
    pub fn block(&mut self, x: Operand, of: &[Operand], at: &[Index]) -> Result<Vec<Index>, LowerError> {
        let shape = self.graph.shape_of(x);
        let each = of.iter().zip(&shape).map(|(coordinate, size)| {
            let last = self.dim(size) - 1;
            Ok(self.position(*coordinate, at)?.min(last).max(0))
        });
        each.collect()
    }

    /// An integer value as a position, bound once a scope.
    fn position(&mut self, o: Operand, at: &[Index]) -> Result<Index, LowerError> {
        let e = self.value(o, at)?;
        match e {
            Expr::Index(i) => return Ok(*i),
            Expr::Lit(l) => return Ok(Index::Const(l.as_i64())),
            _ => {}
        }
        let dtype = self.graph.dtype_of(o);
        let index = self.bind_index(dtype, e);
        if let Index::Val(v) = index {
            self.remember(o, at, Expr::Val(v));
        }
        Ok(index)
    }

    fn staged_value(&mut self, o: Operand, s: super::cx::Staged, at: &[Index]) -> Result<Expr, LowerError> {
        let Some(row) = self.row.clone() else {
            return Err(self.fault("a staged value is read outside its row"));
        };
        let rows = row.index.len();
        let (here, asked) =
            (super::cx::places(self.graph, o, &row.index), super::cx::places(self.graph, o, at));
        if at.len() < rows || asked[..rows] != here[..] {
            let name = self.graph.node(o.node).op.def().name();
            return Err(self.fault(format!("the staged result of `{name}` is read at another row")));
        }
        let inner = at.get(rows).cloned().unwrap_or(Index::Const(0));
        let index = if s.tiled { row.in_tile * s.width + inner } else { inner };
        Ok(load(s.buf, index))
    }

    /// The index in `to` of the element that has index `at` in `from`.
    fn reshaped(&mut self, from: &Shape, to: &Shape, at: &[Index]) -> Vec<Index> {
        let one = |d: &Dim| d.as_const() == Some(1);
        let kept: Vec<Index> = from.iter().zip(at).filter(|(d, _)| !one(d)).map(|(_, i)| i.clone()).collect();
        let dense = |s: &Shape| s.iter().filter(|d| !one(d)).cloned().collect::<Vec<_>>();
        if dense(from) == dense(to) {
            // Only axes of size one come and go.
            let mut kept = kept.into_iter();
            return to
                .iter()
                .map(|d| if one(d) { Index::Const(0) } else { kept.next().unwrap_or(Index::Const(0)) })
                .collect();
        }
        let flat = self.linear(from, at);
        self.delinear(to, flat)
    }

    /// Writes a value to its buffer.
    pub fn store(&mut self, o: Operand, at: &[Index], value: Expr) -> Result<(), LowerError> {
        let shape = self.graph.shape_of(o);
        let index = self.linear(&shape, at);
        let buf = self.buffer(o, Space::Out)?;
        self.k.store(buf, index, value);
        Ok(())
    }

    /// The element type of a tensor value.
    pub fn dtype(&self, o: Operand) -> DType {
        match self.graph.type_of(o) {
            Type::Tensor(t) => t.dtype,
            Type::RowSparse(r) => r.dtype,
            Type::Csr(_) => DType::I32,
        }
    }
}
