//! `checkpoint`: what derivatives compute again instead of keeping it.

use super::barrier::Barrier;
use super::*;

/// The ends of a region. At its entries stands `x -> x`; at its exit `(y.., x..) -> y..`, with the results and all
/// entries. The derivative of an exit writes the region again, from entries behind a [`Barrier`] that waits for the
/// gradients of the results, and goes back through that copy: of the region only what its entries hold is kept from the
/// forward pass to the backward pass. (Chen, Xu, Zhang and Guestrin 2016, Training deep nets with sublinear memory
/// cost.)
///
/// No rule looks through entries, so that a region is what lies between its ends whatever else is rewritten. A run
/// knows nothing of it: `inline` puts the operands in its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// How many of the operands are results.
    pub results: usize,
}

impl OpDef for Checkpoint {
    fn name(&self) -> &'static str {
        "checkpoint"
    }

    fn attrs(&self) -> Attrs {
        vec![("results", Attr::Int(self.results as i64))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        if self.results == 0 || operands.len() < self.results {
            let found = operands.len();
            return Err(format!("`checkpoint` of {} results among {found} operands", self.results));
        }
        if operands.iter().any(|t| t.as_tensor().is_none()) {
            return Err(format!("`checkpoint` takes tensors, {} found", list(operands)));
        }
        Ok(operands[..self.results].iter().cloned().collect())
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        Ok(operands[..self.results].iter().map(|v| (*v).clone()).collect())
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let (results, entries) = cx.operands.split_at(self.results);
        if entries.is_empty() {
            return Ok(cx.gradients.to_vec());
        }
        let (mut ys, mut dys) = (vec![], vec![]);
        for (i, y) in results.iter().enumerate() {
            if let Some(dy) = cx.gradient(i) {
                ys.push(*y);
                dys.push(dy);
            }
        }
        let graph = &mut *cx.graph;
        let again: Vec<Operand> =
            entries.iter().map(|x| graph.emit(Barrier, &[&[*x], &dys[..]].concat())).collect();
        let with: Vec<(Operand, Operand)> = entries.iter().copied().zip(again.iter().copied()).collect();
        let ys = graph.substitute(&ys, &with);
        let outer: Vec<(Operand, Operand)> = ys.into_iter().zip(dys).collect();
        let found = crate::grad::pull_back(graph, &outer, &again)
            .map_err(|d| Nondifferentiable(d.notes.first().cloned().unwrap_or(d.message)))?;
        Ok(vec![None; results.len()].into_iter().chain(found).collect())
    }

    fn body(&self, _: &mut Graph, operands: &[Operand]) -> Option<Result<Vec<Operand>, crate::diag::Diag>> {
        Some(Ok(operands[..self.results].to_vec()))
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        let mut operands = cx.operands.clone();
        for (i, o) in operands.iter_mut().enumerate().take(self.results) {
            *o = cx.lead(i);
        }
        Ok(Some(cx.graph.emit_all(self.clone(), &operands)))
    }

    fn class(&self) -> Class {
        Class::Composite
    }

    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: zero_flops() }
    }
}
