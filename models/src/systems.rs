//! The systems that can be trained: what each is, its configuration, and how it is made for a data set.

use crate::common::config::{Config, ConfigError, Sources, nearest, to_toml};
use crate::common::data::Interactions;
use crate::common::run::{ModelError, Recommender, Schedule};
use latentc::Program;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// What computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// Native code for this processor.
    #[default]
    Cpu,
    /// The interpreter: the specification, for tests and small data.
    Interp,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Device::Cpu => "cpu",
            Device::Interp => "interp",
        })
    }
}

/// Where and how programs run. It changes how fast a run is and what is looked at on the way; what a run gives is the
/// same, but that a checked run, or one of another instruction set, adds up floats in another order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// What computes.
    pub device: Device,
    /// Threads; 0 for one a core.
    pub threads: usize,
    /// Whether the time of every launch is counted and recorded.
    pub profile: bool,
    /// Whether every op is looked at as it runs.
    pub checked: bool,
    /// A folder below which every stage of what is compiled is written.
    pub dump: Option<PathBuf>,
    /// The instruction set to compile for; none for all that this processor has.
    pub level: Option<String>,
}

/// The configuration of a system, with what the training loop and the program need of it.
pub trait SystemConfig: Config {
    /// How it is trained.
    fn schedule(&self) -> &Schedule;

    /// The system itself, freshly initialised from the seed of the schedule.
    fn build(&self, data: &Arc<Interactions>, machine: Machine) -> Result<Box<dyn Recommender>, ModelError>;

    /// The programs that it is made of for a data set, by what each is: `step` comes first.
    fn programs(&self, data: &Interactions) -> Result<Vec<NamedProgram>, ModelError>;
}

/// A program of a system, with the word that names it on the command line.
pub type NamedProgram = (&'static str, Program);

/// A configuration of some system, checked.
#[derive(Debug)]
pub struct Configured {
    /// Every key with its value.
    pub toml: String,
    /// How it is trained.
    pub schedule: Schedule,
    config: Box<dyn Build>,
}

impl Configured {
    /// The system itself, freshly initialised.
    pub fn build(
        &self,
        data: &Arc<Interactions>,
        machine: Machine,
    ) -> Result<Box<dyn Recommender>, ModelError> {
        self.config.build(data, machine)
    }

    /// The programs of the system: `step` comes first.
    pub fn programs(&self, data: &Interactions) -> Result<Vec<NamedProgram>, ModelError> {
        self.config.programs(data)
    }
}

/// [`SystemConfig`] without its type.
trait Build {
    fn build(&self, data: &Arc<Interactions>, machine: Machine) -> Result<Box<dyn Recommender>, ModelError>;
    fn programs(&self, data: &Interactions) -> Result<Vec<NamedProgram>, ModelError>;
}

impl<C: SystemConfig> Build for C {
    fn build(&self, data: &Arc<Interactions>, machine: Machine) -> Result<Box<dyn Recommender>, ModelError> {
        SystemConfig::build(self, data, machine)
    }

    fn programs(&self, data: &Interactions) -> Result<Vec<NamedProgram>, ModelError> {
        SystemConfig::programs(self, data)
    }
}

impl fmt::Debug for dyn Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a configuration")
    }
}

/// The configuration of one system from its sources.
pub fn configure<C: SystemConfig + 'static>(sources: &Sources) -> Result<Configured, ConfigError> {
    let config: C = sources.resolve()?;
    Ok(Configured { toml: to_toml(&config)?, schedule: config.schedule().clone(), config: Box::new(config) })
}

/// A result that the authors of a system print, to be set beside one's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// What identifies the data: users, items, train and test interactions.
    pub sizes: [usize; 4],
    /// Metrics such as `recall@20` with their values.
    pub values: &'static [(&'static str, f64)],
    /// Where it is printed.
    pub source: &'static str,
}

/// Sizes of the Gowalla split that ships: users, items, train and test interactions.
pub const GOWALLA: [usize; 4] = [29_858, 40_981, 810_128, 217_242];

/// A system.
#[derive(Clone, Copy, Debug)]
pub struct System {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Where it is published.
    pub paper: &'static str,
    /// Results to compare with.
    pub published: &'static [Published],
    /// Its configuration from defaults, files and settings.
    pub configure: fn(&Sources) -> Result<Configured, ConfigError>,
}

impl System {
    /// The published result for a data set, where there is one.
    pub fn published(&self, data: &Interactions) -> Option<&'static Published> {
        let sizes = [data.users, data.items, data.train.pairs(), data.test.pairs()];
        self.published.iter().find(|p| p.sizes == sizes)
    }
}

/// All systems, in the order in which they are listed.
pub const SYSTEMS: &[System] = &[crate::lightgcn::SYSTEM, crate::ngcf::SYSTEM];

/// No system of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no system `{name}`{}; `latentc list` shows them: {valid}", nearest.map_or(String::new(), |n| format!("; did you mean `{n}`?")))]
pub struct UnknownSystem {
    /// The name asked for.
    pub name: String,
    /// A name spelled much like it.
    pub nearest: Option<&'static str>,
    /// All names.
    pub valid: String,
}

/// The system of a name.
pub fn find(name: &str) -> Result<&'static System, UnknownSystem> {
    SYSTEMS.iter().find(|s| s.name == name).ok_or_else(|| UnknownSystem {
        name: name.to_string(),
        nearest: nearest(name, SYSTEMS.iter().map(|s| s.name)),
        valid: SYSTEMS.iter().map(|s| s.name).collect::<Vec<_>>().join(", "),
    })
}
