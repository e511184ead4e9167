//! Rows and blocks at positions that data give, and sparse patterns.

use super::{Reshaped, csr, ids, ints, nnz, numbers};
use crate::array::Array;
use crate::array::Value;
use crate::dtype::DType;
use crate::ops::Op;
use crate::ops::csr_array::CsrArrayOf;
use crate::ops::csr_degree::CsrDegree;
use crate::ops::gather_rows::GatherRows;
use crate::ops::index::Index;
use crate::ops::index_update::IndexUpdate;
use crate::ops::row_sparse::RowSparse;
use crate::ops::row_sparse::RowSparseParts;
use crate::ops::scatter_rows::ScatterRows;
use crate::ops::score_top_k::ScoreTopK;
use crate::ops::sddmm::Sddmm;
use crate::ops::segment_ids::SegmentIds;
use crate::ops::segment_reduce::SegmentReduce;
use crate::ops::segment_softmax::SegmentSoftmax;
use crate::ops::segments::Segments;
use crate::ops::spmm::Spmm;
use crate::ops::spmm_rows::SpmmRows;
use crate::plan::CsrPart;
use crate::scalar::ReduceOp;

pub(super) fn add(case: &mut dyn FnMut(Op, Vec<Value>)) {
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
    let [Value::Tensor(q), Value::Tensor(items)] = [numbers(&[3, 4], 1), numbers(&[6, 4], 2)] else {
        unreachable!("tensors")
    };
    let [q, items] = [q, items].map(|a| Value::Tensor(Array::from_f64(DType::F32, a.shape(), &a.to_f64())));
    case(ScoreTopK { k: 5 }.into(), vec![q.clone(), items.clone()]);
    case(ScoreTopK { k: 5 }.into(), vec![q, items, csr(5, 6, false), ids(3, 5, 1)]);
}
