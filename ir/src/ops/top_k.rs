//! `top_k`: the greatest elements of each row.

use super::index_update::IndexUpdate;
use super::*;
use crate::array::Array;
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
        not_storage("top_k", x)?;
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
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let width = x.shape().last().copied().unwrap_or(1);
        let leading = &x.shape()[..x.shape().len() - 1];
        let shape: Vec<usize> = leading.iter().copied().chain([self.k]).collect();
        let mut greatest = Array::zeros(x.dtype(), &shape);
        let mut ids = Array::zeros(DType::I32, &shape);
        for row in 0..leading.iter().product::<usize>() {
            let mut ranked: Vec<(Literal, usize)> = (0..width).map(|i| (x.get(row * width + i), i)).collect();
            if x.dtype().is_float() {
                ranked.sort_by(|a, b| greatest_first(&(a.0.as_f64(), a.1), &(b.0.as_f64(), b.1)));
            } else {
                ranked.sort_by_key(|(value, i)| (std::cmp::Reverse(value.as_i64()), *i));
            }
            for (j, (value, i)) in ranked.into_iter().take(self.k).enumerate() {
                greatest.set(row * self.k + j, value);
                ids.set(row * self.k + j, Literal::int(DType::I32, i as i64));
            }
        }
        Ok(vec![Value::Tensor(greatest), Value::Tensor(ids)])
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

/// Greatest first, NaN last, equal ones by lower position.
pub(super) fn greatest_first(a: &(f64, usize), b: &(f64, usize)) -> std::cmp::Ordering {
    let values = match (a.0.is_nan(), b.0.is_nan()) {
        (false, false) => b.0.partial_cmp(&a.0).unwrap_or(std::cmp::Ordering::Equal),
        (x, y) => x.cmp(&y),
    };
    values.then(a.1.cmp(&b.1))
}

/// The gradient of elements that were taken from the rows of `x`, each from its own place: zeros elsewhere.
pub(super) fn placed(graph: &mut Graph, x: Operand, ids: Operand, dy: Operand) -> Operand {
    let shape = graph.shape_of(ids);
    let mut operands = vec![graph.fill_like(x, 0.0)];
    operands.extend((0..shape.len() - 1).map(|axis| graph.iota(shape.clone(), axis, DType::I32)));
    operands.extend([ids, dy]);
    graph.emit(IndexUpdate { op: None }, &operands)
}
