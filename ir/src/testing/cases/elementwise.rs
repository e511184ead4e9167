//! Element by element, and what is made of nothing or of random words.

use super::{bools, dims, ints, numbers, positive, within};
use crate::array::Array;
use crate::array::Value;
use crate::dtype::DType;
use crate::dtype::Literal;
use crate::ops::Op;
use crate::ops::bitcast::Bitcast;
use crate::ops::cast::Cast;
use crate::ops::dropout::Dropout;
use crate::ops::elementwise::Elementwise;
use crate::ops::fill::Fill;
use crate::ops::iota::Iota;
use crate::ops::random::Random;
use crate::ops::size::Size;
use crate::scalar::ScalarOp;
use crate::scalar::Signature;

pub(super) fn add(case: &mut dyn FnMut(Op, Vec<Value>)) {
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
    case(Size { dim: 6.into() }.into(), vec![]);
    for (axis, dtype) in [(0, DType::I32), (1, DType::F64), (1, DType::U8)] {
        case(Iota { shape: dims(&[2, 300]), axis, dtype }.into(), vec![]);
    }
    case(Random { stream: 7, shape: dims(&[3, 5]) }.into(), seed_and_step().to_vec());
    case(Bitcast { to: DType::I64 }.into(), vec![numbers(&[2, 3], 1)]);
    for to in DType::ALL {
        case(Cast { to }.into(), vec![numbers(&[7], 1)]);
    }
    for rate in [0.0, 0.4] {
        let op = Dropout { rate: Literal::float(DType::F64, rate), stream: 1 };
        let [seed, step] = seed_and_step();
        case(op.into(), vec![numbers(&[4, 5], 1), seed, step]);
    }
}
