//! Looking into programs: what the compiler made of them and why, as text, as a drawing and as a page; and dumps of
//! every stage.
//!
//! What is said comes from [`latentc_ir::explain`]; this module adds machine code, what the machine can do at most,
//! and the lines of the user's files.

mod code;
mod dot;
mod dump;
mod html;
mod layout;
mod limits;
mod model;
mod text;
mod units;

pub use code::{Wanted, explain};
pub(crate) use dump::dump_plan;
pub use dump::{Dumped, dump};
pub use limits::{Estimate, Limit, Limits};
pub use model::Explanation;
