//! Every op on every type it takes, as native code: what the registry's laws ask of the interpreters, asked of LLVM.

use latentc_backends::testing::{Ask, How, check};
use latentc_ir::dtype::DType;
use latentc_ir::testing::{RandomGraph, beside, typed_cases};

/// Cases that become one program, which is compiled once.
const TOGETHER: usize = 60;

/// The programs of many cases are asked as a whole; where one does not agree, each of its cases.
fn compiled(types: &[DType], how: &How) {
    let cases: Vec<(DType, RandomGraph)> =
        typed_cases().into_iter().map(|(d, _, graph)| (d, graph)).collect();
    let mut faults = vec![];
    for dtype in types {
        let all: Vec<&RandomGraph> =
            cases.iter().filter(|(d, _)| d == dtype).map(|(_, graph)| graph).collect();
        assert!(all.len() > 10, "{dtype}");
        for some in all.chunks(TOGETHER) {
            let whole = beside(some.iter().copied());
            let native = vec![how.clone()];
            let ask = Ask { simulated: vec![], native, threads: vec![2], ..Ask::of(&whole.graph) };
            if let Err(failure) = check(&whole, &ask) {
                let each = some.iter().filter_map(|g| check(g, &ask).err().map(|f| format!("{f}\n{g:?}")));
                faults.push(format!("{dtype}: {failure}"));
                faults.extend(each);
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn of_wide_floats() {
    compiled(&[DType::F64, DType::F32], &How::usual());
}

#[test]
fn of_narrow_floats() {
    compiled(&[DType::Bf16, DType::F16], &How::usual());
}

#[test]
fn of_signed_integers() {
    compiled(&[DType::I64, DType::I32, DType::I16, DType::I8], &How::usual());
}

#[test]
fn of_unsigned_integers_and_truth_values() {
    compiled(&[DType::U64, DType::U32, DType::U16, DType::U8, DType::Bool], &How::usual());
}

#[test]
fn of_stored_floats() {
    let all = [DType::F8E4M3Fn, DType::F8E5M2, DType::F8E4M3Fnuz, DType::F8E5M2Fnuz];
    compiled(&all, &How::usual());
}

/// Neither rewritten nor fused.
#[test]
fn by_themselves() {
    compiled(&[DType::F32, DType::I32], &How::plain());
}
