//! The rules of kernels, checked.
//!
//! [`verify()`] reports every broken rule of the [module's list](super) and everything that code generation
//! would refuse, each with the way to the statement. A kernel that passes compiles, and the interpreter runs
//! it without finding anything but wrong positions and wrong data.

pub use super::fault::{Fault, VerifyError};
use super::position::{Known, Lanes, Position};
use super::*;

/// Bytes of stack buffers that a kernel may have.
pub const STACK_LIMIT: i64 = 256 << 10;
/// Elements of register arrays that a kernel may have.
pub const REGISTER_LIMIT: i64 = 32768;
/// Lanes that a vector loop may have.
pub const LANE_LIMIT: u32 = 64;

/// Checks a kernel against every rule.
///
/// # Errors
/// Every broken rule that was found, in the order of the text.
pub fn verify(kernel: &Kernel) -> Result<(), Vec<VerifyError>> {
    let mut v = Verifier {
        kernel,
        errors: vec![],
        path: vec![],
        vars: vec![None; kernel.vars.len()],
        vals: vec![None; kernel.vals.len()],
        ever: vec![false; kernel.vals.len()],
        bound: vec![],
        lanes: 0,
        guards: 0,
    };
    v.kernel();
    if v.errors.is_empty() { Ok(()) } else { Err(v.errors) }
}

fn space(b: &Buffer) -> &'static str {
    super::text::space_word(b.space)
}

struct Verifier<'k> {
    kernel: &'k Kernel,
    errors: Vec<VerifyError>,
    /// The open loops and branches, in words.
    path: Vec<String>,
    vars: Vec<Option<Position>>,
    /// For bound values: whether they vary over lanes.
    vals: Vec<Option<bool>>,
    /// Values bound anywhere so far.
    ever: Vec<bool>,
    /// Values bound in the open blocks, innermost last.
    bound: Vec<ValId>,
    /// Lanes of the open vector loop; 0 outside of one.
    lanes: u32,
    /// Open branches, and loops that never run: what stands in them may not happen.
    guards: usize,
}

impl<'k> Verifier<'k> {
    fn fail(&mut self, place: &str, fault: Fault) {
        let mut way = self.path.join(" > ");
        if !way.is_empty() && !place.is_empty() {
            way.push_str(" > ");
        }
        way.push_str(place);
        self.errors.push(VerifyError { kernel: self.kernel.name.clone(), place: way, fault });
    }

    fn kernel(&mut self) {
        let k = self.kernel;
        if k.name.is_empty() || !k.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.fail("the kernel itself", Fault::Name);
        }
        let (mut stack, mut registers) = (0i64, 0i64);
        let mut seen_local = false;
        for b in &k.buffers {
            let place = format!("buffer `{}`", b.name);
            let local = matches!(b.space, Space::Stack | Space::Register);
            if seen_local && !local {
                self.fail(&place, Fault::ParameterOrder { buffer: b.name.clone() });
            }
            seen_local |= local;
            if !is_fixed(&b.len) {
                self.fail(&place, Fault::NotFixed { what: "its length".into() });
                continue;
            }
            let len = self.index(&b.len, &place);
            if !local {
                continue;
            }
            let Some(len) = len.and_then(|l| l.as_const()) else {
                let what = "the length of a local buffer".to_owned();
                let found = "an expression of dimensions".to_owned();
                self.fail(&place, Fault::NotConstant { what, found, unrolled: false });
                continue;
            };
            if len < 0 {
                self.fail(&place, Fault::Number { what: "its length".into(), found: len, rule: "0 or more" });
                continue;
            }
            let (total, add, limit, unit) = match b.space {
                Space::Stack => {
                    (&mut stack, len.saturating_mul(b.dtype.size() as i64), STACK_LIMIT, "bytes on the stack")
                }
                _ => (&mut registers, len, REGISTER_LIMIT, "elements in registers"),
            };
            *total = total.saturating_add(add);
            if *total > limit {
                let found = *total;
                self.fail(&place, Fault::TooLarge { buffer: b.name.clone(), found, limit, unit });
            }
        }
        match k.body.as_slice() {
            [Stmt::For { var, lo, hi, step, kind: AxisKind::Parallel(split), body }] => {
                self.split(*split);
                self.loop_(*var, lo, hi, *step, AxisKind::Parallel(*split), body);
            }
            body => self.block(body),
        }
    }

    fn split(&mut self, split: Split) {
        let Split::ByPrefix { prefix, rows_per_iteration } = split else { return };
        let place = "the split of the parallel loop";
        if rows_per_iteration == 0 {
            let what = "the number of rows an iteration".to_owned();
            self.fail(place, Fault::Number { what, found: 0, rule: "1 or more" });
        }
        let Some(b) = self.buffer(prefix, place) else { return };
        if b.dtype != DType::I32 {
            let (expected, found) = ("i32".to_owned(), b.dtype.to_string());
            self.fail(place, Fault::Type { what: format!("prefix `{}`", b.name), expected, found });
        }
        if matches!(b.space, Space::Stack | Space::Register | Space::Out) {
            let (what, rule) = ("work is divided by", "it must be a parameter that is read");
            self.fail(place, Fault::Space { what, buffer: b.name.clone(), space: space(b), rule });
        }
    }

    fn buffer(&mut self, buf: BufId, place: &str) -> Option<&'k Buffer> {
        let kernel = self.kernel;
        let found = kernel.buffers.get(buf.at());
        if found.is_none() {
            self.fail(place, Fault::Undeclared { what: "buffer", id: buf.0, count: kernel.buffers.len() });
        }
        found
    }

    /// Statements with a scope of their own.
    fn block(&mut self, body: &[Stmt]) {
        let mark = self.bound.len();
        for s in body {
            self.stmt(s);
        }
        for v in self.bound.drain(mark..) {
            self.vals[v.at()] = None;
        }
    }

    fn stmt(&mut self, s: &Stmt) {
        match s {
            Stmt::For { kind: AxisKind::Parallel(_), .. } => {
                self.fail("a parallel loop", Fault::ParallelInside)
            }
            Stmt::For { var, lo, hi, step, kind, body } => self.loop_(*var, lo, hi, *step, *kind, body),
            Stmt::If { cond, then, otherwise } => {
                let place = "the condition of a branch";
                let c = self.typed(cond, DType::Bool, place, place);
                if c == Some(true) {
                    self.fail(place, Fault::Varies { what: "it".into() });
                }
                self.guards += 1;
                for (word, body) in [("if", then), ("else", otherwise)] {
                    self.path.push(word.to_owned());
                    self.block(body);
                    self.path.pop();
                }
                self.guards -= 1;
            }
            Stmt::Let { val, expr } => {
                let place = format!("let %{}", val.0);
                let Some(dtype) = self.kernel.vals.get(val.at()).copied() else {
                    let count = self.kernel.vals.len();
                    self.fail(&place, Fault::Undeclared { what: "value", id: val.0, count });
                    return;
                };
                let varies = self.typed(expr, dtype, "its value", &place);
                if std::mem::replace(&mut self.ever[val.at()], true) {
                    self.fail(&place, Fault::BoundTwice { what: format!("value %{}", val.0) });
                }
                // Where the expression is wrong, what follows is judged as if it were right.
                self.vals[val.at()] = Some(varies.unwrap_or(false));
                self.bound.push(*val);
            }
            Stmt::Store { buf, index, value } => self.write("store", *buf, index, value),
            Stmt::Accumulate { buf, index, value, .. } => {
                self.combined(*buf, "accumulation");
                self.write("accumulation", *buf, index, value);
            }
            Stmt::Fill { buf, value } => {
                let Some(b) = self.buffer(*buf, "a fill") else { return };
                let place = format!("the fill of `{}`", b.name);
                if !matches!(b.space, Space::Stack | Space::Register) {
                    let (what, rule) = ("a fill of", "only local buffers are filled");
                    self.fail(&place, Fault::Space { what, buffer: b.name.clone(), space: space(b), rule });
                }
                self.same_type("the constant", b.dtype, value.dtype(), &place);
            }
            Stmt::Prefetch { buf, index } => {
                let Some(b) = self.buffer(*buf, "a prefetch") else { return };
                self.index(index, &format!("the prefetch of `{}`", b.name));
            }
        }
    }

    /// Elements are combined only in formats that are computed in.
    fn combined(&mut self, buf: BufId, place: &str) {
        let dtype = self.kernel.buffers.get(buf.at()).map(|b| b.dtype);
        if let Some(dtype) = dtype.filter(|d| d.is_storage()) {
            let what = "what is combined".to_owned();
            let (expected, found) = ("of a type that is computed in".to_owned(), dtype.to_string());
            self.fail(place, Fault::Type { what, expected, found });
        }
    }

    fn write(&mut self, what: &'static str, buf: BufId, index: &Index, value: &Expr) {
        let Some(b) = self.buffer(buf, what) else { return };
        let place = format!("the {what} to `{}`", b.name);
        if b.space == Space::In {
            let rule = "it is only read; declare it `inout` or `out`";
            self.fail(
                &place,
                Fault::Space { what: "a write to", buffer: b.name.clone(), space: space(b), rule },
            );
        }
        self.typed(value, b.dtype, "the value", &place);
        self.element(b, index, &place);
    }

    /// A position of a buffer that is read or written there; whether it varies over lanes.
    fn element(&mut self, b: &Buffer, index: &Index, place: &str) -> Option<bool> {
        let at = self.index(index, place)?;
        if b.space == Space::Register && at.known == Known::Running {
            let what = format!("a position of register array `{}`", b.name);
            let found = "an expression of run-time values".to_owned();
            self.fail(place, Fault::NotConstant { what, found, unrolled: true });
        }
        if self.guards == 0
            && is_fixed(&b.len)
            && let Some(len) = self.index(&b.len, place)
        {
            let whole = at.range.1 < 0 || at.range.0 >= len.range.1;
            let part =
                at.reached && (at.range.0 < 0 || len.as_const().is_some_and(|n| at.range.1 >= n.into()));
            if whole || part {
                let (lo, hi) = at.range;
                let found = if lo == hi { lo.to_string() } else { format!("{lo} to {hi}") };
                let len =
                    len.as_const().map_or_else(|| format!("at most {}", len.range.1), |n| n.to_string());
                self.fail(place, Fault::OutOfBounds { buffer: b.name.clone(), found, len });
            }
        }
        Some(at.lanes != Lanes::Same)
    }

    fn loop_(&mut self, var: VarId, lo: &Index, hi: &Index, step: i64, kind: AxisKind, body: &[Stmt]) {
        let Some(name) = self.kernel.vars.get(var.at()) else {
            let count = self.kernel.vars.len();
            return self.fail("a loop", Fault::Undeclared { what: "loop variable", id: var.0, count });
        };
        let place = format!("loop `{name}`");
        if self.vars[var.at()].is_some() {
            self.fail(&place, Fault::BoundTwice { what: format!("loop variable `{name}`") });
        }
        if step < 1 {
            self.fail(&place, Fault::Number { what: "its step".into(), found: step, rule: "1 or more" });
        }
        let bounds = [("its lower bound", lo), ("its upper bound", hi)].map(|(what, bound)| {
            let at = self.index(bound, &place)?;
            if at.lanes != Lanes::Same {
                self.fail(&place, Fault::Varies { what: what.into() });
            }
            if kind == AxisKind::Unroll && at.known != Known::Unrolled {
                let found = "an expression of run-time values".to_owned();
                self.fail(&place, Fault::NotConstant { what: what.into(), found, unrolled: true });
            }
            Some(at)
        });
        let outer = self.lanes;
        if let AxisKind::Vector(n) = kind {
            if n == 0 || n > LANE_LIMIT || !n.is_power_of_two() {
                let rule = "a power of two up to 64";
                self.fail(
                    &place,
                    Fault::Number { what: "its number of lanes".into(), found: n.into(), rule },
                );
            }
            if step > 1 {
                let what = "the step of a vector loop".to_owned();
                self.fail(&place, Fault::Number { what, found: step, rule: "1" });
            }
            if outer > 1 {
                self.fail(&place, Fault::VectorInVector);
            }
            self.lanes = n.max(1);
        }
        let [lo, hi] = bounds.map(|b| b.unwrap_or(Position::UNKNOWN));
        let value = Position::variable(var, &lo, &hi, step.max(1), kind);
        let empty = lo.as_const().zip(hi.as_const()).is_some_and(|(lo, hi)| lo >= hi);
        let shadowed = self.vars[var.at()].replace(value);
        self.path.push(place);
        self.guards += usize::from(empty);
        self.block(body);
        self.guards -= usize::from(empty);
        self.path.pop();
        self.vars[var.at()] = shadowed;
        self.lanes = outer;
    }

    fn same_type(&mut self, what: &str, expected: DType, found: DType, place: &str) {
        if expected != found {
            let (expected, found) = (expected.to_string(), found.to_string());
            self.fail(place, Fault::Type { what: what.to_owned(), expected, found });
        }
    }

    /// Checks a value that must have a type; whether it varies over lanes.
    fn typed(&mut self, e: &Expr, expected: DType, what: &str, place: &str) -> Option<bool> {
        let (found, varies) = self.expr(e, place)?;
        self.same_type(what, expected, found, place);
        Some(varies)
    }

    /// The type of a value, and whether it varies over lanes; nothing where it is wrong, which is reported.
    fn expr(&mut self, e: &Expr, place: &str) -> Option<(DType, bool)> {
        match e {
            Expr::Lit(l) => Some((l.dtype(), false)),
            Expr::Val(v) => self.val(*v, place),
            Expr::Index(i) => Some((DType::I64, self.index(i, place)?.lanes != Lanes::Same)),
            Expr::Load { buf, index } => {
                let b = self.buffer(*buf, place)?;
                let varies = self.element(b, index, place)?;
                Some((b.dtype, varies))
            }
            Expr::Op(op, args) => {
                let found: Vec<Option<(DType, bool)>> = args.iter().map(|a| self.expr(a, place)).collect();
                let found: Vec<(DType, bool)> = found.into_iter().collect::<Option<_>>()?;
                let types: Vec<DType> = found.iter().map(|f| f.0).collect();
                let Some(dtype) = op.result(&types) else {
                    let found = types.iter().map(|t| t.name()).collect::<Vec<_>>().join(", ");
                    self.fail(place, Fault::Operands { op: op.name(), found });
                    return None;
                };
                Some((dtype, found.iter().any(|f| f.1)))
            }
            Expr::Cast(to, x) => Some((*to, self.expr(x, place)?.1)),
            Expr::Dot4 { a, b } => {
                let varies = [(a, DType::U8), (b, DType::I8)].map(|((buf, at), dtype)| {
                    let info = self.buffer(*buf, place)?;
                    self.same_type("what `dot4` multiplies", dtype, info.dtype, place);
                    let last = Index::Add(at.clone(), Box::new(Index::Const(3)));
                    self.element(info, &last, place)?;
                    self.element(info, at, place)
                });
                Some((DType::I32, varies[0]? | varies[1]?))
            }
            Expr::Bits(to, x) => {
                let (from, varies) = self.expr(x, place)?;
                if from.size() != to.size() {
                    let what = format!("what has its bits read as {to}");
                    let (expected, found) = (format!("of {} bytes", to.size()), from.to_string());
                    self.fail(place, Fault::Type { what, expected, found });
                    return None;
                }
                Some((*to, varies))
            }
            Expr::Lanes { buf, .. } => {
                self.combined(*buf, place);
                let b = self.buffer(*buf, place)?;
                if b.space != Space::Register {
                    let (what, rule) = ("lanes are taken of", "it must be a register array");
                    self.fail(place, Fault::Space { what, buffer: b.name.clone(), space: space(b), rule });
                }
                if let Some(len) = self.index(&b.len, place).and_then(|l| l.as_const())
                    && !(len > 0 && (len as u64).is_power_of_two())
                {
                    let what = format!("the length of `{}`, whose lanes are reduced,", b.name);
                    self.fail(place, Fault::Number { what, found: len, rule: "a power of two" });
                }
                Some((b.dtype, false))
            }
        }
    }

    fn val(&mut self, val: ValId, place: &str) -> Option<(DType, bool)> {
        let Some(dtype) = self.kernel.vals.get(val.at()).copied() else {
            let count = self.kernel.vals.len();
            self.fail(place, Fault::Undeclared { what: "value", id: val.0, count });
            return None;
        };
        match self.vals[val.at()] {
            Some(varies) => Some((dtype, varies)),
            None => {
                self.fail(place, Fault::Unbound { what: format!("value %{}", val.0) });
                None
            }
        }
    }

    fn index(&mut self, i: &Index, place: &str) -> Option<Position> {
        Some(match i {
            Index::Const(c) => Position::constant(*c),
            Index::Var(v) => {
                let Some(name) = self.kernel.vars.get(v.at()) else {
                    let count = self.kernel.vars.len();
                    self.fail(place, Fault::Undeclared { what: "loop variable", id: v.0, count });
                    return None;
                };
                match &self.vars[v.at()] {
                    Some(p) => p.clone(),
                    None => {
                        self.fail(place, Fault::Unbound { what: format!("loop variable `{name}`") });
                        return None;
                    }
                }
            }
            Index::Dim(d) => {
                let count = self.kernel.dims.len();
                if d.at() >= count {
                    self.fail(place, Fault::Undeclared { what: "dimension", id: d.0, count });
                    return None;
                }
                Position::dimension()
            }
            Index::Val(v) => {
                let (dtype, varies) = self.val(*v, place)?;
                if dtype.is_float() {
                    let what = format!("value %{}, used as a position,", v.0);
                    let (expected, found) = ("of an integer type".to_owned(), dtype.to_string());
                    self.fail(place, Fault::Type { what, expected, found });
                    return None;
                }
                Position::value(dtype, varies)
            }
            Index::Add(a, b) => self.index(a, place)?.add(&self.index(b, place)?),
            Index::Sub(a, b) => self.index(a, place)?.sub(&self.index(b, place)?),
            Index::Mul(a, b) => self.index(a, place)?.mul(&self.index(b, place)?),
            Index::Min(a, b) => self.index(a, place)?.bound(&self.index(b, place)?, false),
            Index::Max(a, b) => self.index(a, place)?.bound(&self.index(b, place)?, true),
            Index::Div(a, b) | Index::Mod(a, b) => {
                let (x, d) = (self.index(a, place)?, self.index(b, place)?);
                if d.range.1 < 1 {
                    let found = i64::try_from(d.range.1).unwrap_or(i64::MIN);
                    self.fail(place, Fault::Number { what: "a divisor".into(), found, rule: "1 or more" });
                    return None;
                }
                x.divide(&d, matches!(i, Index::Div(..)), self.lanes.max(1))
            }
        })
    }
}

/// Whether a position uses constants and dimensions only.
fn is_fixed(i: &Index) -> bool {
    match i {
        Index::Const(_) | Index::Dim(_) => true,
        Index::Var(_) | Index::Val(_) => false,
        Index::Add(a, b)
        | Index::Sub(a, b)
        | Index::Mul(a, b)
        | Index::Div(a, b)
        | Index::Mod(a, b)
        | Index::Min(a, b)
        | Index::Max(a, b) => is_fixed(a) && is_fixed(b),
    }
}
