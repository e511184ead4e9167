//! Forward mode by transposing twice: a pullback is linear in what it is given, and the pullback of that linear map
//! is the pushforward.

use super::reverse;
use crate::diag::Diag;
use crate::graph::{Graph, InputKind, Operand};
use crate::ops::input::Input;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::Type;

/// Writes the tangents of `results`: how they change when each of the values `x` in `along` changes by its tangent.
///
/// A tangent is a tensor of the type of its value. One answer for each of `results`: `None` where it does not depend
/// on the values through floats, else a tensor of its type. What is written is as exact as the derivatives of the
/// derivatives of the ops on the way.
///
/// # Errors
/// Where an op without a derivative, or one whose derivative has none, lies on the way; where a result or a value
/// is no float tensor, or a tangent has not the type of its value.
pub fn jvp(
    graph: &mut Graph,
    results: &[Operand],
    along: &[(Operand, Operand)],
) -> Result<Vec<Option<Operand>>, Diag> {
    for (x, tangent) in along {
        same_type(graph, *x, *tangent, "tangent")?;
    }
    let outer = graph.at.take();
    let found = results.iter().map(|y| pushed(graph, *y, along)).collect();
    graph.at = outer;
    found
}

/// Writes the pullback of values: the gradients, with respect to `wrt`, of the sum of the elements of each value
/// times those of its cotangent. The answers are those of [`gradients`](super::gradients).
///
/// # Errors
/// Where a cotangent has not the type of its value; where an op without a derivative lies on the way.
pub fn vjp(
    graph: &mut Graph,
    along: &[(Operand, Operand)],
    wrt: &[Operand],
) -> Result<Vec<Option<Operand>>, Diag> {
    for (y, cotangent) in along {
        same_type(graph, *y, *cotangent, "cotangent")?;
    }
    let outer = graph.at.take();
    let found = reverse(graph, along, wrt, false);
    graph.at = outer;
    found
}

fn pushed(graph: &mut Graph, y: Operand, along: &[(Operand, Operand)]) -> Result<Option<Operand>, Diag> {
    let span = graph.node(y.node).span.clone();
    let ty = match graph.type_of(y) {
        Type::Tensor(t) if t.dtype.is_real() => Type::Tensor(t.clone()),
        other => {
            let message = format!("a tangent is that of a float tensor, {other} found");
            return Err(Diag::new(message, span, format!("this is {other}")));
        }
    };
    // A variable of its own: a constant would be one node with others that are equal.
    let mut name = "cotangent".to_owned();
    while graph.input(&name).is_some() {
        name.push('\'');
    }
    let variable: Operand = graph.value(Input { name, kind: InputKind::Data, ty }, &[], span)?;
    let found = through(graph, (y, variable), along);
    // The tangent does not depend on it.
    let zero = graph.fill_like(variable, 0.0);
    graph.replace(variable, zero);
    graph.remove_input(variable.node);
    // The value may have been the variable itself.
    Ok(found?.map(|t| if t == variable { zero } else { t }))
}

fn through(
    graph: &mut Graph,
    along: (Operand, Operand),
    tangents: &[(Operand, Operand)],
) -> Result<Option<Operand>, Diag> {
    let wrt: Vec<Operand> = tangents.iter().map(|(x, _)| *x).collect();
    let pulled = reverse(graph, &[along], &wrt, false)?;
    let mut sum: Option<Operand> = None;
    for (gradient, (_, tangent)) in pulled.into_iter().zip(tangents) {
        let Some(gradient) = gradient else { continue };
        let gradient = graph.densify(gradient);
        let product = graph.map(ScalarOp::Mul, &[gradient, *tangent]);
        let rank = graph.shape_of(product).len();
        let part = graph.reduce(ReduceOp::Sum, product, (0..rank).collect());
        sum = Some(match sum {
            None => part,
            Some(so_far) => {
                let part = graph.cast(part, graph.dtype_of(so_far));
                graph.map(ScalarOp::Add, &[so_far, part])
            }
        });
    }
    let Some(sum) = sum else { return Ok(None) };
    let one = graph.fill_like(sum, 1.0);
    let found = reverse(graph, &[(sum, one)], &[along.1], false)?;
    Ok(found[0].map(|t| graph.densify(t)))
}

fn same_type(graph: &Graph, x: Operand, other: Operand, what: &str) -> Result<(), Diag> {
    if graph.type_of(x) == graph.type_of(other) && graph.type_of(x).as_tensor().is_some() {
        return Ok(());
    }
    let message = format!("the {what} of {} is {}", graph.type_of(x), graph.type_of(other));
    let span = graph.node(other.node).span.clone();
    let diag = Diag::new(message, span, format!("this {what}"));
    Err(diag
        .label(graph.node(x.node).span.clone(), "the value")
        .help("give a tensor of the type of the value"))
}
