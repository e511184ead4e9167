//! What is wrong with a program: every mistake of a build, shown in the user's own lines.

mod excerpt;

use latentc_backends::{CompileError, RunError};
use latentc_ir::diag::Diag;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Every mistake of a build. `Display` is plain text; [`Errors::render`] shows the lines of the source.
///
/// `Debug` is the rendered text too, so that a `main` that returns an error and an `unwrap` in a test are readable.
#[derive(Clone, PartialEq)]
pub struct Errors {
    diags: Vec<Diag>,
    /// Texts that places are in and that no file holds, by the name that places call them.
    texts: BTreeMap<Arc<str>, String>,
}

impl Errors {
    /// From the mistakes, of which there is at least one.
    pub(crate) fn new(diags: Vec<Diag>) -> Errors {
        Errors { diags, texts: BTreeMap::new() }
    }

    /// With the text that places in `file` are in, for excerpts: one that was never a file, or whose file may have
    /// changed since.
    pub fn with_text(mut self, file: &str, text: impl Into<String>) -> Errors {
        self.texts.insert(Arc::from(file), text.into());
        self
    }

    /// The mistakes, in the order in which they were found.
    pub fn diags(&self) -> &[Diag] {
        &self.diags
    }

    /// All mistakes with excerpts of the source files; plain lines where a file cannot be read. `color` adds
    /// the control sequences of a terminal.
    pub fn render(&self, color: bool) -> String {
        self.drawn(color, "error: ")
    }

    /// All mistakes; `head` begins those that cannot be drawn.
    fn drawn(&self, color: bool, head: &str) -> String {
        let mut files = excerpt::Files::new(&self.texts);
        let drawn = |d: &Diag| excerpt::drawn(d, color, &mut files).unwrap_or_else(|| format!("{head}{d}\n"));
        let parts: Vec<String> = self.diags.iter().map(drawn).collect();
        parts.join("\n")
    }
}

impl From<Diag> for Errors {
    fn from(diag: Diag) -> Errors {
        Errors::new(vec![diag])
    }
}

/// Mistakes that were found together, in their order; there is at least one.
impl From<Vec<Diag>> for Errors {
    fn from(diags: Vec<Diag>) -> Errors {
        Errors::new(diags)
    }
}

/// What was wrong with a run, at the line that declared the input or wrote the op.
impl From<&RunError> for Errors {
    fn from(error: &RunError) -> Errors {
        Errors::from(error.diag())
    }
}

impl From<RunError> for Errors {
    fn from(error: RunError) -> Errors {
        Errors::from(&error)
    }
}

/// An error, or what it was caused by, as excerpts of the source where it knows lines: that of a build, of a
/// compilation, ahead of time too, or of a run. Nothing for other errors. For whoever has said already that there is an
/// error: what cannot be drawn are plain lines.
pub fn excerpts(error: &(dyn std::error::Error + 'static), color: bool) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let errors = if let Some(run) = error.downcast_ref::<RunError>() {
            Some(Errors::from(run))
        } else if let Some(CompileError::Lower { diag }) = error.downcast_ref::<CompileError>() {
            Some(Errors::from((**diag).clone()))
        } else if let Some(diag) = ahead_of_time(error) {
            Some(Errors::from(diag))
        } else {
            error.downcast_ref::<Errors>().cloned()
        };
        if let Some(errors) = errors {
            let placed = errors.diags.iter().any(|d| d.labels.iter().any(|(span, _)| span.is_known()));
            return placed.then(|| errors.drawn(color, ""));
        }
        next = error.source();
    }
    None
}

/// What is wrong with a library that is to be built, where it has a line.
#[cfg(feature = "llvm")]
fn ahead_of_time(error: &(dyn std::error::Error + 'static)) -> Option<Diag> {
    error.downcast_ref::<latentc_backends::aot::AotError>()?.diag()
}

#[cfg(not(feature = "llvm"))]
fn ahead_of_time(_: &(dyn std::error::Error + 'static)) -> Option<Diag> {
    None
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diag) in self.diags.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "error: {diag}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}", self.render(false))
    }
}

impl std::error::Error for Errors {}
