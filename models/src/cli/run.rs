//! `latentc run`.

use super::output::{Output, members};
use super::{CliError, Status};
use latentc::import::npz::{read_npz, write_npz};
use latentc::import::onnx::{Data, Given, Imported, Model};
use latentc::{Array, Cache, Options, Session};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

/// Run a model in the ONNX format on arrays of a .npz file.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  latentc run model.onnx --inputs in.npz --outputs out.npz
  latentc run model.onnx --inputs in.npz --check       does this machine's code agree with the interpreter?
  latentc run model.onnx --inputs in.npz --json        one JSON object: names, shapes, times

in.npz holds an array for each input of the model, by its name (in Python: np.savez('in.npz', x=x, ids=ids));
out.npz gets one for each output. The elements of a sequence are `name.0`, `name.1`, ..; bfloat16 is two raw
bytes ('V2'), 8-bit floats one ('V1'), and types below eight bits are whole numbers of eight.

The model is compiled for the sizes of these arrays. Where the values of an input decide shapes or branches,
the program is one for these values; the inputs concerned are named.

Exit code 3: the model uses ops or types that are not supported; all of them are listed.")]
pub struct Args {
    /// The model.
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Arrays by the names of the model's inputs; not needed where it has none.
    #[arg(long, value_name = "FILE.npz")]
    inputs: Option<PathBuf>,
    /// Where results go; without it only their shapes are shown.
    #[arg(long, value_name = "FILE.npz")]
    outputs: Option<PathBuf>,
    /// What runs it.
    #[arg(long, value_enum, default_value_t = On::Cpu)]
    device: On,
    /// Run both the interpreter and native code, and compare.
    #[arg(long)]
    check: bool,
    /// Threads; 0 for one a processor.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Write numbered files of every stage of what is compiled, graphs to machine code, below this folder.
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    /// The instruction set to compile for: x86-64-v2, x86-64-v3, x86-64-v4 or neon, up to what this processor has
    /// [default: all that it has].
    #[arg(long, value_name = "NAME")]
    level: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What runs a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum On {
    /// Native code for this processor.
    Cpu,
    /// The interpreter: slow, and right by definition.
    Interp,
}

impl On {
    fn name(self) -> &'static str {
        match self {
            On::Cpu => "cpu",
            On::Interp => "interp",
        }
    }
}

/// Difference up to which native code agrees with the interpreter: relative to the value, and least.
const RTOL: f64 = 1e-3;
const ATOL: f64 = 1e-5;

/// Runs a model.
pub fn run(args: &Args, out: &Output) -> Result<Status, CliError> {
    let model = Model::read(&args.model)?;
    let arrays = match &args.inputs {
        Some(path) => read_npz(path, &|name| model.input_elem(name).and_then(|e| e.dtype()))?,
        None => BTreeMap::new(),
    };
    let given = Given { values: values(&model, &arrays, args)?, ..Given::default() };
    let began = Instant::now();
    let program = model.import(&given)?;
    let import = began.elapsed().as_secs_f64();
    if !program.specialised.is_empty() {
        let names = program.specialised.join(", ");
        out.note(&format!(
            "note: the program is one for the given values of {names}, which decide shapes or branches"
        ));
    }
    let first = execute(&program, &arrays, args.device, args)?;
    let mut difference = None;
    if args.check {
        let other = if args.device == On::Cpu { On::Interp } else { On::Cpu };
        let second = execute(&program, &arrays, other, args)?;
        difference = Some(compare(&first.arrays, &second.arrays)?);
    }
    if let Some(path) = &args.outputs {
        write_npz(path, first.arrays.iter().map(|(n, a)| (n.as_str(), a)))?;
    }
    let shapes: Vec<_> = first
        .arrays
        .iter()
        .map(|(n, a)| json!({"name": n, "type": a.dtype().name(), "shape": a.shape()}))
        .collect();
    out.event(
        "run",
        members(json!({
            "model": args.model, "device": args.device.name(), "outputs": shapes, "written": args.outputs,
            "specialised": program.specialised, "import_s": import, "compile_s": first.compile, "run_s": first.run,
            "difference": difference,
        })),
    )?;
    for (name, a) in &first.arrays {
        out.say(&format!("{name}: {}{:?}", a.dtype(), a.shape()))?;
    }
    if let Some(d) = difference {
        out.say(&format!("native code and the interpreter agree; the greatest difference is {d:.3e}"))?;
    }
    if let Some(path) = &args.outputs {
        out.say(&format!("written to {}", path.display()))?;
    }
    Ok(Status::Done)
}

/// The given arrays as values of the model's inputs.
fn values(
    model: &Model,
    arrays: &BTreeMap<String, Array>,
    args: &Args,
) -> Result<std::collections::HashMap<String, Data>, CliError> {
    let wrong = |what: String| CliError::Inputs { path: args.inputs.clone().unwrap_or_default(), what };
    let mut values = std::collections::HashMap::new();
    let mut used = vec![];
    for name in model.inputs() {
        let kind = model.kind(name, true).unwrap_or_default();
        let whole = arrays.get(name).map(|a| Data::Tensor(a.clone()));
        let sequence = || {
            let each = (0..).map_while(|i| arrays.get(&format!("{name}.{i}")));
            Data::Seq(each.map(|a| Data::Tensor(a.clone())).collect())
        };
        let data = match kind.as_slice() {
            [] => whole,
            ["seq"] => Some(sequence()),
            ["opt"] => Some(Data::Opt(whole.map(Box::new))),
            ["opt", "seq"] => match sequence() {
                Data::Seq(all) if all.is_empty() => Some(Data::Opt(None)),
                s => Some(Data::Opt(Some(Box::new(s)))),
            },
            _ => return Err(wrong(format!("input `{name}` is of a kind that arrays cannot make"))),
        };
        let Some(data) = data else {
            let all: Vec<&str> = model.inputs().collect();
            let found = arrays.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let given =
                if found.is_empty() { "nothing is given".to_owned() } else { format!("{found} given") };
            return Err(wrong(format!(
                "no array for input `{name}`; the model takes {}, {given}",
                all.join(", ")
            )));
        };
        used.push(name);
        values.insert(name.to_owned(), data);
    }
    let known =
        |n: &str| used.iter().any(|u| n == *u || n.strip_prefix(u).is_some_and(|r| r.starts_with('.')));
    match arrays.keys().find(|n| !known(n)) {
        None => Ok(values),
        Some(name) => {
            let all: Vec<&str> = model.inputs().collect();
            Err(wrong(format!("the model has no input `{name}`; it takes {}", all.join(", "))))
        }
    }
}

/// Results and times of a run.
struct Ran {
    arrays: Vec<(String, Array)>,
    compile: f64,
    run: f64,
}

fn execute(
    program: &Imported,
    arrays: &BTreeMap<String, Array>,
    device: On,
    args: &Args,
) -> Result<Ran, CliError> {
    let source = (program.file.clone(), program.text.clone());
    run_on(program, arrays, device, args).map_err(|e| e.with_text(Some(&source)))
}

fn run_on(
    program: &Imported,
    arrays: &BTreeMap<String, Array>,
    device: On,
    args: &Args,
) -> Result<Ran, CliError> {
    let began = Instant::now();
    let (dump, level) = (args.dump.clone(), args.level.clone());
    let options = Options { threads: args.threads, cache: Cache::Default, dump, level, ..Options::default() };
    let mut session = match device {
        On::Cpu => Session::compile(&program.graph, &options),
        On::Interp => Session::interp(&program.graph),
    }?;
    let compile = began.elapsed().as_secs_f64();
    for (name, array) in arrays {
        // Inputs that only decided shapes are not in the program.
        if program.graph.input(name).is_some() {
            session.set_array(name, array).map_err(CliError::Session)?;
        }
    }
    let mut store = program.store.clone();
    let began = Instant::now();
    session.run(&mut store).map_err(CliError::Session)?;
    let run = began.elapsed().as_secs_f64();
    let names = program.graph.outputs.iter().map(|(name, _)| name);
    let arrays = names
        .map(|n| Ok((n.clone(), session.output_array(n).map_err(CliError::Session)?)))
        .collect::<Result<_, CliError>>()?;
    Ok(Ran { arrays, compile, run })
}

/// The greatest difference of two results; an error where it is too great.
fn compare(a: &[(String, Array)], b: &[(String, Array)]) -> Result<f64, CliError> {
    let mut greatest = 0.0f64;
    for ((name, x), (_, y)) in a.iter().zip(b) {
        let differ = |what: String| CliError::Differ { output: name.clone(), what };
        if x.shape() != y.shape() || x.dtype() != y.dtype() {
            return Err(differ(format!("{}{:?} and {}{:?}", x.dtype(), x.shape(), y.dtype(), y.shape())));
        }
        for i in 0..x.len() {
            let (p, q) = (x.get(i).as_f64(), y.get(i).as_f64());
            if p == q || (p.is_nan() && q.is_nan()) {
                continue;
            }
            let d = (p - q).abs();
            if d.is_nan() || d > ATOL + RTOL * p.abs().max(q.abs()) {
                return Err(differ(format!("element {i} is {p} and {q}")));
            }
            greatest = greatest.max(d);
        }
    }
    Ok(greatest)
}
