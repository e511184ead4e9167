//! Programs in loops compute what their graphs compute: each launch is run by the interpreter of nests.

use crate::random::{evaluate, same};
use latentc_ir::array::{Array, Value};
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::explain::explain;
use latentc_ir::graph::parse::parse;
use latentc_ir::interp::Evaluation;
use latentc_ir::lower::Target;
use latentc_ir::nest::{self, Space};
use latentc_ir::ops::Op;
use latentc_ir::passes::{self, Numerics, Options as Passes};
use latentc_ir::philox::Stream;
use latentc_ir::plan::{CsrPart, Place, Program};
use latentc_ir::testing::{
    Options, RandomGraph, graphs, random_array, random_ids, random_pattern, random_schedules,
};
use latentc_ir::types::Type;
use proptest::prelude::*;
use std::sync::Arc;

/// Runs a program on the inputs of a graph. `dims` are the values of the symbols.
fn run(
    program: &Program,
    graph: &RandomGraph,
    dims: &dyn Fn(&str) -> Option<i64>,
) -> Result<Evaluation, String> {
    let mut inputs: Vec<Value> = vec![];
    for i in &program.inputs {
        inputs.push(graph.input(&i.name).ok_or_else(|| format!("no input {}", i.name))?);
    }
    let sizes = |shape: &[Dim]| -> Result<Vec<usize>, String> {
        let size = |d: &Dim| d.eval(dims).and_then(|v| usize::try_from(v).ok());
        shape.iter().map(|d| size(d).ok_or_else(|| format!("{d} has no value"))).collect()
    };
    let mut outputs: Vec<Array> = vec![];
    for o in &program.outputs {
        outputs.push(Array::zeros(o.dtype, &sizes(&o.shape)?));
    }
    let mut arena = vec![0u8; program.arena_bytes];
    for buffer in &program.buffers {
        if let Place::Arena { offset } = buffer.place {
            // Garbage, so that what is read must have been written.
            let bytes = sizes(&buffer.shape)?.iter().product::<usize>() * buffer.dtype.size();
            let place = arena.get_mut(offset..offset + bytes);
            place.ok_or_else(|| format!("{} lies beyond the arena", buffer.name))?.fill(0xA5);
        }
    }
    for (l, launch) in program.launches.iter().enumerate() {
        let kernel = &program.kernels[launch.kernel];
        let mut params: Vec<Array> = vec![];
        for &b in &launch.buffers {
            let buffer = &program.buffers[b];
            let mut array = Array::zeros(buffer.dtype, &sizes(&buffer.shape)?);
            let bytes = array.as_bytes().len();
            match &buffer.place {
                Place::Input(i) => match &inputs[*i] {
                    Value::Tensor(a) => array.as_bytes_mut().copy_from_slice(a.as_bytes()),
                    other => return Err(format!("{other:?} in buffer {}", buffer.name)),
                },
                Place::Csr { input, part } => array = csr_part(&inputs[*input], *part)?,
                Place::Output(o) => array.as_bytes_mut().copy_from_slice(outputs[*o].as_bytes()),
                Place::Arena { offset } => {
                    let place = arena.get(*offset..offset + bytes);
                    let place = place.ok_or_else(|| format!("{} lies beyond the arena", buffer.name))?;
                    array.as_bytes_mut().copy_from_slice(place);
                }
                Place::Step { .. } => return Err(format!("launch {l} is in a loop")),
            }
            params.push(array);
        }
        let values: Vec<i64> = launch
            .dims
            .iter()
            .map(|d| {
                dims(&program.dims[*d].name).ok_or_else(|| format!("{} has no value", program.dims[*d].name))
            })
            .collect::<Result<_, _>>()?;
        nest::interp::run(kernel, &mut params, &values, None)
            .map_err(|e| format!("launch {l}: {e}\n{kernel}"))?;
        for ((&b, array), declared) in launch.buffers.iter().zip(params).zip(&kernel.buffers) {
            if declared.space == Space::In {
                continue;
            }
            match &program.buffers[b].place {
                Place::Input(i) => inputs[*i] = Value::Tensor(array),
                Place::Csr { .. } => return Err(format!("launch {l} writes a pattern")),
                Place::Output(o) => outputs[*o] = array,
                Place::Arena { offset } => {
                    let bytes = array.as_bytes();
                    arena[*offset..offset + bytes.len()].copy_from_slice(bytes);
                }
                Place::Step { .. } => return Err(format!("launch {l} is in a loop")),
            }
        }
    }
    let named = program.outputs.iter().map(|o| o.name.clone());
    let updates = graph.graph.updates.iter().map(|(name, _)| {
        let at = program.inputs.iter().position(|i| i.name == *name).expect("an input of this name");
        (name.clone(), inputs[at].clone())
    });
    Ok(Evaluation {
        outputs: named.zip(outputs.into_iter().map(Value::Tensor)).collect(),
        updates: updates.collect(),
        dims: Default::default(),
    })
}

fn csr_part(value: &Value, part: CsrPart) -> Result<Array, String> {
    let Value::Csr(c) = value else { return Err(format!("{value:?} is no pattern")) };
    let twin = c.transposed();
    let all = match part {
        CsrPart::Indptr => &c.indptr,
        CsrPart::Indices => &c.indices,
        CsrPart::TwinIndptr => &twin.indptr,
        CsrPart::TwinIndices => &twin.indices,
        CsrPart::TwinEdges => &twin.edges,
    };
    Ok(Array::from_slice(&[all.len()], all))
}

const TARGET: Target = Target { lanes: 4, registers: 16, prefetch: 2, dot4: false, l1: 1 << 15, l2: 1 << 20 };

/// Lowers a graph and compares what the program computes with what the graph computes.
fn check(graph: &RandomGraph, rewrite: bool, fuse: bool) -> Result<(), TestCaseError> {
    let expected = evaluate(graph)?;
    let options = Passes { rewrite, fuse, ..Passes::new(&TARGET) };
    let program = passes::lower(&graph.graph, &options).map_err(|d| TestCaseError::fail(d.to_string()))?;
    let found = run(&program, graph, &|s| expected.dims.get(s).copied()).map_err(TestCaseError::fail)?;
    same(&expected, &found, 1e-3)
}

/// Ops that only a library of kernels knows.
const WITHOUT: &[&str] = &["score_top_k"];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn programs_compute_what_graphs_compute(
        graph in graphs(Options {
            floats: vec![DType::F64, DType::F32],
            without: WITHOUT.to_vec(),
            ..Options::default()
        }),
        gradients in any::<bool>(),
        rewrite in any::<bool>(),
        fuse in any::<bool>(),
    ) {
        check(&if gradients { graph.with_gradients() } else { graph }, rewrite, fuse)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    /// Lowering says why a loop is no vector wherever work stands in one.
    #[test]
    fn work_outside_of_vectors_has_reasons(
        graph in graphs(Options { without: WITHOUT.to_vec(), ..Options::default() }),
        fuse in any::<bool>(),
    ) {
        let options = Passes { fuse, ..Passes::new(&TARGET) };
        let made = explain(&graph.with_gradients().graph, &options);
        let made = made.map_err(|d| TestCaseError::fail(d.to_string()))?;
        for k in &made.explanation.kernels {
            let unexplained = k.vectors.rest.iter().find(|s| s.why.ends_with("written so by hand"));
            prop_assert!(unexplained.is_none(), "{unexplained:?}\n{}", k.nest);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn any_schedule_computes_what_graphs_compute(
        graph in graphs(Options {
            floats: vec![DType::F64, DType::F32],
            without: WITHOUT.to_vec(),
            ..Options::default()
        }),
        gradients in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let graph = if gradients { graph.with_gradients() } else { graph };
        let expected = evaluate(&graph)?;
        let options = Passes::new(&TARGET);
        let lowered = |options: &Passes| {
            let optimised = passes::optimise(&graph.graph, options)?;
            passes::finish(&graph.graph, optimised, options)
        };
        let said = |d: latentc_ir::diag::Diag| TestCaseError::fail(d.to_string());
        let usual = lowered(&options).map_err(said)?;
        let schedules = random_schedules(&usual.origin.schedules, seed);
        prop_assert_eq!(schedules.to_string().parse(), Ok(schedules.clone()));
        let made = lowered(&Passes { schedules: &schedules, ..options }).map_err(said)?;
        for (name, schedule) in &made.origin.schedules {
            let line = format!("{name}: {schedule}\n");
            prop_assert!(schedules.to_string().contains(&line), "{}", line);
        }
        for kernel in &made.program.kernels {
            nest::verify::verify(kernel).map_err(|e| TestCaseError::fail(format!("{e:?}\n{schedules}")))?;
        }
        let found = run(&made.program, &graph, &|s| expected.dims.get(s).copied());
        same(&expected, &found.map_err(|e| TestCaseError::fail(format!("{e}\n{schedules}")))?, 1e-3)?;
    }
}

/// Graphs with gradients, of which something is kept for a late reader.
fn deep() -> impl Strategy<Value = RandomGraph> {
    let options =
        Options { floats: vec![DType::F64, DType::F32], without: WITHOUT.to_vec(), ..Options::default() };
    graphs(options).prop_map(|graph| graph.with_gradients())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(80) })]

    /// Where a program fits, it computes the same; where it does not, the refusal names bytes that it fits.
    #[test]
    fn programs_within_bytes_compute_what_graphs_compute(graph in deep(), part in 1usize..4) {
        let expected = evaluate(&graph)?;
        let said = |d: latentc_ir::diag::Diag| TestCaseError::fail(d.to_string());
        let most = passes::lower(&graph.graph, &Passes::new(&TARGET)).map_err(said)?.arena_bytes;
        let within = |bytes| passes::lower(&graph.graph, &Passes { memory: Some(bytes), ..Passes::new(&TARGET) });
        let program = match within(most * part / 4) {
            Ok(program) => {
                prop_assert!(program.arena_bytes <= most * part / 4);
                program
            }
            Err(refused) => {
                let least = refused.message.split(' ').filter_map(|w| w.parse::<usize>().ok()).next();
                let least = least.ok_or_else(|| TestCaseError::fail(refused.to_string()))?;
                prop_assert!(least <= most);
                let program = within(least).map_err(said)?;
                prop_assert_eq!(program.arena_bytes, least);
                program
            }
        };
        let found = run(&program, &graph, &|s| expected.dims.get(s).copied()).map_err(TestCaseError::fail)?;
        same(&expected, &found, 1e-3)?;
    }

    /// Under the strict policy: the bits of the program that nothing was done to.
    #[test]
    fn strict_programs_keep_bits(graph in deep()) {
        let expected = evaluate(&graph)?;
        let said = |d: latentc_ir::diag::Diag| TestCaseError::fail(d.to_string());
        let bits = |graph: &RandomGraph, options: &Passes| {
            let program = passes::lower(&graph.graph, options).map_err(said)?;
            run(&program, graph, &|s| expected.dims.get(s).copied()).map_err(TestCaseError::fail)
        };
        let plain = bits(&graph, &Passes { rewrite: false, fuse: false, ..Passes::new(&TARGET) })?;
        let strict = Passes { numerics: Numerics::Strict, ..Passes::new(&TARGET) };
        same(&plain, &bits(&graph, &strict)?, 0.0)?;
        let mut moved = graph.clone();
        latentc_ir::rewrite::forward(&mut moved.graph, Numerics::Strict).map_err(said)?;
        same(&plain, &bits(&moved, &strict)?, 0.0)?;
    }
}

/// A graph of a text with random values: `n` is 5, `m` 7, `nnz` what the pattern has, which comes first; ids
/// are 0 and 1.
fn given(text: &str) -> RandomGraph {
    let graph = parse("case", text).unwrap_or_else(|d| panic!("{d}"));
    let mut random = Stream::new(18, 0, 0);
    let (mut inputs, mut nnz) = (vec![], 0);
    for node in graph.inputs() {
        let Op::Input(input) = &graph.node(*node).op else { continue };
        let size = |d: &Dim| {
            let value = d.eval(&|s| {
                Some(if s == "n" {
                    5
                } else if s == "m" {
                    7
                } else {
                    nnz
                })
            });
            value.expect("a size") as usize
        };
        let value = match &input.ty {
            Type::Tensor(t) => {
                let shape: Vec<usize> = t.shape.iter().map(size).collect();
                Value::Tensor(match t.dtype {
                    DType::I32 => random_ids(&mut random, shape.iter().product(), 2).reshaped(&shape),
                    dtype => random_array(&mut random, dtype, &shape),
                })
            }
            Type::Csr(c) => {
                let pattern = random_pattern(&mut random, size(&c.rows), size(&c.cols), c.symmetric);
                nnz = pattern.nnz() as i64;
                Value::Csr(Arc::new(pattern))
            }
            other => panic!("an input of type {other}"),
        };
        inputs.push((input.name.clone(), value));
    }
    RandomGraph { graph, inputs }
}

/// Lowers a case in every way, with and without gradients.
fn check_all(text: &str) {
    let graph = given(text);
    let mut faults = vec![];
    for (with, graph) in [(false, graph.clone()), (true, graph.with_gradients())] {
        for (rewrite, fuse) in [(false, false), (false, true), (true, false), (true, true)] {
            if let Err(e) = check(&graph, rewrite, fuse) {
                faults.push(format!("gradients: {with}, rewrite: {rewrite}, fuse: {fuse}: {e}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

macro_rules! cases {
    ($($(#[$attribute:meta])* $name:ident: $body:literal;)+) => {$(
        #[test]
        $(#[$attribute])*
        fn $name() {
            check_all(concat!("graph case {\n  dim n: 0..=64\n  dim m: 1..=64\n  dim nnz: 0..=4096\n", $body, "}"));
        }
    )+};
}

cases! {
    states_that_take_each_other_s_values: "
        state a: f64[m, 3]
        state b: f64[m, 3]
        %0 = tanh(a)
        update a = b
        update b = %0
    ";
    a_state_that_takes_a_transpose: "
        state a: f64[m, m]
        state b: f64[m, m]
        %0 = permute(a) {axes = [1, 0]}
        update a = b
        update b = %0
    ";
    scalars_that_pass_values_on: "
        state a: i64[]
        state b: i64[]
        data x: f64[m]
        %0 = size() {dim = [m+1]}
        output x = x
        update a = %0
        update b = a
    ";
    a_state_that_is_read_after_its_update: "
        data c: csr[17, 17; nnz; symmetric]
        state a: f64[17, 8]
        %0 = sddmm(c, a, a)
        %1 = broadcast(%0) {shape = [nnz, 5], axes = [0]}
        %2 = round(a)
        output y = %1
        update a = %2
    ";
    a_state_that_a_gradient_reads: "
        param a: f64[m, 3]
        param b: f64[m, 3]
        %0 = sin(a)
        %1 = tanh(b)
        output y = %0
        output z = %1
        update b = a
    ";
    rows_of_run_time_width: "
        data a: f64[3, m]
        %0 = softmax(a)
        output y = %0
    ";
    a_softmax_of_one_axis: "
        data c: csr[m, m; nnz; symmetric]
        data a: f64[m]
        data w: f64[nnz]
        %0 = softmax(a)
        %1 = spmm(c, a, w) {transpose = 0, weighted = 1}
        output y = %0
        output z = %1
    ";
    a_row_sparse_value: "
        data ids: i32[n]
        data a: f64[n, 3]
        data b: f64[m, 3]
        %0 = row_sparse(ids, a) {rows = [m]}
        %1, %2 = row_sparse_parts(%0)
        %3 = scatter_rows(%1, %2) {rows = [m]}
        output y = %3
        output z = %2
        output b = b
    ";
    a_slice_of_nothing: "
        data a: f64[m, 3]
        %0 = slice(a) {axis = 1, range = [3, 3], step = 3}
        %1 = pad(%0) {axis = 1, sizes = [1, 2], value = 0.5:f64}
        output y = %0
        output z = %1
    ";
    a_reshape_beside_a_scatter: "
        data ids: i32[1]
        data a: f64[1, 33, 8]
        %0 = scatter_rows(ids, a) {rows = [4]}
        %1 = reshape(a) {shape = [1, 264]}
        output y = %0
        output z = %1
    ";
    a_scatter_of_joined_columns: "
        data ids: i32[n]
        data a: f64[n, 33]
        %0 = exp(a)
        %1 = concat(%0, %0) {axis = 1}
        %2 = scatter_rows(ids, %1) {rows = [9]}
        output y = %2
    ";
    a_gradient_of_a_pattern_and_of_rows: "
        data c: csr[33, 33; nnz]
        data a: f64[33, 2]
        data ids: i32[3]
        %0 = sddmm(c, a, a)
        %1 = gather_rows(a, ids)
        output y = %0
        output z = %1
    ";
    a_broadcast_for_a_broadcast_and_a_product: "
        data a: f64[m, 3]
        data b: f64[m, 2]
        %0 = log_sum_exp(a)
        %1 = broadcast(%0) {shape = [m, m], axes = [0]}
        %2 = broadcast(%1) {shape = [m, 4, m], axes = [0, 2]}
        %3 = matmul(%1, b) {transpose = [1, 0]}
        output y = %2
        output z = %3
    ";
}
