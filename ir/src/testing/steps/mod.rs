//! One way to add each op to a random graph.

mod elementwise;
mod linalg;
mod movement;
mod order;
mod reduce;
mod rows;
mod sources;

use super::builder::{Builder, Entry};
use crate::types::Shape;

/// Adds an op; `None` where it does not come off.
type Step = fn(&mut Builder<'_>) -> Option<()>;

/// Names of ops beside the way to add them. Elementwise ops are most of every program, so they stand often.
pub(super) const TABLE: &[(&str, Step)] = &[
    ("elementwise", elementwise::elementwise),
    ("elementwise", elementwise::elementwise),
    ("elementwise", elementwise::elementwise),
    ("elementwise", elementwise::elementwise),
    ("fill", sources::fill),
    ("size", sources::size),
    ("iota", sources::iota),
    ("random", sources::random),
    ("cast", elementwise::cast),
    ("bitcast", elementwise::bitcast),
    ("broadcast", movement::broadcast),
    ("reshape", movement::reshape),
    ("permute", movement::permute),
    ("slice", movement::slice),
    ("concat", movement::concat),
    ("pad", movement::pad),
    ("reverse", movement::reverse),
    ("windows", movement::windows),
    ("spread", movement::spread),
    ("fold", movement::fold),
    ("reduce", reduce::reduce),
    ("reduce", reduce::reduce),
    ("cumulative", reduce::cumulative),
    ("matmul", reduce::matmul),
    ("conv", reduce::conv),
    ("conv_transpose", reduce::conv_transpose),
    ("gather_rows", rows::gather_rows),
    ("gather_rows", rows::gather_rows),
    ("index", rows::index),
    ("index", rows::index),
    ("index_update", rows::index_update),
    ("scatter_rows", rows::scatter_rows),
    ("row_sparse", rows::row_sparse),
    ("segments", rows::segments),
    ("csr_array", rows::csr_array),
    ("spmm", rows::spmm),
    ("spmm_rows", rows::spmm_rows),
    ("sddmm", rows::sddmm),
    ("csr_degree", rows::csr_degree),
    ("top_k", order::top_k),
    ("sort", order::sort),
    ("cholesky", linalg::cholesky),
    ("triangular_solve", linalg::triangular_solve),
    ("lu", linalg::lu),
    ("qr", linalg::qr),
    ("svd", linalg::svd),
    ("eigh", linalg::eigh),
    ("pinv", linalg::pinv),
    ("score_top_k", order::score_top_k),
    ("dropout", sources::dropout),
    ("softmax", reduce::softmax),
    ("log_sum_exp", reduce::log_sum_exp),
    ("linear_log_sum_exp", reduce::linear_log_sum_exp),
    ("after", sources::after),
];

fn shape_of(b: &Builder<'_>, x: &Entry) -> Shape {
    b.graph.shape_of(x.o)
}
