//! What can go wrong when a program is made ready and when it runs.

use crate::fault::Fault;
use latentc_ir::csr::CsrError;
use latentc_ir::diag::{Diag, Span};
use latentc_ir::dtype::DType;
use latentc_ir::graph::InputKind;
use latentc_ir::plan::InputDecl;
use std::fmt;

/// Why a program could not be made ready to run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The plan contradicts itself: a fault of the compiler.
    #[error("program `{program}` has a wrong plan, which is a fault of the compiler: {what}")]
    Plan {
        /// The program.
        program: String,
        /// What is wrong.
        what: String,
    },
    /// The graph could not be planned: something in it has no kernel, or needs more memory than there can be.
    #[error("{diag}")]
    Lower {
        /// Where in the user's source, and why.
        diag: Box<latentc_ir::diag::Diag>,
    },
    /// A kernel could not be compiled.
    #[cfg(feature = "llvm")]
    #[error(transparent)]
    Emit(#[from] crate::cpu::EmitError),
    /// Compiled kernels could not be loaded.
    #[cfg(feature = "llvm")]
    #[error(transparent)]
    Load(#[from] crate::cpu::LoadError),
    /// A file of a dump cannot be written.
    #[error("{}: cannot be written ({source}); give another folder to dump into", path.display())]
    Dump {
        /// The file or folder.
        path: std::path::PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The system started fewer threads than were asked for.
    #[error("could not start thread {started} of {wanted}: {source}; ask for fewer threads")]
    Threads {
        /// How many were started.
        started: usize,
        /// How many were asked for.
        wanted: usize,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The system has no memory for what a program needs.
    #[error(
        "no memory for {what} of program `{program}`: {bytes} bytes; narrow the ranges of its dimensions"
    )]
    Memory {
        /// The program.
        program: String,
        /// What it is for.
        what: String,
        /// How much.
        bytes: usize,
    },
    /// An input of a kind that a run cannot be given.
    #[error("input `{name}` is a {kind} of type {ty}; {expected}")]
    Input {
        /// Its name.
        name: String,
        /// Data, param or state.
        kind: &'static str,
        /// Its type.
        ty: String,
        /// What can be given.
        expected: &'static str,
    },
    /// A policy on row numbers for what is not given as row numbers.
    #[error(
        "`{name}` is to {ids} row numbers, but it is no data input used as such; those are {}",
        list(rows)
    )]
    Ids {
        /// The name given.
        name: String,
        /// The policy.
        ids: crate::options::Ids,
        /// The inputs that are.
        rows: Vec<String>,
    },
    /// A program to be checked as it runs, by a plan that was not made for it.
    #[error("program `{program}`: this plan was not made to be checked; compile the graph with `checked`")]
    Unchecked {
        /// The program.
        program: String,
    },
    /// Two inputs or two outputs of one name.
    #[error("two {what}s are named `{name}`; names must differ")]
    Twice {
        /// `input` or `output`.
        what: &'static str,
        /// The name.
        name: String,
    },
}

/// Why a run, or giving it an input or taking an output, was refused. Nothing that is kept has been changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No input of this name.
    #[error("no input `{name}`; the program takes {}", list(known))]
    UnknownInput {
        /// The name given.
        name: String,
        /// The names of the data inputs.
        known: Vec<String>,
    },
    /// An input that is kept in the store.
    #[error("`{name}` is a {kind}: it is kept in the store, put it there")]
    Kept {
        /// Its name.
        name: String,
        /// Param or state.
        kind: &'static str,
    },
    /// A tensor where a pattern is needed, or the other way round.
    #[error("{place} is {expected}, {found} was given")]
    Structure {
        /// Which input.
        place: Box<Declared>,
        /// What it is.
        expected: String,
        /// What was given.
        found: &'static str,
    },
    /// The wrong element type.
    #[error("{place} has elements of type {expected}, {found} found")]
    ElementType {
        /// Which input, entry of the store, or output.
        place: Box<Declared>,
        /// Its element type.
        expected: DType,
        /// What was given or asked for.
        found: DType,
    },
    /// The wrong number of dimensions.
    #[error("{place} is {expected}, {found:?} found: the numbers of dimensions differ")]
    Rank {
        /// Which input or entry of the store.
        place: Box<Declared>,
        /// Its sizes as declared.
        expected: String,
        /// The sizes given.
        found: Vec<usize>,
    },
    /// Sizes that do not multiply to the number of values.
    #[error("{place}: {found} values were given for the sizes {shape:?}")]
    Length {
        /// Which input.
        place: Box<Declared>,
        /// The sizes given.
        shape: Vec<usize>,
        /// The number of values given.
        found: usize,
    },
    /// A size other than the declared one.
    #[error("{place}: {axis} is {found}, expected {expected}")]
    Size {
        /// Which input or entry of the store.
        place: Box<Declared>,
        /// Which of its sizes.
        axis: Axis,
        /// The size as declared, with its value where it is computed.
        expected: String,
        /// The size given.
        found: usize,
    },
    /// A size outside the range of its dimension.
    #[error("{place}: {axis} is `{dimension}`, in the range {lo}..={hi}; {found} found")]
    Range {
        /// Which input or entry of the store.
        place: Box<Declared>,
        /// Which of its sizes.
        axis: Axis,
        /// The dimension.
        dimension: String,
        /// Least value.
        lo: i64,
        /// Greatest value.
        hi: i64,
        /// The size given.
        found: usize,
    },
    /// Two sizes for one dimension.
    #[error("dimension `{dimension}` is {first} by {first_place} and {found} by {place}, {axis}")]
    Conflict {
        /// The dimension.
        dimension: String,
        /// What gave it its value.
        first_place: Box<Declared>,
        /// That value.
        first: i64,
        /// Which input or entry of the store contradicts.
        place: Box<Declared>,
        /// Which of its sizes.
        axis: Axis,
        /// The size given.
        found: usize,
    },
    /// A dimension that no input has as a size.
    #[error("dimension `{dimension}` is the size of no input, so nothing says what it is")]
    Unbound {
        /// The dimension.
        dimension: String,
    },
    /// A data input that was not given.
    #[error("{place} ({ty}) has not been given; set it before the run")]
    Missing {
        /// Which input.
        place: Box<Declared>,
        /// Its type.
        ty: String,
    },
    /// A parameter or state that the store lacks.
    #[error("the store has no {place} ({ty}); insert it before the run")]
    MissingEntry {
        /// Which parameter or state.
        place: Box<Declared>,
        /// Its type.
        ty: String,
    },
    /// An element that is used as a position, outside its range.
    #[error("{place}, element {position:?}: {value} is not in 0..{bound}")]
    Bound {
        /// Which input or entry of the store.
        place: Box<Declared>,
        /// Where.
        position: Vec<usize>,
        /// What is there.
        value: i64,
        /// One more than the greatest value allowed.
        bound: i64,
    },
    /// A byte that is no truth value.
    #[error("{place}, element {position:?}: {value} is no truth value; give 0 or 1")]
    Truth {
        /// Which input.
        place: Box<Declared>,
        /// Where.
        position: Vec<usize>,
        /// What is there.
        value: u8,
    },
    /// Arrays that are no sparse pattern.
    #[error("{place}: {source}")]
    Pattern {
        /// Which input.
        place: Box<Declared>,
        /// What is wrong with them.
        source: CsrError,
    },
    /// No output of this name.
    #[error("no output `{name}`; the program gives {}", list(known))]
    UnknownOutput {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// An output before a run has made it.
    #[error("output `{name}` does not exist yet: no run has succeeded since the session was made")]
    NotRun {
        /// The output.
        name: String,
    },
    /// The system has no memory for what this run needs.
    #[error("no memory for {place}: {bytes} bytes")]
    Memory {
        /// What it is for.
        place: String,
        /// How much.
        bytes: usize,
    },
    /// The plan contradicts itself at these sizes: a fault of the compiler.
    #[error("launch of `{kernel}`: {what}, which is a fault of the compiler")]
    Plan {
        /// The kernel launched.
        kernel: String,
        /// What is wrong.
        what: String,
    },
    /// A table without a row, read or written by row numbers that the program computes.
    #[error("`{op}`: the table has no row in this run, and {ids} row numbers name one")]
    NoRow {
        /// The op.
        op: &'static str,
        /// Where it was written.
        span: Span,
        /// How many row numbers there are.
        ids: i64,
    },
    /// A checked run found something wrong, and was taken back.
    #[error("{0}")]
    Fault(Box<Fault>),
    /// The interpreter refused.
    #[error("{0}")]
    Interpreter(String),
}

impl RunError {
    /// The error with the places in the user's source that it is about.
    pub fn diag(&self) -> Diag {
        let message = self.to_string();
        let label = |diag: Diag, place: &Declared, what: &str| match place.span.is_known() {
            true => diag.label(place.span.clone(), what.to_owned()),
            false => diag,
        };
        let bare = Diag { message, labels: vec![], notes: vec![], help: None };
        match self {
            RunError::Structure { place, .. }
            | RunError::ElementType { place, .. }
            | RunError::Rank { place, .. }
            | RunError::Length { place, .. }
            | RunError::Size { place, .. }
            | RunError::Range { place, .. }
            | RunError::Missing { place, .. }
            | RunError::MissingEntry { place, .. }
            | RunError::Truth { place, .. }
            | RunError::Pattern { place, .. } => label(bare, place, "declared here"),
            RunError::Bound { place, .. } => label(bare, place, "declared here").help(
                "give numbers of rows that exist, or say that others are clamped or wrapped (`Options::ids`)",
            ),
            RunError::Conflict { first_place, first, place, found, dimension, .. } => {
                let diag = label(bare, place, &format!("`{dimension}` is {found} by this"));
                label(diag, first_place, &format!("`{dimension}` is {first} by this"))
            }
            RunError::NoRow { span, .. } if span.is_known() => bare.label(span.clone(), "needed here"),
            RunError::Fault(fault) => fault.diag(),
            _ => bare,
        }
    }
}

/// An input, or an entry of the store, and where the user declared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// `input`, `parameter`, `state` or `output`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Where it was declared.
    pub span: Span,
}

impl Declared {
    /// That of a declaration.
    pub(crate) fn of(decl: &InputDecl) -> Box<Declared> {
        let kind = match decl.kind {
            InputKind::Data | InputKind::Arg => "input",
            InputKind::Param => "parameter",
            InputKind::State => "state",
        };
        Box::new(Declared { kind, name: decl.name.clone(), span: decl.span.clone() })
    }
}

impl fmt::Display for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)
    }
}

/// One of the sizes of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Of a tensor, from the outermost, which is 0.
    At(usize),
    /// The number of rows of a pattern.
    Rows,
    /// The number of columns of a pattern.
    Cols,
    /// The number of entries of a pattern.
    Entries,
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Axis::At(i) => write!(f, "dimension {i}"),
            Axis::Rows => f.write_str("the number of rows"),
            Axis::Cols => f.write_str("the number of columns"),
            Axis::Entries => f.write_str("the number of entries"),
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { format!("`{}`", names.join("`, `")) }
}
