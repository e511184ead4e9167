//! What can be wrong with a run on given data.

use crate::csr::CsrError;
use crate::diag::Span;
use thiserror::Error;

/// An error of the interpreter: the input or the op concerned, what was expected and what was found.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum InterpError {
    /// An input that the results need was not given.
    #[error("input `{input}` was not given; a value of type {expected} is needed")]
    Missing {
        /// Its name.
        input: String,
        /// Its declared type.
        expected: String,
    },
    /// An input of another kind, element type or rank than declared.
    #[error("input `{input}` is declared as {expected}, but {found} was given")]
    WrongType {
        /// Its name.
        input: String,
        /// Its declared type.
        expected: String,
        /// The type of what was given.
        found: String,
    },
    /// A size that differs from what the declared type says.
    #[error("input `{input}`: {what} is {found}, but {expected} is {value} in this run")]
    WrongSize {
        /// Its name.
        input: String,
        /// Which size.
        what: String,
        /// The size given.
        found: i64,
        /// The declared size.
        expected: String,
        /// Its value, from this or an earlier input.
        value: i64,
    },
    /// A size outside the range of its symbol.
    #[error("input `{input}`: {what} is {found}, outside the range {lo}..={hi} declared for `{symbol}`")]
    OutOfRange {
        /// Its name.
        input: String,
        /// Which size.
        what: String,
        /// The size given.
        found: i64,
        /// The symbol.
        symbol: String,
        /// Least value.
        lo: i64,
        /// Greatest value.
        hi: i64,
    },
    /// A size whose symbols no input gives a value.
    #[error(
        "input `{input}`: {what} is declared as {expected}, of which no input gives `{symbol}` a value; \
         give an input that has `{symbol}` itself as a size"
    )]
    Unbound {
        /// Its name.
        input: String,
        /// Which size.
        what: String,
        /// The declared size.
        expected: String,
        /// The symbol.
        symbol: String,
    },
    /// A pattern that is not well formed.
    #[error("input `{input}` is no CSR pattern: {problem}")]
    BadCsr {
        /// Its name.
        input: String,
        /// What is wrong with it.
        problem: CsrError,
    },
    /// An id outside the rows that it names.
    #[error("input `{input}` holds {found} at position {at}; its elements must lie in 0..{bound}")]
    Bound {
        /// The input.
        input: String,
        /// The first such position, row-major.
        at: usize,
        /// What is there.
        found: i64,
        /// The bound in this run.
        bound: i64,
    },
    /// An op refused its data.
    #[error("{span}: {message} (in `{op}`)")]
    Op {
        /// Its name.
        op: &'static str,
        /// Where it was written.
        span: Span,
        /// What was wrong with which operand.
        message: String,
    },
    /// Whoever watched the run ended it.
    #[error("the run was ended by who watched it")]
    Ended,
    /// An op gave a result of another type than it infers: a fault of the op.
    #[error("{span}: `{op}` gave a result that is not of its type: {message}; this is a fault of latentc")]
    Result {
        /// Its name.
        op: &'static str,
        /// Where it was written.
        span: Span,
        /// How the result differs.
        message: String,
    },
}
