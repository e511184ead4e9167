//! A graph as native code.

use super::ways::kept_of;
use super::{Failure, How, Results, fail};
use crate::{Cache, Options, Session, Store};
use latentc_ir::array::Value;
use latentc_ir::dtype::DType;
use latentc_ir::graph::InputKind;
use latentc_ir::plan::Program;
use latentc_ir::testing::RandomGraph;

/// A compiled program and its session.
#[derive(Debug)]
pub struct Native {
    /// The program.
    pub program: Program,
    session: Session,
}

impl Native {
    /// Compiles a graph, to be run on one thread.
    ///
    /// # Errors
    /// What the passes or the compiler refuse.
    pub fn new(graph: &RandomGraph, how: &How) -> Result<Native, Failure> {
        Native::of(how.plan(&graph.graph)?)
    }

    /// Compiles a program, to be run on one thread.
    ///
    /// # Errors
    /// What the compiler refuses.
    pub fn of(program: Program) -> Result<Native, Failure> {
        let options = Options { threads: 1, cache: Cache::Off, ..Options::default() };
        let session = Session::cpu(&program, &options).map_err(fail)?;
        Ok(Native { program, session })
    }

    /// The same code on so many threads from now on, every launch divided among them, however small.
    ///
    /// # Errors
    /// Where the system gives no threads.
    pub fn divide(&mut self, threads: usize) -> Result<(), Failure> {
        self.session.divide(threads).map_err(fail)
    }

    /// One run, on the inputs of a graph.
    ///
    /// # Errors
    /// What the session refuses.
    pub fn run(&mut self, graph: &RandomGraph) -> Result<Results, Failure> {
        Ok(self.runs(graph, 1)?.remove(0))
    }

    /// So many runs one after the other.
    ///
    /// # Errors
    /// What the session refuses.
    pub fn runs(&mut self, graph: &RandomGraph, count: usize) -> Result<Vec<Results>, Failure> {
        let mut store = Store::new();
        give(&mut self.session, &mut store, graph)?;
        let mut all = vec![];
        for _ in 0..count {
            self.session.run(&mut store).map_err(fail)?;
            all.push(results(&self.session, &store, &self.program)?);
        }
        Ok(all)
    }
}

/// Gives a session the inputs of a graph; what is kept goes to the store.
///
/// # Errors
/// What the session refuses.
pub fn give(session: &mut Session, store: &mut Store, graph: &RandomGraph) -> Result<(), Failure> {
    let kept = kept_of(graph);
    for (name, value) in &graph.inputs {
        match value {
            Value::Csr(c) => session.set_csr(name, c.clone()).map_err(fail)?,
            Value::Tensor(a) if kept.iter().any(|(n, _)| n == name) => {
                store.insert(name, a.clone());
            }
            Value::Tensor(a) => session.set_array(name, a).map_err(fail)?,
            Value::RowSparse { .. } => return Err(fail(format!("`{name}` cannot be given"))),
        }
    }
    Ok(())
}

/// The outputs of the last run, and what is kept now.
///
/// # Errors
/// A bool that is neither 0 nor 1.
pub fn results(session: &Session, store: &Store, program: &Program) -> Result<Results, Failure> {
    let mut outputs = vec![];
    for o in &program.outputs {
        let array = session.output_array(&o.name).map_err(fail)?;
        if o.dtype == DType::Bool && array.as_bytes().iter().any(|b| *b > 1) {
            return Err(fail(format!("`{}` holds a bool that is neither 0 nor 1", o.name)));
        }
        outputs.push((o.name.clone(), Value::Tensor(array)));
    }
    let kept = program.inputs.iter().filter(|i| i.kind != InputKind::Data);
    let kept = kept.filter_map(|i| Some((i.name.clone(), Value::Tensor(store.get(&i.name)?.clone()))));
    Ok(Results { kept: kept.collect(), outputs })
}
