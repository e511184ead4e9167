//! Loops and branches, one within the other, forward and backward.

use crate::harness::check;
use crate::{ahead, cases, checked};
use latentc_ir::dtype::DType;
use latentc_ir::testing::controls;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn f32(graph in controls(DType::F32)) {
        check(&graph, 1e-4)?;
    }

    #[test]
    fn gradients(graph in controls(DType::F64)) {
        check(&graph.with_gradients(), 1e-9)?;
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn ahead_of_time(graph in controls(DType::F32)) {
        ahead::check(&graph)?;
    }

    #[test]
    fn looked_at(graph in controls(DType::F32)) {
        checked::check(&graph, 1e-4)?;
    }
}
