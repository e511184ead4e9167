//! Elements at other places.

use super::super::builder::{Builder, Entry};
use super::shape_of;
use crate::dim::Dim;
use crate::dtype::{DType, Literal};
use crate::ops::Axes;
use crate::ops::broadcast::Broadcast;
use crate::ops::concat::Concat;
use crate::ops::fold::Fold;
use crate::ops::pad::Pad;
use crate::ops::permute::Permute;
use crate::ops::reshape::Reshape;
use crate::ops::reverse::Reverse;
use crate::ops::slice::Slice;
use crate::ops::spread::Spread;
use crate::ops::windows::{Window, Windows};
use crate::types::{Shape, Type, product};

pub(super) fn broadcast(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(0);
    let (mut shape, mut axes) = (Shape::new(), Axes::new());
    for dim in shape_of(b, &x) {
        while shape.len() < 3 && b.one_in(3) {
            shape.push(b.dim());
        }
        axes.push(shape.len());
        shape.push(dim);
    }
    while shape.len() < 4 && (b.one_in(3) || axes.len() == shape.len()) {
        shape.push(b.dim());
    }
    b.add(Broadcast { shape, axes }, &[&x])?;
    Some(())
}

pub(super) fn reshape(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(0);
    let mut shape = shape_of(b, &x);
    let at = b.below(shape.len() + 1);
    match b.below(3) {
        0 => shape = Shape::from_iter([product(&shape)]),
        1 if at + 1 < shape.len() => {
            let merged = &shape[at] * &shape[at + 1];
            shape.remove(at);
            shape[at] = merged;
        }
        _ => shape.insert(at, 1.into()),
    }
    b.add(Reshape { shape }, &[&x])?;
    Some(())
}

pub(super) fn permute(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(2);
    let mut axes: Axes = (0..shape_of(b, &x).len()).collect();
    b.random.shuffle(&mut axes);
    b.add(Permute { axes }, &[&x])?;
    Some(())
}

pub(super) fn slice(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(1);
    let shape = shape_of(b, &x);
    let axis = b.below(shape.len());
    let size = &shape[axis];
    let (start, end) = match size.as_const() {
        Some(size) => {
            let start = b.below(size as usize + 1);
            (start, Dim::from(start + b.below(size as usize - start + 1)))
        }
        None => {
            let start = b.below(size.lower().clamp(0, 4) as usize + 1);
            (start, size.clone())
        }
    };
    let step = b.one_of(&[1, 1, 2, 3]);
    b.add(Slice { axis, start: start.into(), end, step }, &[&x])?;
    Some(())
}

pub(super) fn concat(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(1);
    let shape = shape_of(b, &x);
    let axis = b.below(shape.len());
    let mut parts = vec![x.clone()];
    for _ in 0..b.below(3) {
        let mut other = shape.clone();
        if b.one_in(2) {
            other[axis] = b.dim();
        }
        parts.push(b.value(b.graph.dtype_of(x.o), other));
    }
    let parts: Vec<&Entry> = parts.iter().collect();
    b.add(Concat { axis }, &parts)?;
    Some(())
}

pub(super) fn pad(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(1);
    let axis = b.below(shape_of(b, &x).len());
    let (before, after) = (Dim::from(b.below(4)), Dim::from(b.below(4)));
    let value = Literal::float(b.graph.dtype_of(x.o), b.below(3) as f64 / 2.0);
    b.add(Pad { axis, before, after, value }, &[&x])?;
    Some(())
}

pub(super) fn reverse(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(1);
    let rank = shape_of(b, &x).len();
    let axes = (0..rank).filter(|_| b.one_in(2)).collect();
    b.add(Reverse { axes }, &[&x])?;
    Some(())
}

/// A window along so many axes.
pub(super) fn window(b: &mut Builder<'_>, axes: usize) -> Window {
    let mut some = |least: usize, bound: usize| (0..axes).map(|_| (least + b.below(bound)) as i64).collect();
    Window {
        kernel: some(1, 3),
        stride: some(1, 3),
        dilation: some(1, 2),
        before: some(0, 3),
        after: some(0, 3),
    }
}

pub(super) fn windows(b: &mut Builder<'_>) -> Option<()> {
    let sized = |t: &Type| t.as_tensor().is_some_and(|t| t.shape.last().is_some_and(|d| d.lower() > 0));
    let x = b.pick(sized)?;
    let axes = 1 + b.below(shape_of(b, &x).len().min(2));
    let dtype = b.graph.dtype_of(x.o);
    let value = Literal::float(dtype, b.below(3) as f64 / 2.0);
    let window = window(b, axes);
    let y = b.add(Windows { window: window.clone(), value }, &[&x])?;
    if dtype != DType::Bool && b.allows("fold") && b.one_in(2) {
        let shape = shape_of(b, &x).drain(shape_of(b, &x).len() - axes..).collect();
        b.add(Fold { window, shape }, &[&y[0]])?;
    }
    Some(())
}

/// A window, the sizes that it moves along, and a value of what it has at each position.
fn folded(b: &mut Builder<'_>) -> Option<(Window, Shape, Entry)> {
    let axes = 1 + b.below(2);
    let (window, lead) = (window(b, axes), b.below(2));
    let shape: Shape = (0..axes).map(|_| b.dim()).collect();
    let positions = window.positions("windows", &shape).ok()?;
    let mut all = b.shape(lead);
    all.extend(positions);
    all.extend(window.kernel.iter().map(|k| Dim::from(*k)));
    (b.count(&all) <= 4096).then_some(())?;
    let g = b.value(b.float, all);
    Some((window, shape, g))
}

pub(super) fn spread(b: &mut Builder<'_>) -> Option<()> {
    let (window, shape, g) = folded(b)?;
    b.add(Spread { window, shape }, &[&g])?;
    Some(())
}

pub(super) fn fold(b: &mut Builder<'_>) -> Option<()> {
    let (window, shape, g) = folded(b)?;
    b.add(Fold { window, shape }, &[&g])?;
    Some(())
}
