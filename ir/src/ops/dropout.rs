//! `dropout`: zeroes elements at random and scales the others.

use super::random::{Random, words as random_words};
use super::*;
use crate::array::Array;
use crate::dtype::{DType, Literal};
use crate::scalar::ScalarOp;

/// `(x, seed i64, step i64) -> x` with each element kept with probability `1 - rate` and then divided by it, else 0: element `i` is dropped where its word of `random` (stream `stream`) is below `rate * 2^32`. `rate` 0 gives `x` itself, bit for bit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dropout {
    /// Probability of zero, f64 in `0..1`.
    pub rate: Literal,
    /// Stream of the draws.
    pub stream: u32,
}

impl OpDef for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn attrs(&self) -> Attrs {
        vec![("rate", literal_attr(self.rate)), ("stream", Attr::Int(i64::from(self.stream)))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x, seed, step] = fixed(tensors("dropout", 3, operands)?);
        if !x.dtype.is_real() || [seed, step].iter().any(|t| t.dtype != DType::I64 || t.rank() != 0) {
            return Err(format!(
                "`dropout` takes a float tensor and i64 scalars for seed and step, {} found",
                list(operands)
            ));
        }
        if !(0.0..1.0).contains(&self.rate.as_f64()) {
            return Err(format!("`dropout` at rate {}; a rate is at least 0 and below 1", self.rate));
        }
        Ok(one(operands[0].clone()))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        if self.rate.as_f64() == 0.0 {
            return Ok(vec![Value::Tensor(x.clone())]);
        }
        let word = random_words(operands[1], operands[2], self.stream)?;
        let keep = Literal::float(x.dtype(), 1.0 - self.rate.as_f64()).as_f64();
        let mut y = Array::zeros(x.dtype(), x.shape());
        for i in 0..x.len() {
            if word(i) >= self.threshold() {
                y.set(i, Literal::float(x.dtype(), x.get(i).as_f64() / keep));
            }
        }
        Ok(vec![Value::Tensor(y)])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        // Linear in `x`: the same elements of the gradient pass, scaled alike.
        let dx = cx.gradient(0).map(|dy| cx.graph.emit(self.clone(), &[dy, cx.operands[1], cx.operands[2]]));
        Ok(vec![dx, None, None])
    }

    fn body(
        &self,
        graph: &mut Graph,
        operands: &[Operand],
    ) -> Option<Result<Vec<Operand>, crate::diag::Diag>> {
        let x = operands[0];
        if self.rate.as_f64() == 0.0 {
            return Some(Ok(vec![x]));
        }
        let shape = graph.shape_of(x);
        let words = graph.emit(Random { stream: self.stream, shape: shape.clone() }, &operands[1..]);
        let bound = graph.fill(Literal::int(DType::U32, i64::from(self.threshold())), shape);
        let dropped = graph.map(ScalarOp::Lt, &[words, bound]);
        let keep = graph.fill_like(x, 1.0 - self.rate.as_f64());
        let scaled = graph.map(ScalarOp::Div, &[x, keep]);
        let zero = graph.fill_like(x, 0.0);
        Some(Ok(vec![graph.map(ScalarOp::Select, &[dropped, zero, scaled])]))
    }

    fn class(&self) -> Class {
        Class::Composite
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&results[0]), bytes: traffic(operands, results) }
    }
}

impl Dropout {
    /// Words below this drop their element: the whole number not below `rate * 2^32`, which for every rate
    /// below 1 but the last few is a word.
    fn threshold(&self) -> u32 {
        // The cast saturates.
        (self.rate.as_f64() * 4_294_967_296.0).ceil() as u32
    }
}
