//! What is said to derivatives and to the order of the work.

use super::{dims, ids, numbers};
use crate::array::Value;
use crate::dtype::DType;
use crate::ops::Op;
use crate::ops::after::After;
use crate::ops::barrier::Barrier;
use crate::ops::checkpoint::Checkpoint;
use crate::ops::custom_vjp::CustomVjp;
use crate::ops::placeholder::Placeholder;
use crate::types::Type;

pub(super) fn add(case: &mut dyn FnMut(Op, Vec<Value>)) {
    case(After.into(), vec![numbers(&[3], 1), numbers(&[2, 2], 2), ids(2, 2, 3)]);
    case(Placeholder { id: 3, ty: Type::tensor(DType::F64, dims(&[2, 3])) }.into(), vec![]);
    case(CustomVjp.into(), vec![numbers(&[2, 3], 1)]);
    case(CustomVjp.into(), (1..=4).map(|i| numbers(&[2, 3], i)).collect());
    case(Checkpoint { results: 1 }.into(), vec![numbers(&[2, 3], 1)]);
    case(Barrier.into(), vec![numbers(&[2, 3], 1), numbers(&[4], 2)]);
}
