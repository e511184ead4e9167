//! The meaning of kernels: run one statement after the other, with every position checked.
//!
//! Arithmetic is that of [`scalar::eval`](crate::scalar::eval), rounded where compiled code rounds, so that
//! compiled code gives the same bits, but for functions computed by polynomials. Beyond positions the interpreter finds what the verifier cannot: reads
//! of elements that nothing has written, and iterations of parallel and vector loops that are not
//! independent.

use super::verify::{VerifyError, verify};
use super::watch::{Access, Watch};
use super::*;
use crate::array::Array;
use crate::scalar::{combine, convert, eval, reinterpret};

/// Why a kernel could not be run to its end.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NestError {
    /// The kernel breaks its rules.
    #[error("the kernel is not well-formed: {}", list(.0))]
    Invalid(Vec<VerifyError>),
    /// Parameters, dimensions or a range that do not fit the kernel.
    #[error("kernel `{kernel}`: {what}")]
    Arguments {
        /// The kernel.
        kernel: String,
        /// What was expected and what was found.
        what: String,
    },
    /// A position outside of its buffer.
    #[error("kernel `{kernel}`: {what} of `{buffer}` at {index}, which has {len} elements")]
    OutOfBounds {
        /// The kernel.
        kernel: String,
        /// The buffer.
        buffer: String,
        /// The position.
        index: i64,
        /// The number of elements.
        len: usize,
        /// Read or write.
        what: &'static str,
    },
    /// An element read that nothing has written: of a local buffer, or of a parameter that is only written.
    #[error("kernel `{kernel}`: element {index} of `{buffer}` is read before it is written")]
    Unwritten {
        /// The kernel.
        kernel: String,
        /// The buffer.
        buffer: String,
        /// The element.
        index: i64,
    },
    /// Iterations that are not independent.
    #[error(
        "kernel `{kernel}`: iterations {} and {} of loop `{name}` meet in element {index} of `{buffer}`",
        .iterations.0, .iterations.1
    )]
    Dependent {
        /// The kernel.
        kernel: String,
        /// The parallel or vector loop's variable.
        name: String,
        /// Values of the variable.
        iterations: (i64, i64),
        /// The buffer.
        buffer: String,
        /// The element.
        index: i64,
    },
    /// A division of positions by a number that is not positive.
    #[error("kernel `{kernel}`: a position is divided by {divisor}; divisors are positive")]
    Divisor {
        /// The kernel.
        kernel: String,
        /// The divisor.
        divisor: i64,
    },
    /// A position that 64 bits do not hold.
    #[error("kernel `{kernel}`: a position overflows 64 bits")]
    Overflow {
        /// The kernel.
        kernel: String,
    },
}

fn list(errors: &[VerifyError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Runs a kernel. `params` are its parameters in order, `dims` its dimensions; `range` is the part of the
/// parallel loop to run, in values of its variable (`None`: all of it).
///
/// # Errors
/// Where the kernel is not well-formed, the arguments do not fit, or a statement does what the rules of
/// kernels forbid. What had been written before stays written.
pub fn run(
    kernel: &Kernel,
    params: &mut [Array],
    dims: &[i64],
    range: Option<(i64, i64)>,
) -> Result<(), NestError> {
    run_noting(kernel, params, dims, range, &mut vec![None; params.len()])
}

/// Which elements of a parameter hold something; `None`: all of them do.
pub type Written = Option<Vec<bool>>;

/// As [`run`], where parameters need not be whole: a read of an element that holds nothing is an error, and
/// what is written is noted. Of a parameter that is only written nothing can be read but what this run wrote.
///
/// # Errors
/// As [`run`].
pub fn run_noting(
    kernel: &Kernel,
    params: &mut [Array],
    dims: &[i64],
    range: Option<(i64, i64)>,
    notes: &mut [Written],
) -> Result<(), NestError> {
    verify(kernel).map_err(NestError::Invalid)?;
    let arguments = |what: String| NestError::Arguments { kernel: kernel.name.clone(), what };
    let count = kernel.params().count();
    if params.len() != count {
        return Err(arguments(format!("it takes {count} parameters, {} given", params.len())));
    }
    if dims.len() != kernel.dims.len() {
        return Err(arguments(format!("it takes {} dimensions, {} given", kernel.dims.len(), dims.len())));
    }
    let mut m = Machine {
        kernel,
        params,
        locals: vec![],
        lens: vec![],
        written: vec![],
        dims,
        vars: vec![0; kernel.vars.len()],
        vals: kernel.vals.iter().map(|d| Literal::zero(*d)).collect(),
        parallel: None,
        vector: None,
    };
    for (i, b) in kernel.buffers.iter().enumerate() {
        let len = m.index(&b.len)?;
        let len = usize::try_from(len).map_err(|_| arguments(format!("`{}` has length {len}", b.name)))?;
        m.lens.push(len);
        if let Some(a) = m.params.get(i) {
            if a.dtype() != b.dtype || a.len() < len {
                let found = format!("{} elements of {}", a.len(), a.dtype());
                return Err(arguments(format!(
                    "`{}` is {len} elements of {}, {found} given",
                    b.name, b.dtype
                )));
            }
        } else {
            m.locals.push(Array::zeros(b.dtype, &[len]));
        }
        let starts_empty = matches!(b.space, Space::Out | Space::Stack | Space::Register);
        m.written.push(match notes.get(i) {
            _ if starts_empty => Some(vec![false; len]),
            Some(Some(note)) => Some((0..len).map(|at| note.get(at).copied().unwrap_or(false)).collect()),
            _ => None,
        });
    }
    m.run(range, count)?;
    for (note, now) in notes.iter_mut().zip(m.written) {
        if let (Some(note), Some(now)) = (note, now) {
            note.iter_mut().zip(now).for_each(|(note, now)| *note |= now);
        }
    }
    Ok(())
}

struct Machine<'k> {
    kernel: &'k Kernel,
    params: &'k mut [Array],
    locals: Vec<Array>,
    /// Declared lengths of the buffers.
    lens: Vec<usize>,
    /// Which elements hold something, for buffers that start with nothing.
    written: Vec<Option<Vec<bool>>>,
    dims: &'k [i64],
    vars: Vec<i64>,
    vals: Vec<Literal>,
    /// The open parallel and vector loop.
    parallel: Option<Watch>,
    vector: Option<Watch>,
}

type Done = Result<(), NestError>;

impl Machine<'_> {
    /// Runs the kernel, or a part of its parallel loop. The first `count` buffers are parameters.
    fn run(&mut self, range: Option<(i64, i64)>, count: usize) -> Done {
        let m = self;
        match m.kernel.body.as_slice() {
            [Stmt::For { var, lo, hi, step, kind: AxisKind::Parallel(_), body }] => {
                let (lo, hi) = (m.index(lo)?, m.index(hi)?);
                let (first, end) = range.unwrap_or((lo, hi));
                if first < lo || (first - lo) % step != 0 || (end > hi && first < end) {
                    return Err(
                        m.arguments(format!("the range {first}..{end} is no part of {lo}..{hi} by {step}"))
                    );
                }
                m.parallel = Some(Watch::new(*var, false));
                let mut i = first;
                while i < end {
                    for w in m.written.iter_mut().skip(count).flatten() {
                        w.fill(false);
                    }
                    m.iteration(*var, i, body)?;
                    i += step;
                }
                Ok(())
            }
            body => m.block(body),
        }
    }

    fn arguments(&self, what: String) -> NestError {
        NestError::Arguments { kernel: self.kernel.name.clone(), what }
    }

    fn block(&mut self, body: &[Stmt]) -> Done {
        body.iter().try_for_each(|s| self.stmt(s))
    }

    fn iteration(&mut self, var: VarId, value: i64, body: &[Stmt]) -> Done {
        for w in [&mut self.parallel, &mut self.vector].into_iter().flatten() {
            w.enter(var, value);
        }
        self.vars[var.at()] = value;
        self.block(body)
    }

    fn stmt(&mut self, s: &Stmt) -> Done {
        if let Some(w) = &mut self.vector {
            w.step();
        }
        match s {
            Stmt::For { var, lo, hi, step, kind, body } => {
                let (lo, hi) = (self.index(lo)?, self.index(hi)?);
                let lanes = match kind {
                    AxisKind::Vector(n) if *n > 1 => i64::from(*n),
                    _ => 0,
                };
                let mut i = lo;
                while i < hi {
                    if lanes > 0 && (i - lo) % lanes == 0 {
                        self.vector = Some(Watch::new(*var, true));
                    }
                    self.iteration(*var, i, body)?;
                    i = i.checked_add(*step).ok_or_else(|| self.overflow())?;
                }
                if lanes > 0 {
                    self.vector = None;
                }
                Ok(())
            }
            Stmt::If { cond, then, otherwise } => {
                let taken = self.expr(cond)?.as_i64() != 0;
                self.block(if taken { then } else { otherwise })
            }
            Stmt::Let { val, expr } => {
                self.vals[val.at()] = self.expr(expr)?;
                Ok(())
            }
            Stmt::Store { buf, index, value } => {
                let value = self.expr(value)?;
                let at = self.index(index)?;
                self.set(*buf, at, value, Access::Write)
            }
            Stmt::Accumulate { op, buf, index, value } => self.accumulate(*op, *buf, index, value),
            Stmt::Fill { buf, value } => {
                (0..self.lens[buf.at()]).try_for_each(|at| self.set(*buf, at as i64, *value, Access::Write))
            }
            Stmt::Prefetch { index, .. } => self.index(index).map(|_| ()),
        }
    }

    fn accumulate(&mut self, op: ReduceOp, buf: BufId, index: &Index, value: &Expr) -> Done {
        let float = self.kernel.buffers[buf.at()].dtype.is_float();
        match value {
            // A sum of a product is one operation with one rounding.
            Expr::Op(ScalarOp::Mul, ab) if op == ReduceOp::Sum && float => {
                let (a, b) = (self.expr(&ab[0])?, self.expr(&ab[1])?);
                let at = self.index(index)?;
                let old = self.get(buf, at, Access::Accumulate)?;
                self.set(buf, at, multiply_add(a, b, old), Access::Accumulate)
            }
            value => {
                let value = self.expr(value)?;
                let at = self.index(index)?;
                let old = self.get(buf, at, Access::Accumulate)?;
                let new = combine(op, old, value);
                self.set(buf, at, new, Access::Accumulate)
            }
        }
    }

    fn array(&self, buf: BufId) -> &Array {
        match self.params.get(buf.at()) {
            Some(a) => a,
            None => &self.locals[buf.at() - self.params.len()],
        }
    }

    fn name(&self, buf: BufId) -> String {
        self.kernel.buffers[buf.at()].name.clone()
    }

    /// The position as one of the buffer's, noted for the open loops.
    fn element(
        &mut self,
        buf: BufId,
        at: i64,
        access: Access,
        what: &'static str,
    ) -> Result<usize, NestError> {
        let len = self.lens[buf.at()];
        let Some(i) = usize::try_from(at).ok().filter(|i| *i < len) else {
            let (kernel, buffer) = (self.kernel.name.clone(), self.name(buf));
            return Err(NestError::OutOfBounds { kernel, buffer, index: at, len, what });
        };
        // Locals belong to the iteration of the parallel loop.
        let shared = if buf.at() < self.params.len() { self.parallel.as_mut() } else { None };
        for w in [shared, self.vector.as_mut()].into_iter().flatten() {
            if let Err(other) = w.touch(buf, i, access) {
                let name = self.kernel.vars[w.var.at()].clone();
                let (kernel, buffer) = (self.kernel.name.clone(), self.kernel.buffers[buf.at()].name.clone());
                let iterations = (other, w.iteration);
                return Err(NestError::Dependent { kernel, name, iterations, buffer, index: at });
            }
        }
        Ok(i)
    }

    fn get(&mut self, buf: BufId, at: i64, access: Access) -> Result<Literal, NestError> {
        let i = self.element(buf, at, access, "a read")?;
        if self.written[buf.at()].as_ref().is_some_and(|w| !w[i]) {
            let (kernel, buffer) = (self.kernel.name.clone(), self.name(buf));
            return Err(NestError::Unwritten { kernel, buffer, index: at });
        }
        Ok(self.array(buf).get(i))
    }

    fn set(&mut self, buf: BufId, at: i64, value: Literal, access: Access) -> Done {
        let i = self.element(buf, at, access, "a write")?;
        if let Some(w) = &mut self.written[buf.at()] {
            w[i] = true;
        }
        let locals = self.params.len();
        let array = match self.params.get_mut(buf.at()) {
            Some(a) => a,
            None => &mut self.locals[buf.at() - locals],
        };
        array.set(i, value);
        Ok(())
    }

    fn expr(&mut self, e: &Expr) -> Result<Literal, NestError> {
        match e {
            Expr::Lit(l) => Ok(*l),
            Expr::Val(v) => Ok(self.vals[v.at()]),
            Expr::Index(i) => Ok(Literal::int(DType::I64, self.index(i)?)),
            Expr::Load { buf, index } => {
                let at = self.index(index)?;
                self.get(*buf, at, Access::Read)
            }
            Expr::Op(op, args) => {
                let args = args.iter().map(|a| self.expr(a)).collect::<Result<Vec<_>, _>>()?;
                operation(*op, &args).ok_or_else(|| self.impossible(op.name()))
            }
            Expr::Cast(to, x) => Ok(convert(self.expr(x)?, *to)),
            Expr::Dot4 { a: (a, i), b: (b, j) } => {
                let (i, j) = (self.index(i)?, self.index(j)?);
                let mut sum = 0;
                for k in 0..4 {
                    let [x, y] = [(*a, i), (*b, j)].map(|(buf, at)| {
                        let at = at.checked_add(k).ok_or_else(|| self.overflow())?;
                        self.get(buf, at, Access::Read)
                    });
                    sum += x?.as_i64() * y?.as_i64();
                }
                Ok(Literal::int(DType::I32, sum))
            }
            Expr::Bits(to, x) => Ok(reinterpret(self.expr(x)?, *to)),
            Expr::Lanes { op, buf } => {
                let len = self.lens[buf.at()];
                let mut parts = (0..len)
                    .map(|i| self.get(*buf, i as i64, Access::Read))
                    .collect::<Result<Vec<_>, _>>()?;
                while parts.len() > 1 {
                    let upper = parts.split_off(parts.len() / 2);
                    for (a, b) in parts.iter_mut().zip(upper) {
                        *a = combine(*op, *a, b);
                    }
                }
                parts.pop().ok_or_else(|| self.impossible("lanes"))
            }
        }
    }

    /// What the verifier has ruled out.
    fn impossible(&self, op: &str) -> NestError {
        let what = format!("`{op}` on operands that the verifier let pass");
        NestError::Arguments { kernel: self.kernel.name.clone(), what }
    }

    fn overflow(&self) -> NestError {
        NestError::Overflow { kernel: self.kernel.name.clone() }
    }

    fn index(&self, i: &Index) -> Result<i64, NestError> {
        let two = |a: &Index, b: &Index| Ok::<_, NestError>((self.index(a)?, self.index(b)?));
        let checked = |x: Option<i64>| x.ok_or_else(|| self.overflow());
        let divided = |a: &Index, b: &Index, f: fn(i64, i64) -> i64| {
            let (a, b) = two(a, b)?;
            if b > 0 {
                return Ok(f(a, b));
            }
            Err(NestError::Divisor { kernel: self.kernel.name.clone(), divisor: b })
        };
        match i {
            Index::Const(c) => Ok(*c),
            Index::Var(v) => Ok(self.vars[v.at()]),
            Index::Dim(d) => Ok(self.dims[d.at()]),
            Index::Val(v) => Ok(self.vals[v.at()].as_i64()),
            Index::Add(a, b) => two(a, b).and_then(|(a, b)| checked(a.checked_add(b))),
            Index::Sub(a, b) => two(a, b).and_then(|(a, b)| checked(a.checked_sub(b))),
            Index::Mul(a, b) => two(a, b).and_then(|(a, b)| checked(a.checked_mul(b))),
            Index::Div(a, b) => divided(a, b, i64::div_euclid),
            Index::Mod(a, b) => divided(a, b, i64::rem_euclid),
            Index::Min(a, b) => two(a, b).map(|(a, b)| a.min(b)),
            Index::Max(a, b) => two(a, b).map(|(a, b)| a.max(b)),
        }
    }
}

/// A scalar operation. One that is two operations of the machine is rounded after each.
fn operation(op: ScalarOp, args: &[Literal]) -> Option<Literal> {
    match (op, args) {
        (ScalarOp::Rsqrt, [x]) if x.dtype() != DType::F64 => {
            let single = 1.0 / (x.as_f64() as f32).sqrt();
            Some(Literal::float(x.dtype(), f64::from(single)))
        }
        _ => eval(op, args),
    }
}

/// `a * b + c` of floats of one type in one rounding (16-bit floats: to binary32, then to the type).
fn multiply_add(a: Literal, b: Literal, c: Literal) -> Literal {
    let [x, y, z] = [a, b, c].map(Literal::as_f64);
    match a.dtype() {
        DType::F64 => Literal::float(DType::F64, x.mul_add(y, z)),
        d => Literal::float(d, f64::from((x as f32).mul_add(y as f32, z as f32))),
    }
}
