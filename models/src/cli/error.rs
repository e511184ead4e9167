//! What can end a command: the errors of the parts below, and few of its own.

use crate::common::config::ConfigError;
use crate::common::data::DataError;
use crate::common::metrics::MetricError;
use crate::common::run::{CheckpointError, ModelError, RunDirError, RunError};
use crate::systems::UnknownSystem;
use std::io;
use std::path::PathBuf;

/// Why a command failed: one message that names the place, what was found, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The name of a system.
    #[error(transparent)]
    System(#[from] UnknownSystem),
    /// A training run.
    #[error("{0}")]
    Run(#[from] RunError),
    /// The folder of a run.
    #[error(transparent)]
    Dir(#[from] RunDirError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The metrics.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// A system that cannot be made, or failed while ranking.
    #[error("{system}: {source}")]
    Model {
        /// The system.
        system: &'static str,
        /// What it said.
        source: ModelError,
    },
    /// A folder that holds no run.
    #[error("{}: {what}; give the folder of a run (as `latentc train` printed it) or a .safetensors checkpoint", path.display())]
    NoCheckpoint {
        /// The folder or file.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// A user outside the table.
    #[error("user {user}: the data has users 0 to {}; give --user one of these", users.saturating_sub(1))]
    NoSuchUser {
        /// The user.
        user: u32,
        /// Rows of the user table.
        users: usize,
    },
    /// A list longer than the item table.
    #[error("--top {top}: the data has {items} items; ask for at most that many")]
    TooLong {
        /// The length.
        top: usize,
        /// Rows of the item table.
        items: usize,
    },
    /// A name file that does not fit the data.
    #[error("{}: {what}", path.display())]
    Names {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Neither a system nor a file.
    #[error(
        "`{name}` is neither a system nor a file; systems are: {valid}; files of programs end in .ir or .onnx"
    )]
    NoProgram {
        /// What was asked for.
        name: String,
        /// All systems.
        valid: String,
    },
    /// A system without a program of that name.
    #[error("`{system}` has no program `{name}`; --program takes one of: {valid}")]
    NoSuchProgram {
        /// The system.
        system: String,
        /// The name asked for.
        name: String,
        /// All its programs.
        valid: String,
    },
    /// An option that means nothing for a file.
    #[error("{option} is for systems; {} is a program by itself: leave it out", path.display())]
    OnlySystems {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A file of a program that cannot be read.
    #[error("{}: {what}", path.display())]
    ProgramFile {
        /// The file.
        path: PathBuf,
        /// What the system said, and what to do.
        what: String,
    },
    /// Mistakes in a program, each with its lines.
    #[error("the program cannot be used\n{}", .0.render(false))]
    Program(latentc::Errors),
    /// A library that cannot be built.
    #[error("{0}")]
    Aot(#[from] latentc::aot::AotError),
    /// Weights that are to be embedded and are not given.
    #[error(
        "--weights embedded needs their values: give --values, the folder of a run or a safetensors file"
    )]
    NoValues,
    /// A size that a model does not leave open.
    #[error("--dim {name}: {} has no such size; {}", path.display(), if valid.is_empty() { "all its sizes are numbers".to_owned() } else { format!("there are: {valid}") })]
    NoDim {
        /// The model.
        path: PathBuf,
        /// The name given.
        name: String,
        /// All names.
        valid: String,
    },
    /// Ranges of sizes for a program that states its own.
    #[error("--dim is for ONNX models; the sizes of {program} have ranges of their own: leave it out")]
    OnlyModels {
        /// The program.
        program: String,
    },
    /// An input that no program has.
    #[error("--ids {name}: no program that is built has an input of that name; the header lists them")]
    NoInput {
        /// The name given.
        name: String,
    },
    /// A kernel that the program does not have.
    #[error("no kernel `{name}`; there are: {valid}")]
    NoKernel {
        /// The name asked for.
        name: String,
        /// All kernels.
        valid: String,
    },
    /// A limit of a machine that is none.
    #[error("{option} {value}: expected a positive number")]
    Peak {
        /// The option.
        option: &'static str,
        /// The number.
        value: f64,
    },
    /// A program that cannot be compiled, through no fault of its lines.
    #[error("{0}")]
    Compile(#[source] latentc::CompileError),
    /// A machine whose limits cannot be measured.
    #[error(transparent)]
    Measure(#[from] latentc::peaks::PeakError),
    /// A file that cannot be written.
    #[error("{}: cannot be written ({source}); give another path", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A benchmark workload that does not exist.
    #[error("no workload `{name}`; there are: {valid}")]
    NoWorkload {
        /// The name asked for.
        name: String,
        /// All names.
        valid: String,
    },
    /// A benchmark that failed.
    #[error("workload `{workload}`: {source}")]
    Bench {
        /// The workload.
        workload: &'static str,
        /// What it said.
        source: ModelError,
    },
    /// A file of benchmark records that cannot be used.
    #[error("{}: {what}; give another --json", path.display())]
    Records {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A trace that could not be written.
    #[error(transparent)]
    Trace(#[from] crate::common::run::SaveError),
    /// A machine on which something that is needed is missing.
    #[error("{0}")]
    Doctor(String),
    /// A model of another maker.
    #[error("{0}")]
    Import(#[from] latentc::import::onnx::ImportError),
    /// A file of arrays.
    #[error(transparent)]
    Npz(#[from] latentc::import::npz::NpzError),
    /// Arrays that are not what a model takes.
    #[error("{}: {what}", if path.as_os_str().is_empty() { "--inputs".to_owned() } else { path.display().to_string() })]
    Inputs {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// What is wrong at a place in a model.
    #[error("{message}")]
    Shown {
        /// The error by itself.
        message: String,
        /// The same with the text that its places are in.
        #[source]
        errors: latentc::Errors,
    },
    /// A run that was refused.
    #[error("{0}")]
    Session(#[source] latentc::RunError),
    /// Native code and the interpreter that do not agree.
    #[error("output `{output}`: {what} by the two devices, which is a fault of this program")]
    Differ {
        /// The output.
        output: String,
        /// What differs.
        what: String,
    },
    /// A random program on which the ways to run it do not agree.
    #[error(
        "case {case} ({kind}) does not agree, which is a fault of this program: {failure}\nwritten to {}; again: {again}",
        path.display()
    )]
    Disagree {
        /// The number of the case.
        case: u64,
        /// The kind of program.
        kind: &'static str,
        /// What differs.
        failure: String,
        /// The file with the program.
        path: PathBuf,
        /// The command that shows it again.
        again: String,
    },
    /// A program from a file that does not agree, or cannot be run.
    #[error(transparent)]
    Replay(crate::check::ReplayError),
    /// Ops, types or circumstances that no random program had.
    #[error("no program had: {missing}; write steps for them in ir/src/testing/steps")]
    Uncovered {
        /// All of them.
        missing: String,
    },
    /// Output that cannot be written.
    #[error("the output cannot be written ({0})")]
    Output(#[from] io::Error),
    /// Signals that cannot be listened to.
    #[error("Ctrl-C cannot be handled ({0})")]
    Signals(io::Error),
}

impl From<latentc::Errors> for CliError {
    fn from(e: latentc::Errors) -> CliError {
        CliError::Program(e)
    }
}

impl From<crate::check::ReplayError> for CliError {
    fn from(e: crate::check::ReplayError) -> CliError {
        match e {
            crate::check::ReplayError::Graph(errors) => CliError::Program(errors),
            other => CliError::Replay(other),
        }
    }
}

impl From<latentc::CompileError> for CliError {
    fn from(e: latentc::CompileError) -> CliError {
        match e {
            latentc::CompileError::Lower { .. } => CliError::Program(e.into()),
            other => CliError::Compile(other),
        }
    }
}

impl CliError {
    /// With the text that places of a model are in, which no file holds.
    pub fn with_text(self, source: Option<&(String, String)>) -> CliError {
        let Some((file, text)) = source else { return self };
        let errors = match &self {
            CliError::Program(errors) => errors.clone(),
            CliError::Session(e) => latentc::Errors::from(e),
            CliError::Aot(e) => match (e.diag(), e) {
                (Some(diag), _) => latentc::Errors::from(diag),
                (None, latentc::aot::AotError::Compile(latentc::CompileError::Lower { diag })) => {
                    latentc::Errors::from((**diag).clone())
                }
                _ => return self,
            },
            _ => return self,
        };
        let errors = errors.with_text(file, text.as_str());
        CliError::Shown { message: self.to_string(), errors }
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Import(latentc::import::onnx::ImportError::Unsupported { .. }) => 3,
            _ => 1,
        }
    }

    /// Whether it is that the reader of the output has gone away.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, CliError::Output(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }
}
