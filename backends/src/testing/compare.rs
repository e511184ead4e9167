//! Results beside expected ones.

use super::{Failure, Results, fail};
use latentc_ir::array::Value;
use latentc_ir::testing::{RandomGraph, Tolerance, compare, compare_all};

/// Compares results within a tolerance, which is of the greatest element of each array or of 1.
///
/// # Errors
/// `what` with the result that differs, and how.
pub fn same(what: &str, expected: &Results, found: &Results, tolerance: f64) -> Result<(), Failure> {
    let pairs = [(&expected.outputs, &found.outputs), (&expected.kept, &found.kept)];
    for (e, f) in pairs {
        let names = |l: &[(String, Value)]| l.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
        if names(e) != names(f) {
            return Err(fail(format!("{what}: {:?} expected, {:?} found", names(e), names(f))));
        }
        for ((name, e), (_, f)) in e.iter().zip(f) {
            let scale = greatest(e).max(1.0);
            let near = Tolerance { relative: 0.0, absolute: tolerance * scale, ..Tolerance::EXACT };
            compare(e, f, &near).map_err(|m| fail(format!("{what}: `{name}`: {m}")))?;
        }
    }
    Ok(())
}

fn greatest(value: &Value) -> f64 {
    match value {
        Value::Tensor(a) => a.to_f64().into_iter().filter(|x| x.is_finite()).fold(0.0, |m, x| x.abs().max(m)),
        _ => 0.0,
    }
}

/// Compares results bit for bit.
///
/// # Errors
/// `what` with the result that differs.
pub fn identical(what: &str, expected: &Results, found: &Results) -> Result<(), Failure> {
    if expected == found {
        return Ok(());
    }
    compare_all(&expected.outputs, &found.outputs, &Tolerance::EXACT)
        .and_then(|()| compare_all(&expected.kept, &found.kept, &Tolerance::EXACT))
        .map_err(|m| fail(format!("{what}: {m}")))?;
    // NaN of other bits, or zeros of other signs.
    Err(fail(format!("{what}: other bits")))
}

/// The text of a graph parses back to a graph with the same text.
///
/// # Errors
/// What the parser says, or both texts.
pub fn prints(graph: &RandomGraph) -> Result<(), Failure> {
    let text = graph.graph.to_string();
    let again = latentc_ir::graph::parse::parse("random", &text).map_err(|d| fail(format!("{d}\n{text}")))?;
    let parsed = again.to_string();
    if parsed == text { Ok(()) } else { Err(fail(format!("{text}\nparses as\n{parsed}"))) }
}
