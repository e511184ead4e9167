//! A graph with its inputs by every way there is to run it.

use latentc_backends::cpu::Isa;
use latentc_backends::{Cache, Options, Session, Store};
use latentc_ir::array::{Array, CsrArray, Value};
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::fuse::Refusal;
use latentc_ir::graph::{Graph, InputKind, NodeId};
use latentc_ir::lower::{Library, Lowered, Target};
use latentc_ir::nest::verify::verify;
use latentc_ir::ops::Op;
use latentc_ir::passes;
use latentc_ir::philox::Stream;
use latentc_ir::plan::{self, Program};
use latentc_ir::testing::{
    RandomGraph, Tolerance, compare, compare_all, random_array, random_ids, random_pattern,
};
use latentc_ir::types::Type;
use latentc_kernels::Kernels;
use proptest::prelude::TestCaseError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a run gives: outputs, and everything that is kept, after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    pub outputs: Vec<(String, Value)>,
    pub kept: Vec<(String, Value)>,
}

/// How a graph becomes a program.
#[derive(Clone, Debug)]
pub struct How {
    pub target: Target,
    pub rewrite: bool,
    pub fuse: bool,
    /// Whether kernels made by hand may be used where there are others.
    pub by_hand: bool,
}

impl How {
    /// As programs are made for this processor.
    pub fn usual() -> How {
        How { target: Target::from(&host()), rewrite: true, fuse: true, by_hand: true }
    }

    /// Nothing that only makes programs faster.
    pub fn plain() -> How {
        How { rewrite: false, fuse: false, by_hand: false, ..How::usual() }
    }

    /// Fused but not rewritten, or the other way round, for a processor with narrow vectors.
    pub fn narrow(rewrite: bool) -> How {
        let target = Target { lanes: 4, registers: 16, prefetch: 2, dot4: false, l1: 1 << 12, l2: 1 << 13 };
        How { target, rewrite, fuse: true, by_hand: rewrite }
    }

    pub fn plan(&self, graph: &Graph) -> Result<Program, TestCaseError> {
        let library: &dyn Library = if self.by_hand { &Kernels } else { &Selection };
        let (rewrite, fuse) = (self.rewrite, self.fuse);
        let options = passes::Options { library, rewrite, fuse, ..passes::Options::new(&self.target) };
        let optimised = passes::optimise(graph, &options).map_err(fail)?;
        let fusion = passes::regions(&optimised, &options);
        if fusion.refusals.iter().any(|(n, m, why)| n == m && *why == Refusal::Cycle) {
            return Err(fail("regions that wait for each other"));
        }
        passes::lower(graph, &options).map_err(|d| fail(format!("no program: {d}")))
    }
}

/// The kernels made by hand of ops that have no others.
struct Selection;

impl Library for Selection {
    fn claim(&self, graph: &Graph, node: NodeId, name: &str, target: &Target) -> Option<Lowered> {
        match graph.node(node).op {
            Op::TopK(_) | Op::ScoreTopK(_) => Kernels.claim(graph, node, name, target),
            _ => None,
        }
    }
}

fn host() -> Isa {
    Isa::host().unwrap_or_else(|e| panic!("{e}"))
}

pub fn fail(what: impl ToString) -> TestCaseError {
    TestCaseError::fail(what.to_string())
}

/// By the graph's interpreter.
pub fn interpreted(graph: &RandomGraph) -> Result<Results, TestCaseError> {
    let run = graph.run().map_err(fail)?;
    let mut kept = kept_of(graph);
    for (name, value) in run.updates {
        if let Some((_, old)) = kept.iter_mut().find(|(n, _)| *n == name) {
            *old = value;
        }
    }
    Ok(Results { outputs: run.outputs, kept })
}

/// What is kept, before the run.
fn kept_of(graph: &RandomGraph) -> Vec<(String, Value)> {
    let kept = |name: &str| {
        let node = graph.graph.input(name).map(|n| &graph.graph.node(n).op);
        matches!(node, Some(Op::Input(i)) if i.kind != InputKind::Data)
    };
    graph.inputs.iter().filter(|(name, _)| kept(name)).cloned().collect()
}

/// By the interpreters of plans and nests: every position is checked, every kernel well-formed.
pub fn simulated(graph: &RandomGraph, how: &How) -> Result<Results, TestCaseError> {
    let program = how.plan(&graph.graph)?;
    for kernel in &program.kernels {
        if let Err(faults) = verify(kernel) {
            return Err(fail(format!("{how:?}\n{faults:?}\n{kernel}")));
        }
    }
    let run = plan::interp::run(&program, &|name| graph.input(name));
    let run = run.map_err(|e| fail(format!("{how:?}\n{e}\n{program}")))?;
    Ok(Results { outputs: run.outputs, kept: run.updates })
}

/// By this processor, with each number of threads.
pub fn compiled(graph: &RandomGraph, how: &How, threads: &[usize]) -> Result<Vec<Results>, TestCaseError> {
    let program = how.plan(&graph.graph)?;
    let mut all = vec![];
    for mut session in sessions(&program, threads)? {
        let mut store = Store::new();
        give(&mut session, &mut store, graph)?;
        session.run(&mut store).map_err(fail)?;
        all.push(results(&session, &store, &program)?);
    }
    Ok(all)
}

/// Sessions with each number of threads: the first compiles, the others take its kernels from a cache.
pub fn sessions(program: &Program, threads: &[usize]) -> Result<Vec<Session>, TestCaseError> {
    let folder = tempfile::tempdir().map_err(fail)?;
    let cache = || Cache::Dir(folder.path().to_owned());
    let session = |threads: &usize| {
        Session::cpu(program, &Options { threads: *threads, cache: cache(), ..Options::default() })
    };
    threads.iter().map(|t| session(t).map_err(fail)).collect()
}

/// Gives a session the inputs of a graph; what is kept goes to the store.
pub fn give(session: &mut Session, store: &mut Store, graph: &RandomGraph) -> Result<(), TestCaseError> {
    for (name, value) in &graph.inputs {
        match value {
            Value::Csr(c) => session.set_csr(name, c.clone()).map_err(fail)?,
            Value::Tensor(a) if kept_of(graph).iter().any(|(n, _)| n == name) => {
                store.insert(name, a.clone());
            }
            Value::Tensor(a) => set(session, name, a)?,
            Value::RowSparse { .. } => return Err(fail(format!("`{name}` cannot be given"))),
        }
    }
    Ok(())
}

/// The outputs of the last run, and what is kept now.
pub fn results(session: &Session, store: &Store, program: &Program) -> Result<Results, TestCaseError> {
    let mut outputs = vec![];
    for o in &program.outputs {
        outputs.push((o.name.clone(), Value::Tensor(get(session, &o.name, o.dtype)?)));
    }
    let kept = program.inputs.iter().filter(|i| i.kind != InputKind::Data);
    let kept = kept.filter_map(|i| Some((i.name.clone(), Value::Tensor(store.get(&i.name)?.clone()))));
    Ok(Results { kept: kept.collect(), outputs })
}

fn set(session: &mut Session, name: &str, a: &Array) -> Result<(), TestCaseError> {
    let shape = a.shape();
    match a.dtype() {
        DType::F64 => session.set(name, shape, a.as_slice::<f64>()),
        DType::F32 => session.set(name, shape, a.as_slice::<f32>()),
        DType::Bf16 => session.set(name, shape, a.as_slice::<half::bf16>()),
        DType::F16 => session.set(name, shape, a.as_slice::<half::f16>()),
        DType::I64 => session.set(name, shape, a.as_slice::<i64>()),
        DType::I32 => session.set(name, shape, a.as_slice::<i32>()),
        DType::I16 => session.set(name, shape, a.as_slice::<i16>()),
        DType::I8 => session.set(name, shape, a.as_slice::<i8>()),
        DType::U64 => session.set(name, shape, a.as_slice::<u64>()),
        DType::U32 => session.set(name, shape, a.as_slice::<u32>()),
        DType::U16 => session.set(name, shape, a.as_slice::<u16>()),
        // Types of one byte that the host has none of its own for are set by their bits.
        _ => session.set(name, shape, a.as_slice::<u8>()),
    }
    .map_err(fail)
}

fn get(session: &Session, name: &str, dtype: DType) -> Result<Array, TestCaseError> {
    macro_rules! take {
        ($t:ty) => {{
            let (shape, values) = session.output::<$t>(name).map_err(fail)?;
            Array::from_slice(shape, values)
        }};
    }
    Ok(match dtype {
        DType::F64 => take!(f64),
        DType::F32 => take!(f32),
        DType::Bf16 => take!(half::bf16),
        DType::F16 => take!(half::f16),
        DType::I64 => take!(i64),
        DType::I32 => take!(i32),
        DType::I16 => take!(i16),
        DType::I8 => take!(i8),
        DType::U64 => take!(u64),
        DType::U32 => take!(u32),
        DType::U16 => take!(u16),
        DType::U8 => take!(u8),
        DType::Bool => {
            let (shape, values) = session.output::<u8>(name).map_err(fail)?;
            let mut a = Array::zeros(DType::Bool, shape);
            a.as_bytes_mut().copy_from_slice(values);
            if values.iter().any(|b| *b > 1) {
                return Err(fail(format!("`{name}` holds a bool that is neither 0 nor 1")));
            }
            a
        }
        DType::F8E4M3Fn | DType::F8E5M2 | DType::F8E4M3Fnuz | DType::F8E5M2Fnuz => {
            let (shape, values) = session.output::<u8>(name).map_err(fail)?;
            let mut a = Array::zeros(dtype, shape);
            a.as_bytes_mut().copy_from_slice(values);
            a
        }
    })
}

/// Compares results within a tolerance, which is of the greatest element of each array.
pub fn same(what: &str, expected: &Results, found: &Results, tolerance: f64) -> Result<(), TestCaseError> {
    let pairs = [(&expected.outputs, &found.outputs), (&expected.kept, &found.kept)];
    for (e, f) in pairs {
        let names = |l: &[(String, Value)]| l.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
        if names(e) != names(f) {
            return Err(fail(format!("{what}: {:?} expected, {:?} found", names(e), names(f))));
        }
        for ((name, e), (_, f)) in e.iter().zip(f) {
            let scale = greatest(e).max(1.0);
            let near = Tolerance { relative: 0.0, absolute: tolerance * scale, ..Tolerance::EXACT };
            compare(e, f, &near).map_err(|m| fail(format!("{what}: `{name}`: {m}")))?;
        }
    }
    Ok(())
}

fn greatest(value: &Value) -> f64 {
    match value {
        Value::Tensor(a) => a.to_f64().into_iter().filter(|x| x.is_finite()).fold(0.0, |m, x| x.abs().max(m)),
        _ => 0.0,
    }
}

/// Compares results bit for bit.
pub fn identical(what: &str, expected: &Results, found: &Results) -> Result<(), TestCaseError> {
    if expected == found {
        return Ok(());
    }
    compare_all(&expected.outputs, &found.outputs, &Tolerance::EXACT)
        .and_then(|()| compare_all(&expected.kept, &found.kept, &Tolerance::EXACT))
        .map_err(|m| fail(format!("{what}: {m}")))?;
    // NaN of other bits, or zeros of other signs.
    Err(fail(format!("{what}: other bits")))
}

/// The text of a graph parses back to a graph with the same text.
pub fn prints(graph: &RandomGraph) -> Result<(), TestCaseError> {
    let text = graph.graph.to_string();
    let again = latentc_ir::graph::parse::parse("random", &text).map_err(|d| fail(format!("{d}\n{text}")))?;
    let parsed = again.to_string();
    if parsed == text { Ok(()) } else { Err(fail(format!("{text}\nparses as\n{parsed}"))) }
}

/// Everything that is asked of one program.
pub fn check(graph: &RandomGraph, tolerance: f64) -> Result<(), TestCaseError> {
    prints(graph)?;
    let expected = interpreted(graph)?;
    for how in [How::usual(), How::plain(), How::narrow(false), How::narrow(true)] {
        same(&format!("{how:?}"), &expected, &simulated(graph, &how)?, tolerance)?;
    }
    let all = compiled(graph, &How::usual(), &[1, 2, 3])?;
    same("compiled", &expected, &all[0], tolerance)?;
    identical("2 threads", &all[0], &all[1])?;
    identical("3 threads", &all[0], &all[2])?;
    Ok(())
}

/// A graph with random values for its inputs: ids below their bounds, patterns of about two entries a row.
/// Dims that count the entries of a pattern get their values from it.
pub fn with_inputs(graph: Graph, dims: &[(&str, usize)]) -> RandomGraph {
    let dims = dims.iter().map(|(name, value)| ((*name).to_owned(), *value as i64)).collect();
    given(graph, dims, 1).expect("rows for the ids to name")
}

/// A graph on other inputs, of sizes within the ranges of its dims but not above 64 where these allow it. `None` where ids
/// have no row to name.
pub fn of_other_sizes(graph: &Graph, seed: u32) -> Option<RandomGraph> {
    let mut random = Stream::new(seed.into(), 2, 0);
    let mut dims = BTreeMap::new();
    for node in graph.inputs() {
        let sizes: Vec<Dim> = match &graph.node(*node).types[0] {
            Type::Tensor(t) => t.shape.to_vec(),
            Type::Csr(c) => vec![c.rows.clone(), c.cols.clone()],
            Type::RowSparse(_) => vec![],
        };
        for symbol in sizes.iter().flat_map(Dim::symbols).filter(|s| !s.name.starts_with("nnz")) {
            // Not none: ids must have rows to name.
            let (lo, hi) = (symbol.lo.max(1).min(symbol.hi), symbol.hi.min(symbol.lo.max(64)));
            let value = lo + i64::from(random.below((hi - lo + 1) as u32));
            dims.entry(symbol.name.clone()).or_insert(value);
        }
    }
    given(graph.clone(), dims, seed)
}

/// A pattern of the same sizes without entries.
fn empty(csr: CsrArray) -> CsrArray {
    CsrArray::from_edges(csr.rows, csr.cols, vec![]).unwrap_or(csr)
}

fn given(graph: Graph, mut dims: BTreeMap<String, i64>, seed: u32) -> Option<RandomGraph> {
    let bounds = plan::bounds::bounds(&graph);
    let mut random = Stream::new(seed.into(), 1, 0);
    let size = |dim: &Dim, dims: &BTreeMap<String, i64>| {
        dim.eval(&|name| dims.get(name).copied()).unwrap_or_else(|| panic!("no value for {dim}")) as usize
    };
    let mut patterns = BTreeMap::new();
    for node in graph.inputs() {
        if let Op::Input(input) = &graph.node(*node).op
            && let Type::Csr(c) = &input.ty
        {
            let csr = random_pattern(&mut random, size(&c.rows, &dims), size(&c.cols, &dims), c.symmetric);
            let csr = if (csr.nnz() as i64) <= c.nnz.upper() { csr } else { empty(csr) };
            if let [nnz] = c.nnz.symbols().as_slice() {
                dims.insert(nnz.name.clone(), csr.indices.len() as i64);
            }
            patterns.insert(input.name.clone(), Value::Csr(Arc::new(csr)));
        }
    }
    let mut inputs = vec![];
    for node in graph.inputs() {
        let Op::Input(input) = &graph.node(*node).op else { continue };
        let value = match &input.ty {
            Type::Csr(_) => patterns[&input.name].clone(),
            Type::Tensor(t) => {
                let shape: Vec<usize> = t.shape.iter().map(|d| size(d, &dims)).collect();
                Value::Tensor(match bounds.get(node) {
                    Some(bound) => {
                        let (count, bound) = (shape.iter().product(), size(bound, &dims));
                        if count > 0 && bound == 0 {
                            return None;
                        }
                        random_ids(&mut random, count, bound).reshaped(&shape)
                    }
                    None => random_array(&mut random, t.dtype, &shape),
                })
            }
            Type::RowSparse(_) => panic!("`{}` cannot be given", input.name),
        };
        inputs.push((input.name.clone(), value));
    }
    Some(RandomGraph { graph, inputs })
}
