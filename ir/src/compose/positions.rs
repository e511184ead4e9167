//! Elements at positions that data or arithmetic give: gathers and scatters, rolls, repetitions, masks.

use super::{Composed, axis_of};
use crate::dim::{Dim, Proof};
use crate::dtype::{DType, Literal};
use crate::graph::{Graph, Operand};
use crate::ops::Axes;
use crate::ops::index::Index;
use crate::ops::index_update::IndexUpdate;
use crate::ops::reverse::Reverse;
use crate::ops::slice::Slice;
use crate::ops::sort::Sort;
use crate::ops::top_k::TopK;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{Shape, TensorType, shape_text};

impl Graph {
    /// Elements at `ids` along an axis: `[.., ids.., ..]`. Ids beyond the axis count as its nearest position.
    ///
    /// # Errors
    /// Where there is no such axis, or the ids are not i32 or i64.
    pub fn take(&mut self, x: Operand, ids: Operand, axis: i64) -> Composed {
        let (ty, at) = (self.dense("take", x)?, self.dense("take", ids)?);
        let axis = axis_of("take", axis, ty.rank())?;
        let shape: Shape = ty.shape[..axis].iter().chain(&at.shape).cloned().collect();
        let mut operands = vec![x];
        operands.extend((0..axis).map(|a| self.iota(shape.clone(), a, DType::I32)));
        operands.push(self.broadcast(ids, shape, (axis..axis + at.rank()).collect()));
        self.try_emit(Index, &operands)
    }

    /// Positions of which negative ones count from the end of an axis of this size.
    ///
    /// # Errors
    /// Where they are not integers.
    pub fn from_end(&mut self, ids: Operand, size: &Dim) -> Composed {
        let ty = self.dense("from_end", ids)?;
        if !matches!(ty.dtype, DType::I32 | DType::I64) {
            return Err(format!("positions are i32 or i64, {} found", ty.dtype));
        }
        let size = self.size_as(size, ty.dtype, ty.shape);
        let later = self.map(ScalarOp::Add, &[ids, size]);
        let zero = self.fill_like(ids, 0.0);
        let before = self.map(ScalarOp::Lt, &[ids, zero]);
        Ok(self.select(before, later, ids))
    }

    /// Element `p` of the result, of the shape of `ids`, is that of `x` at `p` with `ids[p]` in place of its position
    /// along an axis.
    ///
    /// # Errors
    /// Where the ranks differ, there is no such axis, or the ids are not i32 or i64.
    pub fn gather_elements(&mut self, x: Operand, ids: Operand, axis: i64) -> Composed {
        let operands = self.with_ids("gather_elements", x, ids, axis)?;
        self.try_emit(Index, &operands)
    }

    /// `x` with the elements of `updates` put, or combined by `op`, where [`Graph::gather_elements`] would read them.
    ///
    /// # Errors
    /// As there, and where `updates` have not the shape of `ids` or the type of `x`.
    pub fn scatter_elements(
        &mut self,
        x: Operand,
        ids: Operand,
        updates: Operand,
        axis: i64,
        op: Option<ReduceOp>,
    ) -> Composed {
        let mut operands = self.with_ids("scatter_elements", x, ids, axis)?;
        operands.push(updates);
        self.try_emit(IndexUpdate { op }, &operands)
    }

    fn with_ids(&mut self, what: &str, x: Operand, ids: Operand, axis: i64) -> Result<Vec<Operand>, String> {
        let (ty, at) = (self.dense(what, x)?, self.dense(what, ids)?);
        let axis = axis_of(what, axis, ty.rank())?;
        if ty.rank() != at.rank() {
            return Err(format!(
                "`{what}` takes ids of as many axes as the values, {} and {} found",
                shape_text(&at.shape),
                shape_text(&ty.shape)
            ));
        }
        let mut operands = vec![x];
        for a in 0..ty.rank() {
            operands.push(if a == axis { ids } else { self.iota(at.shape.clone(), a, at.dtype) });
        }
        Ok(operands)
    }

    /// Blocks of `x [b.., d.., rest..]` at `ids [b.., s.., q]`, each of which names a position along `q` axes behind
    /// the first `batch` ones, which both have: `[b.., s.., rest..]`.
    ///
    /// # Errors
    /// Where the axes do not fit, `q` is no constant, or the ids are not i32 or i64.
    pub fn gather_nd(&mut self, x: Operand, ids: Operand, batch: usize) -> Composed {
        let operands = self.with_tuples("gather_nd", x, ids, batch)?;
        self.try_emit(Index, &operands)
    }

    /// `x` with blocks of `updates` put, or combined by `op`, where [`Graph::gather_nd`] would read them.
    ///
    /// # Errors
    /// As there, and where `updates` do not fit.
    pub fn scatter_nd(
        &mut self,
        x: Operand,
        ids: Operand,
        updates: Operand,
        batch: usize,
        op: Option<ReduceOp>,
    ) -> Composed {
        let mut operands = self.with_tuples("scatter_nd", x, ids, batch)?;
        operands.push(updates);
        self.try_emit(IndexUpdate { op }, &operands)
    }

    fn with_tuples(
        &mut self,
        what: &str,
        x: Operand,
        ids: Operand,
        batch: usize,
    ) -> Result<Vec<Operand>, String> {
        let (ty, at) = (self.dense(what, x)?, self.dense(what, ids)?);
        let count = at.shape.last().and_then(Dim::as_const).and_then(|q| usize::try_from(q).ok());
        let same = |i: usize| {
            at.shape.get(i).zip(ty.shape.get(i)).is_some_and(|(a, b)| a.eq_proof(b) == Proof::True)
        };
        let count = count.filter(|q| batch + q <= ty.rank() && (0..batch).all(same) && batch < at.rank());
        let Some(count) = count.filter(|q| batch + q > 0) else {
            return Err(format!(
                "`{what}` takes positions along a known number of axes in the last axis of the ids, behind {batch} \
                 axes that both have; {} for {} found",
                shape_text(&at.shape),
                shape_text(&ty.shape)
            ));
        };
        let shape: Shape = at.shape[..at.rank() - 1].iter().cloned().collect();
        let mut operands = vec![x];
        operands.extend((0..batch).map(|a| self.iota(shape.clone(), a, at.dtype)));
        for j in 0..count as i64 {
            let part = Slice { axis: at.rank() - 1, start: j.into(), end: (j + 1).into(), step: 1 };
            let part = self.try_emit(part, &[ids])?;
            operands.push(self.reshape(part, shape.clone()));
        }
        Ok(operands)
    }

    /// The elements along axes in the opposite order.
    ///
    /// # Errors
    /// Where there is no such axis.
    pub fn flip(&mut self, x: Operand, axes: &[i64]) -> Composed {
        let rank = self.dense("flip", x)?.rank();
        let mut axes = axes.iter().map(|a| axis_of("flip", *a, rank)).collect::<Result<Vec<_>, _>>()?;
        axes.sort_unstable();
        axes.dedup();
        if axes.is_empty() {
            Ok(x)
        } else {
            self.try_emit(Reverse { axes: axes.into_iter().collect() }, &[x])
        }
    }

    /// Elements `start, start + step, ..` before `end` along an axis, for any step but 0: with a negative one
    /// downwards to `end`, which is -1 where position 0 is the last. Neither counts from the end.
    ///
    /// # Errors
    /// Where the positions cannot be shown to lie on the axis.
    pub fn slice_by(&mut self, x: Operand, axis: i64, start: &Dim, end: &Dim, step: i64) -> Composed {
        let ty = self.dense("slice", x)?;
        let axis = axis_of("slice", axis, ty.rank())?;
        if step == 0 {
            return Err("`slice` by steps of 0; a step is positive or negative".to_owned());
        }
        if step > 0 {
            return self.try_emit(Slice { axis, start: start.clone(), end: end.clone(), step }, &[x]);
        }
        let last = &ty.shape[axis] - &1.into();
        let x = self.flip(x, &[axis as i64])?;
        self.try_emit(Slice { axis, start: &last - start, end: &last - end, step: -step }, &[x])
    }

    /// Element `i` along an axis moves to position `i + shift`, around the end.
    ///
    /// # Errors
    /// Where there is no such axis.
    pub fn roll(&mut self, x: Operand, shift: i64, axis: i64) -> Composed {
        let ty = self.dense("roll", x)?;
        let axis = axis_of("roll", axis, ty.rank())?;
        let size = ty.shape[axis].clone();
        let shape = Shape::from_iter([size.clone()]);
        let i = self.iota(shape.clone(), 0, DType::I64);
        let from = self.by(ScalarOp::Sub, i, shift as f64);
        let size = self.size_as(&size, DType::I64, shape);
        let from = self.map(ScalarOp::Rem, &[from, size]);
        self.take(x, from, axis as i64)
    }

    /// The whole tensor so many times along each axis.
    ///
    /// # Errors
    /// Where there is not one count for each axis.
    pub fn tile(&mut self, x: Operand, times: &[Dim]) -> Composed {
        let ty = self.dense("tile", x)?;
        if times.len() != ty.rank() {
            return Err(format!(
                "`tile` takes one count an axis, {} for {} found",
                times.len(),
                shape_text(&ty.shape)
            ));
        }
        let both: Shape = times.iter().zip(&ty.shape).flat_map(|(t, d)| [t.clone(), d.clone()]).collect();
        let x = self.broadcast(x, both, (0..ty.rank()).map(|a| 2 * a + 1).collect());
        Ok(self.reshape(x, times.iter().zip(&ty.shape).map(|(t, d)| t * d).collect()))
    }

    /// Each element so many times in a row along an axis.
    ///
    /// # Errors
    /// Where there is no such axis.
    pub fn repeat(&mut self, x: Operand, times: &Dim, axis: i64) -> Composed {
        let ty = self.dense("repeat", x)?;
        let axis = axis_of("repeat", axis, ty.rank())?;
        let mut shape = ty.shape.clone();
        shape.insert(axis + 1, times.clone());
        let axes = (0..ty.rank() + 1).filter(|a| *a != axis + 1).collect();
        let x = self.broadcast(x, shape, axes);
        let mut shape = ty.shape;
        shape[axis] = &shape[axis] * times;
        Ok(self.reshape(x, shape))
    }

    /// A new axis of `depth` positions at `axis`, with the scalar `on` at the position that an id names and `off`
    /// elsewhere; an id that names none has `off` throughout.
    ///
    /// # Errors
    /// Where the ids are not integers, or `on` and `off` are not scalars of one type.
    pub fn one_hot(&mut self, ids: Operand, depth: &Dim, axis: i64, on: Operand, off: Operand) -> Composed {
        let ty = self.dense("one_hot", ids)?;
        let axis = axis_of("one_hot", axis, ty.rank() + 1)?;
        if !ty.dtype.is_int() {
            return Err(format!("`one_hot` takes integers, {} found", ty.dtype));
        }
        let mut shape = ty.shape;
        shape.insert(axis, depth.clone());
        let ids = self.broadcast(ids, shape.clone(), (0..shape.len()).filter(|a| *a != axis).collect());
        let positions = self.iota(shape, axis, ty.dtype);
        let here = self.map(ScalarOp::Eq, &[ids, positions]);
        self.aligned(ScalarOp::Select, &[here, on, off])
    }

    /// Truth values `[.., rows, cols]`: whether column minus row is at least `k` (`upper`), or at most. `k` is an i64
    /// scalar, or a constant made by `fill`.
    ///
    /// # Errors
    /// Where there are fewer than two axes, or `k` is no i64 scalar.
    pub fn triangle(&mut self, shape: &[Dim], k: Operand, upper: bool) -> Composed {
        let rank = shape.len();
        if rank < 2 {
            return Err(format!("a triangle has two axes, {} found", shape_text(shape)));
        }
        let shape: Shape = shape.iter().cloned().collect();
        let [row, col] = [rank - 2, rank - 1].map(|a| self.iota(shape.clone(), a, DType::I64));
        let beyond = self.map(ScalarOp::Sub, &[col, row]);
        self.aligned(if upper { ScalarOp::Ge } else { ScalarOp::Le }, &[beyond, k])
    }

    /// The elements of matrices in a triangle, 0 elsewhere; see [`Graph::triangle`].
    ///
    /// # Errors
    /// As there.
    pub fn triangular(&mut self, x: Operand, k: Operand, upper: bool) -> Composed {
        let ty = self.dense("triangular", x)?;
        let mask = self.triangle(&ty.shape, k, upper)?;
        let zero = self.fill(Literal::zero(ty.dtype), ty.shape);
        Ok(self.select(mask, x, zero))
    }

    /// A matrix with 1 where column minus row is `k`, and 0 elsewhere.
    ///
    /// # Errors
    /// Where the element type is bool.
    pub fn eye(&mut self, rows: &Dim, cols: &Dim, k: i64, dtype: DType) -> Composed {
        if dtype == DType::Bool {
            return Err("`eye` is made of numbers, bool found".to_owned());
        }
        let shape = Shape::from_iter([rows.clone(), cols.clone()]);
        let [row, col] = [0, 1].map(|a| self.iota(shape.clone(), a, DType::I64));
        let k = self.fill(Literal::int(DType::I64, k), shape);
        let there = self.map(ScalarOp::Add, &[row, k]);
        let here = self.map(ScalarOp::Eq, &[there, col]);
        Ok(self.cast(here, dtype))
    }

    /// Numbers `start, start + step, ..`, so many of them, of a type.
    ///
    /// # Errors
    /// Where `start` and `step` are not scalars of one type.
    pub fn range(&mut self, start: Operand, step: Operand, count: &Dim) -> Composed {
        let ty = self.dense("range", start)?;
        if ty.dtype == DType::Bool {
            return Err("`range` counts in numbers, bool found".to_owned());
        }
        let i = self.iota(Shape::from_iter([count.clone()]), 0, ty.dtype);
        let way = self.aligned(ScalarOp::Mul, &[i, step])?;
        self.aligned(ScalarOp::Add, &[start, way])
    }

    /// `[n, c, s..] -> [n, c / b^k, s * b..]` for `k` axes `s`: blocks of channels become neighbours. With `rows_first`
    /// the channels of a block come first (the order of `DCR`), else last (`CRD`).
    ///
    /// # Errors
    /// Where the channels do not divide.
    pub fn depth_to_space(&mut self, x: Operand, block: i64, rows_first: bool) -> Composed {
        let ty = self.dense("depth_to_space", x)?;
        let k = ty.rank().saturating_sub(2);
        let blocks = block.checked_pow(k as u32).filter(|b| *b > 0 && k > 0);
        let channels = ty.shape.get(1).and_then(Dim::as_const).zip(blocks).filter(|(c, b)| c % b == 0);
        let Some((channels, blocks)) = channels else {
            return Err(format!(
                "`depth_to_space` by {block} takes [n, c, s..] with channels that its power divides, {} found",
                shape_text(&ty.shape)
            ));
        };
        let depth = Dim::from(channels / blocks);
        let b = || (0..k).map(|_| Dim::from(block));
        let (n, s) = (ty.shape[0].clone(), &ty.shape[2..]);
        let (mut split, mut order) = (Shape::from_iter([n.clone()]), vec![0]);
        let depth_at = if rows_first {
            split.extend(b().chain([depth.clone()]));
            1 + k
        } else {
            split.extend([depth.clone()].into_iter().chain(b()));
            1
        };
        split.extend(s.iter().cloned());
        order.push(depth_at);
        let first = if rows_first { 1 } else { 2 };
        order.extend((0..k).flat_map(|i| [2 + k + i, first + i]));
        let x = self.reshape(x, split);
        let x = self.permute(x, order.into_iter().collect());
        let shape = [n, depth].into_iter().chain(s.iter().map(|d| d * &block.into()));
        Ok(self.reshape(x, shape.collect()))
    }

    /// The inverse of [`Graph::depth_to_space`] with `rows_first`.
    ///
    /// # Errors
    /// Where the sizes are no multiples of the block.
    pub fn space_to_depth(&mut self, x: Operand, block: i64) -> Composed {
        let ty = self.dense("space_to_depth", x)?;
        let TensorType { shape, .. } = &ty;
        let k = shape.len().saturating_sub(2);
        let parts: Option<Vec<Dim>> = (k > 0 && block > 0)
            .then(|| shape[2..].iter().map(|d| Some((d.as_const()?, block))).collect::<Option<Vec<_>>>())
            .flatten()
            .and_then(|all| all.into_iter().map(|(d, b)| (d % b == 0).then(|| Dim::from(d / b))).collect());
        let Some(parts) = parts else {
            return Err(format!(
                "`space_to_depth` by {block} takes [n, c, s..] with constant sizes that it divides, {} found",
                shape_text(shape)
            ));
        };
        let mut split: Shape = shape[..2].iter().cloned().collect();
        split.extend(parts.iter().flat_map(|d| [d.clone(), Dim::from(block)]));
        let mut order = vec![0];
        order.extend((0..k).map(|i| 3 + 2 * i));
        order.push(1);
        order.extend((0..k).map(|i| 2 + 2 * i));
        let y = self.reshape(x, split);
        let y = self.permute(y, order.into_iter().collect());
        let depth = &shape[1] * &Dim::from(block.pow(k as u32));
        Ok(self.reshape(y, [shape[0].clone(), depth].into_iter().chain(parts).collect()))
    }
}

impl Graph {
    /// The elements along an axis in order, and the i32 positions that they had; see [`Sort`].
    ///
    /// # Errors
    /// Where there is no such axis, or the elements have no order.
    pub fn sort(&mut self, x: Operand, axis: i64, descending: bool) -> Result<[Operand; 2], String> {
        let rank = self.dense("sort", x)?.rank();
        let axis = axis_of("sort", axis, rank)?;
        let order: Axes = (0..rank).filter(|a| *a != axis).chain([axis]).collect();
        let back: Axes = (0..axis).chain([rank - 1]).chain(axis..rank - 1).collect();
        let x = self.permute(x, order);
        let values = self.try_emit(Sort { descending }, &[x])?;
        let ids = Operand { node: values.node, port: 1 };
        Ok([self.permute(values, back.clone()), self.permute(ids, back)])
    }

    /// The `k` greatest elements along an axis, or the least, the first of them first, and the i32 positions that they
    /// had; equal ones by position, NaN last either way.
    ///
    /// # Errors
    /// Where there is no such axis, the elements have no order, or there cannot be shown to be so many.
    pub fn top_k(&mut self, x: Operand, k: &Dim, axis: i64, greatest: bool) -> Result<[Operand; 2], String> {
        let ty = self.dense("top_k", x)?;
        let at = axis_of("top_k", axis, ty.rank())?;
        let known = k.as_const().and_then(|k| usize::try_from(k).ok()).filter(|k| *k > 0 && greatest);
        if let Some(k) = known.filter(|_| at + 1 == ty.rank()) {
            let values = self.try_emit(TopK { k }, &[x])?;
            return Ok([values, Operand { node: values.node, port: 1 }]);
        }
        let [values, ids] = self.sort(x, axis, greatest)?;
        let part = || Slice { axis: at, start: 0.into(), end: k.clone(), step: 1 };
        Ok([self.try_emit(part(), &[values])?, self.try_emit(part(), &[ids])?])
    }
}
