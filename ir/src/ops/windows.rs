//! `windows`: what a window sees at each of its positions: the operands of convolutions and poolings.

use super::fold::Fold;
use super::*;
use crate::types::{Shape, shape_text};

/// Numbers for each axis that a window moves along.
pub type Extents = SmallVec<[i64; 3]>;

/// A window that moves along the last axes of a tensor, with so many constants around these. At position `o` and
/// offset `k` it sees element `o * stride + k * dilation - before`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// How many elements it sees, 1 or more.
    pub kernel: Extents,
    /// Elements from one position to the next, 1 or more.
    pub stride: Extents,
    /// Elements from one that it sees to the next, 1 or more.
    pub dilation: Extents,
    /// Constants in front, 0 or more.
    pub before: Extents,
    /// Constants behind, 0 or more.
    pub after: Extents,
}

impl Window {
    /// A window that sees `kernel` neighbours, moves by one and stays inside.
    pub fn new(kernel: impl IntoIterator<Item = i64>) -> Window {
        let kernel: Extents = kernel.into_iter().collect();
        let all = |value: i64| kernel.iter().map(|_| value).collect::<Extents>();
        Window { stride: all(1), dilation: all(1), before: all(0), after: all(0), kernel }
    }

    /// The window with other strides, one an axis.
    pub fn with_stride(self, stride: impl IntoIterator<Item = i64>) -> Window {
        Window { stride: stride.into_iter().collect(), ..self }
    }

    /// The window with elements that are so far apart, one number an axis.
    pub fn with_dilation(self, dilation: impl IntoIterator<Item = i64>) -> Window {
        Window { dilation: dilation.into_iter().collect(), ..self }
    }

    /// The window with so many constants at both ends of each axis.
    pub fn with_pads(self, pads: impl IntoIterator<Item = i64>) -> Window {
        let before: Extents = pads.into_iter().collect();
        Window { after: before.clone(), before, ..self }
    }

    /// How many axes it moves along.
    pub fn axes(&self) -> usize {
        self.kernel.len()
    }

    /// Elements from the first to the last that it sees along an axis, both included.
    pub fn extent(&self, axis: usize) -> i64 {
        self.dilation[axis] * (self.kernel[axis] - 1) + 1
    }

    /// The element of an axis of so many that it sees at a position and an offset; `None` beside its ends.
    pub(super) fn sees(&self, axis: usize, position: usize, offset: usize, size: usize) -> Option<usize> {
        let ahead = position as i64 * self.stride[axis] + offset as i64 * self.dilation[axis];
        usize::try_from(ahead - self.before[axis]).ok().filter(|seen| *seen < size)
    }

    /// How many positions it has along axes of these sizes.
    ///
    /// # Errors
    /// Where its numbers are not what they must be, or it cannot be shown to fit.
    pub fn positions(&self, name: &str, sizes: &[Dim]) -> Result<Shape, String> {
        let n = self.axes();
        let lists = [&self.stride, &self.dilation, &self.before, &self.after];
        if n == 0 || lists.iter().any(|l| l.len() != n) || sizes.len() != n {
            return Err(format!(
                "`{name}`: kernel, stride, dilation, before and after need one number for each of the axes {}; \
                 {n} and {:?} found",
                shape_text(sizes),
                lists.map(|l| l.len())
            ));
        }
        let least =
            [(&self.kernel, 1), (&self.stride, 1), (&self.dilation, 1), (&self.before, 0), (&self.after, 0)];
        if let Some((list, least)) = least.into_iter().find(|(l, least)| l.iter().any(|v| v < least)) {
            return Err(format!(
                "`{name}`: kernels, strides and dilations are at least 1, pads at least 0; {list:?} found where \
                 {least} is the least"
            ));
        }
        let mut out = Shape::new();
        for (axis, size) in sizes.iter().enumerate() {
            let room = &(size + &self.before[axis].into()) + &(self.after[axis] - self.extent(axis)).into();
            if size.lower() < 1 || room.lower() < 0 {
                return Err(format!(
                    "`{name}`: a window of {} elements, {} apart, does not fit into {size} elements with {} and {} \
                     constants around them, or cannot be shown to",
                    self.kernel[axis], self.dilation[axis], self.before[axis], self.after[axis]
                ));
            }
            out.push(&room.floor_div(&self.stride[axis].into()) + &1.into());
        }
        Ok(out)
    }

    pub(super) fn attrs(&self) -> Attrs {
        vec![
            ("kernel", Attr::Ints(self.kernel.to_vec())),
            ("stride", Attr::Ints(self.stride.to_vec())),
            ("dilation", Attr::Ints(self.dilation.to_vec())),
            ("before", Attr::Ints(self.before.to_vec())),
            ("after", Attr::Ints(self.after.to_vec())),
        ]
    }

    /// The sizes of the window.
    pub(super) fn sizes(&self) -> Shape {
        self.kernel.iter().map(|k| Dim::from(*k)).collect()
    }
}

/// `(x [.., s..]) -> [.., positions.., kernel..]`: what the window sees at each position along the last axes of `x`;
/// beyond them a constant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Windows {
    /// The window; its number of axes is that of the last axes of `x` that it moves along.
    pub window: Window,
    /// What stands around the elements, of their type.
    pub value: Literal,
}

impl OpDef for Windows {
    fn name(&self) -> &'static str {
        "windows"
    }

    fn attrs(&self) -> Attrs {
        let mut attrs = self.window.attrs();
        attrs.push(("value", literal_attr(self.value)));
        attrs
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [x] = fixed(tensors("windows", 1, operands)?);
        if self.value.dtype() != x.dtype {
            let other = self.value.dtype();
            return Err(format!("`windows` over {} with {other} around; give one of the same type", x.dtype));
        }
        let Some(lead) = x.rank().checked_sub(self.window.axes()) else {
            let (n, shape) = (self.window.axes(), shape_text(&x.shape));
            return Err(format!("`windows` along {n} axes of a tensor of shape {shape}"));
        };
        let positions = self.window.positions("windows", &x.shape[lead..])?;
        let shape = x.shape[..lead].iter().cloned().chain(positions).chain(self.window.sizes());
        Ok(one(Type::tensor(x.dtype, shape)))
    }

    fn eval(
        &self,
        operands: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let x = values::tensor(operands, 0)?;
        let shape = values::result_sizes(types, 0, dims)?;
        let (w, n, strides) = (&self.window, self.window.axes(), values::strides(x.shape()));
        let lead = x.shape().len() - n;
        let y = values::moved(x, &shape, self.value, |at| {
            let mut from = values::flat(&at[..lead], &strides);
            for axis in 0..n {
                let seen = w.sees(axis, at[lead + axis], at[lead + n + axis], x.shape()[lead + axis])?;
                from += seen * strides[lead + axis];
            }
            Some(from)
        });
        Ok(vec![Value::Tensor(y)])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let shape = cx.graph.shape_of(cx.operands[0]);
        let lead = shape.len() - self.window.axes();
        let fold = Fold { window: self.window.clone(), shape: shape[lead..].into() };
        Ok(vec![cx.pull(0, lead > 0, |graph, dy| graph.emit(fold, &[dy]))])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        Ok(Some(cx.same(self.clone())))
    }

    fn class(&self) -> Class {
        Class::Injective
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(operands, results) }
    }
}
