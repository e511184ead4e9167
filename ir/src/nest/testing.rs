//! Random kernels that keep the rules, with data for them.
//!
//! A kernel is written from a list of numbers, each a choice; when the list is at its end every choice is the
//! first one, so a shorter list is a simpler kernel and shrinking finds a small one.

use super::build::{KernelBuilder, load};
use super::*;
use crate::array::Array;
use proptest::prelude::*;

/// A kernel and what to run it on.
#[derive(Clone)]
pub struct Case {
    /// The kernel.
    pub kernel: Kernel,
    /// Its parameters.
    pub params: Vec<Array>,
    /// Its dimensions.
    pub dims: Vec<i64>,
    /// The operation without an exact instruction that ends some stores, if there is one.
    pub inexact: Option<ScalarOp>,
    /// Numbers for the test's own choices.
    pub choice: u32,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}dims {:?}, choice {}", self.kernel, self.dims, self.choice)?;
        let named = self.kernel.buffers.iter().zip(&self.params);
        named.into_iter().try_for_each(|(b, a)| write!(f, "\n{}: {a:?}", b.name))
    }
}

/// Kernels that keep the rules, on data for which every position is in bounds.
pub fn cases() -> impl Strategy<Value = Case> {
    proptest::collection::vec(any::<u32>(), 1..300).prop_map(|words| case(&words))
}

/// The kernel and the data that a list of numbers stands for.
pub fn case(words: &[u32]) -> Case {
    let mut tape = Tape { words, at: 0 };
    let d = tape.of(&[
        DType::F32,
        DType::I32,
        DType::F64,
        DType::Bf16,
        DType::F16,
        DType::I64,
        DType::U32,
        DType::U8,
        DType::F32,
        DType::I8,
        DType::I16,
        DType::U16,
        DType::U64,
    ]);
    let other =
        tape.of(&[DType::F32, DType::I32, DType::I64, DType::Bool, DType::F16, DType::F64, DType::Bf16]);
    let rows = tape.of(&[1, 2, 3, 5]);
    let cols = tape.of(&[1i64, 8, 7, 16, 17, 33, 0, 64, 9, 70]);
    let fixed = cols > 0 && tape.flag();
    let mut k = KernelBuilder::new("random");
    let row_dim = k.dim("rows");
    let col_dim = if fixed { Index::Const(cols) } else { k.dim("cols") };
    let nnz = k.dim("nnz");
    let whole = row_dim.clone() * col_dim.clone();
    let a = k.buffer("a", d, whole.clone(), Space::In);
    let b = k.buffer("b", d, col_dim.clone(), Space::In);
    let c = k.buffer("c", other, col_dim.clone(), Space::In);
    let ptr = k.buffer("ptr", DType::I32, row_dim.clone() + 1, Space::In);
    let ids = k.buffer("ids", DType::I32, nnz.clone(), Space::In);
    let y = k.buffer("y", d, whole.clone(), Space::Out);
    let z = k.buffer("z", d, whole, Space::InOut);
    let sums = k.buffer("sums", d, row_dim.clone(), Space::Out);
    let counts = k.buffer("counts", d, col_dim.clone(), Space::InOut);

    // Data: rows of a sparse matrix of any lengths, no entries where there are no columns.
    let mut pointers = vec![0i32];
    let mut entries = vec![];
    for _ in 0..rows {
        let degree = if cols == 0 { 0 } else { tape.of(&[0, 1, 3, 9]) };
        entries.extend((0..degree).map(|_| tape.below(cols as u32) as i32));
        pointers.push(entries.len() as i32);
    }
    let dims: Vec<i64> = match fixed {
        true => vec![rows, entries.len() as i64],
        false => vec![rows, cols, entries.len() as i64],
    };
    let mut numbers = u64::from(tape.next()) | 1;
    let mut array = |dtype: DType, len: i64| {
        let mut array = Array::zeros(dtype, &[len as usize]);
        (0..len as usize).for_each(|i| array.set(i, number(dtype, &mut numbers)));
        array
    };
    let mut params = vec![array(d, rows * cols), array(d, cols), array(other, cols)];
    params.push(Array::from_slice(&[pointers.len()], &pointers));
    params.push(Array::from_slice(&[entries.len()], &entries));
    params.extend([array(d, rows * cols), array(d, rows * cols), array(d, rows), array(d, cols)]);

    let parallel = tape.flag();
    let phases: Vec<usize> = (0..1 + tape.pick(4)).map(|_| tape.pick(7)).collect();
    let mut w = Writer {
        tape,
        d,
        other,
        cols: col_dim,
        fixed: fixed.then_some(cols),
        buffers: Buffers { a, b, c, ptr, ids, y, z, sums, counts },
        y_written: false,
        inexact: None,
        locals: vec![],
    };
    // Locals are declared before any loop is written.
    for phase in &phases {
        let local = match phase {
            1 | 2 => {
                let lanes = w.tape.of(&[4i64, 8, 16]);
                Some((k.buffer("acc", d, lanes, Space::Register), lanes))
            }
            3 if fixed && cols > 0 => Some((k.buffer("tmp", d, cols, Space::Stack), cols)),
            _ => None,
        };
        w.locals.push(local);
    }
    let kind = if parallel { AxisKind::Parallel(Split::Even) } else { AxisKind::Serial };
    k.for_("r", row_dim, kind, |k, r| {
        for (at, phase) in phases.iter().enumerate() {
            w.phase(k, *phase, at, &r, parallel);
        }
    });
    let (inexact, choice) = (w.inexact, w.tape.next());
    Case { kernel: k.finish(), params, dims, inexact, choice }
}

/// Choices, one number each.
struct Tape<'w> {
    words: &'w [u32],
    at: usize,
}

impl Tape<'_> {
    fn next(&mut self) -> u32 {
        let word = self.words.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        word
    }

    fn below(&mut self, n: u32) -> u32 {
        self.next() % n.max(1)
    }

    fn pick(&mut self, n: usize) -> usize {
        self.below(n as u32) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.pick(all.len())]
    }

    fn flag(&mut self) -> bool {
        self.next() % 2 == 1
    }
}

/// A number that is not large, now and then one of those that are special.
fn number(d: DType, state: &mut u64) -> Literal {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    let word = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16;
    let special = [0.0, -0.0, 1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-40, -3.0];
    match (d.is_float(), word % 64) {
        (true, 0) => Literal::float(d, special[(word >> 8) as usize % special.len()]),
        // As many bits as a binary32 has, so that roundings show.
        (true, _) => Literal::float(d, (word >> 8 & 0xff_ffff) as f64 / f64::from(1 << 21) - 4.0),
        (false, 0) => Literal::int(d, word as i64),
        (false, _) => Literal::int(d, (word >> 8 & 0xff) as i64 - 100),
    }
}

struct Buffers {
    a: BufId,
    b: BufId,
    c: BufId,
    ptr: BufId,
    ids: BufId,
    y: BufId,
    z: BufId,
    sums: BufId,
    counts: BufId,
}

struct Writer<'w> {
    tape: Tape<'w>,
    /// The type that is computed in, and another.
    d: DType,
    other: DType,
    cols: Index,
    /// The number of columns where the kernel knows it.
    fixed: Option<i64>,
    buffers: Buffers,
    /// Whether the row of `y` has been written.
    y_written: bool,
    inexact: Option<ScalarOp>,
    locals: Vec<Option<(BufId, i64)>>,
}

/// What an expression may use: a row, a column, values of the computed type.
#[derive(Clone)]
struct Here {
    row: Index,
    col: Index,
    vals: Vec<ValId>,
    /// A position in `0..cols` that was loaded.
    gathered: Option<Index>,
    /// Whether the row of `y` is being written, so that only the column itself may be read.
    writes_y: bool,
}

impl Writer<'_> {
    fn phase(&mut self, k: &mut KernelBuilder, phase: usize, at: usize, r: &Index, parallel: bool) {
        match (phase, self.locals[at]) {
            (1, Some((acc, lanes))) => self.reduction(k, acc, lanes, r),
            (2, Some((acc, lanes))) => self.sparse_row(k, acc, lanes, r),
            (3, Some((tmp, _))) => self.scratch(k, tmp, r),
            (4, _) => {
                let two = Literal::int(DType::I64, i64::from(self.tape.below(3)));
                let cond = Expr::Op(
                    self.tape.of(&[ScalarOp::Eq, ScalarOp::Lt]),
                    vec![r.clone().modulo(3).into(), Expr::Lit(two)],
                );
                // Both branches write the row, so that it is written after them.
                let before = self.y_written;
                let shared = std::cell::RefCell::new(self);
                k.if_(
                    cond,
                    |k| shared.borrow_mut().map(k, r),
                    |k| {
                        let mut w = shared.borrow_mut();
                        w.y_written = before;
                        w.map(k, r);
                    },
                );
            }
            (5, _) if !parallel => self.histogram(k, r),
            (6, _) => self.update(k, r),
            _ => self.map(k, r),
        }
    }

    fn kind(&mut self) -> AxisKind {
        let n = self.tape.of(&[8, 4, 16, 2, 1, 64]);
        match self.tape.pick(4) {
            0 => AxisKind::Serial,
            1 if self.fixed.is_some_and(|n| n <= 20) => AxisKind::Unroll,
            _ => AxisKind::Vector(n),
        }
    }

    /// `y[r, c] = ..`.
    fn map(&mut self, k: &mut KernelBuilder, r: &Index) {
        let kind = self.kind();
        let cols = self.cols.clone();
        k.for_("c", cols.clone(), kind, |k, c| {
            let here = self.values(k, r, &c, true);
            let mut value = self.expr(&here, 3);
            if self.d.is_float() && self.tape.pick(4) == 3 {
                let op = *self.inexact.get_or_insert(self.tape.of(&[
                    ScalarOp::Exp,
                    ScalarOp::Log,
                    ScalarOp::Tanh,
                    ScalarOp::Sigmoid,
                    ScalarOp::Softplus,
                    ScalarOp::Sin,
                    ScalarOp::Expm1,
                    ScalarOp::Atan,
                    ScalarOp::Sinh,
                ]));
                value = Expr::Op(op, vec![value]);
            }
            k.store(self.buffers.y, r.clone() * cols + c, value);
        });
        // What an inexact operation made must not be computed with: errors would grow.
        self.y_written = self.inexact.is_none();
    }

    /// `z[r, c] op= ..`.
    fn update(&mut self, k: &mut KernelBuilder, r: &Index) {
        let (kind, op) = (self.kind(), self.tape.of(&ReduceOp::ALL));
        let cols = self.cols.clone();
        k.for_("c", cols.clone(), kind, |k, c| {
            let here = self.values(k, r, &c, false);
            let value = self.term(&here);
            k.accumulate(op, self.buffers.z, r.clone() * cols + c, value);
        });
    }

    /// `sums[r] = ..` over the columns, in lanes.
    fn reduction(&mut self, k: &mut KernelBuilder, acc: BufId, lanes: i64, r: &Index) {
        let op = self.tape.of(&ReduceOp::ALL);
        let width = self.tape.of(&[8u32, 4, 16]).min(lanes as u32);
        k.fill(acc, op.identity(self.d));
        let whole = self.cols.clone().floor_div(lanes) * lanes;
        k.for_step("o", 0, whole.clone(), lanes, AxisKind::Serial, |k, o| {
            k.for_("l", lanes, AxisKind::Vector(width), |k, l| {
                let here = self.values(k, r, &(o + l.clone()), false);
                let value = self.term(&here);
                k.accumulate(op, acc, l, value);
            });
        });
        k.for_step("t", whole, self.cols.clone(), 1, AxisKind::Serial, |k, t| {
            let here = self.values(k, r, &t, false);
            let value = self.term(&here);
            k.accumulate(op, acc, 0, value);
        });
        k.store(self.buffers.sums, r.clone(), Expr::Lanes { op, buf: acc });
    }

    /// A loop over the entries of a sparse row.
    fn sparse_row(&mut self, k: &mut KernelBuilder, acc: BufId, lanes: i64, r: &Index) {
        k.fill(acc, Literal::zero(self.d));
        let first = k.load_index(self.buffers.ptr, r.clone());
        let end = k.load_index(self.buffers.ptr, r.clone() + 1);
        k.for_step("e", first, end, 1, AxisKind::Serial, |k, e| {
            let source = k.load_index(self.buffers.ids, e);
            if self.tape.flag() {
                k.prefetch(self.buffers.b, source.clone() + 1000);
            }
            let vector = AxisKind::Vector(self.tape.of(&[8, 4]));
            k.for_("l", lanes, vector, |k, l| {
                let here = Here {
                    row: r.clone(),
                    col: (source.clone() + l.clone()).modulo(self.cols.clone()),
                    vals: vec![],
                    gathered: Some(source.clone()),
                    writes_y: false,
                };
                let value = self.term(&here);
                k.accumulate(ReduceOp::Sum, acc, l, value);
            });
        });
        k.store(self.buffers.sums, r.clone(), Expr::Lanes { op: ReduceOp::Sum, buf: acc });
    }

    /// A local row, written and read back in reverse.
    fn scratch(&mut self, k: &mut KernelBuilder, tmp: BufId, r: &Index) {
        let (write, read) = (self.kind(), self.kind());
        let cols = self.cols.clone();
        if self.tape.flag() {
            k.fill(tmp, Literal::int(self.d, 3));
            k.for_("c", cols.clone(), write, |k, c| {
                let here = self.values(k, r, &c, false);
                let value = self.term(&here);
                k.accumulate(ReduceOp::Sum, tmp, c, value);
            });
        } else {
            k.for_("c", cols.clone(), write, |k, c| {
                let here = self.values(k, r, &c, false);
                let value = self.expr(&here, 2);
                k.store(tmp, c, value);
            });
        }
        k.for_("c", cols.clone(), read, |k, c| {
            let back = load(tmp, cols.clone() - 1 - c.clone());
            k.store(self.buffers.y, r.clone() * cols.clone() + c, back);
        });
        self.y_written = self.inexact.is_none();
    }

    /// Lanes that may meet in one element.
    fn histogram(&mut self, k: &mut KernelBuilder, r: &Index) {
        let first = k.load_index(self.buffers.ptr, r.clone());
        let end = k.load_index(self.buffers.ptr, r.clone() + 1);
        let (kind, op) = (self.kind(), self.tape.of(&ReduceOp::ALL));
        let kind = if kind == AxisKind::Unroll { AxisKind::Serial } else { kind };
        k.for_step("e", first, end, 1, kind, |k, e| {
            let bin = k.load_index(self.buffers.ids, e);
            let here =
                Here { row: r.clone(), col: bin.clone(), vals: vec![], gathered: None, writes_y: false };
            let value = self.term(&here);
            k.accumulate(op, self.buffers.counts, bin, value);
        });
    }

    /// Some named values.
    fn values(&mut self, k: &mut KernelBuilder, r: &Index, c: &Index, writes_y: bool) -> Here {
        let mut here = Here { row: r.clone(), col: c.clone(), vals: vec![], gathered: None, writes_y };
        for _ in 0..self.tape.pick(3) {
            let e = self.expr(&here, 2);
            here.vals.push(k.let_(self.d, e));
        }
        here
    }

    /// A value, or a product: what an accumulation fuses.
    fn term(&mut self, here: &Here) -> Expr {
        if self.tape.flag() {
            return self.expr(here, 2);
        }
        Expr::Op(ScalarOp::Mul, vec![self.expr(here, 1), self.expr(here, 1)])
    }

    /// A column, out of the one at hand.
    fn column(&mut self, here: &Here) -> Index {
        let (c, cols) = (here.col.clone(), self.cols.clone());
        let by = i64::from(self.tape.below(5)) + 1;
        match self.tape.pick(7) {
            1 => cols - 1 - c,
            2 => (c + by).min(cols - 1),
            3 => (c - by).max(0),
            4 => (c + by).modulo(cols),
            5 => c.floor_div(by),
            6 => here.gathered.clone().unwrap_or(c),
            _ => c,
        }
    }

    fn expr(&mut self, here: &Here, depth: usize) -> Expr {
        if depth == 0 || self.tape.pick(3) == 0 {
            return self.leaf(here);
        }
        let down = |w: &mut Self| w.expr(here, depth - 1);
        let number =
            [ScalarOp::Add, ScalarOp::Sub, ScalarOp::Mul, ScalarOp::Max, ScalarOp::Min, ScalarOp::Div];
        let one = [ScalarOp::Neg, ScalarOp::Abs, ScalarOp::Sign, ScalarOp::Square, ScalarOp::Relu];
        match self.tape.pick(6) {
            0 | 1 => {
                let op = self.tape.of(&number);
                Expr::Op(op, vec![down(self), down(self)])
            }
            2 => {
                let op = self.tape.of(&one);
                Expr::Op(op, vec![down(self)])
            }
            3 if self.d.is_float() => {
                let op = self.tape.of(&[
                    ScalarOp::Sqrt,
                    ScalarOp::Rsqrt,
                    ScalarOp::Recip,
                    ScalarOp::Floor,
                    ScalarOp::Ceil,
                    ScalarOp::Round,
                    ScalarOp::Trunc,
                ]);
                Expr::Op(op, vec![down(self)])
            }
            3 => {
                let op =
                    self.tape.of(&[ScalarOp::And, ScalarOp::Or, ScalarOp::Xor, ScalarOp::Shl, ScalarOp::Shr]);
                Expr::Op(op, vec![down(self), down(self)])
            }
            4 => {
                let compare = self.tape.of(&[ScalarOp::Lt, ScalarOp::Eq, ScalarOp::Ge, ScalarOp::Ne]);
                let cond = Expr::Op(compare, vec![down(self), down(self)]);
                Expr::Op(ScalarOp::Select, vec![cond, down(self), down(self)])
            }
            _ => {
                let op = self.tape.of(&[ScalarOp::Rem, ScalarOp::Add, ScalarOp::Fmod]);
                Expr::Op(op, vec![down(self), down(self)])
            }
        }
    }

    fn leaf(&mut self, here: &Here) -> Expr {
        let cast = |to: DType, e: Expr| Expr::Cast(to, Box::new(e));
        match self.tape.pick(9) {
            1 => load(self.buffers.b, self.column(here)),
            2 => {
                let value = f64::from(self.tape.below(64)) / 8.0 - 4.0;
                Expr::Lit(Literal::float(self.d, value))
            }
            3 => cast(self.d, load(self.buffers.c, self.column(here))),
            4 => cast(self.d, cast(self.other, load(self.buffers.b, self.column(here)))),
            5 => cast(self.d, Expr::from(self.column(here))),
            6 => {
                let args = [3, 1, 2].map(|x| Expr::Lit(Literal::int(DType::I64, x)));
                let args = std::iter::once(Expr::from(here.col.clone())).chain(args).collect();
                cast(self.d, Expr::Op(ScalarOp::Philox, args))
            }
            7 if !here.vals.is_empty() => Expr::Val(here.vals[self.tape.pick(here.vals.len())]),
            8 if self.y_written => {
                let col = if here.writes_y { here.col.clone() } else { self.column(here) };
                load(self.buffers.y, here.row.clone() * self.cols.clone() + col)
            }
            _ => load(self.buffers.a, here.row.clone() * self.cols.clone() + self.column(here)),
        }
    }
}
