//! Reading graphs from their text form (see the module `text` beside this one).

use super::{Body, Graph, InputKind, Operand};
use crate::diag::{Diag, Span};
use crate::dtype::DType;
use crate::ops::from_attrs::{Given, op_from_attrs};
use crate::ops::input::Input;
use crate::ops::{Attr, Op};
use crate::text::types::Symbols;
use crate::text::{Cursor, Piece, float_of, nearest};
use crate::types::Type;
use std::collections::BTreeMap;

/// Reads a graph. `file` is what messages call the text. The nodes' places are those in the text.
///
/// # Errors
/// The first thing that is not as expected, with file, line and column: words and signs out of place, ops,
/// attributes, sizes and values that are not known, operands that an op does not take (in the op's own
/// words), types that are not the inferred ones, updates of what is not kept.
pub fn parse(file: &str, text: &str) -> Result<Graph, Diag> {
    let mut cursor = Cursor::new(file, text)?;
    cursor.expect_word("graph")?;
    let name = cursor.name("the graph's name")?;
    cursor.expect("{")?;
    let mut p = Parser::new(cursor, name, 0);
    p.lines()?;
    p.c.end()?;
    Ok(p.graph)
}

/// Bodies within each other.
const DEPTH: usize = 32;

struct Parser {
    c: Cursor,
    graph: Graph,
    symbols: Symbols,
    /// Numbered values and where they are named.
    values: BTreeMap<String, (Operand, Span)>,
    inputs: BTreeMap<String, (Operand, Span)>,
    /// Bodies around this graph.
    depth: usize,
}

impl Parser {
    fn new(c: Cursor, name: String, depth: usize) -> Parser {
        Parser {
            c,
            graph: Graph::new(name),
            symbols: Symbols::default(),
            values: BTreeMap::new(),
            inputs: BTreeMap::new(),
            depth,
        }
    }

    /// The lines up to the closing brace, and that.
    fn lines(&mut self) -> Result<(), Diag> {
        while !self.c.eat("}") {
            self.line()?;
        }
        Ok(())
    }

    /// A graph in braces: a function that stands for itself, with sizes, parameters and values of its own.
    fn body(&mut self) -> Result<Attr, Diag> {
        if self.depth == DEPTH {
            let message = format!("bodies are more than {DEPTH} deep");
            return Err(Diag::new(message, self.c.span(), "this one"));
        }
        self.c.expect("{")?;
        let mut inner = Parser::new(std::mem::take(&mut self.c), String::new(), self.depth + 1);
        inner.lines()?;
        self.c = inner.c;
        Ok(Attr::Body(Body::new(inner.graph)))
    }

    fn line(&mut self) -> Result<(), Diag> {
        let word = match self.c.peek() {
            Piece::Sign("%") => return self.node(),
            Piece::Word(w) => w.clone(),
            _ => return Err(self.c.wrong("`dim`, an input, a value, `output`, `update` or `}`")),
        };
        let span = self.c.span();
        self.c.next();
        match word.as_str() {
            "dim" => {
                let span = self.c.span();
                let name = self.c.word("the name of a size")?;
                self.c.expect(":")?;
                let lo = self.c.int("the least value")?;
                self.c.expect("..=")?;
                let hi = self.c.int("the greatest value")?;
                self.symbols.declare(name, lo, hi, span)
            }
            "output" | "update" => self.result(&word),
            word => match InputKind::parse(word) {
                Some(kind) => self.input(kind),
                None => {
                    let known = ["dim", "data", "param", "state", "arg", "output", "update"];
                    let diag = Diag::new(format!("`{word}` starts no line of a graph"), span, "here");
                    Err(match nearest(word, known) {
                        Some(k) => diag.help(format!("`{k}` may be meant")),
                        None => diag.help(format!("lines start with a value `%..` or {}", known.join(", "))),
                    })
                }
            },
        }
    }

    fn input(&mut self, kind: InputKind) -> Result<(), Diag> {
        let span = self.c.span();
        let name = self.c.name("the input's name")?;
        self.c.expect(":")?;
        let ty = self.symbols.ty(&mut self.c)?;
        if let Some((_, first)) = self.inputs.get(&name) {
            let diag = Diag::new(format!("input `{name}` is declared twice"), span, "the second time");
            return Err(diag.label(first.clone(), "the first time"));
        }
        let value = self.graph.value(Input { name: name.clone(), kind, ty }, &[], span.clone())?;
        self.inputs.insert(name, (value, span));
        Ok(())
    }

    /// `output name = value` or `update name = value`.
    fn result(&mut self, word: &str) -> Result<(), Diag> {
        let span = self.c.span();
        let name = self.c.name(&format!("the name of the {word}"))?;
        self.c.expect("=")?;
        let value = self.operand()?;
        let update = word == "update";
        let list = if update { &self.graph.updates } else { &self.graph.outputs };
        if list.iter().any(|(n, _)| *n == name) {
            return Err(Diag::new(format!("{word} `{name}` is given twice"), span, "the second time"));
        }
        if update {
            self.check_update(&name, value, &span)?;
            self.graph.updates.push((name, value));
        } else {
            self.graph.outputs.push((name, value));
        }
        Ok(())
    }

    fn check_update(&self, name: &str, value: Operand, span: &Span) -> Result<(), Diag> {
        let Some((input, place)) = self.inputs.get(name) else {
            let diag = Diag::new(format!("there is no input `{name}` to update"), span.clone(), "here");
            return Err(match nearest(name, self.inputs.keys().map(String::as_str)) {
                Some(k) => diag.help(format!("`{k}` may be meant")),
                None => diag,
            });
        };
        if let Op::Input(i) = &self.graph.node(input.node).op
            && matches!(i.kind, InputKind::Data | InputKind::Arg)
        {
            let diag = Diag::new(
                format!("`{name}` is given with every run and cannot be updated"),
                span.clone(),
                "here",
            );
            return Err(diag.label(place.clone(), "declared here").help("declare it as `param` or `state`"));
        }
        let (kept, new) = (self.graph.type_of(*input), self.graph.type_of(value));
        if kept != new {
            let diag = Diag::new(format!("`{name}` is {kept}, its new value {new}"), span.clone(), "here");
            return Err(diag.label(place.clone(), "declared here"));
        }
        Ok(())
    }

    /// `%0, %1 = op(operands) {attributes} : types`.
    fn node(&mut self) -> Result<(), Diag> {
        let mut names = vec![];
        loop {
            let span = self.c.span();
            names.push((self.value_name()?, span));
            if !self.c.eat(",") {
                break;
            }
        }
        self.c.expect("=")?;
        let span = self.c.span();
        let op = self.c.word("the name of an op")?;
        let mut operands = vec![];
        self.c.expect("(")?;
        while !self.c.is(")") {
            if !operands.is_empty() {
                self.c.expect(",")?;
            }
            operands.push(self.operand()?);
        }
        self.c.expect(")")?;
        let attrs = self.attrs()?;
        let op = op_from_attrs(Given { op, span: span.clone(), attrs, asked: vec![] })?;
        let def_name = op.def().name();
        let id = self.graph.add(op, &operands, span.clone())?;
        let types = self.graph.node(id).types.clone();
        if types.len() != names.len() {
            let message = format!("`{def_name}` gives {} values, {} named", types.len(), names.len());
            return Err(Diag::new(message, span, "here"));
        }
        for (port, (name, span)) in names.into_iter().enumerate() {
            if let Some((_, first)) = self.values.get(&name) {
                let diag = Diag::new(format!("%{name} is named twice"), span, "the second time");
                return Err(diag.label(first.clone(), "the first time"));
            }
            self.values.insert(name, (Operand { node: id, port: port as u16 }, span));
        }
        if self.c.eat(":") {
            for (i, inferred) in types.iter().enumerate() {
                if i > 0 {
                    self.c.expect(",")?;
                }
                self.written_type(def_name, inferred)?;
            }
        }
        Ok(())
    }

    fn written_type(&mut self, op: &str, inferred: &Type) -> Result<(), Diag> {
        let span = self.c.span();
        let written = self.symbols.ty(&mut self.c)?;
        if written == *inferred {
            return Ok(());
        }
        Err(Diag::new(format!("`{op}` gives {inferred} here, {written} is written"), span, "this type"))
    }

    fn value_name(&mut self) -> Result<String, Diag> {
        self.c.expect("%")?;
        match self.c.next() {
            Piece::Number(n) | Piece::Word(n) => Ok(n),
            _ => Err(self.c.wrong("the number of a value")),
        }
    }

    fn operand(&mut self) -> Result<Operand, Diag> {
        let span = self.c.span();
        let (name, sign) = if self.c.is("%") {
            (self.value_name()?, "%")
        } else {
            (self.c.name("a value or an input")?, "")
        };
        let known = if sign.is_empty() { &self.inputs } else { &self.values };
        if let Some((value, _)) = known.get(&name) {
            return Ok(*value);
        }
        let diag =
            Diag::new(format!("{sign}{name} is not known here"), span, "used before it is defined, or never");
        // Numbers are all near each other: only names are worth a guess.
        let near = nearest(&name, known.keys().map(String::as_str)).filter(|_| sign.is_empty());
        Err(match near {
            Some(k) => diag.help(format!("`{k}` may be meant")),
            None => diag,
        })
    }

    fn attrs(&mut self) -> Result<Vec<(String, Attr, Span)>, Diag> {
        let mut attrs: Vec<(String, Attr, Span)> = vec![];
        if !self.c.eat("{") {
            return Ok(attrs);
        }
        while !self.c.is("}") {
            if !attrs.is_empty() {
                self.c.expect(",")?;
            }
            let span = self.c.span();
            let name = self.c.word("the name of an attribute")?;
            self.c.expect("=")?;
            let value = self.attr()?;
            if attrs.iter().any(|a| a.0 == name) {
                return Err(Diag::new(format!("attribute `{name}` is given twice"), span, "the second time"));
            }
            attrs.push((name, value, span));
        }
        self.c.expect("}")?;
        Ok(attrs)
    }

    fn attr(&mut self) -> Result<Attr, Diag> {
        if self.symbols.at_type(&self.c) {
            return Ok(Attr::Type(self.symbols.ty(&mut self.c)?));
        }
        let span = self.c.span();
        if self.c.at_value() {
            let text = self.c.value()?;
            if matches!(text.as_str(), "true" | "false") {
                return Ok(Attr::Literal(self.c.literal(&text, DType::Bool, span)?));
            }
            if self.c.eat(":") {
                let dtype = self.c.dtype()?;
                return Ok(Attr::Literal(self.c.literal(&text, dtype, span)?));
            }
            if let Ok(i) = text.parse() {
                return Ok(Attr::Int(i));
            }
            let float = float_of(&text, DType::F64).map(Attr::Float);
            return float.ok_or_else(|| Diag::new(format!("`{text}` is no number"), span, "here"));
        }
        match self.c.peek().clone() {
            Piece::Sign("{") => self.body(),
            Piece::Sign("[") => Ok(Attr::Dims(self.symbols.dims(&mut self.c)?)),
            Piece::Quoted(s) => {
                self.c.next();
                Ok(Attr::Text(s))
            }
            Piece::Word(w) => {
                self.c.next();
                Ok(Attr::Word(w))
            }
            _ => Err(self.c.wrong("the value of an attribute")),
        }
    }
}
