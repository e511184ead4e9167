//! What several commands begin with: the options of the machine, data by name or path, a run by its folder.

use super::output::Output;
use super::profile::ProfileArgs;
use super::{CliError, table};
use crate::common::config::Sources;
use crate::common::data::{self, Declared, Interactions, is_shipped, shipped};
use crate::common::run::{Checkpoint, Meta, Recommender};
use crate::systems::{Configured, Device, Machine, System, find};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The options that say where programs run.
#[derive(clap::Args, Clone, Debug)]
pub struct MachineArgs {
    /// What computes: native code, or the interpreter (slow, for tests).
    #[arg(long, value_enum, default_value_t = DeviceArg::Cpu, value_name = "DEVICE")]
    device: DeviceArg,
    /// Threads; 0 for one a core. Results are the same for any number.
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: usize,
    /// Look at every op as it runs: the first NaN or infinity, row numbers outside of their table, integers that do not
    /// fit, divisions of integers by zero end the command with the line of the model. Several times slower.
    #[arg(long)]
    checked: bool,
    #[command(flatten)]
    pub profile: ProfileArgs,
    /// The instruction set to compile for: x86-64-v2, x86-64-v3, x86-64-v4 or neon, up to what this processor has
    /// [default: all that it has]. Results are those of a library that was built for it, to the last bit.
    #[arg(long, value_name = "NAME")]
    level: Option<String>,
    /// Write numbered files of every stage of what is compiled, graphs to machine code, below this folder.
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum DeviceArg {
    Cpu,
    Interp,
}

impl MachineArgs {
    /// The machine they describe.
    pub fn machine(&self) -> Machine {
        let device = match self.device {
            DeviceArg::Cpu => Device::Cpu,
            DeviceArg::Interp => Device::Interp,
        };
        Machine {
            device,
            threads: self.threads,
            profile: self.profile.is_on(),
            checked: self.checked,
            dump: self.dump.clone(),
            level: self.level.clone(),
        }
    }
}

/// The data set of a name that ships, or at a path; odd things about it are noted.
pub fn open_data(source: &str, declared: Declared, out: &Output) -> Result<Arc<Interactions>, CliError> {
    let set = if is_shipped(source) { shipped(source)? } else { data::open(Path::new(source), declared)? };
    for warning in &set.warnings {
        out.note(&format!("warning: {}: {warning}", set.name));
    }
    Ok(Arc::new(set))
}

/// How a checkpoint remembers where its data is: the name of a set that ships, or the whole path.
pub fn data_source(source: &str) -> String {
    if is_shipped(source) {
        return source.to_string();
    }
    Path::new(source).canonicalize().map_or_else(|_| source.to_string(), |p| p.display().to_string())
}

/// The data of a run: where it was, or where the user says it is now. Its tables have the sizes of the run's.
pub fn run_data(meta: &Meta, moved: Option<&str>, out: &Output) -> Result<Arc<Interactions>, CliError> {
    let declared = Declared { users: Some(meta.sizes[0]), items: Some(meta.sizes[1]) };
    open_data(moved.unwrap_or(&meta.data), declared, out)
}

/// Which checkpoint of a run.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// That of the best evaluation.
    Best,
    /// The newest.
    Last,
}

/// The checkpoint file of a run's folder, or the file itself. Without a choice, the best there is.
pub fn checkpoint_path(path: &Path, which: Option<Which>) -> Result<PathBuf, CliError> {
    let none = |what| CliError::NoCheckpoint { path: path.to_path_buf(), what };
    if path.is_file() {
        return Ok(path.to_path_buf());
    }
    if !path.is_dir() {
        return Err(none("no such file or folder"));
    }
    let file = |w| match w {
        Which::Best => path.join("best.safetensors"),
        Which::Last => path.join("last.safetensors"),
    };
    let candidates = match which {
        Some(w) => vec![file(w)],
        None => vec![file(Which::Best), file(Which::Last)],
    };
    candidates.into_iter().find(|p| p.is_file()).ok_or_else(|| match which {
        Some(Which::Best) => none("no best.safetensors there"),
        Some(Which::Last) => none("no last.safetensors there"),
        None => none("neither best.safetensors nor last.safetensors there"),
    })
}

/// A trained model, ready to rank.
pub struct Trained {
    /// What the checkpoint says.
    pub meta: Meta,
    /// Its system.
    pub system: &'static System,
    /// The configuration it was made with.
    pub configured: Configured,
    /// Its data.
    pub data: Arc<Interactions>,
    /// The model.
    pub model: Box<dyn Recommender>,
}

/// Opens a checkpoint with its data.
pub fn open_trained(
    path: &Path,
    moved: Option<&str>,
    machine: Machine,
    out: &Output,
) -> Result<Trained, CliError> {
    let checkpoint = Checkpoint::load(path)?;
    let system = find(&checkpoint.meta.system)?;
    let origin = format!("{} (configuration)", path.display());
    let configured = (system.configure)(&Sources::default().text(origin, checkpoint.meta.config.clone()))?;
    let data = run_data(&checkpoint.meta, moved, out)?;
    checkpoint.expect(path, system.name, &data.fingerprint())?;
    let mut model =
        configured.build(&data, machine).map_err(|source| CliError::Model { system: system.name, source })?;
    let meta = checkpoint.meta.clone();
    checkpoint.restore(path, model.as_mut())?;
    Ok(Trained { meta, system, configured, data, model })
}

/// A data set in one line.
pub fn described(data: &Interactions) -> String {
    format!(
        "{}: {} users, {} items, {} train and {} test interactions",
        data.name,
        table::grouped(data.users),
        table::grouped(data.items),
        table::grouped(data.train.pairs()),
        table::grouped(data.test.pairs())
    )
}
