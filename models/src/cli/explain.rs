//! `latentc explain`.

use super::output::{Output, members};
use super::program::ProgramArgs;
use super::{CliError, Status};
use latentc::debug::{Dumped, Explanation, Limits, Wanted, dump, explain};
use latentc::{Isa, Schedules};
use std::path::{Path, PathBuf};

/// Show what the compiler makes of a program, and why: passes, kernels with their code and cost, what was not fused,
/// what is computed again, memory.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  latentc explain lightgcn                                    a step of training, for the terminal
  latentc explain ngcf --format html --out ngcf.html          a page to look around in; it needs no network
  latentc explain lightgcn --program rank --kernel k0_score_top_k   one kernel: loops, LLVM IR, assembly
  latentc explain program.ir --format dot | dot -Tsvg > program.svg
  latentc explain lightgcn --schedules mine.txt               with lines such as `k4_spmm: rows columns=4`

Times are the least that memory and arithmetic allow, not measured ones. Figures are for the greatest sizes.")]
pub struct Args {
    #[command(flatten)]
    program: ProgramArgs,
    /// The form.
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORM")]
    format: Format,
    /// Print one JSON object, as --format json does, with the member `event`.
    #[arg(long, conflicts_with_all = ["format", "out"])]
    pub json: bool,
    /// A file to write instead of stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// One kernel, with its code.
    #[arg(long, value_name = "NAME", conflicts_with = "format")]
    kernel: Option<String>,
    /// Decisions about kernels that replace the usual ones: lines `kernel: schedule`, as they are shown.
    #[arg(long, value_name = "FILE")]
    schedules: Option<PathBuf>,
    /// The instruction set [default: that of this machine]: x86-64-v2, x86-64-v3, x86-64-v4 or neon.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Threads of a run, which the least times are for; 0 for one a core.
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: usize,
    /// GB/s that memory gives [default: that of a short copy].
    #[arg(long, value_name = "X", requires = "peak_gops")]
    peak_gbs: Option<f64>,
    /// 10^9 arithmetic operations a second that the machine can do [default: from its vectors and clock].
    #[arg(long, value_name = "X", requires = "peak_gbs")]
    peak_gops: Option<f64>,
    /// Take what this machine can do at most as measured, once (`latentc bench --peaks` measures anew): about two seconds,
    /// and 512 MiB of memory for a moment.
    #[arg(long, conflicts_with = "peak_gbs")]
    measure: bool,
    /// Write numbered files of every stage below this folder as well.
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// For a terminal.
    Text,
    /// Everything, for programs.
    Json,
    /// The regions, for Graphviz.
    Dot,
    /// One page to look around in.
    Html,
}

/// Explains.
pub fn run(args: &Args, out: &Output) -> Result<Status, CliError> {
    let chosen = args.program.open(out)?;
    let isa = match &args.target {
        Some(name) => Isa::by_name(name).map_err(latentc::CompileError::from)?,
        None => Isa::host().map_err(latentc::CompileError::from)?,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if args.threads == 0 { cores } else { args.threads };
    let limits = match (args.peak_gbs, args.peak_gops) {
        (Some(gbs), Some(gops)) => {
            for (option, value) in [("--peak-gbs", gbs), ("--peak-gops", gops)] {
                if !(value > 0.0 && value.is_finite()) {
                    return Err(CliError::Peak { option, value });
                }
            }
            Limits::stated(gbs, gops, threads, isa.l2 as u64)
        }
        _ if args.measure => {
            let found = latentc::peaks::known(threads, &latentc::Options::default())?;
            found.notes.iter().for_each(|note| out.note(&format!("note: {note}")));
            Limits::measured(&found.peaks, isa.l2 as u64)
        }
        _ => Limits::of_machine(&isa, threads),
    };
    let schedules = args.schedules.as_deref().map_or(Ok(Schedules::default()), read_schedules)?;
    let options = latentc::Options { schedules, ..latentc::Options::default() };
    if let Some(dir) = &args.dump {
        let what = Dumped { isa: &isa, options: &options, threads: cores };
        let folder = dump(&chosen.graph, what, dir)?;
        out.note(&format!("every stage is in {}", folder.display()));
    }
    let (title, code) = (chosen.title, args.format != Format::Dot);
    let wanted = Wanted { title, isa, limits, options, code, threads: cores };
    let made = explain(&chosen.graph, wanted);
    let made = made.map_err(|e| CliError::from(e).with_text(chosen.source.as_ref()))?;
    if args.json {
        let value = serde_json::to_value(&made).map_err(std::io::Error::from)?;
        out.event("explanation", members(value))?;
        return Ok(Status::Done);
    }
    let text = match (&args.kernel, args.format) {
        (Some(name), _) => match made.kernel(name) {
            Some(kernel) => made.kernel_text(kernel),
            None => return Err(no_kernel(name, &made)),
        },
        (None, Format::Text) => made.to_string(),
        (None, Format::Json) => serde_json::to_string(&made).map_err(std::io::Error::from)?,
        (None, Format::Dot) => made.dot(),
        (None, Format::Html) => made.html(),
    };
    match &args.out {
        Some(path) => {
            std::fs::write(path, text).map_err(|source| CliError::Write { path: path.clone(), source })?;
            out.note(&format!("written to {}", path.display()));
        }
        None => out.say(text.trim_end())?,
    }
    Ok(Status::Done)
}

fn read_schedules(path: &Path) -> Result<Schedules, CliError> {
    let wrong = |what: String| CliError::ProgramFile { path: path.to_owned(), what };
    let text =
        std::fs::read_to_string(path).map_err(|e| wrong(format!("cannot be read ({e}); check the path")))?;
    text.parse().map_err(wrong)
}

fn no_kernel(name: &str, made: &Explanation) -> CliError {
    let valid: Vec<&str> = made.about.kernels.iter().map(|k| k.name.as_str()).collect();
    CliError::NoKernel { name: name.to_owned(), valid: valid.join(", ") }
}
