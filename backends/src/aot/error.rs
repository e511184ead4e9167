//! What can go wrong while a program is built ahead of time.

use crate::cpu::EmitError;
use crate::error::CompileError;
use latentc_ir::diag::{Diag, Span};
use std::path::PathBuf;

/// Why a library could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AotError {
    /// A target that objects are not made for.
    #[error(
        "no target `{found}`; there are x86_64-linux, aarch64-linux, aarch64-apple-darwin and \
         x86_64-windows-msvc"
    )]
    UnknownTarget {
        /// The name given.
        found: String,
    },
    /// An instruction set that the target does not have.
    #[error("no instruction set `{found}` for {target}; there are {known}, and `native` for this machine")]
    UnknownLevel {
        /// The name given.
        found: String,
        /// The target.
        target: &'static str,
        /// The names that there are.
        known: &'static str,
    },
    /// One instruction set twice.
    #[error("the instruction set {level} is asked for twice; name it once")]
    LevelTwice {
        /// Its name.
        level: &'static str,
    },
    /// This machine's own instruction set, for another kind of machine.
    #[error("`native` is this machine, which is not {target}; name an instruction set of the target")]
    NotNative {
        /// The target.
        target: &'static str,
    },
    /// An output that this compiler does not make.
    #[error("no output `{found}`; there are {}", super::Emit::names())]
    UnknownEmit {
        /// The name given.
        found: String,
    },
    /// An output that this compiler does not make yet.
    #[error("{what} cannot be made: {why}")]
    NotMade {
        /// The output.
        what: String,
        /// What is missing, and what to do.
        why: String,
    },
    /// A library or program whose name is no name in C.
    #[error(
        "`{found}` cannot name {what}: it must begin with a letter and have letters, digits and `_` only"
    )]
    Name {
        /// The name given.
        found: String,
        /// What was to be named.
        what: &'static str,
    },
    /// Two programs of one name.
    #[error("two programs are named `{name}`; their functions would have the same names")]
    ProgramTwice {
        /// The name.
        name: String,
    },
    /// A library without programs.
    #[error("the library `{name}` has no programs; add one")]
    Empty {
        /// Its name.
        name: String,
    },
    /// A size that 64 bits may not hold.
    #[error(
        "program `{program}`: {place} may have more elements than can be addressed ({size}); give its dims \
         smaller upper ends"
    )]
    TooLarge {
        /// The program.
        program: String,
        /// What has that size.
        place: String,
        /// The size as declared.
        size: String,
        /// Where it was declared.
        span: Span,
    },
    /// An input that C cannot be given.
    #[error("program `{program}`: input `{input}` is {ty}; {help}")]
    Input {
        /// The program.
        program: String,
        /// The input.
        input: String,
        /// Its type.
        ty: String,
        /// What to do.
        help: &'static str,
        /// Where it was declared.
        span: Span,
    },
    /// A weight that is to be embedded and was not given, or does not fit.
    #[error("program `{program}`: weight `{weight}`: {what}")]
    Weight {
        /// The program.
        program: String,
        /// The parameter.
        weight: String,
        /// What is wrong.
        what: String,
        /// Where the parameter was declared.
        span: Span,
    },
    /// The program could not be compiled.
    #[error("{0}")]
    Compile(#[from] CompileError),
    /// A file that could not be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A tool that could not be run, or failed.
    #[error("{tool} {what}")]
    Tool {
        /// The tool.
        tool: String,
        /// What happened, and what to do.
        what: String,
    },
}

impl AotError {
    /// The error at the line that declared what it is about; `None` where it is about nothing that has one.
    pub fn diag(&self) -> Option<Diag> {
        match self {
            AotError::TooLarge { span, .. }
            | AotError::Input { span, .. }
            | AotError::Weight { span, .. } => {
                Some(Diag::new(self.to_string(), span.clone(), "declared here"))
            }
            _ => None,
        }
    }
}

impl From<EmitError> for AotError {
    fn from(e: EmitError) -> AotError {
        AotError::Compile(CompileError::Emit(e))
    }
}
