//! The text form of kernels. What it prints, [`parse`](super::parse::parse) reads back as the same kernel.
//!
//! ```text
//! kernel scale {
//!   dims n
//!   in x: f32[n]
//!   out y: f32[n]
//!
//!   parallel b in 0..n step 64 {
//!     vector(8) i in b..min(b + 64, n) {
//!       let %0: f32 = x[i]
//!       y[i] = mul(%0, 0.5:f32)
//!     }
//!   }
//! }
//! ```
//!
//! Variables, dimensions and buffers go by name where the name leads to them, else by number: `var(3)`,
//! `dim(1)`, `@2`. Values are always numbered. The tables `vars` and `vals` are written only where the body
//! does not give them.

use super::*;
use crate::text::{name_text, value_text};
use std::fmt::{self, Write as _};

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut count = 0;
        let given = loops_give_vars(&self.body, &mut count) && count as usize == self.vars.len();
        let mut p = Printer { kernel: self, out: String::new(), depth: 1, scope: vec![], vars_follow: given };
        p.kernel();
        f.write_str(&p.out)
    }
}

/// The word that starts a loop, a `let`, a buffer's declaration and so on.
pub(super) const fn space_word(space: Space) -> &'static str {
    match space {
        Space::In => "in",
        Space::Out => "out",
        Space::InOut => "inout",
        Space::Stack => "stack",
        Space::Register => "register",
    }
}

/// The sign of an accumulation.
pub(super) const fn accumulate_sign(op: ReduceOp) -> &'static str {
    match op {
        ReduceOp::Sum => "+=",
        ReduceOp::Prod => "*=",
        ReduceOp::Max => "max=",
        ReduceOp::Min => "min=",
    }
}

/// Loop variables in the order of their loops, if that is the order of the table: each loop has the next.
fn loops_give_vars(body: &[Stmt], next: &mut u32) -> bool {
    body.iter().all(|s| match s {
        Stmt::For { var, body, .. } => {
            let fits = var.0 == *next;
            *next = next.wrapping_add(1);
            fits && loops_give_vars(body, next)
        }
        Stmt::If { then, otherwise, .. } => loops_give_vars(then, next) && loops_give_vars(otherwise, next),
        _ => true,
    })
}

/// Whether the statements bind the next value each, in the order of the text.
fn lets_give_vals(body: &[Stmt], next: &mut u32) -> bool {
    body.iter().all(|s| match s {
        Stmt::For { body, .. } => lets_give_vals(body, next),
        Stmt::If { then, otherwise, .. } => lets_give_vals(then, next) && lets_give_vals(otherwise, next),
        Stmt::Let { val, .. } => {
            let fits = val.0 == *next;
            *next = next.wrapping_add(1);
            fits
        }
        _ => true,
    })
}

struct Printer<'k> {
    kernel: &'k Kernel,
    out: String,
    depth: usize,
    /// Variables of the open loops.
    scope: Vec<VarId>,
    /// Whether the table of variables follows from the loops.
    vars_follow: bool,
}

impl Printer<'_> {
    fn line(&mut self, text: &str) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn kernel(&mut self) {
        let k = self.kernel;
        let _ = writeln!(self.out, "kernel {} {{", name_text(&k.name));
        let names = |names: &[String]| names.iter().map(|n| name_text(n)).collect::<Vec<_>>().join(", ");
        if !k.dims.is_empty() {
            self.line(&format!("dims {}", names(&k.dims)));
        }
        for b in &k.buffers {
            let (space, name) = (space_word(b.space), name_text(&b.name));
            let len = self.index(&b.len);
            self.line(&format!("{space} {name}: {}[{len}]", b.dtype));
        }
        if !self.vars_follow && !k.vars.is_empty() {
            self.line(&format!("vars {}", names(&k.vars)));
        }
        let mut count = 0;
        let vals_follow = lets_give_vals(&k.body, &mut count) && count as usize == k.vals.len();
        if !vals_follow && !k.vals.is_empty() {
            let types: Vec<&str> = k.vals.iter().map(|d| d.name()).collect();
            self.line(&format!("vals {}", types.join(", ")));
        }
        if !k.buffers.is_empty() && !k.body.is_empty() {
            self.out.push('\n');
        }
        self.block(&k.body);
        self.out.push_str("}\n");
    }

    fn block(&mut self, body: &[Stmt]) {
        for s in body {
            self.stmt(s);
        }
    }

    fn stmt(&mut self, s: &Stmt) {
        match s {
            Stmt::For { var, lo, hi, step, kind, body } => {
                let kind_text = match kind {
                    AxisKind::Serial => "for".to_owned(),
                    AxisKind::Unroll => "unroll".to_owned(),
                    AxisKind::Vector(n) => format!("vector({n})"),
                    AxisKind::Parallel(_) => "parallel".to_owned(),
                };
                let name = self.var_header(*var);
                let (lo, hi) = (self.index(lo), self.index(hi));
                let step = if *step == 1 { String::new() } else { format!(" step {step}") };
                let split = match kind {
                    AxisKind::Parallel(Split::ByPrefix { prefix, rows_per_iteration }) => {
                        format!(" by {}({rows_per_iteration})", self.buf(*prefix))
                    }
                    _ => String::new(),
                };
                self.line(&format!("{kind_text} {name} in {lo}..{hi}{step}{split} {{"));
                self.scope.push(*var);
                self.inside(body);
                self.scope.pop();
                self.line("}");
            }
            Stmt::If { cond, then, otherwise } => {
                let cond = self.expr(cond);
                self.line(&format!("if {cond} {{"));
                self.inside(then);
                if !otherwise.is_empty() {
                    self.line("} else {");
                    self.inside(otherwise);
                }
                self.line("}");
            }
            Stmt::Let { val, expr } => {
                let dtype = self.kernel.vals.get(val.at()).map_or("?", |d| d.name());
                let expr = self.expr(expr);
                self.line(&format!("let %{}: {dtype} = {expr}", val.0));
            }
            Stmt::Store { buf, index, value } => {
                let (buf, index, value) = (self.buf(*buf), self.index(index), self.expr(value));
                self.line(&format!("{buf}[{index}] = {value}"));
            }
            Stmt::Accumulate { op, buf, index, value } => {
                let (buf, index, value) = (self.buf(*buf), self.index(index), self.expr(value));
                self.line(&format!("{buf}[{index}] {} {value}", accumulate_sign(*op)));
            }
            Stmt::Fill { buf, value } => {
                let buf = self.buf(*buf);
                self.line(&format!("fill {buf} = {}", literal_text(*value)));
            }
            Stmt::Prefetch { buf, index } => {
                let (buf, index) = (self.buf(*buf), self.index(index));
                self.line(&format!("prefetch {buf}[{index}]"));
            }
        }
    }

    fn inside(&mut self, body: &[Stmt]) {
        self.depth += 1;
        self.block(body);
        self.depth -= 1;
    }

    /// A loop's own variable: by name where the table follows from the loops, else by number.
    fn var_header(&self, var: VarId) -> String {
        match self.kernel.vars.get(var.at()) {
            Some(name) if self.vars_follow => name_text(name),
            _ => format!("var({})", var.0),
        }
    }

    fn var(&self, var: VarId) -> String {
        let name = self.kernel.vars.get(var.at()).filter(|n| crate::text::is_word(n));
        // The innermost loop of a name is what the name means.
        let means = |n: &String| self.scope.iter().rev().find(|v| self.kernel.vars.get(v.at()) == Some(n));
        match name {
            Some(n) if means(n) == Some(&var) => n.clone(),
            _ => format!("var({})", var.0),
        }
    }

    fn dim(&self, dim: DimId) -> String {
        let name = self.kernel.dims.get(dim.at()).filter(|n| crate::text::is_word(n));
        let hidden = |n: &String| {
            self.scope.iter().any(|v| self.kernel.vars.get(v.at()) == Some(n))
                || self.kernel.dims.iter().position(|d| d == n) != Some(dim.at())
        };
        match name {
            Some(n) if !hidden(n) => n.clone(),
            _ => format!("dim({})", dim.0),
        }
    }

    fn buf(&self, buf: BufId) -> String {
        match self.kernel.buffers.get(buf.at()) {
            Some(b) if self.kernel.buffers.iter().position(|o| o.name == b.name) == Some(buf.at()) => {
                name_text(&b.name)
            }
            _ => format!("@{}", buf.0),
        }
    }

    fn index(&self, i: &Index) -> String {
        self.index_at(i, 0)
    }

    /// An index inside an operator that binds this tightly: 0 nothing, 1 a sum's right side or a product.
    fn index_at(&self, i: &Index, tight: u8) -> String {
        let infix = |a: &Index, sign: &str, b: &Index, level: u8| {
            let text = format!("{} {sign} {}", self.index_at(a, level), self.index_at(b, level + 1));
            if tight > level { format!("({text})") } else { text }
        };
        let call = |name: &str, a: &Index, b: &Index| format!("{name}({}, {})", self.index(a), self.index(b));
        match i {
            Index::Const(c) => c.to_string(),
            Index::Var(v) => self.var(*v),
            Index::Dim(d) => self.dim(*d),
            Index::Val(v) => format!("%{}", v.0),
            Index::Add(a, b) => infix(a, "+", b, 0),
            Index::Sub(a, b) => infix(a, "-", b, 0),
            Index::Mul(a, b) => infix(a, "*", b, 1),
            Index::Div(a, b) => call("div", a, b),
            Index::Mod(a, b) => call("mod", a, b),
            Index::Min(a, b) => call("min", a, b),
            Index::Max(a, b) => call("max", a, b),
        }
    }

    fn expr(&self, e: &Expr) -> String {
        match e {
            Expr::Lit(l) => literal_text(*l),
            Expr::Val(v) => format!("%{}", v.0),
            Expr::Index(i) => format!("index({})", self.index(i)),
            Expr::Load { buf, index } => format!("{}[{}]", self.buf(*buf), self.index(index)),
            Expr::Op(op, args) => {
                let args: Vec<String> = args.iter().map(|a| self.expr(a)).collect();
                format!("{}({})", op.name(), args.join(", "))
            }
            Expr::Cast(to, x) => format!("{to}({})", self.expr(x)),
            Expr::Dot4 { a, b } => {
                let bytes =
                    |(buf, at): &(BufId, Box<Index>)| format!("{}[{}]", self.buf(*buf), self.index(at));
                format!("dot4({}, {})", bytes(a), bytes(b))
            }
            Expr::Bits(to, x) => format!("bits({to}, {})", self.expr(x)),
            Expr::Lanes { op, buf } => format!("lanes({}, {})", op.name(), self.buf(*buf)),
        }
    }
}

/// A constant with its type: `0.5:f32`; a truth value as `true` or `false`.
fn literal_text(l: Literal) -> String {
    match l.dtype() {
        DType::Bool => value_text(l),
        d => format!("{}:{d}", value_text(l)),
    }
}
