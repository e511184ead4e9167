//! Devices: where a program runs.

use crate::errors::Errors;
use crate::program::{Program, Result};
use latentc_backends::{CompileError, Options, Session};
use latentc_ir::diag::Diag;

/// Where a program runs. Every device computes the same function.
#[derive(Clone, Debug)]
pub struct Device {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    #[cfg(feature = "llvm")]
    Cpu(latentc_ir::lower::Target),
}

/// This machine's processor, by native code.
///
/// # Errors
/// Where it is of a kind for which no code can be generated.
#[cfg(feature = "llvm")]
pub fn cpu() -> Result<Device> {
    let isa = latentc_backends::cpu::Isa::host().map_err(|e| Errors::from(CompileError::from(e)))?;
    let target = latentc_ir::lower::Target {
        lanes: isa.lanes,
        registers: isa.registers,
        prefetch: isa.prefetch,
        l1: isa.l1,
        l2: isa.l2,
    };
    Ok(Device { kind: Kind::Cpu(target) })
}

impl Device {
    /// Makes a program ready to run.
    ///
    /// # Errors
    /// What the device cannot compute, at the line that asks for it; what the system refuses.
    pub fn compile(&self, program: &Program, options: &Options) -> Result<Session> {
        match &self.kind {
            #[cfg(feature = "llvm")]
            Kind::Cpu(target) => {
                let passes = latentc_ir::passes::Options::new(target);
                let plan = latentc_ir::passes::lower(program.graph(), &passes)?;
                Ok(Session::cpu(&plan, options)?)
            }
        }
    }
}

impl From<CompileError> for Errors {
    fn from(error: CompileError) -> Errors {
        let diag = Diag { message: error.to_string(), labels: vec![], notes: vec![], help: None };
        Errors::from(diag)
    }
}
