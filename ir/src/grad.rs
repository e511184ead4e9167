//! Reverse mode: the gradient of a scalar written into the graph that computes it.
//!
//! Nodes are visited in the reverse of the graph's topological order and contributions to one value are
//! added in the order in which they arise, so the same graph always gets the same gradient. Only values that
//! depend on what is differentiated get one. Gradients of tables stay row-sparse as long as every
//! contribution is; the first dense one makes the sum dense.

use crate::diag::Diag;
use crate::dtype::DType;
use crate::graph::{Graph, NodeId, Operand};
use crate::ops::concat::Concat;
use crate::ops::row_sparse::RowSparse;
use crate::ops::{Nondifferentiable, Vjp};
use crate::scalar::ScalarOp;
use crate::types::Type;
use rustc_hash::{FxHashMap, FxHashSet};

mod forward;
pub use forward::{jvp, vjp};

/// Writes the gradients of `loss`, a float scalar, with respect to values of the graph.
///
/// One answer for each of `wrt`: `None` where the loss does not depend on it through floats, else a value of
/// its type, or a row-sparse one of its shape. (With respect to a row-sparse value: a tensor, the gradient
/// of the rows it lists.) Everything that is added stands at the place of the node whose derivative it is.
///
/// # Errors
/// Where the loss is not a float scalar; where an op without a derivative lies on the way.
pub fn gradients(graph: &mut Graph, loss: Operand, wrt: &[Operand]) -> Result<Vec<Option<Operand>>, Diag> {
    match graph.type_of(loss) {
        Type::Tensor(t) if t.rank() == 0 && t.dtype.is_real() => {}
        other => {
            let span = graph.node(loss.node).span.clone();
            return Err(Diag::new(
                format!("a loss is a float scalar, {other} found"),
                span,
                format!("this is {other}"),
            )
            .help("reduce it to a scalar: a sum or a mean over all axes"));
        }
    }
    let outer = graph.at.replace(graph.node(loss.node).span.clone());
    let one = graph.fill_like(loss, 1.0);
    let found = reverse(graph, &[(loss, one)], wrt, false);
    graph.at = outer;
    found
}

/// Writes the gradients of `inner` values from those of values that are computed from them: the derivative of a
/// composition of ops, of which `inner` are the operands. What these are computed from is not looked at.
///
/// One answer for each of `inner`, as in [`gradients`]; of one that stands there twice, all is in the first.
///
/// # Errors
/// Where an op without a derivative lies on the way.
pub fn pull_back(
    graph: &mut Graph,
    outer: &[(Operand, Operand)],
    inner: &[Operand],
) -> Result<Vec<Option<Operand>>, Diag> {
    let at = graph.at.clone();
    let found = reverse(graph, outer, inner, true);
    graph.at = at;
    let mut found = found?;
    for i in 1..inner.len() {
        if inner[..i].contains(&inner[i]) {
            found[i] = None;
        }
    }
    Ok(found)
}

/// Gradients of `wrt` from those of other values; with `stop` none is handed on beyond `wrt`.
fn reverse(
    graph: &mut Graph,
    outer: &[(Operand, Operand)],
    wrt: &[Operand],
    stop: bool,
) -> Result<Vec<Option<Operand>>, Diag> {
    let Some(loss) = outer.first().map(|(o, _)| *o) else { return Ok(vec![None; wrt.len()]) };
    let order = graph.topological();
    let active = active(graph, &order, wrt);
    let mut contributions: FxHashMap<Operand, Vec<Operand>> = FxHashMap::default();
    let mut found: FxHashMap<Operand, Operand> = FxHashMap::default();
    for (value, gradient) in outer.iter().filter(|(value, _)| active.contains(value)) {
        contributions.entry(*value).or_default().push(*gradient);
    }
    for &node in order.iter().rev() {
        let results: Vec<Operand> = ports(graph, node).collect();
        if !results.iter().any(|r| contributions.contains_key(r)) {
            continue;
        }
        graph.at = Some(graph.node(node).span.clone());
        let mut gradients: Vec<Option<Operand>> =
            results.iter().map(|r| Some(total(graph, contributions.remove(r)?))).collect();
        for (r, g) in results.iter().zip(&mut gradients) {
            if let Some(known) = *g
                && wrt.contains(r)
            {
                found.insert(*r, known);
                if stop {
                    *g = None;
                }
            }
        }
        if gradients.iter().all(Option::is_none) {
            continue;
        }
        let operands = graph.node(node).operands.clone();
        let wanted: Vec<bool> = operands.iter().map(|o| active.contains(o)).collect();
        if !wanted.contains(&true) {
            continue;
        }
        let op = graph.node(node).op.clone();
        let mut cx =
            Vjp { graph, operands: &operands, results: &results, gradients: &gradients, wanted: &wanted };
        let back = op.def().vjp(&mut cx).map_err(|reason| refusal(graph, node, loss, reason))?;
        for (i, g) in back.into_iter().enumerate() {
            if let Some(g) = g
                && wanted[i]
            {
                debug_assert!(fits(graph, operands[i], g), "gradient of operand {i} of {op:?}");
                contributions.entry(operands[i]).or_default().push(g);
            }
        }
    }
    Ok(wrt.iter().map(|o| found.get(o).copied()).collect())
}

/// The values that depend on what is differentiated and may have a gradient themselves.
fn active(graph: &Graph, order: &[NodeId], wrt: &[Operand]) -> FxHashSet<Operand> {
    let mut active = FxHashSet::default();
    for &node in order {
        let depends = graph.node(node).operands.iter().any(|o| active.contains(o));
        for result in ports(graph, node) {
            if (depends || wrt.contains(&result)) && float_of(graph.type_of(result)).is_some() {
                active.insert(result);
            }
        }
    }
    active
}

fn ports(graph: &Graph, node: NodeId) -> impl Iterator<Item = Operand> + use<> {
    (0..graph.node(node).types.len()).map(move |p| Operand { node, port: p as u16 })
}

fn float_of(ty: &Type) -> Option<DType> {
    let dtype = match ty {
        Type::Tensor(t) => t.dtype,
        Type::RowSparse(r) => r.dtype,
        Type::Csr(_) => return None,
    };
    dtype.is_real().then_some(dtype)
}

/// The sum of contributions. Row-sparse ones are listed one after the other; beside a dense one they are
/// made dense together.
fn total(graph: &mut Graph, parts: Vec<Operand>) -> Operand {
    let (rows, dense): (Vec<Operand>, Vec<Operand>) =
        parts.into_iter().partition(|p| matches!(graph.type_of(*p), Type::RowSparse(_)));
    let rows = join(graph, &rows);
    let dense = dense.into_iter().reduce(|a, b| graph.map(ScalarOp::Add, &[a, b]));
    match (dense, rows) {
        (Some(dense), Some(rows)) => {
            let rows = graph.densify(rows);
            graph.map(ScalarOp::Add, &[dense, rows])
        }
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => unreachable!("a list of contributions begins with one"),
    }
}

/// Row-sparse values as one that lists the rows of all.
fn join(graph: &mut Graph, parts: &[Operand]) -> Option<Operand> {
    let (first, more) = parts.split_first()?;
    if more.is_empty() {
        return Some(*first);
    }
    let (ids, values): (Vec<Operand>, Vec<Operand>) =
        parts.iter().map(|p| graph.row_sparse_parts(*p)).unzip();
    let Type::RowSparse(r) = graph.type_of(*first) else { return None };
    let rows = r.shape[0].clone();
    let ids = graph.emit(Concat { axis: 0 }, &ids);
    let values = graph.emit(Concat { axis: 0 }, &values);
    Some(graph.emit(RowSparse { rows }, &[ids, values]))
}

/// Whether a gradient has the element type and the sizes that one of this value has.
fn fits(graph: &Graph, of: Operand, gradient: Operand) -> bool {
    match (graph.type_of(of), graph.type_of(gradient)) {
        (Type::Tensor(x), Type::Tensor(g)) => x.dtype == g.dtype && x.shape.len() == g.shape.len(),
        (Type::Tensor(x), Type::RowSparse(g)) => x.dtype == g.dtype && x.shape.len() == g.shape.len(),
        (Type::RowSparse(x), Type::Tensor(g)) => x.dtype == g.dtype && x.shape.len() == g.shape.len(),
        _ => false,
    }
}

fn refusal(graph: &Graph, node: NodeId, loss: Operand, reason: Nondifferentiable) -> Diag {
    let name = graph.node(node).op.def().name();
    Diag::new(
        format!("the loss cannot be differentiated through `{name}`"),
        graph.node(node).span.clone(),
        format!("`{name}` here has no derivative"),
    )
    .label(graph.node(loss.node).span.clone(), "the loss")
    .note(reason.0)
    .help(format!("leave `{name}` out of the loss, or do not train what it is computed from"))
}
