//! What depends on which of several numbers is greater.

use super::super::builder::{Builder, apart, elements};
use super::shape_of;
use crate::array::Value;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::ops::score_top_k::ScoreTopK;
use crate::ops::sort::Sort;
use crate::ops::top_k::TopK;
use crate::types::{Shape, Type};

pub(super) fn top_k(b: &mut Builder<'_>) -> Option<()> {
    let sized = |t: &Type| {
        let t = t.as_tensor();
        t.is_some_and(|t| t.dtype != DType::Bool && t.shape.last().is_some_and(|d| d.lower() > 0))
    };
    let x = b.pick(sized)?;
    let width = shape_of(b, &x).last()?.clone();
    let k = 1 + b.below(width.lower() as usize);
    let size = b.size(&width);
    (x.exact || elements(&x).chunks(size.max(1)).all(ranks_are_certain)).then_some(())?;
    b.add(TopK { k }, &[&x])?;
    Some(())
}

pub(super) fn sort(b: &mut Builder<'_>) -> Option<()> {
    let rows = |t: &Type| t.as_tensor().is_some_and(|t| t.rank() > 0 && t.dtype != DType::Bool);
    let x = b.pick(rows)?;
    let width = shape_of(b, &x).last()?.clone();
    let size = b.size(&width);
    (x.exact || elements(&x).chunks(size.max(1)).all(ranks_are_certain)).then_some(())?;
    let descending = b.one_in(2);
    b.add(Sort { descending }, &[&x])?;
    Some(())
}

fn ranks_are_certain(row: &[f64]) -> bool {
    let mut sorted = row.to_vec();
    sorted.sort_by(f64::total_cmp);
    apart(sorted.windows(2).map(|w| (w[0], w[1])))
}

pub(super) fn score_top_k(b: &mut Builder<'_>) -> Option<()> {
    (b.float == DType::F32).then_some(())?;
    let seen = b.pattern();
    let ty = b.graph.csr(seen.o).clone();
    let (queries, width) = (b.dim(), Dim::from(b.one_of(&[1usize, 2, 3, 8])));
    // Ranks hang on few scores only where there are few items.
    (b.size(&ty.cols) <= 16).then_some(())?;
    let q = b.value(DType::F32, Shape::from_iter([queries.clone(), width.clone()]));
    let items = b.value(DType::F32, Shape::from_iter([ty.cols.clone(), width]));
    let users = b.ids(Shape::from_iter([queries]), &ty.rows)?;
    let (n, d) = (b.size(&ty.cols), elements(&items).len() / b.size(&ty.cols).max(1));
    let (qs, is) = (elements(&q), elements(&items));
    for query in qs.chunks(d.max(1)) {
        let dot = |i: usize| query.iter().zip(&is[i * d..]).map(|(a, b)| a * b).sum::<f64>();
        ranks_are_certain(&(0..n).map(dot).collect::<Vec<_>>()).then_some(())?;
    }
    let k = 1 + b.below(9);
    let full = matches!(&seen.value, Value::Csr(c) if (0..c.rows).all(|r| c.row(r).len() + k <= c.cols));
    if !full {
        // A list that ends early holds -inf, which no later op should meet: an output of its own.
        b.add_alone(ScoreTopK { k }, &[&q, &items, &seen, &users])?;
        return Some(());
    }
    b.add(ScoreTopK { k }, &[&q, &items, &seen, &users])?;
    Some(())
}
