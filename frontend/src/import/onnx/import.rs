//! From a model to a program: values by name, nodes in order, graphs within graphs.

use super::cx::{Cx, R};
use super::elem::Elem;
use super::error::{Fault, ImportError, Unsupported, note};
use super::model::{Model, node_place};
use super::node::{Node, T, Val};
use super::proto::{
    DimensionValue, GraphProto, NodeProto, TensorProto, TypeProto, TypeValue, ValueInfoProto,
};
use super::tensor::{self, TensorError};
use super::{Data, Given, Imported, Out, Port, registry};
use latentc_ir::array::Array;
use latentc_ir::diag::Span;
use latentc_ir::dim::Dim;
use latentc_ir::graph::{InputKind, Operand};
use latentc_ir::types::{Shape, Type};
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

/// Nodes that a model may become, loops unrolled and functions written out.
const MOST_NODES: usize = 2_000_000;
/// Depth of graphs within graphs and functions within functions.
const DEEPEST: usize = 64;

/// A model on its way into a program.
pub(super) struct Importer<'m> {
    cx: Cx,
    model: &'m Model,
    /// Values by name, inner graphs last.
    scopes: Vec<HashMap<String, Val>>,
    /// Where the scopes begin that a function may see.
    floor: usize,
    /// Versions of operator sets by domain, those of the function being written last.
    opsets: Vec<HashMap<String, i64>>,
    list: Vec<Unsupported>,
    written: usize,
    place: String,
    /// The model as text, a line for every input and every node as it was written: what places are in.
    lines: Vec<String>,
    inputs: Vec<Port>,
    given: &'m Given,
}

impl Deref for Importer<'_> {
    type Target = Cx;
    fn deref(&self) -> &Cx {
        &self.cx
    }
}

impl DerefMut for Importer<'_> {
    fn deref_mut(&mut self) -> &mut Cx {
        &mut self.cx
    }
}

/// Writes a model as a program.
pub(super) fn import(model: &Model, given: &Given) -> Result<Imported, ImportError> {
    let list = model.unsupported();
    if !list.is_empty() {
        return Err(ImportError::Unsupported { file: model.file.clone(), list });
    }
    let graph = model.graph();
    let mut im = Importer {
        cx: Cx::new(if graph.name.is_empty() { "model" } else { &graph.name }),
        model,
        scopes: vec![HashMap::new()],
        floor: 0,
        opsets: vec![model.opsets.clone()],
        list: vec![],
        written: 0,
        place: "the graph".to_owned(),
        lines: vec![],
        inputs: vec![],
        given,
    };
    match im.whole(graph) {
        Ok(outputs) if im.list.is_empty() => {
            // What stood for the steps of loops stands in their bodies now.
            let stand_ins = std::mem::take(&mut im.cx.stand_ins);
            im.cx.graph.discard(&stand_ins);
            im.cx.graph.remove_dead();
            let Importer { cx, inputs, lines, .. } = im;
            let store = cx.params.into_iter().filter(|(name, _)| cx.graph.input(name).is_some()).collect();
            Ok(Imported {
                graph: cx.graph,
                store,
                inputs,
                outputs,
                specialised: cx.used.into_iter().collect(),
                file: model.file.clone(),
                text: lines.join("\n"),
            })
        }
        Ok(_) => Err(ImportError::Unsupported { file: model.file.clone(), list: im.list }),
        Err(fault) => Err(im.error(fault)),
    }
}

/// How far an importer is, beside its graph.
pub(super) struct Mark {
    /// What has been found not to be supported.
    pub noted: usize,
    stand_ins: usize,
    place: String,
    span: Span,
}

impl<'m> Importer<'m> {
    /// How far it is.
    pub fn mark(&self) -> Mark {
        Mark {
            noted: self.list.len(),
            stand_ins: self.stand_ins.len(),
            place: self.place.clone(),
            span: self.span.clone(),
        }
    }

    /// Goes back to where it was.
    pub fn back_to(&mut self, mark: Mark) {
        self.list.truncate(mark.noted);
        self.stand_ins.truncate(mark.stand_ins);
        self.place = mark.place;
        self.span = mark.span;
    }

    fn error(&mut self, fault: Fault) -> ImportError {
        let (file, place) = (self.model.file.clone(), self.place.clone());
        // Of the line that was written last, where it is one of nodes.
        let node = self.place.starts_with("node").then(|| self.lines.last().cloned()).flatten();
        match fault {
            Fault::Wrong(what) => ImportError::Invalid { file, place, what, node },
            Fault::Needs(input) => {
                let what = "what it does".to_owned();
                ImportError::NeedsValue { file, place, what, input, node }
            }
            Fault::Unsupported(what) => {
                note(&mut self.list, what, place);
                ImportError::Unsupported { file, list: std::mem::take(&mut self.list) }
            }
        }
    }

    fn whole(&mut self, graph: &'m GraphProto) -> R<Vec<Out>> {
        self.constants(graph)?;
        for input in &graph.input {
            if self.scopes[0].contains_key(&input.name) {
                continue; // an initialiser that may be replaced
            }
            self.place = format!("input `{}`", input.name);
            let given = self.given.values.get(&input.name);
            let ty = input.r#type.as_ref().ok_or("it has no type")?;
            let val = self.declare(&input.name, ty, given)?;
            self.scopes[0].insert(input.name.clone(), val);
        }
        self.nodes(&graph.node)?;
        let mut outputs = vec![];
        for output in &graph.output {
            self.place = format!("output `{}`", output.name);
            let val = self.lookup(&output.name)?;
            let elem = declared_elem(output);
            outputs.push(self.give(&output.name, &val, elem)?);
        }
        Ok(outputs)
    }

    /// Declares an input, by its type and, where they are given, its elements.
    fn declare(&mut self, name: &str, ty: &TypeProto, given: Option<&Data>) -> R<Val> {
        match (&ty.value, given) {
            (Some(TypeValue::Tensor(t)), given) => {
                let elem = tensor::elem(t.elem_type).map_err(wrong)?;
                let dtype = elem.dtype().ok_or_else(|| Fault::Unsupported(format!("the type {elem}")))?;
                let array = match given {
                    None => None,
                    Some(Data::Tensor(a)) => Some(a),
                    Some(_) => return Err("it is a tensor, another kind of value is given".into()),
                };
                let mut shape = Shape::new();
                match (&t.shape, array) {
                    (Some(s), _) => {
                        for (i, d) in s.dim.iter().enumerate() {
                            shape.push(self.declared_size(name, i, d.value.as_ref())?);
                        }
                    }
                    (None, Some(a)) => shape = a.shape().iter().map(|n| Dim::from(*n)).collect(),
                    (None, None) => {
                        return Err("its shape is not declared; give its elements".into());
                    }
                }
                if let Some(a) = array {
                    let fits = a.dtype() == dtype
                        && a.shape().len() == shape.len()
                        && shape
                            .iter()
                            .zip(a.shape())
                            .all(|(d, n)| d.as_const().is_none_or(|d| d == *n as i64));
                    if !fits {
                        let sizes = latentc_ir::types::shape_text(&shape);
                        return Err(format!(
                            "it is declared as {dtype}{sizes}, {}{:?} was given",
                            a.dtype(),
                            a.shape()
                        )
                        .into());
                    }
                    shape = a.shape().iter().map(|n| Dim::from(*n)).collect();
                    self.known.insert(name.to_owned(), a.clone());
                }
                let ty = Type::tensor(dtype, shape);
                self.line(format!("input {name}: {ty}"));
                let o = self.input(name, InputKind::Data, ty);
                self.inputs.push(Port { name: name.to_owned(), elem, ty: self.graph.type_of(o).clone() });
                Ok(Val::Tensor(T { o, elem }))
            }
            (Some(TypeValue::Sequence(s)), Some(Data::Seq(all))) => {
                let ty = s.elem_type.as_ref().ok_or("its elements have no type")?;
                let one = |(i, d): (usize, &Data)| self.declare(&format!("{name}.{i}"), ty, Some(d));
                Ok(Val::Seq(all.iter().enumerate().map(one).collect::<R<_>>()?))
            }
            (Some(TypeValue::Optional(s)), Some(Data::Opt(inner))) => match inner {
                None => Ok(Val::Opt(None)),
                Some(d) => {
                    let ty = s.elem_type.as_ref().ok_or("it has no type")?;
                    Ok(Val::Opt(Some(Box::new(self.declare(name, ty, Some(d))?))))
                }
            },
            (Some(TypeValue::Optional(s)), Some(d)) => {
                let ty = s.elem_type.as_ref().ok_or("it has no type")?;
                Ok(Val::Opt(Some(Box::new(self.declare(name, ty, Some(d))?))))
            }
            (Some(TypeValue::Sequence(_) | TypeValue::Optional(_)), None) => {
                Err(Fault::Needs(name.to_owned()))
            }
            (Some(TypeValue::Sequence(_)), Some(_)) => {
                Err("it is a sequence, another kind of value is given".into())
            }
            _ => Err(Fault::Unsupported("a map or a sparse tensor as input".to_owned())),
        }
    }

    /// A size of an input: a number, or a symbol with the range that was asked for.
    fn declared_size(&mut self, input: &str, axis: usize, value: Option<&DimensionValue>) -> R<Dim> {
        let name = match (dim_name(input, axis, value), value) {
            (None, Some(DimensionValue::Value(n))) if *n < 0 => {
                return Err(format!("axis {axis} has size {n}").into());
            }
            (None, Some(DimensionValue::Value(n))) => return Ok(Dim::constant(*n)),
            (name, _) => name.unwrap_or_default(),
        };
        let (lo, hi) = self.given.dims.get(&name).copied().unwrap_or(self.given.range);
        // Names in files may hold what the text of a graph could not read back.
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
        let name = if name.starts_with(|c: char| c.is_ascii_digit()) { format!("d{name}") } else { name };
        Ok(Dim::symbol(name, lo, hi))
    }

    /// Initialisers as values of the innermost scope.
    fn constants(&mut self, graph: &GraphProto) -> R<()> {
        for t in &graph.initializer {
            self.place = format!("initialiser `{}`", t.name);
            let val = self.tensor(&t.name, t)?;
            self.insert(&t.name, val)?;
        }
        for s in &graph.sparse_initializer {
            let name = s.values.as_ref().map(|v| v.name.clone()).unwrap_or_default();
            self.place = format!("initialiser `{name}`");
            let (elem, array) = tensor::dense(s, self.model.folder.as_deref()).map_err(wrong)?;
            let o = self.constant(&name, array);
            self.insert(&name, Val::Tensor(T { o, elem }))?;
        }
        Ok(())
    }

    /// A tensor of the file as a value.
    pub fn tensor(&mut self, name: &str, t: &TensorProto) -> R<Val> {
        let (elem, array) = self.array(t)?;
        let o = self.constant(if name.is_empty() { "constant" } else { name }, array);
        Ok(Val::Tensor(T { o, elem }))
    }

    /// A tensor of the file.
    pub fn array(&mut self, t: &TensorProto) -> R<(Elem, Array)> {
        tensor::array(t, self.model.folder.as_deref()).map_err(wrong)
    }

    /// A sparse tensor of the file.
    pub fn sparse(&mut self, t: &super::proto::SparseTensorProto) -> R<(Elem, Array)> {
        tensor::dense(t, self.model.folder.as_deref()).map_err(wrong)
    }

    fn insert(&mut self, name: &str, val: Val) -> R<()> {
        if name.is_empty() {
            return Ok(());
        }
        match self.scopes.last_mut() {
            Some(scope) if scope.contains_key(name) => {
                Err(format!("the name `{name}` is given twice").into())
            }
            Some(scope) => {
                scope.insert(name.to_owned(), val);
                Ok(())
            }
            None => unreachable!("there is always a scope"),
        }
    }

    fn lookup(&self, name: &str) -> R<Val> {
        let found = self.scopes[self.floor..].iter().rev().find_map(|s| s.get(name));
        found.cloned().ok_or_else(|| {
            format!("nothing before it makes `{name}`: the nodes are in a cycle or out of order, or the name is wrong")
                .into()
        })
    }

    /// Writes nodes in their order.
    fn nodes(&mut self, nodes: &[NodeProto]) -> R<()> {
        for (at, proto) in nodes.iter().enumerate() {
            self.written += 1;
            if self.written > MOST_NODES || self.graph.len() > MOST_NODES {
                return Err(format!("the model becomes more than {MOST_NODES} nodes").into());
            }
            let before = std::mem::replace(&mut self.place, node_place(proto, at));
            self.line(self.node_text(proto, None));
            let mut ins = vec![];
            for name in &proto.input {
                ins.push(if name.is_empty() { None } else { Some(self.lookup(name)?) });
            }
            let typed = self.node_text(proto, Some(&ins));
            self.lines.pop();
            self.line(typed);
            let poison = ins.iter().flatten().any(Val::is_poison);
            let outs = if poison { Ok(vec![]) } else { self.node(proto, ins) };
            let outs = match outs {
                Err(Fault::Unsupported(what)) => {
                    let place = self.place.clone();
                    note(&mut self.list, what, place);
                    vec![]
                }
                other => other?,
            };
            let mut outs = outs.into_iter();
            for name in &proto.output {
                let val = outs.next().unwrap_or(Val::Poison);
                if val.is_poison() && !poison && self.list.is_empty() && !name.is_empty() {
                    return Err(Fault::Unsupported(format!("the result `{name}` of {}", proto.op_type)));
                }
                self.insert(name, val)?;
            }
            self.place = before;
        }
        Ok(())
    }

    /// Adds a line to the text of the model; what is made from here on was written there.
    fn line(&mut self, text: String) {
        self.lines.push(text);
        self.span = Span { file: self.model.file.as_str().into(), line: self.lines.len() as u32, column: 1 };
    }

    /// A node as text, with the types of its operands where they are known.
    fn node_text(&self, proto: &NodeProto, ins: Option<&[Option<Val>]>) -> String {
        let operand = |(i, name): (usize, &String)| match ins.and_then(|ins| ins[i].as_ref()) {
            Some(Val::Tensor(t)) => format!("{name}: {}", self.graph.type_of(t.o)),
            Some(Val::Seq(all)) => format!("{name}: {} elements", all.len()),
            _ if name.is_empty() => "-".to_owned(),
            _ => name.clone(),
        };
        let operands: Vec<String> = proto.input.iter().enumerate().map(operand).collect();
        let results: Vec<&str> = proto.output.iter().map(String::as_str).collect();
        format!("{} = {}({})", results.join(", "), proto.op_type, operands.join(", "))
    }

    fn node(&mut self, proto: &NodeProto, ins: Vec<Option<Val>>) -> R<Vec<Val>> {
        let model = self.model;
        if let Some(f) = model.function(proto) {
            return self.call(f, proto, ins);
        }
        let opsets = self.opsets.last();
        let version = opsets.and_then(|o| o.get(proto.domain.as_str())).copied();
        let version =
            version.ok_or_else(|| format!("no operator set of the domain {:?} is imported", proto.domain))?;
        let row = registry::find(&proto.domain, &proto.op_type, version).map_err(Fault::Unsupported)?;
        (row.write)(self, &Node { proto, version, ins })
    }

    /// Writes the nodes of a function of the model.
    fn call(
        &mut self,
        f: &'m super::proto::FunctionProto,
        call: &NodeProto,
        ins: Vec<Option<Val>>,
    ) -> R<Vec<Val>> {
        if self.opsets.len() > DEEPEST {
            return Err(format!("functions call each other {DEEPEST} deep").into());
        }
        if ins.len() > f.input.len() {
            return Err(format!("{} operands for the {} of the function", ins.len(), f.input.len()).into());
        }
        let mut scope = HashMap::new();
        for (name, val) in f.input.iter().zip(ins) {
            if let Some(val) = val {
                scope.insert(name.clone(), val);
            }
        }
        let mut versions: HashMap<String, i64> =
            f.opset_import.iter().map(|o| (o.domain.clone(), o.version)).collect();
        if let (Some(v), None) = (self.model.opsets.get(""), versions.get("")) {
            versions.insert(String::new(), *v);
        }
        let nodes: Vec<NodeProto> =
            f.node.iter().map(|n| super::model::with_attributes(n, f, call, &scope)).collect();
        let floor = std::mem::replace(&mut self.floor, self.scopes.len());
        self.scopes.push(scope);
        self.opsets.push(versions);
        let place = self.place.clone();
        let result = self
            .nodes(&nodes)
            .and_then(|()| f.output.iter().map(|o| self.lookup(o)).collect::<R<Vec<Val>>>());
        if result.is_ok() {
            self.place = place;
        }
        self.opsets.pop();
        self.scopes.pop();
        self.floor = floor;
        result
    }

    /// Writes a graph within the graph on these inputs; gives its outputs.
    pub fn inner(&mut self, graph: &GraphProto, ins: Vec<Val>) -> R<Vec<Val>> {
        if self.scopes.len() > DEEPEST {
            return Err(format!("graphs lie within each other {DEEPEST} deep").into());
        }
        if ins.len() > graph.input.len() {
            return Err(
                format!("{} values for the {} inputs of its graph", ins.len(), graph.input.len()).into()
            );
        }
        let scope = graph.input.iter().map(|i| i.name.clone()).zip(ins).collect();
        self.scopes.push(scope);
        let place = self.place.clone();
        let result = self.inner_nodes(graph);
        if result.is_ok() {
            self.place = place;
        }
        self.scopes.pop();
        result
    }

    fn inner_nodes(&mut self, graph: &GraphProto) -> R<Vec<Val>> {
        self.constants(graph)?;
        self.nodes(&graph.node)?;
        graph.output.iter().map(|o| self.lookup(&o.name)).collect()
    }

    /// Names a result of the program.
    fn give(&mut self, name: &str, val: &Val, declared: Option<Elem>) -> R<Out> {
        Ok(match val {
            Val::Tensor(t) => {
                let elem = declared.filter(|d| d.dtype() == Some(self.dtype(t.o))).unwrap_or(t.elem);
                self.cx.graph.outputs.push((name.to_owned(), t.o));
                Out::Tensor(Port { name: name.to_owned(), elem, ty: self.graph.type_of(t.o).clone() })
            }
            Val::Seq(all) => {
                let each = |(i, v): (usize, &Val)| self.give(&format!("{name}.{i}"), v, None);
                Out::Seq(all.iter().enumerate().map(each).collect::<R<_>>()?)
            }
            Val::Opt(None) => Out::Opt(None),
            Val::Opt(Some(v)) => Out::Opt(Some(Box::new(self.give(name, v, None)?))),
            Val::Poison => Out::Opt(None), // the list of what is not supported is not empty
        })
    }

    /// A value in the element type that holds it.
    pub fn t(&self, o: Operand) -> Val {
        Val::Tensor(T { o, elem: self.elem(o) })
    }

    /// One result.
    pub fn one(&self, o: Operand) -> R<Vec<Val>> {
        Ok(vec![self.t(o)])
    }
}

/// What a size of an input is called, where it is no number.
pub(super) fn dim_name(input: &str, axis: usize, value: Option<&DimensionValue>) -> Option<String> {
    match value {
        Some(DimensionValue::Value(_)) => None,
        Some(DimensionValue::Param(p)) if !p.is_empty() => Some(p.clone()),
        _ => Some(format!("{input}.{axis}")),
    }
}

/// The element type that an output is declared with.
fn declared_elem(v: &ValueInfoProto) -> Option<Elem> {
    match v.r#type.as_ref()?.value.as_ref()? {
        TypeValue::Tensor(t) => Elem::from_number(t.elem_type),
        _ => None,
    }
}

fn wrong(e: TensorError) -> Fault {
    match e {
        TensorError::Wrong(what) => Fault::Wrong(what),
        TensorError::Unsupported(elem) => Fault::Unsupported(format!("the type {elem}")),
    }
}
