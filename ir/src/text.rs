//! What the text forms share: words with their places, and a cursor over them that says what it expected.
//!
//! A text is words, numbers, quoted strings and signs; `#` starts a comment that ends with the line. Numbers
//! keep their spelling, so that whoever knows the type reads them.

use crate::diag::{Diag, Span};
use crate::dtype::{DType, Literal};
use std::fmt;
use std::sync::Arc;

pub(crate) mod types;

/// Signs of more than one character, longer ones first.
const LONG_SIGNS: [&str; 5] = ["..=", "..", "+=", "*=", "->"];
const SIGNS: &str = "{}[]()<>,:;=+-*/%@.!|&";

/// A piece of text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    /// Letters, digits and `_`, not starting with a digit.
    Word(String),
    /// A number without its sign, as written.
    Number(String),
    /// What stands between quotes, escapes undone.
    Quoted(String),
    /// Anything else.
    Sign(&'static str),
    /// The end of the text.
    End,
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Piece::Word(w) => write!(f, "`{w}`"),
            Piece::Number(n) => write!(f, "`{n}`"),
            Piece::Quoted(s) => write!(f, "\"{s}\""),
            Piece::Sign(s) => write!(f, "`{s}`"),
            Piece::End => f.write_str("the end of the text"),
        }
    }
}

/// A position in a text, moving forward.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    file: Arc<str>,
    pieces: Vec<(Piece, u32, u32)>,
    at: usize,
}

/// Whether a name is a word of the text forms: other names are quoted.
pub(crate) fn is_word(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A name as a word, or quoted where it is none.
pub(crate) fn name_text(name: &str) -> String {
    if is_word(name) { name.to_owned() } else { quoted(name) }
}

/// A string in quotes.
pub(crate) fn quoted(s: &str) -> String {
    let mut out = String::from("\"");
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A float in the fewest digits that give it back; `inf`, `nan`, and `nan(bits)` for other than the usual NaN.
pub(crate) fn float_text(dtype: DType, value: f64) -> String {
    if value.is_nan() {
        return if value.to_bits() == f64::NAN.to_bits() {
            "nan".to_owned()
        } else {
            format!("nan({})", value.to_bits())
        };
    }
    if dtype == DType::F64 { format!("{value:?}") } else { format!("{:?}", value as f32) }
}

/// A constant without its type: `0.5`, `-inf`, `3`, `true`.
pub(crate) fn value_text(l: Literal) -> String {
    match l.dtype() {
        d if d.is_float() => float_text(d, l.as_f64()),
        DType::Bool => (l.as_i64() != 0).to_string(),
        _ => l.to_string(),
    }
}

impl Cursor {
    /// Splits a text. `file` is the name that messages give it.
    pub fn new(file: &str, text: &str) -> Result<Cursor, Diag> {
        let file: Arc<str> = Arc::from(file);
        let mut pieces = vec![];
        let (mut line, mut column) = (1u32, 1u32);
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let span = || Span { file: file.clone(), line, column };
            let (piece, taken) = if c == '#' {
                (None, rest.find('\n').unwrap_or(rest.len()))
            } else if c.is_whitespace() {
                (None, c.len_utf8())
            } else if c.is_ascii_alphabetic() || c == '_' {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                (Some(Piece::Word(rest[..end].to_owned())), end)
            } else if c.is_ascii_digit() {
                let end = number_end(rest);
                (Some(Piece::Number(rest[..end].to_owned())), end)
            } else if c == '"' {
                let (s, end) = quoted_end(rest)
                    .ok_or_else(|| Diag::new("a quoted string has no end", span(), "starts here"))?;
                (Some(Piece::Quoted(s)), end)
            } else if let Some(s) = LONG_SIGNS.iter().find(|s| rest.starts_with(**s)) {
                (Some(Piece::Sign(s)), s.len())
            } else if let Some(i) = SIGNS.find(c) {
                (Some(Piece::Sign(&SIGNS[i..i + 1])), 1)
            } else {
                return Err(Diag::new(format!("`{c}` has no meaning here"), span(), "this character"));
            };
            if let Some(piece) = piece {
                pieces.push((piece, line, column));
            }
            for c in rest[..taken].chars() {
                if c == '\n' {
                    (line, column) = (line + 1, 1);
                } else {
                    column += 1;
                }
            }
            rest = &rest[taken..];
        }
        pieces.push((Piece::End, line, column));
        Ok(Cursor { file, pieces, at: 0 })
    }

    /// The piece ahead.
    pub fn peek(&self) -> &Piece {
        self.peek_at(0)
    }

    /// The piece `n` after the one ahead.
    pub fn peek_at(&self, n: usize) -> &Piece {
        &self.pieces[(self.at + n).min(self.pieces.len() - 1)].0
    }

    /// The place of the piece ahead.
    pub fn span(&self) -> Span {
        let (_, line, column) = self.pieces[self.at];
        Span { file: self.file.clone(), line, column }
    }

    /// Takes the piece ahead.
    pub fn next(&mut self) -> Piece {
        let piece = self.peek().clone();
        self.at = (self.at + 1).min(self.pieces.len() - 1);
        piece
    }

    /// Whether the piece ahead is this sign.
    pub fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Piece::Sign(s) if *s == sign)
    }

    /// Whether the piece ahead is this word.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Piece::Word(w) if w == word)
    }

    /// Takes this sign if it is ahead.
    pub fn eat(&mut self, sign: &str) -> bool {
        let is = self.is(sign);
        if is {
            self.next();
        }
        is
    }

    /// Takes this word if it is ahead.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        if is {
            self.next();
        }
        is
    }

    /// Takes this sign.
    pub fn expect(&mut self, sign: &str) -> Result<(), Diag> {
        if self.eat(sign) { Ok(()) } else { Err(self.wrong(&format!("`{sign}`"))) }
    }

    /// Takes this word.
    pub fn expect_word(&mut self, word: &str) -> Result<(), Diag> {
        if self.eat_word(word) { Ok(()) } else { Err(self.wrong(&format!("`{word}`"))) }
    }

    /// Takes a word.
    pub fn word(&mut self, what: &str) -> Result<String, Diag> {
        match self.peek() {
            Piece::Word(w) => {
                let w = w.clone();
                self.next();
                Ok(w)
            }
            _ => Err(self.wrong(what)),
        }
    }

    /// Takes a word or a quoted string.
    pub fn name(&mut self, what: &str) -> Result<String, Diag> {
        match self.peek() {
            Piece::Word(w) | Piece::Quoted(w) => {
                let w = w.clone();
                self.next();
                Ok(w)
            }
            _ => Err(self.wrong(what)),
        }
    }

    /// Takes an integer, with its sign.
    pub fn int(&mut self, what: &str) -> Result<i64, Diag> {
        let span = self.span();
        let minus = self.is("-") && matches!(self.peek_at(1), Piece::Number(_));
        if minus {
            self.next();
        }
        let Piece::Number(n) = self.peek() else { return Err(self.wrong(what)) };
        let text = format!("{}{n}", if minus { "-" } else { "" });
        match text.parse() {
            Ok(x) => {
                self.next();
                Ok(x)
            }
            Err(_) => {
                Err(Diag::new(format!("{what} is expected, `{text}` found"), span, "no 64-bit integer"))
            }
        }
    }

    /// Takes a position in a table.
    pub fn id(&mut self, what: &str) -> Result<u32, Diag> {
        let span = self.span();
        let n = self.int(what)?;
        u32::try_from(n)
            .map_err(|_| Diag::new(format!("{what} is expected, `{n}` found"), span, "out of range"))
    }

    /// Takes a name of an element type.
    pub fn dtype(&mut self) -> Result<DType, Diag> {
        let span = self.span();
        let w = self.word("an element type")?;
        DType::parse(&w).ok_or_else(|| {
            let names = DType::ALL.map(DType::name);
            Diag::new(format!("`{w}` is no element type"), span, "here")
                .help(format!("the types are {}", names.join(", ")))
        })
    }

    /// Whether a constant's value is ahead: a number, `inf`, `nan`, `true`, `false`, with or without a sign.
    pub fn at_value(&self) -> bool {
        let ahead = if self.is("-") { self.peek_at(1) } else { self.peek() };
        match ahead {
            Piece::Number(_) => true,
            Piece::Word(w) => matches!(w.as_str(), "inf" | "nan" | "true" | "false"),
            _ => false,
        }
    }

    /// Takes the spelling of a constant's value.
    pub fn value(&mut self) -> Result<String, Diag> {
        if !self.at_value() {
            return Err(self.wrong("a constant"));
        }
        let mut text = String::new();
        if self.eat("-") {
            text.push('-');
        }
        match self.next() {
            Piece::Number(s) | Piece::Word(s) => text.push_str(&s),
            _ => {}
        }
        if text == "nan" && self.eat("(") {
            let span = self.span();
            let Piece::Number(bits) = self.next() else {
                return Err(Diag::new("the bits of a NaN are expected", span, "here"));
            };
            self.expect(")")?;
            text = format!("nan({bits})");
        }
        Ok(text)
    }

    /// Reads the spelling of a value as a constant of a type.
    pub fn literal(&self, text: &str, dtype: DType, span: Span) -> Result<Literal, Diag> {
        let bad = || Diag::new(format!("`{text}` is no value of {dtype}"), span.clone(), "this constant");
        if dtype.is_float() {
            return float_of(text, dtype).map(|x| Literal::float(dtype, x)).ok_or_else(bad);
        }
        if dtype == DType::Bool {
            return match text {
                "true" => Ok(Literal::int(dtype, 1)),
                "false" => Ok(Literal::int(dtype, 0)),
                _ => Err(bad()),
            };
        }
        if dtype == DType::U64 {
            return text.parse::<u64>().map(|x| Literal::int(dtype, x as i64)).map_err(|_| bad());
        }
        let x: i64 = text.parse().map_err(|_| bad())?;
        let l = Literal::int(dtype, x);
        if l.as_i64() == x { Ok(l) } else { Err(bad()) }
    }

    /// The text should have ended.
    pub fn end(&self) -> Result<(), Diag> {
        if *self.peek() == Piece::End { Ok(()) } else { Err(self.wrong("the end of the text")) }
    }

    /// What is said when something else is ahead.
    pub fn wrong(&self, expected: &str) -> Diag {
        Diag::new(format!("{expected} is expected, {} found", self.peek()), self.span(), "here")
    }
}

/// The float that a spelling means, rounded once.
pub(crate) fn float_of(text: &str, dtype: DType) -> Option<f64> {
    if let Some(bits) = text.strip_prefix("nan(").and_then(|t| t.strip_suffix(')')) {
        return bits.parse().ok().map(f64::from_bits).filter(|x| x.is_nan());
    }
    match text {
        "nan" => Some(f64::NAN),
        "inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        "true" | "false" => None,
        t if dtype == DType::F64 => t.parse().ok(),
        t => t.parse::<f32>().ok().map(f64::from),
    }
}

/// Where a number ends: `12`, `1.5`, `1e-7`, but not `0..8`.
fn number_end(text: &str) -> usize {
    let b = text.as_bytes();
    let digits = |mut i: usize| {
        while b.get(i).is_some_and(u8::is_ascii_digit) {
            i += 1;
        }
        i
    };
    let mut end = digits(0);
    if b.get(end) == Some(&b'.') && b.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = digits(end + 1);
    }
    if matches!(b.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(b.get(end + 1), Some(b'+' | b'-')));
        let after = digits(end + 1 + sign);
        if after > end + 1 + sign {
            end = after;
        }
    }
    end
}

/// The content of the quoted string that a text starts with, and where it ends.
fn quoted_end(text: &str) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((out, i + 1)),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                c => out.push(c),
            },
            c => out.push(c),
        }
    }
    None
}

/// The known name nearest to what was written, where one is near enough to be meant.
pub(crate) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A word of one letter is near to every other.
    let limit = found.chars().count().div_ceil(3).min(found.chars().count().saturating_sub(1));
    known.into_iter().map(|k| (distance(found, k), k)).filter(|(d, _)| *d <= limit).min().map(|(_, k)| k)
}

/// Insertions, deletions, replacements and exchanges of neighbours that make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_their_places() {
        let mut c = Cursor::new("t", "ab 0..8 # rest\n  1.5e-3 \"a\\\"b\"").unwrap();
        assert_eq!(c.next(), Piece::Word("ab".into()));
        assert_eq!(c.next(), Piece::Number("0".into()));
        assert_eq!(c.next(), Piece::Sign(".."));
        assert_eq!(c.next(), Piece::Number("8".into()));
        assert_eq!(c.span().to_string(), "t:2:3");
        assert_eq!(c.next(), Piece::Number("1.5e-3".into()));
        assert_eq!(c.next(), Piece::Quoted("a\"b".into()));
        assert!(c.end().is_ok());
    }

    #[test]
    fn names_that_are_nearly_right() {
        let known = ["gather_rows", "scatter_rows", "exp", "expm1"];
        assert_eq!(nearest("gather_row", known), Some("gather_rows"));
        assert_eq!(nearest("epx", known), Some("exp"));
        assert_eq!(nearest("softmax", known), None);
    }

    #[test]
    fn floats_come_back_as_they_were() {
        for dtype in [DType::F64, DType::F32, DType::Bf16, DType::F16] {
            for x in [0.1, -0.0, 1e-7, 65504.0, 1e300, f64::INFINITY, f64::NAN, -f64::NAN, 5e-324] {
                let l = Literal::float(dtype, x);
                let back = float_of(&value_text(l), dtype).map(|x| Literal::float(dtype, x));
                assert_eq!(back, Some(l), "{dtype} {x}");
            }
        }
    }
}
