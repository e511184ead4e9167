//! Which integers a graph takes for positions, and what bounds them: so that ids can be checked once, where
//! they are given, in the name of the input.

use crate::dim::Dim;
use crate::graph::{Graph, Operand};
use crate::ops::Op;
use rustc_hash::FxHashSet;

/// One more than the greatest value that the elements of a result may have by its uses as positions; `None`
/// where it is not used so. The least value is 0.
///
/// Uses are followed through ops that only move all elements about. Where only a part is used (`slice`), or
/// ids are computed, the ops that take them check them.
pub fn of(graph: &Graph, value: Operand) -> Option<Dim> {
    let mut seen = FxHashSet::default();
    let mut open = vec![value];
    let mut bound: Option<Dim> = None;
    while let Some(value) = open.pop() {
        if !seen.insert(value) {
            continue;
        }
        for (user, position) in graph.uses(value) {
            let node = graph.node(user);
            let rows = match (&node.op, position) {
                (Op::GatherRows(_), 1) => graph.tensor(node.operands[0]).shape[0].clone(),
                (Op::ScoreTopK(_), 3) => graph.csr(node.operands[2]).rows.clone(),
                (Op::RowSparse(op), 0) => op.rows.clone(),
                (Op::ScatterRows(op), 0) => op.rows.clone(),
                (Op::Segments(op), 0) => op.rows.clone(),
                (Op::Reshape(_) | Op::Permute(_) | Op::Broadcast(_) | Op::Concat(_), _) => {
                    open.push(Operand::from(user));
                    continue;
                }
                _ => continue,
            };
            bound = Some(bound.map_or(rows.clone(), |b| b.min_of(&rows)));
        }
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Span;
    use crate::dtype::DType;
    use crate::graph::InputKind;
    use crate::ops;
    use crate::types::Type;

    #[test]
    fn ids_are_bounded_by_the_least_table_they_look_into() {
        let mut g = Graph::new("g");
        let mut input = |name: &str, ty: Type| {
            let (name, kind) = (name.to_owned(), InputKind::Data);
            g.value(ops::input::Input { name, kind, ty }, &[], Span::none()).unwrap()
        };
        let n = Dim::symbol("n", 1, 100);
        let f = |rows: Dim| Type::tensor(DType::F32, [rows, Dim::from(4)]);
        let (small, large, any) =
            (input("small", f(10.into())), input("large", f(500.into())), input("any", f(n.clone())));
        let ids = input("ids", Type::tensor(DType::I32, [Dim::from(6)]));
        let numbers = input("numbers", Type::tensor(DType::I32, [Dim::from(6)]));
        assert_eq!(of(&g, ids), None);
        g.value(ops::gather_rows::GatherRows, &[large, ids], Span::none()).unwrap();
        assert_eq!(of(&g, ids), Some(Dim::from(500)));
        let pairs = ops::reshape::Reshape { shape: [Dim::from(2), Dim::from(3)].into_iter().collect() };
        let pairs = g.value(pairs, &[ids], Span::none()).unwrap();
        g.value(ops::gather_rows::GatherRows, &[small, pairs], Span::none()).unwrap();
        assert_eq!(of(&g, ids), Some(Dim::from(10)));
        g.value(ops::gather_rows::GatherRows, &[any, ids], Span::none()).unwrap();
        assert_eq!(of(&g, ids), Some(n.min_of(&Dim::from(10))));
        assert_eq!(of(&g, numbers), None);
    }
}
