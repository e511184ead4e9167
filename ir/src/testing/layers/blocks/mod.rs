//! One way to add each block to a program.

mod elementwise;
mod movement;
mod rows;
mod sums;
mod systems;

use super::make::Make;
use crate::dim::Dim;
use crate::types::Shape;

/// Adds a block; `None` where it does not come off.
type Block = fn(&mut Make) -> Option<()>;

pub(super) const TABLE: &[Block] = &[
    elementwise::unary,
    elementwise::unary,
    elementwise::binary,
    elementwise::binary,
    elementwise::choose,
    sums::statistic,
    sums::statistic,
    elementwise::over_row,
    elementwise::over_rows,
    elementwise::over_all,
    sums::product_,
    sums::product_,
    sums::outer,
    sums::column_sums,
    sums::column_sums,
    sums::total,
    rows::sparse,
    rows::sparse,
    rows::sparse_rows,
    rows::weighted,
    rows::gather,
    rows::gather,
    rows::scatter,
    rows::degree,
    elementwise::dropout,
    sums::softmax,
    sums::log_sum_exp,
    movement::join,
    movement::slice,
    movement::pad,
    movement::split,
    movement::merge,
    movement::permute,
    sums::norm,
    movement::repeat,
    sums::batched,
    elementwise::wide,
    elementwise::numbers,
    systems::ngcf,
    systems::propagate,
    systems::score,
];

fn shape(dims: impl IntoIterator<Item = Dim>) -> Shape {
    dims.into_iter().collect()
}
