//! The graph interpreter: runs a graph node by node on the ops' reference semantics.
//!
//! It is the specification that compiled programs are checked against: slow, obvious, with everything that
//! can be wrong with given data checked and named. Sums are taken in f64 and rounded once, so a graph of f32
//! is computed about as exactly as f32 can hold; a graph of f64 runs in f64.

mod bind;
mod error;

pub use bind::{Dims, bind};
pub use error::InterpError;

use crate::array::Value;
use crate::graph::{Graph, NodeId, Operand};
use crate::ops::Op;
use crate::types::Type;
use rustc_hash::{FxHashMap, FxHashSet};

/// What a run gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The named results, in the order of the graph.
    pub outputs: Vec<(String, Value)>,
    /// New values of what is kept, by the name of the input, in the order of the graph.
    pub updates: Vec<(String, Value)>,
    /// The sizes of this run, by symbol.
    pub dims: Dims,
}

/// Looks at a node of a run, which may be one of a body: before its results are there (`None`) and after. It is given
/// the graph that the node is of, and the sizes of the run. An error ends the run.
pub type Watch<'a> = dyn FnMut(
        &Graph,
        NodeId,
        &[&Value],
        Option<&[Value]>,
        &dyn Fn(&str) -> Option<i64>,
    ) -> Result<(), InterpError>
    + 'a;

/// Runs a graph on named inputs.
///
/// An input that is given is checked against its declared type, and gives the symbols in it their values;
/// only inputs that an output or an update needs must be given. Nodes that nothing needs are not run.
///
/// # Errors
/// Names the input, or the op and its place, and what was wrong.
pub fn run(graph: &Graph, inputs: &dyn Fn(&str) -> Option<Value>) -> Result<Evaluation, InterpError> {
    run_watched(graph, inputs, &mut |_, _, _, _, _| Ok(()))
}

/// As [`run`], with a look at every node but the inputs, those of bodies too.
///
/// # Errors
/// As [`run`], and those of `watch`.
pub fn run_watched(
    graph: &Graph,
    inputs: &dyn Fn(&str) -> Option<Value>,
    watch: &mut Watch<'_>,
) -> Result<Evaluation, InterpError> {
    let (order, uses) = needed(graph);
    let mut values: FxHashMap<NodeId, Vec<Value>> = FxHashMap::default();
    let mut given: Vec<(&str, &Type, NodeId, Value)> = vec![];
    for &node in graph.inputs() {
        if let Op::Input(input) = &graph.node(node).op {
            match inputs(&input.name) {
                Some(value) => given.push((&input.name, &input.ty, node, value)),
                None if uses.contains_key(&node) => {
                    return Err(InterpError::Missing {
                        input: input.name.clone(),
                        expected: input.ty.to_string(),
                    });
                }
                None => {}
            }
        }
    }
    let dims = bind(given.iter().map(|(name, ty, _, value)| (*name, *ty, value)))?;
    check_ids(graph, &given, &dims)?;
    values.extend(given.into_iter().map(|(_, _, node, value)| (node, vec![value])));
    let size_of = |symbol: &str| dims.get(symbol).copied();
    execute(graph, order, uses, &mut values, &size_of, watch)?;
    let named = |list: &[(String, Operand)]| -> Vec<(String, Value)> {
        list.iter().map(|(name, o)| (name.clone(), result(&values, *o).clone())).collect()
    };
    Ok(Evaluation { outputs: named(&graph.outputs), updates: named(&graph.updates), dims })
}

/// Runs a body on its arguments, which have the types of its parameters.
pub(crate) fn apply(
    body: &Graph,
    args: Vec<Value>,
    dims: &dyn Fn(&str) -> Option<i64>,
    watch: &mut Watch<'_>,
) -> Result<Vec<Value>, String> {
    let (order, uses) = needed(body);
    let mut values: FxHashMap<NodeId, Vec<Value>> =
        body.inputs().iter().copied().zip(args.into_iter().map(|v| vec![v])).collect();
    execute(body, order, uses, &mut values, dims, watch).map_err(|e| e.to_string())?;
    Ok(body.outputs.iter().map(|(_, o)| result(&values, *o).clone()).collect())
}

/// Runs nodes in order; values go when their last use is done.
fn execute(
    graph: &Graph,
    order: Vec<NodeId>,
    mut uses: FxHashMap<NodeId, usize>,
    values: &mut FxHashMap<NodeId, Vec<Value>>,
    size_of: &dyn Fn(&str) -> Option<i64>,
    watch: &mut Watch<'_>,
) -> Result<(), InterpError> {
    for node in order {
        if values.contains_key(&node) {
            continue;
        }
        let n = graph.node(node);
        let operands: Vec<&Value> = n.operands.iter().map(|o| result(values, *o)).collect();
        watch(graph, node, &operands, None, size_of)?;
        let results =
            n.op.def().eval_watched(&operands, &n.types, size_of, watch).map_err(|message| {
                InterpError::Op { op: n.op.def().name(), span: n.span.clone(), message }
            })?;
        for (ty, value) in n.types.iter().zip(&results) {
            if let Err(message) = bind::fits(ty, value, size_of) {
                return Err(InterpError::Result { op: n.op.def().name(), span: n.span.clone(), message });
            }
        }
        watch(graph, node, &operands, Some(&results), size_of)?;
        values.insert(node, results);
        for o in &n.operands {
            if let Some(left) = uses.get_mut(&o.node) {
                *left -= 1;
                if *left == 0 {
                    values.remove(&o.node);
                }
            }
        }
    }
    Ok(())
}

/// Ids that are inputs lie within the rows that they name. Those that a program computes are brought to the
/// nearest row by the ops that read them.
fn check_ids(graph: &Graph, given: &[(&str, &Type, NodeId, Value)], dims: &Dims) -> Result<(), InterpError> {
    let bounds = crate::plan::bounds::bounds(graph);
    for (name, _, node, value) in given {
        let (Some(bound), Value::Tensor(ids)) = (bounds.get(node), value) else { continue };
        // A bound too large to compute forbids nothing.
        let bound = bound.eval(&|symbol| dims.get(symbol).copied()).unwrap_or(i64::MAX);
        let outside = |at: &usize| !(0..bound).contains(&ids.get(*at).as_i64());
        if let Some(at) = (0..ids.len()).find(outside) {
            let (input, found) = ((*name).to_owned(), ids.get(at).as_i64());
            return Err(InterpError::Bound { input, at, found, bound });
        }
    }
    Ok(())
}

/// The nodes that results need, producers first, and how often the results of each are used.
fn needed(graph: &Graph) -> (Vec<NodeId>, FxHashMap<NodeId, usize>) {
    let mut uses: FxHashMap<NodeId, usize> = FxHashMap::default();
    let mut live: FxHashSet<NodeId> = FxHashSet::default();
    let mut stack: Vec<NodeId> = vec![];
    for o in graph.results() {
        // The use by the caller, which never ends.
        *uses.entry(o.node).or_default() += 1;
        stack.push(o.node);
    }
    while let Some(node) = stack.pop() {
        if live.insert(node) {
            for o in &graph.node(node).operands {
                *uses.entry(o.node).or_default() += 1;
                stack.push(o.node);
            }
        }
    }
    (graph.topological().into_iter().filter(|n| live.contains(n)).collect(), uses)
}

fn result(values: &FxHashMap<NodeId, Vec<Value>>, o: Operand) -> &Value {
    match values.get(&o.node).and_then(|v| v.get(usize::from(o.port))) {
        Some(value) => value,
        None => unreachable!("producers run first, and live until their last use"),
    }
}
