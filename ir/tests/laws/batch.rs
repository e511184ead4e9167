//! A batch is its slices, one after the other: every op, with every choice of operands that differ between slices.

use crate::difference::{Inputs, run};
use latentc_ir::array::{Array, Value};
use latentc_ir::batch::batch;
use latentc_ir::diag::Span;
use latentc_ir::dim::Dim;
use latentc_ir::graph::{Graph, InputKind, Operand};
use latentc_ir::ops::input::Input;
use latentc_ir::testing::{cases, type_of};
use latentc_ir::types::Type;
use std::collections::BTreeSet;

const SLICES: usize = 3;

/// The elements of a tensor, so many places further: still of the op's domain.
fn turned(a: &Array, by: usize) -> Array {
    let mut y = a.clone();
    (0..a.len()).for_each(|i| y.set(i, a.get((i + by) % a.len())));
    y
}

/// Tensors of one shape, one after the other.
fn stacked(all: &[Array]) -> Array {
    let shape: Vec<usize> = [&[all.len()], all[0].shape()].concat();
    let mut y = Array::zeros(all[0].dtype(), &shape);
    for (s, a) in all.iter().enumerate() {
        (0..a.len()).for_each(|i| y.set(s * a.len() + i, a.get(i)));
    }
    y
}

fn input(g: &mut Graph, name: &str, ty: Type) -> Operand {
    let input = Input { name: name.to_owned(), kind: InputKind::Data, ty };
    g.value(input, &[], Span::none()).expect("an input")
}

#[test]
fn a_batch_is_its_slices() {
    let names = ["a", "b", "c", "d", "e"];
    let mut refused: BTreeSet<&str> = BTreeSet::new();
    let mut done = 0;
    for case in cases() {
        let tensors: Vec<usize> =
            (0..case.operands.len()).filter(|i| matches!(case.operands[*i], Value::Tensor(_))).collect();
        for choice in 1..1usize << tensors.len() {
            let chosen: Vec<usize> =
                tensors.iter().enumerate().filter(|(i, _)| choice >> i & 1 == 1).map(|(_, t)| *t).collect();
            let (mut g, mut inputs): (Graph, Inputs) = (Graph::new("batch"), vec![]);
            let (mut operands, mut along) = (vec![], vec![]);
            let mut slices: Vec<Inputs> = vec![vec![]; SLICES];
            for (i, value) in case.operands.iter().enumerate() {
                let ty = type_of(value);
                let (Value::Tensor(a), true) = (value, chosen.contains(&i)) else {
                    operands.push(input(&mut g, names[i], ty));
                    inputs.push((names[i].to_owned(), value.clone()));
                    slices.iter_mut().for_each(|s| s.push((names[i].to_owned(), value.clone())));
                    continue;
                };
                let all: Vec<Array> = (0..SLICES).map(|s| turned(a, s)).collect();
                for (slice, a) in slices.iter_mut().zip(&all) {
                    slice.push((names[i].to_owned(), Value::Tensor(a.clone())));
                }
                let whole = Value::Tensor(stacked(&all));
                let one = g.placeholder(ty);
                let whole_ty = type_of(&whole);
                along.push((one, input(&mut g, names[i], whole_ty)));
                operands.push(one);
                inputs.push((names[i].to_owned(), whole));
            }
            let results = g.emit_all(case.op.clone(), &operands);
            if results.iter().any(|r| g.type_of(*r).as_tensor().is_none()) {
                refused.insert(case.op.def().name());
                continue;
            }
            let found = match batch(&mut g, &results, &along) {
                Ok(found) => found,
                Err(diag) => {
                    assert!(diag.message.contains('`') && diag.help.is_some(), "{diag}");
                    refused.insert(case.op.def().name());
                    continue;
                }
            };
            done += 1;
            for (r, f) in results.iter().zip(&found) {
                let slice = g.type_of(*r).as_tensor().expect("a tensor").clone();
                let shape = [Dim::from(SLICES)].into_iter().chain(slice.shape);
                assert_eq!(*g.type_of(*f), Type::tensor(slice.dtype, shape), "{:?}", case.op);
            }
            g.outputs = found.iter().enumerate().map(|(i, o)| (format!("y{i}"), *o)).collect();
            let whole = run(&g, &inputs).outputs;
            let mut one = Graph::new("slice");
            let operands: Vec<Operand> =
                case.operands.iter().zip(names).map(|(v, n)| input(&mut one, n, type_of(v))).collect();
            let results = one.emit_all(case.op.clone(), &operands);
            one.outputs = results.iter().enumerate().map(|(i, o)| (format!("y{i}"), *o)).collect();
            for (s, given) in slices.iter().enumerate() {
                for ((_, whole), (_, one)) in whole.iter().zip(run(&one, given).outputs) {
                    let (Value::Tensor(whole), Value::Tensor(one)) = (whole, one) else { panic!("tensors") };
                    for i in 0..one.len() {
                        let (f, e) = (whole.get(s * one.len() + i).as_f64(), one.get(i).as_f64());
                        let same = f == e || f.is_nan() && e.is_nan();
                        assert!(
                            same || (f - e).abs() <= 1e-12 * (1.0 + e.abs()),
                            "{:?}, operands {chosen:?}, slice {s}, element {i}: {f}, by itself {e}",
                            case.op
                        );
                    }
                }
            }
        }
    }
    assert!(done > 200, "{done} batches");
    // What has no form for a batch, for one choice of operands at least.
    let known = [
        "cond",
        "dropout",
        "random",
        "row_sparse",
        "scan",
        "score_top_k",
        "sddmm",
        "segment_ids",
        "segment_max",
        "segment_min",
        "segment_softmax",
        "segment_sum",
        "segments",
        "spmm",
        "spmm_rows",
        "while",
    ];
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), known);
}
