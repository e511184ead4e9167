//! `top_k`: the greatest elements of each row.

use super::*;
use crate::dim::{Dim, Proof};
use crate::dtype::DType;

/// `x [.., n] -> (values [.., k], ids i32 [.., k])`: greatest first, equal ones by lower position, NaN last; `k` is at most `n`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopK {
    /// How many.
    pub k: usize,
}

impl OpDef for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }

    fn attrs(&self) -> Attrs {
        vec![("k", Attr::Int(self.k as i64))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("top_k", 1, operands)?);
        let Some((n, rows)) = x.shape.split_last() else {
            return Err("`top_k` takes a tensor of at least one axis, a scalar found".to_owned());
        };
        if self.k == 0 || Dim::from(self.k).le(n) != Proof::True {
            return Err(format!(
                "`top_k` of {} among {n} elements: k must be at least 1 and shown to be at most that",
                self.k
            ));
        }
        if x.dtype == DType::Bool {
            return Err("`top_k` takes numbers, bool found; insert a cast".to_owned());
        }
        let shape = || rows.iter().cloned().chain([Dim::from(self.k)]);
        Ok(Types::from_iter([Type::tensor(x.dtype, shape()), Type::tensor(DType::I32, shape())]))
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
        Class::Opaque
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&operands[0]), bytes: traffic(operands, results) }
    }
}
