//! Elements at other places.

use super::super::make::Make;
use crate::dim::Dim;
use crate::dtype::Literal;
use crate::ops::Axes;
use crate::ops::broadcast::Broadcast;
use crate::ops::concat::Concat;
use crate::ops::pad::Pad;
use crate::ops::permute::Permute;
use crate::ops::slice::Slice;
use crate::types::product;

/// Columns or rows side by side.
pub(super) fn join(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let s = m.shape(x.o);
    let axis = m.below(2);
    let y = if m.one_in(3) {
        m.value(&s)
    } else if axis == 1 {
        m.pick(|t| t.len() == 2 && t[0] == s[0])?
    } else {
        m.pick(|t| t.len() == 2 && t[1] == s[1])?
    };
    let mut parts = vec![x.o, y.o];
    if m.one_in(3) {
        parts.push(x.o);
    }
    let t = m.shape(y.o);
    ((m.count(&s) * 2 + m.count(&t)) <= 60_000).then_some(())?;
    let z = m.g.emit(Concat { axis }, &parts);
    m.push(z, x.bound.max(y.bound));
    Some(())
}

pub(super) fn slice(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let s = m.shape(x.o);
    let axis = m.below(s.len());
    let (start, end) = match s[axis].as_const() {
        Some(size) => {
            let start = m.below(size as usize + 1);
            (start, Dim::from(start + m.below(size as usize - start + 1)))
        }
        None => (m.below(s[axis].lower().clamp(0, 3) as usize + 1), s[axis].clone()),
    };
    let step = m.one_of(&[1, 1, 2, 3]);
    let y = m.g.emit(Slice { axis, start: start.into(), end, step }, &[x.o]);
    m.push(y, x.bound);
    Some(())
}

pub(super) fn pad(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty())?;
    let axis = m.below(m.shape(x.o).len());
    let (before, after) = (Dim::from(m.below(3)), Dim::from(m.below(3)));
    let y = m.g.emit(Pad { axis, before, after, value: Literal::float(m.float, 0.5) }, &[x.o]);
    m.push(y, x.bound);
    Some(())
}

/// Rows as heads.
pub(super) fn split(m: &mut Make) -> Option<()> {
    let x = m.rows_of_any();
    let mut s = m.shape(x.o);
    let width = s[1].as_const()?;
    let heads: Vec<i64> = [1, 2, 3, 4, 5, 8].into_iter().filter(|h| width % h == 0).collect();
    let heads = m.one_of(&heads);
    s[1] = Dim::constant(heads);
    s.push(Dim::constant(width / heads));
    let y = m.g.reshape(x.o, s);
    m.push(y, x.bound);
    Some(())
}

/// Two axes as one.
pub(super) fn merge(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| s.len() >= 2)?;
    let mut s = m.shape(x.o);
    let at = m.below(s.len() - 1);
    s[at] = product(&s[at..at + 2]);
    s.remove(at + 1);
    let y = m.g.reshape(x.o, s);
    m.push(y, x.bound);
    Some(())
}

pub(super) fn permute(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| s.len() >= 2)?;
    let mut axes: Axes = (0..m.shape(x.o).len()).collect();
    m.random.shuffle(&mut axes);
    let y = m.g.emit(Permute { axes }, &[x.o]);
    m.push(y, x.bound);
    Some(())
}

/// Along a new axis, anywhere.
pub(super) fn repeat(m: &mut Make) -> Option<()> {
    let x = m.pick(|s| !s.is_empty() && s.len() <= 2)?;
    let mut s = m.shape(x.o);
    let at = m.below(s.len() + 1);
    let times = m.one_of(&[Dim::from(1usize), 3.into(), m.rows[1].clone()]);
    (m.size(&times) * m.count(&s) <= 30_000).then_some(())?;
    s.insert(at, times);
    let axes: Axes = (0..s.len()).filter(|a| *a != at).collect();
    let y = m.g.emit(Broadcast { shape: s, axes }, &[x.o]);
    m.push(y, x.bound);
    Some(())
}
