//! A finished program: a graph, its parameters and state, and what they begin as.

use crate::dims::At;
use crate::errors::Errors;
use crate::params::ParamSpec;
use crate::scope::{DimSpec, Scope, StateSpec, sizes_of};
use crate::train;
use latentc_backends::Store;
use latentc_ir::array::Array;
use latentc_ir::diag::{Diag, Span};
use latentc_ir::dim::Dim as Size;
use latentc_ir::graph::{Graph, Node};
use latentc_ir::ops::{Attr, Op};
use latentc_ir::passes::Numerics;
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
    numerics: Numerics,
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
        && let Err(diag) =
            train::expand(&mut state.graph, &mut state.states, what, state.numerics, state.mixed)
    {
        state.diags.push(diag);
    }
    if state.diags.is_empty() && state.graph.results().next().is_none() {
        let diag = Diag::new(format!("the program `{name}` gives nothing"), Span::from(at), "this program");
        state.diags.push(diag.help("name a result with `output`, or `minimise` a loss"));
    }
    if let (true, None, Some(mixed)) = (state.diags.is_empty(), state.minimise, state.mixed) {
        latentc_ir::passes::mixed(&mut state.graph, mixed.dtype);
    }
    if state.diags.is_empty() {
        state.graph.dissolve_marks();
        state.diags = unbound(&state.graph, &state.dims);
    }
    if !state.diags.is_empty() {
        return Err(Errors::new(state.diags));
    }
    Ok(Program {
        graph: state.graph,
        params: state.params.into_iter().map(|(spec, _)| spec).collect(),
        states: state.states,
        dims: state.dims.into_iter().map(|(dim, _)| dim).collect(),
        numerics: state.numerics,
    })
}

/// Dims that a program uses and that no input has as a size by itself: a run could not know them.
fn unbound(graph: &Graph, dims: &[(DimSpec, At)]) -> Vec<Diag> {
    let nodes: Vec<&Node> = graph.topological().into_iter().map(|n| graph.node(n)).collect();
    let mut missing: Vec<(&DimSpec, At, Size)> = dims
        .iter()
        .map(|(dim, at)| (dim, *at, Size::symbol(dim.name.as_str(), dim.lo, dim.hi)))
        .filter(|(_, _, size)| size.as_const().is_none())
        .collect();
    for node in nodes.iter().filter(|n| matches!(n.op, Op::Input(_))) {
        let sizes = node.types.iter().flat_map(sizes_of).collect::<Vec<_>>();
        missing.retain(|(_, _, size)| !sizes.contains(size));
    }
    fn uses(node: &Node, name: &str) -> bool {
        let names = |size: &Size| size.symbols().iter().any(|s| s.name == name);
        let listed = node.op.def().attrs().into_iter().any(|(_, attr)| match attr {
            Attr::Dims(sizes) => sizes.iter().any(names),
            Attr::Body(body) => {
                let graph = body.graph();
                graph.topological().into_iter().any(|n| uses(graph.node(n), name))
            }
            _ => false,
        });
        listed || node.types.iter().flat_map(sizes_of).any(|size| names(&size))
    }
    let diag = |(dim, at, _): (&DimSpec, At, Size)| {
        let user = nodes.iter().find(|n| uses(n, &dim.name))?;
        let message = format!("the dim `{}` is the size of no input, so that no run could know it", dim.name);
        let diag = Diag::new(message, Span::from(at), "this dim");
        let help = "give it to an input as one of its sizes, by itself";
        Some(diag.label(user.span.clone(), "needed here").help(help))
    };
    missing.into_iter().filter_map(diag).collect()
}

/// Reads a graph from its text form, and checks it; `file` is what messages call the text.
///
/// # Errors
/// What is out of place in the text, or everything that is wrong with the graph, each with its line.
pub fn read_graph(file: &str, text: &str) -> Result<Graph> {
    let placed = |errors: Errors| errors.with_text(file, text);
    let graph = latentc_ir::graph::parse::parse(file, text).map_err(|diag| placed(diag.into()))?;
    latentc_ir::graph::verify::verify(&graph).map_err(|diags| placed(diags.into()))?;
    Ok(graph)
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

    /// What may be done to its numbers ([`Scope::numerics`]).
    pub fn numerics(&self) -> Numerics {
        self.numerics
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
