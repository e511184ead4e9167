//! What a user reads when a program is wrong: one file a mistake, its rendering as a snapshot.

mod broadcast;
mod control;
mod dims;
mod everything;
mod foreign;
mod loss;
mod names;
mod nondifferentiable;
mod numbers;
mod params;
mod patterns;
mod runtime;
mod shapes;
mod state;
mod text;

use latentc::Errors;
use latentc::prelude::*;

/// The rendering of the errors of a build that must fail.
fn rendered(built: Result<Program>) -> String {
    match built {
        Ok(program) => panic!("`{}` was built", program.name()),
        Err(errors) => errors.render(false),
    }
}

fn errors(built: Result<Program>) -> Errors {
    built.err().unwrap_or_else(|| panic!("the program was built"))
}

macro_rules! ui {
    ($($name:ident: $build:path;)+) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), rendered($build()));
        }
    )+};
}

ui! {
    matmul_sizes: shapes::matmul;
    concat_sizes: shapes::concat;
    slice_beyond_the_axis: shapes::slice;
    axis_that_is_not_there: shapes::axis;
    loss_that_is_no_number: loss::vector;
    loss_without_parameters: loss::constant;
    two_losses: loss::two;
    broadcast_of_unequal_sizes: broadcast::sizes;
    dims_that_may_differ: dims::names;
    dims_declared_badly: dims::declarations;
    size_that_can_be_negative: dims::negative;
    quotient_by_what_can_be_zero: dims::quotient;
    handles_of_another_program: foreign::handles;
    dim_of_no_input: dims::unknown;
    names_taken: names::taken;
    optimizer_state_taken: names::optimizer;
    no_derivative: nondifferentiable::top_k;
    numbers_of_another_type: numbers::types;
    parameters_declared_badly: params::declarations;
    patterns_declared_badly: patterns::declarations;
    pattern_of_other_rows: patterns::product;
    state_updated_badly: state::updates;
    every_mistake_at_once: everything::build;
    nothing_to_give: everything::empty;
    carries_of_another_type: control::carries;
    steps_and_positions: control::steps;
    value_of_one_step: control::escaped;
    branches_that_differ: control::branches;
    mistake_within_a_body: control::within;
}

#[test]
fn plain_text_needs_no_source() {
    insta::assert_snapshot!("plain_text", errors(shapes::matmul()).to_string());
}

#[test]
fn color_is_only_there_on_request() {
    let errors = errors(shapes::matmul());
    assert!(errors.render(true).contains("\u{1b}["));
    assert!(!errors.render(false).contains("\u{1b}["));
    assert_eq!(format!("{errors:?}"), format!("\n{}", errors.render(false)));
}

#[test]
fn mistakes_are_values_with_their_places() {
    let errors = errors(everything::build());
    assert_eq!(errors.diags().len(), 3);
    for diag in errors.diags() {
        assert!(diag.labels.iter().all(|(span, _)| span.file.ends_with("everything.rs")), "{diag}");
    }
}
