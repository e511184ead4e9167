//! What is wrong with a program: every mistake of a build, shown in the user's own lines.

mod excerpt;

use latentc_ir::diag::Diag;
use std::fmt;

/// Every mistake of a build. `Display` is plain text; [`Errors::render`] shows the lines of the source.
///
/// `Debug` is the rendered text too, so that a `main` that returns an error and an `unwrap` in a test are readable.
#[derive(Clone, PartialEq)]
pub struct Errors {
    diags: Vec<Diag>,
}

impl Errors {
    /// From the mistakes, of which there is at least one.
    pub(crate) fn new(diags: Vec<Diag>) -> Errors {
        Errors { diags }
    }

    /// The mistakes, in the order in which they were found.
    pub fn diags(&self) -> &[Diag] {
        &self.diags
    }

    /// All mistakes with excerpts of the source files; plain lines where a file cannot be read. `color` adds
    /// the control sequences of a terminal.
    pub fn render(&self, color: bool) -> String {
        let mut files = excerpt::Files::default();
        let parts: Vec<String> = self.diags.iter().map(|d| excerpt::render(d, color, &mut files)).collect();
        parts.join("\n")
    }
}

impl From<Diag> for Errors {
    fn from(diag: Diag) -> Errors {
        Errors { diags: vec![diag] }
    }
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
