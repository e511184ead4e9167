//! `index`: elements, or blocks of them, at computed positions.

use super::index_update::IndexUpdate;
use super::*;
use crate::dtype::DType;
use crate::types::shape_text;

/// `(x [d0, .., dq-1, rest..], i0 [s..], .., iq-1 [s..]) -> [s.., rest..]`: coordinates of i32 or i64 for the first
/// axes of `x`, all of one shape; block `p` of the result is `x[i0[p], .., iq-1[p]]`.
///
/// A coordinate below 0 counts as 0, one beyond its axis as the last position; where an axis that is indexed is
/// empty, every element is 0. The interpreter and compiled programs do the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Index;

impl OpDef for Index {
    fn name(&self) -> &'static str {
        "index"
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let all = tensors("index", operands.len().max(2), operands)?;
        let (x, coordinates) = (all[0], &all[1..]);
        check_coordinates("index", x, coordinates)?;
        let rest = &x.shape[coordinates.len()..];
        Ok(one(Type::tensor(x.dtype, coordinates[0].shape.iter().chain(rest).cloned())))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let (blocks, shape) = blocks(x, &operands[1..])?;
        let width: usize = x.shape()[operands.len() - 1..].iter().product();
        let shape: Vec<usize> = shape.iter().chain(&x.shape()[operands.len() - 1..]).copied().collect();
        let mut element = 0;
        let y = values::moved(x, &shape, Literal::zero(x.dtype()), |_| {
            let (block, within) = (element / width, element % width);
            element += 1;
            blocks[block].map(|b| b * width + within)
        });
        Ok(vec![Value::Tensor(y)])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let mut gradients = vec![None; cx.operands.len()];
        if let Some(dy) = cx.gradient(0) {
            let mut operands = cx.operands.to_vec();
            operands[0] = cx.graph.fill_like(operands[0], 0.0);
            operands.push(dy);
            gradients[0] = Some(cx.graph.emit(IndexUpdate { op: Some(ReduceOp::Sum) }, &operands));
        }
        Ok(gradients)
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        let coordinates: Vec<Operand> = (1..cx.operands.len()).map(|i| cx.lead(i)).collect();
        if !cx.batched[0] {
            return Ok(Some(vec![cx.graph.emit(Index, &[&[cx.operands[0]], &coordinates[..]].concat())]));
        }
        let slices = cx.numbers(1, cx.graph.dtype_of(coordinates[0]));
        Ok(Some(vec![cx.graph.emit(Index, &[&[cx.operands[0], slices], &coordinates[..]].concat())]))
    }

    fn class(&self) -> Class {
        Class::Gather
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        // Only as many elements of the first operand are read as the result has.
        Cost { flops: zero_flops(), bytes: &traffic(&operands[1..], results) + &bytes_of(&results[0]) }
    }
}

/// Coordinates for the first axes of `x`.
pub(super) fn check_coordinates(
    name: &str,
    x: &TensorType,
    coordinates: &[&TensorType],
) -> Result<(), String> {
    if coordinates.is_empty() || coordinates.len() > x.rank() {
        return Err(format!(
            "`{name}` takes coordinates for one or more of the axes of {}, {} found",
            shape_text(&x.shape),
            coordinates.len()
        ));
    }
    for c in coordinates {
        if !matches!(c.dtype, DType::I32 | DType::I64) {
            return Err(format!("`{name}` takes coordinates of i32 or i64, {} found", c.dtype));
        }
        same_shape(name, coordinates[0], c)?;
    }
    Ok(())
}

/// The number of the block that each position of the coordinates names, `None` where there is no block; and the
/// sizes of the coordinates.
pub(super) fn blocks<'a>(
    x: &crate::array::Array,
    coordinates: &[&'a Value],
) -> Result<(Vec<Option<usize>>, &'a [usize]), EvalError> {
    let indexed = &x.shape()[..coordinates.len()];
    let all =
        (0..coordinates.len()).map(|i| values::tensor(coordinates, i)).collect::<Result<Vec<_>, _>>()?;
    let empty = indexed.contains(&0);
    let block = |p: usize| {
        let at = |(c, size): (&&crate::array::Array, &usize)| {
            (c.get(p).as_i64().clamp(0, *size as i64 - 1) as usize, *size)
        };
        let at = || all.iter().zip(indexed).map(at);
        (!empty).then(|| at().fold(0, |sum, (i, size)| sum * size + i))
    };
    Ok(((0..all[0].len()).map(block).collect(), all[0].shape()))
}
