//! Reading kernels from their text form (see the module `text` beside this one).
//!
//! The reader resolves names and builds the tables; whether the kernel keeps the rules is for
//! [`verify`](super::verify::verify) to say.

use super::text::{accumulate_sign, space_word};
use super::*;
use crate::diag::{Diag, Span};
use crate::text::{Cursor, Piece, nearest};

/// Nested loops, branches, parentheses and calls together: beyond it the text is refused, not the stack
/// exhausted.
const DEPTH: usize = 200;

/// Reads one kernel. `file` is what messages call the text.
///
/// # Errors
/// The first thing that is not as expected, with its line and column.
pub fn parse(file: &str, text: &str) -> Result<Kernel, Diag> {
    let mut cursor = Cursor::new(file, text)?;
    let kernel = kernel(&mut cursor)?;
    cursor.end()?;
    Ok(kernel)
}

/// Reads kernels that stand one after the other.
///
/// # Errors
/// As [`parse()`].
pub fn parse_all(file: &str, text: &str) -> Result<Vec<Kernel>, Diag> {
    let mut cursor = Cursor::new(file, text)?;
    let mut kernels = vec![];
    while *cursor.peek() != Piece::End {
        kernels.push(kernel(&mut cursor)?);
    }
    Ok(kernels)
}

fn kernel(cursor: &mut Cursor) -> Result<Kernel, Diag> {
    cursor.expect_word("kernel")?;
    let name = cursor.name("the kernel's name")?;
    cursor.expect("{")?;
    let kernel = Kernel { name, dims: vec![], buffers: vec![], vars: vec![], vals: vec![], body: vec![] };
    let mut p = Parser { cursor, kernel, scope: vec![], fixed_vars: false, fixed_vals: false, depth: 0 };
    p.declarations()?;
    p.kernel.body = p.statements()?;
    Ok(p.kernel)
}

struct Parser<'c> {
    cursor: &'c mut Cursor,
    kernel: Kernel,
    /// Variables of the open loops.
    scope: Vec<VarId>,
    /// Whether the tables were given.
    fixed_vars: bool,
    fixed_vals: bool,
    depth: usize,
}

impl Parser<'_> {
    fn deeper(&mut self) -> Result<(), Diag> {
        self.depth += 1;
        if self.depth <= DEPTH {
            return Ok(());
        }
        let message = format!("more than {DEPTH} loops, branches and calls within each other");
        Err(Diag::new(message, self.cursor.span(), "here"))
    }

    fn names(&mut self, what: &str) -> Result<Vec<String>, Diag> {
        let mut names = vec![self.cursor.name(what)?];
        while self.cursor.eat(",") {
            names.push(self.cursor.name(what)?);
        }
        Ok(names)
    }

    fn declarations(&mut self) -> Result<(), Diag> {
        loop {
            // `in[0] = ..` is a store.
            let Piece::Word(word) = self.cursor.peek().clone() else { return Ok(()) };
            if matches!(self.cursor.peek_at(1), Piece::Sign("[")) {
                return Ok(());
            }
            let spaces = [Space::In, Space::Out, Space::InOut, Space::Stack, Space::Register];
            if let Some(space) = spaces.into_iter().find(|s| space_word(*s) == word) {
                self.cursor.next();
                let name = self.cursor.name("the buffer's name")?;
                self.cursor.expect(":")?;
                let dtype = self.cursor.dtype()?;
                self.cursor.expect("[")?;
                let len = self.index()?;
                self.cursor.expect("]")?;
                self.kernel.buffers.push(Buffer { name, dtype, len, space });
                continue;
            }
            match word.as_str() {
                "dims" => {
                    self.cursor.next();
                    self.kernel.dims = self.names("the name of a dimension")?;
                }
                "vars" => {
                    self.cursor.next();
                    self.kernel.vars = self.names("the name of a loop variable")?;
                    self.fixed_vars = true;
                }
                "vals" => {
                    self.cursor.next();
                    loop {
                        let dtype = self.cursor.dtype()?;
                        self.kernel.vals.push(dtype);
                        if !self.cursor.eat(",") {
                            break;
                        }
                    }
                    self.fixed_vals = true;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Statements up to the closing brace, which is taken.
    fn statements(&mut self) -> Result<Vec<Stmt>, Diag> {
        self.deeper()?;
        let mut body = vec![];
        while !self.cursor.eat("}") {
            if *self.cursor.peek() == Piece::End {
                return Err(self.cursor.wrong("a statement or `}`"));
            }
            body.push(self.statement()?);
        }
        self.depth -= 1;
        Ok(body)
    }

    fn statement(&mut self) -> Result<Stmt, Diag> {
        let word = match self.cursor.peek() {
            Piece::Word(w) if !matches!(self.cursor.peek_at(1), Piece::Sign("[")) => w.clone(),
            Piece::Word(_) | Piece::Quoted(_) | Piece::Sign("@") => return self.assignment(),
            _ => return Err(self.cursor.wrong("a statement or `}`")),
        };
        match word.as_str() {
            "for" | "unroll" | "vector" | "parallel" => self.loop_(),
            "if" => {
                self.cursor.next();
                let cond = self.expr()?;
                self.cursor.expect("{")?;
                let then = self.statements()?;
                let mut otherwise = vec![];
                if self.cursor.eat_word("else") {
                    self.cursor.expect("{")?;
                    otherwise = self.statements()?;
                }
                Ok(Stmt::If { cond, then, otherwise })
            }
            "let" => {
                self.cursor.next();
                let span = self.cursor.span();
                let val = self.val()?;
                self.cursor.expect(":")?;
                let dtype = self.cursor.dtype()?;
                self.cursor.expect("=")?;
                let expr = self.expr()?;
                self.declare(val, dtype, span)?;
                Ok(Stmt::Let { val, expr })
            }
            "fill" => {
                self.cursor.next();
                let buf = self.buf()?;
                self.cursor.expect("=")?;
                Ok(Stmt::Fill { buf, value: self.literal()? })
            }
            "prefetch" => {
                self.cursor.next();
                let (buf, index) = self.element()?;
                Ok(Stmt::Prefetch { buf, index })
            }
            word => {
                let known = ["for", "unroll", "vector", "parallel", "if", "let", "fill", "prefetch"];
                let diag = Diag::new(format!("`{word}` starts no statement"), self.cursor.span(), "here");
                Err(match nearest(word, known) {
                    Some(k) => diag.help(format!("`{k}` may be meant")),
                    None => {
                        diag.help(format!("statements start with a buffer and `[`, or {}", known.join(", ")))
                    }
                })
            }
        }
    }

    fn loop_(&mut self) -> Result<Stmt, Diag> {
        let word = self.cursor.word("a loop")?;
        let mut kind = match word.as_str() {
            "for" => AxisKind::Serial,
            "unroll" => AxisKind::Unroll,
            "parallel" => AxisKind::Parallel(Split::Even),
            _ => {
                self.cursor.expect("(")?;
                let n = self.cursor.id("the number of lanes")?;
                self.cursor.expect(")")?;
                AxisKind::Vector(n)
            }
        };
        let var = self.loop_var()?;
        self.cursor.expect_word("in")?;
        let lo = self.index()?;
        self.cursor.expect("..")?;
        let hi = self.index()?;
        let step = if self.cursor.eat_word("step") { self.cursor.int("the step")? } else { 1 };
        if matches!(kind, AxisKind::Parallel(_)) && self.cursor.eat_word("by") {
            let prefix = self.buf()?;
            self.cursor.expect("(")?;
            let rows_per_iteration = self.cursor.id("the rows of an iteration")?;
            self.cursor.expect(")")?;
            kind = AxisKind::Parallel(Split::ByPrefix { prefix, rows_per_iteration });
        }
        self.cursor.expect("{")?;
        self.scope.push(var);
        let body = self.statements()?;
        self.scope.pop();
        Ok(Stmt::For { var, lo, hi, step, kind, body })
    }

    /// The variable of a loop: a new one, or one of the table where that is given.
    fn loop_var(&mut self) -> Result<VarId, Diag> {
        if self.fixed_vars {
            if self.cursor.is_word("var") {
                return self.numbered_var();
            }
            return Err(self.cursor.wrong("`var(..)`, since the kernel lists its variables,"));
        }
        let name = self.cursor.name("the loop's variable")?;
        self.kernel.vars.push(name);
        Ok(VarId(self.kernel.vars.len() as u32 - 1))
    }

    fn numbered_var(&mut self) -> Result<VarId, Diag> {
        self.cursor.expect_word("var")?;
        let id = self.numbered(self.kernel.vars.len(), "loop variable")?;
        Ok(VarId(id))
    }

    /// A number in parentheses, below the length of its table.
    fn numbered(&mut self, len: usize, what: &str) -> Result<u32, Diag> {
        self.cursor.expect("(")?;
        let span = self.cursor.span();
        let id = self.cursor.id(&format!("the number of a {what}"))?;
        if id as usize >= len {
            return Err(Diag::new(format!("there is no {what} {id}; there are {len}"), span, "here"));
        }
        self.cursor.expect(")")?;
        Ok(id)
    }

    /// Gives a value its type in the table.
    fn declare(&mut self, val: ValId, dtype: DType, span: Span) -> Result<(), Diag> {
        match self.kernel.vals.get(val.at()) {
            Some(known) if *known != dtype => Err(Diag::new(
                format!("%{} is {known} elsewhere, {dtype} here", val.0),
                span,
                "a value has one type",
            )),
            Some(_) => Ok(()),
            None if val.at() == self.kernel.vals.len() && !self.fixed_vals => {
                self.kernel.vals.push(dtype);
                Ok(())
            }
            None => {
                let next = self.kernel.vals.len();
                let help =
                    "values are numbered in the order of their `let`, or listed by `vals` before the body";
                let diag =
                    Diag::new(format!("%{} is bound, but %{next} is the next value", val.0), span, "here");
                Err(diag.help(help))
            }
        }
    }

    fn val(&mut self) -> Result<ValId, Diag> {
        self.cursor.expect("%")?;
        Ok(ValId(self.cursor.id("the number of a value")?))
    }

    /// A value that is used: it must be in the table.
    fn known_val(&mut self) -> Result<ValId, Diag> {
        let span = self.cursor.span();
        let val = self.val()?;
        if val.at() < self.kernel.vals.len() {
            return Ok(val);
        }
        Err(Diag::new(format!("%{} is used before it is bound", val.0), span, "here"))
    }

    fn buf(&mut self) -> Result<BufId, Diag> {
        let span = self.cursor.span();
        if self.cursor.eat("@") {
            let id = self.cursor.id("the number of a buffer")?;
            if (id as usize) < self.kernel.buffers.len() {
                return Ok(BufId(id));
            }
            let message = format!("there is no buffer {id}; there are {}", self.kernel.buffers.len());
            return Err(Diag::new(message, span, "here"));
        }
        let name = self.cursor.name("a buffer")?;
        match self.kernel.buffers.iter().position(|b| b.name == name) {
            Some(at) => Ok(BufId(at as u32)),
            None => {
                let known = self.kernel.buffers.iter().map(|b| b.name.as_str());
                Err(unknown("buffer", &name, span, known))
            }
        }
    }

    fn element(&mut self) -> Result<(BufId, Index), Diag> {
        let buf = self.buf()?;
        self.cursor.expect("[")?;
        let index = self.index()?;
        self.cursor.expect("]")?;
        Ok((buf, index))
    }

    fn assignment(&mut self) -> Result<Stmt, Diag> {
        let (buf, index) = self.element()?;
        if self.cursor.eat("=") {
            return Ok(Stmt::Store { buf, index, value: self.expr()? });
        }
        for op in ReduceOp::ALL {
            // `max=` and `min=` are a word and a sign.
            let sign = accumulate_sign(op);
            let taken = match sign.strip_suffix('=') {
                Some(word) if self.cursor.is_word(word) => {
                    self.cursor.next();
                    self.cursor.expect("=")?;
                    true
                }
                _ => self.cursor.eat(sign),
            };
            if taken {
                return Ok(Stmt::Accumulate { op, buf, index, value: self.expr()? });
            }
        }
        Err(self.cursor.wrong("`=`, `+=`, `*=`, `max=` or `min=`"))
    }

    fn literal(&mut self) -> Result<Literal, Diag> {
        let span = self.cursor.span();
        let text = self.cursor.value()?;
        if matches!(text.as_str(), "true" | "false") {
            return self.cursor.literal(&text, DType::Bool, span);
        }
        self.cursor.expect(":")?;
        let dtype = self.cursor.dtype()?;
        self.cursor.literal(&text, dtype, span)
    }

    fn expr(&mut self) -> Result<Expr, Diag> {
        self.deeper()?;
        let e = self.expr_inside()?;
        self.depth -= 1;
        Ok(e)
    }

    fn expr_inside(&mut self) -> Result<Expr, Diag> {
        let next = self.cursor.peek_at(1).clone();
        let called = next == Piece::Sign("(");
        match self.cursor.peek().clone() {
            Piece::Sign("%") => Ok(Expr::Val(self.known_val()?)),
            Piece::Word(_) | Piece::Quoted(_) if next == Piece::Sign("[") => self.load(),
            Piece::Sign("@") => self.load(),
            Piece::Word(w) if called && w != "nan" => self.call(&w),
            _ if self.cursor.at_value() => Ok(Expr::Lit(self.literal()?)),
            _ => Err(self.cursor.wrong("a value")),
        }
    }

    fn load(&mut self) -> Result<Expr, Diag> {
        let (buf, index) = self.element()?;
        Ok(Expr::Load { buf, index: Box::new(index) })
    }

    fn call(&mut self, word: &str) -> Result<Expr, Diag> {
        let span = self.cursor.span();
        self.cursor.next();
        self.cursor.expect("(")?;
        let e = if let Some(op) = ScalarOp::parse(word) {
            let mut args = vec![];
            while !self.cursor.is(")") {
                if !args.is_empty() {
                    self.cursor.expect(",")?;
                }
                args.push(self.expr()?);
            }
            if args.len() != op.arity() {
                let message = format!("`{word}` takes {} operands, {} found", op.arity(), args.len());
                return Err(Diag::new(message, span, "here"));
            }
            Expr::Op(op, args)
        } else if let Some(to) = DType::parse(word) {
            Expr::Cast(to, Box::new(self.expr()?))
        } else if word == "dot4" {
            let (a, i) = self.element()?;
            self.cursor.expect(",")?;
            let (b, j) = self.element()?;
            Expr::Dot4 { a: (a, Box::new(i)), b: (b, Box::new(j)) }
        } else if word == "bits" {
            let at = self.cursor.span();
            let name = self.cursor.word("an element type")?;
            let Some(to) = DType::parse(&name) else {
                return Err(unknown("element type", &name, at, DType::ALL.map(DType::name)));
            };
            self.cursor.expect(",")?;
            Expr::Bits(to, Box::new(self.expr()?))
        } else if word == "index" {
            Expr::Index(Box::new(self.index()?))
        } else if word == "lanes" {
            let at = self.cursor.span();
            let name = self.cursor.word("a reduction")?;
            let Some(op) = ReduceOp::parse(&name) else {
                return Err(unknown("reduction", &name, at, ReduceOp::ALL.map(ReduceOp::name)));
            };
            self.cursor.expect(",")?;
            Expr::Lanes { op, buf: self.buf()? }
        } else {
            let known = ScalarOp::ALL.iter().map(|o| o.name());
            let known = known.chain(DType::ALL.map(DType::name)).chain(["bits", "dot4", "index", "lanes"]);
            return Err(unknown("operation", word, span, known));
        };
        self.cursor.expect(")")?;
        Ok(e)
    }

    fn index(&mut self) -> Result<Index, Diag> {
        self.deeper()?;
        let mut left = self.product()?;
        loop {
            let sum: fn(Box<Index>, Box<Index>) -> Index = match self.cursor.peek() {
                Piece::Sign("+") => Index::Add,
                Piece::Sign("-") => Index::Sub,
                _ => break,
            };
            self.cursor.next();
            let right = self.product()?;
            left = sum(Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn product(&mut self) -> Result<Index, Diag> {
        let mut left = self.factor()?;
        while self.cursor.eat("*") {
            let right = self.factor()?;
            left = Index::Mul(Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn factor(&mut self) -> Result<Index, Diag> {
        match self.cursor.peek().clone() {
            Piece::Number(_) | Piece::Sign("-") => Ok(Index::Const(self.cursor.int("a number")?)),
            Piece::Sign("%") => Ok(Index::Val(self.known_val()?)),
            Piece::Sign("(") => {
                self.cursor.next();
                let i = self.index()?;
                self.cursor.expect(")")?;
                Ok(i)
            }
            Piece::Word(w) if *self.cursor.peek_at(1) == Piece::Sign("(") => self.index_call(&w),
            Piece::Word(w) => {
                let span = self.cursor.span();
                self.cursor.next();
                self.position(&w, span)
            }
            _ => Err(self.cursor.wrong("a position")),
        }
    }

    fn index_call(&mut self, word: &str) -> Result<Index, Diag> {
        let span = self.cursor.span();
        if word == "var" {
            return Ok(Index::Var(self.numbered_var()?));
        }
        self.cursor.next();
        if word == "dim" {
            return Ok(Index::Dim(DimId(self.numbered(self.kernel.dims.len(), "dimension")?)));
        }
        let make: fn(Box<Index>, Box<Index>) -> Index = match word {
            "div" => Index::Div,
            "mod" => Index::Mod,
            "min" => Index::Min,
            "max" => Index::Max,
            _ => {
                let known = ["div", "mod", "min", "max", "var", "dim"];
                return Err(unknown("operation on positions", word, span, known));
            }
        };
        self.cursor.expect("(")?;
        let a = self.index()?;
        self.cursor.expect(",")?;
        let b = self.index()?;
        self.cursor.expect(")")?;
        Ok(make(Box::new(a), Box::new(b)))
    }

    /// The variable of the innermost open loop of this name, else the dimension.
    fn position(&self, name: &str, span: Span) -> Result<Index, Diag> {
        let vars = &self.kernel.vars;
        if let Some(var) = self.scope.iter().rev().find(|v| vars[v.at()] == name) {
            return Ok(Index::Var(*var));
        }
        if let Some(at) = self.kernel.dims.iter().position(|d| d == name) {
            return Ok(Index::Dim(DimId(at as u32)));
        }
        let known = self.scope.iter().map(|v| vars[v.at()].as_str());
        let known = known.chain(self.kernel.dims.iter().map(String::as_str));
        Err(unknown("loop variable or dimension", name, span, known))
    }
}

fn unknown<'a>(what: &str, found: &str, span: Span, known: impl IntoIterator<Item = &'a str>) -> Diag {
    let diag = Diag::new(format!("there is no {what} `{found}` here"), span, "not known");
    match nearest(found, known) {
        Some(k) => diag.help(format!("`{k}` may be meant")),
        None => diag,
    }
}
