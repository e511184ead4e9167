//! Every op on every type it takes: results of the inferred types, texts that read back, kernels that compute what the op
//! does, gradients beside those in f64. What an op lacks stands with its reason in `missing.txt`.

use crate::ops::no_derivative;
use crate::random::{evaluate, same};
use latentc_ir::array::Value;
use latentc_ir::dtype::DType;
use latentc_ir::graph::parse::parse;
use latentc_ir::lower::Target;
use latentc_ir::ops::Op;
use latentc_ir::passes::{self, Options};
use latentc_ir::plan;
use latentc_ir::testing::{Case, RandomGraph, cases, op_name, typed_cases};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// How far results in a type may be off by the order of sums and by rounding every step of a body.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-12,
        DType::F32 => 1e-5,
        DType::F16 => 1e-2,
        DType::Bf16 => 5e-2,
        _ => 0.0,
    }
}

fn said(case: &Case, dtype: DType, e: impl ToString) -> String {
    format!("{:?} of {dtype}: {}", case.op, e.to_string())
}

/// The interpreter refuses results that are not of the inferred type.
#[test]
fn every_type_has_results_and_reads_back() {
    let mut faults = vec![];
    for (dtype, case, graph) in typed_cases() {
        let expected = match evaluate(&graph) {
            Ok(expected) => expected,
            Err(e) => {
                faults.push(said(&case, dtype, e));
                continue;
            }
        };
        let text = graph.graph.to_string();
        match parse("text", &text) {
            Ok(read) if read.to_string() == text => {
                let read = RandomGraph { graph: read, inputs: graph.inputs.clone() };
                let again = evaluate(&read).and_then(|found| same(&expected, &found, 0.0));
                faults.extend(again.err().map(|e| said(&case, dtype, e)));
            }
            Ok(read) => faults.push(said(&case, dtype, format!("{text} reads back as {read}"))),
            Err(e) => faults.push(said(&case, dtype, e)),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// As a plan of nests for narrow vectors, optimised and not, each launch by the interpreter.
#[test]
fn kernels_compute_what_ops_do() {
    let target = Target { lanes: 4, registers: 16, prefetch: 2, dot4: false, l1: 1 << 15, l2: 1 << 20 };
    let mut faults = vec![];
    for (dtype, case, graph) in typed_cases() {
        for optimise in [false, true] {
            let options = Options { rewrite: optimise, fuse: optimise, ..Options::new(&target) };
            // Those that only a library has a kernel for are listed in `missing.txt`.
            let Ok(program) = passes::lower(&graph.graph, &options) else { continue };
            let run = plan::interp::run(&program, &|name| graph.input(name));
            let found = run.map_err(|e| e.to_string()).and_then(|mut found| {
                found.updates.clear();
                let expected = evaluate(&graph).map_err(|e| e.to_string())?;
                same(&expected, &found, tolerance(dtype)).map_err(|e| e.to_string())
            });
            faults.extend(found.err().map(|e| said(&case, dtype, e)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Gradients in f32 and in the 16-bit floats are those in f64, as far as the type goes.
#[test]
fn gradients_in_every_type_are_those_in_f64() {
    let mut faults = vec![];
    for case in cases().iter().filter(|c| no_derivative(c).is_none()) {
        let Ok(wide) = case.graph() else { continue };
        let wide = evaluate(&wide.with_gradients()).expect("gradients in f64");
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            let narrow = case.of(dtype);
            let Ok(graph) = narrow.graph() else { continue };
            let graph = graph.with_gradients();
            let Ok(found) = evaluate(&graph) else {
                faults.push(said(case, dtype, "gradients cannot be run"));
                continue;
            };
            for (name, found) in found.outputs.iter().filter(|(n, _)| n.starts_with("d ")) {
                let expected = wide.outputs.iter().find(|(n, _)| n == name).map(|(_, v)| v);
                let (Some(Value::Tensor(e)), Value::Tensor(f)) = (expected, found) else {
                    faults.push(said(case, dtype, format!("{name} is no gradient in f64")));
                    continue;
                };
                let scale = e.to_f64().iter().fold(1.0, |m: f64, x| m.max(x.abs()));
                // Operands are rounded to the type before anything is computed.
                let near = 16.0 * tolerance(dtype) * scale;
                let off = e.to_f64().iter().zip(f.to_f64()).map(|(e, f)| (e - f).abs()).fold(0.0, f64::max);
                if off.is_nan() || off > near {
                    faults.push(said(case, dtype, format!("{name} is off by {off:e}, {near:e} allowed")));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Types by name, those of a group that are all there by the name of the group.
fn in_groups(types: &[DType]) -> String {
    let stored = DType::ALL.into_iter().filter(|d| d.is_storage()).collect::<Vec<_>>();
    let integers = DType::ALL.into_iter().filter(|d| !d.is_float() && *d != DType::Bool).collect::<Vec<_>>();
    let mut names = vec![];
    let mut rest = types.to_vec();
    for (name, group) in [("8-bit floats", stored), ("integers", integers)] {
        if group.iter().all(|d| rest.contains(d)) {
            names.push(name);
            rest.retain(|d| !group.contains(d));
        }
    }
    names.extend(rest.iter().map(|d| d.name()));
    names.join(", ")
}

/// What is missing, op by op: types that no case of it can be given, kernels, derivatives, with reasons.
#[test]
fn what_is_missing_has_a_reason() {
    let mut taken: BTreeMap<&str, BTreeSet<DType>> = BTreeMap::new();
    let mut kernels: BTreeMap<&str, bool> = BTreeMap::new();
    let target = Target::default();
    for (dtype, case, graph) in typed_cases() {
        taken.entry(op_name(&case.op)).or_default().insert(dtype);
        let lowers = passes::lower(&graph.graph, &Options::new(&target)).is_ok();
        *kernels.entry(op_name(&case.op)).or_insert(true) &= lowers;
    }
    let mut reasons: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let (mut smooth, mut refused) = (BTreeSet::new(), BTreeMap::new());
    for case in cases() {
        let name = op_name(&case.op);
        match no_derivative(&case) {
            Some(why) => drop(reasons.entry(name).or_default().insert(why)),
            None => drop(smooth.insert(name)),
        }
        for dtype in DType::ALL {
            if let Err(d) = case.of(dtype).graph() {
                let why = d.notes.first().unwrap_or(&d.message).clone();
                refused.entry((name, dtype)).or_insert(why);
            }
        }
    }
    let mut text = String::new();
    for name in cases().iter().map(|c| op_name(&c.op)).collect::<BTreeSet<_>>() {
        let types = taken.get(name).cloned().unwrap_or_default();
        let without: Vec<DType> = DType::ALL
            .into_iter()
            .filter(|d| !types.contains(d) && refused.contains_key(&(name, *d)))
            .collect();
        if let Some(first) = without.first() {
            let names = in_groups(&without);
            let why = refused.get(&(name, *first)).map_or("", String::as_str);
            let _ = writeln!(text, "{name}: not of {names}: {why}");
        }
        for why in reasons.get(name).into_iter().flatten() {
            let some = if smooth.contains(name) { "in some forms " } else { "" };
            let _ = writeln!(text, "{name}: {some}no derivative: {why}");
        }
        if kernels.get(name) == Some(&false) {
            let _ = writeln!(text, "{name}: no kernel of the compiler's own; a library has one");
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/laws/missing.txt");
    if std::env::var_os("LATENTC_BLESS").is_some_and(|v| v == "1") {
        std::fs::write(&path, &text).expect("a file that can be written");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == text,
        "{} is not what is missing now; LATENTC_BLESS=1 writes it. Found:\n{text}",
        path.display()
    );
}

/// Every kind of op is met on the types of its cases.
#[test]
fn every_op_is_typed() {
    let met: BTreeSet<&str> = typed_cases().iter().map(|(_, c, _)| c.op.kind()).collect();
    let unmet: Vec<&&str> = Op::KINDS.iter().filter(|k| **k != "Input" && !met.contains(**k)).collect();
    assert!(unmet.is_empty(), "{unmet:?}");
}
