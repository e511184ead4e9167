//! Building kernels: a small writer that keeps the tables and folds constants in indices.

use super::*;
use crate::dim::{Dim, DimAlgebra, Symbol};

/// A kernel under construction.
///
/// Loops and branches take a closure that writes their body; everything is appended where the writer
/// stands.
#[derive(Debug)]
pub struct KernelBuilder {
    kernel: Kernel,
    /// The open statement lists, innermost last.
    open: Vec<Vec<Stmt>>,
    /// Why what stands in a loop, and in no vector loop within it, runs one value at a time.
    scalar: Vec<(VarId, &'static str)>,
}

impl KernelBuilder {
    /// Starts a kernel.
    pub fn new(name: impl Into<String>) -> Self {
        let kernel = Kernel {
            name: name.into(),
            dims: vec![],
            buffers: vec![],
            vars: vec![],
            vals: vec![],
            body: vec![],
        };
        KernelBuilder { kernel, open: vec![vec![]], scalar: vec![] }
    }

    /// The run-time dimension of this name, declared on first use.
    pub fn dim(&mut self, name: &str) -> Index {
        let at = self.kernel.dims.iter().position(|d| d == name).unwrap_or_else(|| {
            self.kernel.dims.push(name.to_owned());
            self.kernel.dims.len() - 1
        });
        Index::Dim(DimId(at as u32))
    }

    /// A size as an index: its symbols become dims of the kernel.
    pub fn size(&mut self, dim: &Dim) -> Index {
        dim.fold(&mut ToIndex(self))
    }

    /// Declares a buffer. [`KernelBuilder::finish`] puts the parameters before the locals, each in the order
    /// of their declaration.
    pub fn buffer(
        &mut self,
        name: impl Into<String>,
        dtype: DType,
        len: impl Into<Index>,
        space: Space,
    ) -> BufId {
        self.kernel.buffers.push(Buffer { name: name.into(), dtype, len: len.into(), space });
        BufId(self.kernel.buffers.len() as u32 - 1)
    }

    /// What is known of a declared buffer.
    pub fn info(&self, buf: BufId) -> &Buffer {
        &self.kernel.buffers[buf.at()]
    }

    /// Changes where a parameter stands (an input found to be written as well).
    pub fn set_space(&mut self, buf: BufId, space: Space) {
        self.kernel.buffers[buf.at()].space = space;
    }

    /// Appends a statement.
    pub fn push(&mut self, s: Stmt) {
        if let Some(list) = self.open.last_mut() {
            list.push(s);
        }
    }

    /// Declares a loop variable, for a loop that is put together from [`KernelBuilder::begin`] and
    /// [`KernelBuilder::end`].
    pub fn var(&mut self, name: &str) -> VarId {
        self.kernel.vars.push(name.to_owned());
        VarId(self.kernel.vars.len() as u32 - 1)
    }

    /// Opens a list of statements: what follows is appended to it until [`KernelBuilder::end`].
    pub fn begin(&mut self) {
        self.open.push(vec![]);
    }

    /// Closes the list opened last and gives it, to be made a loop's or branch's body.
    pub fn end(&mut self) -> Vec<Stmt> {
        self.open.pop().unwrap_or_default()
    }

    fn block(&mut self, body: impl FnOnce(&mut Self)) -> Vec<Stmt> {
        self.begin();
        body(self);
        self.end()
    }

    /// Writes `for name in lo..hi step step`; nothing, and `body` is not called, where the bounds are constants
    /// without a number between them.
    pub fn for_step(
        &mut self,
        name: &str,
        lo: impl Into<Index>,
        hi: impl Into<Index>,
        step: i64,
        kind: AxisKind,
        body: impl FnOnce(&mut Self, Index),
    ) {
        let (lo, hi) = (lo.into(), hi.into());
        if let (Index::Const(lo), Index::Const(hi)) = (&lo, &hi)
            && lo >= hi
        {
            return;
        }
        let var = self.var(name);
        let body = self.block(|k| body(k, Index::Var(var)));
        self.push(Stmt::For { var, lo, hi, step, kind, body });
    }

    /// Writes `for name in 0..hi`.
    pub fn for_(
        &mut self,
        name: &str,
        hi: impl Into<Index>,
        kind: AxisKind,
        body: impl FnOnce(&mut Self, Index),
    ) {
        self.for_step(name, 0, hi, 1, kind, body);
    }

    /// Writes a branch.
    pub fn if_(&mut self, cond: Expr, then: impl FnOnce(&mut Self), otherwise: impl FnOnce(&mut Self)) {
        let then = self.block(then);
        let otherwise = self.block(otherwise);
        self.push(Stmt::If { cond, then, otherwise });
    }

    /// Names a value.
    pub fn let_(&mut self, dtype: DType, expr: Expr) -> ValId {
        self.kernel.vals.push(dtype);
        let val = ValId(self.kernel.vals.len() as u32 - 1);
        self.push(Stmt::Let { val, expr });
        val
    }

    /// Loads an element of an integer buffer to be used in indices.
    pub fn load_index(&mut self, buf: BufId, index: impl Into<Index>) -> Index {
        let dtype = self.info(buf).dtype;
        Index::Val(self.let_(dtype, load(buf, index)))
    }

    /// Writes `buf[index] = value`.
    pub fn store(&mut self, buf: BufId, index: impl Into<Index>, value: Expr) {
        self.push(Stmt::Store { buf, index: index.into(), value });
    }

    /// Writes `buf[index] = op(buf[index], value)`.
    pub fn accumulate(&mut self, op: ReduceOp, buf: BufId, index: impl Into<Index>, value: Expr) {
        self.push(Stmt::Accumulate { op, buf, index: index.into(), value });
    }

    /// Sets every element of a local buffer.
    pub fn fill(&mut self, buf: BufId, value: Literal) {
        self.push(Stmt::Fill { buf, value });
    }

    /// Asks for a cache line.
    pub fn prefetch(&mut self, buf: BufId, index: impl Into<Index>) {
        self.push(Stmt::Prefetch { buf, index: index.into() });
    }

    /// Notes why the work of a loop is done one value at a time, where that is decided: for explanations. `of` is the
    /// loop's variable.
    pub fn why(&mut self, of: &Index, why: &'static str) {
        if let Index::Var(var) = of {
            self.scalar.push((*var, why));
        }
    }

    /// What was noted of loops.
    pub fn notes(&self) -> &[(VarId, &'static str)] {
        &self.scalar
    }

    /// The finished kernel.
    pub fn finish(mut self) -> Kernel {
        self.kernel.body = self.open.pop().unwrap_or_default();
        let is_param = |b: &Buffer| matches!(b.space, Space::In | Space::Out | Space::InOut);
        let order: Vec<usize> = {
            let (params, locals): (Vec<usize>, Vec<usize>) =
                (0..self.kernel.buffers.len()).partition(|i| is_param(&self.kernel.buffers[*i]));
            params.into_iter().chain(locals).collect()
        };
        if order.iter().enumerate().any(|(new, old)| new != *old) {
            let mut to = vec![BufId(0); order.len()];
            for (new, old) in order.iter().enumerate() {
                to[*old] = BufId(new as u32);
            }
            self.kernel.buffers = order.iter().map(|i| self.kernel.buffers[*i].clone()).collect();
            renumber(&mut self.kernel.body, &to);
        }
        self.kernel
    }
}

/// Gives buffers other numbers throughout.
fn renumber(body: &mut [Stmt], to: &[BufId]) {
    for s in body {
        match s {
            Stmt::For { kind, body, .. } => {
                if let AxisKind::Parallel(Split::ByPrefix { prefix, .. }) = kind {
                    *prefix = to[prefix.at()];
                }
                renumber(body, to);
            }
            Stmt::If { cond, then, otherwise } => {
                renumber_expr(cond, to);
                renumber(then, to);
                renumber(otherwise, to);
            }
            Stmt::Let { expr, .. } => renumber_expr(expr, to),
            Stmt::Store { buf, value, .. } | Stmt::Accumulate { buf, value, .. } => {
                *buf = to[buf.at()];
                renumber_expr(value, to);
            }
            Stmt::Fill { buf, .. } | Stmt::Prefetch { buf, .. } => *buf = to[buf.at()],
        }
    }
}

fn renumber_expr(e: &mut Expr, to: &[BufId]) {
    match e {
        Expr::Load { buf, .. } | Expr::Lanes { buf, .. } => *buf = to[buf.at()],
        Expr::Dot4 { a, b } => [&mut a.0, &mut b.0].into_iter().for_each(|buf| *buf = to[buf.at()]),
        Expr::Op(_, args) => args.iter_mut().for_each(|a| renumber_expr(a, to)),
        Expr::Cast(_, x) | Expr::Bits(_, x) => renumber_expr(x, to),
        Expr::Lit(_) | Expr::Val(_) | Expr::Index(_) => {}
    }
}

/// `buf[index]`.
pub fn load(buf: BufId, index: impl Into<Index>) -> Expr {
    Expr::Load { buf, index: Box::new(index.into()) }
}

/// The sum of four products of bytes from these elements on: u8 of `a`, i8 of `b`.
pub fn dot4(a: BufId, at: impl Into<Index>, b: BufId, from: impl Into<Index>) -> Expr {
    Expr::Dot4 { a: (a, Box::new(at.into())), b: (b, Box::new(from.into())) }
}

/// A scalar operation on two operands.
pub fn op2(op: ScalarOp, a: Expr, b: Expr) -> Expr {
    Expr::Op(op, vec![a, b])
}

/// A scalar operation on one operand.
pub fn op1(op: ScalarOp, a: Expr) -> Expr {
    Expr::Op(op, vec![a])
}

/// An f32 constant.
pub fn f32c(value: f64) -> Expr {
    Expr::Lit(Literal::float(DType::F32, value))
}

impl From<i64> for Index {
    fn from(c: i64) -> Index {
        Index::Const(c)
    }
}

impl From<ValId> for Expr {
    fn from(v: ValId) -> Expr {
        Expr::Val(v)
    }
}

impl From<Index> for Expr {
    fn from(i: Index) -> Expr {
        Expr::Index(Box::new(i))
    }
}

impl Index {
    /// The constant, where it is one.
    pub fn as_const(&self) -> Option<i64> {
        match self {
            Index::Const(c) => Some(*c),
            _ => None,
        }
    }

    /// Quotient rounded down.
    pub fn floor_div(self, by: impl Into<Index>) -> Index {
        match (self, by.into()) {
            (a, Index::Const(1)) => a,
            (Index::Const(a), Index::Const(b)) => Index::Const(a.div_euclid(b)),
            (a, b) => Index::Div(Box::new(a), Box::new(b)),
        }
    }

    /// Remainder, never negative.
    pub fn modulo(self, by: impl Into<Index>) -> Index {
        match (self, by.into()) {
            (_, Index::Const(1)) => Index::Const(0),
            (Index::Const(a), Index::Const(b)) => Index::Const(a.rem_euclid(b)),
            (a, b) => Index::Mod(Box::new(a), Box::new(b)),
        }
    }

    /// The lesser.
    pub fn min(self, other: impl Into<Index>) -> Index {
        match (self, other.into()) {
            (Index::Const(a), Index::Const(b)) => Index::Const(a.min(b)),
            (a, b) => Index::Min(Box::new(a), Box::new(b)),
        }
    }

    /// The greater.
    pub fn max(self, other: impl Into<Index>) -> Index {
        match (self, other.into()) {
            (Index::Const(a), Index::Const(b)) => Index::Const(a.max(b)),
            (a, b) => Index::Max(Box::new(a), Box::new(b)),
        }
    }
}

macro_rules! index_op {
    ($trait:ident, $method:ident, $variant:ident, |$a:ident, $b:ident| $fold:expr, $left:expr, $right:expr) => {
        impl<R: Into<Index>> std::ops::$trait<R> for Index {
            type Output = Index;
            fn $method(self, other: R) -> Index {
                let (left, right): (Option<i64>, Option<i64>) = ($left, $right);
                match (self, other.into()) {
                    (Index::Const($a), Index::Const($b)) => Index::Const($fold),
                    (Index::Const(a), b) if Some(a) == left => b,
                    (a, Index::Const(b)) if Some(b) == right => a,
                    (a, b) => Index::$variant(Box::new(a), Box::new(b)),
                }
            }
        }
    };
}

index_op!(Add, add, Add, |a, b| a.wrapping_add(b), Some(0), Some(0));
index_op!(Sub, sub, Sub, |a, b| a.wrapping_sub(b), None, Some(0));
index_op!(Mul, mul, Mul, |a, b| a.wrapping_mul(b), Some(1), Some(1));

/// Sizes become index expressions.
struct ToIndex<'k>(&'k mut KernelBuilder);

impl DimAlgebra<Index> for ToIndex<'_> {
    fn constant(&mut self, value: i64) -> Index {
        Index::Const(value)
    }
    fn symbol(&mut self, symbol: &Symbol) -> Index {
        self.0.dim(&symbol.name)
    }
    fn add(&mut self, a: Index, b: Index) -> Index {
        a + b
    }
    fn mul(&mut self, a: Index, b: Index) -> Index {
        a * b
    }
    fn floor_div(&mut self, a: Index, b: Index) -> Index {
        a.floor_div(b)
    }
    fn min(&mut self, a: Index, b: Index) -> Index {
        a.min(b)
    }
    fn max(&mut self, a: Index, b: Index) -> Index {
        a.max(b)
    }
}
