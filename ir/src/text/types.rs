//! Sizes and types as text.

use super::{Cursor, Piece, nearest};
use crate::diag::{Diag, Span};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::types::{CsrType, RowSparseType, Shape, Type};
use std::collections::BTreeMap;

/// Parentheses and calls within each other in a size.
const DEPTH: usize = 100;

/// The symbols that sizes may use.
#[derive(Debug, Default)]
pub(crate) struct Symbols(BTreeMap<String, Dim>);

impl Symbols {
    /// Declares a symbol with its range, both ends included.
    pub fn declare(&mut self, name: String, lo: i64, hi: i64, span: Span) -> Result<(), Diag> {
        if lo > hi {
            let message = format!("`{name}` has the range {lo}..={hi}, which holds nothing");
            return Err(Diag::new(message, span, "here"));
        }
        let dim = Dim::symbol(name.clone(), lo, hi);
        match self.0.insert(name.clone(), dim) {
            None => Ok(()),
            Some(_) => Err(Diag::new(format!("`{name}` is declared twice"), span, "the second time")),
        }
    }

    /// Whether a type is ahead.
    pub fn at_type(&self, c: &Cursor) -> bool {
        let next = c.peek_at(1);
        match c.peek() {
            Piece::Word(w) if w == "rows" => *next == Piece::Sign("<"),
            Piece::Word(w) if w == "csr" || DType::parse(w).is_some() => *next == Piece::Sign("["),
            _ => false,
        }
    }

    /// Reads a type.
    pub fn ty(&self, c: &mut Cursor) -> Result<Type, Diag> {
        if c.eat_word("csr") {
            c.expect("[")?;
            let rows = self.dim(c)?;
            c.expect(",")?;
            let cols = self.dim(c)?;
            c.expect(";")?;
            let nnz = self.dim(c)?;
            let symmetric = c.eat(";");
            if symmetric {
                c.expect_word("symmetric")?;
            }
            c.expect("]")?;
            return Ok(Type::Csr(CsrType { rows, cols, nnz, symmetric }));
        }
        if c.is_word("rows") && *c.peek_at(1) == Piece::Sign("<") {
            c.next();
            c.expect("<")?;
            let count = self.dim(c)?;
            c.expect(">")?;
            let dtype = c.dtype()?;
            let shape = Shape::from_vec(self.dims(c)?);
            return Ok(Type::RowSparse(RowSparseType { dtype, shape, count }));
        }
        let dtype = c.dtype()?;
        Ok(Type::tensor(dtype, self.dims(c)?))
    }

    /// Reads sizes in brackets.
    pub fn dims(&self, c: &mut Cursor) -> Result<Vec<Dim>, Diag> {
        c.expect("[")?;
        let mut dims = vec![];
        while !c.is("]") {
            if !dims.is_empty() {
                c.expect(",")?;
            }
            dims.push(self.dim(c)?);
        }
        c.expect("]")?;
        Ok(dims)
    }

    /// Reads a size.
    pub fn dim(&self, c: &mut Cursor) -> Result<Dim, Diag> {
        let span = c.span();
        let dim = self.sum(c, 0)?;
        if dim.is_too_large() {
            return Err(Diag::new(
                "a size of more than 4096 parts when its products are written out",
                span,
                "here",
            ));
        }
        Ok(dim)
    }

    fn sum(&self, c: &mut Cursor, depth: usize) -> Result<Dim, Diag> {
        if depth > DEPTH {
            return Err(Diag::new(
                format!("more than {DEPTH} parentheses within each other"),
                c.span(),
                "here",
            ));
        }
        let mut total = self.product(c, depth)?;
        loop {
            if c.eat("+") {
                total = &total + &self.product(c, depth)?;
            } else if c.eat("-") {
                total = &total - &self.product(c, depth)?;
            } else {
                return Ok(total);
            }
        }
    }

    fn product(&self, c: &mut Cursor, depth: usize) -> Result<Dim, Diag> {
        let mut product = self.factor(c, depth)?;
        while c.eat("*") {
            product = &product * &self.factor(c, depth)?;
        }
        Ok(product)
    }

    fn factor(&self, c: &mut Cursor, depth: usize) -> Result<Dim, Diag> {
        let span = c.span();
        match c.peek().clone() {
            Piece::Number(_) => Ok(Dim::constant(c.int("a size")?)),
            Piece::Sign("-") if matches!(c.peek_at(1), Piece::Number(_)) => {
                Ok(Dim::constant(c.int("a size")?))
            }
            Piece::Sign("-") if depth <= DEPTH => {
                c.next();
                Ok(&Dim::constant(0) - &self.factor(c, depth + 1)?)
            }
            Piece::Sign("(") => {
                c.next();
                let d = self.sum(c, depth + 1)?;
                c.expect(")")?;
                Ok(d)
            }
            Piece::Word(w) if *c.peek_at(1) == Piece::Sign("(") => {
                if !matches!(w.as_str(), "div" | "min" | "max") {
                    let message = format!("`{w}` is no function of sizes; `div`, `min` and `max` are");
                    return Err(Diag::new(message, span, "here"));
                }
                c.next();
                c.expect("(")?;
                let a = self.sum(c, depth + 1)?;
                c.expect(",")?;
                let b = self.sum(c, depth + 1)?;
                c.expect(")")?;
                match w.as_str() {
                    "min" => Ok(a.min_of(&b)),
                    "max" => Ok(a.max_of(&b)),
                    _ if b.upper() < 1 => {
                        Err(Diag::new(format!("a size divided by {b}; divisors are positive"), span, "here"))
                    }
                    _ => Ok(a.floor_div(&b)),
                }
            }
            Piece::Word(w) => match self.0.get(&w) {
                Some(d) => {
                    c.next();
                    Ok(d.clone())
                }
                None => {
                    let diag = Diag::new(format!("`{w}` is no declared size"), span, "here");
                    Err(match nearest(&w, self.0.keys().map(String::as_str)) {
                        Some(k) => diag.help(format!("`{k}` may be meant")),
                        None => diag.help(format!("declare it before it is used: `dim {w}: 1..=1000`")),
                    })
                }
            },
            _ => Err(c.wrong("a size")),
        }
    }
}
