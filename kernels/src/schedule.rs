//! What a schedule is made of: kernels, the parameters they are called with, and temporaries.

use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::nest::Kernel;
use latentc_ir::plan::CsrPart;

/// Kernels to be launched one after the other.
///
/// The kernels' dims are named as the symbols of the operands' types; their names begin with the name that
/// the schedule was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Memory that lives from the first step to the last. Its contents at the start do not matter.
    pub temps: Vec<Temp>,
    /// The launches, in order.
    pub steps: Vec<Step>,
}

/// A temporary buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct Temp {
    /// A name for people.
    pub name: &'static str,
    /// Element type.
    pub dtype: DType,
    /// Number of elements.
    pub len: Dim,
}

/// One launch.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The kernel.
    pub kernel: Kernel,
    /// What each of its parameters is, in order.
    pub args: Vec<Arg>,
}

/// What a parameter of a kernel is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arg {
    /// The dense operand of this position.
    Operand(usize),
    /// An array of the CSR operand of this position.
    Csr(usize, CsrPart),
    /// The result of this position.
    Result(usize),
    /// The temporary of this position.
    Temp(usize),
}
