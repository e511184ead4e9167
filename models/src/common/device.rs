//! Making programs ready for a machine.

use crate::systems::{Device, Machine};
pub use latentc::{Isa, Report, Session, Store, llvm_version};
use latentc::{Options, Program, Result};
use std::borrow::Borrow;

/// A program made ready for a machine.
pub fn compile(program: &Program, machine: impl Borrow<Machine>) -> Result<Session> {
    let Machine { device, threads, profile, checked, dump, level } = machine.borrow().clone();
    let options = Options { threads, profile, checked, dump, level, ..Options::default() };
    let device = match device {
        Device::Cpu => latentc::cpu()?,
        Device::Interp => latentc::interp(),
    };
    device.compile(program, &options)
}
