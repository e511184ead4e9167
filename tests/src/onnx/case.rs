//! One case: a model, its inputs, and the outputs that are expected.

use super::Outcome;
use latentc::import::onnx::proto::{OptionalProto, SequenceProto, TensorProto};
use latentc::import::onnx::{Data, Given, ImportError, Imported, Model, Out, tensor_of};
use latentc::{Array, Cache, Options};
use latentc_backends::Session;
use prost::Message;
use std::path::Path;

/// Tolerances of the suite's own runner.
const RTOL: f64 = 1e-3;
const ATOL: f64 = 1e-7;

/// What runs a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Native code.
    Cpu,
    /// The reference.
    Interp,
}

/// The name of a case: its folder and the folder of that.
pub fn name(path: &Path) -> String {
    let part =
        |p: Option<&Path>| p.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    format!("{}/{}", part(path.parent()), part(Some(path)))
}

/// Runs a case on all of its data.
pub fn run(path: &Path, device: On) -> Outcome {
    match model(path, device) {
        Ok(()) => Outcome::Passed,
        Err(outcome) => outcome,
    }
}

fn failed(what: impl std::fmt::Display) -> Outcome {
    Outcome::Failed(what.to_string())
}

fn model(path: &Path, device: On) -> Result<(), Outcome> {
    let model = Model::read(path.join("model.onnx")).map_err(imported)?;
    let mut sets: Vec<_> = std::fs::read_dir(path)
        .map_err(failed)?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("test_data_set_")))
        .collect();
    sets.sort();
    if sets.is_empty() {
        return Err(failed("it has no data"));
    }
    // Data are looked at only once the model is known to be supported.
    for set in sets {
        let names: Vec<&str> = model.inputs().collect();
        let mut given = Given::default();
        for (at, name) in names.iter().enumerate() {
            let file = set.join(format!("input_{at}.pb"));
            if !file.exists() {
                continue;
            }
            let bytes = std::fs::read(file).map_err(failed)?;
            match read(&model, name, true, &bytes) {
                Ok(data) => given.values.insert((*name).to_owned(), data),
                // A type that is not supported is in the list of the import.
                Err(e) => match model.import(&Given::default()) {
                    Err(ImportError::Unsupported { file, list }) => {
                        return Err(imported(ImportError::Unsupported { file, list }));
                    }
                    _ => return Err(failed(e)),
                },
            };
        }
        let program = model.import(&given).map_err(imported)?;
        let found = execute(&program, &given, device)?;
        for (at, (name, out)) in model.outputs().zip(&program.outputs).enumerate() {
            let file = set.join(format!("output_{at}.pb"));
            let bytes = std::fs::read(file).map_err(failed)?;
            let expected = read(&model, name, false, &bytes).map_err(failed)?;
            same(&expected, out, &|name| found.iter().find(|(n, _)| n == name).map(|(_, a)| a))
                .map_err(|e| failed(format!("output `{name}`: {e}")))?;
        }
    }
    Ok(())
}

fn imported(e: ImportError) -> Outcome {
    match e {
        ImportError::Unsupported { list, .. } => {
            let what: Vec<&str> = list.iter().map(|u| u.what.as_str()).collect();
            Outcome::Unsupported(what.join("; "))
        }
        other => failed(other),
    }
}

/// A value of a file; the declared type says what it is.
fn read(model: &Model, name: &str, input: bool, bytes: &[u8]) -> Result<Data, String> {
    match model.kind(name, input).as_deref() {
        Some([]) | None => tensor(bytes),
        Some(["seq"]) => SequenceProto::decode(bytes).map_err(|e| e.to_string()).and_then(|s| sequence(&s)),
        Some(["opt", ..]) => {
            let o = OptionalProto::decode(bytes).map_err(|e| e.to_string())?;
            Ok(Data::Opt(match (&o.tensor_value, &o.sequence_value) {
                (Some(t), _) => Some(Box::new(Data::Tensor(tensor_of(t)?.1))),
                (None, Some(s)) => Some(Box::new(sequence(s)?)),
                // Some files hold the element itself.
                (None, None) if o.elem_type == 0 && !bytes.is_empty() => None,
                (None, None) => None,
            }))
        }
        Some(other) => Err(format!("a value of kind {other:?}")),
    }
}

fn tensor(bytes: &[u8]) -> Result<Data, String> {
    let t = TensorProto::decode(bytes).map_err(|e| e.to_string())?;
    Ok(Data::Tensor(tensor_of(&t)?.1))
}

fn sequence(s: &SequenceProto) -> Result<Data, String> {
    if s.elem_type == 3 || !s.sequence_values.is_empty() {
        return Ok(Data::Seq(s.sequence_values.iter().map(sequence).collect::<Result<_, _>>()?));
    }
    let each = |t| Ok(Data::Tensor(tensor_of(t)?.1));
    Ok(Data::Seq(s.tensor_values.iter().map(each).collect::<Result<_, String>>()?))
}

/// The tensors of given values by the names that the program has for them.
fn flatten(name: &str, data: &Data, to: &mut Vec<(String, Array)>) {
    match data {
        Data::Tensor(a) => to.push((name.to_owned(), a.clone())),
        Data::Seq(all) => {
            all.iter().enumerate().for_each(|(i, d)| flatten(&format!("{name}.{i}"), d, to));
        }
        Data::Opt(None) => {}
        Data::Opt(Some(d)) => flatten(name, d, to),
    }
}

fn execute(program: &Imported, given: &Given, device: On) -> Result<Vec<(String, Array)>, Outcome> {
    if program.graph.outputs.is_empty() {
        return Ok(vec![]);
    }
    let options = Options { threads: 1, cache: Cache::Off, ..Options::default() };
    let mut session = match device {
        On::Cpu => Session::compile(&program.graph, &options),
        On::Interp => Session::interp(&program.graph),
    }
    .map_err(failed)?;
    let mut inputs = vec![];
    given.values.iter().for_each(|(name, data)| flatten(name, data, &mut inputs));
    for (name, array) in &inputs {
        // Inputs that only decided shapes are not in the program.
        if program.graph.input(name).is_some() {
            session.set_array(name, array).map_err(failed)?;
        }
    }
    let mut store = program.store.clone();
    session.run(&mut store).map_err(failed)?;
    program
        .graph
        .outputs
        .iter()
        .map(|(name, _)| Ok((name.clone(), session.output_array(name).map_err(failed)?)))
        .collect()
}

fn same<'a>(expected: &Data, found: &Out, array: &dyn Fn(&str) -> Option<&'a Array>) -> Result<(), String> {
    match (expected, found) {
        (Data::Tensor(e), Out::Tensor(port)) => {
            let f = array(&port.name).ok_or("the program does not give it")?;
            close(e, f)
        }
        (Data::Seq(e), Out::Seq(f)) if e.len() == f.len() => e
            .iter()
            .zip(f)
            .enumerate()
            .try_for_each(|(i, (e, f))| same(e, f, array).map_err(|why| format!("element {i}: {why}"))),
        (Data::Seq(e), Out::Seq(f)) => Err(format!("{} elements expected, {} found", e.len(), f.len())),
        (Data::Opt(None), Out::Opt(None)) => Ok(()),
        (Data::Opt(Some(e)), Out::Opt(Some(f))) => same(e, f, array),
        (Data::Opt(Some(e)), f) => same(e, f, array),
        (e, Out::Opt(Some(f))) => same(e, f, array),
        _ => Err("another kind of value is expected".to_owned()),
    }
}

/// As NumPy's `assert_allclose`: `|found - expected| <= atol + rtol |expected|`, NaN like NaN.
fn close(expected: &Array, found: &Array) -> Result<(), String> {
    if expected.dtype() != found.dtype() || expected.shape() != found.shape() {
        return Err(format!(
            "{}{:?} expected, {}{:?} found",
            expected.dtype(),
            expected.shape(),
            found.dtype(),
            found.shape()
        ));
    }
    let near =
        |e: f64, f: f64| e == f || (e.is_nan() && f.is_nan()) || (f - e).abs() <= ATOL + RTOL * e.abs();
    let wrong: Vec<usize> = (0..expected.len())
        .filter(|i| {
            let (e, f) = (expected.get(*i), found.get(*i));
            e != f && !near(e.as_f64(), f.as_f64())
        })
        .collect();
    match wrong.first() {
        None => Ok(()),
        Some(at) => Err(format!(
            "{} of {} differ, first at {at}: {} expected, {} found",
            wrong.len(),
            expected.len(),
            expected.get(*at),
            found.get(*at)
        )),
    }
}
