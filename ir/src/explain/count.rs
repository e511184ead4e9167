//! What a kernel does, counted from its loops at given sizes.
//!
//! Bounds that depend on an outer loop are taken at its first and its last turn, which is exact for rows in
//! chunks. Bounds that are data are taken to be those of an average row: the entries of the indices that the loop
//! walks, over the rows of the prefix that bounds it.

use super::{Scalar, Vectors};
use crate::nest::{AxisKind, BufId, Expr, Index, Kernel, Space, Stmt, ValId, VarId};
use rustc_hash::FxHashMap;

/// The counts.
pub(super) struct Counts {
    /// Elements of each buffer.
    pub length: Vec<u64>,
    /// Elements read from each buffer at positions that data decide.
    pub scattered: Vec<u64>,
    /// Arithmetic operations.
    pub operations: f64,
    /// Iterations of the parallel loop.
    pub iterations: u64,
    /// Bytes of arrays on the stack.
    pub local_bytes: u64,
    lanes: u32,
    /// Operations and accesses in vector loops, and outside.
    vector: f64,
    scalar: Vec<(String, f64)>,
}

impl Counts {
    /// How far it runs in vectors.
    pub fn vectors(&self) -> Vectors {
        let outside: f64 = self.scalar.iter().map(|(_, n)| n).sum();
        let all = (self.vector + outside).max(f64::MIN_POSITIVE);
        let mut rest: Vec<Scalar> =
            self.scalar.iter().map(|(why, n)| Scalar { why: why.clone(), share: n / all }).collect();
        rest.sort_by(|a, b| b.share.total_cmp(&a.share));
        // What cannot be seen in any figure needs no reason.
        rest.retain(|s| s.share >= 0.0005);
        Vectors { lanes: self.lanes.max(1), share: self.vector / all, rest }
    }
}

/// Counts a kernel at the given values of its dims; `scalar` says why loops are no vectors, as lowering noted it.
pub(super) fn count(kernel: &Kernel, dims: &[i64], scalar: &[(VarId, &'static str)]) -> Counts {
    let mut walk = Walk {
        kernel,
        dims,
        scalar,
        vars: FxHashMap::default(),
        loaded: FxHashMap::default(),
        counts: Counts {
            length: vec![],
            scattered: vec![0; kernel.buffers.len()],
            operations: 0.0,
            iterations: 1,
            local_bytes: 0,
            lanes: 1,
            vector: 0.0,
            scalar: vec![],
        },
        scattered: vec![0.0; kernel.buffers.len()],
    };
    for b in &kernel.buffers {
        let length = walk.value(&b.len).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        walk.counts.length.push(length);
        if b.space == Space::Stack {
            walk.counts.local_bytes += length * b.dtype.size() as u64;
        }
    }
    if let Some((lo, hi, step, _)) = kernel.parallel() {
        walk.counts.iterations = walk.turns(lo, hi, step, &[]).map_or(1, |n| n as u64);
    }
    walk.statements(&kernel.body, 1.0, Place::default());
    let scattered = walk.scattered.iter().map(|n| *n as u64).collect();
    Counts { scattered, ..walk.counts }
}

/// Where a statement stands.
#[derive(Clone, Copy, Default)]
struct Place {
    /// In a vector loop.
    vector: bool,
    /// The innermost loop around.
    inner: Option<VarId>,
}

struct Walk<'a> {
    kernel: &'a Kernel,
    dims: &'a [i64],
    /// Why lowering has loops do their own work one value at a time.
    scalar: &'a [(VarId, &'static str)],
    vars: FxHashMap<VarId, i64>,
    /// Values that were loaded, with the buffer.
    loaded: FxHashMap<ValId, BufId>,
    counts: Counts,
    scattered: Vec<f64>,
}

impl Walk<'_> {
    fn value(&self, index: &Index) -> Option<i64> {
        index.value(&|leaf| match leaf {
            Index::Dim(d) => self.dims.get(d.at()).copied(),
            Index::Var(v) => self.vars.get(v).copied(),
            _ => None,
        })
    }

    /// The buffer of the first loaded value in an index.
    fn behind(&self, index: &Index) -> Option<BufId> {
        index.find(&|leaf| match leaf {
            Index::Val(v) => self.loaded.get(v).copied(),
            _ => None,
        })
    }

    fn is_data(&self, index: &Index) -> bool {
        index.find(&|leaf| matches!(leaf, Index::Val(_)).then_some(())).is_some()
    }

    /// Turns of a loop; `None` where its bounds are data and nothing is known of them.
    fn turns(&self, lo: &Index, hi: &Index, step: i64, body: &[Stmt]) -> Option<f64> {
        if let (Some(lo), Some(hi)) = (self.value(lo), self.value(hi)) {
            let step = step.max(1);
            return Some((hi.saturating_sub(lo).saturating_add(step - 1) / step).max(0) as f64);
        }
        let prefix = self.behind(hi).or_else(|| self.behind(lo))?;
        let rows = self.counts.length.get(prefix.at())?.saturating_sub(1).max(1);
        let walked = body.iter().find_map(|s| match s {
            Stmt::Let { expr: Expr::Load { buf, index }, .. } if matches!(**index, Index::Var(_)) => {
                Some(*buf)
            }
            _ => None,
        })?;
        Some(*self.counts.length.get(walked.at())? as f64 / rows as f64)
    }

    fn statements(&mut self, body: &[Stmt], times: f64, place: Place) {
        for s in body {
            match s {
                Stmt::For { var, lo, hi, step, kind, body } => {
                    self.repeated((*var, lo, hi, *step, *kind), body, times, place);
                }
                Stmt::If { cond, then, otherwise } => {
                    self.expr(cond, times, place);
                    self.statements(then, times, place);
                    self.statements(otherwise, times, place);
                }
                Stmt::Let { val, expr } => {
                    if let Expr::Load { buf, .. } = expr {
                        self.loaded.insert(*val, *buf);
                    }
                    self.expr(expr, times, place);
                }
                Stmt::Store { buf, index, value } => {
                    self.expr(value, times, place);
                    self.access(*buf, index, times, place, false);
                }
                Stmt::Accumulate { buf, index, value, .. } => {
                    self.expr(value, times, place);
                    self.work(1.0, times, place);
                    self.access(*buf, index, times, place, false);
                    self.counts.operations += times;
                }
                Stmt::Fill { .. } | Stmt::Prefetch { .. } => {}
            }
        }
    }

    fn repeated(
        &mut self,
        (var, lo, hi, step, kind): (VarId, &Index, &Index, i64, AxisKind),
        body: &[Stmt],
        times: f64,
        place: Place,
    ) {
        let turns = self.turns(lo, hi, step, body).unwrap_or(1.0);
        if turns <= 0.0 {
            return;
        }
        if let AxisKind::Vector(n) = kind {
            self.counts.lanes = self.counts.lanes.max(n);
        }
        let vector = place.vector || matches!(kind, AxisKind::Vector(n) if n > 1);
        let inside = Place { vector, inner: Some(var) };
        // The last turn may have less to do than the others.
        let first = self.value(lo).unwrap_or(0);
        let varies = turns >= 2.0 && bounds_mention(body, var);
        let before = self.vars.insert(var, first);
        self.statements(body, times * if varies { turns - 1.0 } else { turns }, inside);
        if varies {
            self.vars.insert(var, first.saturating_add((turns as i64 - 1).saturating_mul(step)));
            self.statements(body, times, inside);
        }
        match before {
            Some(old) => self.vars.insert(var, old),
            None => self.vars.remove(&var),
        };
    }

    fn access(&mut self, buf: BufId, index: &Index, times: f64, place: Place, read: bool) {
        let space = self.kernel.buffers.get(buf.at()).map(|b| b.space);
        if !matches!(space, Some(Space::Register)) {
            self.work(1.0, times, place);
        }
        let outside = matches!(space, Some(Space::In | Space::Out | Space::InOut));
        if read && outside && self.is_data(index) && !self.walks(index) {
            self.scattered[buf.at()] += times;
        }
    }

    /// Whether a position runs along with a loop whose bounds are data, as along the entries of a row: what lies
    /// there lies side by side.
    fn walks(&self, index: &Index) -> bool {
        matches!(index, Index::Var(_))
    }

    fn expr(&mut self, e: &Expr, times: f64, place: Place) {
        match e {
            Expr::Load { buf, index } => self.access(*buf, index, times, place, true),
            Expr::Op(_, args) => {
                self.counts.operations += times;
                self.work(1.0, times, place);
                args.iter().for_each(|a| self.expr(a, times, place));
            }
            Expr::Cast(_, x) | Expr::Bits(_, x) => self.expr(x, times, place),
            Expr::Dot4 { a, b } => {
                for (buf, at) in [a, b] {
                    self.access(*buf, at, times, place, true);
                }
                self.counts.operations += 8.0 * times;
                self.work(1.0, times, place);
            }
            Expr::Lanes { buf, .. } => {
                let n = self.counts.length.get(buf.at()).copied().unwrap_or(1) as f64;
                self.counts.operations += times * (n - 1.0);
                // The tree itself works on halves of vectors.
                self.counts.vector += times * n.log2().max(1.0);
            }
            Expr::Lit(_) | Expr::Val(_) | Expr::Index(_) => {}
        }
    }

    /// Adds work to the vector loops, or to those outside with the reason.
    fn work(&mut self, amount: f64, times: f64, place: Place) {
        let amount = amount * times;
        if place.vector {
            self.counts.vector += amount;
            return;
        }
        let why = match place.inner {
            None => "outside all loops: scalars of the program".to_owned(),
            Some(var) => {
                let noted = self.scalar.iter().find(|(v, _)| *v == var).map(|(_, why)| *why);
                let name = self.kernel.vars.get(var.at()).map_or("?", String::as_str);
                format!("loop {name}: {}", noted.unwrap_or("written so by hand"))
            }
        };
        match self.counts.scalar.iter_mut().find(|(w, _)| *w == why) {
            Some((_, n)) => *n += amount,
            None => self.counts.scalar.push((why, amount)),
        }
    }
}

fn mentions(index: &Index, var: VarId) -> bool {
    match index {
        Index::Var(v) => *v == var,
        Index::Const(_) | Index::Dim(_) | Index::Val(_) => false,
        Index::Add(a, b)
        | Index::Sub(a, b)
        | Index::Mul(a, b)
        | Index::Div(a, b)
        | Index::Mod(a, b)
        | Index::Min(a, b)
        | Index::Max(a, b) => mentions(a, var) || mentions(b, var),
    }
}

/// Whether bounds of loops in a body depend on a variable.
fn bounds_mention(body: &[Stmt], var: VarId) -> bool {
    body.iter().any(|s| match s {
        Stmt::For { lo, hi, body, .. } => mentions(lo, var) || mentions(hi, var) || bounds_mention(body, var),
        Stmt::If { then, otherwise, .. } => bounds_mention(then, var) || bounds_mention(otherwise, var),
        _ => false,
    })
}
