//! `gather_rows`: rows of a table at given positions.

use super::row_sparse::RowSparse;
use super::*;
use crate::dtype::DType;
use crate::types::Shape;
use crate::types::shape_text;

/// `(table [rows, ..], ids i32 [n..]) -> [n.., ..]`. An id outside `0..rows` is an error of the data.
///
/// A compiled program checks ids that it is given, before it runs; ids that it computes it keeps within the table
/// where the interpreter has an error.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GatherRows;

impl OpDef for GatherRows {
    fn name(&self) -> &'static str {
        "gather_rows"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [table, ids] = fixed(tensors("gather_rows", 2, operands)?);
        if table.rank() == 0 || ids.dtype != DType::I32 {
            return Err(format!(
                "`gather_rows` takes a table of at least one axis and i32 ids, {}{} and {}{} found",
                table.dtype,
                shape_text(&table.shape),
                ids.dtype,
                shape_text(&ids.shape)
            ));
        }
        Ok(one(Type::tensor(table.dtype, ids.shape.iter().chain(&table.shape[1..]).cloned())))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let (table, ids) = (values::tensor(operands, 0)?, values::tensor(operands, 1)?);
        let rows = values::rows_near("gather_rows", 1, ids, table.shape()[0])?;
        Ok(vec![Value::Tensor(values::rows(table, &rows, ids.shape()))])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(dy) = cx.gradient(0) else { return Ok(vec![None, None]) };
        let graph = &mut *cx.graph;
        let table = graph.shape_of(cx.operands[0]);
        let count = graph.tensor(cx.operands[1]).elements();
        let ids = graph.reshape(cx.operands[1], Shape::from_iter([count.clone()]));
        let rows = graph.reshape(dy, std::iter::once(count).chain(table[1..].iter().cloned()).collect());
        let gradient = graph.emit(RowSparse { rows: table[0].clone() }, &[ids, rows]);
        Ok(vec![Some(gradient), None])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        let (table, ids) = (cx.operands[0], cx.operands[1]);
        if !cx.batched[0] {
            return Ok(Some(vec![cx.graph.emit(GatherRows, &[table, ids])]));
        }
        if cx.batched[1] {
            let slices = cx.numbers(1, DType::I32);
            return Ok(Some(vec![cx.graph.emit(super::index::Index, &[table, slices, ids])]));
        }
        let places = cx.slice(1).len();
        let table = cx.moved(table, 0, 1);
        let rows = cx.graph.emit(GatherRows, &[table, ids]);
        Ok(Some(vec![cx.moved(rows, places, 0)]))
    }

    fn class(&self) -> Class {
        Class::Gather
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
