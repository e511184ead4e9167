//! A node as the ops see it: its operands and attributes, each asked for with what is expected.

use super::cx::R;
use super::elem::Elem;
use super::error::Fault;
use super::proto::{AttributeProto, GraphProto, NodeProto};
use latentc_ir::graph::Operand;

/// A tensor of the program with its element type in the format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct T {
    /// The value.
    pub o: Operand,
    /// Its element type in the format, which may be narrower than that of the value.
    pub elem: Elem,
}

/// A value of the model.
#[derive(Clone, Debug)]
pub(super) enum Val {
    /// A tensor.
    Tensor(T),
    /// A sequence, whose length is known.
    Seq(Vec<Val>),
    /// A value that may be absent, which is known.
    Opt(Option<Box<Val>>),
    /// The result of what is not supported.
    Poison,
}

impl Val {
    /// Whether something in it is not supported.
    pub fn is_poison(&self) -> bool {
        match self {
            Val::Poison => true,
            Val::Seq(all) => all.iter().any(Val::is_poison),
            Val::Opt(Some(v)) => v.is_poison(),
            Val::Opt(None) | Val::Tensor(_) => false,
        }
    }
}

/// A node: operands, attributes, and the version of its operator set.
pub(super) struct Node<'a> {
    /// As the file has it.
    pub proto: &'a NodeProto,
    /// The version of the operator set of its domain.
    pub version: i64,
    /// Operands; `None` where one is left out.
    pub ins: Vec<Option<Val>>,
}

impl Node<'_> {
    /// The operand at a position, where there is one.
    pub fn val(&self, at: usize) -> Option<&Val> {
        self.ins.get(at).and_then(Option::as_ref)
    }

    /// A tensor of any element type, where there is one.
    pub fn any_opt(&self, at: usize) -> R<Option<T>> {
        match self.val(at) {
            None => Ok(None),
            Some(Val::Tensor(t)) => Ok(Some(*t)),
            Some(Val::Opt(Some(v))) => match **v {
                Val::Tensor(t) => Ok(Some(t)),
                _ => Err(format!("operand {at} is no tensor").into()),
            },
            Some(_) => Err(format!("operand {at} is no tensor").into()),
        }
    }

    /// A tensor of any element type.
    pub fn any(&self, at: usize) -> R<T> {
        self.any_opt(at)?.ok_or_else(|| format!("operand {at} is missing").into())
    }

    /// A tensor, where there is one.
    pub fn opt(&self, at: usize) -> R<Option<Operand>> {
        match self.any_opt(at)? {
            Some(t) if t.elem.is_tagged() => {
                Err(Fault::Unsupported(format!("{} of {}", self.proto.op_type, t.elem)))
            }
            t => Ok(t.map(|t| t.o)),
        }
    }

    /// A tensor.
    pub fn x(&self, at: usize) -> R {
        self.opt(at)?.ok_or_else(|| format!("operand {at} is missing").into())
    }

    /// Every operand as a tensor.
    pub fn all(&self) -> R<Vec<Operand>> {
        (0..self.ins.len()).map(|i| self.x(i)).collect()
    }

    /// How many results are named.
    pub fn outs(&self) -> usize {
        self.proto.output.len()
    }

    /// Whether a result is asked for.
    pub fn wants(&self, at: usize) -> bool {
        self.proto.output.get(at).is_some_and(|o| !o.is_empty())
    }

    /// An attribute, where it is given.
    pub fn attr(&self, name: &str) -> Option<&AttributeProto> {
        self.proto.attribute.iter().find(|a| a.name == name)
    }

    /// An integer.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attr(name).map_or(default, |a| a.i)
    }

    /// A truth value.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.int(name, i64::from(default)) != 0
    }

    /// A float.
    pub fn float(&self, name: &str, default: f64) -> f64 {
        // The shortest text of a binary32 is what the author of a model wrote.
        self.attr(name).map_or(default, |a| f64::from(a.f))
    }

    /// Integers, where they are given.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attr(name).map(|a| a.ints.as_slice())
    }

    /// Floats, where they are given.
    pub fn floats(&self, name: &str) -> Option<Vec<f64>> {
        self.attr(name).map(|a| a.floats.iter().map(|f| f64::from(*f)).collect())
    }

    /// A word.
    pub fn word<'s>(&'s self, name: &str, default: &'s str) -> R<&'s str> {
        match self.attr(name) {
            None => Ok(default),
            Some(a) => std::str::from_utf8(&a.s).map_err(|_| format!("attribute `{name}` is no text").into()),
        }
    }

    /// Words, where they are given.
    pub fn words(&self, name: &str) -> R<Option<Vec<&str>>> {
        let Some(a) = self.attr(name) else { return Ok(None) };
        let all: Result<Vec<&str>, _> = a.strings.iter().map(|s| std::str::from_utf8(s)).collect();
        all.map(Some).map_err(|_| format!("attribute `{name}` is no text").into())
    }

    /// A graph.
    pub fn graph(&self, name: &str) -> R<&GraphProto> {
        self.attr(name).and_then(|a| a.g.as_ref()).ok_or_else(|| format!("it has no graph `{name}`").into())
    }

    /// One of several values that an attribute may have.
    pub fn mode_unknown<X>(&self, name: &str, found: &str) -> R<X> {
        Err(Fault::Unsupported(format!("{} with {name} = {found:?}", self.proto.op_type)))
    }
}
