//! Places in a user's source, and what is said about them.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// A place in a source file: of the DSL, or of a text form.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file as the compiler or the caller named it; empty where there is none.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

impl Span {
    /// The caller's place.
    #[track_caller]
    pub fn caller() -> Span {
        Span::from(Location::caller())
    }

    /// No place: what a pass made by itself.
    pub fn none() -> Span {
        Span { file: Arc::from(""), line: 0, column: 0 }
    }

    /// Whether it names a place.
    pub fn is_known(&self) -> bool {
        self.line > 0
    }
}

impl From<&'static Location<'static>> for Span {
    fn from(l: &'static Location<'static>) -> Span {
        Span { file: Arc::from(l.file()), line: l.line(), column: l.column() }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_known() {
            write!(f, "{}:{}:{}", self.file, self.line, self.column)
        } else {
            f.write_str("<made by a pass>")
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Diag {
    /// One sentence, with what was expected and what was found.
    pub message: String,
    /// Places and what each contributes; the first is the main one.
    pub labels: Vec<(Span, String)>,
    /// More facts.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diag {
    /// A diagnostic at a place.
    pub fn new(message: impl Into<String>, span: Span, label: impl Into<String>) -> Diag {
        Diag { message: message.into(), labels: vec![(span, label.into())], notes: vec![], help: None }
    }

    /// Adds a place.
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Diag {
        self.labels.push((span, text.into()));
        self
    }

    /// Adds a fact.
    pub fn note(mut self, text: impl Into<String>) -> Diag {
        self.notes.push(text.into());
        self
    }

    /// Says what to do.
    pub fn help(mut self, text: impl Into<String>) -> Diag {
        self.help = Some(text.into());
        self
    }
}

impl fmt::Display for Diag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        for (span, text) in &self.labels {
            write!(f, "\n  {span}: {text}")?;
        }
        for note in &self.notes {
            write!(f, "\n  note: {note}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diag {}
