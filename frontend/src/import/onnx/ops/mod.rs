//! The tables of ops, one file a family.

mod activation;
mod attention;
mod cast;
mod control;
mod conv;
mod elementwise;
mod gather;
mod generate;
mod image;
mod loss;
mod movement;
mod norm;
mod pool;
mod product;
mod reduce;
mod rnn;
mod sequence;
mod shape;
mod signal;
mod softmax;
mod training;

use super::registry::Row;

/// The operator set of the standard.
pub(super) const STANDARD: &[&[Row]] = &[
    elementwise::ROWS,
    activation::ROWS,
    cast::ROWS,
    reduce::ROWS,
    movement::ROWS,
    shape::ROWS,
    generate::ROWS,
    gather::ROWS,
    product::ROWS,
    softmax::ROWS,
    norm::ROWS,
    pool::ROWS,
    conv::ROWS,
    image::ROWS,
    signal::ROWS,
    loss::ROWS,
    attention::ROWS,
    rnn::ROWS,
    control::ROWS,
    sequence::ROWS,
];

/// The domain `ai.onnx.ml`.
pub(super) const ML: &[&[Row]] = &[];

/// The domain `ai.onnx.preview`.
pub(super) const PREVIEW: &[&[Row]] = &[attention::PREVIEW];

/// The domain `ai.onnx.preview.training`.
pub(super) const TRAINING: &[&[Row]] = &[training::ROWS];
