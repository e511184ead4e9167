//! `sort`: each row in order, with the positions that its elements had.

use super::top_k::{greatest_first, placed};
use super::*;
use crate::array::Array;
use crate::dtype::DType;

/// `x [.., n] -> (values [.., n], ids i32 [.., n])`: least first, or greatest first; equal ones (zeros of either sign
/// are) by their position, NaN last either way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sort {
    /// Greatest first.
    pub descending: bool,
}

impl OpDef for Sort {
    fn name(&self) -> &'static str {
        "sort"
    }

    fn attrs(&self) -> Attrs {
        vec![("descending", Attr::Int(i64::from(self.descending)))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("sort", 1, operands)?);
        not_storage("sort", x)?;
        if x.rank() == 0 || x.dtype == DType::Bool {
            return Err("`sort` takes rows of numbers, a scalar or bools found".to_owned());
        }
        Ok(Types::from_iter([operands[0].clone(), Type::tensor(DType::I32, x.shape.iter().cloned())]))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let (mut sorted, mut ids) = (x.clone(), Array::zeros(DType::I32, x.shape()));
        let width = x.shape().last().copied().unwrap_or(1);
        for row in 0..x.len() / width.max(1) {
            let mut order: Vec<usize> = (0..width).collect();
            order.sort_by(|a, b| in_order(x.get(row * width + a), x.get(row * width + b), self.descending));
            for (i, from) in order.into_iter().enumerate() {
                sorted.set(row * width + i, x.get(row * width + from));
                ids.set(row * width + i, Literal::int(DType::I32, from as i64));
            }
        }
        Ok(vec![Value::Tensor(sorted), Value::Tensor(ids)])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(dy) = cx.gradient(0) else { return Ok(vec![None]) };
        Ok(vec![Some(placed(cx.graph, cx.operands[0], cx.results[1], dy))])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Opaque
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&operands[0]), bytes: traffic(operands, results) }
    }
}

/// NaN last, else by value.
fn in_order(a: Literal, b: Literal, descending: bool) -> std::cmp::Ordering {
    if a.dtype().is_float() {
        let (x, y) = (a.as_f64(), b.as_f64());
        let (x, y) = if descending { (x, y) } else { (-x, -y) };
        return greatest_first(&(x, 0), &(y, 0));
    }
    let order = match a.dtype() {
        DType::U64 => a.as_u64().cmp(&b.as_u64()),
        _ => a.as_i64().cmp(&b.as_i64()),
    };
    if descending { order.reverse() } else { order }
}
