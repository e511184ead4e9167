//! Ahead of time, from a build script: programs as a static library with a safe Rust module.
//!
//! ```no_run
//! // build.rs, with `latentc` among the build-dependencies
//! use latentc::prelude::*;
//!
//! # fn double() -> Result<Program> {
//! #     program("double", |g| {
//! #         let n = g.dim("n", 1..=1024);
//! #         let x = g.input("x", DType::F32, [n]);
//! #         g.output("y", 2.0 * x);
//! #     })
//! # }
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     latentc::aot::build("double", double()?).cpu(["x86-64-v3", "x86-64-v4"]).emit()?;
//!     Ok(())
//! }
//! ```
//!
//! The crate takes the module in by `include!(concat!(env!("OUT_DIR"), "/double.rs"));` and runs the program by
//! `double::Double::new()?.run(..)`. Neither this compiler nor LLVM is in what it links.

use crate::{Graph, Program};
pub use latentc_backends::aot::{AotError, Built, Emit, KernelSize, Report, System, UnitReport, Written};
use latentc_backends::aot::{Library, Unit, Weights};
use latentc_backends::{Ids, Store};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Begins a library of this name with a program, whose functions and types begin with the same name.
pub fn build(name: &str, program: Program) -> Build {
    library(name).add(name, program)
}

/// Begins a library of this name without programs.
pub fn library(name: &str) -> Build {
    Build { name: name.to_owned(), units: vec![], levels: vec![], target: None, refused: None }
}

/// A library to be built.
#[derive(Clone, Debug)]
#[must_use = "nothing is built before `emit` or `write`"]
pub struct Build {
    name: String,
    units: Vec<Unit>,
    levels: Vec<String>,
    target: Option<String>,
    /// What was asked for and cannot be had.
    refused: Option<&'static str>,
}

impl Build {
    /// Adds another program, whose functions and types begin with this name.
    pub fn add(self, name: &str, program: Program) -> Build {
        self.add_graph(name, program.graph())
    }

    /// Adds a graph, such as one read from text.
    pub fn add_graph(mut self, name: &str, graph: &Graph) -> Build {
        let (name, graph) = (name.to_owned(), graph.clone());
        self.units.push(Unit { name, graph, weights: Weights::Caller, ids: BTreeMap::new() });
        self
    }

    /// What happens with row numbers of an input of the last program that are outside of their table: as
    /// [`Options::ids`](crate::Options::ids) in a session. Without this a run with such numbers is refused.
    pub fn ids(mut self, input: &str, policy: Ids) -> Build {
        if let Some(unit) = self.units.last_mut() {
            unit.ids.insert(input.to_owned(), policy);
        }
        self
    }

    /// The instruction sets that the library has code for: `x86-64-v2`, `x86-64-v3`, `x86-64-v4`, `neon`, or `native`
    /// for this machine's own. The processor is asked at run time which it has. Without this: v3 and v4, or neon.
    pub fn cpu<L: Into<String>>(mut self, levels: impl IntoIterator<Item = L>) -> Build {
        self.levels.extend(levels.into_iter().map(Into::into));
        self
    }

    /// Graphics processors, such as `sm_80`. There is no code generator for them yet, so that building fails with
    /// an error that says so.
    pub fn cuda<L: Into<String>>(mut self, architectures: impl IntoIterator<Item = L>) -> Build {
        if architectures.into_iter().next().is_some() {
            self.refused = Some("PTX");
        }
        self
    }

    /// The system, by the names of [`System`] or as a target triple. Without this: in a build script the one that
    /// cargo builds for, else this machine's.
    pub fn target(mut self, target: &str) -> Build {
        self.target = Some(target.to_owned());
        self
    }

    /// Puts the values of the last program's parameters and state into its object. What runs only read then needs
    /// no memory of the caller; what runs update begins as these.
    pub fn embed(mut self, values: &Store) -> Build {
        if let Some(unit) = self.units.last_mut() {
            let values = values.names().filter_map(|n| Some((n.to_owned(), values.get(n)?.clone())));
            unit.weights = Weights::Embedded(values.collect());
        }
        self
    }

    /// The last program takes the values of its parameters and state from a safetensors file that the caller maps.
    pub fn external_weights(mut self) -> Build {
        if let Some(unit) = self.units.last_mut() {
            unit.weights = Weights::External;
        }
        self
    }

    /// Compiles in memory. `listings` asks for LLVM IR and assembly as texts.
    ///
    /// # Errors
    /// See [`AotError`].
    pub fn compile(&self, listings: bool) -> Result<Built, AotError> {
        if let Some(what) = self.refused {
            return Err(AotError::NotMade {
                what: what.to_owned(),
                why: "there is no code generator for GPUs yet; build for `cpu` alone".to_owned(),
            });
        }
        let system = match &self.target {
            Some(name) => System::parse(name)?,
            None => System::host()?,
        };
        let (name, units, levels) = (self.name.clone(), self.units.clone(), self.levels.clone());
        Library { name, units, system, levels }.build(listings)
    }

    /// Compiles, and writes outputs into a folder.
    ///
    /// # Errors
    /// See [`AotError`].
    pub fn write(&self, dir: &Path, emit: &[Emit]) -> Result<Vec<Written>, AotError> {
        self.compile(emit.iter().any(|e| matches!(e, Emit::LlvmIr | Emit::Asm)))?.write(dir, emit)
    }

    /// In a build script: compiles, writes the static library, the C header and the Rust module into cargo's
    /// `OUT_DIR`, and tells cargo to link the library.
    ///
    /// # Errors
    /// See [`AotError`]; outside of a build script, that there is no `OUT_DIR`.
    pub fn emit(mut self) -> Result<Report, AotError> {
        let Some(dir) = std::env::var_os("OUT_DIR").map(PathBuf::from) else {
            return Err(AotError::NotMade {
                what: "the library".to_owned(),
                why: "OUT_DIR is not set; call `emit` in a build script, or `write` with a folder".to_owned(),
            });
        };
        if self.target.is_none() {
            self.target = std::env::var("TARGET").ok();
        }
        let built = self.compile(false)?;
        built.write(&dir, &[Emit::StaticLib, Emit::Header, Emit::Rust])?;
        println!("cargo::rustc-link-search=native={}", dir.display());
        println!("cargo::rustc-link-lib=static={}", self.name);
        Ok(built.report)
    }
}
