//! Elements at other places, and windows.

use super::{dims, numbers};
use crate::array::Value;
use crate::dtype::DType;
use crate::dtype::Literal;
use crate::ops::Axes;
use crate::ops::Op;
use crate::ops::broadcast::Broadcast;
use crate::ops::concat::Concat;
use crate::ops::fold::Fold;
use crate::ops::pad::Pad;
use crate::ops::permute::Permute;
use crate::ops::reshape::Reshape;
use crate::ops::reverse::Reverse;
use crate::ops::slice::Slice;
use crate::ops::spread::Spread;
use crate::ops::windows::Window;
use crate::ops::windows::Windows;

pub(super) fn add(case: &mut dyn FnMut(Op, Vec<Value>)) {
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
}
