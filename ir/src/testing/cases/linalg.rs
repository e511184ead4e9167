//! Linear algebra.

use super::numbers;
use crate::array::Value;
use crate::dtype::{DType, Literal};
use crate::ops::Op;
use crate::ops::cholesky::Cholesky;
use crate::ops::eigh::Eigh;
use crate::ops::lu::Lu;
use crate::ops::pinv::Pinv;
use crate::ops::qr::Qr;
use crate::ops::svd::Svd;
use crate::ops::triangular_solve::TriangularSolve;

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

pub(super) fn add(case: &mut dyn FnMut(Op, Vec<Value>)) {
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
}
