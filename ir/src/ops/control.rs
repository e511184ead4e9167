//! What the ops with bodies share: parameters against what is given for them, the derivative of a body as a body,
//! and errors of a body in the words of the op.

use super::*;
use crate::diag::Diag;
use crate::graph::Body;
use crate::graph::InputKind;
use crate::ops::Op;

/// A parameter of a body: what it is called in messages, and the type of what is given for it.
pub(super) struct Given {
    pub what: String,
    pub ty: Type,
}

/// Checks that a body is a function of tensors and patterns, and takes what is given. Gives the types of its results.
pub(super) fn call(op: &str, body: &str, of: &Body, given: &[Given]) -> Result<Vec<Type>, String> {
    let graph = of.graph();
    for n in graph.inputs() {
        if let Op::Input(i) = &graph.node(*n).op
            && i.kind != InputKind::Arg
        {
            return Err(format!(
                "`{op}`: {body} has the {} `{}`; its inputs are given by the op: declare them as `arg`",
                i.kind.name(),
                i.name
            ));
        }
    }
    if let Some((name, _)) = graph.updates.first() {
        return Err(format!("`{op}`: {body} updates `{name}`; it keeps nothing between its runs"));
    }
    let params = of.params();
    if params.len() != given.len() {
        return Err(format!(
            "`{op}`: {body} has {} parameters, {} values are given for them",
            params.len(),
            given.len()
        ));
    }
    for (param, given) in params.iter().zip(given) {
        if matches!(given.ty, Type::RowSparse(_)) {
            return Err(format!("`{op}`: {} is {}; make it dense first", given.what, given.ty));
        }
        if *param != given.ty {
            return Err(format!("`{op}`: {} is {}, {body} takes {param}", given.what, given.ty));
        }
    }
    let results = of.results();
    for (i, ty) in results.iter().enumerate() {
        if ty.as_tensor().is_none() {
            return Err(format!("`{op}`: result {i} of {body} is {ty}; results are dense tensors"));
        }
    }
    Ok(results)
}

/// Checks that the first results of a body are the next values of what is carried.
pub(super) fn carried(op: &str, begin: &[Type], results: &[Type]) -> Result<(), String> {
    if results.len() < begin.len() {
        return Err(format!(
            "`{op}`: its body gives {} values for {} that are carried",
            results.len(),
            begin.len()
        ));
    }
    for (i, (a, b)) in begin.iter().zip(results).enumerate() {
        if a != b {
            return Err(format!("`{op}`: carry {i} is {a} at the beginning and {b} after a step"));
        }
    }
    Ok(())
}

/// Runs a body.
pub(super) fn run(
    op: &str,
    body: &Body,
    args: Vec<Value>,
    dims: &dyn Fn(&str) -> Option<i64>,
    watch: &mut Watch<'_>,
) -> Result<Vec<Value>, EvalError> {
    crate::interp::apply(body.graph(), args, dims, watch).map_err(|e| format!("in a body of `{op}`: {e}"))
}

/// Why a body has no derivative.
pub(super) fn refused(diag: Diag) -> Nondifferentiable {
    let at = diag.labels.first().map(|(span, _)| span.clone()).filter(crate::diag::Span::is_known);
    let at = at.map_or(String::new(), |span| format!(" at {span}"));
    let reason = diag.notes.first().map_or(String::new(), |n| format!(": {n}"));
    Nondifferentiable(format!("in its body{at}, {}{reason}", diag.message))
}

/// Whether a value may have a gradient.
pub(super) fn is_real(ty: &Type) -> bool {
    ty.as_tensor().is_some_and(|t| t.dtype.is_real())
}

/// The parts of a gradient that a body gives: a tensor, or the ids and the values of rows.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// A tensor.
    Dense(Operand),
    /// A row-sparse value.
    Rows(Operand),
}

/// Writes a body and its derivative: from gradients of its results those of its parameters in `wanted`, `None` where
/// a result does not depend on it.
pub(super) fn pull(
    graph: &mut Graph,
    body: &Body,
    params: &[Operand],
    gradients: &[Option<Operand>],
    wanted: &[Operand],
) -> Result<Vec<Option<Part>>, Nondifferentiable> {
    let results = graph.write(body, params);
    let outer: Vec<(Operand, Operand)> =
        results.into_iter().zip(gradients).filter_map(|(o, g)| Some((o, (*g)?))).collect();
    let found = crate::grad::pull_back(graph, &outer, wanted).map_err(refused)?;
    let part = |o: Operand| match graph.type_of(o) {
        Type::RowSparse(_) => Part::Rows(o),
        _ => Part::Dense(o),
    };
    Ok(found.into_iter().map(|o| o.map(part)).collect())
}

impl Part {
    /// As a tensor.
    pub fn dense(&self, graph: &mut Graph) -> Operand {
        match self {
            Part::Dense(o) | Part::Rows(o) => graph.densify(*o),
        }
    }
}

/// Lets other values stand for the results of a node whose derivative is being written, so that what the derivative
/// needs of them is computed once.
pub(super) fn stand_in(cx: &mut Vjp<'_>, new: &[Operand]) {
    for (old, new) in cx.results.iter().zip(new) {
        cx.graph.replace(*old, *new);
    }
}
