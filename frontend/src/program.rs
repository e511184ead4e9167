//! A finished program: a graph, its parameters and state, and what they begin as.

use crate::errors::Errors;
use crate::params::ParamSpec;
use crate::scope::{DimSpec, Scope, StateSpec};
use crate::train;
use latentc_backends::Store;
use latentc_ir::array::Array;
use latentc_ir::diag::{Diag, Span};
use latentc_ir::graph::Graph;
use std::panic::Location;
use std::sync::Arc;

/// A result whose error is every mistake of a build.
pub type Result<T, E = Errors> = std::result::Result<T, E>;

/// A program: what each run takes, computes, gives and keeps.
#[derive(Clone, Debug)]
pub struct Program {
    graph: Graph,
    params: Vec<Arc<ParamSpec>>,
    states: Vec<StateSpec>,
    dims: Vec<DimSpec>,
}

/// Builds a program: the closure declares and computes, `program` writes the training step and checks.
///
/// # Errors
/// Every mistake of the closure at once, each with the lines that disagree; where a derivative is missing,
/// the op without one.
#[track_caller]
pub fn program(name: &str, build: impl FnOnce(&Scope)) -> Result<Program> {
    let at = Location::caller();
    let scope = Scope::new(name);
    build(&scope);
    scope.close();
    let mut state = scope.into_state();
    if state.diags.is_empty()
        && let Some(what) = state.minimise
        && let Err(diag) = train::expand(&mut state.graph, &mut state.states, what)
    {
        state.diags.push(diag);
    }
    if state.diags.is_empty() && state.graph.results().next().is_none() {
        let diag = Diag::new(format!("the program `{name}` gives nothing"), Span::from(at), "this program");
        state.diags.push(diag.help("name a result with `output`, or `minimise` a loss"));
    }
    if !state.diags.is_empty() {
        return Err(Errors::new(state.diags));
    }
    state.graph.remove_dead();
    Ok(Program {
        graph: state.graph,
        params: state.params.into_iter().map(|(spec, _)| spec).collect(),
        states: state.states,
        dims: state.dims.into_iter().map(|(dim, _)| dim).collect(),
    })
}

impl Program {
    /// The name.
    pub fn name(&self) -> &str {
        &self.graph.name
    }

    /// The graph, with gradients and optimizer written out.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The parameters in order of declaration, used or not.
    pub fn params(&self) -> impl Iterator<Item = &ParamSpec> {
        self.params.iter().map(|p| &**p)
    }

    /// What is kept between runs beside the parameters.
    pub fn states(&self) -> &[StateSpec] {
        &self.states
    }

    /// The dims in order of declaration.
    pub fn dims(&self) -> &[DimSpec] {
        &self.dims
    }

    /// Everything that is kept between runs as it is before the first, by name: parameters from their
    /// initialisers, state from its first values.
    ///
    /// The same numbers for the same seed on every machine; a parameter's depend on its name, sizes and
    /// initialiser, and on nothing else in the program.
    pub fn first_values(&self, seed: u64) -> impl Iterator<Item = (&str, Array)> {
        let params =
            self.params.iter().map(move |p| (p.name.as_str(), p.init.array(&p.shape, seed, p.stream())));
        params.chain(self.states.iter().map(move |s| (s.name.as_str(), s.array(seed))))
    }

    /// A store of [`Program::first_values`].
    pub fn init(&self, seed: u64) -> Store {
        self.first_values(seed).collect()
    }

    /// Adds to a store what this program keeps and the store lacks, such as the optimizer's state of a
    /// training step beside parameters that are there already.
    pub fn init_missing(&self, store: &mut Store, seed: u64) {
        for p in &self.params {
            if !store.contains(&p.name) {
                store.insert(p.name.as_str(), p.init.array(&p.shape, seed, p.stream()));
            }
        }
        for s in &self.states {
            if !store.contains(&s.name) {
                store.insert(s.name.as_str(), s.array(seed));
            }
        }
    }

    /// The graph as text, which [`latentc_ir::graph::parse`] reads back.
    pub fn to_text(&self) -> String {
        self.graph.to_string()
    }
}
