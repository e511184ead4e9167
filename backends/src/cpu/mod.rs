//! Native CPU code: loop nests through LLVM to object files, loaded into the process or kept.
//!
//! ```text
//! Kernel --emit--> LLVM IR --passes--> object bytes --Library::load--> KernelFn
//! ```
//!
//! Vectors are explicit in the nest and stay so: `emit` writes `<n x T>` code, and LLVM's vectoriser is not
//! run. No operation carries a fast-math flag, so compiled code gives what the nest's interpreter gives but
//! for the polynomials of `math`, whose errors are stated there.

pub(crate) mod check;
mod checked;
mod code;
pub(crate) mod emit;
pub mod isa;
mod jit;
pub(crate) mod lengths;
pub(crate) mod machine;
mod math;
pub(crate) mod object;
pub mod peaks;
pub(crate) mod sizes;
mod split;
mod threads;
pub(crate) mod vector;
pub(crate) mod workers;

pub use isa::{ISA_NAMES, Isa};
pub use jit::{KernelFn, Library, LoadError};
pub use object::{Listing, Object, compile_objects, inspect, llvm_version};

/// Why a kernel could not be compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The nest breaks one of its own rules.
    #[error("kernel `{kernel}` is malformed: {what}")]
    Malformed {
        /// The kernel.
        kernel: String,
        /// What is wrong.
        what: String,
    },
    /// A value of one type where another is needed.
    #[error("kernel `{kernel}`, {place}: expected {expected}, found {found}; insert a cast")]
    TypeMismatch {
        /// The kernel.
        kernel: String,
        /// Where in it.
        place: String,
        /// The type wanted.
        expected: String,
        /// The type there is.
        found: String,
    },
    /// Something that code generation must know is only known at run time.
    #[error(
        "kernel `{kernel}`: {what} must be constant; make it one, or use a loop or buffer of another kind"
    )]
    NotConstant {
        /// The kernel.
        kernel: String,
        /// What must be constant.
        what: String,
    },
    /// Control flow or a bound that differs from lane to lane.
    #[error(
        "kernel `{kernel}`: {place} varies over the lanes of a vector loop; use `select`, or a serial loop"
    )]
    VariesOverLanes {
        /// The kernel.
        kernel: String,
        /// What varies.
        place: String,
    },
    /// More local memory than a kernel may have.
    #[error("kernel `{kernel}`: with `{buffer}` it has {found} {unit}; the limit is {limit}")]
    TooLarge {
        /// The kernel.
        kernel: String,
        /// The buffer that goes beyond.
        buffer: String,
        /// The total with it.
        found: i64,
        /// The greatest total.
        limit: i64,
        /// What is counted.
        unit: &'static str,
    },
    /// Two kernels of one name.
    #[error("two kernels are named `{kernel}`; names are symbols and must differ")]
    DuplicateName {
        /// The name.
        kernel: String,
    },
    /// An instruction set that this compiler does not know.
    #[error("unknown instruction set `{found}`; known are {}", ISA_NAMES.join(", "))]
    UnknownIsa {
        /// The name given.
        found: String,
    },
    /// An instruction set that this machine lacks.
    #[error("this processor has {host}, not {level}; leave the level out, or give one up to {host}")]
    LevelAbove {
        /// The one asked for.
        level: &'static str,
        /// The greatest one that there is.
        host: &'static str,
    },
    /// A machine that this compiler has no description of.
    #[error(
        "no description of the host `{triple}`: x86-64 from v2 on (2009) and aarch64 are supported; use the interpreter"
    )]
    UnsupportedHost {
        /// Its target triple.
        triple: String,
    },
    /// LLVM does not know the target.
    #[error("LLVM has no target `{triple}`: {message}")]
    Target {
        /// The target triple.
        triple: String,
        /// LLVM's words.
        message: String,
    },
    /// LLVM refused code of ours, or it was built wrongly: a fault of the compiler.
    #[error("code generation failed, which is a fault of the compiler: {0}")]
    Llvm(String),
}

impl EmitError {
    pub(crate) fn internal(what: impl Into<String>) -> EmitError {
        EmitError::Llvm(what.into())
    }
}

impl From<inkwell::builder::BuilderError> for EmitError {
    fn from(e: inkwell::builder::BuilderError) -> Self {
        EmitError::Llvm(e.to_string())
    }
}

impl From<inkwell::support::LLVMString> for EmitError {
    fn from(e: inkwell::support::LLVMString) -> Self {
        EmitError::Llvm(e.to_string())
    }
}
