//! Whole random graphs with values for their inputs.

use super::builder::Builder;
use super::widen::{in_f64, wide_value};
use crate::array::Value;
use crate::dtype::DType;
use crate::grad::gradients;
use crate::graph::{Graph, InputKind, Operand};
use crate::interp::{self, Evaluation, InterpError};
use crate::ops::Op;
use crate::scalar::{ReduceOp, ScalarOp};
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt;

/// Which graphs [`graphs`] makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The float type of a graph is one of these.
    pub floats: Vec<DType>,
    /// At most so many ops are chosen; an op may bring helpers with it (a scale, a guard, an input).
    pub steps: usize,
    /// Names of ops (graph ops, or scalar operations of elementwise ones) that must not occur.
    pub without: Vec<&'static str>,
}

impl Default for Options {
    /// Up to 12 ops in f32, all of them allowed.
    fn default() -> Options {
        Options { floats: vec![DType::F32], steps: 12, without: vec![] }
    }
}

/// A graph with a value for each of its inputs.
///
/// Results are finite and of moderate size, and do not hang on a rounding error: where an op is not
/// continuous (comparisons, `floor`, conversion to integers, ranks) its operands are exact, or far from its
/// steps. So two right implementations agree within a tolerance, and on integers and bools exactly.
#[derive(Clone)]
pub struct RandomGraph {
    /// The graph. Its outputs are dense tensors; it may have updates of parameters and state.
    pub graph: Graph,
    /// The value of each input by name, in the order of declaration.
    pub inputs: Vec<(String, Value)>,
}

/// Random graphs with 1 to `options.steps` chosen ops. Shrinks to fewer ops and smaller sizes.
pub fn graphs(options: Options) -> impl Strategy<Value = RandomGraph> {
    let steps = vec((any::<u16>(), any::<u32>()), 1..=options.steps.max(1));
    (any::<u16>(), (0..SIZES.len(), 0..SIZES.len()), steps).prop_map(move |(dtype, (n, m), steps)| {
        let float = options.floats[usize::from(dtype) % options.floats.len().max(1)];
        let mut builder = Builder::new(&options, float, SIZES[n], SIZES[m].max(1));
        for (op, seed) in &steps {
            builder.step(*op, *seed);
        }
        builder.finish()
    })
}

/// Values of the two symbols, which become tensors with a product of them: no greater than this.
const SIZES: [usize; 13] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 33];

impl RandomGraph {
    /// The value of an input.
    pub fn input(&self, name: &str) -> Option<Value> {
        self.inputs.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
    }

    /// Runs it in the interpreter.
    pub fn run(&self) -> Result<Evaluation, InterpError> {
        interp::run(&self.graph, &|name| self.input(name))
    }

    /// The same in f64: the result that a run in f32 approaches.
    pub fn in_f64(&self) -> RandomGraph {
        let inputs = self.inputs.iter().map(|(name, v)| (name.clone(), wide_value(v))).collect();
        RandomGraph { graph: in_f64(&self.graph), inputs }
    }

    /// The graph with a loss, a weighted sum of its float outputs, as the output `loss`, and the gradient of
    /// the loss with respect to every float input that it depends on as an output `d NAME` (made dense).
    /// Outputs that an op without a derivative leads to are left out of the loss.
    pub fn with_gradients(&self) -> RandomGraph {
        let mut graph = self.graph.clone();
        let is_float = |g: &Graph, o: Operand| g.type_of(o).as_tensor().is_some_and(|t| t.dtype.is_real());
        let inputs: Vec<Operand> =
            graph.inputs().iter().map(|n| Operand::from(*n)).filter(|o| is_float(&graph, *o)).collect();
        let mut loss: Option<Operand> = None;
        for (_, o) in self.graph.outputs.iter().filter(|(_, o)| is_float(&self.graph, *o)) {
            let rank = graph.shape_of(*o).len();
            let sum = graph.reduce(ReduceOp::Sum, *o, (0..rank).collect());
            let part = graph.scale(sum, 0.0625);
            if gradients(&mut graph.clone(), part, &inputs).is_err() {
                continue;
            }
            loss = Some(match loss {
                None => part,
                Some(so_far) => {
                    let part = graph.cast(part, graph.dtype_of(so_far));
                    graph.map(ScalarOp::Add, &[so_far, part])
                }
            });
        }
        if let Some(loss) = loss
            && let Ok(found) = gradients(&mut graph, loss, &inputs)
        {
            graph.outputs.push(("loss".to_owned(), loss));
            for (input, gradient) in inputs.into_iter().zip(found) {
                if let (Some(gradient), Op::Input(i)) = (gradient, graph.node(input.node).op.clone()) {
                    let gradient = graph.densify(gradient);
                    graph.outputs.push((format!("d {}", i.name), gradient));
                }
            }
        }
        graph.remove_dead();
        RandomGraph { graph, inputs: self.inputs.clone() }
    }
}

impl fmt::Debug for RandomGraph {
    /// The text of the graph, and the values of its inputs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.graph)?;
        for (name, value) in &self.inputs {
            match value {
                Value::Csr(c) => {
                    writeln!(f, "{name} = {}x{} {:?} {:?}", c.rows, c.cols, c.indptr, c.indices)?;
                }
                Value::Tensor(a) => writeln!(f, "{name} = {a:?}")?,
                other => writeln!(f, "{name} = {other:?}")?,
            }
        }
        Ok(())
    }
}

/// Whether an input may be updated.
pub(super) fn is_kept(kind: InputKind) -> bool {
    kind != InputKind::Data
}
