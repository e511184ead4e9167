//! `concat`: tensors one after the other along an axis.

use super::slice::Slice;
use super::*;
use crate::array::Array;
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
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let parts: Vec<&Array> =
            (0..operands.len()).map(|i| values::tensor(operands, i)).collect::<Result<_, _>>()?;
        let mut shape = parts[0].shape().to_vec();
        shape[self.axis] = parts.iter().map(|p| p.shape()[self.axis]).sum();
        let strides = values::strides(&shape);
        let mut y = Array::zeros(parts[0].dtype(), &shape);
        let mut offset = 0;
        for part in parts {
            values::positions(part.shape(), |i, at| {
                y.set(values::flat(at, &strides) + offset * strides[self.axis], part.get(i));
            });
            offset += part.shape()[self.axis];
        }
        Ok(vec![Value::Tensor(y)])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let mut start = Dim::constant(0);
        let mut out = vec![];
        for (i, x) in cx.operands.iter().enumerate() {
            let end = &start + &cx.graph.tensor(*x).shape[self.axis];
            let slice = Slice { axis: self.axis, start, end: end.clone(), step: 1 };
            out.push(if cx.wanted[i] {
                cx.pull(0, self.axis > 0, |graph, dy| graph.emit(slice, &[dy]))
            } else {
                None
            });
            start = end;
        }
        Ok(out)
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(Concat { axis: self.axis + 1 })))
    }

    fn class(&self) -> Class {
        Class::Injective
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
