//! Hand schedules and micro-kernels in loop-nest form: what the planner claims where a general lowering
//! would be far from the machine's speed.
//!
//! Every schedule is a function from an op, the types of its operands and a [`Machine`] to a [`Schedule`]:
//! kernels to launch in order, which operand, result or temporary each parameter is, and the temporaries'
//! lengths. Nothing here compiles or runs; a backend does. See `ARCHITECTURE.md` of this crate.

pub mod conv;
pub mod library;
mod lists;
pub mod machine;
pub mod matmul;
pub mod schedule;
pub mod score_top_k;
pub mod segments;
pub mod sort;
pub mod tile;
pub mod top_k;

pub use conv::conv;
pub use library::Kernels;
pub use machine::Machine;
pub use schedule::{Arg, Schedule, Step, Temp};
pub use score_top_k::score_top_k;
pub use segments::segments;
pub use sort::sort;
pub use tile::{Tile, heights, row_tiles, tile_product};
pub use top_k::top_k;
