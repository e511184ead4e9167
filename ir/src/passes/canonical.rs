//! Passes that lowering needs: bodies in place of composite ops, products and reductions in few forms.

use super::Options;
use crate::diag::Diag;
use crate::dim::Dim;
use crate::dtype::Literal;
use crate::fuse::LARGEST_MATRIX;
use crate::graph::{Graph, Operand};
use crate::ops::concat::Concat;
use crate::ops::matmul::Matmul;
use crate::ops::pad::Pad;
use crate::ops::permute::Permute;
use crate::ops::reduce::Reduce;
use crate::ops::reshape::Reshape;
use crate::ops::{Axes, Class, Op};
use crate::plan::bounds::{are_checked, ids_of};
use crate::types::product;

/// Replaces composite ops by their bodies, bodies within bodies too, but for those that a kernel made by hand does
/// as they stand.
pub(super) fn inline(graph: &mut Graph, options: &Options) -> Result<(), Diag> {
    for n in graph.topological() {
        inline_node(graph, n, options)?;
    }
    graph.remove_dead();
    Ok(())
}

fn inline_node(graph: &mut Graph, n: crate::graph::NodeId, options: &Options) -> Result<(), Diag> {
    let node = graph.node(n).clone();
    if node.op.def().class() != Class::Composite
        || options.library.claim(graph, n, "composite", options.target).is_some()
    {
        return Ok(());
    }
    let before = graph.at.replace(node.span.clone());
    let body = node.op.def().body(graph, &node.operands);
    graph.at = before;
    if let Some(body) = body {
        for (port, value) in body?.into_iter().enumerate() {
            // The body may itself hold composite ops, which come later in no order that is being walked.
            let mut stack = vec![value.node];
            let mut seen = vec![];
            while let Some(m) = stack.pop() {
                if m == n || seen.contains(&m) || node.operands.iter().any(|o| o.node == m) {
                    continue;
                }
                seen.push(m);
                stack.extend(graph.node(m).operands.iter().map(|o| o.node));
            }
            graph.replace(Operand { node: n, port: port as u16 }, value);
            for m in seen {
                if graph.contains(m) {
                    inline_node(graph, m, options)?;
                }
            }
        }
    }
    Ok(())
}

/// Ids that a run checks are inputs; those that are computed, and by which a kernel indexes memory that it writes
/// or that holds positions, are kept within it. (Gathers do this where they read.)
pub(super) fn guard(graph: &mut Graph) -> Result<(), Diag> {
    for n in graph.topological() {
        let node = graph.node(n).clone();
        let indexes = matches!(
            node.op,
            Op::Segments(_)
                | Op::ScoreTopK(_)
                | Op::SegmentReduce(_)
                | Op::SegmentSoftmax(_)
                | Op::SegmentIds(_)
        );
        if !indexes {
            continue;
        }
        let before = graph.at.replace(node.span.clone());
        let mut operands = node.operands.clone();
        for (position, rows) in ids_of(graph, n) {
            if !are_checked(graph, operands[position], &rows) {
                operands[position] = graph.within(operands[position], &rows);
            }
        }
        if operands == node.operands {
            graph.at = before;
            continue;
        }
        let new = graph.emit_all(node.op, &operands);
        graph.at = before;
        for (port, value) in new.into_iter().enumerate() {
            graph.replace(Operand { node: n, port: port as u16 }, value);
        }
    }
    graph.remove_dead();
    Ok(())
}

/// Parts of row-sparse values become what these were made of. Pads of an axis that may be empty become
/// concatenations, which read nothing where there is nothing: a pad reads some element at every position.
pub(super) fn settle(graph: &mut Graph) -> Result<(), Diag> {
    for n in graph.topological() {
        let node = graph.node(n).clone();
        match &node.op {
            Op::RowSparseParts(_) => {
                let made = graph.node(node.operands[0].node).clone();
                if let Op::RowSparse(_) = made.op {
                    for (port, part) in made.operands.iter().enumerate() {
                        graph.replace(Operand { node: n, port: port as u16 }, *part);
                    }
                }
            }
            Op::Pad(p) => {
                let x = node.operands[0];
                if graph.shape_of(x)[p.axis].lower() <= 0 {
                    let joined = concat_for_pad(graph, p, x);
                    graph.replace(n.into(), joined);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Elements that are read by coordinates along an axis that may be empty are 0 where it is.
pub(super) fn cover(graph: &mut Graph) -> Result<(), Diag> {
    for n in graph.topological() {
        let node = graph.node(n).clone();
        if let Op::Index(_) = node.op
            && let Some(whole) = index_of_what_is_there(graph, &node.operands)
        {
            graph.replace(n.into(), whole);
        }
    }
    Ok(())
}

/// An `index` of what may be empty reads from the same with a zero behind each axis that is: there is an
/// element to read at every position then. `None` where every axis has some position.
fn index_of_what_is_there(graph: &mut Graph, operands: &[Operand]) -> Option<Operand> {
    let shape = graph.shape_of(operands[0]);
    let mut operands = operands.to_vec();
    let indexed = &shape[..operands.len() - 1];
    for (axis, size) in indexed.iter().enumerate().filter(|(_, size)| size.lower() <= 0) {
        operands[axis + 1] = graph.within(operands[axis + 1], size);
        let value = Literal::zero(graph.dtype_of(operands[0]));
        let behind = Pad { axis, before: 0.into(), after: 1.into(), value };
        operands[0] = concat_for_pad(graph, &behind, operands[0]);
    }
    indexed.iter().any(|size| size.lower() <= 0).then(|| graph.emit(crate::ops::index::Index, &operands))
}

fn concat_for_pad(graph: &mut Graph, p: &Pad, x: Operand) -> Operand {
    let shape = graph.shape_of(x);
    let mut around = |size: &Dim| {
        let mut shape = shape.clone();
        shape[p.axis] = size.clone();
        graph.fill(p.value, shape)
    };
    let parts = [around(&p.before), x, around(&p.after)];
    let some = |o: &Operand| graph.shape_of(*o)[p.axis].as_const() != Some(0);
    let parts: Vec<Operand> = parts.into_iter().filter(some).collect();
    match parts[..] {
        [] => x,
        [one] => one,
        _ => graph.emit(Concat { axis: p.axis }, &parts),
    }
}

/// Products: permutations of operands become flags, then every product of matrices is `a b` or, where the
/// first operand is transposed, a sum of outer products. Reductions: along the last axis, or over all others.
pub(super) fn orient(graph: &mut Graph) -> Result<(), Diag> {
    for n in graph.topological() {
        let node = graph.node(n).clone();
        let new = match &node.op {
            Op::Matmul(m) => orient_product(graph, m, &node.operands),
            Op::Reduce(r) => split_reduction(graph, r, node.operands[0]),
            _ => None,
        };
        if let Some(new) = new {
            graph.replace(n.into(), new);
        }
    }
    Ok(())
}

fn swaps_last_two(p: &Permute) -> bool {
    let r = p.axes.len();
    r >= 2 && p.axes.iter().copied().eq((0..r - 2).chain([r - 1, r - 2]))
}

fn orient_product(graph: &mut Graph, m: &Matmul, operands: &[Operand]) -> Option<Operand> {
    let (mut a, mut b) = (operands[0], operands[1]);
    let (mut ta, mut tb) = (m.transpose_a, m.transpose_b);
    for (o, t) in [(&mut a, &mut ta), (&mut b, &mut tb)] {
        if let Op::Permute(p) = &graph.node(o.node).op
            && swaps_last_two(p)
        {
            *o = graph.node(o.node).operands[0];
            *t = !*t;
        }
    }
    if graph.tensor(a).rank() != 2 {
        return (ta != m.transpose_a || tb != m.transpose_b).then(|| graph.matmul(a, b, ta, tb));
    }
    // Kernels over rows multiply by small matrices as they lie; what is greater is packed anyway.
    let small = graph.tensor(b).elements().as_const().is_none_or(|n| n <= LARGEST_MATRIX);
    if tb && small {
        b = graph.emit(Permute { axes: Axes::from_slice(&[1, 0]) }, &[b]);
        tb = false;
    }
    // A transposed matrix with few rows is a small matrix; one with many is a sum of outer products.
    let few = |d: &Dim| d.as_const().is_some_and(|n| n <= 256);
    if ta && few(&graph.shape_of(a)[0]) && !few(&graph.shape_of(a)[1]) {
        a = graph.emit(Permute { axes: Axes::from_slice(&[1, 0]) }, &[a]);
        ta = false;
    }
    let changed = (a, b) != (operands[0], operands[1]) || ta != m.transpose_a || tb != m.transpose_b;
    changed.then(|| graph.matmul(a, b, ta, tb))
}

/// `reduce` over all axes of several becomes one along the last axis and one over what remains; one over all
/// leading axes becomes one over a single leading axis.
fn split_reduction(graph: &mut Graph, r: &Reduce, x: Operand) -> Option<Operand> {
    let shape = graph.shape_of(x);
    let rank = shape.len();
    if rank < 2 || r.axes.is_empty() {
        return None;
    }
    if r.axes.len() == rank {
        let inner = graph.reduce(r.op, x, Axes::from_slice(&[rank - 1]));
        let rest = graph.reshape(inner, [product(&shape[..rank - 1])].into_iter().collect());
        return Some(graph.reduce(r.op, rest, Axes::from_slice(&[0])));
    }
    let leading = r.axes.iter().copied().eq(0..rank - 1);
    if leading && rank > 2 {
        let flat = [product(&shape[..rank - 1]), shape[rank - 1].clone()];
        let flat = graph.emit(Reshape { shape: flat.into_iter().collect() }, &[x]);
        return Some(graph.reduce(r.op, flat, Axes::from_slice(&[0])));
    }
    None
}
