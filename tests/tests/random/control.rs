//! Loops and branches, one within the other, forward and backward.

use crate::{ahead, cases, checked};
use latentc_backends::testing::{Ask, check};
use latentc_ir::dtype::DType;
use latentc_ir::testing::controls;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn f32(graph in controls(DType::F32, 3)) {
        check(&graph, &Ask::all(1e-4))?;
    }
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn gradients(graph in controls(DType::F64, 2)) {
        check(&graph.with_gradients(), &Ask::all(1e-9))?;
    }
}

proptest! {
    #![proptest_config(cases(4))]

    #[test]
    fn ahead_of_time(graph in controls(DType::F32, 3)) {
        ahead::check(&graph, "native")?;
    }

    #[test]
    fn looked_at(graph in controls(DType::F32, 3)) {
        checked::check(&graph, 1e-4)?;
    }
}
