//! `conv`: convolution along one or more axes, as neural networks mean it (a correlation).

use super::windows::{Window, Windows};
use super::*;
use crate::types::{Shape, product, shape_text};

/// `(x [n, c, s..], w [m, c / groups, kernel..]) -> [n, m, positions..]`: channel `j` of the result is the sum, over
/// the channels of its group and the offsets of the window, of what the window sees times `w[j]`; beyond `x` are zeros.
/// Composite: `windows`, then a product of matrices.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// The window that moves along all axes `s`.
    pub window: Window,
    /// Into how many groups both lists of channels are divided.
    pub groups: i64,
}

impl OpDef for Conv {
    fn name(&self) -> &'static str {
        "conv"
    }

    fn attrs(&self) -> Attrs {
        let mut attrs = self.window.attrs();
        attrs.push(("groups", Attr::Int(self.groups)));
        attrs
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x, w] = fixed(tensors("conv", 2, operands)?);
        let n = self.window.axes();
        check_filters("conv", x, w, &self.window, self.groups)?;
        let per_group = &w.shape[1] * &self.groups.into();
        same_dim(
            "conv",
            "the number of channels",
            &x.shape[1],
            "that of the filters in all groups",
            &per_group,
        )?;
        if w.shape[0].as_const().is_none_or(|m| m % self.groups != 0) {
            return Err(format!("`conv`: {} groups do not divide {} filters", self.groups, w.shape[0]));
        }
        let positions = self.window.positions("conv", &x.shape[x.rank() - n..])?;
        let shape = [x.shape[0].clone(), w.shape[0].clone()].into_iter().chain(positions);
        Ok(one(Type::tensor(x.dtype, shape)))
    }

    fn eval(
        &self,
        operands: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let (x, w) = (values::tensor(operands, 0)?, values::tensor(operands, 1)?);
        let shape = values::result_sizes(types, 0, dims)?;
        let (xs, ws) = (values::strides(x.shape()), values::strides(w.shape()));
        let (filters, channels) = (shape[1] / self.groups as usize, w.shape()[1]);
        let mut sums = values::Sums::zeros(x.dtype(), shape.iter().product());
        let kernel: Vec<usize> = w.shape()[1..].to_vec();
        values::positions(&shape, |i, at| {
            let group = at[1] / filters;
            values::positions(&kernel, |k, offset| {
                let mut from = at[0] * xs[0] + (group * channels + offset[0]) * xs[1];
                for axis in 0..self.window.axes() {
                    match self.window.sees(axis, at[2 + axis], offset[1 + axis], x.shape()[2 + axis]) {
                        Some(seen) => from += seen * xs[2 + axis],
                        None => return,
                    }
                }
                let product = x.get(from).as_f64() * w.get(at[1] * ws[0] + k).as_f64();
                sums.add(i, Literal::float(crate::dtype::DType::F64, product));
            });
        });
        Ok(vec![Value::Tensor(sums.array(&shape))])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(dy) = cx.gradient(0) else { return Ok(vec![None, None]) };
        let (x, w) = (cx.operands[0], cx.operands[1]);
        let dx = if cx.wanted[0] { self.gradient_of_input(cx.graph, x, w, dy) } else { None };
        let dw = if cx.wanted[1] { self.gradient_of_filters(cx.graph, x, w, dy) } else { None };
        if (dx.is_some(), dw.is_some()) == (cx.wanted[0], cx.wanted[1]) {
            return Ok(vec![dx, dw]);
        }
        let body = cx.through_body(self)?;
        Ok(vec![dx.or(body[0]), dw.or(body[1])])
    }

    fn body(
        &self,
        graph: &mut Graph,
        operands: &[Operand],
    ) -> Option<Result<Vec<Operand>, crate::diag::Diag>> {
        let (x, w) = (operands[0], operands[1]);
        let (xs, ws) = (graph.shape_of(x), graph.shape_of(w));
        let (n, groups) = (self.window.axes(), Dim::from(self.groups));
        let value = Literal::zero(graph.dtype_of(x));
        let seen = graph.emit(Windows { window: self.window.clone(), value }, &[x]);
        let all = graph.shape_of(seen);
        let positions: Shape = all[2..2 + n].into();
        let rows = &xs[0] * &product(&positions);
        let depth = product(&ws[1..]);
        let (y, filters) = if self.groups == 1 {
            // [n, c, o.., k..] -> [n * o.., c * k..], by [m, c * k..]
            let order = [0].into_iter().chain(2..2 + n).chain([1]).chain(2 + n..2 + 2 * n);
            let seen = graph.permute(seen, order.collect());
            let seen = graph.reshape(seen, Shape::from_iter([rows, depth.clone()]));
            let w = graph.reshape(w, Shape::from_iter([ws[0].clone(), depth]));
            (graph.matmul(seen, w, false, true), ws[0].clone())
        } else {
            // [n, g, c, o.., k..] -> [g, n * o.., c * k..], by [g, m, c * k..]
            let filters = Dim::from(ws[0].as_const().unwrap_or(0) / self.groups);
            let mut split: Shape = [xs[0].clone(), groups.clone(), ws[1].clone()].into_iter().collect();
            split.extend(all[2..].iter().cloned());
            let seen = graph.reshape(seen, split);
            let order = [1, 0].into_iter().chain(3..3 + n).chain([2]).chain(3 + n..3 + 2 * n);
            let seen = graph.permute(seen, order.collect());
            let seen = graph.reshape(seen, Shape::from_iter([groups.clone(), rows, depth.clone()]));
            let w = graph.reshape(w, Shape::from_iter([groups.clone(), filters.clone(), depth]));
            (graph.matmul(seen, w, false, true), filters)
        };
        let apart = [xs[0].clone()].into_iter().chain(positions.iter().cloned()).chain([filters.clone()]);
        let y = if self.groups == 1 {
            let y = graph.reshape(y, apart.collect());
            graph.permute(y, [0, n + 1].into_iter().chain(1..n + 1).collect())
        } else {
            let y = graph.reshape(y, std::iter::once(groups).chain(apart).collect());
            let y = graph.permute(y, [1, 0, n + 2].into_iter().chain(2..n + 2).collect());
            let shape = [xs[0].clone(), ws[0].clone()].into_iter().chain(positions);
            graph.reshape(y, shape.collect())
        };
        Some(Ok(vec![y]))
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        batch("conv", cx, self.groups, |groups| Conv { groups, ..self.clone() }.into())
    }

    fn class(&self) -> Class {
        Class::Composite
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        let each = operands[1].as_tensor().map_or_else(|| 1.into(), |w| product(&w.shape[1..]));
        Cost { flops: &(&elements(&results[0]) * &each) * &2.into(), bytes: traffic(operands, results) }
    }
}

impl Conv {
    /// The gradient of the input of a window that moves by one: a convolution of that of the result by the filters,
    /// turned around and with channels in the place of filters. `None` where zeros beyond the input reach further
    /// than the window.
    fn gradient_of_input(&self, g: &mut Graph, x: Operand, w: Operand, dy: Operand) -> Option<Operand> {
        let all = &self.window;
        let reach: Vec<i64> = (0..all.axes()).map(|a| all.extent(a) - 1).collect();
        let fits = (0..all.axes())
            .all(|a| all.stride[a] == 1 && all.before[a] <= reach[a] && all.after[a] <= reach[a]);
        if !fits {
            return None;
        }
        let ws = g.shape_of(w);
        let (groups, kernel) = (Dim::from(self.groups), &ws[2..]);
        let filters = Dim::from(ws[0].as_const()? / self.groups);
        let n = kernel.len();
        let apart = [groups, filters.clone(), ws[1].clone()].into_iter().chain(kernel.iter().cloned());
        let turned = g.reshape(w, apart.collect());
        let turned = g.permute(turned, [0, 2, 1].into_iter().chain(3..3 + n).collect());
        let channels = g.shape_of(x)[1].clone();
        let together = [channels, filters].into_iter().chain(kernel.iter().cloned());
        let turned = g.reshape(turned, together.collect());
        let turned = g.emit(super::reverse::Reverse { axes: (2..2 + n).collect() }, &[turned]);
        let window = Window {
            before: (0..n).map(|a| reach[a] - all.before[a]).collect(),
            after: (0..n).map(|a| reach[a] - all.after[a]).collect(),
            ..all.clone()
        };
        Some(g.emit(Conv { window, groups: self.groups }, &[dy, turned]))
    }

    /// The gradient of the filters: a convolution of the input by that of the result, with channels in the place of
    /// images and images in that of channels, whose positions are the offsets of the window. `None` where sizes are
    /// not known.
    fn gradient_of_filters(&self, g: &mut Graph, x: Operand, w: Operand, dy: Operand) -> Option<Operand> {
        let all = &self.window;
        let (xs, ws, ys) = (g.shape_of(x), g.shape_of(w), g.shape_of(dy));
        let known =
            |s: &[Dim]| s.iter().map(|d| d.as_const().filter(|n| *n > 0)).collect::<Option<Vec<i64>>>();
        let (sizes, out) = (known(&xs[2..])?, known(&ys[2..])?);
        let n = sizes.len();
        // What the offsets reach beyond the input; where the stride leaves some of the input out, less.
        let after: Vec<i64> =
            (0..n).map(|a| (out[a] - 1) * all.stride[a] + all.extent(a) - all.before[a] - sizes[a]).collect();
        let groups = Dim::from(self.groups);
        let mut seen = x;
        for (a, after) in after.iter().enumerate().filter(|(_, after)| **after < 0) {
            let stop = Dim::from(sizes[a] + after);
            stop.as_const().filter(|n| *n > 0)?;
            let cut = super::slice::Slice { axis: 2 + a, start: 0.into(), end: stop, step: 1 };
            seen = g.emit(cut, &[seen]);
        }
        let shape = g.shape_of(seen);
        let apart =
            [xs[0].clone(), groups.clone(), ws[1].clone()].into_iter().chain(shape[2..].iter().cloned());
        let seen = g.reshape(seen, apart.collect());
        let seen = g.permute(seen, [2, 1, 0].into_iter().chain(3..3 + n).collect());
        let together = [ws[1].clone(), &groups * &xs[0]].into_iter().chain(shape[2..].iter().cloned());
        let seen = g.reshape(seen, together.collect());
        let filters = g.permute(dy, [1, 0].into_iter().chain(2..2 + n).collect());
        let window = Window {
            kernel: out.into_iter().collect(),
            stride: all.dilation.clone(),
            dilation: all.stride.clone(),
            before: all.before.clone(),
            after: after.into_iter().map(|n| n.max(0)).collect(),
        };
        let dw = g.emit(Conv { window, groups: self.groups }, &[seen, filters]);
        Some(g.permute(dw, [1, 0].into_iter().chain(2..2 + n).collect()))
    }
}

/// Filters `[a, b, kernel..]` for `[n, c, s..]`.
pub(super) fn check_filters(
    name: &str,
    x: &TensorType,
    w: &TensorType,
    window: &Window,
    groups: i64,
) -> Result<(), String> {
    let n = window.axes();
    not_storage(name, x)?;
    let fits = x.rank() == n + 2
        && w.rank() == n + 2
        && x.dtype == w.dtype
        && x.dtype.is_real()
        && groups > 0
        && w.shape[2..].iter().zip(&window.kernel).all(|(a, k)| a.as_const() == Some(*k));
    if fits {
        return Ok(());
    }
    Err(format!(
        "`{name}` in {groups} group(s) with a window of {:?} takes floats [n, c, s..] and filters of that window, \
         {}{} and {}{} found",
        window.kernel.as_slice(),
        x.dtype,
        shape_text(&x.shape),
        w.dtype,
        shape_text(&w.shape)
    ))
}

/// A convolution over a batch. With one list of filters the slices are more of its `n`; filters that differ are as many
/// groups more.
pub(super) fn batch(
    name: &str,
    cx: &mut Batch<'_>,
    groups: i64,
    with_groups: impl FnOnce(i64) -> Op,
) -> Result<Option<Vec<Operand>>, String> {
    let joined = |shape: &[Dim], axis: usize| -> Shape {
        let both = &shape[axis] * &shape[axis + 1];
        shape[..axis].iter().cloned().chain([both]).chain(shape[axis + 2..].iter().cloned()).collect()
    };
    let divided = |shape: &[Dim], axis: usize, by: &Dim, size: &Dim| -> Shape {
        let parts = [by.clone(), size.clone()];
        shape[..axis].iter().cloned().chain(parts).chain(shape[axis + 1..].iter().cloned()).collect()
    };
    let size = cx.size.clone();
    if !cx.batched[1] {
        let shape = cx.graph.shape_of(cx.operands[0]);
        let x = cx.graph.reshape(cx.operands[0], joined(&shape, 0));
        let y = cx.graph.emit(with_groups(groups), &[x, cx.operands[1]]);
        let out = cx.graph.shape_of(y);
        return Ok(Some(vec![cx.graph.reshape(y, divided(&out, 0, &size, &shape[1]))]));
    }
    let Some(slices) = size.as_const() else {
        return Err(format!(
            "`{name}` with filters that differ within a batch of {size} slices: they become groups, whose number is a \
             constant"
        ));
    };
    let (x, w) = (cx.lead(0), cx.operands[1]);
    let x = cx.moved(x, 0, 1);
    let (x_shape, w_shape) = (cx.graph.shape_of(x), cx.graph.shape_of(w));
    let x = cx.graph.reshape(x, joined(&x_shape, 1));
    let w = cx.graph.reshape(w, joined(&w_shape, 0));
    let y = cx.graph.emit(with_groups(groups * slices), &[x, w]);
    let out = cx.graph.shape_of(y);
    let channels = Dim::constant(out[1].as_const().unwrap_or(0) / slices.max(1));
    let y = cx.graph.reshape(y, divided(&out, 1, &size, &channels));
    Ok(Some(vec![cx.moved(y, 1, 0)]))
}
