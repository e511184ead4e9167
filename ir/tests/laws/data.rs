//! The strategies give what they promise, and movement of elements keeps its algebra at every size.

use latentc_ir::array::{Array, CsrArray, Value};
use latentc_ir::diag::Span;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::graph::{Graph, InputKind, Operand};
use latentc_ir::interp;
use latentc_ir::ops::Axes;
use latentc_ir::ops::broadcast::Broadcast;
use latentc_ir::ops::concat::Concat;
use latentc_ir::ops::gather_rows::GatherRows;
use latentc_ir::ops::input::Input;
use latentc_ir::ops::pad::Pad;
use latentc_ir::ops::scatter_rows::ScatterRows;
use latentc_ir::ops::segment_reduce::SegmentReduce;
use latentc_ir::ops::segments::Segments;
use latentc_ir::ops::slice::Slice;
use latentc_ir::scalar::{ReduceOp, ScalarOp, Signature, eval};
use latentc_ir::testing::{
    Mismatch, Nan, Tolerance, array, compare, ids, pattern, shape, size, symmetric_pattern, wild,
};
use latentc_ir::types::Type;
use proptest::prelude::*;

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) }
}

/// Inputs of constant sizes, and their results.
struct Run {
    g: Graph,
    values: Vec<Array>,
}

impl Run {
    fn new() -> Run {
        Run { g: Graph::new("run"), values: vec![] }
    }

    fn input(&mut self, value: Array) -> Operand {
        let ty = Type::tensor(value.dtype(), value.shape().iter().map(|s| Dim::from(*s)));
        let op = Input { name: format!("x{}", self.values.len()), kind: InputKind::Data, ty };
        self.values.push(value);
        self.g.value(op, &[], Span::none()).expect("an input")
    }

    fn result(mut self, o: Operand) -> Array {
        self.g.outputs = vec![("y".to_owned(), o)];
        let given = |name: &str| {
            let at: usize = name[1..].parse().expect("a number");
            Some(Value::Tensor(self.values[at].clone()))
        };
        let results = interp::run(&self.g, &given).unwrap_or_else(|e| panic!("{e}"));
        match results.outputs.into_iter().next() {
            Some((_, Value::Tensor(a))) => a,
            other => panic!("a tensor expected, {other:?} found"),
        }
    }
}

fn some_array(dtype: DType, rank: usize) -> impl Strategy<Value = Array> {
    shape(rank, 300).prop_flat_map(move |shape| array(dtype, &shape))
}

fn any_type() -> impl Strategy<Value = DType> {
    proptest::sample::select(DType::ALL.to_vec())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn shapes_fit(shape in shape(4, 100), n in size(17)) {
        prop_assert!(shape.len() <= 4 && shape.iter().product::<usize>() <= 100);
        prop_assert!(n <= 17);
    }

    #[test]
    fn arrays_are_moderate(a in any_type().prop_flat_map(|d| some_array(d, 3))) {
        prop_assert!(a.to_f64().iter().all(|x| x.abs() <= 4.0));
    }

    #[test]
    fn ids_are_in_range(a in (0..50usize, 1..9usize).prop_flat_map(|(n, bound)| (ids(n, bound), Just(bound)))) {
        prop_assert!(a.0.as_slice::<i32>().iter().all(|id| (0..a.1 as i32).contains(id)));
    }

    #[test]
    fn patterns_are_patterns(a in (size(33), size(33)).prop_flat_map(|(r, c)| pattern(r, c)), b in size(33).prop_flat_map(symmetric_pattern)) {
        prop_assert_eq!(a.validate(), Ok(()));
        prop_assert!(a.twin.is_some() && b.twin.is_none());
        prop_assert_eq!(b.validate().and_then(|()| b.check_symmetric()), Ok(()));
    }

    /// Whatever the operands, an operation that takes their types has a value of its type.
    #[test]
    fn scalar_operations_are_total(
        (op, operands) in (proptest::sample::select(ScalarOp::ALL), any_type()).prop_flat_map(|(op, d)| {
            let first = if op.signature() == Signature::Select { DType::Bool } else { d };
            (Just(op), [wild(first), wild(d), wild(d), wild(d)])
        })
    ) {
        let operands = &operands[..op.arity()];
        let types: Vec<DType> = operands.iter().map(|o| o.dtype()).collect();
        prop_assert_eq!(eval(op, operands).map(|v| v.dtype()), op.result(&types));
    }

    #[test]
    fn a_permutation_and_its_inverse_are_nothing(a in some_array(DType::I32, 4), seed in any::<u32>()) {
        let mut run = Run::new();
        let x = run.input(a.clone());
        let mut axes: Axes = (0..a.shape().len()).collect();
        latentc_ir::philox::Stream::new(seed.into(), 0, 0).shuffle(&mut axes);
        let mut inverse = axes.clone();
        for (i, axis) in axes.iter().enumerate() {
            inverse[*axis] = i;
        }
        let there = run.g.permute(x, axes);
        let back = run.g.permute(there, inverse);
        prop_assert_eq!(run.result(back), a);
    }

    #[test]
    fn a_sum_of_copies_is_a_multiple(a in some_array(DType::F32, 3), copies in 0..5usize, axis in 0..4usize) {
        let mut run = Run::new();
        let x = run.input(a.clone());
        let axis = axis.min(a.shape().len());
        let mut wide = run.g.shape_of(x);
        wide.insert(axis, copies.into());
        let axes = (0..wide.len()).filter(|i| *i != axis).collect();
        let y = run.g.emit(Broadcast { shape: wide, axes }, &[x]);
        let y = run.g.reduce(ReduceOp::Sum, y, Axes::from_slice(&[axis]));
        let multiples: Vec<f64> = a.to_f64().iter().map(|v| v * copies as f64).collect();
        let expected = Value::Tensor(Array::from_f64(DType::F32, a.shape(), &multiples));
        let found = Value::Tensor(run.result(y));
        prop_assert_eq!(compare(&expected, &found, &Tolerance::EXACT), Ok(()));
    }

    #[test]
    fn parts_put_together_are_the_whole(a in some_array(DType::U8, 3), axis in 0..3usize, cut in any::<u16>()) {
        prop_assume!(!a.shape().is_empty());
        let axis = axis.min(a.shape().len() - 1);
        let size = a.shape()[axis];
        let cut = usize::from(cut) % (size + 1);
        let mut run = Run::new();
        let x = run.input(a.clone());
        let mut part = |start: usize, end: usize| {
            run.g.emit(Slice { axis, start: start.into(), end: end.into(), step: 1 }, &[x])
        };
        let parts = [part(0, cut), part(cut, size)];
        let whole = run.g.emit(Concat { axis }, &parts);
        prop_assert_eq!(run.result(whole), a);
    }

    #[test]
    fn padding_is_cut_off_again(a in some_array(DType::Bf16, 3), axis in 0..3usize, before in 0..4usize, after in 0..4usize) {
        prop_assume!(!a.shape().is_empty());
        let axis = axis.min(a.shape().len() - 1);
        let size = a.shape()[axis];
        let mut run = Run::new();
        let x = run.input(a.clone());
        let value = latentc_ir::dtype::Literal::float(DType::Bf16, 3.0);
        let wide = run.g.emit(Pad { axis, before: before.into(), after: after.into(), value }, &[x]);
        let y = run.g.emit(Slice { axis, start: before.into(), end: (before + size).into(), step: 1 }, &[wide]);
        prop_assert_eq!(run.result(y), a);
    }

    /// Every row once: gathering gives the rows in that order, scattering puts them back.
    #[test]
    fn scattering_undoes_a_gather_of_every_row(a in some_array(DType::F32, 3), seed in any::<u32>()) {
        prop_assume!(!a.shape().is_empty());
        let rows = a.shape()[0];
        let mut order: Vec<i32> = (0..rows as i32).collect();
        latentc_ir::philox::Stream::new(seed.into(), 0, 0).shuffle(&mut order);
        let mut run = Run::new();
        let x = run.input(a.clone());
        let ids = run.input(Array::from_slice(&[rows], &order));
        let gathered = run.g.emit(GatherRows, &[x, ids]);
        let back = run.g.emit(ScatterRows { rows: rows.into() }, &[ids, gathered]);
        // A zero of either sign is a sum of nothing and that zero.
        prop_assert_eq!(compare(&Value::Tensor(a), &Value::Tensor(run.result(back)), &Tolerance::EXACT), Ok(()));
    }

    /// `scatter_rows` is `segments` and then `segment_sum`.
    #[test]
    fn segments_sum_what_a_scatter_sums(
        (ids, values) in (0..40usize).prop_flat_map(|n| (ids(n, 7), array(DType::F64, &[n, 3])))
    ) {
        let mut run = Run::new();
        let (i, v) = (run.input(ids), run.input(values));
        let scattered = run.g.emit(ScatterRows { rows: 7.into() }, &[i, v]);
        let parts = run.g.emit_all(Segments { rows: 7.into() }, &[i]);
        let summed = run.g.emit(SegmentReduce { op: ReduceOp::Sum }, &[parts[0], parts[1], v]);
        let difference = run.g.map(ScalarOp::Sub, &[scattered, summed]);
        prop_assert!(run.result(difference).to_f64().iter().all(|d| *d == 0.0));
    }
}

#[test]
fn a_comparison_finds_the_worst_element() {
    let a = |values: &[f64]| Value::Tensor(Array::from_slice(&[values.len()], values));
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let close = Tolerance::new(1e-3);
    assert_eq!(compare(&a(&[1.0, nan, inf, 0.0]), &a(&[1.001, nan, inf, -0.0]), &close), Ok(()));
    let found = compare(&a(&[1.0, 2.0, 3.0]), &a(&[1.1, 2.5, 3.0]), &close);
    assert_eq!(found, Err(Mismatch::Elements { count: 2, of: 3, at: 1, expected: 2.0, found: 2.5 }));
    for (expected, found) in [(nan, 1.0), (1.0, nan), (inf, -inf), (1.0, inf), (inf, 1e300)] {
        assert!(compare(&a(&[expected]), &a(&[found]), &close).is_err(), "{expected} {found}");
    }
    let with = |nan| Tolerance { nan, ..close };
    assert!(compare(&a(&[nan]), &a(&[1.0]), &with(Nan::Any)).is_ok());
    assert!(compare(&a(&[1.0]), &a(&[nan]), &with(Nan::Any)).is_err());
    assert!(compare(&a(&[nan]), &a(&[nan]), &with(Nan::Wrong)).is_err());
    let whole = |v: i32| Value::Tensor(Array::from_slice(&[1], &[v]));
    assert!(compare(&whole(1000), &whole(1001), &Tolerance::new(1.0)).is_err(), "integers are exact");
    assert!(matches!(compare(&a(&[1.0]), &whole(1), &close), Err(Mismatch::Form { .. })));
}

/// Empty rows and a hub are what patterns are for.
#[test]
fn patterns_have_empty_rows_and_hubs() {
    let mut random = latentc_ir::philox::Stream::new(17, 0, 0);
    let a: CsrArray = latentc_ir::testing::random_pattern(&mut random, 32, 32, false);
    let degrees: Vec<usize> = (0..32).map(|r| a.row(r).len()).collect();
    assert!(degrees.contains(&0) && degrees.iter().any(|d| *d > 8), "{degrees:?}");
}
