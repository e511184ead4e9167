//! Sums, scans, products, and order along an axis.

use super::{dims, ids, ints, numbers};
use crate::array::Array;
use crate::array::Value;
use crate::dtype::DType;
use crate::dtype::Literal;
use crate::ops::Axes;
use crate::ops::Op;
use crate::ops::conv::Conv;
use crate::ops::conv_transpose::ConvTranspose;
use crate::ops::cumulative::Cumulative;
use crate::ops::linear_log_sum_exp::LinearLogSumExp;
use crate::ops::log_sum_exp::LogSumExp;
use crate::ops::matmul::Matmul;
use crate::ops::reduce::Reduce;
use crate::ops::softmax::Softmax;
use crate::ops::sort::Sort;
use crate::ops::top_k::TopK;
use crate::ops::windows::Window;
use crate::scalar::ReduceOp;

pub(super) fn add(case: &mut dyn FnMut(Op, Vec<Value>)) {
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
    case(TopK { k: 3 }.into(), vec![numbers(&[7], 1)]);
    case(TopK { k: 3 }.into(), vec![numbers(&[2, 7], 1)]);
    for descending in [false, true] {
        case(Sort { descending }.into(), vec![numbers(&[2, 3, 7], 1)]);
        case(Sort { descending }.into(), vec![numbers(&[5], 1)]);
        case(Sort { descending }.into(), vec![ids(9, 4, 1)]);
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
}
