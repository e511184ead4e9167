//! What is made of nothing or of random words.

use super::super::builder::{Builder, Entry};
use crate::dtype::{DType, Literal};
use crate::ops::after::After;
use crate::ops::cast::Cast;
use crate::ops::dropout::Dropout;
use crate::ops::fill::Fill;
use crate::ops::iota::Iota;
use crate::ops::random::Random;
use crate::ops::size::Size;
use crate::types::Shape;

pub(super) fn fill(b: &mut Builder<'_>) -> Option<()> {
    let dtype = b.one_of(&[b.float, b.float, DType::I32, DType::Bool]);
    let rank = b.below(3);
    let (shape, eighths) = (b.shape(rank), b.below(33) as f64 - 16.0);
    b.add(Fill { value: Literal::float(dtype, eighths / 8.0), shape }, &[])?;
    Some(())
}

/// A size as a float, as means need it.
pub(super) fn size(b: &mut Builder<'_>) -> Option<()> {
    let (dim, offset) = (b.dim(), b.below(3));
    let size = b.add(Size { dim: &dim + &offset.into() }, &[])?;
    if b.allows("cast") {
        b.add(Cast { to: b.float }, &[&size[0]])?;
    }
    Some(())
}

pub(super) fn iota(b: &mut Builder<'_>) -> Option<()> {
    let dtype = b.one_of(&[b.float, DType::I32, DType::I32, DType::I64, DType::U8]);
    let rank = 1 + b.below(3);
    let (shape, axis) = (b.shape(rank), b.below(rank));
    b.add(Iota { shape, axis, dtype }, &[])?;
    Some(())
}

/// Scalars for the seed and the step.
fn seed_and_step(b: &mut Builder<'_>) -> [Entry; 2] {
    [(); 2].map(|()| b.value(DType::I64, Shape::new()))
}

pub(super) fn random(b: &mut Builder<'_>) -> Option<()> {
    let [seed, step] = seed_and_step(b);
    let (stream, rank) = (b.below(5) as u32, b.below(3));
    let shape = b.shape(rank);
    b.add(Random { stream, shape }, &[&seed, &step])?;
    Some(())
}

pub(super) fn dropout(b: &mut Builder<'_>) -> Option<()> {
    let x = b.floats(0);
    let [seed, step] = seed_and_step(b);
    let rate = Literal::float(DType::F64, b.one_of(&[0.0, 0.1, 0.25, 0.5, 0.9]));
    let stream = b.below(5) as u32;
    b.add(Dropout { rate, stream }, &[&x, &seed, &step])?;
    Some(())
}

pub(super) fn after(b: &mut Builder<'_>) -> Option<()> {
    let (x, y) = (b.any(0), b.any(0));
    b.add(After, &[&x, &y])?;
    Some(())
}
