//! What an import is given and gives.

use super::elem::Elem;
use super::error::ImportError;
use super::import;
use super::model::Model;
use super::proto::TensorProto;
use super::tensor::{self, TensorError};
use latentc_backends::Store;
use latentc_ir::array::Array;
use latentc_ir::graph::Graph;
use latentc_ir::types::Type;
use std::collections::HashMap;

/// A value that a model is given: tensors, and how they are put together.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// A tensor.
    Tensor(Array),
    /// A sequence.
    Seq(Vec<Data>),
    /// A value that may be absent.
    Opt(Option<Box<Data>>),
}

/// What is known when a model is imported.
#[derive(Clone, Debug)]
pub struct Given {
    /// Values of inputs, by name. Their sizes become those of the program.
    pub values: HashMap<String, Data>,
    /// Ranges of the sizes that the model names, both ends included.
    pub dims: HashMap<String, (i64, i64)>,
    /// The range of those that [`Given::dims`] does not have.
    pub range: (i64, i64),
}

impl Default for Given {
    fn default() -> Given {
        Given { values: HashMap::new(), dims: HashMap::new(), range: (1, 1024) }
    }
}

/// A tensor that a program takes or gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its name in the program.
    pub name: String,
    /// Its element type in the format, which may be narrower than the one that holds it.
    pub elem: Elem,
    /// Its type in the program.
    pub ty: Type,
}

/// A result of a model, by the outputs of the program that make it up.
#[derive(Clone, Debug, PartialEq)]
pub enum Out {
    /// A tensor.
    Tensor(Port),
    /// A sequence; its elements are the outputs `name.0`, `name.1`, ..
    Seq(Vec<Out>),
    /// A value that may be absent.
    Opt(Option<Box<Out>>),
}

/// A model as a program.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The program. Initialisers are its parameters.
    pub graph: Graph,
    /// The values of its parameters.
    pub store: Store,
    /// What the model takes, in order; elements of a sequence are `name.0`, `name.1`, .. The program has only
    /// those that it reads.
    pub inputs: Vec<Port>,
    /// What the model gives, in order.
    pub outputs: Vec<Out>,
    /// Inputs whose values have decided something in the program, which is right for these values alone.
    pub specialised: Vec<String>,
    /// What places in the program call the model.
    pub file: String,
    /// The text that these places are in: a line for every input and every node, loops unrolled. For
    /// [`Errors::with_text`](crate::Errors::with_text).
    pub text: String,
}

impl Model {
    /// Writes the model as a program.
    ///
    /// # Errors
    /// Everything in the model that is not supported, at once; what is wrong with it, or an input whose values
    /// have to be given, with the node.
    pub fn import(&self, given: &Given) -> Result<Imported, ImportError> {
        import::import(self, given)
    }
}

/// A tensor of a file, with its element type.
///
/// # Errors
/// What is wrong with it.
pub fn tensor_of(t: &TensorProto) -> Result<(Elem, Array), String> {
    tensor::array(t, None).map_err(|e| match e {
        TensorError::Wrong(what) => what,
        TensorError::Unsupported(elem) => format!("the type {elem} is not supported"),
    })
}
