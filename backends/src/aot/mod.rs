//! Ahead of time: programs as object files with a C header and a safe Rust module, which need neither this
//! compiler nor a runtime of it.
//!
//! ```text
//! graph --plan per level--> kernels -+
//! signature --driver---------------- +--one module--> object --bundle--> libNAME.a, libNAME.so
//!      +--header, rust_module--> NAME.h, NAME.rs
//! ```
//!
//! An object holds a program's kernels for each instruction set that was asked for, and one driver, which this
//! module writes as LLVM IR: it chooses the instruction set by asking the processor, checks everything that a run
//! is given (`checks`), and launches the kernels, in parts through a function of the caller's where he gives one
//! (`launch`). It allocates nothing and calls nothing but what LLVM itself makes of copies, and the C library's
//! mathematics where a kernel does. A caller fills in a plain struct of sizes and addresses (`signature`), which C
//! and Rust declare alike, and whose hash keeps a header and an object of different programs apart.

mod bundle;
mod checks;
mod code;
mod driver;
mod error;
mod header;
mod launch;
mod level;
mod names;
mod report;
mod rust_module;
mod safetensors;
mod signature;
mod sizes;
mod status;
mod steps;
mod target;
mod text;
mod unit;
mod weights;

pub use bundle::{Emit, Written};
pub use error::AotError;
pub use report::{KernelSize, Report, UnitReport};
pub use target::System;

use crate::options::Ids;
use latentc_ir::array::Array;
use latentc_ir::graph::Graph;
use signature::Signature;
use std::collections::BTreeMap;
use target::Level;

/// A program of a library.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Begins the names of its functions and types: letters, digits and `_`.
    pub name: String,
    /// What it computes.
    pub graph: Graph,
    /// Where the values of its parameters come from.
    pub weights: Weights,
    /// What happens with row numbers outside of their table, by the name of the data input, as
    /// [`Options::ids`](crate::Options::ids) says it of a session.
    pub ids: BTreeMap<String, Ids>,
}

/// Where the values of parameters and state come from.
#[derive(Clone, Debug, Default)]
pub enum Weights {
    /// The caller's memory, which he fills.
    #[default]
    Caller,
    /// The object: these values, by name. Those that runs only read need no memory of the caller.
    Embedded(Vec<(String, Array)>),
    /// A safetensors file that the caller maps into memory and the object reads: see `NAME_weights`.
    External,
}

/// What to build, and for what.
#[derive(Clone, Debug)]
pub struct Library {
    /// Its name: `libNAME.a`, `NAME.h`.
    pub name: String,
    /// Its programs.
    pub units: Vec<Unit>,
    /// The system it is for.
    pub system: System,
    /// Instruction sets: `x86-64-v2`, `x86-64-v3`, `x86-64-v4`, `neon`, or `native`; none for the usual ones.
    pub levels: Vec<String>,
}

/// A library in memory.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its name.
    pub name: String,
    /// The system it is for.
    pub system: System,
    /// An object for each program, with the program's name.
    pub objects: Vec<(String, Vec<u8>)>,
    /// The C header.
    pub header: String,
    /// The Rust module.
    pub rust: String,
    /// LLVM IR after the passes, for each program, where listings were asked for.
    pub llvm_ir: Vec<String>,
    /// Assembly, likewise.
    pub assembly: Vec<String>,
    /// Sizes.
    pub report: Report,
    /// The state of each program, for callers that are neither C nor Rust.
    pub layouts: Vec<Layout>,
}

/// Where the members of a program's state are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of the state; its address is a multiple of 8.
    pub bytes: usize,
    /// What `NAME_init` is given.
    pub abi: u64,
    /// Members of 8 bytes each by the path that C has for them, such as `dims.batch`, `in.user`, `workspace`,
    /// with their offset. The error of 40 bytes comes first and is not among them.
    pub members: Vec<(String, usize)>,
}

impl Library {
    /// Compiles everything. `listings` asks for the texts of the code as well.
    ///
    /// # Errors
    /// What cannot be compiled, with the lines that asked for it; names that C does not take; sizes that may not be
    /// addressable.
    pub fn build(&self, listings: bool) -> Result<Built, AotError> {
        self.check_names()?;
        let levels = Level::all(&self.levels, self.system)?;
        let mut built = Built {
            name: self.name.clone(),
            system: self.system,
            objects: vec![],
            header: String::new(),
            rust: String::new(),
            llvm_ir: vec![],
            assembly: vec![],
            report: Report { library: self.name.clone(), target: self.system.name(), units: vec![] },
            layouts: vec![],
        };
        let mut signatures = vec![];
        for unit in &self.units {
            let made = unit::build(unit, self.system, &levels, listings)?;
            built.objects.push((unit.name.clone(), made.object));
            built.llvm_ir.extend(made.llvm_ir);
            built.assembly.extend(made.assembly);
            built.report.units.push(made.report);
            built.layouts.push(made.signature.layout());
            signatures.push((made.signature, &unit.weights));
        }
        built.header = header::text(&self.name, self.system, &levels, &signatures, &built.report);
        built.rust = rust_module::text(&self.name, &levels, &signatures, &built.report);
        Ok(built)
    }

    fn check_names(&self) -> Result<(), AotError> {
        let legal = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic()) && names::identifier(name) == name
        };
        if !legal(&self.name) {
            return Err(AotError::Name { found: self.name.clone(), what: "a library" });
        }
        if self.units.is_empty() {
            return Err(AotError::Empty { name: self.name.clone() });
        }
        for (i, unit) in self.units.iter().enumerate() {
            if !legal(&unit.name) {
                return Err(AotError::Name { found: unit.name.clone(), what: "a program" });
            }
            if self.units[..i].iter().any(|u| u.name == unit.name) {
                return Err(AotError::ProgramTwice { name: unit.name.clone() });
            }
        }
        Ok(())
    }
}

/// The signatures of a library's programs, with where their weights come from.
type Signatures<'a> = [(Signature, &'a Weights)];
