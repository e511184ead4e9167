//! `reshape`: the same elements in row-major order with other sizes.

use super::*;
use crate::types::{Shape, product};

/// Gives the elements other sizes; their number stays.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reshape {
    /// Sizes of the result.
    pub shape: Shape,
}

impl OpDef for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn attrs(&self) -> Attrs {
        vec![("shape", Attr::Dims(self.shape.to_vec()))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("reshape", 1, operands)?);
        let (from, to) = (x.elements(), product(&self.shape));
        same_dim("reshape", "the number of elements of the operand", &from, "that of the result", &to)?;
        Ok(one(Type::tensor(x.dtype, self.shape.iter().cloned())))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        Ok(vec![Value::Tensor(x.clone().reshaped(&values::sizes(&self.shape, dims)?))])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let shape = cx.graph.shape_of(cx.operands[0]);
        // The same rows, each with its elements in other sizes.
        let rowwise = match (shape.split_first(), self.shape.split_first()) {
            (Some((rows, a)), Some((n, b))) => rows == n && product(a).eq_proof(&product(b)) == Proof::True,
            _ => false,
        };
        Ok(vec![cx.pull(0, rowwise, |graph, dy| {
            let shape = sizes_for(graph, dy, &shape, rowwise);
            graph.reshape(dy, shape)
        })])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        let (x, shape) = (cx.lead(0), cx.with_size(&self.shape));
        Ok(Some(vec![cx.graph.reshape(x, shape)]))
    }

    fn class(&self) -> Class {
        Class::Injective
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
