//! Decompositions by orthogonal steps: reflections for `qr`, rotations for `svd`. One matrix a thread, in f64; columns lie
//! in temporaries one behind the other, so that every step walks along memory.

use super::linalg::STEPS;
use super::linalg::{Matrix, behind, each};
use super::value::as_type;
use super::{Job, LowerError, Lowered};
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::graph::Operand;
use crate::nest::build::{KernelBuilder, load, op1, op2};
use crate::nest::{AxisKind, BufId, Expr, Index, Space, Split};
use crate::ops::svd::{GREAT, ORTHOGONAL, SWEEPS};
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::product;

fn number(v: f64) -> Expr {
    Expr::Lit(Literal::float(DType::F64, v))
}

fn chosen(condition: Expr, a: Expr, b: Expr) -> Expr {
    Expr::Op(ScalarOp::Select, vec![condition, a, b])
}

fn bound(k: &mut KernelBuilder, e: Expr) -> Expr {
    Expr::Val(k.let_(DType::F64, e))
}

/// -1 for what is below 0, else 1.
fn sign_of(e: Expr) -> Expr {
    chosen(op2(ScalarOp::Lt, e, number(0.0)), number(-1.0), number(1.0))
}

/// A column: a row of a matrix that lies transposed.
#[derive(Clone)]
struct Column {
    buf: BufId,
    start: Index,
}

impl Column {
    fn at(&self, i: &Index) -> Index {
        self.start.clone() + i.clone()
    }

    fn get(&self, i: &Index) -> Expr {
        load(self.buf, self.at(i))
    }
}

impl Matrix {
    fn column(&self, j: &Index) -> Column {
        Column { buf: self.buf, start: self.at(j, &Index::Const(0)) }
    }
}

/// Sums over run-time lengths: a partial sum a lane, and what remains one by one.
#[derive(Clone, Copy)]
struct Sums {
    lanes: u32,
    partial: BufId,
    one: BufId,
}

impl Sums {
    fn new(k: &mut KernelBuilder, lanes: u32) -> Sums {
        let mut register = |name: &str, len: u32| k.buffer(name, DType::F64, i64::from(len), Space::Register);
        Sums { lanes, partial: register("partial", lanes), one: register("one", 1) }
    }

    fn wide(&self) -> AxisKind {
        AxisKind::Vector(self.lanes)
    }

    fn over(&self, k: &mut KernelBuilder, lo: &Index, hi: &Index, f: &dyn Fn(&Index) -> Expr) -> Expr {
        let lanes = i64::from(self.lanes);
        let blocks = (hi.clone() - lo.clone()).floor_div(lanes);
        k.fill(self.partial, Literal::zero(DType::F64));
        k.for_("o", blocks.clone(), AxisKind::Serial, |k, o| {
            k.for_("l", lanes, self.wide(), |k, l| {
                let i = lo.clone() + o * lanes + l.clone();
                k.accumulate(ReduceOp::Sum, self.partial, l, f(&i));
            });
        });
        k.store(self.one, 0, Expr::Lanes { op: ReduceOp::Sum, buf: self.partial });
        k.for_step("i", lo.clone() + blocks * lanes, hi.clone(), 1, AxisKind::Serial, |k, i| {
            k.accumulate(ReduceOp::Sum, self.one, 0, f(&i));
        });
        bound(k, load(self.one, 0))
    }

    fn dot(&self, k: &mut KernelBuilder, lo: &Index, hi: &Index, a: &Column, b: &Column) -> Expr {
        self.over(k, lo, hi, &|i| op2(ScalarOp::Mul, a.get(i), b.get(i)))
    }

    /// `y += by x`.
    fn add(&self, k: &mut KernelBuilder, lo: &Index, hi: &Index, by: Expr, x: &Column, y: &Column) {
        k.for_step("i", lo.clone(), hi.clone(), 1, self.wide(), |k, i| {
            k.accumulate(ReduceOp::Sum, y.buf, y.at(&i), op2(ScalarOp::Mul, by.clone(), x.get(&i)));
        });
    }
}

/// The sizes of matrices: how many there are, rows and columns.
struct Sizes {
    count: Dim,
    rows: Dim,
    cols: Dim,
}

impl Sizes {
    fn of(job: &Job, x: Operand) -> Sizes {
        let shape = job.graph.shape_of(x);
        let rank = shape.len();
        let [rows, cols] = [rank - 2, rank - 1].map(|a| shape[a].clone());
        Sizes { count: product(&shape[..rank - 2]), rows, cols }
    }

    /// Lengths of temporaries.
    fn lengths<const N: usize>(&self, of: [&[&Dim]; N]) -> [Dim; N] {
        of.map(|sizes| sizes.iter().fold(self.count.clone(), |p, d| &p * *d))
    }
}

fn lowered(call: super::Call, temps: &[Dim]) -> Lowered {
    Lowered { calls: vec![call], temps: temps.iter().map(|len| (DType::F64, len.clone())).collect() }
}

pub(super) fn qr(job: &Job, out: Operand) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let x = job.graph.node(out.node).operands[0];
    let sizes = Sizes::of(job, x);
    let lengths =
        sizes.lengths([&[&sizes.cols, &sizes.rows], &[&sizes.rows], &[&sizes.cols], &[&sizes.cols]]);
    let [count, m, n] = [&sizes.count, &sizes.rows, &sizes.cols].map(|d| cx.dim(d));
    let dtype = cx.dtype(x);
    let (x, q) = (cx.buffer(x, Space::In)?, cx.buffer(out, Space::Out)?);
    let r = cx.buffer(Operand { node: out.node, port: 1 }, Space::Out)?;
    let mut temp = |i: usize| cx.temp(i, DType::F64, &lengths[i], Space::InOut);
    let (w, scratch, diagonal, halves) = (temp(0), temp(1), temp(2), temp(3));
    let k = &mut cx.k;
    let sums = Sums::new(k, job.target.lanes);
    let reflect = |k: &mut KernelBuilder, lo: &Index, along: &Column, half: Expr, y: &Column| {
        let dot = sums.dot(k, lo, &m, along, y);
        let by = bound(k, op1(ScalarOp::Neg, op2(ScalarOp::Div, dot, half)));
        sums.add(k, lo, &m, by, along, y);
    };
    k.for_("b", count, AxisKind::Parallel(Split::Even), |k, b| {
        let start = b.clone() * m.clone() * n.clone();
        let w = Matrix { buf: w, start: start.clone(), width: m.clone() };
        let [x, q] = [x, q].map(|buf| Matrix { buf, start: start.clone(), width: n.clone() });
        let r = Matrix { buf: r, start: b.clone() * n.clone() * n.clone(), width: n.clone() };
        let [diagonal, halves] = [diagonal, halves].map(|buf| Column { buf, start: b.clone() * n.clone() });
        let column = Column { buf: scratch, start: b * m.clone() };
        k.for_("i", m.clone(), AxisKind::Serial, |k, i| {
            k.for_("j", n.clone(), AxisKind::Serial, |k, j| {
                k.store(w.buf, w.at(&j, &i), as_type(x.get(&i, &j), dtype, DType::F64));
            });
        });
        each(k, &n, |k, j| {
            let own = w.column(&j);
            let square = sums.dot(k, &j, &m, &own, &own);
            let norm = bound(k, op1(ScalarOp::Sqrt, square));
            let first = bound(k, own.get(&j));
            let below = op2(ScalarOp::Lt, first.clone(), number(0.0));
            let moved = bound(k, chosen(below, norm.clone(), op1(ScalarOp::Neg, norm.clone())));
            k.store(diagonal.buf, diagonal.at(&j), moved.clone());
            k.store(own.buf, own.at(&j), op2(ScalarOp::Sub, first.clone(), moved));
            let sum = op2(ScalarOp::Add, norm.clone(), op1(ScalarOp::Abs, first));
            let none = op2(ScalarOp::Eq, norm.clone(), number(0.0));
            let half = bound(k, chosen(none, number(1.0), op2(ScalarOp::Mul, norm, sum)));
            k.store(halves.buf, halves.at(&j), half.clone());
            behind(k, &j, &n, AxisKind::Serial, &mut |k, c| {
                reflect(k, &j, &own, half.clone(), &w.column(&c));
            });
        });
        each(k, &n, |k, c| {
            k.for_("i", m.clone(), sums.wide(), |k, i| k.store(column.buf, column.at(&i), number(0.0)));
            k.store(column.buf, column.at(&c), number(1.0));
            each(k, &(c.clone() + 1), |k, step| {
                let j = c.clone() - step;
                let half = bound(k, halves.get(&j));
                reflect(k, &j, &w.column(&j), half, &column);
            });
            let sign = bound(k, sign_of(diagonal.get(&c)));
            k.for_("i", m.clone(), AxisKind::Serial, |k, i| {
                let e = op2(ScalarOp::Mul, sign.clone(), column.get(&i));
                k.store(q.buf, q.at(&i, &c), as_type(e, DType::F64, dtype));
            });
            k.for_("i", n.clone(), AxisKind::Serial, |k, i| {
                let above = op2(ScalarOp::Mul, sign_of(diagonal.get(&i)), w.get(&c, &i));
                let here = op1(ScalarOp::Abs, diagonal.get(&i));
                let [less, equal] =
                    [ScalarOp::Lt, ScalarOp::Eq].map(|op| op2(op, i.clone().into(), c.clone().into()));
                let e = chosen(less, above, chosen(equal, here, number(0.0)));
                k.store(r.buf, r.at(&i, &c), as_type(e, DType::F64, dtype));
            });
        });
    });
    Ok(lowered(cx.finish_because(STEPS), &lengths))
}

/// What `svd` works with: columns of `w` that become orthogonal, those of `v`, and of `u` in the order of the values.
struct Svd {
    w: Matrix,
    v: Matrix,
    u: Matrix,
    m: Index,
    n: Index,
    /// Lengths of the columns of `w`, and in order.
    sizes: Column,
    sorted: Column,
    sums: Sums,
    /// The square of the length below which a column counts as 0.
    least: BufId,
    /// A number and a position of the present search.
    best: BufId,
    place: BufId,
}

pub(super) fn svd(job: &Job, out: Operand) -> Result<Lowered, LowerError> {
    let mut cx = job.cx("");
    let x = job.graph.node(out.node).operands[0];
    let sizes = Sizes::of(job, x);
    let (rows, cols) = (&sizes.rows, &sizes.cols);
    let lengths = sizes.lengths([&[cols, rows], &[cols, cols], &[cols, rows], &[cols], &[cols]]);
    let [count, m, n] = [&sizes.count, rows, cols].map(|d| cx.dim(d));
    let dtype = cx.dtype(x);
    let x = cx.buffer(x, Space::In)?;
    let mut result = |port| cx.buffer(Operand { node: out.node, port }, Space::Out);
    let (u_out, s_out, v_out) = (result(0)?, result(1)?, result(2)?);
    let mut temp = |i: usize| cx.temp(i, DType::F64, &lengths[i], Space::InOut);
    let [w, v, u, lens, sorted] = [0, 1, 2, 3, 4].map(&mut temp);
    let k = &mut cx.k;
    let sums = Sums::new(k, job.target.lanes);
    let [least, best] = ["least", "best"].map(|name| k.buffer(name, DType::F64, 1, Space::Register));
    let [place, busy] = ["place", "busy"].map(|name| k.buffer(name, DType::I32, 1, Space::Register));
    k.for_("b", count, AxisKind::Parallel(Split::Even), |k, b| {
        let (long, short) = (b.clone() * m.clone() * n.clone(), b.clone() * n.clone() * n.clone());
        let of =
            |buf, start: &Index, width: &Index| Matrix { buf, start: start.clone(), width: width.clone() };
        let [sizes, sorted] = [lens, sorted].map(|buf| Column { buf, start: b.clone() * n.clone() });
        let (m, n) = (m.clone(), n.clone());
        let (w, v, u) = (of(w, &long, &m), of(v, &short, &n), of(u, &long, &m));
        let (x, u_out, v_out) = (of(x, &long, &n), of(u_out, &long, &n), of(v_out, &short, &n));
        let s = Svd { w, v, u, m, n, sizes, sorted, sums, least, best, place };
        s.begin(k, &x, dtype);
        s.sweeps(k, busy);
        s.in_order(k, &|k, from, to, sign| {
            k.store(s_out, s.sorted.at(to), as_type(s.sizes.get(from), DType::F64, dtype));
            k.for_("i", s.n.clone(), AxisKind::Serial, |k, i| {
                let e = op2(ScalarOp::Mul, sign.clone(), s.v.get(from, &i));
                k.store(v_out.buf, v_out.at(&i, to), as_type(e, DType::F64, dtype));
            });
        });
        s.complete(k);
        k.for_("i", s.m.clone(), AxisKind::Serial, |k, i| {
            k.for_("j", s.n.clone(), AxisKind::Serial, |k, j| {
                k.store(u_out.buf, u_out.at(&i, &j), as_type(s.u.get(&j, &i), DType::F64, dtype));
            });
        });
    });
    Ok(lowered(cx.finish_because(STEPS), &lengths))
}

impl Svd {
    /// `w = x`, `v = 1`; NaN throughout where an element is no finite number.
    fn begin(&self, k: &mut KernelBuilder, x: &Matrix, dtype: DType) {
        let (m, n) = (&self.m, &self.n);
        let end = m.clone() * n.clone();
        let none = self.sums.over(k, &Index::Const(0), &end, &|i| {
            let e = load(x.buf, x.start.clone() + i.clone());
            op2(ScalarOp::Mul, as_type(e, dtype, DType::F64), number(0.0))
        });
        k.for_("i", m.clone(), AxisKind::Serial, |k, i| {
            k.for_("j", n.clone(), AxisKind::Serial, |k, j| {
                let e = as_type(x.get(&i, &j), dtype, DType::F64);
                k.store(self.w.buf, self.w.at(&j, &i), op2(ScalarOp::Add, e, none.clone()));
            });
        });
        k.for_("i", n.clone(), AxisKind::Serial, |k, i| {
            k.for_("j", n.clone(), AxisKind::Serial, |k, j| {
                let here = op2(ScalarOp::Eq, i.clone().into(), j.clone().into());
                let one = chosen(here, number(1.0), number(0.0));
                k.store(self.v.buf, self.v.at(&j, &i), op2(ScalarOp::Add, one, none.clone()));
            });
        });
    }

    /// Turns pairs of columns until all are orthogonal.
    fn sweeps(&self, k: &mut KernelBuilder, busy: BufId) {
        let flag = |v: i64| Expr::Lit(Literal::int(DType::I32, v));
        let length = Expr::Cast(DType::F64, Box::new(self.m.clone().into()));
        let near = bound(k, op2(ScalarOp::Mul, number(ORTHOGONAL), op1(ScalarOp::Sqrt, length)));
        let end = self.m.clone() * self.n.clone();
        let all = Column { buf: self.w.buf, start: self.w.start.clone() };
        let norm = self.sums.dot(k, &Index::Const(0), &end, &all, &all);
        k.store(self.least, 0, op2(ScalarOp::Mul, op1(ScalarOp::Square, near.clone()), norm));
        k.store(busy, 0, flag(1));
        k.for_("sweep", SWEEPS as i64, AxisKind::Serial, |k, _| {
            let go_on = op2(ScalarOp::Ne, load(busy, 0), flag(0));
            k.if_(
                go_on,
                |k| {
                    k.store(busy, 0, flag(0));
                    k.for_("p", self.n.clone(), AxisKind::Serial, |k, p| {
                        behind(k, &p, &self.n, AxisKind::Serial, &mut |k, q| {
                            self.pair(k, &p, &q, near.clone(), &|k| k.store(busy, 0, flag(1)));
                        });
                    });
                },
                |_| (),
            );
        });
    }

    fn pair(
        &self,
        k: &mut KernelBuilder,
        p: &Index,
        q: &Index,
        near: Expr,
        found: &dyn Fn(&mut KernelBuilder),
    ) {
        let zero = Index::Const(0);
        let (wp, wq) = (self.w.column(p), self.w.column(q));
        let a = self.sums.dot(k, &zero, &self.m, &wp, &wp);
        let b = self.sums.dot(k, &zero, &self.m, &wq, &wq);
        let c = self.sums.dot(k, &zero, &self.m, &wp, &wq);
        let both = op1(ScalarOp::Sqrt, op2(ScalarOp::Mul, a.clone(), b.clone()));
        let far = op2(ScalarOp::Gt, op1(ScalarOp::Abs, c.clone()), op2(ScalarOp::Mul, near, both));
        let lesser = op2(ScalarOp::Min, a.clone(), b.clone());
        let far = op2(ScalarOp::And, op2(ScalarOp::Gt, lesser, load(self.least, 0)), far);
        k.if_(
            far,
            |k| {
                found(k);
                let twice = op2(ScalarOp::Add, c.clone(), c);
                let zeta = bound(k, op2(ScalarOp::Div, op2(ScalarOp::Sub, b, a), twice));
                let root =
                    |x: Expr| op1(ScalarOp::Sqrt, op2(ScalarOp::Add, number(1.0), op1(ScalarOp::Square, x)));
                let below = op2(ScalarOp::Add, op1(ScalarOp::Abs, zeta.clone()), root(zeta.clone()));
                let t = bound(k, op2(ScalarOp::Div, sign_of(zeta), below));
                let cos = bound(k, op2(ScalarOp::Div, number(1.0), root(t.clone())));
                let sin = bound(k, op2(ScalarOp::Mul, cos.clone(), t));
                self.turn(k, &self.m, &wp, &wq, &cos, &sin);
                self.turn(k, &self.n, &self.v.column(p), &self.v.column(q), &cos, &sin);
            },
            |_| (),
        );
    }

    fn turn(&self, k: &mut KernelBuilder, len: &Index, p: &Column, q: &Column, cos: &Expr, sin: &Expr) {
        k.for_("i", len.clone(), self.sums.wide(), |k, i| {
            let [a, b] = [p, q].map(|c| bound(k, c.get(&i)));
            let by = |e: &Expr, x: &Expr| op2(ScalarOp::Mul, e.clone(), x.clone());
            k.store(p.buf, p.at(&i), op2(ScalarOp::Sub, by(cos, &a), by(sin, &b)));
            k.store(q.buf, q.at(&i), op2(ScalarOp::Add, by(sin, &a), by(cos, &b)));
        });
    }

    /// Puts what belongs to each column of `w` where it stands in order of size.
    fn in_order(&self, k: &mut KernelBuilder, put: &dyn Fn(&mut KernelBuilder, &Index, &Index, Expr)) {
        let zero = Index::Const(0);
        let count = |e: Expr| Expr::Cast(DType::I32, Box::new(e));
        k.for_("j", self.n.clone(), AxisKind::Serial, |k, j| {
            let own = self.w.column(&j);
            let square = self.sums.dot(k, &zero, &self.m, &own, &own);
            k.store(self.sizes.buf, self.sizes.at(&j), op1(ScalarOp::Sqrt, square));
        });
        k.for_("j", self.n.clone(), AxisKind::Serial, |k, j| {
            let size = bound(k, self.sizes.get(&j));
            k.fill(self.place, Literal::zero(DType::I32));
            k.for_("i", self.n.clone(), AxisKind::Serial, |k, i| {
                let other = bound(k, self.sizes.get(&i));
                let greater = op2(ScalarOp::Gt, other.clone(), size.clone());
                let less = op2(ScalarOp::Gt, size.clone(), other);
                let first = op2(ScalarOp::Lt, i.into(), j.clone().into());
                let first = op2(ScalarOp::And, op1(ScalarOp::Not, less), first);
                let before = op2(ScalarOp::Or, greater, first);
                k.accumulate(ReduceOp::Sum, self.place, 0, count(before));
            });
            let to = k.load_index(self.place, 0);
            let sign = self.sign(k, &j);
            put(k, &j, &to, sign.clone());
            k.store(self.sorted.buf, self.sorted.at(&to), size.clone());
            let none = op2(ScalarOp::Eq, size.clone(), number(0.0));
            let by = bound(k, chosen(none, number(1.0), size));
            k.for_("i", self.m.clone(), self.sums.wide(), |k, i| {
                let e = op2(ScalarOp::Mul, sign.clone(), self.w.get(&j, &i));
                k.store(self.u.buf, self.u.at(&to, &i), op2(ScalarOp::Div, e, by.clone()));
            });
        });
    }

    /// The sign that makes the first great element of a column of `v` positive.
    fn sign(&self, k: &mut KernelBuilder, j: &Index) -> Expr {
        k.fill(self.best, Literal::zero(DType::F64));
        k.for_("i", self.n.clone(), AxisKind::Serial, |k, i| {
            k.accumulate(ReduceOp::Max, self.best, 0, op1(ScalarOp::Abs, self.v.get(j, &i)));
        });
        let great = bound(k, op2(ScalarOp::Mul, number(GREAT), load(self.best, 0)));
        k.store(self.best, 0, number(1.0));
        k.for_("s", self.n.clone(), AxisKind::Serial, |k, step| {
            let e = bound(k, self.v.get(j, &(self.n.clone() - 1 - step)));
            let counts = op2(ScalarOp::Ge, op1(ScalarOp::Abs, e.clone()), great.clone());
            k.store(self.best, 0, chosen(counts, sign_of(e), load(self.best, 0)));
        });
        bound(k, load(self.best, 0))
    }

    /// Columns of `u` whose value counts as 0 get a direction that the columns before them leave.
    fn complete(&self, k: &mut KernelBuilder) {
        let zero = Index::Const(0);
        let (m, sums, best) = (&self.m, self.sums, self.best);
        k.for_("j", self.n.clone(), AxisKind::Serial, |k, j| {
            let square = op1(ScalarOp::Square, self.sorted.get(&j));
            let none = op2(ScalarOp::Le, square, load(self.least, 0));
            k.if_(
                none,
                |k| {
                    let own = self.u.column(&j);
                    k.store(best, 0, number(-1.0));
                    k.fill(self.place, Literal::zero(DType::I32));
                    k.for_("i", m.clone(), AxisKind::Serial, |k, i| {
                        let said = |c: &Index| op1(ScalarOp::Square, self.u.get(c, &i));
                        let said = sums.over(k, &zero, &j, &said);
                        let rest = bound(k, op2(ScalarOp::Sub, number(1.0), said));
                        let more = op2(ScalarOp::Gt, rest.clone(), load(best, 0));
                        let more = Expr::Val(k.let_(DType::Bool, more));
                        let at = Expr::Cast(DType::I32, Box::new(i.clone().into()));
                        k.store(best, 0, chosen(more.clone(), rest, load(best, 0)));
                        k.store(self.place, 0, chosen(more, at, load(self.place, 0)));
                    });
                    let axis = k.load_index(self.place, 0);
                    k.for_("i", m.clone(), sums.wide(), |k, i| k.store(own.buf, own.at(&i), number(0.0)));
                    k.store(own.buf, own.at(&axis), number(1.0));
                    for _ in 0..2 {
                        k.for_("c", j.clone(), AxisKind::Serial, |k, c| {
                            let other = self.u.column(&c);
                            let dot = sums.dot(k, &zero, m, &other, &own);
                            let by = bound(k, op1(ScalarOp::Neg, dot));
                            sums.add(k, &zero, m, by, &other, &own);
                        });
                    }
                    let square = sums.dot(k, &zero, m, &own, &own);
                    let size = bound(k, op1(ScalarOp::Sqrt, square));
                    k.for_("i", m.clone(), sums.wide(), |k, i| {
                        k.store(own.buf, own.at(&i), op2(ScalarOp::Div, own.get(&i), size.clone()));
                    });
                },
                |_| (),
            );
        });
    }
}
