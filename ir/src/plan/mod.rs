//! The plan: buffers with places, and kernel launches in order. What a backend runs and a file can hold.

mod bodies;
pub mod bounds;
mod build;
mod check;
mod control;
mod in_place;
pub mod interp;
pub mod memory;
mod origin;
mod text;

use crate::diag::Span;
use crate::dim::{Dim, Symbol};
use crate::dtype::DType;
use crate::fuse::Region;
use crate::graph::{InputKind, Operand};
use crate::lower::Schedule;
use crate::nest::{Kernel, VarId};
use crate::types::{CsrType, Shape, Type};
use std::sync::Arc;

pub use build::build;
pub(crate) use check::read_by_checks;
pub use check::{Check, CheckKind, Hazard, hazards, means_infinity, operands_of};
pub use control::{Control, ControlKind, Runner, walk};
pub use origin::{OpAt, Origin};

/// A program ready to be compiled for a target.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Run-time sizes with their ranges; kernels name them in their `dims`.
    pub dims: Vec<Arc<Symbol>>,
    /// What a run takes or what is kept between runs, in the order of declaration.
    pub inputs: Vec<InputDecl>,
    /// What a run gives.
    pub outputs: Vec<OutputDecl>,
    /// Every buffer that a launch may name.
    pub buffers: Vec<BufferDecl>,
    /// The kernels; a kernel may be launched several times.
    pub kernels: Vec<Kernel>,
    /// The launches, in order.
    pub launches: Vec<Launch>,
    /// Ranges of launches that run several times or only sometimes, by their first launch; one within another comes
    /// after it.
    pub controls: Vec<Control>,
    /// Bytes of the arena that temporaries share, for the greatest values of the dims.
    pub arena_bytes: usize,
    /// What was decided for each of the kernels; empty for a program that was written by hand.
    pub schedules: Vec<Schedule>,
    /// What each launch does of the graph; empty in a plan that no graph was.
    pub origins: Vec<Origin>,
    /// Tables that may have no row and are read by row numbers that the program computes: a run with such numbers
    /// and no row must be refused, for there is no row to bring them to.
    pub tables: Vec<Table>,
    /// Whether the plan was made to be checked as it runs.
    pub checked: bool,
    /// What a checked run looks at, by launch; empty unless the plan was made to be checked.
    pub checks: Vec<Check>,
}

/// Where the parts of a program come from.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// The regions, in the order in which they run.
    pub regions: Vec<Region>,
    /// The region of each launch; `None` for copies.
    pub launches: Vec<Option<usize>>,
    /// The value in each buffer, which for a pattern is the pattern; `None` for temporaries within a region.
    pub values: Vec<Option<Operand>>,
    /// New values with the inputs that they overwrite.
    pub in_place: Vec<(Operand, Operand)>,
    /// Updates that are copied instead, by name, and why.
    pub copied: Vec<(String, &'static str)>,
    /// The schedule of each region, by the name of its first kernel.
    pub schedules: Vec<(String, Schedule)>,
    /// The names of regions that are ops with bodies: there is nothing to decide about them.
    pub ranges: Vec<String>,
    /// The schedules of the regions of bodies, by name.
    pub bodies: Vec<(String, Schedule)>,
    /// Of each kernel, the loops whose own work runs one value at a time, and why lowering decided so.
    pub scalar: Vec<Vec<(VarId, &'static str)>>,
}

/// A table that is read, or written, by computed row numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The op that reads or writes it.
    pub at: OpAt,
    /// The number of its rows, 0 for some values of the dims.
    pub rows: Dim,
    /// The number of row numbers.
    pub ids: Dim,
}

/// An input of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct InputDecl {
    /// Its name.
    pub name: String,
    /// Given with every run, or kept.
    pub kind: InputKind,
    /// Its type.
    pub ty: Type,
    /// For integer data: every element must lie in `0..bound` (checked once a run), where it is known.
    pub bound: Option<Dim>,
    /// Where the user declared it.
    pub span: Span,
}

/// An output of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputDecl {
    /// Its name.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Sizes.
    pub shape: Shape,
}

/// A buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct BufferDecl {
    /// A name for people.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Sizes.
    pub shape: Shape,
    /// Where it is.
    pub place: Place,
}

/// Where a buffer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The dense input of this position in `inputs` (data given by the caller, or kept state, which launches
    /// may write in place).
    Input(usize),
    /// A part of the CSR input of this position in `inputs`.
    Csr {
        /// Position in `inputs`.
        input: usize,
        /// Which array of it.
        part: CsrPart,
    },
    /// The output of this position in `outputs`.
    Output(usize),
    /// The arena, from this byte on (a multiple of 64).
    Arena {
        /// First byte.
        offset: usize,
    },
    /// Another buffer, at the present turn of a loop: as many elements from turn times their number on, or from the end
    /// of it backwards.
    Step {
        /// Position in `buffers`.
        of: usize,
        /// Position in `controls` of the loop.
        control: usize,
        /// Whether the first turn has the last position.
        reverse: bool,
    },
}

/// The arrays of a CSR structure. For a symmetric pattern the transposed arrays are the plain ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CsrPart {
    /// Row pointers, i32 `[rows + 1]`.
    Indptr,
    /// Columns, i32 `[nnz]`.
    Indices,
    /// Row pointers of the transpose, i32 `[cols + 1]`.
    TwinIndptr,
    /// Columns of the transpose, i32 `[nnz]`.
    TwinIndices,
    /// Position in the original of each entry of the transpose, i32 `[nnz]`.
    TwinEdges,
}

impl CsrPart {
    /// The name in text.
    pub const fn name(self) -> &'static str {
        match self {
            CsrPart::Indptr => "indptr",
            CsrPart::Indices => "indices",
            CsrPart::TwinIndptr => "twin_indptr",
            CsrPart::TwinIndices => "twin_indices",
            CsrPart::TwinEdges => "twin_edges",
        }
    }

    /// The part of a name.
    pub fn parse(name: &str) -> Option<CsrPart> {
        use CsrPart::*;
        [Indptr, Indices, TwinIndptr, TwinIndices, TwinEdges].into_iter().find(|p| p.name() == name)
    }

    /// Number of elements.
    pub fn len(self, csr: &CsrType) -> Dim {
        match self {
            CsrPart::Indptr => &csr.rows + &1.into(),
            CsrPart::TwinIndptr => &csr.cols + &1.into(),
            CsrPart::Indices | CsrPart::TwinIndices | CsrPart::TwinEdges => csr.nnz.clone(),
        }
    }
}

/// A kernel on buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Position in `kernels`.
    pub kernel: usize,
    /// Position in `buffers` of each parameter of the kernel.
    pub buffers: Vec<usize>,
    /// Position in the program's `dims` of each dim of the kernel.
    pub dims: Vec<usize>,
}
