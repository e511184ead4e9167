//! Whether a checked plan looks at everything that decides where its kernels read and write.
//!
//! Every position of a load and of a store is followed back to the arrays that its value was made of, through named
//! values, local arrays and the bounds of loops. Such an array must be a pattern or a bounded input, which a run checks
//! before it begins, must have been looked at before the launch ([`CheckKind::Rows`]), or hold positions that a kernel
//! has made itself, as a sort does.

use crate::nest::{BufId, Expr, Index, Kernel, Space, Stmt, ValId, VarId};
use crate::plan::{CheckKind, Place, Program};
use crate::scalar::{ScalarOp, Signature};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// Accesses at positions that nobody has looked at, one line each.
pub fn unguarded(program: &Program) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (l, launch) in program.launches.iter().enumerate() {
        let kernel = &program.kernels[launch.kernel];
        for (accessed, source) in led(kernel) {
            let buffer = launch.buffers[source.at()];
            if !is_good(program, l, buffer) {
                let (kernel, place) = (&kernel.name, &kernel.buffers[accessed.at()].name);
                let ids = &program.buffers[buffer].name;
                found.insert(format!("launch {l}, `{kernel}`: `{ids}` says where in `{place}`"));
            }
        }
    }
    found.into_iter().collect()
}

/// Whether what a buffer holds before a launch may say where it reads and writes.
fn is_good(program: &Program, launch: usize, buffer: usize) -> bool {
    match program.buffers[buffer].place {
        Place::Csr { .. } => return true,
        Place::Input(i) if program.inputs[i].bound.is_some() => return true,
        _ => {}
    }
    let rows = |kind: &CheckKind| matches!(kind, CheckKind::Rows { ids, .. } if *ids == buffer);
    program.checks.iter().any(|c| rows(&c.kind) && c.launch <= launch)
        || (0..=launch).rev().any(|l| {
            let params = program.kernels[program.launches[l].kernel].params();
            let buffers: Vec<_> = params.map(|(_, b)| b).zip(&program.launches[l].buffers).collect();
            let makes = buffers.iter().any(|(b, at)| **at == buffer && b.space != Space::In);
            let ops = &program.origins[l].ops;
            // Counts and orders that a kernel made; numbers that were moved as they were.
            let moved = || {
                const MOVES: [&str; 6] =
                    ["reshape", "permute", "broadcast", "concat", "row_sparse_parts", "csr_array"];
                let all = ops.iter().all(|o| MOVES.contains(&o.op));
                all && buffers.iter().all(|(b, at)| b.space != Space::In || is_good(program, l, **at))
            };
            makes
                && (program.origins[l].group == program.origins[launch].group
                    || ops.iter().any(|o| matches!(o.op, "segments" | "segment_ids"))
                    || l < launch && moved())
        })
}

/// Arrays that are accessed, with the parameters that say where.
fn led(kernel: &Kernel) -> BTreeSet<(BufId, BufId)> {
    let mut flow = Flow::of(kernel);
    // What a local array holds at the end of a loop is read at its beginning.
    loop {
        let before = flow.size();
        flow.statements(&kernel.body);
        if flow.size() == before {
            return flow.accesses;
        }
    }
}

type Sources = BTreeSet<BufId>;

/// Which parameters values are made of.
struct Flow<'k> {
    kernel: &'k Kernel,
    vals: FxHashMap<ValId, Sources>,
    vars: FxHashMap<VarId, Sources>,
    locals: FxHashMap<BufId, Sources>,
    accesses: BTreeSet<(BufId, BufId)>,
}

impl<'k> Flow<'k> {
    fn of(kernel: &'k Kernel) -> Flow<'k> {
        let (vals, vars, locals) = Default::default();
        Flow { kernel, vals, vars, locals, accesses: BTreeSet::new() }
    }

    fn size(&self) -> usize {
        let all = self.vals.values().chain(self.vars.values()).chain(self.locals.values());
        all.map(BTreeSet::len).sum::<usize>() + self.accesses.len()
    }

    fn statements(&mut self, body: &[Stmt]) {
        for s in body {
            match s {
                Stmt::For { var, lo, hi, body, .. } => {
                    let bounds = &self.index(lo) | &self.index(hi);
                    self.vars.entry(*var).or_default().extend(bounds);
                    self.statements(body);
                }
                Stmt::If { cond, then, otherwise } => {
                    self.expr(cond);
                    self.statements(then);
                    self.statements(otherwise);
                }
                Stmt::Let { val, expr } => {
                    let sources = self.expr(expr);
                    self.vals.entry(*val).or_default().extend(sources);
                }
                Stmt::Store { buf, index, value } | Stmt::Accumulate { buf, index, value, .. } => {
                    let sources = self.expr(value);
                    self.access(*buf, index);
                    if self.is_local(*buf) {
                        self.locals.entry(*buf).or_default().extend(sources);
                    }
                }
                Stmt::Fill { .. } | Stmt::Prefetch { .. } => {}
            }
        }
    }

    fn is_local(&self, buf: BufId) -> bool {
        matches!(self.kernel.buffers[buf.at()].space, Space::Stack | Space::Register)
    }

    fn access(&mut self, buf: BufId, index: &Index) {
        let sources = self.index(index);
        self.accesses.extend(sources.into_iter().map(|s| (buf, s)));
    }

    fn index(&self, index: &Index) -> Sources {
        match index {
            Index::Const(_) | Index::Dim(_) => Sources::new(),
            Index::Var(v) => self.vars.get(v).cloned().unwrap_or_default(),
            Index::Val(v) => self.vals.get(v).cloned().unwrap_or_default(),
            Index::Add(a, b)
            | Index::Sub(a, b)
            | Index::Mul(a, b)
            | Index::Div(a, b)
            | Index::Mod(a, b)
            | Index::Min(a, b)
            | Index::Max(a, b) => &self.index(a) | &self.index(b),
        }
    }

    /// What a value is made of; what only decides between values, as the key of a sort does, is none of it.
    fn expr(&mut self, e: &Expr) -> Sources {
        match e {
            Expr::Lit(_) => Sources::new(),
            Expr::Val(v) => self.vals.get(v).cloned().unwrap_or_default(),
            Expr::Index(i) => self.index(i),
            Expr::Load { buf, index } => {
                self.access(*buf, index);
                match self.is_local(*buf) {
                    true => self.locals.get(buf).cloned().unwrap_or_default(),
                    false => Sources::from([*buf]),
                }
            }
            Expr::Op(op, args) => {
                let all: Vec<Sources> = args.iter().map(|a| self.expr(a)).collect();
                let from = match op {
                    ScalarOp::Select => 1,
                    op if op.signature() == Signature::Compare => all.len(),
                    _ => 0,
                };
                all[from..].iter().flatten().copied().collect()
            }
            Expr::Cast(_, x) | Expr::Bits(_, x) => self.expr(x),
            Expr::Dot4 { a, b } => {
                [a, b].into_iter().for_each(|(buf, index)| self.access(*buf, index));
                [a.0, b.0].into_iter().filter(|buf| !self.is_local(*buf)).collect()
            }
            Expr::Lanes { buf, .. } => self.locals.get(buf).cloned().unwrap_or_default(),
        }
    }
}
