//! Objects of ahead-of-time builds, loaded into this process and called as C would.

use latentc_backends::Ids;
use latentc_backends::aot::{Layout, Library, System, Unit, Weights};
use latentc_backends::cpu::{self, Object};
use latentc_ir::array::{Array, CsrArray, Value};
use latentc_ir::dim::Dim;
use latentc_ir::graph::{Graph, InputKind};
use latentc_ir::ops::Op;
use latentc_ir::types::Type;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::Arc;

/// A program in memory.
pub struct Loaded {
    code: cpu::Library,
    layout: Layout,
    graph: Graph,
    workspace: usize,
}

/// The state of a program, and what it points to.
pub struct State<'l> {
    loaded: &'l Loaded,
    words: Vec<u64>,
    /// Inputs and kept values in the order of the graph.
    pub values: Vec<(String, Value)>,
    /// Outputs of the last run.
    pub outputs: Vec<(String, Array)>,
    workspace: Vec<u64>,
}

/// Outputs, and everything that is kept, after a run.
pub type Results = (Vec<(String, Value)>, Vec<(String, Value)>);

type Init = unsafe extern "C" fn(*mut u64, u64) -> i32;
type Run = unsafe extern "C" fn(*mut u64) -> i32;
type FromFile = unsafe extern "C" fn(*mut u64, *const u64, usize) -> i32;
type ErrorText = unsafe extern "C" fn(*const u64, *mut u8, usize) -> usize;
type Task = unsafe extern "C" fn(*mut c_void, usize);

/// Runs the parts of a loop on a thread each, the last part first.
unsafe extern "C" fn parallel(count: *mut c_void, task: Task, argument: *mut c_void, parts: usize) {
    struct Shared(Task, *mut c_void);
    // SAFETY: the argument is meant for several threads.
    unsafe impl Sync for Shared {}
    let shared = &Shared(task, argument);
    std::thread::scope(|s| {
        for part in (0..parts).rev() {
            s.spawn(move || {
                let Shared(task, argument) = shared;
                // SAFETY: each part once.
                unsafe { task(*argument, part) }
            });
        }
    });
    // SAFETY: the context is a counter of the test's.
    unsafe { *count.cast::<u64>() += 1 }
}

impl Loaded {
    /// Builds a program for this machine, or for a level of it, and loads it.
    pub fn new(graph: &Graph, level: &str) -> Result<Loaded, String> {
        Loaded::with(graph, level, Weights::Caller)
    }

    /// The same, with the values of parameters from elsewhere.
    pub fn with(graph: &Graph, level: &str, weights: Weights) -> Result<Loaded, String> {
        Loaded::of(graph, level, weights, &[])
    }

    /// The same with what happens with row numbers outside of their table.
    pub fn of(graph: &Graph, level: &str, weights: Weights, ids: &[(&str, Ids)]) -> Result<Loaded, String> {
        let ids = ids.iter().map(|(name, ids)| ((*name).to_owned(), *ids)).collect();
        let unit = Unit { name: "program".to_owned(), graph: graph.clone(), weights, ids };
        let system = System::host().map_err(|e| e.to_string())?;
        let levels = vec![level.to_owned()];
        let library = Library { name: "library".to_owned(), units: vec![unit], system, levels };
        let built = library.build(false).map_err(|e| e.to_string())?;
        let with_weights = !matches!(weights_of(&library), Weights::Caller);
        let names =
            ["init", "run", "error_text", "weights"].into_iter().take(if with_weights { 4 } else { 3 });
        let symbols = names.map(|s| format!("program_{s}")).collect();
        let object = Object { bytes: built.objects[0].1.clone(), kernels: symbols };
        let code = cpu::Library::load(&[object]).map_err(|e| e.to_string())?;
        let workspace = built.report.units[0].workspace_bytes() as usize;
        Ok(Loaded { code, layout: built.layouts[0].clone(), graph: graph.clone(), workspace })
    }

    /// Bytes of workspace that a run needs.
    pub fn workspace(&self) -> usize {
        self.workspace
    }

    /// The names of the inputs, in order.
    pub fn inputs(&self) -> Vec<String> {
        declared(&self.graph).into_iter().map(|(name, ..)| name).collect()
    }

    /// The address of a function.
    fn symbol(&self, name: &str) -> usize {
        self.code.get(&format!("program_{name}")).unwrap_or_else(|e| panic!("{e}")) as usize
    }

    /// A state with inputs and kept values, initialised.
    pub fn state(&self, values: &[(String, Value)]) -> Result<State<'_>, String> {
        let mut state = self.uninitialised(values)?;
        state.init_own()?;
        Ok(state)
    }

    /// The same before it is initialised.
    pub fn uninitialised(&self, values: &[(String, Value)]) -> Result<State<'_>, String> {
        let words = vec![0; self.layout.bytes / 8];
        let workspace = vec![0; self.workspace / 8 + 8];
        let mut values = values.to_vec();
        for (_, value) in &mut values {
            // A caller who is asked for the edges of a symmetric pattern's twin has to make them.
            if let Value::Csr(c) = value
                && c.twin.is_none()
            {
                *c = Arc::new(CsrArray::clone(c).with_twin());
            }
        }
        let mut state = State { loaded: self, words, values, outputs: vec![], workspace };
        state.bind()?;
        Ok(state)
    }
}

impl State<'_> {
    /// Sets a member by its path in C.
    pub fn set(&mut self, path: &str, value: u64) {
        let members = &self.loaded.layout.members;
        let found = members.iter().find(|(p, _)| p == path);
        let at = found.unwrap_or_else(|| panic!("no `{path}` among {members:?}")).1;
        self.words[at / 8] = value;
    }

    /// Points the state at its values, and sizes with them.
    pub fn bind(&mut self) -> Result<(), String> {
        let types: Vec<(String, InputKind, Type)> = declared(&self.loaded.graph);
        let mut dims = BTreeMap::new();
        for ((_, _, ty), (_, value)) in types.iter().zip(&self.values) {
            for (dim, size) in sizes(ty, value) {
                if let [s] = dim.symbols().as_slice()
                    && dim == Dim::symbol(s.name.as_str(), s.lo, s.hi)
                {
                    dims.insert(s.name.clone(), size as i64);
                }
            }
        }
        for (name, value) in &dims {
            self.set(&format!("dims.{}", identifier(name)), *value as u64);
        }
        let outputs: Vec<(String, Array)> = self
            .loaded
            .graph
            .outputs
            .iter()
            .map(|(name, o)| {
                let t = self.loaded.graph.tensor(*o);
                let size = |d: &Dim| d.eval(&|s| dims.get(s).copied()).unwrap_or(0) as usize;
                let shape: Vec<usize> = t.shape.iter().map(size).collect();
                (name.clone(), Array::zeros(t.dtype, &shape))
            })
            .collect();
        self.outputs = outputs;
        let mut pointers = vec![];
        for ((name, kind, _), (_, value)) in types.iter().zip(&mut self.values) {
            let group = match kind {
                InputKind::Data | InputKind::Arg => "in",
                InputKind::Param => "params",
                InputKind::State => "state",
            };
            let name = identifier(name);
            match value {
                Value::Tensor(a) => {
                    pointers.push((format!("{group}.{name}"), a.as_bytes_mut().as_mut_ptr() as u64));
                }
                Value::Csr(c) => {
                    let twin = c.twin.as_deref();
                    for (part, array) in [
                        ("indptr", Some(&c.indptr)),
                        ("indices", Some(&c.indices)),
                        ("twin_indptr", twin.map(|t| &t.indptr)),
                        ("twin_indices", twin.map(|t| &t.indices)),
                        ("twin_edges", twin.map(|t| &t.edges)),
                    ] {
                        let path = format!("in.{name}_{part}");
                        if let Some(array) = array
                            && self.loaded.layout.members.iter().any(|(p, _)| *p == path)
                        {
                            pointers.push((path, array.as_ptr() as u64));
                        }
                    }
                }
                Value::RowSparse { .. } => return Err(format!("`{name}` cannot be given")),
            }
        }
        for (name, array) in &mut self.outputs {
            pointers.push((format!("out.{}", identifier(name)), array.as_bytes_mut().as_mut_ptr() as u64));
        }
        for (path, address) in pointers {
            self.set(&path, address);
        }
        let workspace = (self.workspace.as_ptr() as u64).next_multiple_of(64);
        self.set("workspace", workspace);
        self.set("workspace_bytes", self.loaded.workspace as u64);
        Ok(())
    }

    /// Nanoseconds of a run, the mean of so many.
    pub fn time(&mut self, runs: u32) -> f64 {
        self.run(1).unwrap_or_else(|e| panic!("{e}"));
        // SAFETY: as in `run`.
        let run = unsafe { std::mem::transmute::<usize, Run>(self.loaded.symbol("run")) };
        let start = std::time::Instant::now();
        for _ in 0..runs {
            // SAFETY: as in `run`.
            assert_eq!(unsafe { run(self.words.as_mut_ptr()) }, 0);
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(runs)
    }

    /// Calls the init function as the header says.
    pub fn init_own(&mut self) -> Result<(), String> {
        self.init(self.loaded.layout.abi)
    }

    /// Calls the init function.
    pub fn init(&mut self, abi: u64) -> Result<(), String> {
        // SAFETY: the driver gives the symbol this signature; the state is as long as the layout says.
        let code = unsafe {
            let init = std::mem::transmute::<usize, Init>(self.loaded.symbol("init"));
            init(self.words.as_mut_ptr(), abi)
        };
        self.ended(code)
    }

    /// Calls the weights function, with a file where the object takes one.
    pub fn weights(&mut self, file: Option<(&[u64], usize)>) -> Result<(), String> {
        let address = self.loaded.symbol("weights");
        let state = self.words.as_mut_ptr();
        // SAFETY: as in `init`; the object has the form that was asked for.
        let code = unsafe {
            match file {
                Some((words, bytes)) => {
                    std::mem::transmute::<usize, FromFile>(address)(state, words.as_ptr(), bytes)
                }
                None => std::mem::transmute::<usize, Run>(address)(state),
            }
        };
        self.ended(code)
    }

    /// Runs on this thread, or on so many.
    pub fn run(&mut self, threads: usize) -> Result<u64, String> {
        let mut launches = 0u64;
        if threads > 1 {
            self.set("parallel", parallel as *const () as u64);
            self.set("parallel_context", &raw mut launches as u64);
        }
        self.set("threads", threads as u64);
        // SAFETY: as above; what the state points to is owned by it, and outlives the call.
        let code = unsafe {
            let run = std::mem::transmute::<usize, Run>(self.loaded.symbol("run"));
            run(self.words.as_mut_ptr())
        };
        self.ended(code).map(|()| launches)
    }

    fn ended(&self, code: i32) -> Result<(), String> {
        if code == 0 { Ok(()) } else { Err(self.error_text()) }
    }

    /// The last error.
    pub fn error_text(&self) -> String {
        let mut text = vec![0u8; 400];
        // SAFETY: as above; the buffer is as long as said.
        let length = unsafe {
            let f = std::mem::transmute::<usize, ErrorText>(self.loaded.symbol("error_text"));
            f(self.words.as_ptr(), text.as_mut_ptr(), text.len())
        };
        text.truncate(length);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// What the last run gave and left.
    pub fn results(&self) -> Results {
        let outputs = self.outputs.iter().map(|(n, a)| (n.clone(), Value::Tensor(a.clone()))).collect();
        let kept = declared(&self.loaded.graph).into_iter().zip(&self.values);
        let kept = kept.filter(|((_, kind, _), _)| *kind != InputKind::Data);
        (outputs, kept.map(|(_, (name, v))| (name.clone(), v.clone())).collect())
    }
}

/// Where the weights of a library's first program come from.
fn weights_of(library: &Library) -> &Weights {
    library.units.first().map_or(&Weights::Caller, |u| &u.weights)
}

/// The inputs of a graph: name, kind and type.
fn declared(graph: &Graph) -> Vec<(String, InputKind, Type)> {
    let input = |n: &latentc_ir::graph::NodeId| match &graph.node(*n).op {
        Op::Input(i) => Some((i.name.clone(), i.kind, i.ty.clone())),
        _ => None,
    };
    graph.inputs().iter().filter_map(input).collect()
}

/// Sizes as declared, and as they are. Nothing is checked: that is what objects are there for.
fn sizes(ty: &Type, value: &Value) -> Vec<(Dim, usize)> {
    match (ty, value) {
        (Type::Tensor(t), Value::Tensor(a)) => {
            t.shape.iter().cloned().zip(a.shape().iter().copied()).collect()
        }
        (Type::Csr(t), Value::Csr(c)) => {
            vec![(t.rows.clone(), c.rows), (t.cols.clone(), c.cols), (t.nnz.clone(), c.nnz())]
        }
        _ => vec![],
    }
}

/// A name as the header has it.
fn identifier(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}
