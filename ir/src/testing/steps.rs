//! One way to add each op to a random graph.

use super::builder::{Builder, Entry, apart, elements};
use crate::array::Value;
use crate::dim::Dim;
use crate::dtype::{DType, Literal, round_to};
use crate::ops::Axes;
use crate::ops::broadcast::Broadcast;
use crate::ops::cast::Cast;
use crate::ops::concat::Concat;
use crate::ops::conv::Conv;
use crate::ops::conv_transpose::ConvTranspose;
use crate::ops::csr_degree::CsrDegree;
use crate::ops::cumulative::Cumulative;
use crate::ops::dropout::Dropout;
use crate::ops::fill::Fill;
use crate::ops::fold::Fold;
use crate::ops::gather_rows::GatherRows;
use crate::ops::index::Index;
use crate::ops::index_update::IndexUpdate;
use crate::ops::iota::Iota;
use crate::ops::log_sum_exp::LogSumExp;
use crate::ops::matmul::Matmul;
use crate::ops::pad::Pad;
use crate::ops::permute::Permute;
use crate::ops::random::Random;
use crate::ops::reduce::Reduce;
use crate::ops::reshape::Reshape;
use crate::ops::reverse::Reverse;
use crate::ops::row_sparse::{RowSparse, RowSparseParts};
use crate::ops::scatter_rows::ScatterRows;
use crate::ops::score_top_k::ScoreTopK;
use crate::ops::sddmm::Sddmm;
use crate::ops::segment_sum::SegmentSum;
use crate::ops::segments::Segments;
use crate::ops::size::Size;
use crate::ops::slice::Slice;
use crate::ops::softmax::Softmax;
use crate::ops::sort::Sort;
use crate::ops::spmm::Spmm;
use crate::ops::spmm_rows::SpmmRows;
use crate::ops::spread::Spread;
use crate::ops::top_k::TopK;
use crate::ops::windows::{Window, Windows};
use crate::scalar::{ReduceOp, ScalarOp, Signature};
use crate::types::{Shape, Type, product};

/// Adds an op; `None` where it does not come off.
type Step = fn(&mut Builder<'_>) -> Option<()>;

/// Names of ops beside the way to add them. Elementwise ops are most of every program, so they stand often.
pub(super) const TABLE: &[(&str, Step)] = &[
    ("elementwise", elementwise),
    ("elementwise", elementwise),
    ("elementwise", elementwise),
    ("elementwise", elementwise),
    ("fill", fill),
    ("size", size),
    ("iota", iota),
    ("random", random),
    ("cast", cast),
    ("broadcast", broadcast),
    ("reshape", reshape),
    ("permute", permute),
    ("slice", slice),
    ("concat", concat),
    ("pad", pad),
    ("reverse", reverse),
    ("windows", windows),
    ("spread", spread),
    ("fold", fold),
    ("reduce", reduce),
    ("reduce", reduce),
    ("cumulative", cumulative),
    ("matmul", matmul),
    ("conv", conv),
    ("conv_transpose", conv_transpose),
    ("gather_rows", gather_rows),
    ("gather_rows", gather_rows),
    ("index", index),
    ("index", index),
    ("index_update", index_update),
    ("scatter_rows", scatter_rows),
    ("row_sparse", row_sparse),
    ("segments", segments),
    ("spmm", spmm),
    ("spmm_rows", spmm_rows),
    ("sddmm", sddmm),
    ("csr_degree", csr_degree),
    ("top_k", top_k),
    ("sort", sort),
    ("score_top_k", score_top_k),
    ("dropout", dropout),
    ("softmax", softmax),
    ("log_sum_exp", log_sum_exp),
];

fn shape_of(b: &Builder<'_>, x: &Entry) -> Shape {
    b.graph.shape_of(x.o)
}

fn elementwise(b: &mut Builder<'_>) -> Option<()> {
    let allowed: Vec<ScalarOp> = ScalarOp::ALL
        .iter()
        .copied()
        .filter(|o| o.signature() != Signature::Philox && b.allows(o.name()))
        .collect();
    if allowed.is_empty() {
        return None;
    }
    let op = b.one_of(&allowed);
    let x = match op.signature() {
        Signature::Float => b.floats(0),
        Signature::Integer => {
            let dtype = b.one_of(&[DType::I32, DType::U8, DType::U32, DType::I8, DType::U64, DType::I64]);
            some_of(b, dtype)
        }
        Signature::Logic => {
            let dtype = b.one_of(&[
                DType::Bool,
                DType::Bool,
                DType::I32,
                DType::U8,
                DType::U32,
                DType::I8,
                DType::U64,
            ]);
            some_of(b, dtype)
        }
        // Bools are no numbers; they can be compared and chosen.
        Signature::Number => {
            let dtype = b.one_of(&[
                b.float,
                b.float,
                b.float,
                DType::I32,
                DType::I64,
                DType::U8,
                DType::U32,
                DType::I16,
            ]);
            some_of(b, dtype)
        }
        _ => b.any(0),
    };
    let (dtype, shape) = (b.graph.dtype_of(x.o), shape_of(b, &x));
    match op.arity() {
        1 => {
            let x = match op {
                ScalarOp::Log | ScalarOp::Log1p | ScalarOp::Sqrt | ScalarOp::Rsqrt | ScalarOp::Recip => {
                    b.away_from_zero(&x)?
                }
                ScalarOp::Lgamma | ScalarOp::Digamma => b.away_from_zero(&x)?,
                ScalarOp::Acosh => {
                    let size = b.away_from_zero(&x)?;
                    let one = b.fill_like(&x, 1.0)?;
                    b.map(ScalarOp::Add, &[&size, &one])?
                }
                // Within 3/4: far from where slopes are infinite.
                ScalarOp::Asin | ScalarOp::Acos | ScalarOp::Atanh | ScalarOp::Tan => {
                    let scale = b.fill_like(&x, 0.1875)?;
                    b.map(ScalarOp::Mul, &[&x, &scale])?
                }
                _ => x,
            };
            let certain = match op {
                ScalarOp::Sign => apart(elements(&x).into_iter().map(|v| (v, 0.0))),
                ScalarOp::Floor | ScalarOp::Ceil | ScalarOp::Trunc => {
                    apart(elements(&x).into_iter().map(|v| (v, v.round())))
                }
                ScalarOp::Round => apart(elements(&x).into_iter().map(|v| (v, v.floor() + 0.5))),
                _ => true,
            };
            (certain || x.exact || !dtype.is_float()).then_some(())?;
            let y = b.map(op, &[&x])?;
            let again = matches!(op, ScalarOp::Neg | ScalarOp::Not | ScalarOp::Abs | ScalarOp::Relu);
            if again && b.one_in(4) {
                b.map(op, &[&y])?;
            }
        }
        2 => {
            let mut y = if b.one_in(3) {
                // A constant, often one that a rule of algebra knows.
                let constant = b.one_of(&[1.0, 0.0, -0.0, 0.5, 2.0, -1.0]);
                b.fill_like(&x, constant)?
            } else {
                b.value(dtype, shape)
            };
            let mut x = x;
            if dtype.is_float() {
                match op {
                    ScalarOp::Div => y = b.away_from_zero(&y)?,
                    ScalarOp::Pow => x = b.away_from_zero(&x)?,
                    // Away from where the angle jumps.
                    ScalarOp::Atan2 => y = b.away_from_zero(&y)?,
                    ScalarOp::Rem | ScalarOp::Fmod => {
                        // Exact where both operands are: the quotient must not be a whole number otherwise.
                        (x.exact && y.exact).then_some(())?;
                        let far = elements(&y).into_iter().all(|v| v.abs() >= 0.25);
                        far.then_some(())?;
                    }
                    _ if op.signature() == Signature::Compare && !(x.exact && y.exact) => {
                        apart(elements(&x).into_iter().zip(elements(&y))).then_some(())?;
                    }
                    _ => {}
                }
            }
            let z = b.map(op, &[&x, &y])?;
            if op == ScalarOp::Mul && b.one_in(4) {
                let constant = b.fill_like(&z, 0.75)?;
                b.map(op, &[&z, &constant])?;
            }
        }
        _ => {
            let condition = b.value(DType::Bool, shape.clone());
            let y = b.value(dtype, shape);
            b.map(op, &[&condition, &x, &y])?;
        }
    }
    Some(())
}

/// A tensor of an element type.
fn some_of(b: &mut Builder<'_>, dtype: DType) -> Entry {
    let found = b.pick(|ty| ty.as_tensor().is_some_and(|t| t.dtype == dtype));
    found.unwrap_or_else(|| {
        let rank = b.below(3);
        let shape = b.shape(rank);
        b.tensor_input(dtype, shape)
    })
}

fn fill(b: &mut Builder<'_>) -> Option<()> {
    let dtype = b.one_of(&[b.float, b.float, DType::I32, DType::Bool]);
    let rank = b.below(3);
    let (shape, eighths) = (b.shape(rank), b.below(33) as f64 - 16.0);
    b.add(Fill { value: Literal::float(dtype, eighths / 8.0), shape }, &[])?;
    Some(())
}

/// A size as a float, as means need it.
fn size(b: &mut Builder<'_>) -> Option<()> {
    let (dim, offset) = (b.dim(), b.below(3));
    let size = b.add(Size { dim: &dim + &offset.into() }, &[])?;
    if b.allows("cast") {
        b.add(Cast { to: b.float }, &[&size[0]])?;
    }
    Some(())
}

fn iota(b: &mut Builder<'_>) -> Option<()> {
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

fn random(b: &mut Builder<'_>) -> Option<()> {
    let [seed, step] = seed_and_step(b);
    let (stream, rank) = (b.below(5) as u32, b.below(3));
    let shape = b.shape(rank);
    b.add(Random { stream, shape }, &[&seed, &step])?;
    Some(())
}

fn cast(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(0);
    // To no other float type that is computed in: narrow ones magnify the difference of a rounding.
    let others = DType::ALL.into_iter().filter(|d| !d.is_real());
    let to =
        b.one_of(&[b.float, b.float, b.float, DType::Bool].into_iter().chain(others).collect::<Vec<_>>());
    if b.graph.dtype_of(x.o).is_float() && !to.is_real() && (!x.exact || to.is_storage()) {
        let all = elements(&x);
        let near = |v: f64, side: f64| round_to(to, v + side * (1e-3 * v.abs() + 1e-5));
        let certain = match to {
            DType::Bool => apart(all.into_iter().map(|v| (v, 0.0))),
            to if to.is_storage() => all.into_iter().all(|v| near(v, 1.0) == near(v, -1.0)),
            _ => apart(all.into_iter().map(|v| (v, v.round()))),
        };
        certain.then_some(())?;
    }
    b.add(Cast { to }, &[&x])?;
    Some(())
}

fn broadcast(b: &mut Builder<'_>) -> Option<()> {
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

fn reshape(b: &mut Builder<'_>) -> Option<()> {
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

fn permute(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(2);
    let mut axes: Axes = (0..shape_of(b, &x).len()).collect();
    b.random.shuffle(&mut axes);
    b.add(Permute { axes }, &[&x])?;
    Some(())
}

fn slice(b: &mut Builder<'_>) -> Option<()> {
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

fn concat(b: &mut Builder<'_>) -> Option<()> {
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

fn pad(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(1);
    let axis = b.below(shape_of(b, &x).len());
    let (before, after) = (Dim::from(b.below(4)), Dim::from(b.below(4)));
    let value = Literal::float(b.graph.dtype_of(x.o), b.below(3) as f64 / 2.0);
    b.add(Pad { axis, before, after, value }, &[&x])?;
    Some(())
}

fn reverse(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(1);
    let rank = shape_of(b, &x).len();
    let axes = (0..rank).filter(|_| b.one_in(2)).collect();
    b.add(Reverse { axes }, &[&x])?;
    Some(())
}

/// A window along so many axes.
fn window(b: &mut Builder<'_>, axes: usize) -> Window {
    let mut some = |least: usize, bound: usize| (0..axes).map(|_| (least + b.below(bound)) as i64).collect();
    Window {
        kernel: some(1, 3),
        stride: some(1, 3),
        dilation: some(1, 2),
        before: some(0, 3),
        after: some(0, 3),
    }
}

fn windows(b: &mut Builder<'_>) -> Option<()> {
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

fn spread(b: &mut Builder<'_>) -> Option<()> {
    let (window, shape, g) = folded(b)?;
    b.add(Spread { window, shape }, &[&g])?;
    Some(())
}

fn fold(b: &mut Builder<'_>) -> Option<()> {
    let (window, shape, g) = folded(b)?;
    b.add(Fold { window, shape }, &[&g])?;
    Some(())
}

fn reduce(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(1);
    let rank = shape_of(b, &x).len();
    let mut axes: Axes = (0..rank).filter(|_| b.one_in(2)).collect();
    if axes.is_empty() {
        axes.push(rank - 1);
    }
    let op = match b.graph.dtype_of(x.o) {
        DType::Bool => b.one_of(&[ReduceOp::Max, ReduceOp::Min]),
        _ => b.one_of(&[ReduceOp::Sum, ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min, ReduceOp::Prod]),
    };
    b.add(Reduce { op, axes }, &[&x])?;
    Some(())
}

fn cumulative(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(1);
    let rank = shape_of(b, &x).len();
    let dtype = b.graph.dtype_of(x.o);
    let op = match dtype {
        DType::Bool => b.one_of(&[ReduceOp::Max, ReduceOp::Min]),
        // Which element an extreme comes from must not hang on a rounding error.
        _ if dtype.is_float() && !x.exact => b.one_of(&[ReduceOp::Sum, ReduceOp::Prod]),
        _ => b.one_of(&ReduceOp::ALL),
    };
    // An extreme of nothing is an infinity.
    let ends = dtype.is_float() && matches!(op, ReduceOp::Max | ReduceOp::Min);
    let exclusive = !ends && b.one_in(2);
    let (axis, reverse) = (b.below(rank), b.one_in(2));
    b.add(Cumulative { op, axis, exclusive, reverse }, &[&x])?;
    Some(())
}

/// A product of integers, which wraps.
fn integer_matmul(b: &mut Builder<'_>) -> Option<()> {
    let dtype = b.one_of(&[DType::I32, DType::I32, DType::I64, DType::U8]);
    let (transpose_a, transpose_b) = (b.one_in(2), b.one_in(2));
    let [m, k, n] = [b.dim(), b.dim(), b.dim()];
    let sides = |turned: bool, rows: &Dim, cols: &Dim| {
        let (a, z) = if turned { (cols, rows) } else { (rows, cols) };
        Shape::from_iter([a.clone(), z.clone()])
    };
    let x = b.value(dtype, sides(transpose_a, &m, &k));
    let y = b.value(dtype, sides(transpose_b, &k, &n));
    b.add(Matmul { transpose_a, transpose_b }, &[&x, &y])?;
    Some(())
}

fn matmul(b: &mut Builder<'_>) -> Option<()> {
    if b.one_in(4) {
        return integer_matmul(b);
    }
    let x = b.floats(2);
    let (transpose_a, transpose_b) = (b.one_in(2), b.one_in(2));
    let mut shape = shape_of(b, &x);
    let rank = shape.len();
    let inner = shape[if transpose_a { rank - 2 } else { rank - 1 }].clone();
    let outer = b.dim();
    shape[rank - 2] = if transpose_b { outer.clone() } else { inner.clone() };
    shape[rank - 1] = if transpose_b { inner } else { outer };
    let y = b.value(b.float, shape);
    b.add(Matmul { transpose_a, transpose_b }, &[&x, &y])?;
    Some(())
}

/// A window, groups, and channels of both sides in a group.
fn filters(b: &mut Builder<'_>, axes: usize) -> (Window, i64, Dim, Dim) {
    let groups = b.one_of(&[1i64, 1, 2]);
    let [c, m] = [(); 2].map(|()| Dim::from(1 + b.below(3)));
    (window(b, axes), groups, c, m)
}

fn conv(b: &mut Builder<'_>) -> Option<()> {
    let axes = 1 + b.below(2);
    let (window, groups, c, m) = filters(b, axes);
    let mut shape = Shape::from_iter([b.dim(), &c * &groups.into()]);
    shape.extend((0..axes).map(|_| b.dim()));
    let positions = window.positions("conv", &shape[2..]).ok()?;
    (b.count(&positions) * b.count(&shape[..2]) * 9 <= 8192).then_some(())?;
    let x = b.value(b.float, shape);
    let kernel = window.kernel.iter().map(|k| Dim::from(*k));
    let w = [&m * &groups.into(), c].into_iter().chain(kernel).collect();
    let w = b.value(b.float, w);
    b.add(Conv { window, groups }, &[&x, &w])?;
    Some(())
}

fn conv_transpose(b: &mut Builder<'_>) -> Option<()> {
    let axes = 1 + b.below(2);
    let (window, groups, c, m) = filters(b, axes);
    let shape: Shape = (0..axes).map(|_| b.dim()).collect();
    let positions = window.positions("conv_transpose", &shape).ok()?;
    (b.count(&positions) * 9 * 6 * 17 <= 32768).then_some(())?;
    let x = [b.dim(), &c * &groups.into()].into_iter().chain(positions).collect();
    let x = b.value(b.float, x);
    let kernel = window.kernel.iter().map(|k| Dim::from(*k));
    let w = [&c * &groups.into(), m].into_iter().chain(kernel).collect();
    let w = b.value(b.float, w);
    b.add(ConvTranspose { window, groups, shape }, &[&x, &w])?;
    Some(())
}

fn gather_rows(b: &mut Builder<'_>) -> Option<()> {
    // Every second time few rows of a table that is known to be large, as rewriting looks for them.
    let few = b.one_in(2);
    let large = |ty: &Type| {
        let rows = ty.as_tensor().and_then(|t| t.shape.first()).and_then(Dim::as_const);
        rows.is_some_and(|rows| rows >= 8)
    };
    let table = if few { b.pick(large)? } else { b.any(1) };
    let rows = shape_of(b, &table)[0].clone();
    let rank = b.below(3);
    let shape = if few { Shape::from_iter([Dim::from(1 + b.below(4))]) } else { b.shape(rank) };
    let ids = b.ids(shape, &rows)?;
    b.add(GatherRows, &[&table, &ids])?;
    Some(())
}

/// Coordinates for the first axes of a tensor, counted, given or computed, some of them beyond their axes.
fn coordinates(b: &mut Builder<'_>, x: &Entry) -> Vec<Entry> {
    let (own, rank) = (shape_of(b, x), b.below(3));
    let shape = if b.one_in(3) { own.clone() } else { b.shape(rank) };
    let indexed = 1 + b.below(own.len());
    let mut all = vec![];
    for _ in 0..indexed {
        let dtype = b.one_of(&[DType::I32, DType::I32, DType::I64]);
        let counted = !shape.is_empty() && b.allows("iota") && b.one_in(3);
        let axis = b.below(shape.len());
        let iota = Iota { shape: shape.clone(), axis, dtype };
        let counted = if counted { b.add(iota, &[]).and_then(|mut all| all.pop()) } else { None };
        all.push(match counted {
            Some(counted) => counted,
            None if b.one_in(2) => b.tensor_input(dtype, shape.clone()),
            None => b.value(dtype, shape.clone()),
        });
    }
    all
}

fn index(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(1);
    let coordinates = coordinates(b, &x);
    let operands: Vec<&Entry> = std::iter::once(&x).chain(&coordinates).collect();
    b.add(Index, &operands)?;
    Some(())
}

fn index_update(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(1);
    let coordinates = coordinates(b, &x);
    let (dtype, indexed) = (b.graph.dtype_of(x.o), coordinates.len());
    let op = match dtype {
        DType::Bool => b.one_of(&[None, Some(ReduceOp::Max), Some(ReduceOp::Min)]),
        _ => b.one_of(&[None, Some(ReduceOp::Sum), Some(ReduceOp::Prod), Some(ReduceOp::Max)]),
    };
    let mut shape = shape_of(b, &coordinates[0]);
    shape.extend(shape_of(b, &x).drain(indexed..));
    let updates = b.value(dtype, shape);
    let operands: Vec<&Entry> =
        std::iter::once(&x).chain(&coordinates).chain(std::iter::once(&updates)).collect();
    b.add(IndexUpdate { op }, &operands)?;
    Some(())
}

/// Values with ids below a number of rows.
fn ids_and_values(b: &mut Builder<'_>) -> Option<(Dim, Entry, Entry)> {
    let values = b.floats(1);
    let count = shape_of(b, &values)[0].clone();
    let rows = b.dim();
    let ids = b.ids(Shape::from_iter([count]), &rows)?;
    Some((rows, ids, values))
}

fn scatter_rows(b: &mut Builder<'_>) -> Option<()> {
    let (rows, ids, values) = ids_and_values(b)?;
    b.add(ScatterRows { rows }, &[&ids, &values])?;
    Some(())
}

fn row_sparse(b: &mut Builder<'_>) -> Option<()> {
    let (rows, ids, values) = ids_and_values(b)?;
    let whole = b.add(RowSparse { rows: rows.clone() }, &[&ids, &values])?;
    if b.allows("row_sparse_parts") {
        let parts = b.add(RowSparseParts, &[&whole[0]])?;
        if b.allows("scatter_rows") && b.one_in(2) {
            b.add(ScatterRows { rows }, &[&parts[0], &parts[1]])?;
        }
    }
    Some(())
}

fn segments(b: &mut Builder<'_>) -> Option<()> {
    let (rows, ids, values) = ids_and_values(b)?;
    let parts = b.add(Segments { rows }, &[&ids])?;
    if b.allows("segment_sum") {
        b.add(SegmentSum, &[&parts[0], &parts[1], &values])?;
    }
    Some(())
}

fn spmm(b: &mut Builder<'_>) -> Option<()> {
    let csr = b.pattern();
    let ty = b.graph.csr(csr.o).clone();
    let (transpose, weighted) = (b.one_in(2), b.one_in(2));
    let cols = if transpose { ty.rows } else { ty.cols };
    let rank = b.one_of(&[0, 1, 1, 1, 2]);
    let shape: Shape = std::iter::once(cols).chain(b.shape(rank)).collect();
    let x = b.value(b.float, shape);
    let mut operands = vec![&csr, &x];
    let weights;
    if weighted {
        weights = b.value(b.float, Shape::from_iter([ty.nnz]));
        operands.push(&weights);
    }
    b.add(Spmm { transpose, weighted }, &operands)?;
    Some(())
}

fn spmm_rows(b: &mut Builder<'_>) -> Option<()> {
    let csr = b.pattern();
    let ty = b.graph.csr(csr.o).clone();
    let (transpose, rank) = (b.one_in(2), b.below(3));
    let (rows, cols) = if transpose { (ty.cols, ty.rows) } else { (ty.rows, ty.cols) };
    let shape: Shape = std::iter::once(cols).chain(b.shape(rank)).collect();
    let x = b.value(b.float, shape);
    let count = b.dim();
    let ids = b.ids(Shape::from_iter([count]), &rows)?;
    b.add(SpmmRows { transpose }, &[&csr, &x, &ids])?;
    Some(())
}

fn sddmm(b: &mut Builder<'_>) -> Option<()> {
    let csr = b.pattern();
    let ty = b.graph.csr(csr.o).clone();
    let width = b.dim();
    let [x, y] = [ty.rows, ty.cols].map(|rows| b.value(b.float, Shape::from_iter([rows, width.clone()])));
    b.add(Sddmm, &[&csr, &x, &y])?;
    Some(())
}

fn csr_degree(b: &mut Builder<'_>) -> Option<()> {
    let csr = b.pattern();
    let transpose = b.one_in(2);
    let degree = b.add(CsrDegree { transpose }, &[&csr])?;
    if b.allows("cast") {
        b.add(Cast { to: b.float }, &[&degree[0]])?;
    }
    Some(())
}

fn top_k(b: &mut Builder<'_>) -> Option<()> {
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

fn sort(b: &mut Builder<'_>) -> Option<()> {
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

fn score_top_k(b: &mut Builder<'_>) -> Option<()> {
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

fn dropout(b: &mut Builder<'_>) -> Option<()> {
    let x = b.floats(0);
    let [seed, step] = seed_and_step(b);
    let rate = Literal::float(DType::F64, b.one_of(&[0.0, 0.1, 0.25, 0.5, 0.9]));
    let stream = b.below(5) as u32;
    b.add(Dropout { rate, stream }, &[&x, &seed, &step])?;
    Some(())
}

fn softmax(b: &mut Builder<'_>) -> Option<()> {
    let x = b.floats(1);
    b.add(Softmax, &[&x])?;
    Some(())
}

fn log_sum_exp(b: &mut Builder<'_>) -> Option<()> {
    let x = b.floats(1);
    b.add(LogSumExp, &[&x])?;
    Some(())
}
