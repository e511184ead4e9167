//! `conv_transpose`: the adjoint of a convolution.

use super::conv::check_filters;
use super::fold::Fold;
use super::windows::Window;
use super::*;
use crate::types::{Shape, product};

/// `(x [n, c, positions..], w [c, m / groups, kernel..]) -> [n, m, s..]`: each element of `x` times the filters of its
/// channel is added where a window over `s` sees it: what [`conv`](mod@super::conv) of the result by `w` does, turned round.
/// Composite: a product of matrices, then `fold`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvTranspose {
    /// The window that moves along all axes of the result behind the channels.
    pub window: Window,
    /// Into how many groups both lists of channels are divided.
    pub groups: i64,
    /// The sizes of those axes: such that the window has the positions of `x`.
    pub shape: Shape,
}

impl ConvTranspose {
    /// The sizes of the result for so many positions and `more` elements behind.
    pub fn sizes(window: &Window, positions: &[Dim], more: &[i64]) -> Shape {
        let size = |axis: usize| {
            let reach = &(&positions[axis] - &1.into()) * &window.stride[axis].into();
            let around = window.extent(axis) - window.before[axis] - window.after[axis];
            &reach + &(around + more.get(axis).copied().unwrap_or(0)).into()
        };
        (0..positions.len().min(window.axes())).map(size).collect()
    }
}

impl OpDef for ConvTranspose {
    fn name(&self) -> &'static str {
        "conv_transpose"
    }

    fn attrs(&self) -> Attrs {
        let mut attrs = self.window.attrs();
        attrs.push(("groups", Attr::Int(self.groups)));
        attrs.push(("shape", Attr::Dims(self.shape.to_vec())));
        attrs
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x, w] = fixed(tensors("conv_transpose", 2, operands)?);
        check_filters("conv_transpose", x, w, &self.window, self.groups)?;
        same_dim(
            "conv_transpose",
            "the number of channels",
            &x.shape[1],
            "that of the filters",
            &w.shape[0],
        )?;
        if x.shape[1].as_const().is_none_or(|c| c % self.groups != 0) {
            return Err(format!(
                "`conv_transpose`: {} groups do not divide {} channels",
                self.groups, x.shape[1]
            ));
        }
        let positions = self.window.positions("conv_transpose", &self.shape)?;
        for (a, b) in x.shape[2..].iter().zip(&positions) {
            same_dim("conv_transpose", "the number of positions", a, "that of the window", b)?;
        }
        let filters = &w.shape[1] * &self.groups.into();
        Ok(one(Type::tensor(
            x.dtype,
            [x.shape[0].clone(), filters].into_iter().chain(self.shape.iter().cloned()),
        )))
    }

    fn eval(
        &self,
        operands: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let (x, w) = (values::tensor(operands, 0)?, values::tensor(operands, 1)?);
        let shape = values::result_sizes(types, 0, dims)?;
        let (ys, ws) = (values::strides(&shape), values::strides(w.shape()));
        let (filters, channels) = (w.shape()[1], x.shape()[1] / self.groups as usize);
        let mut sums = values::Sums::zeros(x.dtype(), shape.iter().product());
        let kernel: Vec<usize> = w.shape()[1..].to_vec();
        values::positions(x.shape(), |i, at| {
            let group = at[1] / channels;
            values::positions(&kernel, |k, offset| {
                let mut to = at[0] * ys[0] + (group * filters + offset[0]) * ys[1];
                for axis in 0..self.window.axes() {
                    match self.window.sees(axis, at[2 + axis], offset[1 + axis], shape[2 + axis]) {
                        Some(seen) => to += seen * ys[2 + axis],
                        None => return,
                    }
                }
                let product = x.get(i).as_f64() * w.get(at[1] * ws[0] + k).as_f64();
                sums.add(to, Literal::float(crate::dtype::DType::F64, product));
            });
        });
        Ok(vec![Value::Tensor(sums.array(&shape))])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        cx.through_body(self)
    }

    fn body(
        &self,
        graph: &mut Graph,
        operands: &[Operand],
    ) -> Option<Result<Vec<Operand>, crate::diag::Diag>> {
        let (x, w) = (operands[0], operands[1]);
        let (xs, ws) = (graph.shape_of(x), graph.shape_of(w));
        let (n, groups) = (self.window.axes(), Dim::from(self.groups));
        let positions: Shape = xs[2..].into();
        let channels = Dim::from(xs[1].as_const().unwrap_or(0) / self.groups);
        let rows = &xs[0] * &product(&positions);
        let depth = product(&ws[1..]);
        // [n, g, c, o..] -> [g, n * o.., c], by [g, c, m * k..]
        let mut split: Shape = [xs[0].clone(), groups.clone(), channels.clone()].into_iter().collect();
        split.extend(positions.iter().cloned());
        let x = graph.reshape(x, split);
        let x = graph.permute(x, [1, 0].into_iter().chain(3..3 + n).chain([2]).collect());
        let batch = if self.groups == 1 { vec![] } else { vec![groups.clone()] };
        let with = |a: &Dim, b: &Dim| batch.iter().cloned().chain([a.clone(), b.clone()]).collect::<Shape>();
        let x = graph.reshape(x, with(&rows, &channels));
        let w = graph.reshape(w, with(&channels, &depth));
        let y = graph.matmul(x, w, false, false);
        // [g, n * o.., m * k..] -> [n, g * m, o.., k..]
        let mut apart: Shape = [groups.clone(), xs[0].clone()].into_iter().collect();
        apart.extend(positions.iter().chain(&ws[1..]).cloned());
        let y = graph.reshape(y, apart);
        let order = [1, 0, n + 2].into_iter().chain(2..n + 2).chain(n + 3..2 * n + 3);
        let y = graph.permute(y, order.collect());
        let filters = &ws[1] * &groups;
        let mut whole: Shape = [xs[0].clone(), filters].into_iter().collect();
        whole.extend(positions.into_iter().chain(ws[2..].iter().cloned()));
        let y = graph.reshape(y, whole);
        let fold = Fold { window: self.window.clone(), shape: self.shape.clone() };
        Some(Ok(vec![graph.emit(fold, &[y])]))
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        super::conv::batch("conv_transpose", cx, self.groups, |groups| {
            ConvTranspose { groups, ..self.clone() }.into()
        })
    }

    fn class(&self) -> Class {
        Class::Composite
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        let each = operands[1].as_tensor().map_or_else(|| 1.into(), |w| product(&w.shape[1..]));
        Cost { flops: &(&elements(&operands[0]) * &each) * &2.into(), bytes: traffic(operands, results) }
    }
}
