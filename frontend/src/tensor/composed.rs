//! Operations that are several ops of the graph.

use super::Tensor;
use crate::dims::At;
use crate::scope::{Scope, sizes_of};
use latentc_ir::diag::{Diag, Span};
use latentc_ir::graph::{Graph, Operand};

impl Scope {
    /// What a composition makes of tensors; one that refuses them is recorded with their places.
    pub(crate) fn composed_all<'g, const N: usize>(
        &'g self,
        operands: &[Tensor<'g>],
        at: At,
        make: impl FnOnce(&mut Graph, &[Operand]) -> Result<[Operand; N], String>,
    ) -> [Tensor<'g>; N] {
        let values: Option<Vec<Operand>> = operands.iter().map(|t| self.own(*t, at)).collect();
        let Some(values) = values else { return [self.poisoned(at); N] };
        let made = {
            let graph = &mut self.state.borrow_mut().graph;
            let before = graph.at.replace(Span::from(at));
            let made = make(graph, &values);
            graph.at = before;
            made
        };
        match made {
            Ok(made) => made.map(|o| Tensor { scope: self, value: Some(o), at }),
            Err(message) => {
                let mut diag = Diag::new(message, Span::from(at), "here");
                let mut sizes = vec![];
                for (operand, value) in operands.iter().zip(&values) {
                    let ty = self.state.borrow().graph.type_of(*value).clone();
                    diag = diag.label(Span::from(operand.at), format!("this is {ty}"));
                    sizes.extend(sizes_of(&ty));
                }
                self.report(self.explain_dims(diag, sizes.iter()));
                [self.poisoned(at); N]
            }
        }
    }

    /// A composition with one result.
    pub(crate) fn composed<'g>(
        &'g self,
        operands: &[Tensor<'g>],
        at: At,
        make: impl FnOnce(&mut Graph, &[Operand]) -> Result<Operand, String>,
    ) -> Tensor<'g> {
        let [made] = self.composed_all(operands, at, |graph, values| make(graph, values).map(|o| [o]));
        made
    }
}
