//! Numbered files of every stage, on request.
//!
//! ```text
//! DIR/PROGRAM/00-graph.ir 01-simplify.ir ... 08-regions.txt 09-plan.txt schedules.txt
//!             kernels/NAME.nest NAME.ll NAME.opt.ll NAME.s
//! ```
//! What stands there changes nothing of what is compiled; nothing is ever read back from it.

use super::code::{Wanted, codes, explain};
use super::limits::Limits;
use crate::Options;
use crate::cpu::Isa;
use crate::error::CompileError;
use latentc_ir::explain::Code;
use latentc_ir::graph::Graph;
use latentc_ir::plan::Program;
use std::fs;
use std::path::{Path, PathBuf};

/// What is to be dumped of a graph.
#[derive(Clone, Copy, Debug)]
pub struct Dumped<'a> {
    /// The processor that code is made for.
    pub isa: &'a Isa,
    /// How the program is made.
    pub options: &'a Options,
    /// Threads that make code.
    pub threads: usize,
}

/// Writes every stage of a graph, from its text to machine code, into the folder of its name below `dir`, which is
/// made. Files of that name are replaced; those of another program of the same name that has more stages stay.
///
/// # Errors
/// What cannot be compiled, and what cannot be written.
pub fn dump(graph: &Graph, what: Dumped, dir: &Path) -> Result<PathBuf, CompileError> {
    let Dumped { isa, options, threads } = what;
    let title = graph.name.clone();
    // Nothing is timed for a dump: limits of a machine that is as good as another.
    let limits = Limits::stated(10.0, 100.0, threads, isa.l2 as u64);
    let wanted = Wanted { title, isa: isa.clone(), limits, options: options.clone(), code: true, threads };
    let made = explain(graph, wanted)?;
    let folder = dir.join(file_name(&graph.name));
    make(&folder.join("kernels"))?;
    for (i, stage) in made.about.stages.iter().enumerate() {
        let graph = stage.name != "regions" && stage.name != "plan";
        let extension = if graph { "ir" } else { "txt" };
        let text = if stage.changed { stage.text.as_str() } else { "# as before\n" };
        write(folder.join(format!("{i:02}-{}.{extension}", file_name(&stage.name))), text)?;
    }
    let kernels = &made.about.kernels;
    write_schedules(&folder, kernels.iter().map(|k| (k.name.as_str(), k.schedule.clone())))?;
    for k in kernels {
        write_kernel(&folder, &k.name, &k.nest, k.code.as_ref())?;
    }
    Ok(folder)
}

/// The same of a plan that no graph is known of: the plan, and kernels down to machine code.
pub(crate) fn dump_plan(
    program: &Program,
    isa: &Isa,
    threads: usize,
    dir: &Path,
) -> Result<(), CompileError> {
    let folder = dir.join(file_name(&program.name));
    make(&folder.join("kernels"))?;
    write(folder.join("00-plan.txt"), &program.to_string())?;
    let schedules = program.kernels.iter().zip(&program.schedules);
    write_schedules(&folder, schedules.map(|(k, s)| (k.name.as_str(), s.to_string())))?;
    for (k, code) in program.kernels.iter().zip(codes(&program.kernels, isa, threads)?) {
        write_kernel(&folder, &k.name, &k.to_string(), Some(&code))?;
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), CompileError> {
    fs::create_dir_all(folder).map_err(|source| CompileError::Dump { path: folder.to_owned(), source })
}

fn write(path: PathBuf, text: &str) -> Result<(), CompileError> {
    fs::write(&path, text).map_err(|source| CompileError::Dump { path, source })
}

fn write_schedules<'a>(
    folder: &Path,
    all: impl Iterator<Item = (&'a str, String)>,
) -> Result<(), CompileError> {
    let text: String = all.map(|(name, schedule)| format!("{name}: {schedule}\n")).collect();
    write(folder.join("schedules.txt"), &text)
}

fn write_kernel(folder: &Path, name: &str, nest: &str, code: Option<&Code>) -> Result<(), CompileError> {
    let path = |extension: &str| folder.join("kernels").join(format!("{}.{extension}", file_name(name)));
    write(path("nest"), nest)?;
    if let Some(code) = code {
        write(path("ll"), &code.ir)?;
        write(path("opt.ll"), &code.optimised)?;
        write(path("s"), &code.assembly)?;
    }
    Ok(())
}

/// A name as one that any file system takes.
fn file_name(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let name: String = name.chars().map(safe).take(100).collect();
    if name.is_empty() { "program".to_owned() } else { name }
}
