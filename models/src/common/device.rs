//! Making programs ready for a machine.

use super::run::ModelError;
use crate::systems::{Device, Machine};
use latentc::Program;
pub use latentc_backends::{Options, Session, Store};

/// A program made ready for a machine.
pub fn compile(program: &Program, machine: Machine) -> Result<Session, ModelError> {
    let options = Options { threads: machine.threads, ..Options::default() };
    match machine.device {
        Device::Cpu => Ok(Session::compile(program.graph(), &options)?),
        Device::Interp => Ok(Session::interp(program.graph())?),
    }
}
