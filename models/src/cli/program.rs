//! The argument of the commands that take a program: a system, or a file that holds one.

use super::CliError;
use super::load::open_data;
use super::output::Output;
use crate::common::config::Sources;
use crate::common::data::{Declared, SHIPPED};
use crate::systems::{SYSTEMS, find};
use latentc::import::onnx::{Given, Model};
use latentc::{Graph, Store};
use std::path::{Path, PathBuf};

/// Which program.
#[derive(clap::Args, Clone, Debug)]
pub struct ProgramArgs {
    /// A system (see `latentc list`), or a file: a program as text, which ends in .ir, or a model, which ends in .onnx.
    #[arg(value_name = "SYSTEM|FILE")]
    what: String,
    /// Which program of the system: step (one step of training), embed (the final rows), rank [default: step].
    #[arg(long, value_name = "NAME")]
    program: Option<String>,
    /// The data whose sizes the system's programs have [default: gowalla, which ships inside].
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// A TOML file of the system's configuration keys.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The range of a size that an ONNX model leaves open, both ends included, or the size itself [default: 1..1024]. May
    /// be given several times.
    #[arg(long = "dim", value_name = "NAME=LO..HI", value_parser = range)]
    dims: Vec<(String, (i64, i64))>,
    /// A configuration key; wins over --config. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

/// A program that was asked for.
#[derive(Debug)]
pub struct Chosen {
    /// The graph, with gradients and optimizer written out.
    pub graph: Graph,
    /// The values of its parameters, where a file brings them along.
    pub values: Option<Store>,
    /// What it is for people: `lightgcn step on gowalla`, or the file.
    pub title: String,
    /// What its places call a text that is in no file, and the text.
    pub source: Option<(String, String)>,
}

/// What the argument names. A kind of file is a row here and an arm of [`ProgramArgs::open`].
enum Source<'a> {
    /// A system that is registered.
    System(&'static crate::systems::System),
    /// A graph as text.
    Text(&'a Path),
    /// A model in the ONNX format.
    Onnx(&'a Path),
}

impl ProgramArgs {
    fn source(&self) -> Result<Source<'_>, CliError> {
        let path = Path::new(&self.what);
        if path.extension().is_some_and(|e| e == "ir") {
            return Ok(Source::Text(path));
        }
        if path.extension().is_some_and(|e| e == "onnx") {
            return Ok(Source::Onnx(path));
        }
        if path.exists() && !SYSTEMS.iter().any(|s| s.name == self.what) {
            let what =
                "not a file of a kind that holds a program; programs as text end in .ir, models in .onnx"
                    .to_owned();
            return Err(CliError::ProgramFile { path: path.to_owned(), what });
        }
        if self.what.contains(['/', '.']) {
            let valid = SYSTEMS.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
            return Err(CliError::NoProgram { name: self.what.clone(), valid });
        }
        Ok(Source::System(find(&self.what)?))
    }

    /// Reads or builds the program.
    pub fn open(&self, out: &Output) -> Result<Chosen, CliError> {
        match self.source()? {
            Source::System(system) => self.of_system(system, out),
            Source::Text(path) => self.of_text(path),
            Source::Onnx(path) => self.of_onnx(path, out),
        }
    }

    /// The name of a library of what the argument names: the system's, or the file's without its ending.
    pub fn library_name(&self) -> String {
        let stem = Path::new(&self.what).file_stem().map(|s| s.to_string_lossy().into_owned());
        stem.unwrap_or_else(|| self.what.clone())
    }

    /// Reads or builds the program asked for, or every program of a system where none is, each with its word
    /// (none for a file, which holds one).
    pub fn open_all(&self, out: &Output) -> Result<Vec<(&'static str, Chosen)>, CliError> {
        match self.source()? {
            Source::System(system) => self.all_of_system(system, out),
            Source::Text(path) => Ok(vec![("", self.of_text(path)?)]),
            Source::Onnx(path) => Ok(vec![("", self.of_onnx(path, out)?)]),
        }
    }

    fn of_system(&self, system: &'static crate::systems::System, out: &Output) -> Result<Chosen, CliError> {
        let wanted = self.program.as_deref().unwrap_or("step");
        let all = self.all_of_system(system, out)?;
        let valid = all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let found = all.into_iter().find(|(name, _)| *name == wanted).map(|(_, chosen)| chosen);
        found.ok_or(CliError::NoSuchProgram { system: system.name.into(), name: wanted.into(), valid })
    }

    /// The programs of a system: the one asked for, or all.
    fn all_of_system(
        &self,
        system: &'static crate::systems::System,
        out: &Output,
    ) -> Result<Vec<(&'static str, Chosen)>, CliError> {
        let mut sources = Sources::default();
        if let Some(path) = &self.config {
            sources = sources.file(path)?;
        }
        for setting in &self.settings {
            sources = sources.setting(setting);
        }
        self.no_dims(system.name.to_owned())?;
        let configured = (system.configure)(&sources)?;
        let data = self.data.as_deref().unwrap_or(SHIPPED[0]);
        let data = open_data(data, Declared { users: None, items: None }, out)?;
        let refused = |source| CliError::Model { system: system.name, source };
        let all = configured.programs(&data).map_err(refused)?;
        let valid = all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let wanted = |name: &str| self.program.as_deref().is_none_or(|p| p == name);
        let chosen = all.into_iter().filter(|(name, _)| wanted(name)).map(|(name, program)| {
            let title = format!("{} {name} on {}", system.name, data.name);
            (name, Chosen { graph: program.graph().clone(), values: None, title, source: None })
        });
        let chosen: Vec<(&'static str, Chosen)> = chosen.collect();
        match (&self.program, chosen.is_empty()) {
            (Some(name), true) => {
                Err(CliError::NoSuchProgram { system: system.name.into(), name: name.clone(), valid })
            }
            _ => Ok(chosen),
        }
    }

    fn of_onnx(&self, path: &Path, out: &Output) -> Result<Chosen, CliError> {
        self.no_system(path)?;
        let file = Model::read(path)?;
        let known = file.dims();
        if let Some((name, _)) = self.dims.iter().find(|(name, _)| !known.contains(name)) {
            let (path, name, valid) = (path.to_owned(), name.clone(), known.join(", "));
            return Err(CliError::NoDim { path, name, valid });
        }
        let model = file.import(&Given { dims: self.dims.iter().cloned().collect(), ..Given::default() })?;
        if !model.specialised.is_empty() {
            let names = model.specialised.join(", ");
            out.note(&format!(
                "note: the program is one for the values of {names}, which decide shapes or branches"
            ));
        }
        let title = path.display().to_string();
        let source = Some((model.file, model.text));
        Ok(Chosen { graph: model.graph, values: Some(model.store), title, source })
    }

    /// Only models leave sizes open.
    fn no_dims(&self, program: String) -> Result<(), CliError> {
        if self.dims.is_empty() { Ok(()) } else { Err(CliError::OnlyModels { program }) }
    }

    /// Options of systems mean nothing for a file.
    fn no_system(&self, path: &Path) -> Result<(), CliError> {
        let given = [
            ("--program", self.program.is_some()),
            ("--data", self.data.is_some()),
            ("--config", self.config.is_some()),
            ("--set", !self.settings.is_empty()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(CliError::OnlySystems { option, path: path.to_owned() }),
            None => Ok(()),
        }
    }

    fn of_text(&self, path: &Path) -> Result<Chosen, CliError> {
        self.no_system(path)?;
        let text = std::fs::read_to_string(path).map_err(|e| CliError::ProgramFile {
            path: path.to_owned(),
            what: format!("cannot be read ({e}); check the path"),
        })?;
        self.no_dims(path.display().to_string())?;
        let graph = latentc::read_graph(&path.display().to_string(), &text)?;
        Ok(Chosen { graph, values: None, title: path.display().to_string(), source: None })
    }
}

/// A size and its range, both ends included.
fn range(text: &str) -> Result<(String, (i64, i64)), String> {
    let wrong =
        || format!("`{text}` found, expected a name and a range, such as batch=1..64, or a size, batch=8");
    let (name, range) = text.rsplit_once('=').filter(|(name, _)| !name.ends_with("..")).ok_or_else(wrong)?;
    let (lo, hi) = range.split_once("..").unwrap_or((range, range));
    let [lo, hi] = [lo, hi].map(|n| n.trim().parse::<i64>().ok().filter(|n| *n >= 0));
    let (lo, hi) = lo.zip(hi).ok_or_else(wrong)?;
    if lo > hi {
        Err(format!("`{text}`: {lo} is greater than {hi}"))
    } else {
        Ok((name.to_owned(), (lo, hi)))
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_read() {
        for (text, found) in
            [("n=1..64", ("n", (1, 64))), ("x.0=8", ("x.0", (8, 8))), ("a=b=0..3", ("a=b", (0, 3)))]
        {
            assert_eq!(range(text), Ok((found.0.to_owned(), found.1)));
        }
        for wrong in ["n", "n=", "n=..", "n=1..", "n=-1..2", "n=5..2", "n=1..=2", "n=one"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
