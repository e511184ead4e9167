//! `reduce`: combines elements along axes.

use super::*;
use crate::dtype::DType;
use crate::scalar::ReduceOp;

/// Combines the elements along `axes`, which the result no longer has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// How elements combine.
    pub op: ReduceOp,
    /// Which axes, ascending.
    pub axes: Axes,
}

impl OpDef for Reduce {
    fn name(&self) -> &'static str {
        "reduce"
    }

    fn attrs(&self) -> Attrs {
        vec![("op", Attr::Word(self.op.name().to_owned())), ("axes", Attr::Ints(ints(&self.axes)))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("reduce", 1, operands)?);
        ascending("reduce", "axes", &self.axes, x.rank())?;
        if x.dtype == DType::Bool && matches!(self.op, ReduceOp::Sum | ReduceOp::Prod) {
            return Err(format!(
                "`reduce` takes numbers for {}, bool found; insert a cast, or use max or min",
                self.op.name()
            ));
        }
        let kept = x.shape.iter().enumerate().filter(|(i, _)| !self.axes.contains(i)).map(|(_, d)| d.clone());
        Ok(one(Type::tensor(x.dtype, kept)))
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
        Class::Reduce
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&operands[0]), bytes: traffic(operands, results) }
    }
}
