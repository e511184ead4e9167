//! `latentc doctor`: what is on this machine that latentc uses, and what is missing.

use super::output::{Output, members};
use super::switches::SWITCHES;
use super::{CliError, Status, table};
use crate::common::data::{SHIPPED, shipped};
use crate::common::device::{Isa, Report, Store, compile, llvm_version};
use crate::common::run::ModelError;
use crate::systems::{Machine, SYSTEMS};
use latentc::{DType, program};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Show what latentc finds on this machine, and the switches for looking into what it does.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit code 1 says that something is missing without which nothing can be trained.")]
pub struct Args {
    /// Print one JSON object a finding.
    #[arg(long)]
    pub json: bool,
}

/// One thing that was looked for.
struct Finding {
    name: &'static str,
    state: State,
    detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is there.
    Good,
    /// It is not there, and nothing needs it.
    Absent,
    /// It is not there, and training needs it.
    Bad,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Good => "ok",
            State::Absent => "absent",
            State::Bad => "MISSING",
        }
    }
}

fn good(name: &'static str, detail: String) -> Finding {
    Finding { name, state: State::Good, detail }
}

/// Looks around.
pub fn run(_: &Args, out: &Output) -> Result<Status, CliError> {
    let mut findings = vec![processor(), vectors(), instructions(), caches(), memory(), llvm()];
    findings.extend(native_code());
    findings.push(limits());
    findings.push(cuda());
    findings.extend(data());
    findings.push(systems());
    for f in &findings {
        let event = json!({ "name": f.name, "state": f.state.word(), "detail": f.detail });
        out.event("finding", members(event))?;
    }
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|f| vec![f.name.to_string(), f.state.word().to_string(), f.detail.clone()])
        .collect();
    out.say(&table::columns(&rows, 3))?;
    for s in SWITCHES {
        let event = json!({ "name": s.name, "words": s.words, "about": s.about, "changes": s.changes });
        out.event("switch", members(event))?;
    }
    let rows: Vec<Vec<String>> = SWITCHES
        .iter()
        .map(|s| vec![s.name.to_string(), s.words.join(", "), s.about.to_string(), s.changes.to_string()])
        .collect();
    out.say(
        "\nSwitches for looking into what latentc does, the words that take them, what they show and change:",
    )?;
    out.say(&table::columns(&rows, 4))?;
    match findings.iter().find(|f| f.state == State::Bad) {
        Some(f) => Err(CliError::Doctor(format!("{}: {}", f.name, f.detail))),
        None => Ok(Status::Done),
    }
}

fn processor() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&info, "model name").unwrap_or(std::env::consts::ARCH);
    let s = if cores == 1 { "" } else { "s" };
    good("processor", format!("{model}, {cores} core{s} for this process"))
}

/// The value of a `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = |l: &'a str| l.split_once(':').filter(|(n, _)| n.trim() == name).map(|(_, v)| v.trim());
    text.lines().find_map(value)
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> Finding {
    let mut found = Vec::new();
    macro_rules! look {
        ($($feature:tt),+) => { $(if std::is_x86_feature_detected!($feature) { found.push($feature); })+ };
    }
    look!(
        "sse4.2",
        "avx",
        "avx2",
        "fma",
        "f16c",
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512bf16",
        "avx512fp16"
    );
    good("vector features", found.join(" "))
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> Finding {
    good("vector features", std::env::consts::ARCH.to_string())
}

/// The instruction set that code is generated for.
fn instructions() -> Finding {
    match Isa::host() {
        Ok(isa) => {
            let (bits, registers) = (isa.vector_bits(), isa.registers);
            good("instruction set", format!("{}: {registers} vector registers of {bits} bits", isa.name))
        }
        Err(e) => Finding { name: "instruction set", state: State::Bad, detail: e.to_string() },
    }
}

fn llvm() -> Finding {
    good("LLVM", llvm_version())
}

/// A program of one op, compiled and run: whether native code works, and what the cache of compiled kernels
/// is like.
fn native_code() -> Vec<Finding> {
    const NAME: &str = "native code";
    let bad = |detail: String| vec![Finding { name: NAME, state: State::Bad, detail }];
    let report = match probe() {
        Ok(report) => report,
        Err(e) => return bad(e.to_string()),
    };
    let time = report.times.total.as_secs_f64() * 1e3;
    let from = if report.kernels.iter().all(|k| k.cached) { "taken from the cache" } else { "compiled" };
    let mut findings =
        vec![good(NAME, format!("{}: a probe was {from} and ran, {time:.1} ms", report.device))];
    findings.push(match &report.cache {
        Some(dir) => {
            let (files, bytes) = folder(dir);
            let size = table::grouped(bytes.div_ceil(1024));
            good("kernel cache", format!("{}: {} kernels, {size} KiB", dir.display(), table::grouped(files)))
        }
        None => Finding { name: "kernel cache", state: State::Absent, detail: "not in use".into() },
    });
    for note in &report.notes {
        findings.push(Finding { name: "kernel cache", state: State::Absent, detail: note.to_string() });
    }
    findings
}

/// What profiles are set against.
fn limits() -> Finding {
    match latentc::peaks::kept(0, &latentc::Options::default()) {
        Some(peaks) => good("limits", peaks.to_string()),
        None => {
            let detail = "not measured yet: the first --profile does, or `latentc bench --peaks`".into();
            Finding { name: "limits", state: State::Absent, detail }
        }
    }
}

fn probe() -> Result<Report, ModelError> {
    let p = program("doctor", |g| g.output("y", g.input("x", DType::F32, [16]) + 1.0))?;
    let mut session = compile(&p, Machine { threads: 1, ..Machine::default() })?;
    session.set("x", &[16], &[1.0f32; 16])?;
    session.run(&mut Store::new())?;
    match session.output::<f32>("y")?.1 {
        y if y.iter().all(|y| *y == 2.0) => Ok(session.report()),
        y => Err(format!("1 + 1 came out as {y:?}").into()),
    }
}

/// Files of a folder, and their bytes.
fn folder(dir: &Path) -> (usize, u64) {
    let sizes = std::fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|e| e.metadata().ok());
    sizes.filter(|m| m.is_file()).fold((0, 0), |(n, bytes), m| (n + 1, bytes + m.len()))
}

fn caches() -> Finding {
    let read = |dir: &Path, file: &str| {
        std::fs::read_to_string(dir.join(file)).ok().map(|t| t.trim().to_string()).filter(|t| !t.is_empty())
    };
    let describe = |n: usize| {
        let dir = PathBuf::from(format!("/sys/devices/system/cpu/cpu0/cache/index{n}"));
        let kind = read(&dir, "type")?;
        let letter = match kind.as_str() {
            "Data" => "d",
            "Instruction" => "i",
            _ => "",
        };
        Some(format!("L{}{letter} {}", read(&dir, "level")?, read(&dir, "size")?))
    };
    let all: Vec<String> = (0..8).map_while(describe).collect();
    if all.is_empty() {
        return Finding { name: "caches", state: State::Absent, detail: "the system does not say".into() };
    }
    good("caches", all.join(", "))
}

fn memory() -> Finding {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let mib = |name: &str| {
        let kib: u64 = field(&info, name)?.split_whitespace().next()?.parse().ok()?;
        Some(kib / 1024)
    };
    match (mib("MemTotal"), mib("MemAvailable")) {
        (Some(total), Some(free)) => good(
            "memory",
            format!("{} MiB, {} MiB of it available", table::grouped(total), table::grouped(free)),
        ),
        _ => Finding { name: "memory", state: State::Absent, detail: "the system does not say".into() },
    }
}

/// The CUDA driver: its library where the loader finds it, and its version where the kernel module says it.
fn cuda() -> Finding {
    const LIBRARY: &str = "libcuda.so.1";
    let version = std::fs::read_to_string("/proc/driver/nvidia/version").ok();
    let module = version.as_deref().and_then(|v| v.lines().next()).map(str::trim);
    let (state, detail) = match (library(LIBRARY), module) {
        (Some(path), Some(module)) => {
            (State::Good, format!("{} ({module}); no program uses it yet", path.display()))
        }
        (Some(path), None) => {
            (State::Absent, format!("{} is there, but no NVIDIA kernel module is loaded", path.display()))
        }
        (None, Some(module)) => {
            (State::Absent, format!("kernel module {module}, but {LIBRARY} is not in the loader's folders"))
        }
        (None, None) => {
            (State::Absent, format!("no {LIBRARY} and no NVIDIA kernel module; nothing needs them"))
        }
    };
    Finding { name: "CUDA driver", state, detail }
}

/// A shared library in the folders of LD_LIBRARY_PATH, in the loader's cache, or in the usual folders.
fn library(name: &str) -> Option<PathBuf> {
    let listed = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&listed).map(|d| d.join(name)).find(|p| p.exists());
    in_path
        .or_else(|| {
            let cache = ["/sbin/ldconfig", "ldconfig"]
                .iter()
                .find_map(|c| std::process::Command::new(c).arg("-p").output().ok())?;
            let text = String::from_utf8_lossy(&cache.stdout).into_owned();
            let line = text.lines().find(|l| l.trim_start().starts_with(name))?;
            line.split_once("=>").map(|(_, path)| PathBuf::from(path.trim()))
        })
        .or_else(|| {
            let usual = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
            usual.iter().map(|d| Path::new(d).join(name)).find(|p| p.exists())
        })
}

fn data() -> Vec<Finding> {
    let look = |name: &&'static str| match shipped(name) {
        Ok(data) => good("data", super::load::described(&data)),
        Err(e) => Finding { name: "data", state: State::Bad, detail: e.to_string() },
    };
    SHIPPED.iter().map(look).collect()
}

fn systems() -> Finding {
    good("systems", SYSTEMS.iter().map(|s| s.name).collect::<Vec<_>>().join(", "))
}
