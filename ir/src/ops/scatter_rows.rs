//! `scatter_rows`: adds rows up by position: the dense form of a row-sparse gradient.

use super::*;
use crate::dim::Dim;

/// `(ids i32 [n], values [n, ..]) -> [rows, ..]`: row `r` is the sum, in order of position, of the values whose id is `r`. Composite: `segments`, then `segment_sum`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScatterRows {
    /// Rows of the result.
    pub rows: Dim,
}

impl OpDef for ScatterRows {
    fn name(&self) -> &'static str {
        "scatter_rows"
    }

    fn attrs(&self) -> Attrs {
        vec![("rows", Attr::Dims(vec![self.rows.clone()]))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [ids, values] = fixed(tensors("scatter_rows", 2, operands)?);
        ids_and_values("scatter_rows", ids, values)?;
        Ok(one(Type::tensor(
            values.dtype,
            std::iter::once(self.rows.clone()).chain(values.shape[1..].iter().cloned()),
        )))
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
        Class::Composite
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&operands[1]), bytes: traffic(operands, results) }
    }
}
