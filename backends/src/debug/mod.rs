//! Looking into programs: what the compiler made of them and why, as text, as a drawing and as a page; and dumps of
//! every stage.
//!
//! What is said comes from [`latentc_ir::explain`]; this module adds machine code, what the machine can do at most,
//! and the lines of the user's files.

#[cfg(feature = "llvm")]
mod code;
mod dot;
#[cfg(feature = "llvm")]
mod dump;
mod html;
mod layout;
mod limits;
mod model;
mod text;
mod units;

#[cfg(feature = "llvm")]
pub use code::{Wanted, explain};
#[cfg(feature = "llvm")]
pub use dump::{Dumped, dump};
pub use limits::{Estimate, Limit, Limits};
pub use model::Explanation;
