//! A model as it is in its file: read, checked, and looked through for what is not supported.

use super::elem::Elem;
use super::error::{ImportError, Unsupported, note};
use super::node::Val;
use super::proto::{FunctionProto, GraphProto, ModelProto, NodeProto, TypeProto, TypeValue};
use super::registry;
use bytes::Bytes;
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// A model that has been read.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) file: String,
    pub(super) folder: Option<PathBuf>,
    pub(super) proto: ModelProto,
    pub(super) opsets: HashMap<String, i64>,
}

impl Model {
    /// Reads a file. Tensors may lie in other files of its folder.
    ///
    /// # Errors
    /// Where the file cannot be read or is no model.
    pub fn read(path: impl AsRef<Path>) -> Result<Model, ImportError> {
        let path = path.as_ref();
        let bytes =
            std::fs::read(path).map_err(|source| ImportError::Io { path: path.to_owned(), source })?;
        let folder = match path.parent() {
            Some(p) if p.as_os_str().is_empty() => PathBuf::from("."),
            Some(p) => p.to_owned(),
            None => PathBuf::from("."),
        };
        let name = path.display().to_string();
        Model::from_bytes(bytes, &name, Some(&folder))
    }

    /// Reads bytes. `name` is how errors call them; `folder` is where the files are that hold tensors.
    ///
    /// # Errors
    /// Where they are no model.
    pub fn from_bytes(
        bytes: impl Into<Bytes>,
        name: &str,
        folder: Option<&Path>,
    ) -> Result<Model, ImportError> {
        let file = name.to_owned();
        let invalid = |place: &str, what: String| ImportError::Invalid {
            file: file.clone(),
            place: place.to_owned(),
            what,
            node: None,
        };
        let proto = ModelProto::decode(bytes.into())
            .map_err(|e| ImportError::Decode { file: file.clone(), what: e.to_string() })?;
        let Some(graph) = &proto.graph else {
            return Err(ImportError::Decode { file, what: "it holds no graph".to_owned() });
        };
        let mut opsets = HashMap::new();
        for o in &proto.opset_import {
            let domain = if o.domain == "ai.onnx" { "" } else { o.domain.as_str() };
            if domain.is_empty() && !(1..=registry::NEWEST).contains(&o.version) {
                let newest = registry::NEWEST;
                let what = format!("it needs operator set {}; known are 1 to {newest}", o.version);
                return Err(invalid("the model", what));
            }
            if opsets.insert(domain.to_owned(), o.version).is_some() {
                return Err(invalid("the model", format!("it imports the domain {domain:?} twice")));
            }
            if domain.is_empty() {
                opsets.insert("ai.onnx".to_owned(), o.version);
            }
        }
        if opsets.is_empty() {
            return Err(invalid("the model", "it imports no operator set".to_owned()));
        }
        let mut names: HashSet<&str> = HashSet::new();
        for input in &graph.input {
            if !names.insert(&input.name) {
                return Err(invalid("the graph", format!("two inputs are named `{}`", input.name)));
            }
        }
        names.clear();
        for output in &graph.output {
            if !names.insert(&output.name) {
                return Err(invalid("the graph", format!("two outputs are named `{}`", output.name)));
            }
        }
        if graph.output.is_empty() {
            return Err(invalid("the graph", "it has no output".to_owned()));
        }
        Ok(Model { file, folder: folder.map(Path::to_owned), proto, opsets })
    }

    /// Names of the inputs that a run has to be given, in order: those without an initialiser.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        let graph = self.graph();
        let given: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        graph.input.iter().map(|i| i.name.as_str()).filter(move |n| !given.contains(n))
    }

    /// Names of the outputs, in order.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.graph().output.iter().map(|o| o.name.as_str())
    }

    /// The declared element type of an input that is a tensor.
    pub fn input_elem(&self, name: &str) -> Option<Elem> {
        let input = self.graph().input.iter().find(|i| i.name == name)?;
        match input.r#type.as_ref()?.value.as_ref()? {
            TypeValue::Tensor(t) => Elem::from_number(t.elem_type),
            _ => None,
        }
    }

    /// The sizes of the inputs that have no number: by the names of the model, or `input.axis` where it has none.
    pub fn dims(&self) -> Vec<String> {
        let mut all: Vec<String> = vec![];
        for input in &self.graph().input {
            let Some(TypeValue::Tensor(t)) = input.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
                continue;
            };
            for (axis, d) in t.shape.iter().flat_map(|s| &s.dim).enumerate() {
                let name = super::import::dim_name(&input.name, axis, d.value.as_ref());
                all.extend(name.filter(|name| !all.contains(name)));
            }
        }
        all
    }

    /// What an input or output is, outermost first: `seq` and `opt` around tensors, nothing for a tensor; `None`
    /// where it is not declared.
    pub fn kind(&self, name: &str, input: bool) -> Option<Vec<&'static str>> {
        let graph = self.graph();
        let of = if input { &graph.input } else { &graph.output };
        let mut ty = of.iter().find(|i| i.name == name)?.r#type.as_ref()?;
        let mut kinds = vec![];
        loop {
            let inner = match ty.value.as_ref()? {
                TypeValue::Tensor(_) | TypeValue::Map(_) | TypeValue::Sparse(_) => return Some(kinds),
                TypeValue::Sequence(s) => {
                    kinds.push("seq");
                    s
                }
                TypeValue::Optional(s) => {
                    kinds.push("opt");
                    s
                }
            };
            ty = inner.elem_type.as_ref()?;
        }
    }

    pub(super) fn graph(&self) -> &GraphProto {
        match &self.proto.graph {
            Some(g) => g,
            None => unreachable!("a model without a graph is not read"),
        }
    }

    /// The function of the model that a node calls.
    pub(super) fn function(&self, node: &NodeProto) -> Option<&FunctionProto> {
        self.proto
            .functions
            .iter()
            .find(|f| f.domain == node.domain && f.name == node.op_type && f.overload == node.overload)
    }

    /// Ops and types that there is nothing for, by looking at every node and declared type.
    pub(super) fn unsupported(&self) -> Vec<Unsupported> {
        let mut list = vec![];
        self.look(self.graph(), &mut list);
        for f in &self.proto.functions {
            let mut versions = self.opsets.clone();
            versions.extend(f.opset_import.iter().map(|o| (o.domain.clone(), o.version)));
            for (at, node) in f.node.iter().enumerate() {
                self.look_at(node, at, &versions, &mut list);
            }
        }
        list
    }

    fn look(&self, graph: &GraphProto, list: &mut Vec<Unsupported>) {
        for (what, v) in
            graph.input.iter().map(|v| ("input", v)).chain(graph.output.iter().map(|v| ("output", v)))
        {
            if let Some(ty) = &v.r#type {
                look_type(ty, &format!("{what} `{}`", v.name), list);
            }
        }
        for t in &graph.initializer {
            look_elem(t.data_type, &format!("initialiser `{}`", t.name), list);
        }
        for (at, node) in graph.node.iter().enumerate() {
            self.look_at(node, at, &self.opsets, list);
        }
    }

    fn look_at(
        &self,
        node: &NodeProto,
        at: usize,
        versions: &HashMap<String, i64>,
        list: &mut Vec<Unsupported>,
    ) {
        if self.function(node).is_none() {
            let version = versions.get(&node.domain).copied().unwrap_or(i64::MAX);
            if let Err(what) = registry::find(&node.domain, &node.op_type, version) {
                note(list, format!("op {what}"), node_place(node, at));
            }
        }
        for a in &node.attribute {
            if let Some(t) = &a.t {
                look_elem(t.data_type, &node_place(node, at), list);
            }
            for g in a.g.iter().chain(&a.graphs) {
                self.look(g, list);
            }
        }
    }
}

fn look_elem(number: i32, place: &str, list: &mut Vec<Unsupported>) {
    if let Some(e) = Elem::from_number(number)
        && e.dtype().is_none()
    {
        note(list, format!("type {e}"), place.to_owned());
    }
}

fn look_type(ty: &TypeProto, place: &str, list: &mut Vec<Unsupported>) {
    match &ty.value {
        Some(TypeValue::Tensor(t)) => look_elem(t.elem_type, place, list),
        Some(TypeValue::Sequence(s) | TypeValue::Optional(s)) => {
            if let Some(ty) = &s.elem_type {
                look_type(ty, place, list);
            }
        }
        Some(TypeValue::Map(_)) => note(list, "maps".to_owned(), place.to_owned()),
        Some(TypeValue::Sparse(_)) => {
            note(list, "sparse tensors as inputs and outputs".to_owned(), place.to_owned())
        }
        None => {}
    }
}

/// How a node is called in messages.
pub(super) fn node_place(node: &NodeProto, at: usize) -> String {
    match (node.name.as_str(), node.output.iter().find(|o| !o.is_empty())) {
        ("", Some(o)) => format!("node {at} ({}, which makes `{o}`)", node.op_type),
        ("", None) => format!("node {at} ({})", node.op_type),
        (name, _) => format!("node {at} `{name}` ({})", node.op_type),
    }
}

/// A node of a function with the attributes of the call in place of the references to them.
pub(super) fn with_attributes(
    node: &NodeProto,
    f: &FunctionProto,
    call: &NodeProto,
    scope: &HashMap<String, Val>,
) -> NodeProto {
    let mut node = node.clone();
    let mut kept = vec![];
    for mut a in std::mem::take(&mut node.attribute) {
        if !a.ref_attr_name.is_empty() {
            let by_call = call.attribute.iter().find(|c| c.name == a.ref_attr_name);
            let default = || f.attribute_proto.iter().find(|c| c.name == a.ref_attr_name);
            let Some(found) = by_call.or_else(default) else { continue };
            let name = std::mem::take(&mut a.name);
            a = found.clone();
            a.name = name;
        }
        for g in a.g.iter_mut().chain(&mut a.graphs) {
            for n in &mut g.node {
                *n = with_attributes(n, f, call, scope);
            }
        }
        kept.push(a);
    }
    node.attribute = kept;
    // An operand that the call leaves out is one that the node leaves out.
    for i in &mut node.input {
        if f.input.contains(i) && !scope.contains_key(i) {
            i.clear();
        }
    }
    node
}
