//! `scatter_rows`: adds rows up by position: the dense form of a row-sparse gradient.

use super::gather_rows::GatherRows;
use super::segment_reduce::SegmentReduce;
use super::segments::Segments;
use super::*;
use crate::dim::Dim;
use crate::scalar::ReduceOp;

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
        operands: &[&Value],
        _: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let (ids, values) = (values::tensor(operands, 0)?, values::tensor(operands, 1)?);
        let rows = values::size(&self.rows, dims)?;
        let width = values::row_width(values);
        let mut sums = values::Sums::zeros(values.dtype(), rows * width);
        for (i, r) in values::rows_near("scatter_rows", 0, ids, rows)?.into_iter().enumerate() {
            for column in 0..width {
                sums.add(r * width + column, values.get(i * width + column));
            }
        }
        Ok(vec![Value::Tensor(sums.array(&values::with_rows(rows, values)))])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(dy) = cx.gradient(0) else { return Ok(vec![None, None]) };
        Ok(vec![None, Some(cx.graph.emit(GatherRows, &[dy, cx.operands[0]]))])
    }

    fn body(
        &self,
        graph: &mut Graph,
        operands: &[Operand],
    ) -> Option<Result<Vec<Operand>, crate::diag::Diag>> {
        let parts = graph.emit_all(Segments { rows: self.rows.clone() }, &operands[..1]);
        Some(Ok(vec![graph.emit(SegmentReduce { op: ReduceOp::Sum }, &[parts[0], parts[1], operands[1]])]))
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        let values = cx.lead(1);
        if !cx.batched[0] {
            let values = cx.moved(values, 0, 1);
            let sums = cx.graph.emit(self.clone(), &[cx.operands[0], values]);
            return Ok(Some(vec![cx.moved(sums, 1, 0)]));
        }
        // The rows of all slices one after the other.
        let ids = cx.graph.within(cx.operands[0], &self.rows);
        let (slices, shape) = (cx.numbers(0, crate::dtype::DType::I32), cx.graph.shape_of(ids));
        let rows = cx.graph.size_as(&self.rows, crate::dtype::DType::I32, shape.clone());
        let first = cx.graph.map(crate::scalar::ScalarOp::Mul, &[slices, rows]);
        let ids = cx.graph.map(crate::scalar::ScalarOp::Add, &[ids, first]);
        let count = &shape[0] * &shape[1];
        let ids = cx.graph.reshape(ids, [count.clone()].into_iter().collect());
        let rest = cx.graph.shape_of(values)[2..].to_vec();
        let values = cx.graph.reshape(values, std::iter::once(count).chain(rest.iter().cloned()).collect());
        let sums = cx.graph.emit(ScatterRows { rows: &cx.size * &self.rows }, &[ids, values]);
        let shape = [cx.size.clone(), self.rows.clone()].into_iter().chain(rest).collect();
        Ok(Some(vec![cx.graph.reshape(sums, shape)]))
    }

    fn class(&self) -> Class {
        Class::Composite
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&operands[1]), bytes: traffic(operands, results) }
    }
}
