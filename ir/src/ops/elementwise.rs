//! Elementwise ops: one row of the scalar table applied at every position.

use super::*;
use crate::array::Array;
use crate::dtype::{DType, Literal};
use crate::scalar::ScalarOp;

mod derivatives;

/// `result[i] = op(a[i], b[i], ..)`. All operands have one shape; broadcasting is an op of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Elementwise {
    /// Which scalar operation; `philox` is not one of these (see [`random`]).
    pub op: ScalarOp,
}

impl OpDef for Elementwise {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let operands = tensors(self.name(), self.op.arity(), operands)?;
        let dtypes: Vec<_> = operands.iter().map(|t| t.dtype).collect();
        for t in &operands[1..] {
            same_shape(self.name(), operands[0], t)?;
        }
        if self.op == ScalarOp::Philox {
            return Err("`philox` is not an elementwise op of tensors; use `random`".to_owned());
        }
        match self.op.result(&dtypes) {
            Some(d) => Ok(one(Type::tensor(d, operands[0].shape.iter().cloned()))),
            None => {
                let found: Vec<&str> = dtypes.iter().map(|d| d.name()).collect();
                let wants = match self.op.signature() {
                    Signature::Number => "operands of one number type",
                    Signature::Float => "operands of one float type",
                    Signature::Integer => "operands of one integer type",
                    Signature::Compare => "operands of one type",
                    Signature::Logic => "bool operands, or operands of one integer type",
                    Signature::Select => "a bool and two operands of one type",
                    Signature::Philox => "four i64 operands",
                };
                Err(format!("`{}` takes {wants}, found {}; insert a cast", self.name(), found.join(", ")))
            }
        }
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let arrays: Vec<&Array> =
            (0..operands.len()).map(|i| values::tensor(operands, i)).collect::<Result<_, _>>()?;
        let dtypes: Vec<DType> = arrays.iter().map(|a| a.dtype()).collect();
        let refused = || format!("`{}` does not take {dtypes:?}", self.name());
        let mut y = Array::zeros(self.op.result(&dtypes).ok_or_else(refused)?, arrays[0].shape());
        let mut elements = SmallVec::<[Literal; 3]>::new();
        for i in 0..y.len() {
            elements.clear();
            elements.extend(arrays.iter().map(|a| a.get(i)));
            y.set(i, crate::scalar::eval(self.op, &elements).ok_or_else(refused)?);
        }
        Ok(vec![Value::Tensor(y)])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        derivatives::vjp(self.op, cx)
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Elementwise
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&results[0]), bytes: traffic(operands, results) }
    }
}
