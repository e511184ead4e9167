//! Making programs ready for a machine.

use crate::systems::{Device, Machine};
pub use latentc::{Isa, Report, Session, Store, llvm_version};
use latentc::{Options, Program, Result};

/// A program made ready for a machine.
pub fn compile(program: &Program, machine: Machine) -> Result<Session> {
    let Machine { threads, profile, checked, .. } = machine;
    let dump = machine.dump.map(|dir| dir.to_owned());
    let options = Options { threads, profile, checked, dump, ..Options::default() };
    let device = match machine.device {
        Device::Cpu => latentc::cpu()?,
        Device::Interp => latentc::interp(),
    };
    device.compile(program, &options)
}
