//! Random data and random graphs for tests, and how results are compared (feature `testing`).
//!
//! * [`size`], [`shape`], [`array()`], [`ids`]: proptest strategies of dense values, at the sizes where code
//!   breaks: 0, 1, primes, and one beside each vector width.
//! * [`pattern`], [`symmetric_pattern`]: sparse patterns with empty rows and hubs.
//! * [`graphs`]: whole small graphs over all ops with values for their inputs, whose results are finite and
//!   do not hang on a rounding error; [`RandomGraph::with_gradients`] adds reverse mode.
//! * [`controls`]: small graphs with loops and branches.
//! * [`layers`], [`training`], [`kept()`]: programs as recommenders are made of, larger; programs that learn; values that
//!   are kept from run to run.
//! * [`Given`], [`inputs_for`]: values for the inputs of any graph.
//! * [`cases`], [`typed_cases`]: every op on small operands, of every type it takes; [`beside`]: graphs as one.
//! * [`random_schedules`]: other decisions about kernels than the usual ones.
//! * [`compare`]: results against expected ones, with a [`Tolerance`].
//! * [`unguarded`]: accesses of a checked plan at positions that nobody has looked at.
//! * [`in_f64`]: the same graph in f64, for the error that a format itself costs.
//! * [`Coverage`]: what programs were made of.
//!
//! A property that holds for compiled code reads: for any graph of [`graphs`], its results compare equal to
//! those of [`RandomGraph::run`].

mod builder;
mod cases;
mod compare;
mod control;
mod coverage;
mod given;
mod graphs;
mod guarded;
mod kept;
mod layers;
mod reduced;
mod schedules;
mod sparse;
mod steps;
mod values;
mod widen;

pub use cases::{Case, beside, cases, recurrence, type_of, typed_cases};
pub use compare::{Mismatch, Nan, Tolerance, compare, compare_all};
pub use control::controls;
pub use coverage::{CIRCUMSTANCES, Coverage, op_name};
pub use given::{Given, GivenError, inputs_for, symbols};
pub use graphs::{Options, RandomGraph, graphs};
pub use guarded::unguarded;
pub use kept::kept;
pub use layers::{layers, training, wild_layers};
pub use schedules::random_schedules;
pub use sparse::{pattern, random_pattern, symmetric_pattern};
pub use values::{array, ids, random_array, random_ids, shape, size, wild};
pub use widen::in_f64;
