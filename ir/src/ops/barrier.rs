//! `barrier`: a value, once others are there.

use super::*;

/// `(x, after..) -> x`: the same value, and what is computed from it runs after the others are computed. Ops on it are
/// other nodes than those on `x`, so that work which is to be done again is not taken for the work that it repeats.
///
/// No rule looks through it. Fusion and the order of regions keep to it; once the order is settled it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Barrier;

impl OpDef for Barrier {
    fn name(&self) -> &'static str {
        "barrier"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        match operands {
            [x @ Type::Tensor(_), _, ..] => Ok(one(x.clone())),
            _ => Err(format!("`barrier` takes a tensor and what it waits for, {} found", list(operands))),
        }
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        Ok(vec![operands[0].clone()])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let mut found = vec![None; cx.operands.len()];
        found[0] = cx.gradients[0];
        Ok(found)
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        let mut operands = cx.operands.clone();
        operands[0] = cx.lead(0);
        Ok(Some(vec![cx.graph.emit(Barrier, &operands)]))
    }

    fn class(&self) -> Class {
        Class::Injective
    }

    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: zero_flops() }
    }
}

/// The value that stands behind barriers.
pub fn behind(graph: &Graph, mut o: Operand) -> Operand {
    while let Op::Barrier(_) = graph.node(o.node).op {
        o = graph.node(o.node).operands[0];
    }
    o
}

/// Puts the values in place of their barriers, without making one of nodes that become equal by it.
pub fn release(graph: &mut Graph) {
    for n in graph.topological() {
        if let Op::Barrier(_) = graph.node(n).op {
            graph.replace(n.into(), behind(graph, n.into()));
        }
    }
}
