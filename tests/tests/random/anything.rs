//! Small graphs over all ops.

use crate::cases;
use latentc_backends::testing::{Ask, check};
use latentc_ir::dtype::DType;
use latentc_ir::testing::{Options, graphs};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn f32(graph in graphs(Options::default())) {
        check(&graph, &Ask::all(1e-4))?;
    }

    #[test]
    fn f64(graph in graphs(Options { floats: vec![DType::F64], ..Options::default() })) {
        check(&graph, &Ask::all(1e-9))?;
    }

    #[test]
    fn gradients(graph in graphs(Options::default())) {
        check(&graph.with_gradients(), &Ask::all(1e-4))?;
    }
}

proptest! {
    #![proptest_config(cases(20))]

    /// Every op rounds to the format; sums are as exact as in f32.
    #[test]
    fn bf16(graph in graphs(Options { floats: vec![DType::Bf16], ..Options::default() })) {
        check(&graph, &Ask::all(4e-2))?;
    }

    #[test]
    fn f16(graph in graphs(Options { floats: vec![DType::F16], ..Options::default() })) {
        check(&graph, &Ask::all(5e-3))?;
    }
}
