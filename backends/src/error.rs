//! What can go wrong when a program is made ready and when it runs.

use latentc_ir::csr::CsrError;
use latentc_ir::dtype::DType;

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
    #[error("input `{name}` is {expected}, {found} was given")]
    Structure {
        /// Its name.
        name: String,
        /// What it is.
        expected: String,
        /// What was given.
        found: &'static str,
    },
    /// The wrong element type.
    #[error("{place} has elements of type {expected}, {found} found")]
    ElementType {
        /// Which input, entry of the store, or output.
        place: String,
        /// Its element type.
        expected: DType,
        /// What was given or asked for.
        found: DType,
    },
    /// The wrong number of dimensions.
    #[error("{place} is {expected}, {found:?} found: the numbers of dimensions differ")]
    Rank {
        /// Which input or entry of the store.
        place: String,
        /// Its sizes as declared.
        expected: String,
        /// The sizes given.
        found: Vec<usize>,
    },
    /// Sizes that do not multiply to the number of values.
    #[error("input `{name}`: {found} values were given for the sizes {shape:?}")]
    Length {
        /// The input.
        name: String,
        /// The sizes given.
        shape: Vec<usize>,
        /// The number of values given.
        found: usize,
    },
    /// A size other than the declared one.
    #[error("{place}: {axis} is {found}, expected {expected}")]
    Size {
        /// Which input or entry of the store.
        place: String,
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
        place: String,
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
        first_place: String,
        /// That value.
        first: i64,
        /// Which input or entry of the store contradicts.
        place: String,
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
    #[error("input `{name}` ({ty}) has not been given; set it before the run")]
    Missing {
        /// The input.
        name: String,
        /// Its type.
        ty: String,
    },
    /// A parameter or state that the store lacks.
    #[error("the store has no {kind} `{name}` ({ty}); insert it before the run")]
    MissingEntry {
        /// Its name.
        name: String,
        /// Param or state.
        kind: &'static str,
        /// Its type.
        ty: String,
    },
    /// An element that is used as a position, outside its range.
    #[error("{place}, element {position:?}: {value} is not in 0..{bound}")]
    Bound {
        /// Which input or entry of the store.
        place: String,
        /// Where.
        position: Vec<usize>,
        /// What is there.
        value: i64,
        /// One more than the greatest value allowed.
        bound: i64,
    },
    /// A byte that is no truth value.
    #[error("input `{name}`, element {position:?}: {value} is no truth value; give 0 or 1")]
    Truth {
        /// The input.
        name: String,
        /// Where.
        position: Vec<usize>,
        /// What is there.
        value: u8,
    },
    /// Arrays that are no sparse pattern.
    #[error("input `{name}`: {source}")]
    Pattern {
        /// The input.
        name: String,
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
    /// The interpreter refused.
    #[error("{0}")]
    Interpreter(String),
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

impl std::fmt::Display for Axis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
