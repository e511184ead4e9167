//! The operations of the graph, one file each, and the registry that lists them.
//!
//! An op is a struct of its attributes that implements [`OpDef`]; the registry makes the enum [`Op`] of
//! them. Everything about an op stands in its file: types, reference semantics, derivative, fusion class,
//! cost, text.

use crate::array::Value;
use crate::graph::{Graph, Operand};
use crate::types::Type;
use smallvec::SmallVec;
use std::fmt;

pub mod fill;
pub mod input;

/// Types of the results of a node.
pub type Types = SmallVec<[Type; 1]>;

/// What fusion may do with an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Inputs: read from memory.
    Leaf,
    /// Element by element on operands of one shape.
    Elementwise,
    /// Moves elements: each element of the result is one element of an operand (or a constant), at a
    /// position computed from its own.
    Injective,
    /// Combines elements along axes.
    Reduce,
    /// Sums products: matrix products.
    Contract,
    /// Rows at positions given by data.
    Gather,
    /// Sums over the entries of a sparse pattern.
    Sparse,
    /// Defined by its body in simpler ops; inlined before fusion unless a kernel claims it.
    Composite,
    /// A kernel of its own.
    Opaque,
}

/// Work of a node: floating-point operations and compulsory bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// Floating-point operations.
    pub flops: crate::dim::Dim,
    /// Bytes read and written when every operand and result goes through memory once.
    pub bytes: crate::dim::Dim,
}

/// A derivative that does not exist, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nondifferentiable(pub String);

/// An error of the reference semantics on given data: what was wrong with which operand.
pub type EvalError = String;

/// A named attribute of an op in text form: everything a parser needs to build it again.
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A word: enum variants, element types, names.
    Word(String),
    /// Integers.
    Ints(Vec<i64>),
    /// Sizes.
    Dims(Vec<crate::dim::Dim>),
    /// A type.
    Type(Type),
    /// A string that may hold any character.
    Text(String),
}

/// Attributes in the order of the text form.
pub type Attrs = Vec<(&'static str, Attr)>;

/// One op: everything the compiler knows of it.
pub trait OpDef: fmt::Debug {
    /// The name in text forms.
    fn name(&self) -> &'static str;

    /// The attributes in text form; empty where it has none.
    fn attrs(&self) -> Attrs {
        vec![]
    }

    /// The types of the results, or one sentence that says what was expected and what was found.
    fn infer(&self, operands: &[Type]) -> Result<Types, String>;

    /// Reference semantics: slow, obvious. Types have been checked; data (ids) have not.
    fn eval(
        &self,
        operands: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError>;

    /// Reverse mode: from the gradients of the results (`None` where it is zero) those of the operands.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable>;

    /// What fusion may do with it.
    fn class(&self) -> Class;

    /// Work, given the types of operands and results.
    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost;

    /// Whether equal nodes may be merged and unused ones dropped.
    fn is_pure(&self) -> bool {
        true
    }

    /// Composite ops: builds the op from simpler ones on the same operands; gives one value a result.
    fn body(
        &self,
        _graph: &mut Graph,
        _operands: &[Operand],
    ) -> Option<Result<Vec<Operand>, crate::diag::Diag>> {
        None
    }
}

/// What a reverse-mode rule works with.
#[derive(Debug)]
pub struct Vjp<'g> {
    /// The graph to write into.
    pub graph: &'g mut Graph,
    /// Operands of the node.
    pub operands: &'g [Operand],
    /// Results of the node.
    pub results: &'g [Operand],
    /// Gradients of the results; `None` is zero.
    pub gradients: &'g [Option<Operand>],
    /// Which operands need a gradient; the others may be left `None`.
    pub wanted: &'g [bool],
}

macro_rules! registry {
    ($($module:ident :: $variant:ident),+ $(,)?) => {
        /// An op with its attributes.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Op {
            $(#[doc = concat!("See [`", stringify!($module), "::", stringify!($variant), "`].")]
            $variant($module::$variant),)+
        }

        impl Op {
            /// Everything about the op.
            pub fn def(&self) -> &dyn OpDef {
                match self { $(Op::$variant(op) => op,)+ }
            }
        }

        $(impl From<$module::$variant> for Op {
            fn from(op: $module::$variant) -> Op { Op::$variant(op) }
        })+
    };
}

registry! {
    input::Input,
    fill::Fill,
}
