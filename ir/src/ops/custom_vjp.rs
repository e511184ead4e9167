//! `custom_vjp`: a value whose gradient is given by hand.

use super::*;

/// `(y, dy, x.., g..) -> y`: its gradient reaches the inputs `x` alone, as the values `g`, in which the gradient of
/// the result stands for the placeholder `dy`. With `y` alone no gradient goes on: `stop_gradient`.
///
/// It says something to derivatives and nothing to a run: `inline` puts `y` in its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CustomVjp;

impl CustomVjp {
    /// How many inputs the gradient reaches, of a node with so many operands.
    fn inputs(operands: usize) -> usize {
        operands.saturating_sub(2) / 2
    }
}

impl OpDef for CustomVjp {
    fn name(&self) -> &'static str {
        "custom_vjp"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [y, more @ ..] = operands else {
            return Err("`custom_vjp` takes the value first, nothing found".to_owned());
        };
        if let Some(dy) = more.first() {
            if dy != y {
                return Err(format!("`custom_vjp`: the value is {y}, the placeholder of its gradient {dy}"));
            }
            if more.len() % 2 == 0 {
                let found = more.len() - 1;
                return Err(format!("`custom_vjp` takes a gradient for each input, {found} of both found"));
            }
            let (inputs, gradients) = more[1..].split_at(Self::inputs(operands.len()));
            for (i, (x, g)) in inputs.iter().zip(gradients).enumerate() {
                if x != g || x.as_tensor().is_none() {
                    return Err(format!("`custom_vjp`: input {i} is {x}, its gradient {g}"));
                }
            }
        }
        Ok(one(y.clone()))
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
        if let Some(placeholder) = cx.operands.get(1)
            && let Some(dy) = cx.gradient(0)
        {
            let inputs = Self::inputs(cx.operands.len());
            let gradients = cx.graph.substitute(&cx.operands[2 + inputs..], &[(*placeholder, dy)]);
            for (at, g) in found[2..].iter_mut().zip(gradients) {
                *at = Some(g);
            }
        }
        Ok(found)
    }

    fn body(&self, _: &mut Graph, operands: &[Operand]) -> Option<Result<Vec<Operand>, crate::diag::Diag>> {
        Some(Ok(vec![operands[0]]))
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Composite
    }

    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: zero_flops() }
    }
}
