//! `latentc build`.

use super::load::checkpoint_path;
use super::output::{Output, members};
use super::program::ProgramArgs;
use super::{CliError, Status};
use latentc::aot::{self, Emit};
use latentc::debug::{Dumped, dump};
use latentc::{Array, DType, Ids, Isa, Store};
use safetensors::SafeTensors;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Build a library from a program, for C and Rust: object code, header and module. What uses it needs neither this
/// program nor LLVM.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  latentc build lightgcn --out lib               liblightgcn.a, lightgcn.h and lightgcn.rs: step, embed and rank
  latentc build lightgcn --program embed --weights embedded --values runs/lightgcn-1 --out lib
  latentc build model.onnx --out lib             libmodel.a with the weights in it
  latentc build model.onnx --dim batch=1..64     for any batch of these
  latentc build program.ir --cpu x86-64-v2 --cpu x86-64-v4 --emit obj,header,asm --report
  latentc build ngcf --target aarch64-linux --emit obj,header

Functions of a program NAME begin with NAME_: lightgcn_step_run. The header says how they are used. An object has
code for every --cpu and asks the processor which it has. Targets: x86_64-linux, aarch64-linux,
aarch64-apple-darwin, x86_64-windows-msvc. The shared library is linked by the system's C compiler.")]
pub struct Args {
    #[command(flatten)]
    program: ProgramArgs,
    /// Name of the library [default: that of the system or the file].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The system it is for [default: this one].
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// An instruction set: x86-64-v2, -v3, -v4, neon, native. May be given several times [default: v3 and v4, or neon].
    #[arg(long, value_name = "LEVEL", value_delimiter = ',')]
    cpu: Vec<String>,
    /// What to write: obj, staticlib, sharedlib, header, rust, llvm-ir, asm.
    #[arg(long, value_name = "KINDS", value_delimiter = ',', default_value = "staticlib,header,rust")]
    emit: Vec<String>,
    /// The folder to write into.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Say how large each kernel and the workspace are.
    #[arg(long)]
    report: bool,
    /// Where the values of parameters come from: the caller's memory, the object, or a safetensors file that the
    /// caller maps [default: embedded where values are given or the model has them, else caller].
    #[arg(long, value_enum, value_name = "KIND")]
    weights: Option<WeightsArg>,
    /// What happens with row numbers of an input that are outside of their table: error, clamp or wrap, for every program
    /// with an input of that name [default: error]. May be given several times.
    #[arg(long, value_name = "INPUT=POLICY", value_parser = policy)]
    ids: Vec<(String, Ids)>,
    /// The values to embed: the folder of a run, or a safetensors file.
    #[arg(long, value_name = "PATH")]
    values: Option<PathBuf>,
    /// Write numbered files of every stage of each program, for the first --cpu, below this folder.
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    /// Print one JSON object: files and sizes.
    #[arg(long)]
    pub json: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum WeightsArg {
    Caller,
    Embedded,
    External,
}

/// Builds.
pub fn run(args: &Args, out: &Output) -> Result<Status, CliError> {
    let emit = args.emit.iter().map(|e| Emit::parse(e)).collect::<Result<Vec<_>, _>>()?;
    let given = args.values.as_deref().map(|p| read_values(&checkpoint_path(p, None)?)).transpose()?;
    let name = args.name.clone().unwrap_or_else(|| args.program.library_name());
    let mut library = aot::library(&name).cpu(args.cpu.iter().map(String::as_str));
    if let Some(target) = &args.target {
        library = library.target(target);
    }
    let mut known: Vec<&String> = vec![];
    let mut source = None;
    for (word, chosen) in args.program.open_all(out)? {
        source = chosen.source.clone().or(source);
        if let Some(dir) = &args.dump {
            let (isa, options) = (first_isa(args)?, latentc::Options::default());
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            let folder = dump(&chosen.graph, Dumped { isa: &isa, options: &options, threads }, dir)?;
            out.note(&format!("every stage is in {}", folder.display()));
        }
        let prefix = if word.is_empty() { name.clone() } else { format!("{name}_{word}") };
        library = library.add_graph(&prefix, &chosen.graph);
        for (input, policy) in args.ids.iter().filter(|(input, _)| chosen.graph.input(input).is_some()) {
            library = library.ids(input, *policy);
            known.push(input);
        }
        let values = given.as_ref().or(chosen.values.as_ref());
        // A file that brings values along is a whole program with them.
        let usual = if values.is_some() { WeightsArg::Embedded } else { WeightsArg::Caller };
        library = match (args.weights.unwrap_or(usual), values) {
            (WeightsArg::Embedded, Some(values)) => library.embed(values),
            (WeightsArg::Embedded, None) => return Err(CliError::NoValues),
            (WeightsArg::External, _) => library.external_weights(),
            (WeightsArg::Caller, _) => library,
        };
    }
    if let Some((input, _)) = args.ids.iter().find(|(input, _)| !known.contains(&input)) {
        return Err(CliError::NoInput { name: input.clone() });
    }
    let built = library.compile(emit.iter().any(|e| matches!(e, Emit::LlvmIr | Emit::Asm)));
    let built = built.map_err(|e| CliError::from(e).with_text(source.as_ref()))?;
    let files = built.write(&args.out, &emit)?;
    for f in &files {
        out.say(&format!("{:>10} bytes  {}", f.bytes, f.path.display()))?;
    }
    if args.report {
        out.say(built.report.to_string().trim_end())?;
    }
    let units = built.report.units.iter().map(|u| {
        let kernels: Vec<_> = u
            .kernels
            .iter()
            .map(|k| json!({ "level": k.level, "name": k.name, "launches": k.launches, "bytes": k.bytes }))
            .collect();
        json!({
            "name": u.name, "object_bytes": u.object, "workspace_bytes": u.workspace_bytes(), "kernels": kernels
        })
    });
    let files: Vec<_> =
        files.iter().map(|f| json!({ "kind": f.what.name(), "path": f.path, "bytes": f.bytes })).collect();
    let record = json!({
        "library": built.name,
        "target": built.system.name(),
        "files": files,
        "programs": units.collect::<Vec<_>>(),
    });
    out.event("library", members(record))?;
    Ok(Status::Done)
}

/// An input and what happens with its row numbers.
fn policy(text: &str) -> Result<(String, Ids), String> {
    let (input, policy) = text.split_once('=').ok_or("expected INPUT=POLICY, such as user=clamp")?;
    Ok((input.to_owned(), policy.parse()?))
}

/// The first instruction set that code is made for.
fn first_isa(args: &Args) -> Result<Isa, CliError> {
    let arm = args.target.as_ref().is_some_and(|t| t.starts_with("aarch64"));
    let isa = match args.cpu.first().map(String::as_str) {
        None if arm => Isa::by_name("neon"),
        None | Some("native") => Isa::host(),
        Some(level) => Isa::by_name(level),
    };
    Ok(isa.map_err(latentc::CompileError::from)?)
}

/// Every tensor of a safetensors file.
fn read_values(path: &Path) -> Result<Store, CliError> {
    let wrong = |what: String| CliError::ProgramFile { path: path.to_owned(), what };
    let bytes = std::fs::read(path).map_err(|e| wrong(format!("cannot be read ({e}); check the path")))?;
    let file =
        SafeTensors::deserialize(&bytes).map_err(|e| wrong(format!("is no safetensors file ({e})")))?;
    let mut store = Store::new();
    for (name, view) in file.tensors() {
        use safetensors::Dtype;
        let dtype = match view.dtype() {
            Dtype::F64 => DType::F64,
            Dtype::F32 => DType::F32,
            Dtype::BF16 => DType::Bf16,
            Dtype::F16 => DType::F16,
            Dtype::I64 => DType::I64,
            Dtype::I32 => DType::I32,
            Dtype::I16 => DType::I16,
            Dtype::I8 => DType::I8,
            Dtype::U64 => DType::U64,
            Dtype::U32 => DType::U32,
            Dtype::U16 => DType::U16,
            Dtype::U8 => DType::U8,
            Dtype::BOOL => DType::Bool,
            // No program has parameters of other types, so that nobody will ask for it.
            _ => continue,
        };
        let mut array = Array::zeros(dtype, view.shape());
        if array.as_bytes().len() != view.data().len() {
            return Err(wrong(format!("tensor `{name}` has {} bytes for its sizes", view.data().len())));
        }
        array.as_bytes_mut().copy_from_slice(view.data());
        store.insert(name, array);
    }
    Ok(store)
}
