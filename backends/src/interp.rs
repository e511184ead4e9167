//! Graphs on the interpreter, with the face and the checks of compiled programs.

use crate::error::{CompileError, RunError};
use crate::fault::{Fault, Wrong};
use crate::inputs::{Inputs, Slot, position};
use crate::look::{Found, element_text, first_integer, first_that_does_not_fit, look};
use crate::report::{Memory, Report, Times};
use crate::session::Engine;
use crate::store::Store;
use crate::trace::Trace;
use latentc_ir::array::{Array, Value};
use latentc_ir::dtype::DType;
use latentc_ir::graph::{Graph, InputKind, NodeId};
use latentc_ir::interp;
use latentc_ir::ops::Op;
use latentc_ir::ops::input::Input;
use latentc_ir::passes;
use latentc_ir::plan::bounds::bounds;
use latentc_ir::plan::{Hazard, InputDecl, hazards, means_infinity, operands_of};

/// A graph and what its last run gave.
pub(crate) struct Interpreter {
    graph: Graph,
    /// Whether every op is looked at.
    checked: bool,
    outputs: Vec<Array>,
}

impl Interpreter {
    /// The inputs that a graph declares, with the bounds that its ops put on ids.
    pub fn inputs(graph: &Graph) -> Vec<InputDecl> {
        let bounds = bounds(graph);
        let decl = |node: &NodeId| match &graph.node(*node).op {
            Op::Input(i) => {
                let (name, kind, ty) = (i.name.clone(), i.kind, i.ty.clone());
                let span = graph.node(*node).span.clone();
                Some(InputDecl { name, kind, ty, bound: bounds.get(node).cloned(), span })
            }
            _ => None,
        };
        graph.inputs().iter().filter_map(decl).collect()
    }

    /// Takes a graph whose outputs and updates are what a session can hold. Where every op is looked at, those that
    /// the bodies of composite ops are made of are, as in compiled programs.
    pub fn new(graph: &Graph, checked: bool) -> Result<Interpreter, CompileError> {
        let wrong = |what| CompileError::Plan { program: graph.name.clone(), what };
        for (name, value) in &graph.outputs {
            if graph.type_of(*value).as_tensor().is_none() {
                return Err(wrong(format!("output `{name}` is {}, no tensor", graph.type_of(*value))));
            }
        }
        for (name, value) in &graph.updates {
            let ty = graph.type_of(*value);
            let fits = |i: &Input| i.kind != InputKind::Data && i.ty == *ty;
            let kept = graph.input(name).map(|n| &graph.node(n).op);
            if !matches!(kept, Some(Op::Input(i)) if fits(i)) {
                return Err(wrong(format!("`{name}` is updated with {ty}, which nothing kept is")));
            }
        }
        let inlined = || passes::inlined(graph).map_err(|diag| CompileError::Lower { diag: Box::new(diag) });
        let graph = if checked { inlined()? } else { graph.clone() };
        Ok(Interpreter { graph, checked, outputs: vec![] })
    }

    /// Names and element types of the outputs.
    pub fn outputs(&self) -> impl Iterator<Item = (String, DType)> {
        self.graph.outputs.iter().map(|(name, value)| (name.clone(), self.graph.tensor(*value).dtype))
    }
}

impl Engine for Interpreter {
    fn needs_edges(&self, _: usize) -> bool {
        false
    }

    fn run(&mut self, inputs: &Inputs, store: &mut Store, _: bool) -> Result<(), RunError> {
        let given = |name: &str| -> Option<Value> {
            let (decl, slot) = inputs.find(name)?;
            Some(match slot {
                Slot::Kept(_) => Value::Tensor(store.get(name)?.clone()),
                Slot::Pattern(p) => Value::Csr(p.clone()?),
                Slot::Dense(d) => {
                    let mut a = Array::zeros(decl.ty.as_tensor()?.dtype, &d.shape);
                    let bytes = a.as_bytes_mut();
                    bytes.copy_from_slice(d.data.slice(bytes.len()));
                    Value::Tensor(a)
                }
            })
        };
        let done = if self.checked {
            given_numbers(&self.graph, &given)?;
            let mut fault = None;
            let mut watch = |graph: &Graph,
                             n: NodeId,
                             operands: &[&Value],
                             results: Option<&[Value]>,
                             dims: &dyn Fn(&str) -> Option<i64>| {
                fault = look_at(graph, n, operands, results, dims);
                if fault.is_some() { Err(interp::InterpError::Ended) } else { Ok(()) }
            };
            let done = interp::run_watched(&self.graph, &given, &mut watch);
            if let Some(fault) = fault {
                return Err(RunError::Fault(Box::new(fault)));
            }
            done
        } else {
            interp::run(&self.graph, &given)
        };
        let done = done.map_err(|e| RunError::Interpreter(e.to_string()))?;
        self.outputs.clear();
        self.outputs.extend(done.outputs.into_iter().filter_map(|(_, v)| tensor(v)));
        for (name, value) in done.updates {
            if let (Some(new), Some(kept)) = (tensor(value), store.get_mut(&name)) {
                *kept = new;
            }
        }
        Ok(())
    }

    fn output(&self, at: usize) -> Option<(&[usize], &[u8])> {
        self.outputs.get(at).map(|a| (a.shape(), a.as_bytes()))
    }

    fn set_profile(&mut self, _: bool) {}

    fn record(&mut self, _: usize) {}

    fn trace(&self) -> Option<Trace> {
        None
    }

    fn report(&self) -> Report {
        Report {
            program: self.graph.name.clone(),
            device: "interpreter".to_owned(),
            threads: 1,
            kernels: vec![],
            launches: 0,
            times: Times::default(),
            memory: Memory {
                outputs: self.outputs.iter().map(|a| a.as_bytes().len()).sum(),
                ..Memory::default()
            },
            cache: None,
            notes: vec![],
            profile: vec![],
        }
    }
}

/// Given numbers are numbers.
fn given_numbers(graph: &Graph, given: &dyn Fn(&str) -> Option<Value>) -> Result<(), RunError> {
    for n in graph.inputs() {
        let Op::Input(input) = &graph.node(*n).op else { continue };
        let Some(Value::Tensor(a)) = given(&input.name) else { continue };
        if let Some(at) = look(a.as_bytes(), a.dtype()).nan {
            let place = format!("{} `{}`", input.kind.name(), input.name);
            let fault = fault(graph, *n, &a, at, Wrong::GivenNan { place });
            return Err(RunError::Fault(Box::new(fault)));
        }
    }
    Ok(())
}

fn fault(graph: &Graph, n: NodeId, array: &Array, at: usize, wrong: Wrong) -> Fault {
    let node = graph.node(n);
    Fault {
        op: node.op.def().name().to_owned(),
        span: node.span.clone(),
        wrong,
        element: position(array.shape(), at),
        value: element_text(array.as_bytes(), array.dtype(), at),
        operands: operands_of(graph, n),
        notes: vec![],
    }
}

/// What is wrong with the operands of a node, or with its results once they are there.
fn look_at(
    graph: &Graph,
    n: NodeId,
    operands: &[&Value],
    results: Option<&[Value]>,
    dims: &dyn Fn(&str) -> Option<i64>,
) -> Option<Fault> {
    let array = |v: &Value| match v {
        Value::Tensor(a) => Some(a.clone()),
        _ => None,
    };
    let Some(results) = results else {
        return hazards(graph, n).into_iter().find_map(|hazard| {
            let a = array(operands[hazard.position()])?;
            let (bytes, dtype) = (a.as_bytes(), a.dtype());
            let (at, wrong) = match hazard {
                Hazard::Rows(operand, rows) => {
                    let rows = rows.eval(dims).unwrap_or(i64::MAX);
                    let at = first_integer(bytes, dtype, |id| !(0..i128::from(rows)).contains(&id))?;
                    (at, Wrong::Row { operand, rows })
                }
                Hazard::Fits(to) => (first_that_does_not_fit(bytes, dtype, to)?, Wrong::Overflow { to }),
                Hazard::Divisor => (first_integer(bytes, dtype, |d| d == 0)?, Wrong::ZeroDivisor),
            };
            Some(fault(graph, n, &a, at, wrong))
        });
    };
    // What is made of nothing is as it was written; what a body gives has been looked at within it.
    if graph.node(n).operands.is_empty() || !graph.node(n).op.def().bodies().is_empty() {
        return None;
    }
    let meant = means_infinity(&graph.node(n).op);
    let before: Vec<Found> =
        operands.iter().filter_map(|v| array(v)).map(|a| look(a.as_bytes(), a.dtype())).collect();
    let nan_before = before.iter().any(|f| f.nan.is_some());
    let infinite_before = before.iter().any(|f| f.infinite.is_some());
    results.iter().filter_map(array).find_map(|a| {
        let found = look(a.as_bytes(), a.dtype());
        let (at, wrong) = match (found.nan, found.infinite) {
            (Some(at), _) if !nan_before => (at, Wrong::Nan),
            (_, Some(at)) if !nan_before && !infinite_before && !meant => (at, Wrong::Infinite),
            _ => return None,
        };
        let mut fault = fault(graph, n, &a, at, wrong);
        for (i, operand) in operands.iter().enumerate() {
            if let Value::Tensor(x) = operand
                && x.shape() == a.shape()
                && graph.node(n).op.is_map()
            {
                let value = element_text(x.as_bytes(), x.dtype(), at);
                fault.notes.push(format!("operand {i} is {value} there"));
            }
        }
        Some(fault)
    })
}

/// Outputs and updates are tensors, which was checked with their types.
fn tensor(value: Value) -> Option<Array> {
    match value {
        Value::Tensor(a) => Some(a),
        _ => None,
    }
}
