//! `lu`: matrices as products of triangular ones.

use super::cholesky::{cubic, part, transposed};
use super::index_update::IndexUpdate;
use super::triangular_solve::{TriangularSolve, square};
use super::*;
use crate::array::Array;
use crate::dtype::DType;
use crate::scalar::ScalarOp;

/// `x [.., n, n] -> (lu [.., n, n], rows i32 [.., n], sign [..])`, of f32 or f64: row `i` of `l u` is row `rows[i]` of
/// `x`, where `u` is the upper triangle of `lu` and `l` what stands below it, with ones on the diagonal. `sign` is 1 or
/// -1, as the order of the rows is even or odd. Each pivot is the greatest of its column, the first of several; where it
/// is 0, what it would divide stays.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lu;

impl OpDef for Lu {
    fn name(&self) -> &'static str {
        "lu"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("lu", 1, operands)?);
        square("lu", x)?;
        let (rows, lead) = (&x.shape[..x.rank() - 1], &x.shape[..x.rank() - 2]);
        Ok(Types::from_iter([
            operands[0].clone(),
            Type::tensor(DType::I32, rows.iter().cloned()),
            Type::tensor(x.dtype, lead.iter().cloned()),
        ]))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let (rank, n) = (x.shape().len(), x.shape().last().copied().unwrap_or(1));
        let count: usize = x.shape()[..rank - 2].iter().product();
        let (mut all, mut orders, mut signs) = (x.to_f64(), vec![], vec![]);
        for matrix in 0..count {
            let a = &mut all[matrix * n * n..(matrix + 1) * n * n];
            let (mut order, mut sign) = ((0..n as i32).collect::<Vec<i32>>(), 1.0);
            for k in 0..n {
                let mut pivot = k;
                for i in k + 1..n {
                    if a[i * n + k].abs() > a[pivot * n + k].abs() {
                        pivot = i;
                    }
                }
                if pivot != k {
                    order.swap(k, pivot);
                    (0..n).for_each(|c| a.swap(k * n + c, pivot * n + c));
                    sign = -sign;
                }
                for i in k + 1..n {
                    let by = if a[k * n + k] == 0.0 { a[i * n + k] } else { a[i * n + k] / a[k * n + k] };
                    a[i * n + k] = by;
                    for c in k + 1..n {
                        a[i * n + c] -= by * a[k * n + c];
                    }
                }
            }
            orders.extend(order);
            signs.push(sign);
        }
        Ok(vec![
            Value::Tensor(Array::from_f64(x.dtype(), x.shape(), &all)),
            Value::Tensor(Array::from_slice(&x.shape()[..rank - 1], &orders)),
            Value::Tensor(Array::from_f64(x.dtype(), &x.shape()[..rank - 2], &signs)),
        ])
    }

    /// `l^-T (strictly lower part of l^T dl + upper part of du u^T) u^-T`, its rows put back.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(d) = cx.gradient(0) else { return Ok(vec![None]) };
        let (graph, lu, rows) = (&mut *cx.graph, cx.results[0], cx.results[1]);
        let mut parts = || -> Result<[Operand; 2], String> {
            // What stands on the diagonal of `l` are ones, which `l^T dl` meets with zeros of the strictly lower `dl`
            // alone in products below the diagonal: these are added by themselves.
            let (strict, dl) = (part(graph, lu, -1, false)?, part(graph, d, -1, false)?);
            let (u, du) = (part(graph, lu, 0, true)?, part(graph, d, 0, true)?);
            let below = graph.matmul(strict, dl, true, false);
            let below = graph.map(ScalarOp::Add, &[below, dl]);
            let above = graph.matmul(du, u, false, true);
            Ok([part(graph, below, -1, false)?, part(graph, above, 0, true)?])
        };
        let [below, above] = parts().map_err(Nondifferentiable)?;
        let inner = graph.map(ScalarOp::Add, &[below, above]);
        let by_l = TriangularSolve { lower: true, transpose: true, unit: true };
        let left = graph.emit(by_l, &[lu, inner]);
        // Solved from the right by `u^T`: the transpose from the left by `u`.
        let turned = transposed(graph, left);
        let by_u = TriangularSolve { lower: false, transpose: false, unit: false };
        let both = graph.emit(by_u, &[lu, turned]);
        let both = transposed(graph, both);
        let shape = graph.shape_of(rows);
        let mut operands = vec![graph.fill_like(lu, 0.0)];
        operands.extend((0..shape.len() - 1).map(|axis| graph.iota(shape.clone(), axis, DType::I32)));
        operands.extend([rows, both]);
        Ok(vec![Some(graph.emit(IndexUpdate { op: None }, &operands))])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Opaque
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: cubic(&operands[0]), bytes: traffic(operands, results) }
    }
}
