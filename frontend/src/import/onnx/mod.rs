//! Models in the ONNX format as programs.
//!
//! ```no_run
//! use latentc::import::onnx::{Given, Model};
//! use latentc::{Options, Session};
//!
//! let model = Model::read("model.onnx")?;
//! let imported = model.import(&Given::default())?;
//! println!("{}", imported.graph);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What decides shapes must be known when a model is imported: the shape operand of `Reshape`, the repeats of
//! `Tile`, the trip count of a `Loop`. Where such a value comes from an input, [`Given::values`] has it, and the
//! program is one for these values; [`Imported::specialised`] names the inputs concerned. Loops, branches and recurrent
//! layers become ops with bodies where their steps have the same types; others are unrolled and chosen. Sequences and
//! optional values are taken apart, so nothing of them is left in the program.

mod body;
mod cx;
mod elem;
mod error;
mod fold;
mod import;
mod model;
mod node;
mod ops;
#[allow(missing_docs)] // the schema documents its fields
pub mod proto;
mod registry;
mod run;
mod tensor;

pub use elem::Elem;
pub use error::{ImportError, Unsupported};
pub use model::Model;
pub use registry::list as ops;
pub use run::{Data, Given, Imported, Out, Port, tensor_of};
