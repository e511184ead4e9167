//! Making programs ready for a machine.

use super::run::ModelError;
use crate::systems::{Device, Machine};
use latentc::Program;
pub use latentc_backends::{Options, Session, Store};

/// A program made ready for a machine.
pub fn compile(program: &Program, machine: Machine) -> Result<Session, ModelError> {
    let options = Options { threads: machine.threads, ..Options::default() };
    match machine.device {
        Device::Cpu => {
            let isa = latentc_backends::cpu::Isa::host()?;
            let target = latentc_ir::lower::Target {
                lanes: isa.lanes,
                registers: isa.registers,
                prefetch: isa.prefetch,
                l1: isa.l1,
                l2: isa.l2,
            };
            let plan =
                latentc_ir::passes::lower(program.graph(), &latentc_ir::passes::Options::new(&target))?;
            Ok(Session::cpu(&plan, &options)?)
        }
        Device::Interp => Ok(Session::interp(program.graph())?),
    }
}
