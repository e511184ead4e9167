//! What can be wrong with a model, with its file, node and tensor.

use std::path::PathBuf;

/// Why a model could not be read or turned into a program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Bytes that are no model.
    #[error("{file}: this is no ONNX model, or a damaged one: {what}")]
    Decode {
        /// The file.
        file: String,
        /// What the decoder met.
        what: String,
    },
    /// A model that contradicts itself or the format.
    #[error("{file}: {place}: {what}{}", excerpt(node))]
    Invalid {
        /// The file.
        file: String,
        /// The node or tensor.
        place: String,
        /// What was found and what is expected.
        what: String,
        /// The node with the types of its operands, where it is one.
        node: Option<String>,
    },
    /// Everything in the model that there is nothing for.
    #[error("{file} uses what is not supported:\n{}", lines(list))]
    Unsupported {
        /// The file.
        file: String,
        /// Ops, types and modes.
        list: Vec<Unsupported>,
    },
    /// A size or a choice that depends on the values of an input that is not given.
    #[error(
        "{file}: {place}: {what} depends on the values of input `{input}`; give them (`latentc run` takes them from --inputs){}",
        excerpt(node)
    )]
    NeedsValue {
        /// The file.
        file: String,
        /// The node.
        place: String,
        /// What has to be known.
        what: String,
        /// The input.
        input: String,
        /// The node with the types of its operands, where it is one.
        node: Option<String>,
    },
}

fn excerpt(node: &Option<String>) -> String {
    node.as_ref().map_or(String::new(), |node| format!("\n  | {node}"))
}

/// One thing that is not supported, and where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The op, type or mode.
    pub what: String,
    /// The nodes or tensors that use it, the first few.
    pub places: Vec<String>,
    /// How many there are in all.
    pub count: usize,
}

/// How many places of one kind are named.
const NAMED: usize = 4;

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.places.join(", "))?;
        match self.count - self.places.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

fn lines(list: &[Unsupported]) -> String {
    list.iter().map(|u| format!("  {u}")).collect::<Vec<_>>().join("\n")
}

/// Adds a place to the list.
pub(super) fn note(list: &mut Vec<Unsupported>, what: String, place: String) {
    let at = match list.iter().position(|u| u.what == what) {
        Some(at) => at,
        None => {
            list.push(Unsupported { what, places: vec![], count: 0 });
            list.len() - 1
        }
    };
    let entry = &mut list[at];
    entry.count += 1;
    if entry.places.len() < NAMED {
        entry.places.push(place);
    }
}

/// What stops the translation of a node.
#[derive(Debug)]
pub(super) enum Fault {
    /// The model is wrong.
    Wrong(String),
    /// There is nothing for it.
    Unsupported(String),
    /// An input's values have to be known.
    Needs(String),
}

impl From<String> for Fault {
    fn from(what: String) -> Fault {
        Fault::Wrong(what)
    }
}

impl From<&str> for Fault {
    fn from(what: &str) -> Fault {
        Fault::Wrong(what.to_owned())
    }
}

impl From<latentc_ir::diag::Diag> for Fault {
    fn from(diag: latentc_ir::diag::Diag) -> Fault {
        Fault::Wrong(diag.message)
    }
}
