//! Devices: where a program runs.

use crate::errors::Errors;
use crate::program::{Program, Result};
use latentc_backends::{CompileError, Options, Session};
use latentc_ir::diag::Diag;
#[cfg(feature = "llvm")]
use latentc_ir::passes::Numerics;

/// Where a program runs. Every device computes the same function; the interpreter is its definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    #[cfg(feature = "llvm")]
    Cpu,
    Interp,
}

/// This machine's processor, by native code.
///
/// # Errors
/// Where it is of a kind for which no code can be generated.
#[cfg(feature = "llvm")]
pub fn cpu() -> Result<Device> {
    latentc_backends::cpu::Isa::host().map_err(CompileError::from)?;
    Ok(Device { kind: Kind::Cpu })
}

/// The interpreter: slow, and right by definition.
pub fn interp() -> Device {
    Device { kind: Kind::Interp }
}

impl Device {
    /// Makes a program ready to run.
    ///
    /// # Errors
    /// What the device cannot compute, at the line that asks for it; what the system refuses.
    pub fn compile(self, program: &Program, options: &Options) -> Result<Session> {
        Ok(match self.kind {
            #[cfg(feature = "llvm")]
            Kind::Cpu if program.numerics() == Numerics::Strict => {
                let strict = Options { numerics: Numerics::Strict, ..options.clone() };
                Session::compile(program.graph(), &strict)?
            }
            #[cfg(feature = "llvm")]
            Kind::Cpu => Session::compile(program.graph(), options)?,
            Kind::Interp => Session::interp_with(program.graph(), options)?,
        })
    }
}

impl From<CompileError> for Errors {
    fn from(error: CompileError) -> Errors {
        Errors::from(match error {
            CompileError::Lower { diag } => *diag,
            other => Diag { message: other.to_string(), labels: vec![], notes: vec![], help: None },
        })
    }
}
