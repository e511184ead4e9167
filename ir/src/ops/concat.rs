//! `concat`: tensors one after the other along an axis.

use super::*;
use crate::types::shape_text;

/// Operands in order along one axis; their other sizes are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// Which axis.
    pub axis: usize,
}

impl OpDef for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn attrs(&self) -> Attrs {
        vec![("axis", Attr::Int(self.axis as i64))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        if operands.is_empty() {
            return Err("`concat` takes at least one operand, none found".to_owned());
        }
        let parts = tensors("concat", operands.len(), operands)?;
        let first = parts[0];
        let mut total = axis_size("concat", first, self.axis)?.clone();
        for t in &parts[1..] {
            if t.dtype != first.dtype || t.rank() != first.rank() {
                return Err(format!(
                    "`concat` takes operands of one element type and rank, {}{} and {}{} found",
                    first.dtype,
                    shape_text(&first.shape),
                    t.dtype,
                    shape_text(&t.shape)
                ));
            }
            for (i, (a, b)) in first.shape.iter().zip(&t.shape).enumerate() {
                if i != self.axis {
                    same_dim("concat", &format!("axis {i} of the first operand"), a, "that of another", b)?;
                }
            }
            total = &total + &t.shape[self.axis];
        }
        let mut shape = first.shape.clone();
        shape[self.axis] = total;
        Ok(one(Type::tensor(first.dtype, shape)))
    }

    fn eval(
        &self,
        _operands: &[&Value],
        _types: &[Type],
        _dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        Err("eval is not written".to_owned())
    }

    fn vjp(&self, _cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Err(Nondifferentiable("vjp is not written".to_owned()))
    }

    fn class(&self) -> Class {
        Class::Injective
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
