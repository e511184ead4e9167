//! Every op on small operands: results of the inferred types, gradients beside finite differences, bodies
//! beside the op.

use crate::difference::{Inputs, check, run};
use latentc_ir::array::{Array, CsrArray, Value};
use latentc_ir::diag::{Diag, Span};
use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::grad::{gradients, jvp};
use latentc_ir::graph::{Graph, InputKind, Operand};
use latentc_ir::ops::after::After;
use latentc_ir::ops::barrier::Barrier;
use latentc_ir::ops::bitcast::Bitcast;
use latentc_ir::ops::broadcast::Broadcast;
use latentc_ir::ops::cast::Cast;
use latentc_ir::ops::checkpoint::Checkpoint;
use latentc_ir::ops::cholesky::Cholesky;
use latentc_ir::ops::concat::Concat;
use latentc_ir::ops::conv::Conv;
use latentc_ir::ops::conv_transpose::ConvTranspose;
use latentc_ir::ops::csr_array::CsrArrayOf;
use latentc_ir::ops::csr_degree::CsrDegree;
use latentc_ir::ops::cumulative::Cumulative;
use latentc_ir::ops::custom_vjp::CustomVjp;
use latentc_ir::ops::dropout::Dropout;
use latentc_ir::ops::eigh::Eigh;
use latentc_ir::ops::elementwise::Elementwise;
use latentc_ir::ops::fill::Fill;
use latentc_ir::ops::fold::Fold;
use latentc_ir::ops::gather_rows::GatherRows;
use latentc_ir::ops::index::Index;
use latentc_ir::ops::index_update::IndexUpdate;
use latentc_ir::ops::input::Input;
use latentc_ir::ops::iota::Iota;
use latentc_ir::ops::linear_log_sum_exp::LinearLogSumExp;
use latentc_ir::ops::log_sum_exp::LogSumExp;
use latentc_ir::ops::lu::Lu;
use latentc_ir::ops::matmul::Matmul;
use latentc_ir::ops::pad::Pad;
use latentc_ir::ops::permute::Permute;
use latentc_ir::ops::pinv::Pinv;
use latentc_ir::ops::placeholder::Placeholder;
use latentc_ir::ops::qr::Qr;
use latentc_ir::ops::random::Random;
use latentc_ir::ops::reduce::Reduce;
use latentc_ir::ops::reshape::Reshape;
use latentc_ir::ops::reverse::Reverse;
use latentc_ir::ops::row_sparse::{RowSparse, RowSparseParts};
use latentc_ir::ops::scatter_rows::ScatterRows;
use latentc_ir::ops::score_top_k::ScoreTopK;
use latentc_ir::ops::sddmm::Sddmm;
use latentc_ir::ops::segment_ids::SegmentIds;
use latentc_ir::ops::segment_reduce::SegmentReduce;
use latentc_ir::ops::segment_softmax::SegmentSoftmax;
use latentc_ir::ops::segments::Segments;
use latentc_ir::ops::size::Size;
use latentc_ir::ops::slice::Slice;
use latentc_ir::ops::softmax::Softmax;
use latentc_ir::ops::sort::Sort;
use latentc_ir::ops::spmm::Spmm;
use latentc_ir::ops::spmm_rows::SpmmRows;
use latentc_ir::ops::spread::Spread;
use latentc_ir::ops::svd::Svd;
use latentc_ir::ops::top_k::TopK;
use latentc_ir::ops::triangular_solve::TriangularSolve;
use latentc_ir::ops::windows::{Window, Windows};
use latentc_ir::ops::{Axes, Op};
use latentc_ir::philox::Stream;
use latentc_ir::plan::CsrPart;
use latentc_ir::scalar::{ReduceOp, ScalarOp, Signature};
use latentc_ir::testing::{Tolerance, compare, random_ids, random_pattern};
use latentc_ir::types::{CsrType, RowSparseType, Shape, Type};
use std::sync::Arc;

/// An op with values of its operands.
pub struct Case {
    pub op: Op,
    pub operands: Vec<Value>,
}

/// Numbers on both sides of 0, no two of them equal.
pub fn numbers(shape: &[usize], seed: u32) -> Value {
    let mut s = Stream::new(11, seed, 0);
    let all: Vec<f64> = (0..shape.iter().product()).map(|_| s.normal()).collect();
    Value::Tensor(Array::from_f64(DType::F64, shape, &all))
}

/// Numbers of at least one half.
fn positive(shape: &[usize], seed: u32) -> Value {
    let Value::Tensor(a) = numbers(shape, seed) else { unreachable!("a tensor") };
    let all: Vec<f64> = a.to_f64().iter().map(|x| x.abs() + 0.5).collect();
    Value::Tensor(Array::from_f64(DType::F64, shape, &all))
}

/// Numbers between `middle - size` and `middle + size`.
fn within(shape: &[usize], size: f64, middle: f64, seed: u32) -> Value {
    let Value::Tensor(a) = numbers(shape, seed) else { unreachable!("a tensor") };
    let all: Vec<f64> = a.to_f64().iter().map(|x| middle + size * x.tanh()).collect();
    Value::Tensor(Array::from_f64(DType::F64, shape, &all))
}

/// Square matrices whose diagonal outweighs the rest.
fn heavy(shape: &[usize], seed: u32) -> Value {
    let Value::Tensor(mut a) = numbers(shape, seed) else { unreachable!("a tensor") };
    let n = shape[shape.len() - 1];
    for i in 0..a.len() {
        let diagonal = if i / n % n == i % n { 3.0 } else { 0.0 };
        a.set(i, Literal::float(DType::F64, a.get(i).as_f64() / 4.0 + diagonal));
    }
    Value::Tensor(a)
}

fn ints<T: latentc_ir::array::Element>(shape: &[usize], values: &[T]) -> Value {
    Value::Tensor(Array::from_slice(shape, values))
}

fn ids(count: usize, bound: usize, seed: u32) -> Value {
    Value::Tensor(random_ids(&mut Stream::new(12, seed, 0), count, bound))
}

fn bools(shape: &[usize], seed: u32) -> Value {
    let mut s = Stream::new(13, seed, 0);
    let mut a = Array::zeros(DType::Bool, shape);
    for i in 0..a.len() {
        a.set(i, Literal::int(DType::Bool, i64::from(s.below(2))));
    }
    Value::Tensor(a)
}

fn csr(rows: usize, cols: usize, symmetric: bool) -> Value {
    Value::Csr(Arc::new(random_pattern(&mut Stream::new(14, 0, 0), rows, cols, symmetric)))
}

fn nnz(csr: &Value) -> usize {
    let Value::Csr(c) = csr else { panic!("a pattern") };
    c.indices.len()
}

fn dims(shape: &[usize]) -> Shape {
    shape.iter().map(|s| Dim::from(*s)).collect()
}

pub fn cases() -> Vec<Case> {
    let mut all = vec![];
    let mut case = |op: Op, operands: Vec<Value>| all.push(Case { op, operands });
    let seed_and_step = || [ints(&[], &[42i64]), ints(&[], &[3i64])];

    for &op in ScalarOp::ALL {
        let shape = [2, 5];
        let operands = match (op, op.signature()) {
            (ScalarOp::Log | ScalarOp::Log1p | ScalarOp::Sqrt | ScalarOp::Rsqrt | ScalarOp::Recip, _) => {
                vec![positive(&shape, 1)]
            }
            (ScalarOp::Lgamma | ScalarOp::Digamma, _) => {
                // On both sides of the reflection, away from the poles.
                let all: Vec<f64> =
                    (0..10).map(|i| 1.37 * f64::from(i) - 5.6 + 0.01 * f64::from(i * i)).collect();
                vec![Value::Tensor(Array::from_f64(DType::F64, &shape, &all))]
            }
            (ScalarOp::Asin | ScalarOp::Acos | ScalarOp::Atanh, _) => vec![within(&shape, 0.9, 0.0, 1)],
            (ScalarOp::Tan, _) => vec![within(&shape, 1.4, 0.0, 1)],
            (ScalarOp::Acosh, _) => vec![within(&shape, 0.9, 2.1, 1)],
            (ScalarOp::Atan2, _) => vec![numbers(&shape, 1), positive(&shape, 2)],
            (_, Signature::Integer) => {
                vec![ints(&shape, &[1i32, -5, 7, 9, -1, 3, 2, 1, 0, 6]), ints(&shape, &[1i32; 10])]
            }
            (ScalarOp::Div | ScalarOp::Rem | ScalarOp::Fmod, _) => {
                vec![numbers(&shape, 1), positive(&shape, 2)]
            }
            (ScalarOp::Pow, _) => vec![positive(&shape, 1), numbers(&shape, 2)],
            (_, Signature::Logic) => (1..=op.arity()).map(|i| bools(&shape, i as u32)).collect(),
            (_, Signature::Select) => vec![bools(&shape, 1), numbers(&shape, 2), numbers(&shape, 3)],
            (_, Signature::Philox) => continue,
            _ => (1..=op.arity()).map(|i| numbers(&shape, i as u32)).collect(),
        };
        case(Elementwise { op }.into(), operands);
    }
    case(Fill { value: Literal::float(DType::F64, 1.5), shape: dims(&[2, 3]) }.into(), vec![]);
    crate::control::cases(&mut case);
    case(Size { dim: 6.into() }.into(), vec![]);
    for (axis, dtype) in [(0, DType::I32), (1, DType::F64), (1, DType::U8)] {
        case(Iota { shape: dims(&[2, 300]), axis, dtype }.into(), vec![]);
    }
    case(Random { stream: 7, shape: dims(&[3, 5]) }.into(), seed_and_step().to_vec());
    for to in DType::ALL {
        case(Cast { to }.into(), vec![numbers(&[7], 1)]);
    }
    case(
        Broadcast { shape: dims(&[3, 2, 4, 5]), axes: Axes::from_slice(&[1, 3]) }.into(),
        vec![numbers(&[2, 5], 1)],
    );
    case(Broadcast { shape: dims(&[3]), axes: Axes::new() }.into(), vec![numbers(&[], 1)]);
    case(Reshape { shape: dims(&[3, 4]) }.into(), vec![numbers(&[2, 6], 1)]);
    case(Permute { axes: Axes::from_slice(&[2, 0, 1]) }.into(), vec![numbers(&[2, 3, 4], 1)]);
    for (start, end, step) in [(0, 5, 1), (1, 4, 1), (1, 7, 2), (0, 7, 3), (2, 6, 3), (3, 3, 1), (5, 7, 4)] {
        let op = Slice { axis: 1, start: start.into(), end: end.into(), step };
        case(op.into(), vec![numbers(&[2, 7, 2], 1)]);
    }
    case(Concat { axis: 1 }.into(), vec![numbers(&[2, 3], 1), numbers(&[2, 0], 2), numbers(&[2, 4], 3)]);
    let value = Literal::float(DType::F64, 2.5);
    case(Pad { axis: 0, before: 1.into(), after: 2.into(), value }.into(), vec![numbers(&[3, 2], 1)]);
    case(Reverse { axes: Axes::from_slice(&[0, 2]) }.into(), vec![numbers(&[3, 2, 4], 1)]);
    for (kernel, stride, dilation, before, after) in
        [([2, 3], [1, 1], [1, 1], [0, 0], [0, 0]), ([3, 2], [2, 3], [1, 2], [2, 0], [1, 1])]
    {
        let list = |all: [i64; 2]| all.into_iter().collect();
        let [kernel, stride, dilation] = [kernel, stride, dilation].map(list);
        let window = Window { kernel, stride, dilation, before: list(before), after: list(after) };
        let value = Literal::float(DType::F64, 0.5);
        case(Windows { window: window.clone(), value }.into(), vec![numbers(&[2, 4, 5], 1)]);
        let shape = dims(&[4, 5]);
        let positions = window.positions("windows", &shape).expect("a window that fits");
        let sizes = positions.iter().map(|d| d.as_const().expect("a constant")).chain(window.kernel.clone());
        let sizes: Vec<usize> = std::iter::once(2).chain(sizes.map(|d| d as usize)).collect();
        case(Spread { window: window.clone(), shape: shape.clone() }.into(), vec![numbers(&sizes, 1)]);
        case(Fold { window, shape }.into(), vec![numbers(&sizes, 1)]);
    }
    let strided = Window {
        stride: [2].into_iter().collect(),
        dilation: [2].into_iter().collect(),
        before: [1].into_iter().collect(),
        after: [2].into_iter().collect(),
        ..Window::new([2])
    };
    let near = Window { before: [1, 0].into_iter().collect(), ..Window::new([3, 2]) };
    for groups in [1, 2] {
        let g = groups as usize;
        let op = Conv { window: strided.clone(), groups };
        case(op.into(), vec![numbers(&[2, 2 * g, 5], 1), numbers(&[2 * g, 2, 2], 2)]);
        let op = Conv { window: near.clone(), groups };
        case(op.into(), vec![numbers(&[2, g, 4, 3], 1), numbers(&[2 * g, 1, 3, 2], 2)]);
        for more in [0, 1] {
            let shape = ConvTranspose::sizes(&strided, &dims(&[3]), &[more]);
            let op = ConvTranspose { window: strided.clone(), groups, shape };
            case(op.into(), vec![numbers(&[2, 2 * g, 3], 1), numbers(&[2 * g, 2, 2], 2)]);
        }
        let shape = ConvTranspose::sizes(&near, &dims(&[2, 3]), &[]);
        let op = ConvTranspose { window: near.clone(), groups, shape };
        case(op.into(), vec![numbers(&[2, g, 2, 3], 1), numbers(&[g, 2, 3, 2], 2)]);
    }
    for op in ReduceOp::ALL {
        for axes in [&[0][..], &[1], &[0, 2], &[]] {
            case(Reduce { op, axes: Axes::from_slice(axes) }.into(), vec![numbers(&[2, 3, 2], 1)]);
        }
    }
    for op in ReduceOp::ALL {
        for (axis, exclusive, reverse) in
            [(0, false, false), (1, true, false), (1, false, true), (2, true, true)]
        {
            // Nothing is what an exclusive extreme begins with, so its results are no floats to differentiate.
            if exclusive && matches!(op, ReduceOp::Max | ReduceOp::Min) {
                let all: Vec<i32> = (0..12).map(|i| i * 7 % 12).collect();
                case(Cumulative { op, axis, exclusive, reverse }.into(), vec![ints(&[2, 3, 2], &all)]);
                continue;
            }
            case(Cumulative { op, axis, exclusive, reverse }.into(), vec![numbers(&[2, 4, 2], 1)]);
        }
    }
    let mut with_zeros =
        Array::from_f64(DType::F64, &[3, 3], &[0.0, 2.0, -3.0, 0.0, 0.0, 5.0, 1.5, 2.5, -0.5]);
    with_zeros.set(1, Literal::float(DType::F64, 2.0));
    for (exclusive, reverse) in [(false, false), (true, true)] {
        let op = Cumulative { op: ReduceOp::Prod, axis: 1, exclusive, reverse };
        case(op.into(), vec![Value::Tensor(with_zeros.clone())]);
    }
    case(Reduce { op: ReduceOp::Prod, axes: Axes::from_slice(&[1]) }.into(), vec![Value::Tensor(with_zeros)]);
    for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let a = if transpose_a { [2, 4, 3] } else { [2, 3, 4] };
        let b = if transpose_b { [2, 5, 4] } else { [2, 4, 5] };
        case(Matmul { transpose_a, transpose_b }.into(), vec![numbers(&a, 1), numbers(&b, 2)]);
        case(Matmul { transpose_a, transpose_b }.into(), vec![numbers(&a[1..], 1), numbers(&b[1..], 2)]);
        let bytes = |shape: &[usize], by: i32| {
            let all: Vec<i8> = (0..shape.iter().product::<usize>() as i32).map(|i| (i * by) as i8).collect();
            ints(shape, &all)
        };
        case(Matmul { transpose_a, transpose_b }.into(), vec![bytes(&a, 37), bytes(&b, 91)]);
    }
    case(GatherRows.into(), vec![numbers(&[5, 2], 1), ids(7, 5, 1)]);
    case(GatherRows.into(), vec![numbers(&[5], 1), ids(6, 5, 2).reshaped(&[2, 3])]);
    case(GatherRows.into(), vec![numbers(&[5, 2, 2], 1), ids(1, 5, 3).reshaped(&[])]);
    case(Index.into(), vec![numbers(&[5], 1), ids(6, 5, 2).reshaped(&[2, 3])]);
    // Some are beyond the axis; some elements are read more than once.
    let beyond = ints(&[7], &[-3i64, 0, 2, 9, 1, 1, i64::MIN]);
    case(Index.into(), vec![numbers(&[3, 4], 1), beyond.clone(), ids(7, 4, 1)]);
    case(Index.into(), vec![numbers(&[3, 4, 2], 1), beyond.clone(), ids(7, 4, 1), ids(7, 2, 2)]);
    case(Index.into(), vec![numbers(&[3, 2, 2], 1), beyond.clone()]);
    case(Index.into(), vec![numbers(&[3, 2, 2], 1), ids(2, 3, 1), ids(2, 2, 2)]);
    for op in [None, Some(ReduceOp::Sum), Some(ReduceOp::Prod), Some(ReduceOp::Max), Some(ReduceOp::Min)] {
        let op = || IndexUpdate { op }.into();
        case(op(), vec![numbers(&[3], 1), beyond.clone(), numbers(&[7], 2)]);
        case(op(), vec![numbers(&[3, 4, 2], 1), beyond.clone(), numbers(&[7, 4, 2], 2)]);
        case(op(), vec![numbers(&[3, 2, 2], 1), ids(4, 3, 1), ids(4, 2, 2), numbers(&[4, 2], 2)]);
        case(op(), vec![numbers(&[0, 2], 1), ids(4, 3, 1), numbers(&[4, 2], 2)]);
    }
    case(ScatterRows { rows: 4.into() }.into(), vec![ids(6, 4, 1), numbers(&[6, 3], 2)]);
    case(ScatterRows { rows: 4.into() }.into(), vec![ids(6, 4, 1), numbers(&[6], 2)]);
    case(RowSparse { rows: 5.into() }.into(), vec![ids(4, 5, 1), numbers(&[4, 2], 2)]);
    let Value::Tensor(rows) = ids(4, 5, 1) else { unreachable!("a tensor") };
    let Value::Tensor(values) = numbers(&[4, 2], 2) else { unreachable!("a tensor") };
    case(RowSparseParts.into(), vec![Value::RowSparse { rows: 5, ids: rows, values }]);
    case(Segments { rows: 4.into() }.into(), vec![ids(9, 4, 1)]);
    // Segments that leave out a position at either end, and of which one is empty.
    let bounds = || ints(&[4], &[1i32, 2, 2, 5]);
    case(SegmentIds { count: 6.into() }.into(), vec![bounds()]);
    for op in [ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min] {
        let order = || ints(&[6], &[4i32, 0, 1, 1, 3, 2]);
        // An extreme of nothing is no float to differentiate.
        let some = || if op == ReduceOp::Sum { bounds() } else { ints(&[4], &[1i32, 2, 3, 5]) };
        case(SegmentReduce { op }.into(), vec![some(), order(), numbers(&[5, 2], 1)]);
        case(SegmentReduce { op }.into(), vec![some(), order(), numbers(&[5], 1)]);
        case(SegmentReduce { op }.into(), vec![bounds(), order(), ints(&[5], &[3i32, 1, -4, 1, 5])]);
        if op == ReduceOp::Sum {
            let all = vec![bounds(), order(), numbers(&[5, 2], 1), numbers(&[6], 2)];
            case(SegmentReduce { op }.into(), all);
        }
    }
    let order = || ints(&[6], &[5i32, 0, 1, 2, 3, 4]);
    case(SegmentSoftmax.into(), vec![bounds(), order(), numbers(&[6], 1)]);
    case(SegmentSoftmax.into(), vec![bounds(), order(), numbers(&[6, 3], 1)]);
    for (transpose, symmetric) in [(false, false), (true, false), (false, true), (true, true)] {
        let pattern = if symmetric { csr(5, 5, true) } else { csr(5, 4, false) };
        let x = match (symmetric, transpose) {
            (false, false) => 4,
            _ => 5,
        };
        let weights = numbers(&[nnz(&pattern)], 2);
        let op = |weighted| Spmm { transpose, weighted }.into();
        case(op(false), vec![pattern.clone(), numbers(&[x, 2], 1)]);
        case(op(true), vec![pattern.clone(), numbers(&[x, 2], 1), weights.clone()]);
        case(op(true), vec![pattern.clone(), numbers(&[x], 1), weights.clone()]);
        case(op(true), vec![pattern.clone(), numbers(&[x, 2, 2], 1), weights]);
        let rows = if symmetric || !transpose { 5 } else { 4 };
        case(SpmmRows { transpose }.into(), vec![pattern.clone(), numbers(&[x, 2], 1), ids(6, rows, 3)]);
        case(CsrDegree { transpose }.into(), vec![pattern.clone()]);
        for part in ["indptr", "indices", "twin_indptr", "twin_indices", "twin_edges"] {
            let part = CsrPart::parse(part).expect("the name of a part");
            case(CsrArrayOf { part }.into(), vec![pattern.clone()]);
        }
    }
    case(Sddmm.into(), vec![csr(5, 4, false), numbers(&[5, 3], 1), numbers(&[4, 3], 2)]);
    case(Sddmm.into(), vec![csr(5, 5, true), numbers(&[5, 3], 1), numbers(&[5, 3], 2)]);
    case(TopK { k: 3 }.into(), vec![numbers(&[7], 1)]);
    case(TopK { k: 3 }.into(), vec![numbers(&[2, 7], 1)]);
    case(Bitcast { to: DType::I64 }.into(), vec![numbers(&[2, 3], 1)]);
    case(Cholesky.into(), vec![heavy(&[2, 3, 3], 1)]);
    case(Lu.into(), vec![numbers(&[2, 4, 4], 1)]);
    for shape in [&[2, 4, 3][..], &[3, 3], &[5, 1]] {
        case(Qr.into(), vec![numbers(shape, 1)]);
        case(Svd.into(), vec![numbers(shape, 2)]);
    }
    case(Eigh.into(), vec![numbers(&[2, 3, 3], 4)]);
    for shape in [[4, 3], [2, 4]] {
        case(Pinv { least: Literal::float(DType::F64, 1e-9) }.into(), vec![numbers(&shape, 1)]);
    }
    for (lower, transpose, unit) in
        [(true, false, false), (false, false, true), (true, true, true), (false, true, false)]
    {
        let op = TriangularSolve { lower, transpose, unit };
        case(op.into(), vec![heavy(&[2, 3, 3], 1), numbers(&[2, 3, 2], 2)]);
    }
    for descending in [false, true] {
        case(Sort { descending }.into(), vec![numbers(&[2, 3, 7], 1)]);
        case(Sort { descending }.into(), vec![numbers(&[5], 1)]);
        case(Sort { descending }.into(), vec![ids(9, 4, 1)]);
    }
    let [Value::Tensor(q), Value::Tensor(items)] = [numbers(&[3, 4], 1), numbers(&[6, 4], 2)] else {
        unreachable!("tensors")
    };
    let [q, items] = [q, items].map(|a| Value::Tensor(Array::from_f64(DType::F32, a.shape(), &a.to_f64())));
    case(ScoreTopK { k: 5 }.into(), vec![q.clone(), items.clone()]);
    case(ScoreTopK { k: 5 }.into(), vec![q, items, csr(5, 6, false), ids(3, 5, 1)]);
    for rate in [0.0, 0.4] {
        let op = Dropout { rate: Literal::float(DType::F64, rate), stream: 1 };
        let [seed, step] = seed_and_step();
        case(op.into(), vec![numbers(&[4, 5], 1), seed, step]);
    }
    case(Softmax.into(), vec![numbers(&[3, 4], 1)]);
    case(Softmax.into(), vec![numbers(&[4], 1)]);
    case(LogSumExp.into(), vec![numbers(&[3, 4], 1)]);
    case(LogSumExp.into(), vec![numbers(&[4], 1)]);
    for (part, biased, excluding) in [(3, false, false), (4, true, false), (9, false, true), (2, true, true)]
    {
        let op = LinearLogSumExp { part, biased, excluding };
        let mut operands = vec![numbers(&[3, 2], 1), numbers(&[7, 2], 2)];
        if biased {
            operands.push(numbers(&[7], 3));
        }
        if excluding {
            operands.extend([ids(3, 4, 4), ids(7, 4, 5)]);
        }
        case(op.into(), operands);
    }
    case(After.into(), vec![numbers(&[3], 1), numbers(&[2, 2], 2), ids(2, 2, 3)]);
    case(Placeholder { id: 3, ty: Type::tensor(DType::F64, dims(&[2, 3])) }.into(), vec![]);
    case(CustomVjp.into(), vec![numbers(&[2, 3], 1)]);
    case(CustomVjp.into(), (1..=4).map(|i| numbers(&[2, 3], i)).collect());
    case(Checkpoint { results: 1 }.into(), vec![numbers(&[2, 3], 1)]);
    case(Barrier.into(), vec![numbers(&[2, 3], 1), numbers(&[4], 2)]);
    all
}

trait Reshaped {
    fn reshaped(self, shape: &[usize]) -> Value;
}

impl Reshaped for Value {
    fn reshaped(self, shape: &[usize]) -> Value {
        match self {
            Value::Tensor(a) => Value::Tensor(a.reshaped(shape)),
            other => other,
        }
    }
}

/// The type of a value, every size a constant.
pub fn type_of(value: &Value) -> Type {
    match value {
        Value::Tensor(a) => Type::tensor(a.dtype(), dims(a.shape())),
        Value::Csr(c) => Type::Csr(CsrType {
            rows: c.rows.into(),
            cols: c.cols.into(),
            nnz: c.indices.len().into(),
            symmetric: c.twin.is_none(),
        }),
        Value::RowSparse { rows, ids, values } => Type::RowSparse(RowSparseType {
            dtype: values.dtype(),
            shape: std::iter::once(*rows).chain(values.shape()[1..].iter().copied()).map(Dim::from).collect(),
            count: ids.len().into(),
        }),
    }
}

/// A graph of inputs `a`, `b`, .. that are the operands.
fn inputs_of(case: &Case) -> (Graph, Vec<Operand>, Inputs) {
    let mut g = Graph::new("case");
    let mut inputs: Inputs = vec![];
    let mut operands = vec![];
    for (value, name) in case.operands.iter().zip(["a", "b", "c", "d", "e"]) {
        let input = Input { name: name.to_owned(), kind: InputKind::Data, ty: type_of(value) };
        operands.push(g.value(input, &[], Span::none()).expect("an input"));
        inputs.push((name.to_owned(), value.clone()));
    }
    (g, operands, inputs)
}

fn is_float(g: &Graph, o: Operand) -> bool {
    match g.type_of(o) {
        Type::Tensor(t) => t.dtype == DType::F64,
        Type::RowSparse(r) => r.dtype == DType::F64,
        Type::Csr(_) => false,
    }
}

/// The sum of the f64 results, each element with a weight of its own; `None` where there is none.
fn loss_of(g: &mut Graph, results: &[Operand], inputs: &mut Inputs) -> Option<Operand> {
    let mut loss = None;
    for (i, r) in results.iter().enumerate().filter(|(_, r)| is_float(g, **r)).collect::<Vec<_>>() {
        let dense = g.densify(*r);
        let shape: Vec<usize> =
            g.shape_of(dense).iter().map(|d| d.as_const().expect("a constant") as usize).collect();
        let (name, weights) = (format!("w{i}"), numbers(&shape, 90 + i as u32));
        let input = Input { name: name.clone(), kind: InputKind::Data, ty: type_of(&weights) };
        let w = g.value(input, &[], Span::none()).expect("an input");
        inputs.push((name, weights));
        let product = g.map(ScalarOp::Mul, &[dense, w]);
        let part = g.reduce(ReduceOp::Sum, product, (0..shape.len()).collect());
        loss = Some(match loss {
            None => part,
            Some(so_far) => g.map(ScalarOp::Add, &[so_far, part]),
        });
    }
    loss
}

fn tensor_names(g: &Graph, operands: &[Operand]) -> Vec<&'static str> {
    let float = |o: &Operand| g.type_of(*o).as_tensor().is_some_and(|t| t.dtype == DType::F64);
    operands.iter().zip(["a", "b", "c", "d", "e"]).filter(|(o, _)| float(o)).map(|(_, n)| n).collect()
}

/// Whether the derivative of the op is another than that of what it computes: see `marks`.
fn is_by_hand(op: &Op) -> bool {
    matches!(op, Op::CustomVjp(_))
}

/// Whether the case's op is known to have no derivative.
fn has_no_derivative(op: &Op) -> bool {
    match op {
        Op::ScoreTopK(_) => true,
        Op::IndexUpdate(u) => u.op == Some(ReduceOp::Prod),
        _ => false,
    }
}

/// The number of an op among all, so that a new op without a case does not go unseen.
fn number(op: &Op) -> usize {
    match op {
        Op::Input(_) => 0,
        Op::Fill(_) => 1,
        Op::Random(_) => 2,
        Op::Elementwise(_) => 3,
        Op::Cast(_) => 4,
        Op::Broadcast(_) => 5,
        Op::Reshape(_) => 6,
        Op::Permute(_) => 7,
        Op::Slice(_) => 8,
        Op::Concat(_) => 9,
        Op::Pad(_) => 10,
        Op::Reduce(_) => 11,
        Op::Matmul(_) => 12,
        Op::GatherRows(_) => 13,
        Op::ScatterRows(_) => 14,
        Op::RowSparse(_) => 15,
        Op::RowSparseParts(_) => 16,
        Op::Segments(_) => 17,
        Op::SegmentReduce(_) => 18,
        Op::Spmm(_) => 19,
        Op::Sddmm(_) => 20,
        Op::CsrDegree(_) => 21,
        Op::TopK(_) => 22,
        Op::ScoreTopK(_) => 23,
        Op::Dropout(_) => 24,
        Op::Softmax(_) => 25,
        Op::LogSumExp(_) => 26,
        Op::SpmmRows(_) => 27,
        Op::Size(_) => 28,
        Op::Iota(_) => 29,
        Op::Index(_) => 30,
        Op::IndexUpdate(_) => 31,
        Op::Reverse(_) => 32,
        Op::Windows(_) => 33,
        Op::Spread(_) => 34,
        Op::Fold(_) => 35,
        Op::Conv(_) => 36,
        Op::ConvTranspose(_) => 37,
        Op::Sort(_) => 38,
        Op::Cumulative(_) => 39,
        Op::After(_) => 40,
        Op::CsrArrayOf(_) => 41,
        Op::SegmentIds(_) => 42,
        Op::SegmentSoftmax(_) => 43,
        Op::LinearLogSumExp(_) => 44,
        Op::Cholesky(_) => 45,
        Op::TriangularSolve(_) => 46,
        Op::Lu(_) => 47,
        Op::Qr(_) => 48,
        Op::Svd(_) => 49,
        Op::Eigh(_) => 50,
        Op::Pinv(_) => 51,
        Op::Scan(_) => 52,
        Op::Cond(_) => 53,
        Op::While(_) => 54,
        Op::Bitcast(_) => 55,
        Op::Placeholder(_) => 56,
        Op::CustomVjp(_) => 57,
        Op::Checkpoint(_) => 58,
        Op::Barrier(_) => 59,
    }
}

/// How many ops [`number`] counts.
pub const OPS: usize = 60;

/// Which ops a graph holds, by [`number`].
pub fn mark(graph: &Graph, seen: &mut [bool; OPS]) {
    for node in graph.topological() {
        seen[number(&graph.node(node).op)] = true;
    }
}

#[test]
fn every_op_has_a_case() {
    let mut seen = [false; OPS];
    for case in cases() {
        mark(&inputs_of(&case).0, &mut seen);
        seen[number(&case.op)] = true;
    }
    assert_eq!(seen, [true; OPS]);
}

/// The interpreter refuses results that are not of the inferred type.
#[test]
fn results_are_of_the_inferred_types() {
    for case in cases() {
        let (mut g, operands, inputs) = inputs_of(&case);
        let node = g.add(case.op.clone(), &operands, Span::none()).unwrap_or_else(|d| panic!("{d}"));
        let ports = g.node(node).types.len();
        g.outputs = (0..ports).map(|p| (format!("y{p}"), Operand { node, port: p as u16 })).collect();
        assert_eq!(run(&g, &inputs).outputs.len(), ports, "{:?}", case.op);
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for case in cases() {
        let (mut g, operands, mut inputs) = inputs_of(&case);
        let results = g.emit_all(case.op.clone(), &operands);
        let Some(loss) = loss_of(&mut g, &results, &mut inputs) else { continue };
        if is_by_hand(&case.op) {
            continue;
        }
        if has_no_derivative(&case.op) {
            let diag = gradients(&mut g, loss, &operands).expect_err("an op without a derivative");
            assert!(diag.notes[0].len() > 40, "a reason: {diag}");
            continue;
        }
        check(&g, loss, &inputs, &tensor_names(&g, &operands), 1e-7);
    }
}

/// The gradient's square as a loss: every rule is written in ops that have derivatives themselves.
#[test]
fn gradients_have_gradients() {
    for case in cases() {
        let (mut g, operands, mut inputs) = inputs_of(&case);
        let results = g.emit_all(case.op.clone(), &operands);
        let Some(first) = loss_of(&mut g, &results, &mut inputs) else { continue };
        let product = match &case.op {
            Op::Reduce(r) => r.op == ReduceOp::Prod,
            Op::Cumulative(c) => c.op == ReduceOp::Prod,
            _ => false,
        };
        let zero_in_product =
            product && matches!(&case.operands[0], Value::Tensor(a) if a.to_f64().contains(&0.0));
        if has_no_derivative(&case.op) || is_by_hand(&case.op) || zero_in_product {
            continue;
        }
        let wrt: Vec<Operand> = operands
            .iter()
            .copied()
            .filter(|o| g.type_of(*o).as_tensor().is_some_and(|_| is_float(&g, *o)))
            .collect();
        let mut loss: Option<Operand> = None;
        for gradient in gradients(&mut g, first, &wrt).unwrap_or_else(|d| panic!("{d}")).into_iter().flatten()
        {
            let gradient = g.densify(gradient);
            let square = g.map(ScalarOp::Square, &[gradient]);
            let rank = g.shape_of(square).len();
            let part = g.reduce(ReduceOp::Sum, square, (0..rank).collect());
            loss = Some(match loss {
                None => part,
                Some(so_far) => g.map(ScalarOp::Add, &[so_far, part]),
            });
        }
        if let Some(loss) = loss {
            check(&g, loss, &inputs, &tensor_names(&g, &operands), 1e-6);
        }
    }
}

/// The pushforward beside the slope along random tangents: it is the pullback of the pullback, so this is also a
/// test of second derivatives of every op by itself.
#[test]
fn tangents_are_slopes() {
    for case in cases() {
        if has_no_derivative(&case.op) || is_by_hand(&case.op) {
            continue;
        }
        let (mut g, operands, mut inputs) = inputs_of(&case);
        let results: Vec<Operand> =
            g.emit_all(case.op.clone(), &operands).into_iter().filter(|r| is_float(&g, *r)).collect();
        let results: Vec<Operand> = results.into_iter().map(|r| g.densify(r)).collect();
        let forward = g.clone();
        let mut along = vec![];
        let mut tangents = vec![];
        for (i, name) in tensor_names(&g, &operands).into_iter().enumerate() {
            let x = Operand::from(g.input(name).expect("an input of this name"));
            let at = inputs.iter().position(|(n, _)| n == name).expect("a value of this name");
            let Value::Tensor(a) = &inputs[at].1 else { panic!("{name} is no tensor") };
            let t = numbers(a.shape(), 70 + i as u32);
            let input = Input { name: format!("t{i}"), kind: InputKind::Data, ty: type_of(&t) };
            along.push((x, g.value(input, &[], Span::none()).expect("an input")));
            inputs.push((format!("t{i}"), t.clone()));
            tangents.push((at, t));
        }
        let known = g.inputs().len();
        let found = jvp(&mut g, &results, &along).unwrap_or_else(|d| panic!("{:?}: {d}", case.op));
        assert_eq!(g.inputs().len(), known, "no input is left behind");
        for (result, tangent) in results.iter().zip(found) {
            let tangent = tangent.unwrap_or_else(|| g.fill_like(*result, 0.0));
            assert_eq!(g.type_of(tangent), g.type_of(*result), "{:?}", case.op);
            g.outputs = vec![("t".to_owned(), tangent)];
            let Value::Tensor(found) = &run(&g, &inputs).outputs[0].1 else { panic!("a tensor") };
            let mut ends = vec![];
            let h = 1e-5;
            for side in [h, -h] {
                let mut moved = inputs.clone();
                for (at, t) in &tangents {
                    let (Value::Tensor(x), Value::Tensor(t)) = (&inputs[*at].1, t) else { panic!("tensors") };
                    let all: Vec<f64> =
                        x.to_f64().iter().zip(t.to_f64()).map(|(x, t)| x + side * t).collect();
                    moved[*at].1 = Value::Tensor(Array::from_f64(x.dtype(), x.shape(), &all));
                }
                let mut forward = forward.clone();
                forward.outputs = vec![("y".to_owned(), *result)];
                let Value::Tensor(y) = &run(&forward, &moved).outputs[0].1 else { panic!("a tensor") };
                ends.push(y.to_f64());
            }
            for (i, found) in found.to_f64().into_iter().enumerate() {
                let expected = (ends[0][i] - ends[1][i]) / (2.0 * h);
                let near = (found - expected).abs() <= 1e-6 * (1.0 + expected.abs());
                assert!(
                    near,
                    "element {i} of the tangent of {:?}: {found}, the slope is {expected}",
                    case.op
                );
            }
        }
    }
}

#[test]
fn bodies_are_their_ops() {
    let mut composite = 0;
    for case in cases() {
        let (mut g, operands, mut inputs) = inputs_of(&case);
        let Some(body) = case.op.def().body(&mut g, &operands) else { continue };
        composite += 1;
        let body = body.unwrap_or_else(|d: Diag| panic!("{d}"));
        let whole = g.emit_all(case.op.clone(), &operands);
        for (whole, part) in whole.iter().zip(&body) {
            assert_eq!(g.type_of(*whole), g.type_of(*part), "{:?}", case.op);
            g.outputs = vec![("whole".to_owned(), *whole), ("part".to_owned(), *part)];
            let results = run(&g, &inputs).outputs;
            compare(&results[0].1, &results[1].1, &Tolerance::new(1e-14))
                .unwrap_or_else(|m| panic!("{:?}: {m}", case.op));
        }
        let Some(loss) = loss_of(&mut g, &body, &mut inputs) else { continue };
        if is_by_hand(&case.op) {
            continue;
        }
        check(&g, loss, &inputs, &tensor_names(&g, &operands), 1e-7);
    }
    assert!(composite >= 8, "{composite} cases with a body");
}

/// The transposed product is the product with the transposed pattern, whose entries have the weights that
/// the twin says.
#[test]
fn transposed_products_follow_the_twin() {
    for symmetric in [false, true] {
        let mut random = Stream::new(15, 0, 0);
        let a = random_pattern(&mut random, 6, if symmetric { 6 } else { 4 }, symmetric);
        let twin = a.transposed();
        let t = CsrArray::new(a.cols, a.rows, twin.indptr, twin.indices, symmetric).expect("a pattern");
        let weights: Vec<f64> = (0..a.nnz()).map(|_| random.normal()).collect();
        let moved: Vec<f64> = twin.edges.iter().map(|e| weights[*e as usize]).collect();
        let product = |transpose: bool, pattern: &CsrArray, weights: &[f64]| {
            let case = Case {
                op: Spmm { transpose, weighted: true }.into(),
                operands: vec![
                    Value::Csr(Arc::new(pattern.clone())),
                    numbers(&[6, 3], 5),
                    Value::Tensor(Array::from_f64(DType::F64, &[weights.len()], weights)),
                ],
            };
            let (mut g, operands, inputs) = inputs_of(&case);
            g.outputs = vec![("y".to_owned(), g.emit(case.op.clone(), &operands))];
            run(&g, &inputs).outputs
        };
        assert_eq!(product(true, &a, &weights), product(false, &t, &moved), "symmetric: {symmetric}");
    }
}
