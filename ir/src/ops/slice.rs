//! `slice`: a part of one axis.

use super::*;
use crate::dim::{Dim, Proof};

/// Elements `start, start + step, ..` below `end` along one axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// Which axis.
    pub axis: usize,
    /// First position.
    pub start: Dim,
    /// End, exclusive.
    pub end: Dim,
    /// Distance, positive.
    pub step: i64,
}

impl OpDef for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn attrs(&self) -> Attrs {
        vec![
            ("axis", Attr::Int(self.axis as i64)),
            ("range", Attr::Dims(vec![self.start.clone(), self.end.clone()])),
            ("step", Attr::Int(self.step)),
        ]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("slice", 1, operands)?);
        let size = axis_size("slice", x, self.axis)?;
        if self.step < 1 {
            return Err(format!("`slice` steps by {}; steps are positive", self.step));
        }
        let zero = Dim::constant(0);
        for (lo, hi, what) in [
            (&zero, &self.start, "its start is negative"),
            (&self.start, &self.end, "its start is beyond its end"),
            (&self.end, size, "it ends beyond the axis"),
        ] {
            if lo.le(hi) != Proof::True {
                return Err(format!(
                    "`slice` {}..{} of axis {} with {size} positions: {what}, or cannot be shown not to be",
                    self.start, self.end, self.axis
                ));
            }
        }
        let mut shape = x.shape.clone();
        shape[self.axis] = (&self.end - &self.start).ceil_div(self.step);
        Ok(one(Type::tensor(x.dtype, shape)))
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
