//! The program while it is being written: the graph, what is known of its values, and ops with broadcasting.

use super::elem::Elem;
use super::error::Fault;
use latentc_ir::array::{Array, Value};
use latentc_ir::diag::Span;
use latentc_ir::dim::{Dim, Proof};
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::{Graph, InputKind, Operand};
use latentc_ir::ops::broadcast::Broadcast;
use latentc_ir::ops::cast::Cast;
use latentc_ir::ops::concat::Concat;
use latentc_ir::ops::elementwise::Elementwise;
use latentc_ir::ops::index::Index;
use latentc_ir::ops::input::Input;
use latentc_ir::ops::iota::Iota;
use latentc_ir::ops::matmul::Matmul;
use latentc_ir::ops::pad::Pad;
use latentc_ir::ops::permute::Permute;
use latentc_ir::ops::reduce::Reduce;
use latentc_ir::ops::reshape::Reshape;
use latentc_ir::ops::slice::Slice;
use latentc_ir::ops::{Axes, Op};
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::{Shape, Type, product, shape_text};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A result of translating something.
pub(super) type R<T = Operand> = Result<T, Fault>;

/// Bytes that one value of a program may have, at its greatest sizes.
const LARGEST: i64 = 1 << 40;

/// A program that is being written.
pub(super) struct Cx {
    /// The graph so far.
    pub graph: Graph,
    /// Initialisers and constants, by the name of the input that stands for them.
    pub params: BTreeMap<String, Array>,
    /// Values of data inputs, where they are given.
    pub known: HashMap<String, Array>,
    /// Data inputs whose values have decided something.
    pub used: BTreeSet<String>,
    /// Results of nodes that have been computed.
    pub(super) folded: HashMap<latentc_ir::graph::NodeId, Vec<Value>>,
    /// What stands for what steps of loops are given, while their graphs are written.
    pub stand_ins: Vec<latentc_ir::graph::NodeId>,
    /// Where nodes come from.
    pub span: Span,
}

impl Cx {
    /// An empty program.
    pub fn new(name: &str) -> Cx {
        Cx {
            graph: Graph::new(name),
            params: BTreeMap::new(),
            known: HashMap::new(),
            used: BTreeSet::new(),
            folded: HashMap::new(),
            stand_ins: vec![],
            span: Span::none(),
        }
    }

    /// Adds an op with one result.
    pub fn op(&mut self, op: impl Into<Op>, operands: &[Operand]) -> R {
        let o = self.graph.value(op, operands, self.span.clone())?;
        self.fits(o)?;
        Ok(o)
    }

    /// Adds an op with several results.
    pub fn op_all(&mut self, op: impl Into<Op>, operands: &[Operand]) -> R<Vec<Operand>> {
        let node = self.graph.add(op, operands, self.span.clone())?;
        let all: Vec<Operand> =
            (0..self.graph.node(node).types.len()).map(|p| Operand { node, port: p as u16 }).collect();
        for o in &all {
            self.fits(*o)?;
        }
        Ok(all)
    }

    fn fits(&self, o: Operand) -> R<()> {
        let Type::Tensor(t) = self.graph.type_of(o) else { return Ok(()) };
        let mut bytes = t.dtype.size() as i64;
        for d in &t.shape {
            bytes = bytes.saturating_mul(d.upper().max(0));
        }
        if bytes > LARGEST {
            return Err(format!(
                "its result is {}{}, which is larger than a value may be",
                t.dtype,
                shape_text(&t.shape)
            )
            .into());
        }
        Ok(())
    }

    /// The element type.
    pub fn dtype(&self, x: Operand) -> DType {
        self.graph.dtype_of(x)
    }

    /// The sizes.
    pub fn shape(&self, x: Operand) -> Shape {
        self.graph.shape_of(x)
    }

    /// The number of axes.
    pub fn rank(&self, x: Operand) -> usize {
        self.graph.tensor(x).rank()
    }

    /// The size of an axis.
    pub fn dim(&self, x: Operand, axis: usize) -> R<Dim> {
        let t = self.graph.tensor(x);
        t.shape
            .get(axis)
            .cloned()
            .ok_or_else(|| format!("axis {axis} of a tensor of {} axes", t.rank()).into())
    }

    /// The sizes as numbers.
    pub fn sizes(&self, x: Operand) -> R<Vec<usize>> {
        let shape = self.shape(x);
        shape
            .iter()
            .map(|d| d.as_const().and_then(|n| usize::try_from(n).ok()))
            .collect::<Option<_>>()
            .ok_or_else(|| {
                Fault::Unsupported(format!(
                    "sizes {} that are not known when the model is imported",
                    shape_text(&shape)
                ))
            })
    }

    /// The size of an axis as a number.
    pub fn size(&self, x: Operand, axis: usize) -> R<usize> {
        let d = self.dim(x, axis)?;
        d.as_const().and_then(|n| usize::try_from(n).ok()).ok_or_else(|| {
            Fault::Unsupported(format!(
                "axis {axis} of size {d}, which is not known when the model is imported"
            ))
        })
    }

    /// An axis counted from the front.
    pub fn axis(&self, axis: i64, rank: usize) -> R<usize> {
        let at = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
        match usize::try_from(at) {
            Ok(a) if a < rank => Ok(a),
            _ => Err(format!("axis {axis} of {rank} axes").into()),
        }
    }

    /// Axes counted from the front, ascending, each once.
    pub fn axes(&self, axes: &[i64], rank: usize) -> R<Axes> {
        let mut all: Axes = axes.iter().map(|a| self.axis(*a, rank)).collect::<R<_>>()?;
        all.sort_unstable();
        if all.windows(2).any(|w| w[0] == w[1]) {
            return Err(format!("axes {axes:?} name an axis twice").into());
        }
        Ok(all)
    }

    /// A constant of one value.
    pub fn fill(&mut self, value: Literal, shape: Shape) -> Operand {
        self.graph.fill(value, shape)
    }

    /// A constant scalar.
    pub fn scalar(&mut self, dtype: DType, value: f64) -> Operand {
        self.graph.fill(Literal::float(dtype, value), [])
    }

    /// A constant of the type and sizes of another value.
    pub fn like(&mut self, x: Operand, value: f64) -> Operand {
        self.graph.fill_like(x, value)
    }

    /// A constant integer of the type and sizes of another value.
    pub fn like_int(&mut self, x: Operand, value: i64) -> Operand {
        let (dtype, shape) = (self.dtype(x), self.shape(x));
        self.graph.fill(Literal::int(dtype, value), shape)
    }

    /// A constant array: where all elements are one, a constant of the graph, else a parameter.
    pub fn constant(&mut self, name: &str, array: Array) -> Operand {
        let shape: Shape = array.shape().iter().map(|n| Dim::from(*n)).collect();
        if array.is_empty() {
            return self.graph.fill(Literal::zero(array.dtype()), shape);
        }
        let width = array.dtype().size();
        let bytes = array.as_bytes();
        if bytes.chunks_exact(width).all(|e| e == &bytes[..width]) {
            return self.graph.fill(array.get(0), shape);
        }
        let mut unique = name.to_owned();
        let mut n = 0;
        while self.params.contains_key(&unique) || self.graph.input(&unique).is_some() {
            n += 1;
            unique = format!("{name}.{n}");
        }
        let ty = Type::tensor(array.dtype(), shape);
        self.params.insert(unique.clone(), array);
        self.input(&unique, InputKind::Param, ty)
    }

    /// An input of the program.
    pub fn input(&mut self, name: &str, kind: InputKind, ty: Type) -> Operand {
        match self.graph.add(Input { name: name.to_owned(), kind, ty }, &[], self.span.clone()) {
            Ok(node) => node.into(),
            Err(diag) => unreachable!("an input has no operands: {diag}"),
        }
    }

    /// A constant list of integers.
    pub fn ints(&mut self, values: &[i64]) -> Operand {
        self.constant("list", Array::from_slice(&[values.len()], values))
    }

    /// A constant list of positions.
    pub fn ids(&mut self, values: &[i32]) -> Operand {
        self.constant("positions", Array::from_slice(&[values.len()], values))
    }

    /// An elementwise op on operands of one shape.
    pub fn map(&mut self, op: ScalarOp, operands: &[Operand]) -> R {
        self.op(Elementwise { op }, operands)
    }

    /// An elementwise op on one operand.
    pub fn un(&mut self, op: ScalarOp, x: Operand) -> R {
        self.map(op, &[x])
    }

    /// An elementwise op on two operands that are broadcast to each other.
    pub fn bin(&mut self, op: ScalarOp, a: Operand, b: Operand) -> R {
        let all = self.together(&[a, b])?;
        self.map(op, &all)
    }

    /// An elementwise op on a value and a constant.
    pub fn with(&mut self, op: ScalarOp, x: Operand, value: f64) -> R {
        let c = self.like(x, value);
        self.map(op, &[x, c])
    }

    pub fn add(&mut self, a: Operand, b: Operand) -> R {
        self.bin(ScalarOp::Add, a, b)
    }

    pub fn sub(&mut self, a: Operand, b: Operand) -> R {
        self.bin(ScalarOp::Sub, a, b)
    }

    pub fn mul(&mut self, a: Operand, b: Operand) -> R {
        self.bin(ScalarOp::Mul, a, b)
    }

    pub fn div(&mut self, a: Operand, b: Operand) -> R {
        self.bin(ScalarOp::Div, a, b)
    }

    /// `c ? a : b`, broadcast to each other.
    pub fn select(&mut self, c: Operand, a: Operand, b: Operand) -> R {
        let all = self.together(&[c, a, b])?;
        self.map(ScalarOp::Select, &all)
    }

    /// The sizes to which shapes are broadcast together.
    pub fn common(&self, shapes: &[Shape]) -> R<Shape> {
        let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
        let mut out: Shape = std::iter::repeat_n(Dim::constant(1), rank).collect();
        for s in shapes {
            for (i, d) in s.iter().enumerate() {
                let to = &mut out[rank - s.len() + i];
                if to.as_const() == Some(1) {
                    *to = d.clone();
                } else if d.as_const() != Some(1) && to.eq_proof(d) != Proof::True {
                    let all: Vec<String> = shapes.iter().map(|s| shape_text(s)).collect();
                    return Err(format!("the shapes {} do not go together", all.join(" and ")).into());
                }
            }
        }
        Ok(out)
    }

    /// Values broadcast to each other.
    pub fn together(&mut self, values: &[Operand]) -> R<Vec<Operand>> {
        let shapes: Vec<Shape> = values.iter().map(|v| self.shape(*v)).collect();
        let shape = self.common(&shapes)?;
        values.iter().map(|v| self.expand(*v, &shape)).collect()
    }

    /// A value repeated to sizes; its axes are the last ones.
    pub fn expand(&mut self, x: Operand, shape: &[Dim]) -> R {
        let from = self.shape(x);
        if from.as_slice() == shape {
            return Ok(x);
        }
        let Some(lead) = shape.len().checked_sub(from.len()) else {
            return Err(format!("{} does not broadcast to {}", shape_text(&from), shape_text(shape)).into());
        };
        let (mut kept, mut axes) = (Shape::new(), Axes::new());
        for (i, d) in from.iter().enumerate() {
            let to = &shape[lead + i];
            if d.eq_proof(to) == Proof::True {
                kept.push(d.clone());
                axes.push(lead + i);
            } else if d.as_const() != Some(1) {
                return Err(
                    format!("{} does not broadcast to {}", shape_text(&from), shape_text(shape)).into()
                );
            }
        }
        let x = self.reshape(x, kept)?;
        if axes.len() == shape.len() {
            return Ok(x);
        }
        self.op(Broadcast { shape: shape.iter().cloned().collect(), axes }, &[x])
    }

    /// Other sizes for the same elements.
    pub fn reshape(&mut self, x: Operand, shape: Shape) -> R {
        if self.shape(x) == shape { Ok(x) } else { self.op(Reshape { shape }, &[x]) }
    }

    /// Other sizes for the same elements, as numbers.
    pub fn reshape_to(&mut self, x: Operand, shape: &[usize]) -> R {
        self.reshape(x, shape.iter().map(|n| Dim::from(*n)).collect())
    }

    /// Axes in another order.
    pub fn permute(&mut self, x: Operand, axes: &[usize]) -> R {
        if axes.iter().copied().eq(0..axes.len()) && axes.len() == self.rank(x) {
            return Ok(x);
        }
        self.op(Permute { axes: axes.iter().copied().collect() }, &[x])
    }

    /// The last two axes exchanged.
    pub fn transpose(&mut self, x: Operand) -> R {
        let r = self.rank(x);
        if r < 2 {
            return Err("a matrix is expected".into());
        }
        let mut axes: Vec<usize> = (0..r).collect();
        axes.swap(r - 1, r - 2);
        self.permute(x, &axes)
    }

    /// New axes of size 1, at these positions of the result.
    pub fn unsqueeze(&mut self, x: Operand, axes: &[usize]) -> R {
        let mut shape = self.shape(x);
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        for a in sorted {
            if a > shape.len() {
                return Err(format!("a new axis {a} among {}", shape.len()).into());
            }
            shape.insert(a, Dim::constant(1));
        }
        self.reshape(x, shape)
    }

    /// Without these axes, which have size 1.
    pub fn squeeze(&mut self, x: Operand, axes: &[usize]) -> R {
        let from = self.shape(x);
        let mut shape = Shape::new();
        for (i, d) in from.iter().enumerate() {
            if !axes.contains(&i) {
                shape.push(d.clone());
            } else if d.as_const() != Some(1) {
                return Err(format!("axis {i} to be squeezed has size {d}").into());
            }
        }
        self.reshape(x, shape)
    }

    /// One axis split at the front: `[lead of the first `axis` axes, rest]`.
    pub fn flatten(&mut self, x: Operand, axis: usize) -> R {
        let shape = self.shape(x);
        let (a, b) = shape.split_at(axis.min(shape.len()));
        self.reshape(x, Shape::from_iter([product(a), product(b)]))
    }

    /// Combines along axes, ascending; they stay with size 1 where `keep`.
    pub fn reduce(&mut self, op: ReduceOp, x: Operand, axes: &[usize], keep: bool) -> R {
        if axes.is_empty() {
            return Ok(x);
        }
        let y = self.op(Reduce { op, axes: axes.iter().copied().collect() }, &[x])?;
        if keep { self.unsqueeze(y, axes) } else { Ok(y) }
    }

    pub fn sum(&mut self, x: Operand, axes: &[usize], keep: bool) -> R {
        self.reduce(ReduceOp::Sum, x, axes, keep)
    }

    /// How many elements axes have, as a float scalar.
    pub fn count(&mut self, x: Operand, axes: &[usize]) -> R {
        let shape = self.shape(x);
        let dims: Vec<Dim> = axes.iter().map(|a| shape[*a].clone()).collect();
        let dtype = self.dtype(x);
        let n = self.size_of(&product(&dims))?;
        self.cast(n, dtype)
    }

    /// A size as an i64 scalar.
    pub fn size_of(&mut self, dim: &Dim) -> R {
        match dim.as_const() {
            Some(n) => Ok(self.graph.fill(Literal::int(DType::I64, n), [])),
            None => self.op(latentc_ir::ops::size::Size { dim: dim.clone() }, &[]),
        }
    }

    /// The mean along axes of floats.
    pub fn mean(&mut self, x: Operand, axes: &[usize], keep: bool) -> R {
        if axes.is_empty() {
            return Ok(x);
        }
        let n = self.count(x, axes)?;
        let s = self.sum(x, axes, keep)?;
        self.div(s, n)
    }

    /// Converts elements as the IR does.
    pub fn cast(&mut self, x: Operand, to: DType) -> R {
        if self.dtype(x) == to { Ok(x) } else { self.op(Cast { to }, &[x]) }
    }

    /// Converts elements to the type of another value.
    pub fn cast_as(&mut self, x: Operand, like: Operand) -> R {
        let to = self.dtype(like);
        self.cast(x, to)
    }

    /// A constant integer of the type of another value.
    pub fn fill_of(&mut self, like: Operand, value: i64, shape: Shape) -> Operand {
        let dtype = self.dtype(like);
        self.graph.fill(Literal::int(dtype, value), shape)
    }

    /// Positions `start..end` of an axis, each `step`th.
    pub fn slice(&mut self, x: Operand, axis: usize, start: Dim, end: Dim, step: i64) -> R {
        if step == 1 && start.as_const() == Some(0) && end == self.dim(x, axis)? {
            return Ok(x);
        }
        self.op(Slice { axis, start, end, step }, &[x])
    }

    /// Positions `start..end` of an axis.
    pub fn range(&mut self, x: Operand, axis: usize, start: usize, end: usize) -> R {
        self.slice(x, axis, Dim::from(start), Dim::from(end), 1)
    }

    /// One position of an axis, which goes.
    pub fn at(&mut self, x: Operand, axis: usize, at: usize) -> R {
        let y = self.range(x, axis, at, at + 1)?;
        self.squeeze(y, &[axis])
    }

    /// Values one after the other along an axis.
    pub fn concat(&mut self, parts: &[Operand], axis: usize) -> R {
        if let [one] = parts { Ok(*one) } else { self.op(Concat { axis }, parts) }
    }

    /// Values along a new axis.
    pub fn stack(&mut self, parts: &[Operand], axis: usize) -> R {
        let parts: Vec<Operand> = parts.iter().map(|p| self.unsqueeze(*p, &[axis])).collect::<R<_>>()?;
        self.concat(&parts, axis)
    }

    /// Constants in front of and behind an axis.
    pub fn pad(&mut self, x: Operand, axis: usize, before: usize, after: usize, value: f64) -> R {
        if before == 0 && after == 0 {
            return Ok(x);
        }
        let value = Literal::float(self.dtype(x), value);
        self.op(Pad { axis, before: before.into(), after: after.into(), value }, &[x])
    }

    /// The elements of an axis at positions (i32 or i64); the axes of `ids` stand where it was.
    pub fn gather(&mut self, x: Operand, ids: Operand, axis: usize) -> R {
        let (rank, more) = (self.rank(x), self.rank(ids));
        let mut front = vec![axis];
        front.extend((0..rank).filter(|a| *a != axis));
        let table = self.permute(x, &front)?;
        let y = self.op(Index, &[table, ids])?;
        // The axes of the ids, from the front to where the axis was.
        let mut back: Vec<usize> = (more..more + axis).collect();
        back.extend(0..more);
        back.extend(more + axis..more + rank - 1);
        self.permute(y, &back)
    }

    /// An axis in reverse.
    pub fn flip(&mut self, x: Operand, axis: usize) -> R {
        let n = self.dim(x, axis)?;
        let at = self.iota(n.clone(), DType::I32)?;
        let end = self.size_of(&(&n - &Dim::constant(1)))?;
        let end = self.cast(end, DType::I32)?;
        let at = self.sub(end, at)?;
        self.gather(x, at, axis)
    }

    /// The elements of an axis at constant positions.
    pub fn take(&mut self, x: Operand, axis: usize, at: &[i32]) -> R {
        let ids = self.ids(at);
        self.gather(x, ids, axis)
    }

    /// 0, 1, .. of a number type.
    pub fn iota(&mut self, n: impl Into<Dim>, dtype: DType) -> R {
        self.op(Iota { shape: Shape::from_iter([n.into()]), axis: 0, dtype }, &[])
    }

    /// 0, 1, .. along one axis, with as many axes in all that the others have size 1.
    pub fn iota_along(&mut self, n: impl Into<Dim>, axis: usize, rank: usize, dtype: DType) -> R {
        let n = n.into();
        let at = self.iota(n.clone(), dtype)?;
        let mut shape: Shape = std::iter::repeat_n(Dim::constant(1), rank).collect();
        shape[axis] = n;
        self.reshape(at, shape)
    }

    /// A product of matrices, the other axes broadcast to each other.
    pub fn matmul(&mut self, a: Operand, b: Operand) -> R {
        let (sa, sb) = (self.shape(a), self.shape(b));
        if sa.len() < 2 || sb.len() < 2 {
            return Err("matrices are expected".into());
        }
        let (la, ma) = sa.split_at(sa.len() - 2);
        let (lb, mb) = sb.split_at(sb.len() - 2);
        let lead = self.common(&[la.iter().cloned().collect(), lb.iter().cloned().collect()])?;
        let a = self.expand(a, &lead.iter().chain(ma).cloned().collect::<Vec<_>>())?;
        let b = self.expand(b, &lead.iter().chain(mb).cloned().collect::<Vec<_>>())?;
        self.op(Matmul { transpose_a: false, transpose_b: false }, &[a, b])
    }

    /// The values of a type in the one that is computed in: half floats in f32.
    pub fn widen(&mut self, x: Operand) -> R {
        match self.dtype(x) {
            d if d.is_float() && d.size() < 4 => self.cast(x, DType::F32),
            _ => Ok(x),
        }
    }

    /// A value of the file in the element type that holds it.
    pub fn elem(&self, x: Operand) -> Elem {
        Elem::of(self.dtype(x))
    }
}
