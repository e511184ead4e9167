//! Random kernels: the machine leaves what the interpreter leaves, for every instruction set, however the
//! parallel loop is divided.

use latentc_ir::array::Array;
use latentc_ir::dtype::DType;
use latentc_ir::nest::testing::{Case, cases};
use latentc_ir::scalar::ScalarOp;
use proptest::prelude::*;

use crate::harness::{compile_for, difference, runnable};

/// Units in the last place that a result may be off: none but where a store ends in a polynomial, and that
/// only in the buffer `y`.
fn limit(case: &Case, buffer: usize) -> u64 {
    let b = &case.kernel.buffers[buffer];
    match (case.inexact, b.dtype) {
        (Some(_), DType::F32) if b.name == "y" => 3,
        (Some(ScalarOp::Erf), DType::F64) if b.name == "y" => 8,
        (Some(_), DType::Bf16 | DType::F16) if b.name == "y" => 1,
        _ => 0,
    }
}

fn compare(case: &Case, expected: &[Array], found: &[Array], which: &str) -> Result<(), TestCaseError> {
    for (at, (e, f)) in expected.iter().zip(found).enumerate() {
        if let Some((i, e, f)) = difference(e, f, limit(case, at)) {
            let name = &case.kernel.buffers[at].name;
            let what = format!("{which}: `{name}` at {i}: expected {e}, found {f}\n{}", case.kernel);
            return Err(TestCaseError::fail(what));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn machines_agree_with_the_interpreter(case in cases()) {
        // A machine without one instruction for it rounds a sum of a product twice; the interpreter does it once.
        let all: Vec<_> = runnable().into_iter().filter(|isa| isa.fma).collect();
        let isa = &all[case.choice as usize % all.len()];
        let set = compile_for(std::slice::from_ref(&case.kernel), isa);
        let (expected, found) = set.both(0, &case.params, &case.dims);
        compare(&case, &expected, &found, isa.name)?;
        if case.kernel.parallel().is_some() {
            let rows = case.dims[0];
            let cut = i64::from(case.choice) % (rows + 1);
            let first = set.run_range(0, &case.params, &case.dims, 0, cut);
            let whole = set.run_range(0, &first, &case.dims, cut, rows);
            compare(&case, &found, &whole, "in two parts")?;
        }
    }
}
