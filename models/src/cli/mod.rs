//! The `latentc` program: its words, its output and its exit codes.
//!
//! Results go to stdout, progress and warnings to stderr. With `--json`, stdout holds one JSON object a line
//! and nothing else. Exit codes: 0 done, 1 an error (one message, on stderr), 3 a model that uses what is not
//! supported, 130 interrupted after saving.

use clap::{Parser, Subcommand};
use std::process::ExitCode;

pub mod bench;
mod build;
mod check;
mod doctor;
mod error;
mod eval;
mod explain;
mod list;
mod load;
mod names;
pub mod output;
mod pack;
mod profile;
mod program;
mod progress;
mod quality;
mod recommend;
mod run;
mod switches;
mod table;
mod train;
mod unpack;

pub use error::CliError;
pub use output::Output;

/// Train, judge and use models on embedding tables and graphs, compiled for this machine.
#[derive(Parser, Debug)]
#[command(name = "latentc", version, propagate_version = true, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Start here:
  latentc list                                      the systems there are
  latentc train lightgcn                            train on the Gowalla data that ships inside
  latentc eval runs/lightgcn-1                      all metrics of the best checkpoint
  latentc recommend --run runs/lightgcn-1 --user 7  what user 7 may like
  latentc run model.onnx --inputs in.npz --check    a model of another maker, on arrays from NumPy
  latentc explain lightgcn                          what the compiler makes of it, and why
  latentc build lightgcn --out lib                  a library for C and Rust, without this program
  latentc check --seconds 60                        the compiler on random programs, against the interpreter

Every word explains itself: latentc train --help
Exit codes: 0 done, 1 error, 3 a model with ops or types that are not supported, 130 interrupted after saving.";

#[derive(Subcommand, Debug)]
enum Command {
    List(list::Args),
    Train(train::Args),
    Eval(eval::Args),
    Recommend(recommend::Args),
    Run(run::Args),
    Explain(explain::Args),
    Build(build::Args),
    Bench(bench::Args),
    Check(check::Args),
    Doctor(doctor::Args),
    Pack(pack::Args),
    Unpack(unpack::Args),
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It did what was asked.
    Done,
    /// It was asked to stop, and saved its state.
    Interrupted,
}

/// Runs the program on the arguments of the process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are not errors. Where they cannot be printed nobody reads them.
            let _ = e.print();
            return ExitCode::from(u8::from(e.use_stderr()));
        }
    };
    let out = Output::new(match &cli.command {
        Command::List(a) => a.json,
        Command::Train(a) => a.json,
        Command::Eval(a) => a.json,
        Command::Recommend(a) => a.json,
        Command::Run(a) => a.json,
        Command::Build(a) => a.json,
        Command::Doctor(a) => a.json,
        Command::Explain(a) => a.json,
        Command::Check(a) => a.json,
        Command::Bench(_) | Command::Pack(_) | Command::Unpack(_) => false,
    });
    let result = match &cli.command {
        Command::List(a) => list::run(a, &out),
        Command::Train(a) => train::run(a, &out),
        Command::Eval(a) => eval::run(a, &out),
        Command::Recommend(a) => recommend::run(a, &out),
        Command::Run(a) => run::run(a, &out),
        Command::Explain(a) => explain::run(a, &out),
        Command::Build(a) => build::run(a, &out),
        Command::Bench(a) => bench::run(a, &out),
        Command::Check(a) => check::run(a, &out),
        Command::Doctor(a) => doctor::run(a, &out),
        Command::Pack(a) => pack::run(a, &out),
        Command::Unpack(a) => unpack::run(a, &out),
    };
    match result {
        Ok(Status::Done) => ExitCode::SUCCESS,
        Ok(Status::Interrupted) => ExitCode::from(130),
        // The reader of our output went away: nothing failed, and nobody is left to tell.
        Err(e) if e.is_broken_pipe() => ExitCode::SUCCESS,
        Err(e) => {
            out.error(&e);
            ExitCode::from(e.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
