//! Graphs on the interpreter, with the face and the checks of compiled programs.

use crate::error::{CompileError, RunError};
use crate::inputs::{Inputs, Slot};
use crate::report::{Memory, Report, Times};
use crate::session::Engine;
use crate::store::Store;
use latentc_ir::array::{Array, Value};
use latentc_ir::dtype::DType;
use latentc_ir::graph::{Graph, InputKind, NodeId};
use latentc_ir::interp;
use latentc_ir::ops::Op;
use latentc_ir::ops::input::Input;
use latentc_ir::plan::InputDecl;
use latentc_ir::plan::bounds::bounds;

/// A graph and what its last run gave.
pub(crate) struct Interpreter {
    graph: Graph,
    outputs: Vec<Array>,
}

impl Interpreter {
    /// The inputs that a graph declares, with the bounds that its ops put on ids.
    pub fn inputs(graph: &Graph) -> Vec<InputDecl> {
        let bounds = bounds(graph);
        let decl = |node: &NodeId| match &graph.node(*node).op {
            Op::Input(i) => {
                let (name, kind, ty) = (i.name.clone(), i.kind, i.ty.clone());
                Some(InputDecl { name, kind, ty, bound: bounds.get(node).cloned() })
            }
            _ => None,
        };
        graph.inputs().iter().filter_map(decl).collect()
    }

    /// Takes a graph whose outputs and updates are what a session can hold.
    pub fn new(graph: &Graph) -> Result<Interpreter, CompileError> {
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
        Ok(Interpreter { graph: graph.clone(), outputs: vec![] })
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
        let done = interp::run(&self.graph, &given).map_err(|e| RunError::Interpreter(e.to_string()))?;
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

/// Outputs and updates are tensors, which was checked with their types.
fn tensor(value: Value) -> Option<Array> {
    match value {
        Value::Tensor(a) => Some(a),
        _ => None,
    }
}
