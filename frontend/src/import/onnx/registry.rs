//! The ops that there are, by families: a row gives the name, the versions of the operator set in which it
//! changed and that are understood, and the function that writes it.

use super::cx::R;
use super::import::Importer;
use super::node::{Node, Val};
use super::ops;

/// Writes the results of a node.
pub(super) type Write = fn(&mut Importer<'_>, &Node<'_>) -> R<Vec<Val>>;

/// An op.
pub(super) struct Row {
    /// Its name.
    pub op: &'static str,
    /// The first version of the operator set that has it in a form that is understood, and those that changed it.
    pub since: &'static [i64],
    /// Writes it.
    pub write: Write,
}

macro_rules! rows {
    ($($op:literal $since:tt $write:path;)+) => {
        pub(in crate::import::onnx) const ROWS: &[crate::import::onnx::registry::Row] = &[
            $(crate::import::onnx::registry::Row { op: $op, since: &$since, write: $write },)+
        ];
    };
}
pub(super) use rows;

/// The newest version of the standard's operator set that the tables were written against.
pub(super) const NEWEST: i64 = 27;

/// The tables of a domain.
fn tables(domain: &str) -> &'static [&'static [Row]] {
    match domain {
        "" | "ai.onnx" => ops::STANDARD,
        "ai.onnx.ml" => ops::ML,
        "ai.onnx.preview" => ops::PREVIEW,
        "ai.onnx.preview.training" => ops::TRAINING,
        _ => &[],
    }
}

/// The op of a domain in a version of its operator set.
pub(super) fn find(domain: &str, op: &str, version: i64) -> Result<&'static Row, String> {
    let named = if domain.is_empty() { op.to_owned() } else { format!("{domain}.{op}") };
    let row = tables(domain).iter().flat_map(|t| t.iter()).find(|r| r.op == op);
    match row {
        None => Err(named),
        Some(r) if r.since[0] > version => {
            Err(format!("{named} of operator set {version}, before {}", r.since[0]))
        }
        Some(r) => Ok(r),
    }
}

/// Every op by domain and name, with its versions.
pub fn list() -> impl Iterator<Item = (&'static str, &'static str, &'static [i64])> {
    ["", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training"]
        .into_iter()
        .flat_map(|domain| tables(domain).iter().flat_map(|t| t.iter()).map(move |r| (domain, r.op, r.since)))
}
