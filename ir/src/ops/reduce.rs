//! `reduce`: combines elements along axes.

use super::*;
use crate::array::Array;
use crate::dtype::DType;
use crate::scalar::ReduceOp;
use crate::scalar::ScalarOp;

/// Combines the elements along `axes`, which the result no longer has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// How elements combine.
    pub op: ReduceOp,
    /// Which axes, ascending.
    pub axes: Axes,
}

impl OpDef for Reduce {
    fn name(&self) -> &'static str {
        "reduce"
    }

    fn attrs(&self) -> Attrs {
        vec![("op", Attr::Word(self.op.name().to_owned())), ("axes", Attr::Ints(ints(&self.axes)))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("reduce", 1, operands)?);
        ascending("reduce", "axes", &self.axes, x.rank())?;
        if x.dtype == DType::Bool && matches!(self.op, ReduceOp::Sum | ReduceOp::Prod) {
            return Err(format!(
                "`reduce` takes numbers for {}, bool found; insert a cast, or use max or min",
                self.op.name()
            ));
        }
        not_storage("reduce", x)?;
        let kept = x.shape.iter().enumerate().filter(|(i, _)| !self.axes.contains(i)).map(|(_, d)| d.clone());
        Ok(one(Type::tensor(x.dtype, kept)))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let kept: Vec<usize> = (0..x.shape().len()).filter(|a| !self.axes.contains(a)).collect();
        let shape: Vec<usize> = kept.iter().map(|a| x.shape()[*a]).collect();
        let strides = values::strides(&shape);
        let count: usize = shape.iter().product();
        let place = |at: &[usize]| values::flat(kept.iter().map(|a| &at[*a]), &strides);
        let y = match self.op {
            ReduceOp::Sum => {
                let mut sums = values::Sums::zeros(x.dtype(), count);
                values::positions(x.shape(), |i, at| sums.add(place(at), x.get(i)));
                sums.array(&shape)
            }
            ReduceOp::Prod if x.dtype().is_float() => {
                let mut products = vec![1.0; count];
                values::positions(x.shape(), |i, at| products[place(at)] *= x.get(i).as_f64());
                Array::from_f64(x.dtype(), &shape, &products)
            }
            _ => {
                let mut y = values::filled(self.op.identity(x.dtype()), &shape);
                values::positions(x.shape(), |i, at| {
                    let to = place(at);
                    y.set(to, crate::scalar::combine(self.op, y.get(to), x.get(i)));
                });
                y
            }
        };
        Ok(vec![Value::Tensor(y)])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let (x, y) = (cx.operands[0], cx.results[0]);
        let shape = cx.graph.shape_of(x);
        let rowwise = self.op == ReduceOp::Sum && !shape.is_empty() && !self.axes.contains(&0);
        Ok(vec![cx.pull(0, rowwise, |graph, dy| match self.op {
            ReduceOp::Sum => {
                let shape = sizes_for(graph, dy, &shape, rowwise);
                graph.unreduce(dy, shape, &self.axes)
            }
            ReduceOp::Max | ReduceOp::Min => self.extreme_vjp(graph, x, y, dy),
            ReduceOp::Prod => self.product_vjp(graph, x, dy),
        })])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(Reduce { op: self.op, axes: behind_one(&self.axes) })))
    }

    fn class(&self) -> Class {
        Class::Reduce
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: elements(&operands[0]), bytes: traffic(operands, results) }
    }
}

impl Reduce {
    /// The gradient of an extreme: equal shares for the elements that equal it.
    fn extreme_vjp(&self, graph: &mut Graph, x: Operand, y: Operand, dy: Operand) -> Operand {
        let (dtype, shape) = (graph.dtype_of(x), graph.shape_of(x));
        let extreme = graph.unreduce(y, shape.clone(), &self.axes);
        let chosen = graph.map(ScalarOp::Eq, &[x, extreme]);
        let ones = graph.cast(chosen, dtype);
        let count = graph.reduce(ReduceOp::Sum, ones, self.axes.clone());
        let share = graph.map(ScalarOp::Div, &[dy, count]);
        let share = graph.unreduce(share, shape, &self.axes);
        let zero = graph.fill_like(x, 0.0);
        graph.map(ScalarOp::Select, &[chosen, share, zero])
    }

    /// The gradient of a product: for each element the product of the others. With no zero among the
    /// elements that is the whole product divided by the element; with one zero, that element alone has a
    /// gradient, the product of the others; with more, none has. The derivative of this rule itself is right
    /// only where no element is zero.
    fn product_vjp(&self, graph: &mut Graph, x: Operand, dy: Operand) -> Operand {
        let (dtype, shape) = (graph.dtype_of(x), graph.shape_of(x));
        let (zero, one) = (graph.fill_like(x, 0.0), graph.fill_like(x, 1.0));
        let is_zero = graph.map(ScalarOp::Eq, &[x, zero]);
        let nonzero = graph.map(ScalarOp::Select, &[is_zero, one, x]);
        let product = graph.reduce(ReduceOp::Prod, nonzero, self.axes.clone());
        let scaled = graph.map(ScalarOp::Mul, &[dy, product]);
        let scaled = graph.unreduce(scaled, shape.clone(), &self.axes);
        let zeros = graph.cast(is_zero, dtype);
        let zeros = graph.reduce(ReduceOp::Sum, zeros, self.axes.clone());
        let zeros = graph.unreduce(zeros, shape, &self.axes);
        // The zeros among the others.
        let own = graph.cast(is_zero, dtype);
        let others = graph.map(ScalarOp::Sub, &[zeros, own]);
        let alone = graph.map(ScalarOp::Eq, &[others, zero]);
        let quotient = graph.map(ScalarOp::Div, &[scaled, nonzero]);
        graph.map(ScalarOp::Select, &[alone, quotient, zero])
    }
}
