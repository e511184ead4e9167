//! `gather_rows`: rows of a table at given positions.

use super::*;
use crate::dtype::DType;
use crate::types::shape_text;

/// `(table [rows, ..], ids i32 [n..]) -> [n.., ..]`. An id outside `0..rows` is an error of the data.
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
        Class::Gather
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
