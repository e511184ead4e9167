//! Statements and loops.
//!
//! Loops that the nest marks `Unroll`, and vector loops that are short or index register arrays, are written
//! out here with constants in place of their variable: register arrays then have constant positions only and
//! are promoted to registers. All other loops test their bounds once on entry and once at the end.

use inkwell::IntPredicate;
use inkwell::values::IntValue;
use latentc_ir::dtype::DType;
use latentc_ir::nest::{AxisKind, BufId, Expr, Index, Space, Stmt, VarId};
use latentc_ir::scalar::{ReduceOp, ScalarOp};

use super::super::EmitError;
use super::super::vector::{V, lanes};
use super::index::{Ix, Linear, gcd};
use super::{Emitter, Value};

/// Vector iterations up to which a loop of constant bounds is written out.
const WRITE_OUT: i64 = 8;
/// Elements up to which a constant is stored one by one to a stack buffer.
const FILL_OUT: i64 = 64;

type Done = Result<(), EmitError>;

impl<'c> Emitter<'_, 'c> {
    /// The statements of the kernel; a parallel loop here runs over the caller's range.
    pub(super) fn top(&mut self, body: &[Stmt]) -> Done {
        let parallel = |s: &Stmt| matches!(s, Stmt::For { kind: AxisKind::Parallel(_), .. });
        match body {
            [Stmt::For { var, lo, step, kind: AxisKind::Parallel(_), body, .. }] => {
                let (first, end) = self.range;
                let lo = self.uniform(lo, "the parallel loop's lower bound")?;
                let like =
                    Linear { divisor: lo.as_const().unwrap_or(1), ..Linear::value(first, lo.is_nonneg()) };
                self.counted(*var, like, end, *step, 1, body)
            }
            [s, ..] if body.len() > 1 && body.iter().any(parallel) => {
                let _ = s;
                Err(self.malformed("a parallel loop is not the whole body"))
            }
            body => self.block(body),
        }
    }

    /// Statements with a scope of their own.
    fn block(&mut self, body: &[Stmt]) -> Done {
        let mark = self.bound.len();
        for s in body {
            self.stmt(s)?;
        }
        for v in self.bound.drain(mark..) {
            self.vals[v.at()] = None;
        }
        Ok(())
    }

    fn stmt(&mut self, s: &Stmt) -> Done {
        match s {
            Stmt::For { var, lo, hi, step, kind, body } => self.loop_(*var, lo, hi, *step, *kind, body),
            Stmt::If { cond, then, otherwise } => self.branch(cond, then, otherwise),
            Stmt::Let { val, expr } => {
                let Some(dtype) = self.kernel.vals.get(val.at()).copied() else {
                    return Err(self.malformed(format!("undeclared value {}", val.0)));
                };
                let v = self.expr_of(expr, dtype, "a named value")?;
                self.vals[val.at()] = Some(v);
                self.bound.push(*val);
                Ok(())
            }
            Stmt::Store { buf, index, value } => {
                let dtype = self.written(*buf)?;
                let v = self.expr_of(value, dtype, &self.name_of(*buf))?;
                let ix = self.index(index)?;
                self.write(*buf, &ix, v)
            }
            Stmt::Accumulate { op, buf, index, value } => self.accumulate(*op, *buf, index, value),
            Stmt::Fill { buf, value } => {
                let (_, dtype) = self.buffer(*buf)?;
                if value.dtype() != dtype {
                    return Err(self.mismatch(&self.name_of(*buf), dtype.name(), value.dtype().name()));
                }
                let v = Value { raw: self.literal(*value), dtype };
                self.fill(*buf, v)
            }
            Stmt::Prefetch { buf, index } => {
                let at = match self.index(index)? {
                    Ix::Linear(l) => Linear { stride: 0, ..l },
                    ix => self.lane_positions(&ix)?[0],
                };
                let at = self.address(*buf, &at)?;
                let i32 = |x: u64| V::from(self.ops.ctx.i32_type().const_int(x, false));
                let read_near_data = [at.into(), i32(0), i32(3), i32(1)];
                self.ops.call("llvm.prefetch", &[self.ops.ptr_type().into()], &read_near_data)?;
                Ok(())
            }
        }
    }

    /// The element type of a buffer that is written: LLVM is told that inputs never are.
    fn written(&self, buf: BufId) -> Result<DType, EmitError> {
        let (_, dtype) = self.buffer(buf)?;
        match self.kernel.buffers[buf.at()].space {
            Space::In => Err(self.malformed(format!("{}, an input, is written", self.name_of(buf)))),
            _ => Ok(dtype),
        }
    }

    fn name_of(&self, buf: BufId) -> String {
        match self.kernel.buffers.get(buf.at()) {
            Some(b) => format!("buffer `{}`", b.name),
            None => format!("buffer {}", buf.0),
        }
    }

    fn loop_(
        &mut self,
        var: VarId,
        lo: &Index,
        hi: &Index,
        step: i64,
        kind: AxisKind,
        body: &[Stmt],
    ) -> Done {
        let name = match self.kernel.vars.get(var.at()) {
            Some(n) => format!("the bounds of loop `{n}`"),
            None => return Err(self.malformed(format!("undeclared loop variable {}", var.0))),
        };
        if step < 1 {
            return Err(self.malformed(format!("{name}: a step of {step}; steps are positive")));
        }
        let (lo, hi) = (self.uniform(lo, &name)?, self.uniform(hi, &name)?);
        let fixed = lo.as_const().zip(hi.as_const());
        match (kind, fixed) {
            (AxisKind::Parallel(_), _) => Err(self.malformed("a parallel loop is not the whole body")),
            (AxisKind::Unroll, None) => {
                Err(EmitError::NotConstant { kernel: self.kernel.name.clone(), what: name })
            }
            (AxisKind::Unroll, Some((lo, hi))) => self.written_out(var, lo, hi, step, 1, body),
            (AxisKind::Serial, _) => {
                let end = self.scalar(&hi)?;
                self.counted(var, lo, end, step, 1, body)
            }
            (AxisKind::Vector(n), _) if n == 0 || n > 64 || !n.is_power_of_two() => {
                Err(self.malformed(format!("a vector loop of {n} lanes; 1, 2, 4 .. 64 are possible")))
            }
            (AxisKind::Vector(_), _) if step != 1 => {
                Err(self.malformed(format!("{name}: a vector loop steps by {step}; it must be 1")))
            }
            (AxisKind::Vector(_), _) if self.lanes > 1 => {
                Err(self.malformed(format!("{name}: a vector loop within a vector loop")))
            }
            (AxisKind::Vector(n), Some((lo, hi))) => self.vector_fixed(var, lo, hi.max(lo), n, body),
            (AxisKind::Vector(n), None) => self.vector_dynamic(var, lo, hi, n, body),
        }
    }

    /// A vector loop of constant bounds: whole vectors, then the rest in halves of the width.
    fn vector_fixed(&mut self, var: VarId, lo: i64, hi: i64, n: u32, body: &[Stmt]) -> Done {
        let width = i64::from(n);
        let main = lo + (hi - lo) / width * width;
        if (main - lo) / width <= WRITE_OUT || self.indexes_registers(body, var) {
            self.written_out(var, lo, main, width, n, body)?;
        } else {
            let end = self.ops.i64(main);
            self.counted(var, Linear::constant(lo), end, width, n, body)?;
        }
        let (mut at, mut half) = (main, n / 2);
        while half > 0 && at < hi {
            if at + i64::from(half) <= hi {
                self.written_out(var, at, at + i64::from(half), i64::from(half), half, body)?;
                at += i64::from(half);
            }
            half /= 2;
        }
        Ok(())
    }

    /// A vector loop of run-time bounds: whole vectors, then one by one.
    fn vector_dynamic(&mut self, var: VarId, lo: Linear<'c>, hi: Linear<'c>, n: u32, body: &[Stmt]) -> Done {
        let b = &self.ops.builder;
        let (start, end) = (self.scalar(&lo)?, self.scalar(&hi)?);
        let count = b.build_int_sub(end, start, "")?;
        let whole = b.build_and(count, self.ops.i64(-i64::from(n)), "")?;
        let some = b.build_int_compare(IntPredicate::SGT, count, self.ops.i64(0), "")?;
        let whole = b.build_select(some, whole, self.ops.i64(0), "")?.into_int_value();
        let middle = b.build_int_add(start, whole, "")?;
        self.counted(var, lo, middle, i64::from(n), n, body)?;
        if n == 1 {
            return Ok(());
        }
        let rest = Linear { divisor: 1, ..Linear::value(middle, lo.is_nonneg()) };
        self.counted(var, rest, end, 1, 1, body)
    }

    /// Writes the body once for every value, with the value in place of the variable.
    fn written_out(&mut self, var: VarId, lo: i64, hi: i64, step: i64, n: u32, body: &[Stmt]) -> Done {
        let mut at = lo;
        while at < hi {
            let v = Linear { stride: i64::from(n > 1), ..Linear::constant(at) };
            self.iteration(var, v, n, body)?;
            at += step;
        }
        Ok(())
    }

    /// Runs the body with a value of the variable, in `n` lanes.
    fn iteration(&mut self, var: VarId, value: Linear<'c>, n: u32, body: &[Stmt]) -> Done {
        let outer = self.lanes;
        self.lanes = outer.max(n);
        let shadowed = self.vars[var.at()].replace(value);
        self.block(body)?;
        self.vars[var.at()] = shadowed;
        self.lanes = outer;
        Ok(())
    }

    /// A loop from `lo` to `end` by `step`, the body in `n` lanes.
    fn counted(
        &mut self,
        var: VarId,
        lo: Linear<'c>,
        end: IntValue<'c>,
        step: i64,
        n: u32,
        body: &[Stmt],
    ) -> Done {
        let (ctx, b) = (self.ops.ctx, &self.ops.builder);
        let known = |l: &Linear<'c>| if l.base.is_none() { l.offset } else { l.divisor };
        let divisor = gcd(known(&lo), step);
        let start = self.scalar(&lo)?;
        let before = b.get_insert_block().ok_or_else(|| EmitError::internal("no open block"))?;
        let (head, exit) =
            (ctx.append_basic_block(self.function, "loop"), ctx.append_basic_block(self.function, "next"));
        let enter = b.build_int_compare(IntPredicate::SLT, start, end, "")?;
        b.build_conditional_branch(enter, head, exit)?;
        b.position_at_end(head);
        let phi = b.build_phi(ctx.i64_type(), &self.kernel.vars[var.at()])?;
        let at = phi.as_basic_value().into_int_value();
        let value =
            Linear { base: Some(at), offset: 0, stride: i64::from(n > 1), divisor, nonneg: lo.is_nonneg() };
        self.iteration(var, value, n, body)?;
        let b = &self.ops.builder;
        let next = b.build_int_nsw_add(at, self.ops.i64(step), "")?;
        let again = b.build_int_compare(IntPredicate::SLT, next, end, "")?;
        let last = b.get_insert_block().ok_or_else(|| EmitError::internal("no open block"))?;
        b.build_conditional_branch(again, head, exit)?;
        phi.add_incoming(&[(&start, before), (&next, last)]);
        b.position_at_end(exit);
        Ok(())
    }

    fn branch(&mut self, cond: &Expr, then: &[Stmt], otherwise: &[Stmt]) -> Done {
        let c = self.expr_of(cond, DType::Bool, "the condition of a branch")?;
        let V::IntValue(c) = c.raw else {
            return Err(EmitError::VariesOverLanes {
                kernel: self.kernel.name.clone(),
                place: "the condition of a branch".to_owned(),
            });
        };
        let (ctx, f) = (self.ops.ctx, self.function);
        let (yes, no, next) = (
            ctx.append_basic_block(f, "then"),
            ctx.append_basic_block(f, "else"),
            ctx.append_basic_block(f, "next"),
        );
        self.ops.builder.build_conditional_branch(c, yes, no)?;
        for (at, body) in [(yes, then), (no, otherwise)] {
            self.ops.builder.position_at_end(at);
            self.block(body)?;
            self.ops.builder.build_unconditional_branch(next)?;
        }
        self.ops.builder.position_at_end(next);
        Ok(())
    }

    /// Stores a value: contiguous lanes at once; the last lane where all write one place; else one by one.
    fn write(&mut self, buf: BufId, ix: &Ix<'c>, v: Value<'c>) -> Done {
        let o = self.ops;
        let align = v.dtype.size() as u32;
        match ix {
            Ix::Linear(l) if l.stride == 0 => {
                let last = o.slice(v.raw, lanes(v.raw) - 1, 1)?;
                o.store(o.encode(v.dtype, last)?, self.address(buf, l)?, align)
            }
            Ix::Linear(l) if l.stride == 1 => {
                let all = o.encode(v.dtype, o.splat(v.raw, self.lanes)?)?;
                o.store(all, self.address(buf, l)?, align)
            }
            ix => {
                let all = o.encode(v.dtype, o.splat(v.raw, self.lanes)?)?;
                for (lane, l) in self.lane_positions(ix)?.iter().enumerate() {
                    o.store(o.slice(all, lane as u32, 1)?, self.address(buf, l)?, align)?;
                }
                Ok(())
            }
        }
    }

    fn accumulate(&mut self, op: ReduceOp, buf: BufId, index: &Index, value: &Expr) -> Done {
        let dtype = self.written(buf)?;
        let place = self.name_of(buf);
        // A sum of a product is one operation, with one rounding where the machine has that.
        let terms = match value {
            Expr::Op(ScalarOp::Mul, ab) if op == ReduceOp::Sum && dtype.is_float() && ab.len() == 2 => {
                vec![self.expr_of(&ab[0], dtype, &place)?, self.expr_of(&ab[1], dtype, &place)?]
            }
            value => vec![self.expr_of(value, dtype, &place)?],
        };
        let ix = self.index(index)?;
        let together = match &ix {
            Ix::Linear(l) => l.stride == 1 || self.lanes == 1,
            Ix::Lanes(_) => false,
        };
        if together {
            let old = self.load(buf, &ix)?;
            if let (Expr::Dot4 { a, b }, ReduceOp::Sum, DType::I32) = (value, op, dtype) {
                let new = self.dot4(a, b, Some(old))?;
                return self.write(buf, &ix, new);
            }
            let new = self.combined(op, old, &terms)?;
            return self.write(buf, &ix, new);
        }
        // Lanes that may meet in one element take turns, in order.
        let lanes_of = self.lanes;
        for (lane, l) in self.lane_positions(&ix)?.into_iter().enumerate() {
            let part = |t: &Value<'c>| -> Result<Value<'c>, EmitError> {
                Ok(Value { raw: self.ops.slice(t.raw, lane as u32, 1)?, dtype: t.dtype })
            };
            let parts = terms.iter().map(part).collect::<Result<Vec<_>, _>>()?;
            self.lanes = 1;
            let at = Ix::Linear(l);
            let old = self.load(buf, &at)?;
            let new = self.combined(op, old, &parts)?;
            self.write(buf, &at, new)?;
            self.lanes = lanes_of;
        }
        Ok(())
    }

    /// What an accumulation leaves: `old op term`, or `old + a * b`, which machines without the instruction for it
    /// round twice: one rounding would be a call of the C library for every lane.
    fn combined(&self, op: ReduceOp, old: Value<'c>, terms: &[Value<'c>]) -> Result<Value<'c>, EmitError> {
        let o = self.ops;
        let n = terms.iter().map(|t| lanes(t.raw)).chain([lanes(old.raw)]).max().unwrap_or(1);
        let old_raw = o.splat(old.raw, n)?;
        let raw = match terms {
            [a, b] => {
                let r = o.mad(o.splat(a.raw, n)?, o.splat(b.raw, n)?, old_raw)?;
                o.round_to(old.dtype, r)?
            }
            [a] => o.combine(op, old.dtype, old_raw, o.splat(a.raw, n)?)?,
            _ => return Err(EmitError::internal("an accumulation without a term")),
        };
        Ok(Value { raw, dtype: old.dtype })
    }

    fn fill(&mut self, buf: BufId, v: Value<'c>) -> Done {
        let info = &self.kernel.buffers[buf.at()];
        if !matches!(info.space, Space::Stack | Space::Register) {
            return Err(self.malformed(format!("a fill of `{}`, which is not local", info.name)));
        }
        let len = self.uniform(&info.len, &info.name)?.as_const().unwrap_or(0);
        let o = self.ops;
        let align = v.dtype.size() as u32;
        if info.space == Space::Register || len <= FILL_OUT {
            // Element by element: promotion to registers then finds any grouping that the loops use.
            let one = o.encode(v.dtype, v.raw)?;
            for i in 0..len {
                o.store(one, self.address(buf, &Linear::constant(i))?, align)?;
            }
            return Ok(());
        }
        let n = self.isa.lanes;
        let main = len - len % i64::from(n);
        let wide = o.encode(v.dtype, o.splat(v.raw, n)?)?;
        let (ctx, b) = (o.ctx, &o.builder);
        let before = b.get_insert_block().ok_or_else(|| EmitError::internal("no open block"))?;
        let (head, exit) =
            (ctx.append_basic_block(self.function, "fill"), ctx.append_basic_block(self.function, "next"));
        b.build_unconditional_branch(head)?;
        b.position_at_end(head);
        let phi = b.build_phi(ctx.i64_type(), "at")?;
        let at = phi.as_basic_value().into_int_value();
        o.store(wide, self.address(buf, &Linear::value(at, true))?, align)?;
        let next = b.build_int_nsw_add(at, o.i64(i64::from(n)), "")?;
        let again = b.build_int_compare(IntPredicate::SLT, next, o.i64(main), "")?;
        b.build_conditional_branch(again, head, exit)?;
        phi.add_incoming(&[(&o.i64(0), before), (&next, head)]);
        b.position_at_end(exit);
        let one = o.encode(v.dtype, v.raw)?;
        for i in main..len {
            o.store(one, self.address(buf, &Linear::constant(i))?, align)?;
        }
        Ok(())
    }

    /// Whether the statements index a register array by this variable.
    fn indexes_registers(&self, body: &[Stmt], var: VarId) -> bool {
        let register =
            |b: &BufId| self.kernel.buffers.get(b.at()).is_some_and(|b| b.space == Space::Register);
        body.iter().any(|s| match s {
            Stmt::For { body, .. } => self.indexes_registers(body, var),
            Stmt::If { cond, then, otherwise } => {
                self.reads_registers(cond, var)
                    || self.indexes_registers(then, var)
                    || self.indexes_registers(otherwise, var)
            }
            Stmt::Let { expr, .. } => self.reads_registers(expr, var),
            Stmt::Store { buf, index, value } | Stmt::Accumulate { buf, index, value, .. } => {
                (register(buf) && mentions(index, var)) || self.reads_registers(value, var)
            }
            Stmt::Fill { .. } | Stmt::Prefetch { .. } => false,
        })
    }

    fn reads_registers(&self, e: &Expr, var: VarId) -> bool {
        match e {
            Expr::Load { buf, index } => {
                let register = self.kernel.buffers.get(buf.at()).is_some_and(|b| b.space == Space::Register);
                register && mentions(index, var)
            }
            Expr::Op(_, args) => args.iter().any(|a| self.reads_registers(a, var)),
            Expr::Cast(_, x) | Expr::Bits(_, x) => self.reads_registers(x, var),
            Expr::Dot4 { a, b } => {
                let load =
                    |(buf, index): &(BufId, Box<Index>)| Expr::Load { buf: *buf, index: index.clone() };
                self.reads_registers(&load(a), var) || self.reads_registers(&load(b), var)
            }
            Expr::Lit(_) | Expr::Val(_) | Expr::Index(_) | Expr::Lanes { .. } => false,
        }
    }
}

/// Whether a position depends on a loop variable directly.
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
